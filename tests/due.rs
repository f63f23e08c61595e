//! What is delivered again by time: what was given back, once it is ready, and what has been idle for too long; in which order,
//! to whom, and that it wakes those who wait for it.

#![cfg(feature = "simulation")]

mod common {
    pub(crate) mod watch;
}

use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use common::watch::{add, id, ids, until_waiting, watched};
use streamlog::{Broker, Group, Id, ManualClock, Messages, References, Stream, Trim};

const IDLE: Duration = Duration::from_secs(30);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A stream with a group from the start, under a clock set by hand.
fn at_hand() -> (Stream, Group, ManualClock) {
    let clock = ManualClock::at(1_700_000_000_000);
    let broker = Broker::builder().clock(clock.clone()).open_in_memory().unwrap();
    let (stream, group) = stream_and_group(&broker);
    (stream, group, clock)
}

fn stream_and_group(broker: &Broker) -> (Stream, Group) {
    let stream = broker.stream("orders").unwrap();
    let group = stream.group("billing").from_start().create().unwrap();
    (stream, group)
}

fn give(group: &Group, name: &str, count: usize) -> Vec<Id> {
    group.consumer(name).read_new().count(count).next().unwrap().ids()
}

/// A fetch in another thread; returns once it waits behind those who do already.
fn fetching<'scope>(
    scope: &'scope Scope<'scope, '_>,
    group: &Group,
    name: &str,
) -> ScopedJoinHandle<'scope, streamlog::Result<Messages>> {
    let before = group.stream().waiting();
    let fetch = group.consumer(name).fetch().block_forever();
    let waiter = scope.spawn(move || fetch.next());
    until_waiting(group.stream(), before + 1);
    waiter
}

/// ID, deliveries now and before, idle time before in milliseconds.
fn told(messages: &Messages) -> Vec<(u64, u32, u32, u128)> {
    let idle = |message: &streamlog::Message| message.idle_before().as_millis();
    messages.iter().map(|m| (m.id().seq, m.deliveries(), m.deliveries_before(), idle(m))).collect()
}

#[test]
fn what_was_given_back_comes_first_then_what_was_delivered_longest_ago_then_what_is_new() {
    let (stream, group, clock) = at_hand();
    (1..=6).for_each(|seq| add(&stream, seq));
    // Delivered in another order than that of their IDs: 3, then 1 and 2, then 4 and 5.
    group.set_cursor(id(2)).unwrap();
    give(&group, "x", 1);
    clock.advance(ms(10));
    group.set_cursor(id(0)).unwrap();
    give(&group, "y", 2);
    clock.advance(ms(10));
    group.set_cursor(id(3)).unwrap();
    give(&group, "z", 2);
    assert_eq!(group.nack(&[id(5)]).run().unwrap(), 1);
    clock.advance(ms(100));
    let read = |count| group.consumer("me").read_new().count(count).claim_idle(ms(100)).next().unwrap();
    assert_eq!(told(&read(2)), [(5, 2, 1, 0), (3, 2, 1, 120)], "all share the count");
    assert_eq!(told(&read(4)), [(1, 2, 1, 110), (2, 2, 1, 110), (4, 2, 1, 100), (6, 1, 0, 0)]);
    assert!(read(9).is_empty(), "they were delivered just now");
    clock.advance(ms(100));
    assert_eq!(told(&read(1)), [(5, 3, 2, 100)], "be they one's own; of one time what came first");
}

#[test]
fn a_fetch_takes_what_was_given_back_unasked_and_what_is_idle_if_asked_but_never_its_own() {
    let (stream, group, clock) = at_hand();
    (1..=4).for_each(|seq| add(&stream, seq));
    let worker = group.consumer("worker");
    let fetch = |count| worker.fetch().count(count);
    assert_eq!(fetch(1).next().unwrap().ids(), ids([1]));
    give(&group, "dead", 2);
    group.nack(&[id(3)]).after(ms(500)).run().unwrap();
    clock.advance(ms(499));
    assert_eq!(fetch(1).claim_idle(IDLE).next().unwrap().ids(), ids([4]));
    assert!(fetch(9).claim_idle(IDLE).next().unwrap().is_empty(), "it is not ready yet");
    clock.advance(ms(1));
    assert_eq!(fetch(9).next().unwrap().ids(), ids([3]));
    clock.advance(IDLE);
    assert!(fetch(9).next().unwrap().is_empty());
    assert_eq!(fetch(9).claim_idle(IDLE).next().unwrap().ids(), ids([2]), "its own three are not idle with others");
}

