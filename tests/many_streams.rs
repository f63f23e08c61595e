//! Reads of several streams at once, with and without groups: what they return, and whom an entry of either wakes.

#![cfg(feature = "simulation")]

mod common {
    pub(crate) mod watch;
}

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use common::watch::{add, id, ids, until_waiting, watched};
use streamlog::{Broker, Clock, Entry, ErrorKind, GroupStart, Id, ManualClock, Messages, Result, StartAt, Stream};

const NEW: GroupStart = GroupStart::New;

/// Streams `x` and `y` with a group each, from the start.
fn two(clock: Option<&ManualClock>) -> (Broker, Stream, Stream) {
    let broker = match clock {
        Some(clock) => Broker::builder().clock(clock.clone()).open_in_memory().unwrap(),
        None => Broker::in_memory().unwrap(),
    };
    let [x, y] = ["x", "y"].map(|name| {
        let stream = broker.stream(name).unwrap();
        stream.group("g").from_start().create().unwrap();
        stream
    });
    (broker, x, y)
}

fn names<T>(found: &[(String, T)]) -> Vec<&str> {
    found.iter().map(|(name, _)| name.as_str()).collect()
}

fn entries(found: &[(String, Vec<Entry>)]) -> Vec<(&str, Vec<u64>)> {
    found.iter().map(|(name, entries)| (name.as_str(), entries.iter().map(|entry| entry.id.seq).collect())).collect()
}

fn messages(found: &[(String, Messages)]) -> Vec<(&str, Vec<u64>)> {
    found.iter().map(|(name, messages)| (name.as_str(), messages.iter().map(|m| m.id().seq).collect())).collect()
}

/// A blocking read of new entries of these streams in another thread; returns once it waits in all of them.
fn waiter<'scope>(
    scope: &'scope Scope<'scope, '_>,
    broker: &Broker,
    name: &'static str,
    streams: &[&Stream],
) -> ScopedJoinHandle<'scope, Result<Vec<(String, Messages)>>> {
    let before: Vec<_> = streams.iter().map(|stream| stream.waiting()).collect();
    let parts: Vec<_> = streams.iter().map(|stream| (stream.name().to_owned(), NEW)).collect();
    let read = broker.read_group("g", name, parts).unwrap().count(1).block_forever();
    let waiter = scope.spawn(move || read.next());
    streams.iter().zip(before).for_each(|(stream, before)| until_waiting(stream, before + 1));
    waiter
}

#[test]
fn each_stream_is_served_up_to_the_count_in_the_order_given() {
    let (broker, x, y) = two(None);
    (1..=3).for_each(|seq| add(&x, seq));
    (4..=5).for_each(|seq| add(&y, seq));
    let read = |count| {
        broker.read([("y", StartAt::Start), ("none", StartAt::Start), ("x", id(1).into())]).unwrap().count(count)
    };
    assert_eq!(entries(&read(1).next().unwrap()), [("y", vec![4]), ("x", vec![2])]);
    assert_eq!(entries(&read(9).next().unwrap()), [("y", vec![4, 5]), ("x", vec![2, 3])]);
    assert!(read(0).block_forever().next().unwrap().is_empty(), "nothing is enough of nothing");
    assert!(!broker.stream("none").unwrap().exists());

    let read = |count| broker.read_group("g", "a", [("y", NEW), ("x", NEW)]).unwrap().count(count).next().unwrap();
    assert_eq!(messages(&read(2)), [("y", vec![4, 5]), ("x", vec![1, 2])]);
    assert_eq!(messages(&read(2)), [("x", vec![3])]);
    assert!(read(2).is_empty());
}

