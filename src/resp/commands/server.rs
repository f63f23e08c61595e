//! The clock, the disk, and what there is none of: replicas, functions, scripts, slow commands that are noted.

use super::{Answer, NOT_AN_INTEGER, help, integer, is, refuse, wrong_number};
use crate::command::Reply;
use crate::resp::session::Session;
use crate::resp::shared::{Shared, now_micros};

pub(super) fn time(_: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    let micros = now_micros();
    let part = |part: u64| Reply::bulk(part.to_string());
    Reply::Array(vec![part(micros / 1_000_000), part(micros % 1_000_000)]).into()
}

/// Why this is no time to wait for, in milliseconds.
fn bad_timeout(arg: &[u8]) -> Option<Answer> {
    match integer(arg) {
        None => Some(refuse("timeout is not an integer or out of range")),
        Some(ms) if ms < 0 => Some(refuse("timeout is negative")),
        Some(_) => None,
    }
}

/// There are no replicas, so nobody waits for any.
pub(super) fn wait(_: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    if integer(args[1]).is_none() {
        return refuse(NOT_AN_INTEGER);
    }
    bad_timeout(args[2]).unwrap_or_else(|| Reply::Int(0).into())
}

/// Owes everything that was written so far, whatever its durability.
pub(super) fn waitaof(shared: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    if !matches!(integer(args[1]), Some(0 | 1)) {
        let text = "value is out of range, value must between 0 and 1";
        return refuse(if integer(args[1]).is_none() { NOT_AN_INTEGER } else { text });
    } else if integer(args[2]).is_none_or(|replicas| replicas < 0) {
        return refuse("value is out of range, must be positive");
    } else if let Some(refused) = bad_timeout(args[3]) {
        return refused;
    }
    Answer { reply: Reply::Array(vec![Reply::Int(1), Reply::Int(0)]), owed: shared.broker.owed_so_far() }
}

pub(super) fn function_flush(_: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    flush(args, "FUNCTION FLUSH only supports SYNC|ASYNC option")
}

pub(super) fn script_flush(_: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    flush(args, "SCRIPT FLUSH only support SYNC|ASYNC option")
}

fn flush(args: &[&[u8]], mistake: &str) -> Answer {
    match &args[2..] {
        [] => Reply::OK.into(),
        [_, _, ..] if is(args[0], "FUNCTION") => wrong_number(args),
        [how] if is(how, "SYNC") || is(how, "ASYNC") => Reply::OK.into(),
        _ => refuse(mistake),
    }
}

pub(super) fn latency_reset(_: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    Reply::Int(0).into()
}

pub(super) fn slowlog_get(_: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    match &args[2..] {
        [] => Reply::Array(Vec::new()).into(),
        [count] if integer(count).is_some_and(|count| count >= -1) => Reply::Array(Vec::new()).into(),
        [_] => refuse("count should be greater than or equal to -1"),
        _ => wrong_number(args),
    }
}

pub(super) fn slowlog_len(_: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    Reply::Int(0).into()
}

pub(super) fn slowlog_reset(_: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    Reply::OK.into()
}

pub(super) fn function_help(_: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    help(&[
        "FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "FLUSH [ASYNC|SYNC]",
        "    Delete all functions: there are none.",
    ])
}

pub(super) fn script_help(_: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    help(&[
        "SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "FLUSH [ASYNC|SYNC]",
        "    Delete all scripts: there are none.",
    ])
}

pub(super) fn latency_help(_: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    help(&[
        "LATENCY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "RESET [<event> ...]",
        "    Forget latencies: none are noted.",
    ])
}

pub(super) fn slowlog_help(_: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    help(&[
        "SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET [<count>]",
        "    Return slow commands: none are noted.",
        "LEN",
        "    Return how many slow commands are noted: none.",
        "RESET",
        "    Forget slow commands: none are noted.",
    ])
}
