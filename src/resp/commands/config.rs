//! `CONFIG`: the settings, asked for and set.

use super::{Answer, SYNTAX, help, refuse};
use crate::command::{Reply, glob};
use crate::resp::config::{SETTINGS, find};
use crate::resp::session::Session;
use crate::resp::shared::Shared;

pub(super) fn get(shared: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    let mut found: Vec<(Vec<u8>, String)> = Vec::new();
    for pattern in &args[2..] {
        let mut note = |name: &[u8], value: String| {
            if found.iter().all(|(other, _)| !other.eq_ignore_ascii_case(name)) {
                found.push((name.to_vec(), value));
            }
        };
        if pattern.iter().any(|byte| b"[*?".contains(byte)) {
            let matching = SETTINGS.iter().filter(|setting| glob::matches(pattern, setting.name.as_bytes(), true));
            matching.for_each(|setting| note(setting.name.as_bytes(), (setting.get)(shared)));
        } else if let Some(setting) = find(pattern) {
            // By the name as it was said.
            note(pattern, (setting.get)(shared));
        }
    }
    Reply::Map(found.into_iter().map(|(name, value)| (Reply::Bulk(name), Reply::bulk(value))).collect()).into()
}

/// All or nothing.
pub(super) fn set(shared: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    let pairs = &args[2..];
    if !pairs.len().is_multiple_of(2) {
        return refuse(SYNTAX);
    }
    let failed =
        |name: &str, why: &str| refuse(format!("CONFIG SET failed (possibly related to argument '{name}') - {why}"));
    let mut settings = Vec::new();
    for (name, value) in pairs.chunks_exact(2).map(|pair| (pair[0], pair[1])) {
        let said = String::from_utf8_lossy(name);
        let Some(setting) = find(name) else {
            return refuse(format!("Unknown option or number of arguments for CONFIG SET - '{said}'"));
        };
        if setting.is_fixed() {
            return failed(&said, "can't set immutable config");
        }
        if settings.iter().any(|(other, _): &(&crate::resp::config::Setting, _)| other.name == setting.name) {
            return failed(&said, "duplicate parameter");
        }
        settings.push((setting, value));
    }
    let mut all = Vec::new();
    for (setting, value) in settings {
        match setting.prepare(shared, value) {
            Ok(apply) => all.push(apply),
            Err(why) => return failed(setting.name, &why),
        }
    }
    all.into_iter().for_each(|apply| apply());
    Reply::OK.into()
}

pub(super) fn resetstat(shared: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    shared.stats.reset();
    Reply::OK.into()
}

pub(super) fn rewrite(_: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    refuse("The server is running without a config file")
}

pub(super) fn help_page(_: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    help(&[
        "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET <pattern> [<pattern> ...]",
        "    Return the settings with such names, and their values.",
        "SET <name> <value> [<name> <value> ...]",
        "    Set settings, all or none.",
        "RESETSTAT",
        "    Begin to count anew what INFO tells.",
        "REWRITE",
        "    Is refused: there is no file of settings.",
    ])
}
