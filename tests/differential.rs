//! Random sequences of commands, right, nearly right and wrong, on our broker and on a real Redis: the same replies and the same
//! errors. Skipped, visibly, where there is no `redis-server`.
//!
//! Debian's Redis is 7.0: what later versions added is not asked for, and what they changed is in [`KNOWN`], [`ENDS`] and `seen`.
//! `STREAMLOG_SEED` repeats a run, `STREAMLOG_SEQUENCES` says how long it is.
#![cfg(unix)]

mod common {
    pub(crate) mod answer;
    pub(crate) mod ask;
    #[allow(dead_code, reason = "one command at a time is the model test's way")]
    pub(crate) mod redis;
}

use std::fmt::Write;

use common::answer::{Answer, ask};
use common::ask::{Command, Random, command};
use common::redis::Redis;
use streamlog::Broker;

/// What is looked at after each sequence.
const LOOKS: &[&str] = &[
    "XINFO STREAM s FULL COUNT 0",
    "XINFO STREAM t",
    "XINFO GROUPS s",
    "XPENDING s g - + 100",
    "XPENDING t g",
    "XRANGE t - +",
    "EXISTS s t u",
];

/// Values of maps that are not compared, and why.
const KNOWN: &[(&str, &str)] = &[
    ("radix-tree-keys", "we have no tree"),
    ("radix-tree-nodes", "we have no tree"),
    ("idle", "time"),
    ("inactive", "time, and since 7.2"),
    ("seen-time", "time"),
    ("active-time", "time, and since 7.2"),
    ("entries-read", "counted in another way since 7.2"),
    ("lag", "counted in another way since 7.2"),
    ("idmp-duration", "since 8.6"),
    ("idmp-maxsize", "since 8.6"),
    ("pids-tracked", "since 8.6"),
    ("iids-tracked", "since 8.6"),
    ("iids-added", "since 8.6"),
    ("iids-duplicates", "since 8.6"),
];

/// What only we say, after which two histories differ, and why.
const ENDS: &[(&str, &str)] = &[
    ("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id", "7.0 takes such an ID"),
    ("ERR the name of a ", "Redis takes any bytes for a name, none included"),
];

/// An answer without what is known to differ: fields of [`KNOWN`], times, IDs made by the clock, the wording of one error.
fn seen(answer: Answer) -> Answer {
    match answer {
        Answer::Text(text) if is_made_by_the_clock(&text) => Answer::Text(b"@".to_vec()),
        // Milliseconds since the epoch.
        Answer::Int(int) if int > 1_000_000_000_000 => Answer::Int(-2),
        // Since 7.4 another text, for `+` and `>`.
        Answer::Error(text) if text.starts_with("ERR Unbalanced ") => Answer::Error("ERR Unbalanced".to_owned()),
        Answer::Array(mut items) => {
            // A pending entry: how long ago it was delivered.
            if let [Answer::Text(_), Answer::Text(_), idle @ Answer::Int(_), Answer::Int(_)] = items.as_mut_slice() {
                *idle = Answer::Null;
            }
            let is_map = matches!(items.first(), Some(Answer::Text(name)) if name == b"name" || name == b"length");
            if !is_map {
                return Answer::Array(items.into_iter().map(seen).collect());
            }
            let pairs = items.chunks(2).filter(|pair| {
                let known = |name: &&str| pair[0] == Answer::Text(name.as_bytes().to_vec());
                !KNOWN.iter().any(|(name, _)| known(name))
            });
            Answer::Array(pairs.flatten().cloned().map(seen).collect())
        }
        other => other,
    }
}

fn is_made_by_the_clock(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits == 13 && text.get(13) == Some(&b'-')
}

/// The first command that is answered in two ways: which, what Redis says, what we say.
fn difference(redis: &mut Redis, commands: &[Command]) -> Option<(Command, Answer, Answer)> {
    let all = commands.iter().cloned().chain(LOOKS.iter().map(|look| command(look)));
    let all: Vec<Command> = [command("FLUSHALL")].into_iter().chain(all).collect();
    let wanted = redis.call_all(&all);
    let broker = Broker::in_memory().unwrap();
    for (asked, want) in all.into_iter().zip(wanted).skip(1) {
        let (want, got) = (seen(want), seen(ask(&broker, &asked)));
        if matches!(&got, Answer::Error(text) if ENDS.iter().any(|(end, _)| text.starts_with(end))) {
            break;
        }
        if want != got {
            return Some((asked, want, got));
        }
    }
    None
}

/// Leaves out one command after the other that the difference does not need.
fn shortest(redis: &mut Redis, mut commands: Vec<Command>) -> Vec<Command> {
    let mut at = commands.len();
    while at > 0 {
        at -= 1;
        let mut fewer = commands.clone();
        fewer.remove(at);
        if difference(redis, &fewer).is_some() {
            commands = fewer;
            at = at.min(commands.len());
        }
    }
    commands
}

fn shown(command: &Command) -> String {
    let words: Vec<String> = command.iter().map(|word| word.escape_ascii().to_string()).collect();
    words.join(" ")
}

/// A run shows so many differences, one of each kind of command.
const SHOWN_MAX: usize = 12;

#[test]
fn random_commands_are_answered_as_redis_answers_them() {
    let Some(mut redis) = Redis::start_or_skip("random_commands_are_answered_as_redis_answers_them") else { return };
    let number = |variable: &str| std::env::var(variable).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("STREAMLOG_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let sequences = number("STREAMLOG_SEQUENCES").unwrap_or(10_000);
    let mut found = Vec::new();
    let mut text = String::new();
    for index in 0..sequences {
        let commands = Random::new(seed ^ index.wrapping_mul(0xd134_2543_de82_ef95)).sequence();
        let Some((asked, ..)) = difference(&mut redis, &commands) else { continue };
        let kind = asked[0].to_ascii_uppercase();
        if found.contains(&kind) {
            continue;
        }
        found.push(kind);
        let commands = shortest(&mut redis, commands);
        let (asked, want, got) = difference(&mut redis, &commands).expect("it differs");
        for command in &commands {
            writeln!(text, "  {}", shown(command)).unwrap();
        }
        writeln!(text, "at {}\n  Redis {want:?}\n  we    {got:?}\n", shown(&asked)).unwrap();
        if found.len() == SHOWN_MAX {
            break;
        }
    }
    assert!(found.is_empty(), "STREAMLOG_SEED={seed}:\n{text}");
}
