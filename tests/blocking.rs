//! Waiting for entries: who is woken, in which order, with what, and that nobody is forgotten. No test measures time:
//! the clock is set by hand where it matters.

#![cfg(feature = "simulation")]

mod common {
    pub(crate) mod watch;
}

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use common::watch::{add, id, ids, until_waiting, watched};
use streamlog::{
    Broker, Durability, Error, ErrorKind, Group, Id, ManualClock, Messages, Result, StartAt, Stream, Trim,
};

/// A time that does not come, unless the clock is set to it.
const LONG: Duration = Duration::from_secs(3600);

fn in_memory() -> (Broker, Stream, Group) {
    let broker = Broker::in_memory().unwrap();
    let (stream, group) = stream_and_group(&broker);
    (broker, stream, group)
}

fn with_manual_clock() -> (Stream, Group, ManualClock) {
    let clock = ManualClock::at(1_700_000_000_000);
    let broker = Broker::builder().clock(clock.clone()).open_in_memory().unwrap();
    let (stream, group) = stream_and_group(&broker);
    (stream, group, clock)
}

fn stream_and_group(broker: &Broker) -> (Stream, Group) {
    let stream = broker.stream("orders").unwrap();
    let group = stream.group("billing").from_start().ensure().unwrap();
    (stream, group)
}

fn add_batch(stream: &Stream, seqs: impl IntoIterator<Item = u64>) {
    let mut batch = stream.batch();
    seqs.into_iter().for_each(|seq| batch.push_with_id(id(seq), "x").unwrap());
    batch.add().unwrap();
}

/// A blocking read of new entries in another thread; returns once it waits behind those who do already.
fn waiter<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    group: &Group,
    name: &str,
    count: usize,
) -> ScopedJoinHandle<'scope, Result<Messages>> {
    let before = group.stream().waiting();
    let consumer = group.consumer(name);
    let waiter = scope.spawn(move || consumer.read_new().count(count).block_forever().next());
    until_waiting(group.stream(), before + 1);
    waiter
}

fn got(waiter: ScopedJoinHandle<'_, Result<Messages>>) -> Vec<Id> {
    waiter.join().unwrap().unwrap().ids()
}

fn kind<T>(waiter: ScopedJoinHandle<'_, Result<T>>) -> ErrorKind {
    waiter.join().unwrap().map(|_| ()).map_err(|error: Error| error.kind()).unwrap_err()
}

#[test]
fn an_entry_wakes_whoever_reads_on_reads_new_ones_or_fetches() {
    watched(|| {
        let (broker, stream, group) = in_memory();
        let other = stream.group("audit").ensure().unwrap();
        thread::scope(|scope| {
            let plain = stream.clone();
            let plain = scope.spawn(move || plain.read(StartAt::End).block_forever().next());
            until_waiting(&stream, 1);
            let new = waiter(scope, &group, "a", 10);
            let fetch = other.consumer("b");
            let fetch = scope.spawn(move || fetch.fetch().count(10).block(LONG).next());
            until_waiting(&stream, 3);
            add(&stream, 1);
            assert_eq!(plain.join().unwrap().unwrap()[0].id, id(1));
            assert_eq!(got(new), ids([1]));
            assert_eq!(got(fetch), ids([1]));
            assert_eq!(stream.waiting(), 0);
        });
        broker.close().unwrap();
    });
}

#[test]
fn whoever_waits_for_a_stream_that_is_not_there_yet_is_woken_by_its_first_entry() {
    watched(|| {
        let broker = Broker::in_memory().unwrap();
        let stream = broker.stream("new").unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(|| stream.read(StartAt::Start).block_forever().next());
            until_waiting(&stream, 1);
            assert!(!stream.exists(), "waiting for it makes nothing");
            assert!(broker.streams().unwrap().is_empty());
            add(&stream, 1);
            assert_eq!(reader.join().unwrap().unwrap()[0].id, id(1));
            assert_eq!(stream.waiting(), 0);
        });
    });
}

#[test]
fn all_plain_readers_are_woken_by_one_entry() {
    watched(|| {
        let (_broker, stream, _) = in_memory();
        thread::scope(|scope| {
            let readers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| stream.read(StartAt::Start).block_forever().next())).collect();
            until_waiting(&stream, 8);
            add(&stream, 1);
            for reader in readers {
                assert_eq!(reader.join().unwrap().unwrap().len(), 1);
            }
        });
    });
}