#[test]
fn plain_reads_of_new_entries_leave_alone_what_was_given_back() {
    let (stream, group, _) = at_hand();
    add(&stream, 1);
    give(&group, "x", 1);
    group.nack(&[id(1)]).run().unwrap();
    assert!(give(&group, "y", 9).is_empty());
    let claimed = group.consumer("y").read_new().claim_idle(IDLE).next().unwrap();
    assert_eq!(told(&claimed), [(1, 2, 1, 0)]);
}

#[test]
fn what_is_claimed_stays_pending_though_new_entries_are_taken_as_acknowledged() {
    let (stream, group, _) = at_hand();
    (1..=2).for_each(|seq| add(&stream, seq));
    give(&group, "x", 1);
    let read = group.consumer("y").read_new().count(9).no_ack().claim_idle(Duration::ZERO).next().unwrap();
    assert_eq!(read.ids(), ids([1, 2]));
    assert_eq!(group.pending().unwrap().consumers, [("y".to_owned(), 1)]);
}

#[test]
fn what_was_deleted_is_passed_by_and_does_not_count_and_a_fetch_drops_it() {
    let (stream, group, clock) = at_hand();
    (1..=4).for_each(|seq| add(&stream, seq));
    give(&group, "x", 3);
    stream.delete(&ids([1, 2])).unwrap();
    clock.advance(IDLE);
    let read = group.consumer("y").read_new().count(1).claim_idle(IDLE).next().unwrap();
    assert_eq!((read.ids(), read.deleted()), (ids([3]), &[][..]));
    assert_eq!(group.pending().unwrap().count, 3, "as in Redis 8.6.3");
    add(&stream, 5);
    stream.delete(&[id(3)]).unwrap();
    clock.advance(IDLE);
    let fetched = group.consumer("z").fetch().count(9).claim_idle(IDLE).next().unwrap();
    assert_eq!((fetched.ids(), fetched.deleted()), (ids([4, 5]), &ids(1..=3)[..]));
}

/// Where there are no entries there is nothing to look at: what is pending stays so.
#[test]
fn of_an_empty_stream_nothing_falls_due_and_whoever_waits_for_it_sleeps() {
    watched(|| {
        let (stream, group, clock) = at_hand();
        add(&stream, 1);
        give(&group, "x", 1);
        stream.delete(&[id(1)]).unwrap();
        clock.advance(IDLE);
        thread::scope(|scope| {
            let read = group.consumer("y").read_new().claim_idle(IDLE).block_forever();
            let reader = scope.spawn(move || read.next().unwrap());
            until_waiting(&stream, 1);
            assert_eq!(group.pending().unwrap().count, 1);
            add(&stream, 2);
            assert_eq!(reader.join().unwrap().ids(), ids([2]));
        });
        assert_eq!(group.pending().unwrap().consumers, [("x".to_owned(), 1), ("y".to_owned(), 1)]);
    });
}

#[test]
fn one_who_claims_is_woken_when_something_falls_due_be_it_his_own() {
    watched(|| {
        let (stream, group, clock) = at_hand();
        (1..=2).for_each(|seq| add(&stream, seq));
        give(&group, "me", 1);
        clock.advance(ms(10));
        give(&group, "other", 1);
        for (seq, before) in [(1, 29_989), (2, 9)] {
            thread::scope(|scope| {
                let read = group.consumer("me").read_new().claim_idle(IDLE).block_forever();
                let reader = scope.spawn(move || read.next().unwrap());
                until_waiting(&stream, 1);
                clock.advance(ms(before));
                // It looks at the clock every millisecond.
                thread::sleep(ms(20));
                assert_eq!(stream.waiting(), 1, "not yet");
                clock.advance(ms(1));
                assert_eq!(told(&reader.join().unwrap()), [(seq, 2, 1, 30_000)]);
            });
        }
    });
}

