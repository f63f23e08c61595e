//! Redb lost or damaged costs redeliveries, and nothing else. redb verifies nothing of what it reads: of 300 flipped bits it
//! returned other bytes for more than half, and panicked at a few.

#[path = "common/directory.rs"]
mod directory;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
#[cfg(feature = "simulation")]
use std::path::PathBuf;

use directory::copy_dir;
use streamlog::{Broker, Builder, Durability, ErrorKind, Id, Trim};
use tempfile::TempDir;

const ENTRIES: u64 = 400;

fn builder() -> Builder {
    Broker::builder().durability(Durability::Os).segment_bytes(4096).journal_file_bytes(16 << 10)
}

fn id(n: u64) -> Id {
    Id::new(n, 0)
}

/// A closed directory with entries deleted in the middle and trimmed, groups, and entries pending and acknowledged.
fn closed() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let broker = builder().open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    let billing = orders.group("billing").from_start().ensure().unwrap();
    let worker = billing.consumer("worker");
    for n in 1..=ENTRIES {
        orders.entry([("n", n.to_string())]).id(id(n)).add().unwrap();
        if n % 4 == 0 {
            let batch = worker.read_new().count(3).next().unwrap();
            billing.ack(&batch.iter().map(streamlog::Message::id).take(2).collect::<Vec<_>>()).unwrap();
        }
        if n % 100 == 0 {
            orders.delete(&[id(n - 40), id(n - 39), id(n - 20)]).unwrap();
        }
    }
    orders.trim(Trim::max_len(ENTRIES / 2)).unwrap();
    // So many rows that most of what redb's file holds is in use.
    let many = broker.stream("many").unwrap();
    let mut batch = many.batch();
    (0..4_000).for_each(|n| batch.push([("n", n.to_string())]).unwrap());
    batch.add().unwrap();
    let worker = many.group("group").from_start().ensure().unwrap().consumer("worker");
    drop(worker.read_new().count(4_000).next().unwrap());
    broker.stream("empty").unwrap().create().unwrap();
    broker.stream("deleted").unwrap().add([("n", "1")]).unwrap();
    broker.stream("deleted").unwrap().delete_stream().unwrap();
    broker.close().unwrap();
    directory
}

/// What may not change, and what the group has not acknowledged: pending or after its cursor.
#[derive(Debug, PartialEq)]
struct Seen {
    streams: Vec<String>,
    entries: BTreeMap<Id, String>,
    counters: [u64; 2],
    open: Vec<Id>,
    /// The same of the stream with many entries.
    open_of_many: Vec<Id>,
}

fn see(broker: &Broker) -> Seen {
    let orders = broker.stream("orders").unwrap();
    let entries = orders.range(..).read().unwrap();
    let info = orders.info().unwrap();
    let group = orders.group("billing").existing().unwrap().info().unwrap();
    let pending = orders.group("billing").existing().unwrap().pending_range(..).count(1000).read().unwrap();
    let is_open = |id: &Id| *id > group.last_delivered_id || pending.iter().any(|row| row.id == *id);
    let many = broker.stream("many").unwrap();
    let group_of_many = many.group("group").existing().unwrap();
    let cursor = group_of_many.info().unwrap().last_delivered_id;
    let pending_of_many = group_of_many.pending_range(..).count(usize::MAX).read().unwrap();
    let pending_of_many: std::collections::BTreeSet<Id> = pending_of_many.iter().map(|row| row.id).collect();
    let ids_of_many = many.range(..).read().unwrap().into_iter().map(|entry| entry.id);
    Seen {
        open_of_many: ids_of_many.filter(|id| *id > cursor || pending_of_many.contains(id)).collect(),
        streams: broker.streams().unwrap(),
        open: entries.iter().map(|entry| entry.id).filter(is_open).collect(),
        entries: entries.iter().map(|entry| (entry.id, entry.text("n").unwrap().to_owned())).collect(),
        counters: [info.length, info.entries_added],
    }
}