#[test]
fn in_a_group_the_first_to_come_takes_up_to_its_count_and_the_others_wait_on() {
    watched(|| {
        let (_broker, stream, group) = in_memory();
        thread::scope(|scope| {
            let first = waiter(scope, &group, "a", 5);
            let second = waiter(scope, &group, "b", 5);
            let third = waiter(scope, &group, "c", 5);
            let fourth = waiter(scope, &group, "d", 5);
            add(&stream, 1);
            assert_eq!(got(first), ids([1]));
            until_waiting(&stream, 3);
            add_batch(&stream, 2..=8);
            assert_eq!(got(second), ids(2..=6));
            assert_eq!(got(third), ids(7..=8));
            until_waiting(&stream, 1);
            add(&stream, 9);
            assert_eq!(got(fourth), ids([9]));
        });
    });
}

#[test]
fn a_long_queue_is_served_in_its_order() {
    watched(|| {
        let (_broker, stream, group) = in_memory();
        thread::scope(|scope| {
            let waiters: Vec<_> = (0..30).map(|number| waiter(scope, &group, &format!("c{number}"), 1)).collect();
            add_batch(&stream, 1..=10);
            (11..=20).for_each(|seq| add(&stream, seq));
            add_batch(&stream, 21..=30);
            for (seq, waiter) in (1..).zip(waiters) {
                assert_eq!(got(waiter), ids([seq]));
            }
        });
    });
}

#[test]
fn each_group_has_a_queue_of_its_own() {
    watched(|| {
        let (_broker, stream, group) = in_memory();
        let audit = stream.group("audit").ensure().unwrap();
        thread::scope(|scope| {
            let waiters: Vec<_> =
                [&group, &group, &audit, &audit].iter().map(|group| waiter(scope, group, "same name", 1)).collect();
            add(&stream, 1);
            until_waiting(&stream, 2);
            add(&stream, 2);
            let got: Vec<_> = waiters.into_iter().map(got).collect();
            assert_eq!(got, [ids([1]), ids([2]), ids([1]), ids([2])]);
        });
    });
}

#[test]
fn nobody_takes_an_entry_past_those_who_wait() {
    watched(|| {
        let (_broker, stream, group) = in_memory();
        let barger = group.consumer("barger");
        for seq in 1..=300 {
            thread::scope(|scope| {
                let waiting = waiter(scope, &group, "patient", 1);
                add(&stream, seq);
                // The one who waits may not have run yet.
                assert!(barger.read_new().next().unwrap().is_empty());
                assert!(barger.fetch().next().unwrap().is_empty());
                assert_eq!(got(waiting), ids([seq]));
            });
        }
    });
}

#[test]
fn a_wait_ends_empty_when_its_time_is_over_and_not_before() {
    watched(|| {
        let (stream, group, clock) = with_manual_clock();
        let timeout = Duration::from_secs(5);
        thread::scope(|scope| {
            let plain = scope.spawn(|| stream.read(StartAt::Start).block(timeout).next().unwrap().len());
            let new = scope.spawn(|| group.consumer("a").read_new().block(timeout).next().unwrap().len());
            let fetch = scope.spawn(|| {
                let fetch = group.consumer("b").fetch().claim_idle(LONG).block(timeout);
                fetch.next().unwrap().len()
            });
            until_waiting(&stream, 3);
            clock.advance(Duration::from_millis(4999));
            // They look at the clock every millisecond.
            thread::sleep(Duration::from_millis(20));
            assert_eq!(stream.waiting(), 3);
            clock.advance(Duration::from_millis(1));
            assert_eq!((plain.join().unwrap(), new.join().unwrap(), fetch.join().unwrap()), (0, 0, 0));
            assert_eq!(stream.waiting(), 0);
        });
        let none = group.consumer("a").read_new().block(Duration::ZERO).next().unwrap();
        assert!(none.is_empty(), "no time at all is over at once");
    });
}

#[test]
fn the_time_of_day_does_not_end_a_wait() {
    watched(|| {
        let (stream, group, clock) = with_manual_clock();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| group.consumer("a").read_new().block(Duration::from_secs(5)).next());
            until_waiting(&stream, 1);
            clock.set(u64::MAX / 2);
            thread::sleep(Duration::from_millis(20));
            assert_eq!(stream.waiting(), 1);
            clock.set(0);
            add(&stream, 1);
            assert_eq!(got(waiting), ids([1]));
        });
    });
}