/// The one who waited saw nothing pending, and slept without end: what became pending after that was never claimed.
#[test]
fn what_becomes_pending_while_one_waits_is_claimed_when_it_falls_due() {
    watched(|| {
        let broker = Broker::in_memory().unwrap();
        let (stream, group) = stream_and_group(&broker);
        add(&stream, 1);
        give(&group, "x", 1);
        assert_eq!(group.ack(&[id(1)]).unwrap(), 1);
        thread::scope(|scope| {
            let read = group.consumer("y").read_new().claim_idle(ms(30)).block_forever();
            let reader = scope.spawn(move || read.next().unwrap());
            until_waiting(&stream, 1);
            // Not new to the group.
            assert_eq!(group.consumer("x").claim(&[id(1)]).force().run().unwrap().len(), 1);
            assert_eq!(reader.join().unwrap().ids(), ids([1]));
        });
        thread::scope(|scope| {
            let read = group.consumer("z").fetch().claim_idle(Duration::from_secs(3600)).block_forever();
            let reader = scope.spawn(move || read.next().unwrap());
            until_waiting(&stream, 1);
            // Long ago already.
            let ago = Duration::from_secs(7200);
            assert_eq!(group.consumer("x").claim(&[id(1)]).idle(ago).run().unwrap().len(), 1);
            assert_eq!(reader.join().unwrap().ids(), ids([1]));
        });
    });
}

#[test]
fn what_is_given_back_wakes_the_first_who_fetches_and_nobody_else() {
    watched(|| {
        let broker = Broker::in_memory().unwrap();
        let (stream, group) = stream_and_group(&broker);
        add(&stream, 1);
        give(&group, "x", 1);
        thread::scope(|scope| {
            // The first of all wants what is new alone.
            let new = group.consumer("new").read_new().block_forever();
            let new = scope.spawn(move || new.next().unwrap());
            until_waiting(&stream, 1);
            let [first, second] = ["a", "b"].map(|name| fetching(scope, &group, name));
            for (seq, fetch) in [(1, first), (1, second)] {
                assert_eq!(group.nack(&[id(seq)]).run().unwrap(), 1);
                assert_eq!(fetch.join().unwrap().unwrap().ids(), ids([seq]));
            }
            assert_eq!(stream.waiting(), 1);
            add(&stream, 2);
            assert_eq!(new.join().unwrap().ids(), ids([2]));
        });
        assert_eq!(group.pending_range(id(1)..=id(1)).read().unwrap()[0].consumer, "b");
    });
}

#[test]
fn of_several_given_back_at_once_each_who_fetches_gets_his_share_in_turn() {
    watched(|| {
        let broker = Broker::in_memory().unwrap();
        let (stream, group) = stream_and_group(&broker);
        (1..=3).for_each(|seq| add(&stream, seq));
        give(&group, "x", 3);
        thread::scope(|scope| {
            // The first of all wants what is new alone, and does not keep the next from what is left.
            let new = group.consumer("new").read_new().block_forever();
            let new = scope.spawn(move || new.next().unwrap());
            until_waiting(&stream, 1);
            let fetches = ["a", "b", "c"].map(|name| fetching(scope, &group, name));
            assert_eq!(group.nack(&ids([1, 2, 3])).run().unwrap(), 3);
            // Nobody gets past those who wait.
            assert!(group.consumer("barger").fetch().count(9).next().unwrap().is_empty());
            for (seq, fetch) in (1..).zip(fetches) {
                assert_eq!(fetch.join().unwrap().unwrap().ids(), ids([seq]));
            }
            add(&stream, 4);
            assert_eq!(new.join().unwrap().ids(), ids([4]));
        });
    });
}

#[test]
fn what_is_given_back_for_later_wakes_a_fetch_when_its_time_has_come() {
    watched(|| {
        let (stream, group, clock) = at_hand();
        add(&stream, 1);
        give(&group, "x", 1);
        thread::scope(|scope| {
            let fetch = fetching(scope, &group, "y");
            group.nack(&[id(1)]).after(IDLE).run().unwrap();
            clock.advance(ms(29_999));
            thread::sleep(ms(20));
            assert_eq!(stream.waiting(), 1, "not yet");
            clock.advance(ms(1));
            assert_eq!(fetch.join().unwrap().unwrap().ids(), ids([1]));
        });
        // By the system's clock too, on which nobody looks every millisecond.
        let broker = Broker::in_memory().unwrap();
        let (stream, group) = stream_and_group(&broker);
        add(&stream, 1);
        give(&group, "x", 1);
        thread::scope(|scope| {
            let [first, second] = ["y", "z"].map(|name| fetching(scope, &group, name));
            group.nack(&[id(1)]).after(ms(50)).run().unwrap();
            // The one who knew when to look is gone by then: the next is told.
            add(&stream, 2);
            assert_eq!(first.join().unwrap().unwrap().ids(), ids([2]));
            assert_eq!(second.join().unwrap().unwrap().ids(), ids([1]));
        });
    });
}