/// Opens the directory; returns whether redb was rebuilt.
fn assert_only_redelivers(directory: &Path, before: &Seen, story: &str) -> bool {
    let missing = !directory.join("state.redb").exists();
    let broker = builder().open(directory).unwrap_or_else(|error| panic!("{story}: {error}"));
    let after = see(&broker);
    let streams = (&after.streams, &after.entries, after.counters);
    assert_eq!(streams, (&before.streams, &before.entries, before.counters), "{story}");
    assert!(before.open.iter().all(|id| after.open.contains(id)), "{story}: {:?}, now {:?}", before.open, after.open);
    assert_eq!(before.open_of_many, after.open_of_many, "all of them, whatever became of redb: {story}");
    let again = after.open.len() > before.open.len();
    broker.stream("orders").unwrap().add([("n", "new")]).unwrap();
    broker.close().unwrap();
    let aside = directory.join("state.redb.damaged").exists();
    assert!(aside || missing || !again, "{story}: nothing is delivered again unless redb was rebuilt");
    aside
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_dir(from, to.path());
    to
}

#[test]
fn a_lost_an_empty_and_a_cut_redb_are_rebuilt() {
    let directory = closed();
    let before = see(&builder().open(copy(directory.path()).path()).unwrap());
    assert!(before.open.len() > 50 && before.open.len() < before.entries.len(), "the test has something to show");
    let len = fs::metadata(directory.path().join("state.redb")).unwrap().len();
    for len in [None, Some(0), Some(100), Some(len / 2), Some(len - 1)] {
        let damaged = copy(directory.path());
        let redb = damaged.path().join("state.redb");
        match len {
            None => fs::remove_file(redb).unwrap(),
            Some(len) => fs::OpenOptions::new().write(true).open(redb).unwrap().set_len(len).unwrap(),
        }
        let aside = assert_only_redelivers(damaged.path(), &before, &format!("cut to {len:?}"));
        assert_eq!(aside, len.is_some(), "what was there is kept for whoever wants to see it");
    }
}

/// A sample of `STREAMLOG_FLIPS` bits, or of 80, spread over the file.
#[test]
fn a_bit_flipped_in_redb_changes_nothing_or_has_it_rebuilt() {
    let directory = closed();
    let before = see(&builder().open(copy(directory.path()).path()).unwrap());
    let bytes = fs::read(directory.path().join("state.redb")).unwrap();
    let flips: usize = std::env::var("STREAMLOG_FLIPS").map_or(80, |flips| flips.parse().unwrap());
    let mut rebuilt = 0;
    // Pages in use are few: half of the flips are where bytes are.
    let used: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    for flip in 0..flips {
        let spread = flip * 2_654_435_761;
        let at = if flip % 2 == 0 { spread % bytes.len() } else { used[spread % used.len()] };
        let damaged = copy(directory.path());
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (spread % 8);
        fs::write(damaged.path().join("state.redb"), bytes).unwrap();
        rebuilt += usize::from(assert_only_redelivers(damaged.path(), &before, &format!("a bit of byte {at}")));
    }
    println!("{rebuilt} of {flips} were noticed");
    assert!(rebuilt > flips / 4, "{rebuilt} of {flips} were noticed");
    assert!(rebuilt < flips, "flips where nothing is stored are of no matter");
}

#[test]
fn redb_lost_together_with_what_it_is_rebuilt_from_is_damage_that_is_named() {
    let directory = closed();
    fs::remove_file(directory.path().join("state.redb")).unwrap();
    for file in fs::read_dir(directory.path().join("journal")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        bytes[100] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let error = builder().open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.place().unwrap().file, "state.redb", "{error}");
    assert!(error.to_string().contains("journal/"), "and why it was not rebuilt: {error}");

    let directory = closed();
    fs::remove_file(directory.path().join("state.redb")).unwrap();
    let mut segments: Vec<_> =
        fs::read_dir(directory.path().join("streams/1")).unwrap().map(|segment| segment.unwrap().path()).collect();
    segments.sort();
    fs::remove_file(&segments[0]).unwrap();
    let error = builder().open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("entries of the stream `orders` are missing"), "{error}");
}