#[test]
fn one_who_gives_up_passes_its_turn_on() {
    watched(|| {
        let (stream, group, clock) = with_manual_clock();
        for seq in 1..=50 {
            thread::scope(|scope| {
                let hasty = group.consumer("hasty");
                let hasty = scope.spawn(move || hasty.read_new().block(Duration::from_secs(1)).next());
                until_waiting(&stream, 1);
                let patient = waiter(scope, &group, "patient", 1);
                clock.advance(Duration::from_secs(1));
                // It gives up, or it does not get round to that and takes the entry; then there is one more.
                if seq % 2 == 0 {
                    until_waiting(&stream, 1);
                }
                add(&stream, 2 * seq);
                if !got(hasty).is_empty() {
                    add(&stream, 2 * seq + 1);
                }
                assert_eq!(got(patient).len(), 1);
            });
        }
    });
}

#[test]
fn deleting_the_stream_ends_every_wait_in_a_group_and_others_wait_for_the_name() {
    watched(|| {
        let (_broker, stream, group) = in_memory();
        thread::scope(|scope| {
            let plain = scope.spawn(|| stream.read(id(5)).block_forever().next());
            until_waiting(&stream, 1);
            let first = waiter(scope, &group, "a", 1);
            let second = waiter(scope, &group, "b", 1);
            assert!(stream.delete_stream().unwrap());
            assert_eq!(kind(first), ErrorKind::NoSuchGroup);
            assert_eq!(kind(second), ErrorKind::NoSuchGroup);
            until_waiting(&stream, 1);
            assert!(!stream.exists());
            assert!(!plain.is_finished());
            // The ID that it reads after is what it was, whatever the new stream begins with.
            add_batch(&stream, 3..=5);
            until_waiting(&stream, 1);
            assert!(stream.delete_stream().unwrap());
            until_waiting(&stream, 1);
            add_batch(&stream, 4..=7);
            assert_eq!(plain.join().unwrap().unwrap().iter().map(|entry| entry.id).collect::<Vec<_>>(), ids([6, 7]));
        });
    });
}

/// The one who waited looked at the new stream and went to sleep in the queue of the old one, for ever.
#[test]
fn a_stream_deleted_and_made_again_at_once_leaves_nobody_waiting_for_the_old_one() {
    watched(|| {
        let (_broker, stream, mut group) = in_memory();
        for _ in 0..200 {
            thread::scope(|scope| {
                let first = waiter(scope, &group, "a", 1);
                let second = waiter(scope, &group, "b", 1);
                assert!(stream.delete_stream().unwrap());
                group = stream.group("billing").from_start().create().unwrap();
                assert_eq!(kind(first), ErrorKind::NoSuchGroup);
                assert_eq!(kind(second), ErrorKind::NoSuchGroup);
            });
        }
    });
}

#[test]
fn destroying_the_group_ends_its_waits_and_no_others() {
    watched(|| {
        let (_broker, stream, group) = in_memory();
        let audit = stream.group("audit").ensure().unwrap();
        thread::scope(|scope| {
            let plain = scope.spawn(|| stream.read(StartAt::End).block_forever().next());
            until_waiting(&stream, 1);
            let gone: Vec<_> = ["a", "b"].iter().map(|name| waiter(scope, &group, name, 1)).collect();
            let other = waiter(scope, &audit, "a", 1);
            assert!(group.destroy().unwrap());
            for waiter in gone {
                assert_eq!(kind(waiter), ErrorKind::NoSuchGroup);
            }
            until_waiting(&stream, 2);
            add(&stream, 1);
            assert_eq!(plain.join().unwrap().unwrap().len(), 1);
            assert_eq!(got(other), ids([1]));
        });
    });
}

#[test]
fn a_group_destroyed_and_made_again_at_once_leaves_nobody_waiting_for_the_old_one() {
    watched(|| {
        let (_broker, stream, group) = in_memory();
        for _ in 0..200 {
            thread::scope(|scope| {
                let first = waiter(scope, &group, "a", 1);
                let second = waiter(scope, &group, "b", 1);
                assert!(group.destroy().unwrap());
                stream.group("billing").create().unwrap();
                assert_eq!(kind(first), ErrorKind::NoSuchGroup);
                assert_eq!(kind(second), ErrorKind::NoSuchGroup);
            });
        }
    });
}

