//! `XSETID`: last IDs and counters that are set, forward and back.

#![cfg(feature = "simulation")]

use std::thread;
use std::time::Duration;

use streamlog::sim::{SimDisk, Survival};
use streamlog::{Broker, Builder, Durability, ErrorKind, Id, StartAt, Stream, Trim, check_on};

fn id(ms: u64) -> Id {
    Id::new(ms, 0)
}

fn tiny() -> Builder {
    Broker::builder().background(false).segment_bytes(200).journal_file_bytes(4000)
}

fn open(disk: &SimDisk) -> (Broker, Stream) {
    let broker = tiny().open_on(disk.storage()).unwrap();
    let stream = broker.stream("orders").unwrap();
    (broker, stream)
}

fn in_memory() -> Stream {
    Broker::in_memory().unwrap().stream("orders").unwrap()
}

fn put(stream: &Stream, ids: impl IntoIterator<Item = u64>) {
    for ms in ids {
        stream.entry([("n", ms.to_string())]).id(id(ms)).add().unwrap();
    }
}

fn there(stream: &Stream) -> Vec<u64> {
    let entries = stream.range(..).read().unwrap();
    assert!(entries.iter().all(|entry| entry.text("n").unwrap() == entry.id.ms.to_string()));
    for entry in &entries {
        assert_eq!(stream.get(entry.id).unwrap().as_ref(), Some(entry));
    }
    entries.iter().map(|entry| entry.id.ms).collect()
}

/// The last ID, how many were added, the greatest deleted ID.
fn marks(stream: &Stream) -> (u64, u64, u64) {
    let info = stream.info().unwrap();
    (info.last_id.ms, info.entries_added, info.max_deleted_id.ms)
}

#[test]
fn what_is_not_said_stays() {
    let stream = in_memory();
    put(&stream, 1..=3);
    stream.delete(&[id(2)]).unwrap();
    stream.set_last_id(id(9)).set().unwrap();
    assert_eq!(marks(&stream), (9, 3, 2));
    stream.set_last_id(id(9)).entries_added(20).set().unwrap();
    assert_eq!(marks(&stream), (9, 20, 2));
    stream.set_last_id(id(9)).max_deleted_id(id(5)).set().unwrap();
    assert_eq!(marks(&stream), (9, 20, 5));
    stream.set_last_id(id(9)).max_deleted_id(Id::MIN).set().unwrap();
    assert_eq!(marks(&stream), (9, 20, 5));
    put(&stream, [10]);
    assert_eq!((marks(&stream), there(&stream)), ((10, 21, 5), vec![1, 3, 10]));
}

/// The order is Redis's: what is said wrong comes before what is not there.
#[test]
fn each_mistake_has_its_words() {
    let stream = in_memory();
    let said = |ms: u64, added: Option<u64>, deleted: u64| {
        let set = stream.set_last_id(id(ms)).max_deleted_id(id(deleted));
        let error =
            added.map_or(set, |added| stream.set_last_id(id(ms)).max_deleted_id(id(deleted)).entries_added(added));
        let error = error.set().unwrap_err();
        (error.kind(), error.to_string())
    };
    let smaller = |than: &str| (ErrorKind::IdTooSmall, format!("The ID specified in XSETID is smaller than {than}"));
    assert_eq!(said(3, None, 4), smaller("the provided max_deleted_entry_id"));
    assert_eq!(said(3, None, 0).0, ErrorKind::NoSuchStream);
    put(&stream, 1..=5);
    stream.delete(&[id(4)]).unwrap();
    assert_eq!(said(3, Some(1), 0), smaller("current max_deleted_entry_id"));
    assert_eq!(said(4, Some(1), 0), smaller("the target stream top item"));
    let text = "The entries_added specified in XSETID is smaller than the target stream length";
    assert_eq!(said(5, Some(3), 0), (ErrorKind::InvalidArgument, text.to_owned()));
    stream.set_last_id(id(5)).entries_added(4).set().unwrap();
    assert_eq!(marks(&stream), (5, 4, 4));
}

#[test]
fn ids_follow_the_last_that_was_set() {
    let stream = in_memory();
    put(&stream, 1..=3);
    let far = Id::new(1 << 60, 7);
    stream.set_last_id(far).set().unwrap();
    assert_eq!(stream.add([("n", "")]).unwrap(), Id::new(1 << 60, 8));
    stream.set_last_id(Id::MAX).set().unwrap();
    assert_eq!(stream.add([("n", "")]).unwrap_err().kind(), ErrorKind::IdsExhausted);
    assert_eq!(stream.read(StartAt::End).next().unwrap(), []);
    stream.set_last_id(far.next().unwrap()).set().unwrap();
    stream.add([("n", "")]).unwrap();
}