#[test]
fn where_the_most_in_all_is_reached_the_streams_that_follow_are_left_out() {
    let (broker, x, y) = two(None);
    (1..=3).for_each(|seq| add(&x, seq));
    (1..=3).for_each(|seq| add(&y, seq));
    let read = || broker.read([("x", StartAt::Start), ("y", StartAt::Start)]).unwrap();
    assert_eq!(entries(&read().count(2).max_count(3).next().unwrap()), [("x", vec![1, 2]), ("y", vec![1])]);
    assert_eq!(entries(&read().max_count(3).next().unwrap()), [("x", vec![1, 2, 3])]);

    let group = || broker.read_group("g", "a", [("x", NEW), ("y", NEW)]).unwrap();
    assert_eq!(messages(&group().count(2).max_count(2).next().unwrap()), [("x", vec![1, 2])]);
    assert_eq!(y.groups().unwrap()[0].pending, 0, "what is not told is not delivered");
    assert_eq!(messages(&group().max_count(2).next().unwrap()), [("x", vec![3]), ("y", vec![1])]);
    let history = [("x", GroupStart::PendingAfter(Id::MIN)), ("y", NEW)];
    let history = broker.read_group("g", "a", history).unwrap().max_count(3).next().unwrap();
    assert_eq!(messages(&history), [("x", vec![1, 2, 3])]);
}

#[test]
fn bytes_are_limited_over_all_streams_and_the_first_entry_of_all_comes_whatever_its_size() {
    let (broker, x, y) = two(None);
    for stream in [&x, &y] {
        for seq in 1..=3 {
            stream.entry([("n", "0123456789".repeat(10))]).id(id(seq)).add().unwrap();
        }
    }
    let read = |bytes| broker.read([("x", StartAt::Start), ("y", StartAt::Start)]).unwrap().max_bytes(bytes);
    assert_eq!(entries(&read(0).next().unwrap()), [("x", vec![1])]);
    assert_eq!(entries(&read(150).next().unwrap()), [("x", vec![1])]);
    assert_eq!(entries(&read(250).next().unwrap()), [("x", vec![1, 2])]);
    assert_eq!(entries(&read(500).next().unwrap()), [("x", vec![1, 2, 3]), ("y", vec![1])]);
    // What is in segments counts as what is in memory.
    broker.flush_all().unwrap();
    assert_eq!(entries(&read(250).next().unwrap()), [("x", vec![1, 2])]);

    let group = |bytes| broker.read_group("g", "a", [("x", NEW), ("y", NEW)]).unwrap().max_bytes(bytes);
    assert_eq!(messages(&group(250).next().unwrap()), [("x", vec![1, 2])]);
    let claimed = group(350).claim_idle(Duration::ZERO).next().unwrap();
    assert_eq!(messages(&claimed), [("x", vec![1, 2, 3])], "what is claimed and what is new share the room");
    assert_eq!(messages(&group(1).claim_idle(Duration::ZERO).next().unwrap()), [("x", vec![1])]);
    assert_eq!(x.groups().unwrap()[0].pending, 3, "what has no room is not taken for deleted");
    let history = [("x", GroupStart::PendingAfter(Id::MIN)), ("y", NEW)];
    let history = broker.read_group("g", "a", history).unwrap().max_bytes(250).next().unwrap();
    assert_eq!(messages(&history), [("x", vec![1, 2])]);
    assert!(history[0].1.deleted().is_empty());
}

#[test]
fn an_entry_of_any_of_its_streams_wakes_a_reader_who_then_waits_for_none() {
    watched(|| {
        let (broker, x, y) = two(None);
        for (seq, stream) in (1..).zip([&x, &y, &x, &y]) {
            thread::scope(|scope| {
                let plain = broker.read([("x", StartAt::End), ("y", StartAt::End)]).unwrap().block_forever();
                let plain = scope.spawn(move || plain.next().unwrap());
                [&x, &y].iter().for_each(|stream| until_waiting(stream, 1));
                let in_group = waiter(scope, &broker, "a", &[&x, &y]);
                add(stream, seq);
                assert_eq!(entries(&plain.join().unwrap()), [(stream.name(), vec![seq])]);
                assert_eq!(messages(&in_group.join().unwrap().unwrap()), [(stream.name(), vec![seq])]);
            });
            assert_eq!((x.waiting(), y.waiting()), (0, 0));
        }
    });
}

