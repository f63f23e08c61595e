//! What is about single entries and who has them: `XDEL`, `XDELEX`, `XACK`, `XACKDEL`, `XNACK`, `XPENDING`, `XCLAIM` and
//! `XAUTOCLAIM`.

use std::ops::Bound;

use super::add::references;
use super::mistaken;
use super::take::{Options, count, first, id, idle, ids, int, int_or, invalid, is, last, name};
use crate::command::Command;
use crate::command::text::{COUNT_MUST_BE_GREATER, Family, SYNTAX, shown};
use crate::command::words::{Delivered, NackMode, XAutoClaim, XClaim, XNack, XPendingRange};
use crate::error::Result;
use crate::id::Id;
use crate::trim::References;

pub(super) fn xdel(args: &[&[u8]]) -> Result<Command> {
    let key = name(args[1])?;
    match ids(&args[2..]) {
        Ok(ids) => Ok(Command::XDel { key, ids }),
        Err(error) => Ok(mistaken(args, Family::Entries, vec![(key, None)], &error)),
    }
}

pub(super) fn xack(args: &[&[u8]]) -> Result<Command> {
    let (key, group) = (name(args[1])?, name(args[2])?);
    match ids(&args[3..]) {
        Ok(ids) => Ok(Command::XAck { key, group, ids }),
        Err(error) => Ok(mistaken(args, Family::Entries, vec![(key, Some(group))], &error)),
    }
}

pub(super) fn xdelex(args: &[&[u8]]) -> Result<Command> {
    let (references, given) = references_and_ids(&args[2..])?;
    let key = name(args[1])?;
    match ids(given) {
        Ok(ids) => Ok(Command::XDelEx { key, references, ids }),
        Err(error) => Ok(mistaken(args, Family::EachEntry(given.len()), vec![(key, None)], &error)),
    }
}

pub(super) fn xackdel(args: &[&[u8]]) -> Result<Command> {
    let (references, given) = references_and_ids(&args[3..])?;
    let (key, group) = (name(args[1])?, name(args[2])?);
    match ids(given) {
        Ok(ids) => Ok(Command::XAckDel { key, group, references, ids }),
        Err(error) => Ok(mistaken(args, Family::EachEntry(given.len()), vec![(key, Some(group))], &error)),
    }
}

