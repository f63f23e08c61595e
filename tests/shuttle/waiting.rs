//! The queue of those who wait: first come, first served; nobody is forgotten, and who gives up takes nothing along.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shuttle::thread::{self, Scope, ScopedJoinHandle};
use streamlog::{
    Broker, Clock, Durability, Error, ErrorKind, Group, Id, ManualClock, Messages, Result, StartAt, Stream,
};

use crate::witness::Witness;
use crate::{builder, check, id, open, random_below};

/// Starts a blocking read of new entries; returns once it waits behind those who do already.
fn waiter<'scope>(
    scope: &'scope Scope<'scope, '_>,
    group: &Group,
    name: &str,
) -> ScopedJoinHandle<'scope, Result<Messages>> {
    let before = group.stream().waiting();
    let consumer = group.consumer(name);
    let waiter = scope.spawn(move || consumer.read_new().block_forever().next());
    until_waiting(group.stream(), before + 1);
    waiter
}

fn until_waiting(stream: &Stream, calls: usize) {
    while stream.waiting() < calls {
        thread::yield_now();
    }
}

fn kind<T>(waiter: ScopedJoinHandle<'_, Result<T>>) -> Option<ErrorKind> {
    waiter.join().unwrap().err().map(|error: Error| error.kind())
}

#[test]
fn who_came_first_gets_first_however_the_entries_come() {
    check(|| {
        let witness = Witness::new();
        let (_broker, stream, group) = open(&witness, Durability::Always);
        thread::scope(|scope| {
            let waiting = ["a", "b", "c"].map(|name| waiter(scope, &group, name));
            // One who does not wait does not get what is the others'.
            let late = scope.spawn(|| group.consumer("late").read_new().count(10).next().unwrap().len());
            for level in [Durability::Always, Durability::Os] {
                let stream = &stream;
                scope.spawn(move || stream.entry("<one>").durability(level).add().unwrap());
            }
            stream.add("<one>").unwrap();
            let got = waiting.map(|waiter| waiter.join().unwrap().unwrap().ids());
            assert_eq!(got, [vec![id(0)], vec![id(1)], vec![id(2)]]);
            assert_eq!(late.join().unwrap(), 0);
        });
        assert_eq!(stream.waiting(), 0);
    });
}

#[test]
fn every_entry_goes_to_exactly_one_and_nobody_who_could_have_one_sleeps() {
    check(|| {
        let witness = Witness::new();
        let (_broker, stream, group) = open(&witness, Durability::Always);
        let delivered = Mutex::new(BTreeSet::new());
        thread::scope(|scope| {
            for (name, count) in [("a", 1), ("b", 2), ("c", 3)] {
                let (group, delivered) = (&group, &delivered);
                scope.spawn(move || {
                    let consumer = group.consumer(name);
                    // Together they take twelve at most, and twelve come.
                    for _ in 0..2 {
                        let messages = consumer.fetch().count(count).block_forever().next().unwrap();
                        assert!(!messages.is_empty());
                        for message in &messages {
                            assert!(delivered.lock().unwrap().insert(message.id()), "{} went twice", message.id());
                            assert_eq!(message.deliveries(), 1);
                        }
                        assert_eq!(messages.ack_all().unwrap(), messages.len() as u64);
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..4 {
                    stream.add_batch(["<x>", "<y>"]).unwrap();
                }
            });
            scope.spawn(|| {
                for _ in 0..4 {
                    stream.entry("<z>").durability(Durability::Os).add().unwrap();
                }
            });
        });
        let left = group.consumer("rest").read_new().count(100).next().unwrap();
        let mut all = delivered.into_inner().unwrap();
        all.extend(left.ids());
        assert_eq!(all, (0..12).map(id).collect());
        assert_eq!(stream.waiting(), 0);
    });
}

/// Each look at it may be an hour later than the last one.
#[derive(Debug, Default)]
struct Jumping {
    hours: AtomicU64,
}

impl Clock for Jumping {
    fn now_ms(&self) -> u64 {
        1
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(3600) * (self.hours.fetch_add(random_below(2), Ordering::Relaxed) as u32)
    }
}

pub(crate) fn with_jumping_clock(witness: &Witness) -> (Broker, Stream, Group) {
    let broker = builder(Durability::Always).clock(Jumping::default()).open_on(witness.storage()).unwrap();
    let stream = broker.stream("orders").unwrap();
    let group = stream.group("billing").from_start().create().unwrap();
    (broker, stream, group)
}

#[test]
fn who_gives_up_takes_nothing_along_and_the_next_is_told() {
    check(|| {
        let witness = Witness::new();
        let (_broker, stream, group) = with_jumping_clock(&witness);
        thread::scope(|scope| {
            let impatient: Vec<_> = ["a", "b"]
                .iter()
                .map(|name| {
                    let consumer = group.consumer(name);
                    scope.spawn(move || consumer.read_new().block(Duration::from_secs(1)).next().unwrap().ids())
                })
                .collect();
            let patient = scope.spawn(|| group.consumer("c").read_new().block_forever().next().unwrap().ids());
            stream.add("<first>").unwrap();
            let mut got: Vec<Id> = impatient.into_iter().flat_map(|waiter| waiter.join().unwrap()).collect();
            // Without this one the patient waits only if the first went to another.
            if !got.is_empty() {
                stream.add("<second>").unwrap();
            }
            got.extend(patient.join().unwrap());
            got.sort_unstable();
            assert_eq!(got, (0..got.len() as u64).map(id).collect::<Vec<_>>());
        });
        assert_eq!(stream.waiting(), 0);
        let pending = group.pending_range(..).read().unwrap();
        assert!(pending.iter().all(|entry| entry.deliveries == 1));
        assert_eq!(pending.len() as u64, stream.len().unwrap(), "each went to one, and none is left");
    });
}

#[test]
fn plain_readers_are_all_woken_by_every_entry() {
    check(|| {
        let witness = Witness::new();
        let (_broker, stream, _) = open(&witness, Durability::Always);
        thread::scope(|scope| {
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let first = stream.read(StartAt::Start).count(1).block_forever().next().unwrap();
                        let second = stream.read(first[0].id).block_forever().next().unwrap();
                        (first[0].id, second[0].id)
                    })
                })
                .collect();
            stream.add("<first>").unwrap();
            stream.add("<second>").unwrap();
            readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), (id(0), id(1))));
        });
    });
}