#[test]
fn on_each_stream_the_first_to_come_is_the_first_to_get() {
    watched(|| {
        let (broker, x, y) = two(None);
        for (round, first_of_y) in (0..20).map(|round| (round, round % 2 == 0)) {
            let seq = 10 * (round + 1);
            thread::scope(|scope| {
                let only_x = waiter(scope, &broker, "a", &[&x]);
                let both = waiter(scope, &broker, "b", &[&y, &x]);
                let only_y = waiter(scope, &broker, "c", &[&y]);
                if first_of_y {
                    add(&y, seq);
                    assert_eq!(messages(&both.join().unwrap().unwrap()), [("y", vec![seq])]);
                    // It has left the queue of the other.
                    assert_eq!((x.waiting(), y.waiting()), (1, 1));
                    add(&y, seq + 1);
                    add(&x, seq);
                    assert_eq!(messages(&only_y.join().unwrap().unwrap()), [("y", vec![seq + 1])]);
                    assert_eq!(messages(&only_x.join().unwrap().unwrap()), [("x", vec![seq])]);
                } else {
                    add(&x, seq);
                    add(&x, seq + 1);
                    assert_eq!(messages(&only_x.join().unwrap().unwrap()), [("x", vec![seq])]);
                    assert_eq!(messages(&both.join().unwrap().unwrap()), [("x", vec![seq + 1])]);
                    add(&y, seq);
                    assert_eq!(messages(&only_y.join().unwrap().unwrap()), [("y", vec![seq])]);
                }
            });
        }
    });
}

#[test]
fn nobody_takes_an_entry_of_a_stream_past_those_who_wait_for_another_too() {
    watched(|| {
        let (broker, x, y) = two(None);
        for seq in 1..=100 {
            thread::scope(|scope| {
                let waiting = waiter(scope, &broker, "patient", &[&x, &y]);
                add(&y, seq);
                let barger = broker.read_group("g", "barger", [("y", NEW), ("x", NEW)]).unwrap();
                assert!(barger.next().unwrap().is_empty());
                assert_eq!(messages(&waiting.join().unwrap().unwrap()), [("y", vec![seq])]);
            });
        }
    });
}

#[test]
fn a_group_that_one_stream_lacks_is_told_before_anything_is_delivered_of_the_others() {
    let (broker, x, _) = two(None);
    add(&x, 1);
    broker.stream("z").unwrap().create().unwrap();
    for missing in ["z", "none"] {
        for start in [NEW, GroupStart::PendingAfter(Id::MIN)] {
            let error = broker.read_group("g", "a", [("x", NEW), (missing, start)]).unwrap().next().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoSuchGroup);
            assert!(error.to_string().contains(missing), "{error}");
        }
    }
    assert_eq!(x.groups().unwrap()[0].pending, 0);
    assert!(!broker.stream("none").unwrap().exists());
}

#[test]
fn the_end_of_one_of_its_groups_ends_a_wait_and_others_wait_on() {
    watched(|| {
        let (broker, x, y) = two(None);
        for gone in [0, 1, 2] {
            thread::scope(|scope| {
                let both = waiter(scope, &broker, "a", &[&x, &y]);
                let one = waiter(scope, &broker, "b", &[&x]);
                match gone {
                    0 => assert!(y.group("g").existing().unwrap().destroy().unwrap()),
                    1 => assert!(y.delete_stream().unwrap()),
                    _ => y.rename_to("z").unwrap(),
                }
                assert_eq!(both.join().unwrap().unwrap_err().kind(), ErrorKind::NoSuchGroup);
                until_waiting(&x, 1);
                add(&x, gone + 1);
                assert_eq!(messages(&one.join().unwrap().unwrap()), [("x", vec![gone + 1])]);
                y.group("g").from_start().create().unwrap();
            });
        }
    });
}

#[test]
fn what_is_pending_is_told_at_once_with_the_deleted_in_their_places_and_nothing_as_nothing() {
    let (broker, x, y) = two(None);
    (1..=4).for_each(|seq| add(&x, seq));
    let history = [("x", GroupStart::from(Id::MIN)), ("y", id(0).into())];
    let read = || broker.read_group("g", "a", history).unwrap().block_forever();
    let found = read().next().unwrap();
    assert_eq!(messages(&found), [("x", vec![]), ("y", vec![])], "nothing is waited for");
    broker.read_group("g", "a", [("x", NEW)]).unwrap().next().unwrap();
    x.delete(&ids([2, 4])).unwrap();
    let found = read().next().unwrap();
    let told: Vec<_> = found[0].1.with_deleted().map(|(id, message)| (id.seq, message.is_some())).collect();
    assert_eq!(told, [(1, true), (2, false), (3, true), (4, false)]);
    assert_eq!(found[0].1.deleted(), ids([2, 4]));
    assert!(found[0].1.iter().all(|message| (message.deliveries(), message.deliveries_before()) == (2, 1)));
    let found = read().count(3).next().unwrap();
    assert_eq!(found[0].1.with_deleted().count(), 3, "what is deleted counts");
    assert_eq!(x.groups().unwrap()[0].pending, 4, "and stays pending");

    // New entries of another beside it, if there are any.
    let mixed = || broker.read_group("g", "a", [("y", NEW), ("x", id(3).into())]).unwrap().block_forever();
    assert_eq!(names(&mixed().next().unwrap()), ["x"]);
    add(&y, 1);
    assert_eq!(names(&mixed().next().unwrap()), ["y", "x"]);
}

