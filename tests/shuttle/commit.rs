//! Group commit: nobody is told before a sync has covered what it wrote, and everybody is told.

use std::io::ErrorKind::Other;
use std::sync::Mutex;

use shuttle::thread;
use streamlog::sim::{Fault, FaultOp, Survival};
use streamlog::{Durability, ErrorKind, Id, Stream};

use crate::witness::Witness;
use crate::{builder, check, open, random_below, token_of};

/// Adds an entry and checks that what was told is true.
fn add_and_look(witness: &Witness, stream: &Stream, token: &str) {
    let id = stream.add(token).unwrap();
    assert!(witness.is_durable(token), "{token} was told to be durable before a sync covered it");
    assert!(stream.get(id).unwrap().is_some(), "{token} cannot be seen by the time its add returned");
    assert!(stream.info().unwrap().last_id >= id);
}

#[test]
fn nobody_is_told_before_a_sync_has_covered_the_record_and_nobody_waits_for_ever() {
    check(|| {
        let witness = Witness::new();
        let (_broker, stream, _) = open(&witness, Durability::Always);
        thread::scope(|scope| {
            for writer in 0..3 {
                let (witness, stream) = (&witness, &stream);
                scope.spawn(move || {
                    for n in 0..2 {
                        add_and_look(witness, stream, &format!("<{writer}.{n}>"));
                    }
                });
            }
        });
    });
}

#[test]
fn one_sync_of_many_streams_is_seen_in_each_before_it_is_told() {
    check(|| {
        let witness = Witness::new();
        let (broker, ..) = open(&witness, Durability::Os);
        thread::scope(|scope| {
            for writer in 0..3 {
                let stream = broker.stream(["orders", "events"][writer % 2]).unwrap();
                let witness = &witness;
                scope.spawn(move || {
                    let weak = format!("<weak.{writer}>");
                    stream.add(&*weak).unwrap();
                    let token = format!("<{writer}>");
                    let id = stream.entry(&*token).durability(Durability::Always).add().unwrap();
                    assert!(witness.is_durable(&token) && witness.is_durable(&weak));
                    assert!(stream.get(id).unwrap().is_some());
                });
            }
            // What waits for nothing of its own makes everything durable that was before.
            scope.spawn(|| {
                let stream = broker.stream("others").unwrap();
                stream.add("<mine>").unwrap();
                broker.sync().unwrap();
                assert!(witness.is_durable("<mine>"));
            });
        });
    });
}

#[test]
fn a_sync_that_fails_reaches_everybody_who_waits_for_it() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream, group) = open(&witness, Durability::Always);
        let journal = Some("journal/".to_owned());
        witness.disk.inject(Fault {
            op: FaultOp::Sync,
            path_contains: journal,
            after: random_below(3),
            times: 1,
            error: Other,
        });
        let told = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| group.consumer("idle").read_new().count(100).block_forever().next());
            let adding: Vec<_> = (0..3)
                .map(|writer| {
                    let (witness, stream, told) = (&witness, &stream, &told);
                    scope.spawn(move || {
                        for n in 0.. {
                            let token = format!("<{writer}.{n}>");
                            match stream.add(&*token) {
                                Ok(id) => {
                                    assert!(witness.is_durable(&token));
                                    told.lock().unwrap().push((id, token));
                                }
                                Err(error) => return error.kind(),
                            }
                        }
                        unreachable!("a sync fails")
                    })
                })
                .collect();
            let kinds: Vec<_> = adding.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert!(kinds.iter().all(|kind| [ErrorKind::Io, ErrorKind::WritesStopped].contains(kind)), "{kinds:?}");
            assert!(kinds.contains(&ErrorKind::Io), "one of them met the failure itself");
            assert_eq!(stream.add("<late>").unwrap_err().kind(), ErrorKind::WritesStopped);
            broker.clone().crash();
            // It got the first entries before the failure, or was told.
            drop(waiting.join().unwrap());
        });
        drop((broker, stream, group));
        there_after_power_loss(&witness, &told.into_inner().unwrap());
    });
}

/// Every entry that was told is there when the power comes back, and the rest is what was asked for, in order.
fn there_after_power_loss(witness: &Witness, told: &[(Id, String)]) {
    witness.disk.clear_faults();
    witness.disk.restart(Survival::Nothing);
    let broker = builder(Durability::Always).open_on(witness.storage()).unwrap();
    let entries = broker.stream("orders").unwrap().range(..).read().unwrap();
    assert!(entries.is_sorted_by(|one, next| one.id < next.id));
    for (id, token) in told {
        let entry = entries.iter().find(|entry| entry.id == *id).unwrap_or_else(|| panic!("{token} is gone"));
        assert_eq!(token_of(entry), *token);
    }
}

#[test]
fn whoever_waits_for_a_sync_when_writing_ends_is_told() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream, _) = open(&witness, Durability::Always);
        let told = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for writer in 0..3 {
                let (stream, told) = (&stream, &told);
                scope.spawn(move || {
                    for n in 0..3 {
                        let token = format!("<{writer}.{n}>");
                        match stream.add(&*token) {
                            Ok(id) => told.lock().unwrap().push((id, token)),
                            Err(error) => return assert_eq!(error.kind(), ErrorKind::Closed),
                        }
                    }
                });
            }
            let broker = broker.clone();
            scope.spawn(move || broker.crash());
        });
        drop((broker, stream));
        there_after_power_loss(&witness, &told.into_inner().unwrap());
    });
}
