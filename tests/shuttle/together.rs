//! Several calls as one: nobody sees some of what they do without the rest, whoever looks when, and no checkpoint has a stream as
//! no record left it.

use shuttle::thread;
use streamlog::command::{Command, Reply};
use streamlog::sim::{SimDisk, Survival};
use streamlog::{Broker, Durability, Id};

use crate::witness::Witness;
use crate::{builder, check, token_of};

fn run(broker: &Broker, words: &str) -> Reply {
    broker.execute(&Command::parse(&words.split(' ').collect::<Vec<_>>()).unwrap()).unwrap()
}

fn all(broker: &Broker, commands: &[&str]) {
    let parse = |words: &&str| Command::parse(&words.split(' ').collect::<Vec<_>>()).unwrap();
    for reply in broker.execute_all(&commands.iter().map(parse).collect::<Vec<_>>()).unwrap() {
        reply.unwrap();
    }
}

fn len(broker: &Broker, name: &str) -> u64 {
    broker.stream(name).unwrap().len().unwrap()
}

/// Each adds to both streams at once, so whoever looks at `a` and then at `b` finds at least as much in `b`, and durable.
#[test]
fn what_is_added_to_two_streams_at_once_is_seen_in_both_at_once() {
    for level in [Durability::Always, Durability::Os] {
        check(move || {
            let witness = Witness::new();
            let broker = builder(level).open_on(witness.storage()).unwrap();
            for name in ["a", "b"] {
                broker.stream(name).unwrap().create().unwrap();
            }
            thread::scope(|scope| {
                let look = scope.spawn(|| {
                    for _ in 0..6 {
                        let (a, b) = (len(&broker, "a"), len(&broker, "b"));
                        assert!(a <= b, "{a} in one, and then {b} in the other");
                        for entry in broker.stream("b").unwrap().range(..).read().unwrap() {
                            let token = token_of(&entry);
                            assert!(
                                level != Durability::Always || witness.is_durable(&token),
                                "{token} is not durable"
                            );
                        }
                    }
                });
                let writers = [0, 1].map(|writer| {
                    let broker = &broker;
                    scope.spawn(move || {
                        all(broker, &[&format!("XADD b * data <b.{writer}>"), &format!("XADD a * data <a.{writer}>")]);
                        assert!(len(broker, "a") >= 1 && len(broker, "b") >= 1, "an add is seen when it returned");
                    })
                });
                // By itself, and first to where more is to be found.
                run(&broker, "XADD b * data <b.x>");
                run(&broker, "XADD a * data <a.x>");
                writers.into_iter().for_each(|writer| writer.join().unwrap());
                look.join().unwrap();
            });
            broker.sync().unwrap();
            assert_eq!((len(&broker, "a"), len(&broker, "b")), (3, 3));
        });
    }
}

/// What is done with an entry (it is acknowledged, and the next one added elsewhere) is seen with its result.
#[test]
fn an_entry_that_moves_on_is_in_one_place_at_every_moment() {
    check(|| {
        let disk = SimDisk::new(1);
        let broker = builder(Durability::Always).open_on(disk.storage()).unwrap();
        run(&broker, "XADD from 1-1 data x");
        run(&broker, "XGROUP CREATE from g 0");
        run(&broker, "XREADGROUP GROUP g w STREAMS from >");
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..4 {
                    let pending =
                        broker.stream("from").unwrap().group("g").existing().unwrap().pending().unwrap().count;
                    let (moved, renamed) = (len(&broker, "to"), broker.stream("other").unwrap().exists());
                    assert!(pending + moved >= 1, "neither here nor there");
                    assert!(moved == 0 || renamed, "one without the other");
                }
            });
            scope.spawn(|| all(&broker, &["XACK from g 1-1", "XADD to 1-1 data x", "COPY from other"]));
            scope.spawn(|| run(&broker, "XADD from 2-1 data y"));
        });
    });
}

/// A checkpoint and a flush come in the middle, and then the machine stops.
#[test]
fn a_checkpoint_in_the_middle_has_all_of_it_or_nothing() {
    check(|| {
        let disk = SimDisk::new(7);
        let broker = builder(Durability::Os).open_on(disk.storage()).unwrap();
        run(&broker, "XADD a 1-1 data x");
        thread::scope(|scope| {
            scope.spawn(|| {
                all(&broker, &["XADD a 1-2 data x", "RENAME a c", "XADD b 1-1 data x", "XTRIM c MAXLEN 1", "COPY c d"]);
            });
            scope.spawn(|| {
                broker.flush_all().unwrap();
                broker.checkpoint().unwrap();
            });
        });
        broker.crash();
        disk.restart(Survival::Nothing);
        let broker = builder(Durability::Os).open_on(disk.storage()).unwrap();
        let ids = |name: &str| -> Vec<Id> {
            broker.stream(name).unwrap().range(..).read().unwrap().iter().map(|entry| entry.id).collect()
        };
        match broker.streams().unwrap().iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => {}
            ["a"] => assert_eq!(ids("a"), [Id::new(1, 1)]),
            ["b", "c", "d"] => {
                assert_eq!(
                    (ids("b"), ids("c"), ids("d")),
                    (vec![Id::new(1, 1)], vec![Id::new(1, 2)], vec![Id::new(1, 2)])
                );
            }
            ref other => panic!("{other:?}"),
        }
    });
}

/// Who waits finds what there is when all is done; what was added and deleted again is not there for anybody.
#[test]
fn those_who_wait_are_served_when_all_is_done() {
    check(|| {
        let broker = builder(Durability::Always).open_on(SimDisk::new(1).storage()).unwrap();
        run(&broker, "XGROUP CREATE a g $ MKSTREAM");
        thread::scope(|scope| {
            let reads = ["XREADGROUP GROUP g w BLOCK 0 STREAMS a >", "XREAD BLOCK 0 STREAMS b 0-0"];
            let waits = reads.map(|words| {
                let broker = &broker;
                scope.spawn(move || format!("{:?}", run(broker, words)))
            });
            all(&broker, &["XADD a 1-1 data x", "XDEL a 1-1", "XADD b 1-1 data x", "DEL b"]);
            all(&broker, &["XADD b 5-5 data x", "XADD a 1-2 data x", "XADD a 1-3 data x"]);
            for (wait, ids) in waits.into_iter().zip([&["1-2", "1-3"][..], &["5-5"]]) {
                let got = wait.join().unwrap();
                for id in ["1-1", "1-2", "1-3", "5-5"] {
                    let bytes = format!("{:?}", id.as_bytes());
                    assert_eq!(got.contains(&bytes), ids.contains(&id), "{id} in {got}");
                }
            }
        });
    });
}

#[test]
fn whoever_does_several_looks_as_one_sees_one_moment() {
    check(|| {
        let broker = builder(Durability::Always).open_on(SimDisk::new(1).storage()).unwrap();
        for name in ["a", "b"] {
            broker.stream(name).unwrap().create().unwrap();
        }
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| all(&broker, &["XADD b * data x", "XADD a * data x"]));
            }
            scope.spawn(|| run(&broker, "XADD c * data x"));
            for _ in 0..3 {
                let looks =
                    ["XLEN a", "XLEN b"].map(|words| Command::parse(&words.split(' ').collect::<Vec<_>>()).unwrap());
                let seen: Vec<_> = broker.execute_all(&looks).unwrap().into_iter().map(Result::unwrap).collect();
                assert_eq!(seen[0], seen[1]);
            }
        });
    });
}