/// Redis 8.6 forgets that it was asked to claim once it has read somebody's history.
#[test]
fn nothing_is_claimed_of_streams_after_one_whose_history_is_read() {
    let (broker, x, y) = two(None);
    for stream in [&x, &y] {
        add(stream, 1);
        stream.group("g").existing().unwrap().consumer("dead").read_new().next().unwrap();
    }
    let history = GroupStart::PendingAfter(Id::MIN);
    let read = |streams: [(&str, GroupStart); 2]| {
        broker.read_group("g", "a", streams).unwrap().claim_idle(Duration::ZERO).next().unwrap()
    };
    assert_eq!(messages(&read([("x", history), ("y", NEW)])), [("x", vec![])]);
    assert_eq!(messages(&read([("y", NEW), ("x", history)])), [("y", vec![1]), ("x", vec![])]);
}

#[test]
fn a_stream_named_twice_is_served_twice() {
    let (broker, x, _) = two(None);
    (1..=4).for_each(|seq| add(&x, seq));
    let found = broker.read_group("g", "a", [("x", NEW), ("x", NEW)]).unwrap().count(1).next().unwrap();
    assert_eq!(messages(&found), [("x", vec![1]), ("x", vec![2])]);
    let found = broker.read([("x", StartAt::Start), ("x", id(2).into())]).unwrap().count(1).next().unwrap();
    assert_eq!(entries(&found), [("x", vec![1]), ("x", vec![3])]);
    watched(move || {
        thread::scope(|scope| {
            assert_eq!(broker.read_group("g", "a", [("x", NEW)]).unwrap().next().unwrap().len(), 1);
            let read = broker.read_group("g", "a", [("x", NEW), ("x", NEW)]).unwrap().count(1).block_forever();
            let waiting = scope.spawn(move || read.next().unwrap());
            until_waiting(&x, 2);
            add(&x, 5);
            assert_eq!(messages(&waiting.join().unwrap()), [("x", vec![5])]);
            assert_eq!(x.waiting(), 0);
        });
    });
}

#[test]
fn a_reader_of_names_waits_for_those_that_are_not_there_until_they_have_an_entry() {
    watched(|| {
        let broker = Broker::in_memory().unwrap();
        let [there, absent] = ["there", "absent"].map(|name| broker.stream(name).unwrap());
        there.create().unwrap();
        for (round, how) in (1..).zip(["added", "made for a group", "renamed to", "copied to"]) {
            thread::scope(|scope| {
                let read = broker.read([("absent", StartAt::Start), ("there", StartAt::End)]).unwrap();
                let reader = scope.spawn(move || read.block_forever().next().unwrap());
                [&there, &absent].iter().for_each(|stream| until_waiting(stream, 1));
                assert!(!absent.exists());
                let other = broker.stream("other").unwrap();
                match how {
                    "added" => add(&absent, round),
                    "made for a group" => {
                        absent.group("g").create().unwrap();
                        // It waits in the stream now, or will.
                        until_waiting(&absent, 1);
                        add(&absent, round);
                    }
                    "renamed to" => {
                        add(&other, round);
                        other.rename_to("absent").unwrap();
                    }
                    _ => {
                        add(&other, round);
                        other.copy_to("absent").unwrap();
                    }
                }
                assert_eq!(entries(&reader.join().unwrap()), [("absent", vec![round])], "{how}");
            });
            assert_eq!((there.waiting(), absent.waiting()), (0, 0));
            assert!(absent.delete_stream().unwrap());
        }
    });
}

