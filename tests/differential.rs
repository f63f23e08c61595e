//! Random sequences of commands, right, nearly right and wrong, on our broker and on a real Redis: the same replies and the same
//! errors. Skipped, visibly, where there is no `redis-server`.
//!
//! `STREAMLOG_REDIS_SERVER` names the server; from 8.6 on everything is asked for and compared. Debian's Redis is 7.0: what later
//! versions added is not asked for then, and what they changed is in `common::known`.
//! `STREAMLOG_SEED` repeats a run, `STREAMLOG_SEQUENCES` says how long it is.
#![cfg(unix)]

mod common {
    #[allow(dead_code, reason = "nothing is said in RESP3")]
    pub(crate) mod answer;
    #[allow(dead_code, reason = "no transactions are asked for")]
    pub(crate) mod ask;
    pub(crate) mod compare;
    pub(crate) mod known;
    #[allow(dead_code, reason = "one command at a time is the model test's way")]
    pub(crate) mod redis;
    #[allow(dead_code, reason = "one server, one protocol")]
    pub(crate) mod wire;
}

use common::answer::ask;
use common::ask::{Command, Random, command};
use common::compare::{Difference, LOOKS, are_answered_alike};
use common::known::{ends, seen};
use common::redis::Redis;
use streamlog::Broker;

fn difference(redis: &mut Redis, commands: &[Command]) -> Option<Difference> {
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
            return Some(Difference { asked, want, got });
        }
    }
    None
}

#[test]
fn random_commands_are_answered_as_redis_answers_them() {
    let Some(mut redis) = Redis::start_or_skip("random_commands_are_answered_as_redis_answers_them") else { return };
    are_answered_alike(redis.version, 10_000, Random::sequence, |commands| difference(&mut redis, commands));
}
