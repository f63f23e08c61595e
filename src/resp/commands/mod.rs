//! The table of commands: which there are, how many arguments they take, and who runs them.
//!
//! `spec` is what is said of one; `rows` are all of them; each other file runs a family of the server's own. Knows no bytes of the
//! protocol, and no connection but by its [`Session`].

mod client;
mod command;
mod config;
mod connection;
mod info;
mod rows;
mod server;
mod spec;
mod syntax;

use std::sync::LazyLock;

pub(crate) use self::spec::{Flags, Spec};
use super::session::Session;
use super::shared::Shared;
use crate::command::{Reply, unknown_command};
use crate::stream::owed::Owed;

/// What a command answered, and what must be durable before the client is told.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) owed: Owed,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Answer {
        Answer { reply, owed: Owed::NOTHING }
    }
}

/// A command of the server's own: its arguments, the name first, are as many as its arity says.
pub(crate) type Run = fn(&Shared, &mut Session, &[&[u8]]) -> Answer;

/// Who runs a command.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// The broker, as [`Command::parse`](crate::command::Command::parse) reads it.
    Stream,
    /// The server, at once.
    Server(Run),
    /// The connection itself.
    Control(Control),
    /// Nobody: it has subcommands, and [`look_up`] gives those.
    Container,
}

/// What a connection does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
}

/// How many bytes of what it was given Redis repeats in an error.
const REPEATED_MAX: usize = 128;

/// Why there is nothing to run: no such command, or not with so many arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The command, where there is one: what [`Stats::note_rejected`](super::stats::Stats::note_rejected) counts.
    pub(crate) spec: Option<&'static Spec>,
    /// The error, its prefix first.
    pub(crate) text: String,
}

/// The command that these arguments are of, the name first, or the subcommand; they are as many as it takes.
///
/// # Errors
///
/// Redis's words for a command or subcommand that is not known, or not with so many arguments.
pub(crate) fn look_up(args: &[&[u8]]) -> Result<&'static Spec, Refused> {
    let spec =
        args.first().and_then(|name| find(name)).ok_or_else(|| Refused { spec: None, text: unknown_command(args) })?;
    let spec = match args.get(1) {
        Some(word) if !spec.subcommands.is_empty() => spec.subcommand(word).ok_or_else(|| {
            let (word, container) = (shown(word, REPEATED_MAX), spec.name.to_uppercase());
            Refused { spec: None, text: format!("ERR unknown subcommand '{word}'. Try {container} HELP.") }
        })?,
        _ => spec,
    };
    if spec.takes(args.len()) {
        Ok(spec)
    } else {
        let text = format!("ERR wrong number of arguments for '{}' command", spec.name);
        Err(Refused { spec: Some(spec), text })
    }
}

/// What answers a command that its arguments make no sense of, in Redis's words without `ERR`.
fn refuse(text: impl std::fmt::Display) -> Answer {
    Reply::Error(format!("ERR {text}")).into()
}

const SYNTAX: &str = "syntax error";
const NOT_AN_INTEGER: &str = "value is not an integer or out of range";

/// Whether an argument is this word, in whatever case.
fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// A number as Redis reads it: no plus, no spaces, no zeros before it.
pub(super) fn integer(arg: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(arg).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == arg).then_some(number)
}

/// What is said where a subcommand does not take so many arguments, though its arity lets them pass.
fn wrong_number(args: &[&[u8]]) -> Answer {
    let (container, word) = (shown(args[0], REPEATED_MAX).to_uppercase(), shown(args[1], REPEATED_MAX));
    refuse(format!("unknown subcommand or wrong number of arguments for '{word}'. Try {container} HELP."))
}

/// A page of `HELP`: these lines, and those about `HELP` itself.
fn help(lines: &[&'static str]) -> Answer {
    Reply::Array(lines.iter().chain(&["HELP", "    Print this help."]).copied().map(Reply::Status).collect()).into()
}

/// An argument in an error: its first bytes, as far as they are text.
fn shown(arg: &[u8], bytes_max: usize) -> String {
    String::from_utf8_lossy(&arg[..arg.len().min(bytes_max)]).into_owned()
}

/// The command of this name, in whatever case; not a subcommand.
pub(crate) fn find(name: &[u8]) -> Option<&'static Spec> {
    TABLE.find(name)
}