#[test]
fn a_plain_reader_whose_stream_is_renamed_waits_for_the_old_name() {
    watched(|| {
        let (_broker, x, y) = two(None);
        thread::scope(|scope| {
            let reader = scope.spawn(|| x.read(StartAt::End).block_forever().next().unwrap());
            until_waiting(&x, 1);
            x.rename_to("z").unwrap();
            until_waiting(&x, 1);
            // What replaces the name is what it waits for.
            add(&y, 7);
            y.rename_to("x").unwrap();
            assert_eq!(reader.join().unwrap()[0].id, id(7));
        });
    });
}

/// The one who waited was woken, found no stream by the name, saw that the broker was closed, and so looked again, for ever.
#[test]
fn closing_the_broker_ends_the_wait_for_a_name() {
    watched(|| {
        let broker = Broker::in_memory().unwrap();
        let absent = broker.stream("absent").unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(|| absent.read(StartAt::End).block_forever().next());
            until_waiting(&absent, 1);
            broker.close().unwrap();
            assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
        });
    });
}

#[test]
fn a_wait_on_two_streams_that_is_given_up_takes_nothing_along() {
    watched(|| {
        let clock = ManualClock::at(1_700_000_000_000);
        let (broker, x, y) = two(Some(&clock));
        for seq in 1..=30 {
            thread::scope(|scope| {
                let hasty = broker.read_group("g", "hasty", [("x", NEW), ("y", NEW)]).unwrap();
                let hasty = scope.spawn(move || hasty.block(Duration::from_secs(1)).next().unwrap());
                [&x, &y].iter().for_each(|stream| until_waiting(stream, 1));
                let patient = waiter(scope, &broker, "patient", &[&y, &x]);
                clock.advance(Duration::from_secs(1));
                let (stream, other) = if seq % 2 == 0 { (&x, &y) } else { (&y, &x) };
                add(stream, seq);
                // It gives up, or it does not get round to that and takes the entry; then there is one more.
                if !hasty.join().unwrap().is_empty() {
                    add(other, seq);
                }
                assert_eq!(patient.join().unwrap().unwrap().len(), 1);
            });
        }
        assert_eq!((x.waiting(), y.waiting()), (0, 0));
    });
}

#[test]
fn the_last_entry_is_the_last_that_is_there() {
    let (broker, x, y) = two(None);
    (1..=5).for_each(|seq| add(&x, seq));
    let read = || broker.read([("x", StartAt::Last), ("y", StartAt::Last)]).unwrap().count(9).next().unwrap();
    assert_eq!(entries(&read()), [("x", vec![5])]);
    x.delete(&ids([4, 5])).unwrap();
    assert_eq!(entries(&read()), [("x", vec![3])]);
    broker.flush_all().unwrap();
    assert_eq!(entries(&read()), [("x", vec![3])]);
    add(&y, 1);
    assert_eq!(entries(&read()), [("x", vec![3]), ("y", vec![1])]);
    x.delete(&ids([1, 2, 3])).unwrap();
    assert_eq!(entries(&read()), [("y", vec![1])]);

    let from_last = y.group("last").start_at(StartAt::Last).create().unwrap();
    assert_eq!(from_last.consumer("a").read_new().count(9).next().unwrap().ids(), ids([1]));
    let from_first = x.group("last").start_at(StartAt::Last).create().unwrap();
    add(&x, 6);
    assert_eq!(from_first.consumer("a").read_new().count(9).next().unwrap().ids(), ids([6]));
    watched(move || {
        let empty = broker.stream("empty").unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(|| empty.read(StartAt::Last).block_forever().next().unwrap());
            until_waiting(&empty, 1);
            add(&empty, 1);
            assert_eq!(reader.join().unwrap()[0].id, id(1), "with the first to come if there is none");
        });
    });
}

