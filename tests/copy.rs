//! Copies: everything of a stream as it was at one moment, and nothing that its original becomes later.

#![cfg(feature = "simulation")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use streamlog::sim::{SimDisk, Survival};
use streamlog::{
    Broker, Builder, Durability, ErrorKind, Id, Idempotency, Idempotent, ManualClock, Retention, Stream, Trim, check_on,
};

fn id(seq: u64) -> Id {
    Id::new(1, seq)
}

fn tiny() -> Builder {
    Broker::builder().background(false).segment_bytes(200).journal_file_bytes(4000).cache_bytes(0).open_files_max(1)
}

fn open(disk: &SimDisk) -> Broker {
    tiny().open_on(disk.storage()).unwrap()
}

fn named(broker: &Broker, name: &str) -> Stream {
    broker.stream(name).unwrap()
}

fn put(stream: &Stream, seqs: impl IntoIterator<Item = u64>) {
    for seq in seqs {
        stream.entry([("n", seq.to_string())]).id(id(seq)).add().unwrap();
    }
}

fn seqs(stream: &Stream) -> Vec<u64> {
    let entries = stream.range(..).read().unwrap();
    assert!(entries.iter().all(|entry| entry.text("n").unwrap() == entry.id.seq.to_string()));
    entries.iter().map(|entry| entry.id.seq).collect()
}

/// A stream with something of everything: entries in segments and not, trimmed, deleted, delivered, acknowledged and given
/// back; producers, retention.
fn rich(broker: &Broker) -> Stream {
    let stream = named(broker, "rich");
    put(&stream, 1..=40);
    stream.set_idempotency(Idempotency::default().seconds(3600).unwrap()).unwrap();
    let group = stream.group("g").from_start().create().unwrap();
    group.consumer("one").read_new().count(20).next().unwrap();
    group.consumer("two").read_new().count(4).next().unwrap();
    group.ack(&[id(9), id(10), id(22)]).unwrap();
    group.nack(&[id(11)]).after(Duration::from_secs(7)).run().unwrap();
    stream.group("behind").start_at(id(17)).create().unwrap();
    stream.trim(Trim::max_len(35)).unwrap();
    stream.delete(&[id(12), id(13), id(30)]).unwrap();
    broker.flush_all().unwrap();
    put(&stream, 41..=45);
    stream.set_retention(Retention::default().max_len(1000)).unwrap();
    stream.entry([("n", "46")]).id(id(46)).add().unwrap();
    stream
}

/// All that can be seen of a stream, but for its place on the disk.
fn seen(stream: &Stream) -> String {
    let mut info = stream.info().unwrap();
    (info.bytes, info.disk_bytes, info.segments) = (0, 0, 0);
    let groups: Vec<_> =
        stream.groups().unwrap().into_iter().map(|info| stream.group(&info.name).existing().unwrap()).collect();
    let groups: Vec<_> = groups
        .iter()
        .map(|group| (group.info().unwrap(), group.consumers().unwrap(), group.pending_range(..).read().unwrap()))
        .collect();
    format!("{info:?}\n{groups:?}\n{:?}", stream.range(..).read().unwrap())
}

#[test]
fn a_copy_has_all_that_the_stream_has() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::at(1000));
    let open = || tiny().clock(clock.clone()).open_on(disk.storage()).unwrap();
    let broker = open();
    let stream = rich(&broker);
    clock.advance(Duration::from_millis(100));
    let before = seen(&stream);
    assert!(stream.copy_to_new("copy").unwrap());
    assert_eq!(seen(&stream), before);
    assert_eq!(seen(&named(&broker, "copy")), before);
    broker.crash();
    disk.restart(Survival::Nothing);
    let broker = open();
    assert_eq!(seen(&named(&broker, "copy")), before);
    broker.close().unwrap();
    assert!(check_on(disk.storage()).unwrap().is_ok());
    let broker = open();
    assert_eq!(seen(&named(&broker, "copy")), before);
    // A copy of a copy.
    named(&broker, "copy").copy_to("again").unwrap();
    assert_eq!(seen(&named(&broker, "again")), before);
}

#[test]
fn a_copy_remembers_what_producers_added() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    let stream = named(&broker, "orders");
    let once = |stream: &Stream| stream.entry([("n", "1")]).idempotent(Idempotent::new("shop", "4711")).add().unwrap();
    let first = once(&stream);
    stream.copy_to("copy").unwrap();
    let copy = named(&broker, "copy");
    assert_eq!((once(&copy), copy.len().unwrap()), (first, 1));
    broker.close().unwrap();
    assert_eq!(once(&named(&open(&disk), "copy")), first);
}

#[test]
fn stream_and_copy_go_ways_of_their_own() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    let stream = rich(&broker);
    stream.copy_to("copy").unwrap();
    let (copy, before) = (named(&broker, "copy"), seqs(&stream));
    put(&copy, [50]);
    copy.delete(&[id(20)]).unwrap();
    copy.group("g").existing().unwrap().ack(&[id(14)]).unwrap();
    assert_eq!(seqs(&stream), before);
    assert!(stream.group("g").existing().unwrap().pending_range(id(14)..=id(14)).read().unwrap().len() == 1);
    stream.delete_stream().unwrap();
    let left: Vec<_> = before.into_iter().filter(|&seq| seq != 20).chain([50]).collect();
    for _ in 0..2 {
        broker.checkpoint().unwrap();
        assert_eq!(seqs(&copy), left);
    }
    assert_eq!(broker.streams().unwrap(), ["copy"]);
}