/// A directory without redb whose journal begins with a snapshot that has the entries in memory: only their files say how
/// far the segments go. `before` is done after the last checkpoint. The segments' paths, in order, and the entries' number.
#[cfg(feature = "simulation")]
fn with_segments_to_be_found(before: impl Fn(&streamlog::Stream, &[PathBuf])) -> (TempDir, Vec<PathBuf>, u64) {
    let directory = tempfile::tempdir().unwrap();
    let broker = in_steps().open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    let journal = || fs::read_dir(directory.path().join("journal")).unwrap().count();
    let mut n = 0;
    while journal() < 2 {
        n += 1;
        orders.entry([("n", n.to_string())]).id(id(n)).add().unwrap();
    }
    // The first file goes once they are in segments.
    broker.checkpoint().unwrap();
    let mut segments: Vec<_> =
        fs::read_dir(directory.path().join("streams/1")).unwrap().map(|segment| segment.unwrap().path()).collect();
    segments.sort();
    before(&orders, &segments);
    broker.crash();
    fs::remove_file(directory.path().join("state.redb")).unwrap();
    (directory, segments, n)
}

#[cfg(feature = "simulation")]
fn in_steps() -> Builder {
    builder().segment_bytes(512).journal_file_bytes(4096).background(false)
}

/// Where the first entry's body begins in a segment.
#[cfg(feature = "simulation")]
fn first_body(segment: &[u8]) -> usize {
    segment.windows(3).position(|window| window == b"\x01n\x02").unwrap()
}

