//! What is scheduled, when it comes, and what becomes of it when its stream does not stay what it is.

use std::thread;
use std::time::{Duration, Instant};

use streamlog::sim::SimDisk;
use streamlog::{Broker, DelayedId, Durability, ErrorKind, Id, IdSpec, Idempotent, ManualClock, StartAt, Trim};

use crate::{START_MS, add_due, entries, in_memory, numbers, schedule, tiny};

#[test]
fn an_entry_is_added_when_it_is_due_with_the_id_of_that_time() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let orders = broker.stream("orders").unwrap();
    let delayed = orders.entry([("n", "1")]).delay(Duration::from_millis(500)).schedule().unwrap();
    assert_eq!(delayed.due_ms(), START_MS + 500);
    assert!(orders.exists(), "it was created, as an add would have done");
    orders.add([("n", "2")]).unwrap();
    for ms in [0, 499] {
        clock.set(START_MS + ms);
        assert_eq!(broker.due_step().unwrap(), 0, "at {ms}");
    }
    clock.set(START_MS + 500);
    assert_eq!(broker.due_step().unwrap(), 1);
    assert_eq!(broker.due_step().unwrap(), 0, "once");
    assert_eq!(entries(&orders), [(Id::new(START_MS, 0), 2), (Id::new(START_MS + 500, 0), 1)]);
    assert_eq!(orders.info().unwrap().entries_added, 2);
    assert!(orders.delayed().unwrap().is_empty());
}

#[test]
fn entries_are_added_in_the_order_of_their_times_and_then_as_they_were_scheduled() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let orders = broker.stream("orders").unwrap();
    for (n, due) in [(1, 30), (2, 10), (3, 20), (4, 10), (5, 0)] {
        schedule(&orders, n, START_MS + due);
    }
    let due: Vec<u64> = orders.delayed().unwrap().iter().map(|delayed| delayed.due_ms() - START_MS).collect();
    assert_eq!(due, [0, 10, 10, 20, 30]);
    clock.set(START_MS + 20);
    assert_eq!(add_due(&broker), 4);
    assert_eq!(numbers(&orders), [5, 2, 4, 3]);
    let in_one_millisecond: Vec<Id> = (0..4).map(|seq| Id::new(START_MS + 20, seq)).collect();
    assert_eq!(entries(&orders).iter().map(|(id, _)| *id).collect::<Vec<_>>(), in_one_millisecond);
}

#[test]
fn a_time_beyond_all_times_never_comes_and_one_that_has_passed_is_now() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let orders = broker.stream("orders").unwrap();
    let never = orders.entry([("n", "1")]).delay(Duration::MAX).schedule().unwrap();
    assert_eq!(never.due_ms(), u64::MAX);
    schedule(&orders, 2, 0);
    clock.set(u64::MAX - 1);
    assert_eq!(add_due(&broker), 1);
    assert_eq!(numbers(&orders), [2]);
    assert!(never.cancel().unwrap());
}

#[test]
fn a_clock_that_goes_back_delays_what_is_not_due_and_takes_nothing_back() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let orders = broker.stream("orders").unwrap();
    schedule(&orders, 1, START_MS + 10);
    schedule(&orders, 2, START_MS + 20);
    clock.set(START_MS + 10);
    assert_eq!(add_due(&broker), 1);
    clock.set(5);
    assert_eq!(add_due(&broker), 0);
    clock.set(START_MS + 20);
    assert_eq!(add_due(&broker), 1);
    assert_eq!(numbers(&orders), [1, 2]);
}

