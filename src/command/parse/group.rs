//! What is about groups and settings: `XGROUP`, `XINFO STREAM`, `XSETID` and `XCFGSET`.

use super::mistaken;
use super::take::{Options, id, id_or_end, int, invalid, is, name, start};
use crate::command::Command;
use crate::command::text::{Family, SYNTAX, shown};
use crate::command::words::{XCfgSet, XGroupCreate, XGroupSetId, XSetId};
use crate::error::{Error, ErrorKind, Result};
use crate::idempotency::Idempotency;

/// What Redis says of options after a subcommand that it does not know.
fn wrong_subcommand(args: &[&[u8]], container: &str) -> Error {
    let word = shown(args[1], super::REPEATED_MAX);
    invalid(format!("unknown subcommand or wrong number of arguments for '{word}'. Try {container} HELP."))
}

/// `[MKSTREAM] [ENTRIESREAD n]`, the former not with `SETID`.
fn group_options(args: &[&[u8]], create: bool) -> Result<(bool, Option<u64>)> {
    let (mut make_stream, mut entries_read) = (false, None);
    let mut options = Options::new(&args[5..]);
    while let Some(option) = options.next() {
        if create && is(option, "MKSTREAM") {
            make_stream = true;
        } else if let Some(number) = options.value(option, "ENTRIESREAD") {
            entries_read = match int(number)? {
                -1 => None,
                number => {
                    let text = "value for ENTRIESREAD must be positive or -1";
                    Some(u64::try_from(number).map_err(|_| invalid(text))?)
                }
            };
        } else {
            return Err(wrong_subcommand(args, "XGROUP"));
        }
    }
    Ok((make_stream, entries_read))
}

/// As many arguments as `XGROUP CREATE` and `XGROUP SETID` have at most; more are options said twice.
const CREATE_ARGS_MAX: usize = 8;
const SETID_ARGS_MAX: usize = 7;

pub(super) fn create(args: &[&[u8]]) -> Result<Command> {
    let (make_stream, entries_read) = group_options(args, true)?;
    let (key, group) = (name(args[2])?, name(args[3])?);
    let few = args.len() <= CREATE_ARGS_MAX;
    match if few { start(args[4], id) } else { Err(wrong_subcommand(args, "XGROUP")) } {
        Ok(start) => Ok(Command::XGroupCreate(XGroupCreate { key, group, start, make_stream, entries_read })),
        Err(error) => {
            let looks = if make_stream { Vec::new() } else { vec![(key, None)] };
            Ok(mistaken(args, Family::Group, looks, &error))
        }
    }
}

pub(super) fn set_id(args: &[&[u8]]) -> Result<Command> {
    let (_, entries_read) = group_options(args, false)?;
    let (key, group) = (name(args[2])?, name(args[3])?);
    let few = args.len() <= SETID_ARGS_MAX;
    match if few { start(args[4], |arg| id_or_end(arg, 0)) } else { Err(wrong_subcommand(args, "XGROUP")) } {
        Ok(to) => Ok(Command::XGroupSetId(XGroupSetId { key, group, to, entries_read })),
        Err(error) => Ok(mistaken(args, Family::Group, vec![(key, Some(group))], &error)),
    }
}

pub(super) fn info_stream(args: &[&[u8]]) -> Result<Command> {
    let key = name(args[2])?;
    let number = match &args[3..] {
        [] => return Ok(Command::XInfoStream { key }),
        [full] if is(full, "FULL") => Ok(10),
        // A negative one is as if none was said.
        [full, word, number] if is(full, "FULL") && is(word, "COUNT") => {
            int(number).map(|number| u64::try_from(number).unwrap_or(10))
        }
        _ => Err(wrong_subcommand(args, "XINFO")),
    };
    match number {
        Ok(count) => Ok(Command::XInfoStreamFull { key, count }),
        Err(error) => Ok(mistaken(args, Family::Info, vec![(key, None)], &error)),
    }
}

pub(super) fn xsetid(args: &[&[u8]]) -> Result<Command> {
    let last_id = id(args[2])?;
    let (mut entries_added, mut max_deleted_id) = (None, None);
    let mut options = Options::new(&args[3..]);
    while let Some(option) = options.next() {
        if let Some(number) = options.value(option, "ENTRIESADDED") {
            let text = "entries_added must be positive";
            entries_added = Some(u64::try_from(int(number)?).map_err(|_| invalid(text))?);
        } else if let Some(deleted) = options.value(option, "MAXDELETEDID") {
            let deleted = id(deleted)?;
            if last_id < deleted {
                let text = "The ID specified in XSETID is smaller than the provided max_deleted_entry_id";
                return Err(Error::new(ErrorKind::IdTooSmall, text));
            }
            max_deleted_id = Some(deleted);
        } else {
            return Err(invalid(SYNTAX));
        }
    }
    Ok(Command::XSetId(XSetId { key: name(args[1])?, last_id, entries_added, max_deleted_id }))
}

pub(super) fn xcfgset(args: &[&[u8]]) -> Result<Command> {
    let key = name(args[1])?;
    settings(args, &key).or_else(|error| Ok(mistaken(args, Family::Info, vec![(key, None)], &error)))
}

fn settings(args: &[&[u8]], key: &str) -> Result<Command> {
    let (mut seconds, mut ids) = (None, None);
    let mut options = Options::new(&args[2..]);
    while let Some(option) = options.next() {
        let number = |arg: &[u8]| int(arg).map(|number| u32::try_from(number).unwrap_or(0));
        if let Some(arg) = options.value(option, "IDMP-DURATION") {
            if seconds.is_some() {
                return Err(invalid("IDMP-DURATION specified multiple times"));
            }
            let number = number(arg)?;
            Idempotency::default().seconds(number)?;
            seconds = Some(number);
        } else if let Some(arg) = options.value(option, "IDMP-MAXSIZE") {
            if ids.is_some() {
                return Err(invalid("IDMP-MAXSIZE specified multiple times"));
            }
            let number = number(arg)?;
            Idempotency::default().ids(number)?;
            ids = Some(number);
        } else {
            return Err(invalid(SYNTAX));
        }
    }
    if seconds.is_none() && ids.is_none() {
        return Err(invalid("At least one parameter must be specified"));
    }
    Ok(Command::XCfgSet(XCfgSet { key: key.to_owned(), seconds, ids }))
}

pub(super) fn xidmprecord(args: &[&[u8]]) -> Result<Command> {
    let entry = id(args[4])?;
    let (producer, add) = (args[2].to_vec(), args[3].to_vec());
    if producer.is_empty() {
        return Err(invalid("producer ID must be non-empty"));
    }
    if add.is_empty() {
        return Err(invalid("idempotent ID must be non-empty"));
    }
    Ok(Command::XIdmpRecord { key: name(args[1])?, producer, id: add, entry })
}