#[test]
fn any_attempt_is_seen_and_only_what_is_got_is_activity() {
    let clock = ManualClock::at(1000);
    let (broker, x, _) = two(Some(&clock));
    let times = || {
        let consumers = x.group("g").existing().unwrap().consumers().unwrap();
        (consumers[0].seen_ms, consumers[0].active_ms)
    };
    let step = || clock.advance(Duration::from_millis(10));
    let read = || broker.read_group("g", "a", [("x", NEW)]).unwrap();
    read().next().unwrap();
    assert_eq!(times(), (1000, None), "in vain");
    add(&x, 1);
    step();
    read().no_ack().next().unwrap();
    assert_eq!(times(), (1010, None), "acknowledged at once, which is no activity in Redis either");
    assert_eq!(x.groups().unwrap()[0].pending, 0);
    add(&x, 2);
    step();
    read().next().unwrap();
    assert_eq!(times(), (1020, Some(1020)), "new");
    step();
    let history = [("x", GroupStart::PendingAfter(Id::MIN))];
    assert_eq!(broker.read_group("g", "a", history).unwrap().next().unwrap()[0].1.len(), 1);
    assert_eq!(times(), (1030, Some(1020)), "its own once more");
    step();
    read().claim_idle(Duration::from_secs(1)).next().unwrap();
    assert_eq!(times(), (1040, Some(1020)), "nothing to claim");
    read().claim_idle(Duration::ZERO).next().unwrap();
    assert_eq!(times(), (1040, Some(1040)), "claimed");
}

#[test]
fn many_readers_of_many_streams_lose_nothing_and_get_nothing_twice() {
    const STREAMS: [&str; 3] = ["a", "b", "c"];
    const EACH: usize = 200;
    watched(|| {
        let broker = Broker::in_memory().unwrap();
        let streams = STREAMS.map(|name| broker.stream(name).unwrap());
        streams.iter().for_each(|stream| drop(stream.group("g").from_start().create().unwrap()));
        let seen = Mutex::new(BTreeSet::new());
        let count = AtomicUsize::new(0);
        thread::scope(|scope| {
            for stream in &streams {
                scope.spawn(move || (0..EACH).for_each(|_| assert!(stream.add("x").is_ok())));
            }
            for number in 0..6 {
                let (broker, seen, count) = (&broker, &seen, &count);
                scope.spawn(move || {
                    // Each has them in an order of its own, and leaves one out.
                    let mine = [number % 3, (number + 1 + number / 3) % 3];
                    let parts = mine.map(|at| (STREAMS[at], NEW));
                    while count.load(Ordering::SeqCst) < STREAMS.len() * EACH {
                        let read = broker.read_group("g", &format!("r{number}"), parts).unwrap();
                        let timeout = Duration::from_millis(number as u64);
                        for (name, messages) in read.count(1 + number).block(timeout).next().unwrap() {
                            for message in &messages {
                                assert!(seen.lock().unwrap().insert((name.clone(), message.id())), "twice");
                            }
                            count.fetch_add(messages.len(), Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert_eq!(seen.into_inner().unwrap().len(), STREAMS.len() * EACH);
        assert!(streams.iter().all(|stream| stream.waiting() == 0));
    });
}

/// A clock that counts how often somebody who waits looks how long is left.
#[derive(Debug, Clone)]
struct Counting {
    origin: Instant,
    looks: Arc<AtomicUsize>,
}

impl Clock for Counting {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000
    }

    fn monotonic(&self) -> Duration {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.origin.elapsed()
    }
}

/// A stream that is read after the last ID of all has nothing to give, and was never looked at; but the read waited in it, and
/// took what had come there before for news: it never slept.
#[test]
fn a_read_sleeps_though_nothing_can_come_of_one_of_its_streams() {
    let looks = Arc::new(AtomicUsize::new(0));
    let clock = Counting { origin: Instant::now(), looks: Arc::clone(&looks) };
    let broker = Broker::builder().clock(clock).background(false).open_in_memory().unwrap();
    let (ends, waits) = (broker.stream("ends").unwrap(), broker.stream("waits").unwrap());
    ends.add([("n", "1")]).unwrap();
    waits.add([("n", "1")]).unwrap();
    let read = || broker.read([("ends", StartAt::After(Id::MAX)), ("waits", StartAt::End)]).unwrap();
    assert!(read().block(Duration::from_millis(20)).next().unwrap().is_empty());
    assert!(looks.load(Ordering::Relaxed) < 50, "{looks:?}");

    let read = read();
    waits.add([("n", "2")]).unwrap();
    let found = read.block_forever().next().unwrap();
    assert_eq!(found.iter().map(|(name, entries)| (&**name, entries.len())).collect::<Vec<_>>(), [("waits", 1)]);
}