/// Length, last ID and counters follow the published position: a last ID that waits for its sync is not seen, nor does it hide
/// entries.
#[test]
fn a_last_id_is_seen_when_it_is_durable() {
    let disk = SimDisk::new(1);
    let (broker, stream) = open(&disk);
    put(&stream, 1..=3);
    let seen = stream.clone();
    disk.meanwhile("journal", 1, move || {
        assert_eq!((marks(&seen), there(&seen)), ((3, 3, 0), vec![1, 2, 3]));
    });
    stream.set_last_id(id(9)).entries_added(3).set().unwrap();
    assert!(!disk.forget_meanwhile(), "somebody looked");
    assert_eq!(marks(&stream), (9, 3, 0));
    broker.close().unwrap();
}

#[test]
fn fewer_entries_may_count_as_added_than_wait_to_be_seen() {
    let broker = Broker::builder().background(false).open_in_memory().unwrap();
    let stream = broker.stream("orders").unwrap();
    put(&stream, 1..=9);
    stream.trim(Trim::max_len(0)).unwrap();
    stream.set_last_id(id(9)).entries_added(0).set().unwrap();
    thread::scope(|scope| {
        for n in 0..4 {
            let stream = &stream;
            scope.spawn(move || {
                for _ in 0..50 {
                    let level = if n % 2 == 0 { Durability::Always } else { Durability::Os };
                    stream.entry([("n", "")]).durability(level).add().unwrap();
                    stream.info().unwrap();
                    stream.trim(Trim::max_len(2)).unwrap();
                    // The last ID has moved on, or there are more entries: whatever is refused, nothing may panic.
                    drop(stream.set_last_id(stream.info().unwrap().last_id).entries_added(3).set());
                }
            });
        }
    });
    broker.sync().unwrap();
    assert!(stream.info().unwrap().length <= 2);
}

/// A stream whose last entries are gone from the end: `1..=left` are there of `1..=20`.
fn emptied(broker: &Broker, stream: &Stream, left: u64, checkpoints: u8) {
    put(stream, 1..=20);
    let group = stream.group("g").from_start().create().unwrap();
    group.consumer("c").read_new().count(3).next().unwrap();
    if checkpoints & 1 != 0 {
        broker.checkpoint().unwrap();
    }
    if left == 0 {
        stream.trim(Trim::max_len(0)).unwrap();
    } else {
        // Of what is deleted the greatest ID stays: it must be set back first, which Redis allows at the last ID only.
        stream.delete(&(left + 1..=20).map(id).collect::<Vec<_>>()).unwrap();
        stream.set_last_id(id(20)).max_deleted_id(id(1)).set().unwrap();
    }
    if checkpoints & 2 != 0 {
        broker.checkpoint().unwrap();
    }
}

#[test]
fn a_last_id_set_back_lets_ids_come_again() {
    for (left, checkpoints, survival) in (0..3).flat_map(|left| {
        (0..8).flat_map(move |checkpoints| {
            [Survival::Kill, Survival::Nothing].map(move |survival| (left * 5, checkpoints, survival))
        })
    }) {
        let disk = SimDisk::new(1);
        let (broker, stream) = open(&disk);
        emptied(&broker, &stream, left, checkpoints);
        stream.set_last_id(id(left + 1)).set().unwrap();
        if checkpoints & 4 != 0 {
            broker.checkpoint().unwrap();
        }
        assert_eq!(marks(&stream), (left + 1, 20, u64::from(left > 0)));
        put(&stream, left + 2..=30);
        let expected: Vec<_> = (1..=left).chain(left + 2..=30).collect();
        assert_eq!(there(&stream), expected);
        assert_eq!(stream.group("g").existing().unwrap().pending().unwrap().count, 3);
        broker.crash();
        disk.restart(survival);
        assert!(check_on(disk.storage()).unwrap().is_ok());
        let (broker, stream) = open(&disk);
        assert_eq!(there(&stream), expected, "{left}, {checkpoints}, {survival:?}");
        assert_eq!(marks(&stream).0, 30);
        broker.close().unwrap();
        assert!(check_on(disk.storage()).unwrap().is_ok());
        assert_eq!(disk.storage().list("streams").unwrap().len(), 1, "the files of the stream before are gone");
        disk.storage().remove("state.redb").unwrap();
        let (broker, stream) = open(&disk);
        assert_eq!(there(&stream), expected);
        broker.close().unwrap();
        assert!(check_on(disk.storage()).unwrap().is_ok());
    }
}