/// The story: a segment of which the first entry was damaged looked like one whose entries were all deleted, and all of
/// them were passed over in silence.
#[cfg(feature = "simulation")]
#[test]
fn with_redb_lost_a_damaged_segment_is_not_taken_for_one_of_deleted_entries() {
    let (directory, segments, n) = with_segments_to_be_found(|_, _| {});
    let whole = copy(directory.path());
    assert_eq!(in_steps().open(whole.path()).unwrap().stream("orders").unwrap().len().unwrap(), n);
    let mut bytes = fs::read(&segments[1]).unwrap();
    let body = first_body(&bytes);
    bytes[body] ^= 1;
    fs::write(&segments[1], bytes).unwrap();
    let error = in_steps().open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

/// The story: found by fuzzing. A segment cut off right behind its header looked like one whose entries had all been deleted.
/// Reading them went round and round, and a range that began among them left them out.
#[cfg(feature = "simulation")]
#[test]
fn with_redb_lost_a_segment_without_its_entries_is_damage_unless_they_were_deleted() {
    const FRAME_HEADER_BYTES: usize = 25;
    let first_of = |segment: &Path| -> u64 {
        segment.file_name().unwrap().to_str().unwrap().split('-').next().unwrap().parse().unwrap()
    };
    let inside = |segments: &[PathBuf]| (first_of(&segments[1])..first_of(&segments[2])).map(id).collect::<Vec<_>>();
    for deleted in [false, true] {
        let (directory, segments, n) = with_segments_to_be_found(|orders, segments| {
            if deleted {
                orders.delete(&inside(segments)).unwrap();
            }
        });
        let left = n - inside(&segments).len() as u64;
        let bytes = fs::read(&segments[1]).unwrap();
        fs::write(&segments[1], &bytes[..first_body(&bytes) - FRAME_HEADER_BYTES]).unwrap();
        match in_steps().open(directory.path()) {
            Err(error) => assert!(!deleted && error.kind() == ErrorKind::Corrupt, "{error}"),
            Ok(broker) => {
                assert!(deleted, "{left} of {n} entries are still there");
                let found = broker.stream("orders").unwrap().range(..).read().unwrap();
                assert_eq!(found.len() as u64, left);
            }
        }
    }
}

/// A broker on a simulated disk, with entries in a segment that the journal's snapshot names, and nothing since.
#[cfg(feature = "simulation")]
fn simulated() -> (streamlog::sim::SimDisk, Broker) {
    let disk = streamlog::sim::SimDisk::new(1);
    let broker = in_steps().open_on(disk.storage()).unwrap();
    let orders = broker.stream("orders").unwrap();
    (1..=3).for_each(|n| _ = orders.entry([("n", n.to_string())]).id(id(n)).add().unwrap());
    broker.close().unwrap();
    let broker = in_steps().open_on(disk.storage()).unwrap();
    (disk, broker)
}

#[cfg(feature = "simulation")]
fn entries(broker: &Broker) -> Vec<(u64, String)> {
    let entries = broker.stream("orders").unwrap().range(..).read().unwrap();
    entries.iter().map(|entry| (entry.id.ms, entry.text("n").unwrap().to_owned())).collect()
}

/// The story: the power left in a segment what it took from the journal. The next process never wrote to that segment, was killed, and redb
/// was lost: what lay there was taken for what the new journal had added, which was as long.
#[cfg(feature = "simulation")]
#[test]
fn with_redb_lost_what_a_power_cut_left_in_a_segment_does_not_come_back_in_place_of_later_entries() {
    let (disk, broker) = simulated();
    let journal = disk.list_all().into_iter().find(|path| path.starts_with("journal/0")).unwrap();
    let before = disk.read_all(&journal).unwrap();
    broker.stream("orders").unwrap().entry([("n", "4")]).id(id(4)).add().unwrap();
    broker.flush_all().unwrap();
    broker.crash();
    disk.restart(streamlog::sim::Survival::All);
    assert_ne!(disk.read_all(&journal).unwrap(), before, "what the power takes");
    disk.write_all(&journal, &before);

    let broker = in_steps().open_on(disk.storage()).unwrap();
    assert_eq!(broker.stream("orders").unwrap().len().unwrap(), 3);
    broker.stream("orders").unwrap().entry([("n", "5")]).id(id(5)).add().unwrap();
    let written = entries(&broker);
    broker.crash();
    disk.restart(streamlog::sim::Survival::Kill);
    assert!(disk.remove("state.redb"));
    assert_eq!(entries(&in_steps().open_on(disk.storage()).unwrap()), written);
}

/// The story: a process was killed that had dropped a stream, or trimmed it. The next removed the segments, and then the power took redb
/// and the journal's record of why.
#[cfg(feature = "simulation")]
#[test]
fn a_recovery_removes_nothing_because_of_a_journal_that_may_not_be_durable() {
    for is_drop in [true, false] {
        let (mut ended, mut within) = (false, 0);
        while !ended {
            within += 1;
            let (disk, broker) = simulated();
            let whole = entries(&broker);
            let orders = broker.stream("orders").unwrap();
            if is_drop { orders.delete_stream().map(drop) } else { orders.trim(Trim::max_len(0)).map(drop) }.unwrap();
            broker.crash();
            disk.restart(streamlog::sim::Survival::Kill);
            disk.crash_at(disk.operations() + within);
            ended = in_steps().open_on(disk.storage()).is_ok() && !disk.is_off();
            disk.crash();
            disk.restart(streamlog::sim::Survival::Nothing);
            assert!(disk.remove("state.redb"));
            let broker = in_steps().open_on(disk.storage());
            let broker = broker.unwrap_or_else(|error| panic!("after {within} operations: {error}"));
            let left = entries(&broker);
            assert!(left == whole && !ended || left.is_empty(), "after {within} operations: {left:?}");
        }
        assert!(within > 20, "{within} operations");
    }
}