#[test]
fn one_who_gives_up_leaves_what_was_given_back_to_the_next() {
    watched(|| {
        let (stream, group, clock) = at_hand();
        for seq in 1..=30 {
            add(&stream, seq);
            give(&group, "x", 1);
            thread::scope(|scope| {
                let hasty = group.consumer("hasty").fetch().block(Duration::from_secs(1));
                let hasty = scope.spawn(move || hasty.next().unwrap());
                until_waiting(&stream, 1);
                let patient = fetching(scope, &group, "patient");
                clock.advance(Duration::from_secs(1));
                group.nack(&[id(seq)]).run().unwrap();
                // It gives up, or it does not get round to that and takes the entry; then there it is once more.
                if !hasty.join().unwrap().is_empty() {
                    group.nack(&[id(seq)]).run().unwrap();
                }
                assert_eq!(patient.join().unwrap().unwrap().ids(), ids([seq]));
            });
            group.ack(&[id(seq)]).unwrap();
        }
    });
}

#[test]
fn of_those_who_claim_the_first_to_come_is_served_first_but_for_what_he_does_not_want() {
    watched(|| {
        let (stream, group, clock) = at_hand();
        add(&stream, 1);
        give(&group, "x", 1);
        let claiming = |name: &str, min_idle| group.consumer(name).read_new().claim_idle(min_idle).block_forever();
        thread::scope(|scope| {
            let waiting = [("a", ms(2000)), ("b", ms(1000)), ("c", ms(1000))].map(|(name, min_idle)| {
                let before = stream.waiting();
                let read = claiming(name, min_idle);
                let reader = scope.spawn(move || read.next().unwrap());
                until_waiting(&stream, before + 1);
                reader
            });
            let [a, b, c] = waiting;
            clock.advance(ms(1000));
            assert_eq!(told(&b.join().unwrap()), [(1, 2, 1, 1000)], "the first does not want it yet");
            clock.advance(ms(1000));
            assert_eq!(told(&c.join().unwrap()), [(1, 3, 2, 1000)]);
            clock.advance(ms(2000));
            assert_eq!(told(&a.join().unwrap()), [(1, 4, 3, 2000)]);
        });
    });
}

#[test]
fn a_clock_that_goes_back_makes_nothing_due_and_keeps_nobody_from_new_entries() {
    watched(|| {
        let (stream, group, clock) = at_hand();
        add(&stream, 1);
        give(&group, "x", 1);
        clock.set(1000);
        assert!(group.consumer("y").read_new().claim_idle(ms(1)).next().unwrap().is_empty());
        thread::scope(|scope| {
            let read = group.consumer("y").read_new().claim_idle(ms(1)).block_forever();
            let reader = scope.spawn(move || read.next().unwrap());
            until_waiting(&stream, 1);
            add(&stream, 2);
            assert_eq!(reader.join().unwrap().ids(), ids([2]));
        });
        let all = group.consumer("y").read_new().count(9).claim_idle(Duration::ZERO).next().unwrap();
        assert_eq!(told(&all), [(2, 2, 1, 0), (1, 2, 1, 0)], "no time at all has passed nevertheless");
    });
}