#[test]
fn a_close_wakes_everybody_and_what_was_told_is_there_afterwards() {
    check(|| {
        let witness = Witness::new();
        // With its threads: closing ends them.
        let broker = builder(Durability::Always).background(true).open_on(witness.storage()).unwrap();
        let stream = broker.stream("orders").unwrap();
        let group = stream.group("billing").create().unwrap();
        let told = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let first = scope.spawn(|| group.consumer("a").read_new().block_forever().next());
            let second = scope.spawn(|| group.consumer("b").fetch().block_forever().next());
            let plain = scope.spawn(|| stream.read(Id::new(9, 9)).block_forever().next());
            let adding = scope.spawn(|| match stream.add("<one>") {
                Ok(id) => told.lock().unwrap().push(id),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
            });
            // Not here: the end of a scope's last thread wakes whoever opened the scope, whatever else that one waits for.
            scope.spawn(|| broker.clone().close().unwrap()).join().unwrap();
            adding.join().unwrap();
            let got = [kind(first), kind(second)];
            // The one entry may have gone to one of them before.
            assert!(got.iter().filter(|kind| **kind == Some(ErrorKind::Closed)).count() >= 1, "{got:?}");
            assert!(got.iter().all(|kind| matches!(kind, None | Some(ErrorKind::Closed))), "{got:?}");
            assert_eq!(kind(plain), Some(ErrorKind::Closed));
        });
        let again = builder(Durability::Always).open_on(witness.storage()).unwrap();
        let entries = again.stream("orders").unwrap().range(..).read().unwrap();
        for id in told.into_inner().unwrap() {
            assert!(entries.iter().any(|entry| entry.id == id), "{id} is gone");
        }
    });
}

/// The story: a reader found the broker open, and looked at the stream when the close had already woken those who
/// waited. It saw no entry and no news since its look, and slept for ever.
#[test]
fn a_reader_who_looks_while_the_broker_is_closed_is_told() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream, _) = open(&witness, Durability::Always);
        thread::scope(|scope| {
            let plain = scope.spawn(|| stream.read(StartAt::Start).block_forever().next());
            scope.spawn(|| broker.clone().close().unwrap());
            assert_eq!(kind(plain), Some(ErrorKind::Closed));
        });
    });
}

#[test]
fn whoever_waits_in_what_is_deleted_is_told_and_nobody_waits_in_what_is_gone() {
    check(|| {
        let witness = Witness::new();
        let (_broker, stream, group) = open(&witness, Durability::Always);
        let audit = stream.group("audit").create().unwrap();
        let destroyed = random_below(2) == 0;
        thread::scope(|scope| {
            let waiting = ["a", "b"].map(|name| {
                let consumer = group.consumer(name);
                scope.spawn(move || consumer.read_new().block_forever().next())
            });
            let other = scope.spawn(|| audit.consumer("c").read_new().block_forever().next());
            if destroyed {
                assert!(group.destroy().unwrap());
                stream.group("billing").create().unwrap();
                stream.add("<one>").unwrap();
            } else {
                assert!(stream.delete_stream().unwrap());
                stream.group("billing").create().unwrap();
            }
            // Who came late is in the new group.
            for waiter in waiting {
                while !waiter.is_finished() {
                    stream.add("<more>").unwrap();
                    thread::yield_now();
                }
                assert!(matches!(kind(waiter), None | Some(ErrorKind::NoSuchGroup)));
            }
            let other = other.join().unwrap();
            assert_eq!(other.is_ok(), destroyed, "only its own group's end ends a wait: {other:?}");
        });
    });
}

#[test]
fn of_many_who_claim_what_has_been_idle_one_gets_it() {
    check(|| {
        let witness = Witness::new();
        let clock = ManualClock::at(1);
        let broker = builder(Durability::Always).clock(clock.clone()).open_on(witness.storage()).unwrap();
        let stream = broker.stream("orders").unwrap();
        let group = stream.group("billing").from_start().create().unwrap();
        stream.add_batch(["<one>", "<two>"]).unwrap();
        assert_eq!(group.consumer("dead").read_new().count(2).next().unwrap().len(), 2);
        let idle = Duration::from_secs(10);
        clock.advance(idle);
        let claimed = Mutex::new(BTreeSet::new());
        thread::scope(|scope| {
            for name in ["a", "b", "c"] {
                let (group, claimed) = (&group, &claimed);
                scope.spawn(move || {
                    let consumer = group.consumer(name);
                    let messages = match name {
                        "a" => consumer.auto_claim(idle).run().unwrap().messages,
                        "b" => consumer.claim(&[id(0), id(1)]).min_idle(idle).run().unwrap(),
                        _ => consumer.fetch().count(2).claim_idle(idle).next().unwrap(),
                    };
                    for message in &messages {
                        assert!(claimed.lock().unwrap().insert(message.id()), "{} was claimed twice", message.id());
                        assert_eq!(message.deliveries(), 2);
                    }
                });
            }
        });
        assert_eq!(claimed.into_inner().unwrap(), [id(0), id(1)].into());
    });
}