#[test]
fn what_was_cancelled_is_not_added_and_what_was_added_cannot_be_cancelled() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let orders = broker.stream("orders").unwrap();
    let other = broker.stream("other").unwrap();
    other.create().unwrap();
    let first = schedule(&orders, 1, START_MS + 1);
    let second = schedule(&orders, 2, START_MS + 1);
    let text = first.id().to_string();
    let id: DelayedId = text.parse().unwrap();
    assert_eq!(id, first.id());
    assert!(!other.cancel_delayed(id).unwrap(), "it is another stream's");
    assert!(orders.cancel_delayed(id).unwrap());
    assert!(!orders.cancel_delayed(id).unwrap());
    assert!(!first.cancel().unwrap());
    clock.set(START_MS + 1);
    assert_eq!(add_due(&broker), 1);
    assert_eq!(numbers(&orders), [2]);
    assert!(!second.cancel().unwrap());
    for bad in ["", "5", "x", "5-1-1", "05-1", "5-*"] {
        assert_eq!(bad.parse::<DelayedId>().unwrap_err().kind(), ErrorKind::InvalidId, "{bad}");
    }
}

#[test]
fn an_entry_with_an_id_or_a_trim_cannot_be_delayed_and_creates_no_stream() {
    let broker = in_memory(&ManualClock::at(START_MS));
    let orders = broker.stream("orders").unwrap();
    let with_id = orders.entry([("n", "1")]).id(IdSpec::AutoSeq(5)).at(7).schedule();
    assert_eq!(with_id.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let with_trim = orders.entry([("n", "1")]).trim(Trim::max_len(1)).at(7).schedule();
    assert_eq!(with_trim.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let once = orders.entry([("n", "1")]).idempotent(Idempotent::new("p", "1")).at(7).schedule();
    assert_eq!(once.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let nowhere = orders.entry([("n", "1")]).existing_stream().at(7).schedule();
    assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::NoSuchStream);
    let none: [(&str, &str); 0] = [];
    assert_eq!(orders.entry(none).at(7).schedule().unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(broker.streams().unwrap().is_empty());
    let broker = tiny(&ManualClock::at(1)).max_entry_bytes(10).open_in_memory().unwrap();
    let orders = broker.stream("orders").unwrap();
    let large = orders.entry([("n", "0123456789")]).at(7).schedule();
    assert_eq!(large.unwrap_err().kind(), ErrorKind::TooLarge);
    orders.entry([("n", "0123456")]).at(1).schedule().unwrap();
    assert_eq!(broker.due_step().unwrap(), 1, "the limit is the entry's, whatever stands before it until it is due");
    assert!(broker.streams().unwrap() == ["orders"]);
}

#[test]
fn nobody_sees_where_delayed_entries_are_kept() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    schedule(&broker.stream("orders").unwrap(), 1, START_MS + 1);
    assert_eq!(broker.streams().unwrap(), ["orders"]);
    for name in ["\0delayed", "\0", "\0x"] {
        assert_eq!(broker.stream(name).unwrap_err().kind(), ErrorKind::InvalidName);
    }
    assert_eq!(broker.stream("orders").unwrap().len().unwrap(), 0);
    broker.trim_step().unwrap();
    clock.set(START_MS + 1);
    assert_eq!(add_due(&broker), 1);
}

#[test]
fn with_its_stream_deleted_an_entry_is_dropped_also_if_there_is_a_new_stream_of_that_name() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let orders = broker.stream("orders").unwrap();
    let other = broker.stream("other").unwrap();
    let dropped = schedule(&orders, 1, START_MS + 1);
    schedule(&other, 2, START_MS + 1);
    orders.delete_stream().unwrap();
    assert_eq!(orders.delayed().unwrap_err().kind(), ErrorKind::NoSuchStream);
    assert_eq!(orders.cancel_delayed(dropped.id()).unwrap_err().kind(), ErrorKind::NoSuchStream);
    orders.create().unwrap();
    assert!(orders.delayed().unwrap().is_empty());
    assert!(!orders.cancel_delayed(dropped.id()).unwrap(), "it was another's");
    schedule(&orders, 3, START_MS + 1);
    clock.set(START_MS + 1);
    assert_eq!(add_due(&broker), 3);
    assert_eq!((numbers(&orders), numbers(&other)), (vec![3], vec![2]));
    assert_eq!(broker.streams().unwrap(), ["orders", "other"]);
}

#[test]
fn an_entry_follows_its_stream_to_another_name_and_stays_when_the_stream_is_made_anew() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let (orders, refunds) = (broker.stream("orders").unwrap(), broker.stream("refunds").unwrap());
    let first = schedule(&orders, 1, START_MS + 10);
    schedule(&orders, 2, START_MS + 10);
    schedule(&refunds, 3, START_MS + 10);
    orders.rename_to("refunds").unwrap();
    assert_eq!(refunds.delayed().unwrap().len(), 2, "what the name had before is dropped");
    orders.create().unwrap();
    assert!(orders.delayed().unwrap().is_empty());
    assert!(!orders.cancel_delayed(first.id()).unwrap());

    // The last ID goes back, behind entries that were there: the stream gets another number.
    refunds.entry([("n", "9")]).id(Id::new(START_MS + 99, 0)).add().unwrap();
    refunds.trim(Trim::max_len(0)).unwrap();
    refunds.set_last_id(Id::new(5, 0)).set().unwrap();
    let other = schedule(&refunds, 4, START_MS + 10);
    assert_eq!(refunds.delayed().unwrap().len(), 3);
    refunds.copy_to("copy").unwrap();
    assert!(broker.stream("copy").unwrap().delayed().unwrap().is_empty(), "a copy gets none");
    assert!(first.cancel().unwrap(), "a handle goes on");
    assert!(refunds.cancel_delayed(other.id()).unwrap());
    clock.set(START_MS + 10);
    assert_eq!(add_due(&broker), 2);
    assert_eq!(entries(&refunds), [(Id::new(START_MS + 10, 0), 2)]);
    assert!(numbers(&orders).is_empty());
}