/// A rebuilding cuts segments back to what the journal has, and must not take the last ID for the last entry's.
#[test]
fn a_last_id_beyond_the_last_entry_comes_back_without_redb() {
    for added_later in [0, 5] {
        let disk = SimDisk::new(1);
        let (broker, stream) = open(&disk);
        put(&stream, 1..=20);
        broker.checkpoint().unwrap();
        stream.set_last_id(id(100)).entries_added(500).set().unwrap();
        broker.checkpoint().unwrap();
        // A journal file whose snapshot has that last ID, and segments that have more entries than it.
        put(&stream, 101..101 + added_later);
        stream.set_last_id(id(1000)).set().unwrap();
        broker.flush_all().unwrap();
        broker.crash();
        disk.restart(Survival::Kill);
        disk.storage().remove("state.redb").unwrap();
        let (broker, stream) = open(&disk);
        assert_eq!(marks(&stream), (1000, 500 + added_later, 0));
        assert_eq!(there(&stream), (1..=20).chain(101..101 + added_later).collect::<Vec<_>>());
        broker.close().unwrap();
        let report = check_on(disk.storage()).unwrap();
        assert!(report.is_ok(), "{:?}", report.problems);
        let (_broker, stream) = open(&disk);
        put(&stream, [1001]);
        assert_eq!(there(&stream).last(), Some(&1001));
    }
}

#[test]
fn readers_wait_on_when_the_last_id_is_set_back() {
    let stream = in_memory();
    put(&stream, 1..=9);
    stream.trim(Trim::max_len(0)).unwrap();
    let group = stream.group("g").create().unwrap();
    thread::scope(|scope| {
        let fetch = scope.spawn(|| group.consumer("a").fetch().block_forever().next());
        let new = scope.spawn(|| group.consumer("b").read_new().block_forever().next());
        while stream.waiting() < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        stream.set_last_id(id(3)).set().unwrap();
        group.set_cursor(id(3)).unwrap();
        put(&stream, [4, 5]);
        let mut got = [fetch, new].map(|waiter| waiter.join().unwrap().unwrap().ids());
        got.sort();
        assert_eq!(got, [[id(4)], [id(5)]]);
    });
}

/// The counter is any number that one says. The next add recorded its entry and then panicked, and so did each opening after
/// it.
#[test]
fn a_stream_that_counts_as_many_entries_as_can_be_counted_takes_more() {
    let disk = SimDisk::new(1);
    let (broker, stream) = open(&disk);
    put(&stream, [1]);
    stream.set_last_id(id(1)).entries_added(u64::MAX).set().unwrap();
    let group = stream.group("g").start_at(id(1)).entries_read(u64::MAX).create().unwrap();
    put(&stream, [2, 3]);
    assert_eq!(group.consumer("a").read_new().count(5).next().unwrap().ids(), [id(2), id(3)]);
    broker.crash();
    disk.restart(Survival::Nothing);
    let (_broker, stream) = open(&disk);
    assert_eq!((there(&stream), stream.info().unwrap().entries_added), (vec![1, 2, 3], u64::MAX));
}

/// What was delivered and then trimmed came to lie after the stream's front, when its last ID was set back and entries were added again.
/// Of all that does the stream was taken to have the entries: whoever wanted to claim it was told that it is not idle, and it stayed
/// pending for ever.
#[test]
fn what_was_trimmed_before_the_last_id_was_set_back_is_found_to_be_gone() {
    let broker = Broker::in_memory().unwrap();
    let orders = broker.stream("orders").unwrap();
    orders.group("billing").from_start().create().unwrap();
    put(&orders, [5]);
    orders.group("billing").existing().unwrap().consumer("x").read_new().next().unwrap();
    orders.trim(Trim::max_len(0)).unwrap();
    // Its log has never had the entry.
    orders.copy_to("copy").unwrap();
    for name in ["orders", "copy"] {
        let stream = broker.stream(name).unwrap();
        stream.set_last_id(id(1)).set().unwrap();
        put(&stream, [2, 9]);
        let consumer = stream.group("billing").existing().unwrap().consumer("y");
        let claimed = consumer.auto_claim(Duration::from_secs(3600)).run().unwrap();
        assert_eq!(claimed.messages.deleted(), [id(5)], "{name}");
    }
}
