//! What is about streams as a whole, and about which there are.

use super::take::{Options, id_number, int, invalid, is, name};
use crate::command::text::{NOT_AN_INTEGER, SYNTAX};
use crate::command::{Command, Flush, Scan};
use crate::error::Result;

/// `COPY source destination [DB n] [REPLACE]`: there is one database, with the number 0.
pub(super) fn copy(args: &[&[u8]]) -> Result<Command> {
    let mut replace = false;
    let mut options = Options::new(&args[3..]);
    while let Some(option) = options.next() {
        if is(option, "REPLACE") {
            replace = true;
        } else if let Some(number) = options.value(option, "DB") {
            let number = int(number)?;
            if i32::try_from(number).is_err() {
                return Err(invalid(NOT_AN_INTEGER));
            } else if number != 0 {
                return Err(invalid("DB index is out of range"));
            }
        } else {
            return Err(invalid(SYNTAX));
        }
    }
    let (source, destination) = (name(args[1])?, name(args[2])?);
    if source == destination {
        return Err(invalid("source and destination objects are the same"));
    }
    Ok(Command::Copy { source, destination, replace })
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`.
pub(super) fn scan(args: &[&[u8]]) -> Result<Command> {
    let cursor = id_number(args[1]).ok_or_else(|| invalid("invalid cursor"))?;
    let mut scan = Scan { cursor, pattern: None, count: None, of_type: None };
    let mut options = Options::new(&args[2..]);
    while let Some(option) = options.next() {
        if let Some(count) = options.value(option, "COUNT") {
            let count = u64::try_from(int(count)?).unwrap_or(0);
            if count == 0 {
                return Err(invalid(SYNTAX));
            }
            scan.count = Some(count);
        } else if let Some(pattern) = options.value(option, "MATCH") {
            scan.pattern = Some(pattern.to_vec());
        } else if let Some(of_type) = options.value(option, "TYPE") {
            scan.of_type = Some(of_type.to_vec());
        } else if is(option, "NOVALUES") {
            return Err(invalid("NOVALUES option can only be used in HSCAN"));
        } else {
            return Err(invalid(SYNTAX));
        }
    }
    Ok(Command::Scan(scan))
}

/// `FLUSHALL [ASYNC | SYNC]`.
pub(super) fn flush(args: &[&[u8]]) -> Result<Flush> {
    match args[1..] {
        [] => Ok(Flush::Unsaid),
        [word] if is(word, "SYNC") => Ok(Flush::Sync),
        [word] if is(word, "ASYNC") => Ok(Flush::Async),
        _ => Err(invalid(SYNTAX)),
    }
}