#[test]
fn one_of_a_stream_that_has_had_its_last_id_stays_and_holds_nothing_up() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let full = broker.stream("full").unwrap();
    let orders = broker.stream("orders").unwrap();
    full.entry([("n", "0")]).id(Id::MAX).add().unwrap();
    let stuck = schedule(&full, 1, START_MS + 1);
    schedule(&orders, 2, START_MS + 2);
    clock.set(START_MS + 2);
    add_due(&broker);
    assert_eq!(numbers(&orders), [2]);
    assert_eq!(full.delayed().unwrap().len(), 1);
    assert_eq!(broker.due_step().unwrap(), 0, "it is not tried again and again");
    clock.advance(Duration::from_secs(3601));
    assert_eq!(broker.due_step().unwrap(), 1, "it is tried again");
    assert!(stuck.cancel().unwrap());
    clock.advance(Duration::from_secs(3601));
    assert_eq!(broker.due_step().unwrap(), 0);
}

#[test]
fn ten_thousand_entries_that_are_due_at_once_are_all_added_in_order() {
    let clock = ManualClock::at(START_MS);
    let broker = Broker::builder().clock(clock.clone()).background(false).durability(Durability::Os);
    let broker = broker.segment_bytes(64 << 10).tail_bytes(128 << 10).open_in_memory().unwrap();
    let streams = ["a", "b", "c"].map(|name| broker.stream(name).unwrap());
    for n in 0..10_000 {
        schedule(&streams[(n % 3) as usize], n, START_MS + 1 + n % 2);
    }
    clock.set(START_MS + 2);
    assert_eq!(add_due(&broker), 10_000);
    for (at, stream) in (0..).zip(&streams) {
        // The odd ones were due a millisecond later.
        let mine = |odd| (0..10_000).filter(move |n| n % 3 == at && n % 2 == odd);
        assert_eq!(numbers(stream), mine(0).chain(mine(1)).collect::<Vec<_>>());
    }
    broker.checkpoint().unwrap();
    assert_eq!(broker.schedule_size(), Some((0, 0)), "nothing is left, and its segments went");
}

