//! What reads entries: `XRANGE`, `XREVRANGE`, `XREAD` and `XREADGROUP`.

use std::time::Duration;

use super::mistaken;
use super::take::{Options, count, first, id, idle, int, int_or, invalid, is, last, name, start};
use crate::command::Command;
use crate::command::text::{Family, SYNTAX};
use crate::command::words::{ReadLimits, Wait, XRange, XRead, XReadGroup};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::stream::{GroupStart, StartAt};

pub(super) fn range(args: &[&[u8]], backwards: bool) -> Result<Command> {
    let (first_arg, last_arg) = if backwards { (args[3], args[2]) } else { (args[2], args[3]) };
    let (first, last) = (first(first_arg)?, last(last_arg)?);
    let mut limit = None;
    let mut options = Options::new(&args[4..]);
    while let Some(option) = options.next() {
        limit = Some(count(options.value(option, "COUNT").ok_or_else(|| invalid(SYNTAX))?)?);
    }
    let range = XRange { key: name(args[1])?, first, last, count: limit };
    Ok(if backwards { Command::XRevRange(range) } else { Command::XRange(range) })
}

/// What the options before the streams say.
#[derive(Default)]
struct Said<'a> {
    limits: ReadLimits,
    wait: Wait,
    group: Option<(&'a [u8], &'a [u8])>,
    claim: Option<Duration>,
    no_ack: bool,
    keys: &'a [&'a [u8]],
    from: &'a [&'a [u8]],
}

const DOLLAR: &str = "The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
                      specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.";
const PLUS: &str = "The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
                    specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.";
const GREATER: &str =
    "The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.";

fn not_for_xread(option: &str) -> Error {
    invalid(format!("The {option} option is only supported by XREADGROUP. You called XREAD instead."))
}

fn options<'a>(args: &'a [&'a [u8]], in_group: bool) -> Result<Said<'a>> {
    let mut said = Said::default();
    let mut options = Options::new(&args[1..]);
    loop {
        let Some(option) = options.next() else { return Err(invalid(SYNTAX)) };
        if let Some(ms) = options.value(option, "BLOCK") {
            said.wait = wait(ms)?;
        } else if let Some(number) = options.value(option, "COUNT") {
            said.limits.count = Some(count(number)?).filter(|&count| count > 0);
        } else if let Some(number) = options.value(option, "MAXCOUNT") {
            said.limits.max_count = Some(positive(number, "MAXCOUNT must be > 0")?);
        } else if let Some(bytes) = options.value(option, "MAXSIZE") {
            said.limits.max_size = Some(positive(bytes, "MAXSIZE must be > 0")?);
        } else if is(option, "STREAMS") && !options.rest.is_empty() {
            let (keys, from) = options.rest.split_at(options.rest.len() / 2);
            if keys.len() != from.len() {
                return Err(invalid(unbalanced(in_group)));
            }
            (said.keys, said.from) = (keys, from);
            break;
        } else if let (true, [group, consumer, ..]) = (is(option, "GROUP"), options.rest) {
            if !in_group {
                return Err(not_for_xread("GROUP"));
            }
            said.group = Some((group, consumer));
            options.rest = &options.rest[2..];
        } else if let Some(ms) = options.value(option, "CLAIM") {
            if !in_group {
                return Err(not_for_xread("CLAIM"));
            }
            let ms = int_or(ms, "min-idle-time is not an integer or out of range")?;
            said.claim = Some(idle(
                u64::try_from(ms).map(|_| ms).map_err(|_| invalid("min-idle-time must be a positive integer"))?,
            ));
        } else if is(option, "NOACK") {
            if !in_group {
                return Err(not_for_xread("NOACK"));
            }
            said.no_ack = true;
        } else {
            return Err(invalid(SYNTAX));
        }
    }
    Ok(said)
}

/// No 8.6.3 says this: the words are ours.
fn positive(arg: &[u8], text: &str) -> Result<u64> {
    u64::try_from(int(arg)?).ok().filter(|&number| number > 0).ok_or_else(|| invalid(text))
}

fn unbalanced(in_group: bool) -> &'static str {
    if in_group {
        "Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified."
    } else {
        "Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be specified."
    }
}

/// A longer wait ends at a time that Redis has no number for: 64 years after the epoch there is room for these.
const WAIT_MS_MAX: u64 = i64::MAX as u64 - (1 << 41);

fn wait(arg: &[u8]) -> Result<Wait> {
    let ms = int_or(arg, "timeout is not an integer or out of range")?;
    match u64::try_from(ms) {
        Err(_) => Err(invalid("timeout is negative")),
        Ok(ms) if ms > WAIT_MS_MAX => Err(invalid("timeout is out of range")),
        Ok(0) => Ok(Wait::Forever),
        Ok(ms) => Ok(Wait::AtMost(Duration::from_millis(ms))),
    }
}

pub(super) fn xread(args: &[&[u8]]) -> Result<Command> {
    let said = options(args, false)?;
    let from = |arg: &[u8]| match arg {
        b"+" => Ok(StartAt::Last),
        b">" => Err(invalid(GREATER)),
        _ => start(arg, id),
    };
    let streams = said.keys.iter().zip(said.from).map(|(key, arg)| Ok((name(key)?, from(arg)?)));
    Ok(Command::XRead(XRead { limits: said.limits, wait: said.wait, streams: streams.collect::<Result<_>>()? }))
}

pub(super) fn xreadgroup(args: &[&[u8]]) -> Result<Command> {
    let said = options(args, true)?;
    let (group, consumer) = said.group.ok_or_else(|| invalid("Missing GROUP option for XREADGROUP"))?;
    let (group, consumer) = (name(group)?, name(consumer)?);
    let from = |arg: &[u8]| match arg {
        b">" => Ok(GroupStart::New),
        b"$" => Err(invalid(DOLLAR)),
        b"+" => Err(invalid(PLUS)),
        _ => id(arg).map(|id| match id {
            // What `>` stands for.
            Id::MAX => GroupStart::New,
            id => GroupStart::PendingAfter(id),
        }),
    };
    let mut streams = Vec::new();
    let mut looks = Vec::new();
    for (key, arg) in said.keys.iter().zip(said.from) {
        let key = name(key)?;
        looks.push((key.clone(), Some(group.clone())));
        match from(arg) {
            Ok(from) => streams.push((key, from)),
            Err(error) => return Ok(mistaken(args, Family::ReadGroup, looks, &error)),
        }
    }
    let Said { limits, wait, claim, no_ack, .. } = said;
    Ok(Command::XReadGroup(XReadGroup { group, consumer, limits, wait, claim, no_ack, streams }))
}