/// What was delivered in one millisecond was claimed in the order of IDs: Redis keeps the order of deliveries. So did the broker then, until
/// it was opened again: a process that came back was not what the one before had been.
#[test]
fn of_what_was_delivered_in_one_millisecond_what_came_first_is_claimed_first() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(1_700_000_000_000);
    let open = || Broker::builder().clock(clock.clone()).open(dir.path()).unwrap();
    let claimed = |group: &Group| group.consumer("eve").read_new().count(10).claim_idle(ms(1)).next().unwrap().ids();
    let broker = open();
    let (stream, group) = stream_and_group(&broker);
    (1..=4).for_each(|seq| add(&stream, seq));
    assert_eq!(give(&group, "x", 4), ids(1..=4));
    let again = |seqs: [u64; 2]| group.consumer("y").claim(&ids(seqs)).run().unwrap();
    again([3, 1]);
    stream.copy_to("copy").unwrap();
    stream.set_last_id(id(4)).set().unwrap();
    clock.advance(ms(1));
    assert_eq!(claimed(&group), ids([2, 4, 3, 1]));
    let copy = broker.stream("copy").unwrap().group("billing").existing().unwrap();
    assert_eq!(claimed(&copy), ids(1..=4), "a copy has them in the order of IDs");
    // Now that they are kept in order.
    again([2, 4]);
    clock.advance(ms(1));
    assert_eq!(claimed(&group), ids([3, 1, 2, 4]));
    drop((stream, group, copy));
    let reopened = |broker: Broker, crashes| {
        if crashes {
            broker.crash();
        } else {
            broker.close().unwrap();
        }
        let broker = open();
        (broker.stream("orders").unwrap().group("billing").existing().unwrap(), broker)
    };
    let (group, broker) = reopened(broker, false);
    clock.advance(ms(1));
    assert_eq!(claimed(&group), ids([3, 1, 2, 4]), "after it was closed and opened again");
    drop(group);
    let (group, broker) = reopened(broker, true);
    // At the time at which the process before delivered the others.
    group.consumer("y").claim(&ids([1])).run().unwrap();
    drop(group);
    let (group, broker) = reopened(broker, true);
    clock.advance(ms(1));
    assert_eq!(claimed(&group), ids([3, 2, 4, 1]), "after crashes");
    // As if they had been delivered at a time before that of the others.
    for seq in [4, 2] {
        group.consumer("y").claim(&ids([seq])).idle(ms(1)).run().unwrap();
    }
    drop(group);
    let (group, broker) = reopened(broker, true);
    clock.advance(ms(1));
    assert_eq!(claimed(&group), ids([4, 2, 3, 1]));
    drop(group);
    let (group, _broker) = reopened(broker, false);
    clock.advance(ms(1));
    assert_eq!(claimed(&group), ids([4, 2, 3, 1]));
}

/// A stream whose last ID is set back behind what was trimmed is made anew, in one record: that had what is pending in the order of IDs.
#[test]
fn a_stream_made_anew_has_what_came_first_in_a_millisecond_after_a_crash_too() {
    let clock = ManualClock::at(1_700_000_000_000);
    let disk = streamlog::sim::SimDisk::new(1);
    let open = || Broker::builder().clock(clock.clone()).background(false).open_on(disk.storage()).unwrap();
    let broker = open();
    let (stream, group) = stream_and_group(&broker);
    (1..=5).for_each(|seq| add(&stream, seq));
    give(&group, "x", 5);
    group.consumer("y").claim(&ids([3, 1])).run().unwrap();
    group.nack(&ids([2])).run().unwrap();
    group.ack(&ids([5])).unwrap();
    stream.trim(Trim::max_len(4).references(References::Acknowledged)).unwrap();
    stream.set_last_id(id(4)).set().unwrap();
    drop((stream, group));
    broker.crash();
    let broker = open();
    clock.advance(ms(1));
    let group = broker.stream("orders").unwrap().group("billing").existing().unwrap();
    let claimed = group.consumer("eve").read_new().count(10).claim_idle(ms(1)).next().unwrap();
    assert_eq!(claimed.ids(), ids([2, 4, 3, 1]));
}

/// One who waits to claim what was deleted meanwhile looks once, and waits on.
#[test]
fn what_was_deleted_falls_due_for_nobody() {
    watched(|| {
        let (stream, group, clock) = at_hand();
        (1..=2).for_each(|seq| add(&stream, seq));
        give(&group, "x", 1);
        clock.advance(ms(10));
        give(&group, "x", 1);
        thread::scope(|scope| {
            let read = group.consumer("y").read_new().claim_idle(IDLE).block_forever();
            let reader = scope.spawn(move || read.next().unwrap());
            until_waiting(&stream, 1);
            stream.delete(&[id(1)]).unwrap();
            clock.advance(ms(29_995));
            thread::sleep(ms(20));
            assert_eq!(stream.waiting(), 1, "for the second");
            clock.advance(ms(5));
            assert_eq!(told(&reader.join().unwrap()), [(2, 2, 1, 30_000)]);
        });
        assert_eq!(group.pending().unwrap().count, 2, "the first stays pending");
    });
}
