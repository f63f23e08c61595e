//! Random sequences of commands, right, nearly right and wrong, on our broker and on a real Redis: the same replies and the same
//! errors. Skipped, visibly, where there is no `redis-server`.
//!
//! `STREAMLOG_REDIS_SERVER` names the server; from 8.6 on everything is asked for and compared. Debian's Redis is 7.0: what later
//! versions added is not asked for then, and what they changed is in `common::known`.
//! `STREAMLOG_SEED` repeats a run, `STREAMLOG_SEQUENCES` says how long it is.
#![cfg(unix)]

mod common {
    pub(crate) mod answer;
    pub(crate) mod ask;
    pub(crate) mod known;
    #[allow(dead_code, reason = "one command at a time is the model test's way")]
    pub(crate) mod redis;
}

use std::fmt::Write;

use common::answer::{Answer, ask};
use common::ask::{Command, Random, command};
use common::known::{ends, seen};
use common::redis::Redis;
use streamlog::Broker;

/// What is looked at after each sequence.
const LOOKS: &[&str] = &[
    "XINFO STREAM s FULL COUNT 0",
    "XINFO STREAM t",
    "XINFO GROUPS s",
    "XINFO CONSUMERS s g",
    "XPENDING s g - + 100",
    "XPENDING t g",
    "XRANGE t - +",
    "EXISTS s t u",
];

/// The first command that is answered in two ways: which, what Redis says, what we say.
fn difference(redis: &mut Redis, commands: &[Command]) -> Option<(Command, Answer, Answer)> {
    let all = commands.iter().cloned().chain(LOOKS.iter().map(|look| command(look)));
    let all: Vec<Command> = [command("FLUSHALL")].into_iter().chain(all).collect();
    let wanted = redis.call_all(&all);
    let broker = Broker::in_memory().unwrap();
    for (asked, want) in all.into_iter().zip(wanted).skip(1) {
        let (want, got) = (seen(want, redis.version), seen(ask(&broker, &asked), redis.version));
        if ends(&got, redis.version) {
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
        let commands = Random::new(seed ^ index.wrapping_mul(0xd134_2543_de82_ef95), redis.version).sequence();
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