#[test]
fn closing_the_broker_ends_every_wait_and_lets_the_directory_go() {
    watched(|| {
        let directory = tempfile::tempdir().unwrap();
        let broker = Broker::open(directory.path()).unwrap();
        let (stream, group) = stream_and_group(&broker);
        thread::scope(|scope| {
            let plain = scope.spawn(|| stream.read(StartAt::End).block(LONG).next());
            until_waiting(&stream, 1);
            let first = waiter(scope, &group, "a", 1);
            let second = waiter(scope, &group, "b", 1);
            let fetch = scope.spawn(|| group.consumer("c").fetch().claim_idle(LONG).block_forever().next());
            until_waiting(&stream, 4);
            broker.close().unwrap();
            for waiter in [first, second, fetch] {
                assert_eq!(kind(waiter), ErrorKind::Closed);
            }
            assert_eq!(kind(plain), ErrorKind::Closed);
        });
        // Handles are left, and do not hold it.
        Broker::open(directory.path()).unwrap().close().unwrap();
        assert_eq!(group.consumer("a").read_new().block(LONG).next().unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(stream.read(StartAt::Start).block(LONG).next().unwrap_err().kind(), ErrorKind::Closed);
    });
}

#[test]
fn dropping_the_last_handle_closes_the_broker_while_nobody_waits() {
    watched(|| {
        let directory = tempfile::tempdir().unwrap();
        for seq in 1..=20 {
            let broker = Broker::open(directory.path()).unwrap();
            let (stream, group) = stream_and_group(&broker);
            drop(broker);
            add(&stream, seq);
            let messages = group.consumer("a").read_new().next().unwrap();
            assert_eq!(messages.ids(), ids([seq]));
            drop((stream, group));
            assert_eq!(Broker::open(directory.path()).unwrap_err().kind(), ErrorKind::Locked, "messages are handles");
            // The last one goes in another thread.
            thread::spawn(move || messages.ack_all().map(|_| ()).unwrap()).join().unwrap();
        }
    });
}

#[test]
fn setting_the_cursor_back_wakes_whoever_waits_for_what_is_new_again() {
    watched(|| {
        let (_broker, stream, group) = in_memory();
        add_batch(&stream, 1..=3);
        assert_eq!(group.consumer("a").read_new().count(9).next().unwrap().ack_all().unwrap(), 3);
        thread::scope(|scope| {
            let first = waiter(scope, &group, "b", 2);
            let second = waiter(scope, &group, "c", 2);
            group.set_cursor(StartAt::Start).unwrap();
            assert_eq!(got(first), ids([1, 2]));
            assert_eq!(got(second), ids([3]));
        });
    });
}

#[test]
fn a_cursor_set_ahead_leaves_entries_to_nobody_until_it_is_passed() {
    watched(|| {
        let (_broker, stream, group) = in_memory();
        group.set_cursor(id(5)).unwrap();
        thread::scope(|scope| {
            let waiting = waiter(scope, &group, "a", 9);
            add_batch(&stream, 1..=5);
            add(&stream, 6);
            assert_eq!(got(waiting), ids([6]));
        });
    });
}

#[test]
fn an_entry_deleted_before_anybody_got_it_is_no_reason_to_return() {
    watched(|| {
        let (_broker, stream, group) = in_memory();
        for seq in (1..200).step_by(2) {
            thread::scope(|scope| {
                let waiting = waiter(scope, &group, "a", 9);
                // The entry goes in the stroke in which it comes.
                stream.entry("x").id(id(seq)).trim(Trim::max_len(0)).add().unwrap();
                add(&stream, seq + 1);
                assert_eq!(got(waiting), ids([seq + 1]));
            });
        }
    });
}

#[test]
fn a_fetch_that_claims_is_woken_when_something_has_been_idle_for_long_enough() {
    watched(|| {
        let (stream, group, clock) = with_manual_clock();
        let idle = Duration::from_secs(30);
        add_batch(&stream, 1..=2);
        assert_eq!(group.consumer("dead").read_new().count(2).next().unwrap().len(), 2);
        thread::scope(|scope| {
            let rescuer = group.consumer("rescuer");
            let rescuer = scope.spawn(move || rescuer.fetch().count(9).claim_idle(idle).block_forever().next());
            until_waiting(&stream, 1);
            clock.advance(Duration::from_millis(29_999));
            thread::sleep(Duration::from_millis(20));
            assert_eq!(stream.waiting(), 1, "not yet");
            clock.advance(Duration::from_millis(1));
            let messages = rescuer.join().unwrap().unwrap();
            assert_eq!(messages.ids(), ids([1, 2]));
            assert!(messages.iter().all(|message| message.deliveries() == 2));
        });
        assert_eq!(group.pending().unwrap().consumers, [("rescuer".to_owned(), 2)]);
    });
}

#[test]
fn a_fetch_that_claims_takes_new_entries_meanwhile_and_does_not_hold_up_the_queue() {
    watched(|| {
        let (_broker, stream, group) = in_memory();
        thread::scope(|scope| {
            let first = group.consumer("claims");
            let first = scope.spawn(move || first.fetch().claim_idle(LONG).block_forever().next());
            until_waiting(&stream, 1);
            let second = waiter(scope, &group, "b", 1);
            add_batch(&stream, 1..=2);
            assert_eq!(got(first), ids([1]));
            assert_eq!(got(second), ids([2]));
        });
    });
}

#[test]
fn many_producers_and_consumers_lose_nothing_and_deliver_nothing_twice() {
    const PRODUCERS: usize = 4;
    const EACH: usize = 150;
    for level in [Durability::Always, Durability::Interval(Duration::from_millis(2)), Durability::Os] {
        watched(move || {
            let directory = tempfile::tempdir().unwrap();
            let broker = Broker::builder().durability(level).open(directory.path()).unwrap();
            let (stream, billing) = stream_and_group(&broker);
            let audit = stream.group("audit").from_start().ensure().unwrap();
            let added = Mutex::new(Vec::new());
            let groups = [&billing, &audit];
            let delivered = groups.map(|_| (Mutex::new(BTreeMap::new()), AtomicUsize::new(0)));
            thread::scope(|scope| {
                for producer in 0..PRODUCERS {
                    let (stream, added) = (&stream, &added);
                    scope.spawn(move || {
                        for n in 0..EACH {
                            let key = format!("{producer}.{n}");
                            let ids = if n % 5 == 0 {
                                stream.add_batch([[("key", &*key)], [("key", "second")]]).unwrap()
                            } else {
                                vec![stream.add([("key", &*key)]).unwrap()]
                            };
                            added.lock().unwrap().extend(ids);
                        }
                    });
                }
                for (group, (seen, count)) in groups.iter().zip(&delivered) {
                    for number in 0..5u32 {
                        let name = format!("c{number}");
                        scope.spawn(move || {
                            let consumer = group.consumer(&name);
                            let total = PRODUCERS * EACH * 6 / 5;
                            while count.load(Ordering::SeqCst) < total {
                                // Some give up at once, some soon, so that turns are passed on all the time.
                                let timeout = Duration::from_millis(u64::from(number) * 2);
                                let fetch = consumer.fetch().count(1 + number as usize * 3).block(timeout);
                                let messages = fetch.next().unwrap();
                                for message in &messages {
                                    let old = seen.lock().unwrap().insert(message.id(), name.clone());
                                    assert_eq!(old, None, "{} was delivered twice", message.id());
                                    assert_eq!(message.deliveries(), 1);
                                }
                                assert_eq!(messages.ack_all().unwrap(), messages.len() as u64);
                                count.fetch_add(messages.len(), Ordering::SeqCst);
                            }
                        });
                    }
                }
            });
            let added: HashSet<Id> = added.into_inner().unwrap().into_iter().collect();
            assert_eq!(added.len(), PRODUCERS * EACH * 6 / 5);
            for (group, (seen, _)) in groups.iter().zip(delivered) {
                let seen: HashSet<Id> = seen.into_inner().unwrap().into_keys().collect();
                assert!(seen == added);
                let info = group.info().unwrap();
                assert_eq!((info.pending, info.lag), (0, Some(0)));
            }
            assert_eq!(stream.waiting(), 0);
            broker.close().unwrap();
        });
    }
}

#[test]
fn blocked_forever_means_until_the_last_entry_came() {
    watched(|| {
        let (_broker, stream, group) = in_memory();
        thread::scope(|scope| {
            let consumers: Vec<_> = (0..4)
                .map(|number| {
                    let consumer = group.consumer(&format!("c{number}"));
                    scope.spawn(move || {
                        let mut got = Vec::new();
                        loop {
                            match consumer.read_new().count(3).block_forever().next() {
                                Ok(messages) => got.extend(messages.ids()),
                                Err(error) => return (got, error.kind()),
                            }
                        }
                    })
                })
                .collect();
            for seq in 1..=500 {
                add(&stream, seq);
            }
            while group.info().unwrap().last_delivered_id < id(500) {
                thread::yield_now();
            }
            until_waiting(&stream, 4);
            group.destroy().unwrap();
            let mut all = Vec::new();
            for consumer in consumers {
                let (got, kind) = consumer.join().unwrap();
                assert_eq!(kind, ErrorKind::NoSuchGroup);
                assert!(got.is_sorted());
                all.extend(got);
            }
            all.sort_unstable();
            assert_eq!(all, ids(1..=500));
        });
    });
}

#[test]
fn under_always_an_entry_can_be_read_by_the_time_its_add_returned() {
    watched(|| {
        let directory = tempfile::tempdir().unwrap();
        let broker = Broker::open(directory.path()).unwrap();
        thread::scope(|scope| {
            for thread in 0..6 {
                let stream = broker.stream(["orders", "events"][thread % 2]).unwrap();
                scope.spawn(move || {
                    let group = stream.group(&format!("g{thread}")).from_start().ensure().unwrap();
                    for n in 0..60 {
                        // Weaker ones of others may come in between; they are seen in order.
                        let own = if n % 7 == 0 {
                            *stream.add_batch(["a", "b"]).unwrap().last().unwrap()
                        } else {
                            stream.add("x").unwrap()
                        };
                        assert!(stream.get(own).unwrap().is_some(), "{own}");
                        assert!(stream.info().unwrap().last_id >= own);
                        assert!(!stream.read(own.previous().unwrap()).next().unwrap().is_empty());
                        let new = group.consumer("c").read_new().count(usize::MAX).next().unwrap();
                        assert!(new.ids().contains(&own) && new.ids().is_sorted());
                        stream.entry("weak").durability(Durability::Os).add().unwrap();
                    }
                });
            }
        });
        broker.close().unwrap();
    });
}

/// Whoever waited in a group of a stream whose name another took over was told that the group was gone, though the other had one of
/// its name, with entries: in Redis the name and the group are looked up again when all is done.
#[test]
fn a_stream_that_takes_over_a_name_serves_those_who_wait_in_its_group_of_the_same_name() {
    type TakeOver = fn(&Stream);
    let ways: [TakeOver; 2] = [|other| other.rename_to("orders").unwrap(), |other| other.copy_to("orders").unwrap()];
    for take_over in ways {
        watched(move || {
            let (broker, stream, group) = in_memory();
            let other = broker.stream("refunds").unwrap();
            // So that the groups have other numbers.
            other.group("audit").create().unwrap();
            add(&other, 1);
            thread::scope(|scope| {
                let lost = stream.group("lost").ensure().unwrap();
                let (first, second) = (waiter(scope, &group, "a", 1), waiter(scope, &lost, "b", 1));
                other.group("billing").from_start().create().unwrap();
                take_over(&other);
                assert_eq!(got(first), ids([1]));
                assert_eq!(kind(second), ErrorKind::NoSuchGroup);
            });
            let pending = stream.group("billing").existing().unwrap().pending().unwrap();
            assert_eq!(pending.consumers, [("a".to_owned(), 1)]);
        });
    }
}

/// A stream that was deleted and made again by one transaction left those who waited in its group without it.
#[test]
fn a_stream_deleted_and_made_again_in_one_stroke_is_waited_in_as_before() {
    use streamlog::command::Command;

    watched(|| {
        let (broker, stream, group) = in_memory();
        let parse = |words: &str| Command::parse(&words.split(' ').collect::<Vec<_>>()).unwrap();
        thread::scope(|scope| {
            let first = waiter(scope, &group, "a", 1);
            let again = ["DEL orders", "XGROUP CREATE orders billing $ MKSTREAM"].map(parse);
            broker.execute_all(&again).unwrap();
            until_waiting(&stream, 1);
            add(&stream, 7);
            assert_eq!(got(first), ids([7]));
        });
    });
}

/// One who waited for the last entry of an empty stream got all that came at once: the last is to be the last when it looks.
#[test]
fn one_who_waits_for_the_last_entry_gets_only_that() {
    watched(|| {
        let (_broker, stream, _) = in_memory();
        thread::scope(|scope| {
            let last = stream.read(StartAt::Last).block_forever();
            let reader = scope.spawn(move || last.next().unwrap());
            until_waiting(&stream, 1);
            add_batch(&stream, [1, 2, 3]);
            let got: Vec<Id> = reader.join().unwrap().iter().map(|entry| entry.id).collect();
            assert_eq!(got, ids([3]));
        });
    });
}
