//! The same bytes to a real Redis and to our server, over sockets: the same bytes come back but for what is known. Commands come
//! many at once, in pieces that end anywhere, in both protocols, alone and in transactions. Skipped, visibly, where there is no
//! `redis-server`.

use std::io::{Read, Write};

use crate::Protocol;
use crate::answer::Answer;
use crate::ask::{Command, Random, command};
use crate::compare::{Difference, LOOKS, are_answered_alike};
use crate::known::{ends, seen};
use crate::redis::{Redis, Version};
use crate::server::Server;
use crate::wire::{Wire, request};

#[test]
fn random_commands_are_answered_in_resp2_as_redis_answers_them() {
    over_the_wire("random_commands_are_answered_in_resp2_as_redis_answers_them", Protocol::Resp2, Random::sequence);
}

#[test]
fn random_commands_are_answered_in_resp3_as_redis_answers_them() {
    over_the_wire("random_commands_are_answered_in_resp3_as_redis_answers_them", Protocol::Resp3, Random::sequence);
}

#[test]
fn random_transactions_are_answered_in_resp2_as_redis_answers_them() {
    let test = "random_transactions_are_answered_in_resp2_as_redis_answers_them";
    over_the_wire(test, Protocol::Resp2, Random::transactions);
}

#[test]
fn random_transactions_are_answered_in_resp3_as_redis_answers_them() {
    let test = "random_transactions_are_answered_in_resp3_as_redis_answers_them";
    over_the_wire(test, Protocol::Resp3, Random::transactions);
}

/// How many sequences of each kind.
const SEQUENCES: u64 = 2_000;

fn over_the_wire(test: &str, protocol: Protocol, sequence: impl FnMut(&mut Random) -> Vec<Command>) {
    let Some(redis) = Redis::start_or_skip(test) else { return };
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("data"), "os");
    let version = redis.version;
    let (mut redis, mut ours) = (redis.connect(), server.connect());
    protocol.agree(&mut redis);
    protocol.agree(&mut ours);
    let mut pieces = Random::new(0, version);
    are_answered_alike(version, SEQUENCES, sequence, |commands| {
        difference(&mut redis, &mut ours, commands, &mut pieces, version)
    });
}

fn difference(
    redis: &mut Wire<impl Read + Write>,
    ours: &mut Wire<impl Read + Write>,
    commands: &[Command],
    pieces: &mut Random,
    version: Version,
) -> Option<Difference> {
    // Whatever the last sequence left open.
    let first = ["UNWATCH", "MULTI", "DISCARD", "FLUSHALL"].map(command);
    let all: Vec<Command> = commands.iter().cloned().chain(LOOKS.iter().map(|look| command(look))).collect();
    let bytes: Vec<u8> = first.iter().chain(&all).flat_map(|words| request(words)).collect();
    redis.send(&bytes).unwrap();
    for piece in pieces.pieces(&bytes) {
        ours.send(piece).unwrap();
    }
    let answers = |wire: &mut dyn FnMut() -> Answer| -> Vec<Answer> {
        first.iter().chain(&all).map(|_| wire()).skip(first.len()).collect()
    };
    let wanted = answers(&mut || redis.answer().unwrap());
    let got = answers(&mut || ours.answer().unwrap());
    for ((asked, want), got) in all.into_iter().zip(wanted).zip(got) {
        let (want, got) = (seen(want, version), seen(got, version));
        let (same, end) = compare(&want, &got, version);
        if !same {
            return Some(Difference { asked, want, got });
        }
        if end {
            break;
        }
    }
    None
}

/// Whether two answers are the same, as far as they can be compared; and whether no later ones can be, because two histories differ.
fn compare(want: &Answer, got: &Answer, version: Version) -> (bool, bool) {
    let ends = |answer: &Answer| ends(answer, version);
    match (want, got) {
        (Answer::Array(wants), Answer::Array(gots)) if gots.iter().any(ends) => {
            let end = gots.iter().position(ends).unwrap();
            (wants.len() == gots.len() && wants[..end] == gots[..end], true)
        }
        (want, got) => (ends(got) || want == got, ends(got)),
    }
}
