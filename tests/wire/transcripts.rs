//! What was recorded of Redis 8.6.3 is asked over the wire: in RESP2 it is answered word for word, and in RESP3 with maps where RESP3
//! has maps.

use std::thread;
use std::time::Duration;

use crate::Protocol;
use crate::answer::Answer;
use crate::recorded::{Exchange, Sequence, every_answer_is_that_of_redis};
use crate::server::Server;
use crate::wire::request;

#[test]
fn every_recorded_sequence_is_answered_in_resp2_as_redis_8_6_did() {
    over_the_wire(Protocol::Resp2);
}

#[test]
fn every_recorded_sequence_is_answered_in_resp3_as_redis_8_6_did() {
    over_the_wire(Protocol::Resp3);
}

/// Each sequence in as few writes as there are IDs made by the clock.
fn over_the_wire(protocol: Protocol) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("data"), "os");
    let mut wire = server.connect();
    protocol.agree(&mut wire);
    every_answer_is_that_of_redis(|Sequence { exchanges, .. }| {
        assert_eq!(wire.call(&["FLUSHALL"]), Answer::Status("OK".to_owned()));
        let mut answers = Vec::new();
        for run in exchanges.split_inclusive(Exchange::makes_an_id_by_the_clock) {
            let bytes: Vec<u8> = run.iter().flat_map(|exchange| request(&exchange.args)).collect();
            wire.send(&bytes).unwrap();
            answers.extend(run.iter().map(|exchange| {
                let answer = wire.answer().unwrap();
                match protocol {
                    Protocol::Resp2 => answer,
                    Protocol::Resp3 => as_resp2(&exchange.args[0], answer),
                }
            }));
            if run.last().is_some_and(Exchange::makes_an_id_by_the_clock) {
                thread::sleep(Duration::from_millis(2));
            }
        }
        answers
    });
}

/// The answer to a command, as RESP2 would have it. Only those that have maps in RESP3 may have them, and those that do must.
fn as_resp2(command: &str, answer: Answer) -> Answer {
    match (command.to_ascii_uppercase().as_str(), answer) {
        ("XREAD" | "XREADGROUP", Answer::Map(streams)) => {
            Answer::Array(streams.into_iter().map(|(name, entries)| Answer::Array(vec![name, entries])).collect())
        }
        ("XREAD" | "XREADGROUP", array @ Answer::Array(_)) => panic!("{command} answers {array:?}, which is no map"),
        ("XINFO", answer) => without_maps(answer),
        (_, other) => other,
    }
}

/// Of `XINFO`: what begins with a name has names and values, and is a map.
fn without_maps(answer: Answer) -> Answer {
    match answer {
        Answer::Map(pairs) => {
            Answer::Array(pairs.into_iter().flat_map(|(name, value)| [name, without_maps(value)]).collect())
        }
        Answer::Array(items) => {
            let names = [&b"name"[..], b"length"];
            let is_flat = matches!(items.first(), Some(Answer::Text(name)) if names.contains(&name.as_slice()));
            assert!(!is_flat, "{items:?} is no map");
            Answer::Array(items.into_iter().map(without_maps).collect())
        }
        other => other,
    }
}