/// `[KEEPREF|DELREF|ACKED] IDS n id…`, in any order; what is given for IDs is not read yet.
fn references_and_ids<'a>(args: &'a [&'a [u8]]) -> Result<(References, &'a [&'a [u8]])> {
    let (mut said, mut found) = (None, None);
    let mut options = Options::new(args);
    while let Some(option) = options.next() {
        if let Some(references) = references(option).filter(|_| said.is_none()) {
            said = Some(references);
        } else if let Some(number) = options.value(option, "IDS") {
            let number = int(number).ok().and_then(|number| usize::try_from(number).ok()).filter(|&number| number > 0);
            let number = number.ok_or_else(|| invalid("Number of IDs must be a positive integer"))?;
            let text = "The `numids` parameter must match the number of arguments";
            let (given, rest) = options.rest.split_at_checked(number).ok_or_else(|| invalid(text))?;
            found = Some(given);
            options.rest = rest;
        } else {
            return Err(invalid(SYNTAX));
        }
    }
    let found = found.ok_or_else(|| invalid("IDS option is required"))?;
    Ok((said.unwrap_or_default(), found))
}

pub(super) fn xnack(args: &[&[u8]]) -> Result<Command> {
    let (key, group) = (name(args[1])?, name(args[2])?);
    nack(args, &key, &group).or_else(|error| {
        let looks = vec![(key, Some(group))];
        Ok(mistaken(args, Family::Pending, looks, &error))
    })
}

fn nack(args: &[&[u8]], key: &str, group: &str) -> Result<Command> {
    let modes = [("SILENT", NackMode::Silent), ("FAIL", NackMode::Fail), ("FATAL", NackMode::Fatal)];
    let mode = modes.into_iter().find(|(word, _)| is(args[3], word));
    let (_, mode) = mode.ok_or_else(|| invalid("mode must be SILENT, FAIL, or FATAL"))?;
    if !is(args[4], "IDS") {
        return Err(invalid("syntax error, expected IDS keyword"));
    }
    let number = int(args[5]).ok().and_then(|number| usize::try_from(number).ok()).filter(|&number| number > 0);
    let number = number.ok_or_else(|| invalid("numids must be a positive integer"))?;
    let given = args[6..].split_at_checked(number);
    let (given, rest) = given.ok_or_else(|| invalid("number of IDs doesn't match numids"))?;
    let (mut retry_count, mut force) = (None, false);
    let mut options = Options::new(rest);
    while let Some(option) = options.next() {
        if is(option, "FORCE") {
            force = true;
        } else if let Some(count) = options.value(option, "RETRYCOUNT") {
            let text = "Invalid RETRYCOUNT value, must be >= 0";
            retry_count = Some(u64::try_from(int_or(count, text)?).map_err(|_| invalid(text))?);
        } else {
            return Err(invalid(format!("Unrecognized XNACK option '{}'", shown(option, usize::MAX))));
        }
    }
    let (key, group) = (key.to_owned(), group.to_owned());
    Ok(Command::XNack(XNack { key, group, mode, ids: ids(given)?, retry_count, force }))
}

pub(super) fn xpending(args: &[&[u8]]) -> Result<Command> {
    let (key, group) = (args[1], args[2]);
    let (idle_ms, range) = match &args[3..] {
        [] => return Ok(Command::XPending { key: name(key)?, group: name(group)? }),
        rest if rest.len() < 3 || rest.len() > 6 => return Err(invalid(SYNTAX)),
        [option, ms, range @ ..] if is(option, "IDLE") => (int(ms)?, range),
        range => (0, range),
    };
    let [first_arg, last_arg, number, rest @ ..] = range else { return Err(invalid(SYNTAX)) };
    let count = count(number)?;
    let (first, last) = (first(first_arg)?, last(last_arg)?);
    // What comes after the consumer is not looked at.
    let consumer = rest.first().map(|consumer| name(consumer)).transpose()?;
    let (key, group, idle) = (name(key)?, name(group)?, idle(idle_ms));
    Ok(Command::XPendingRange(XPendingRange { key, group, idle, first, last, count, consumer }))
}

pub(super) fn xclaim(args: &[&[u8]]) -> Result<Command> {
    let (key, group) = (name(args[1])?, name(args[2])?);
    claim(args, &key, &group).or_else(|error| {
        let looks = vec![(key, Some(group))];
        Ok(mistaken(args, Family::Pending, looks, &error))
    })
}

fn claim(args: &[&[u8]], key: &str, group: &str) -> Result<Command> {
    let mut claim = XClaim {
        key: key.to_owned(),
        group: group.to_owned(),
        consumer: name(args[3])?,
        min_idle: idle(int_or(args[4], "Invalid min-idle-time argument for XCLAIM")?),
        ids: Vec::new(),
        delivered: None,
        retry_count: None,
        force: false,
        just_ids: false,
        last_id: None,
    };
    let given = args[5..].iter().map_while(|arg| id(arg).ok());
    claim.ids = given.collect();
    let mut options = Options::new(&args[5 + claim.ids.len()..]);
    while let Some(option) = options.next() {
        if is(option, "FORCE") {
            claim.force = true;
        } else if is(option, "JUSTID") {
            claim.just_ids = true;
        } else if let Some(ms) = options.value(option, "IDLE") {
            let ms = int_or(ms, "Invalid IDLE option argument for XCLAIM")?;
            claim.delivered = Some(Delivered::Ago(idle(ms)));
        } else if let Some(ms) = options.value(option, "TIME") {
            let ms = int_or(ms, "Invalid TIME option argument for XCLAIM")?;
            claim.delivered = Some(u64::try_from(ms).map_or(Delivered::Ago(idle(0)), Delivered::AtMs));
        } else if let Some(count) = options.value(option, "RETRYCOUNT") {
            let count = int_or(count, "Invalid RETRYCOUNT option argument for XCLAIM")?;
            claim.retry_count = u64::try_from(count).ok();
        } else if let Some(last) = options.value(option, "LASTID") {
            claim.last_id = Some(id(last)?);
        } else {
            return Err(invalid(format!("Unrecognized XCLAIM option '{}'", shown(option, usize::MAX))));
        }
    }
    Ok(Command::XClaim(claim))
}

pub(super) fn xautoclaim(args: &[&[u8]]) -> Result<Command> {
    let min_idle = idle(int_or(args[4], "Invalid min-idle-time argument for XAUTOCLAIM")?);
    let start = match first(args[5])? {
        Bound::Excluded(id) => id.next().unwrap_or(Id::MAX),
        Bound::Included(id) => id,
        Bound::Unbounded => Id::MIN,
    };
    let (mut limit, mut just_ids) = (100, false);
    let mut options = Options::new(&args[6..]);
    while let Some(option) = options.next() {
        if let Some(number) = options.value(option, "COUNT") {
            let text = COUNT_MUST_BE_GREATER;
            let number = u64::try_from(int_or(number, text)?).ok();
            limit = number.filter(|number| (1..=COUNT_MAX).contains(number)).ok_or_else(|| invalid(text))?;
        } else if is(option, "JUSTID") {
            just_ids = true;
        } else {
            return Err(invalid(SYNTAX));
        }
    }
    let (key, group, consumer) = (name(args[1])?, name(args[2])?, name(args[3])?);
    Ok(Command::XAutoClaim(XAutoClaim { key, group, consumer, min_idle, start, count: limit, just_ids }))
}

/// What Redis can have room for: an ID takes 16 bytes.
const COUNT_MAX: u64 = i64::MAX as u64 / 16;