/// All commands, without subcommands, sorted by name.
pub(crate) fn all() -> &'static [Spec] {
    &TABLE.specs
}

/// The command or subcommand with this [row](Spec::row).
pub(crate) fn by_row(row: usize) -> Option<&'static Spec> {
    let specs = all().iter().flat_map(|spec| std::iter::once(spec).chain(&spec.subcommands));
    specs.into_iter().find(|spec| spec.row == row)
}

/// How many [rows](Spec::row) there are, those of subcommands included.
pub(crate) fn rows() -> usize {
    TABLE.rows
}

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(rows::all()));

/// Slots of the table by names: a power of two, and many more than names, so that the first look mostly finds.
const SLOTS: usize = 512;

/// All commands, and where each name's is.
struct Table {
    specs: Vec<Spec>,
    rows: usize,
    slots: Box<[Option<u8>; SLOTS]>,
}

impl Table {
    fn new(mut specs: Vec<Spec>) -> Table {
        specs.sort_unstable_by_key(|spec| spec.name);
        let mut rows = 0;
        for spec in &mut specs {
            for row in std::iter::once(&mut spec.row).chain(spec.subcommands.iter_mut().map(|sub| &mut sub.row)) {
                *row = rows;
                rows += 1;
            }
        }
        let mut slots = Box::new([None; SLOTS]);
        for (at, spec) in specs.iter().enumerate() {
            let mut slot = slot(spec.name.as_bytes());
            while slots[slot].is_some() {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = Some(u8::try_from(at).expect("few commands"));
        }
        Table { specs, rows, slots }
    }

    fn find(&self, name: &[u8]) -> Option<&Spec> {
        let mut slot = slot(name);
        loop {
            let spec = &self.specs[usize::from(self.slots[slot]?)];
            if spec.name.as_bytes().eq_ignore_ascii_case(name) {
                return Some(spec);
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

/// Where to begin to look for a name: by its length, its first two letters and its last two, which few names share.
fn slot(name: &[u8]) -> usize {
    let letter = |at: usize| name.get(at).map_or(0, |byte| usize::from(byte | 0x20));
    let len = name.len();
    let back = |at: usize| letter(len.wrapping_sub(at));
    (len * 31 + letter(0) * 7 + letter(1) * 67 + back(1) * 131 + back(2) * 257) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_no_other() {
        for spec in all() {
            assert!(std::ptr::eq(find(spec.name.as_bytes()).unwrap(), spec));
            assert!(std::ptr::eq(find(spec.name.to_uppercase().as_bytes()).unwrap(), spec));
            assert!(find(format!("{}x", spec.name).as_bytes()).is_none_or(|other| other.name != spec.name));
        }
        for name in [&b""[..], b"x", b"xadd\0", b"nosuch", &[0xff; 1000]] {
            assert!(find(name).is_none());
        }
    }

    #[test]
    fn what_is_not_known_is_repeated_as_redis_does() {
        let refused = |args: &[&str]| {
            let args: Vec<_> = args.iter().map(|arg| arg.as_bytes()).collect();
            look_up(&args).unwrap_err().text
        };
        assert_eq!(refused(&["foo"]), "ERR unknown command 'foo'");
        assert_eq!(refused(&["foo", "a", "b"]), "ERR unknown command 'foo', with args beginning with: 'a' 'b' ");
        assert_eq!(refused(&["XGROUP", "Foo"]), "ERR unknown subcommand 'Foo'. Try XGROUP HELP.");
        assert_eq!(refused(&["xgroup"]), "ERR wrong number of arguments for 'xgroup' command");
        assert_eq!(refused(&["xgroup", "Create"]), "ERR wrong number of arguments for 'xgroup|create' command");
        assert_eq!(refused(&["xlen"]), "ERR wrong number of arguments for 'xlen' command");
    }
}