#[test]
fn what_redis_refuses_is_refused() {
    let broker = Broker::in_memory().unwrap();
    let (one, two) = (named(&broker, "one"), named(&broker, "two"));
    assert_eq!(one.copy_to("two").unwrap_err().kind(), ErrorKind::NoSuchStream);
    put(&one, [1]);
    put(&two, [2]);
    assert!(!one.copy_to_new("two").unwrap());
    assert_eq!(seqs(&two), [2]);
    assert_eq!(one.copy_to("one").unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(one.copy_to("").unwrap_err().kind(), ErrorKind::InvalidName);
    one.copy_to("two").unwrap();
    assert_eq!(seqs(&two), [1]);
}

#[test]
fn an_empty_stream_is_copied_with_its_last_id() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    let stream = named(&broker, "stream");
    put(&stream, 1..=9);
    stream.trim(Trim::max_len(0)).unwrap();
    stream.copy_to("copy").unwrap();
    broker.close().unwrap();
    let broker = open(&disk);
    let copy = named(&broker, "copy");
    let info = copy.info().unwrap();
    assert_eq!((info.length, info.last_id, info.entries_added), (0, id(9), 9));
    assert_eq!(copy.entry([("n", "5")]).id(id(5)).add().unwrap_err().kind(), ErrorKind::IdTooSmall);
    put(&copy, [10]);
    assert_eq!(seqs(&copy), [10]);
}

#[test]
fn a_copy_that_replaces_a_stream_leaves_none_of_its_files() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    put(&named(&broker, "from"), 1..=9);
    put(&named(&broker, "to"), 11..=19);
    broker.checkpoint().unwrap();
    named(&broker, "from").copy_to("to").unwrap();
    broker.checkpoint().unwrap();
    assert_eq!(disk.storage().list("streams").unwrap(), ["1", "3"]);
    broker.crash();
    disk.restart(Survival::Nothing);
    assert_eq!(seqs(&named(&open(&disk), "to")), (1..=9).collect::<Vec<_>>());
}

#[test]
fn a_copy_comes_back_without_redb() {
    for checkpoint in [false, true] {
        let disk = SimDisk::new(1);
        let broker = open(&disk);
        let stream = rich(&broker);
        stream.copy_to("copy").unwrap();
        let before = seqs(&stream);
        if checkpoint {
            broker.checkpoint().unwrap();
        }
        broker.crash();
        disk.restart(Survival::Kill);
        disk.storage().remove("state.redb").unwrap();
        let broker = open(&disk);
        assert_eq!(seqs(&named(&broker, "copy")), before);
        let again = named(&broker, "copy").group("g").existing().unwrap().consumer("new");
        let again = again.read_new().count(100).next().unwrap().len();
        assert!(again >= 20, "what was not acknowledged is delivered again: {again}");
    }
}

#[test]
fn nobody_sees_a_part_of_a_copy_nor_nothing_in_its_place() {
    let broker = Broker::builder().segment_bytes(4000).tail_bytes(4000).cache_bytes(0).open_in_memory().unwrap();
    let (from, to) = (named(&broker, "from"), named(&broker, "to"));
    put(&from, 1..=300);
    from.copy_to("to").unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(to.len().unwrap(), 300);
                assert_eq!(to.info().unwrap().last_id, id(300));
                assert_eq!(to.range(..).read().unwrap().len(), 300);
                reads += 1;
            }
            reads
        });
        for _ in 0..50 {
            from.copy_to("to").unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}

/// Two entries are added as one, two others deleted as one, and none is trimmed without its fellow.
#[test]
fn a_copy_is_the_stream_at_one_moment() {
    let builder = Broker::builder().durability(Durability::Os).segment_bytes(500).tail_bytes(500).cache_bytes(0);
    let broker = builder.open_in_memory().unwrap();
    let from = named(&broker, "from");
    let pair = |n: u64| {
        let mut batch = from.batch();
        batch.push_with_id(Id::new(n, 1), [("n", "")]).unwrap();
        batch.push_with_id(Id::new(n, 2), [("n", "")]).unwrap();
        batch.add().unwrap();
    };
    (1..=200).for_each(pair);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 201.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                pair(n);
                let old = n - 100;
                if n % 2 == 0 {
                    from.delete(&[Id::new(old, 1), Id::new(old, 2)]).unwrap();
                }
                if n % 16 == 0 {
                    from.trim(Trim::min_id(Id::new(n - 180, 0))).unwrap();
                }
                if n % 64 == 0 {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let mut lengths = Vec::new();
        for round in 0..30 {
            let name = format!("copy-{round}");
            from.copy_to(&name).unwrap();
            let copy = named(&broker, &name);
            let (info, entries) = (copy.info().unwrap(), copy.range(..).read().unwrap());
            assert_eq!(info.length, entries.len() as u64);
            assert_eq!(info.entries_added, info.last_id.ms * 2, "what was counted is what there was");
            assert!(entries.chunks(2).all(|pair| pair.len() == 2 && pair[0].id.ms == pair[1].id.ms), "{entries:?}");
            // Only now and then one was deleted since: every other is gone, up to a hundred before the last.
            let last = info.last_id.ms;
            let there = |n: u64| entries.iter().any(|entry| entry.id == Id::new(n, 1));
            assert!((last.saturating_sub(98)..=last).all(there), "{last}");
            lengths.push(info.length);
            copy.delete_stream().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(lengths.iter().all(|length| *length > 100));
    });
}