#[test]
fn what_waits_for_long_keeps_its_own_segment_and_no_other() {
    let clock = ManualClock::at(START_MS);
    let disk = SimDisk::new(1);
    let broker = tiny(&clock).open_on(disk.storage()).unwrap();
    let orders = broker.stream("orders").unwrap();
    schedule(&orders, 0, u64::MAX);
    for n in 1..400 {
        schedule(&orders, n, START_MS + 1);
    }
    broker.checkpoint().unwrap();
    let bytes = |disk: &SimDisk| -> u64 {
        let paths = disk.list_all().into_iter().filter(|path| path.starts_with("streams/2/"));
        paths.map(|path| disk.storage().open(&path).unwrap().len().unwrap()).sum()
    };
    let before = bytes(&disk);
    clock.set(START_MS + 1);
    assert_eq!(add_due(&broker), 399);
    broker.checkpoint().unwrap();
    assert!(before > 20_000 && bytes(&disk) < before / 3, "{before} bytes, and now {}", bytes(&disk));
    assert_eq!(orders.delayed().unwrap().len(), 1);
    broker.close().unwrap();
    let broker = tiny(&clock).open_on(disk.storage()).unwrap();
    assert_eq!(broker.stream("orders").unwrap().delayed().unwrap().len(), 1);
}

#[test]
fn what_fell_due_while_closed_is_added_soon_after_opening() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    orders.entry([("n", "1")]).delay(Duration::from_millis(50)).schedule().unwrap();
    orders.entry([("n", "2")]).delay(Duration::from_secs(3600)).schedule().unwrap();
    drop(orders);
    broker.close().unwrap();
    thread::sleep(Duration::from_millis(60));
    let broker = Broker::open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    let read = orders.read(StartAt::Start).block(Duration::from_secs(20)).next().unwrap();
    assert_eq!(read[0].text("n").unwrap(), "1");
    assert_eq!(orders.delayed().unwrap().len(), 1);
}

#[test]
fn blocked_readers_are_woken_by_what_falls_due_and_not_before() {
    let broker = Broker::in_memory().unwrap();
    let orders = broker.stream("orders").unwrap();
    let billing = orders.group("billing").from_start().ensure().unwrap();
    let begun = Instant::now();
    thread::scope(|scope| {
        let plain = scope.spawn(|| orders.read(StartAt::End).block(Duration::from_secs(20)).next().unwrap());
        let worker =
            scope.spawn(|| billing.consumer("ann").fetch().count(9).block(Duration::from_secs(20)).next().unwrap());
        while orders.waiting() < 2 {
            thread::yield_now();
        }
        // The background sleeps until the later one is due.
        orders.entry([("n", "2")]).delay(Duration::from_secs(3600)).schedule().unwrap();
        orders.entry([("n", "1")]).delay(Duration::from_millis(100)).schedule().unwrap();
        assert_eq!(plain.join().unwrap()[0].text("n").unwrap(), "1");
        assert!(begun.elapsed() >= Duration::from_millis(100));
        let got = worker.join().unwrap();
        assert_eq!((got.len(), got[0].text("n").unwrap()), (1, "1"));
    });
}

#[test]
fn of_a_cancel_and_a_step_that_meet_one_has_the_entry() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let orders = broker.stream("orders").unwrap();
    let mut both = 0;
    for round in 0..1000 {
        if both == 3 {
            return;
        }
        // So many that a step is under way for some time.
        let delayed: Vec<_> = (0..250).map(|n| schedule(&orders, n, START_MS)).collect();
        let cancelled = thread::scope(|scope| {
            let steps = scope.spawn(|| add_due(&broker));
            let cancelled = delayed.iter().rev().filter(|delayed| delayed.cancel().unwrap()).count();
            steps.join().unwrap();
            cancelled
        });
        add_due(&broker);
        let added = orders.trim(Trim::max_len(0)).unwrap();
        assert_eq!(added + cancelled as u64, 250, "in round {round}");
        both += usize::from(added > 0 && cancelled > 0);
    }
    panic!("they hardly ever met");
}
