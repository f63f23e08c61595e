//! Redb lost together with something else that is no damage: files cut or given up since, a process that was killed, a
//! loss of power that brings files back. What it is rebuilt from must not be mistaken for less than it is.

#![cfg(feature = "simulation")]

use std::io;
use std::ops::RangeInclusive;

use streamlog::sim::{Fault, FaultOp, SimDisk, Survival};
use streamlog::{Broker, Builder, Durability, Id, Trim};

/// About thirty entries fill a segment.
fn builder() -> Builder {
    Broker::builder().background(false).durability(Durability::Os).segment_bytes(4096).journal_file_bytes(64 << 10)
}

fn open(disk: &SimDisk) -> Broker {
    builder().open_on(disk.storage()).unwrap()
}

fn reopened(disk: &SimDisk, broker: Broker) -> Broker {
    broker.close().unwrap();
    disk.restart(Survival::Kill);
    open(disk)
}

fn add(broker: &Broker, numbers: RangeInclusive<u64>) {
    let jobs = broker.stream("jobs").unwrap();
    for n in numbers {
        jobs.entry([("payload", [n as u8; 100])]).id(Id::new(n, 0)).add().unwrap();
    }
}

fn numbers(broker: &Broker) -> Vec<u64> {
    broker.stream("jobs").unwrap().range(..).read().unwrap().iter().map(|entry| entry.id.ms).collect()
}

/// The numbers in the names of the files of a directory.
fn files(disk: &SimDisk, dir: &str) -> Vec<u64> {
    let names = disk.list_all().into_iter().filter_map(|path| Some(path.strip_prefix(dir)?.get(..20)?.parse().ok()));
    names.flatten().collect()
}

/// Ends the process without a close, loses redb, and opens again.
fn rebuilt(disk: &SimDisk, broker: Broker) -> Broker {
    broker.crash();
    disk.restart(Survival::Kill);
    assert!(disk.remove("state.redb"));
    open(disk)
}

/// The story: the journal's snapshot knew a segment that was still being written. When all its entries had been deleted its
/// file was cut to its header, the snapshot was believed nevertheless, and nothing could be opened any more.
#[test]
fn a_segment_that_was_written_to_at_the_snapshot_and_cut_since_is_no_damage() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    add(&broker, 1..=45);
    let broker = reopened(&disk, broker);
    add(&broker, 46..=120);
    broker.flush_all().unwrap();
    let segments = files(&disk, "streams/1/");
    assert!(segments[1] < 45 && segments[2] > 46, "the second segment is in the snapshot: {segments:?}");
    let dead: Vec<_> = (segments[1]..segments[2]).map(|n| Id::new(n, 0)).collect();
    broker.stream("jobs").unwrap().delete(&dead).unwrap();
    broker.checkpoint().unwrap();
    let before = numbers(&broker);

    let broker = rebuilt(&disk, broker);
    assert_eq!(numbers(&broker), before);
    add(&broker, 121..=200);
    assert_eq!(numbers(&reopened(&disk, broker)).len(), before.len() + 80);
}

/// The story: what a process that was killed had written to segments and not synced was found there and not written again.
/// The journal that had it was given up, and then the power went.
#[test]
fn what_a_killed_process_left_unsynced_in_segments_outlives_the_loss_of_power_after_the_rebuild() {
    for survival in [Survival::Nothing, Survival::Sectors(3)] {
        let disk = SimDisk::new(1);
        let broker = open(&disk);
        add(&broker, 1..=10);
        let broker = reopened(&disk, broker);
        add(&broker, 11..=200);
        broker.flush_all().unwrap();
        let broker = rebuilt(&disk, broker);
        assert_eq!(numbers(&broker).len(), 200);
        broker.crash();
        disk.restart(survival);
        assert_eq!(numbers(&open(&disk)).len(), 200, "{survival:?}");
    }
}

/// The story: a flush on a full disk had begun segments, and after a trim others took their place. The files that nothing
/// named any more hid, from whoever asked the directory, the segments that came after them.
#[test]
fn segments_that_a_flush_began_in_vain_hide_none() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    add(&broker, 1..=200);
    let error = io::ErrorKind::StorageFull;
    // Nor can they be removed.
    for (op, after) in [(FaultOp::Write, 2), (FaultOp::Remove, 3)] {
        disk.inject(Fault { op, path_contains: Some("streams/1/".to_owned()), after, times: 3, error });
    }
    broker.flush_all().unwrap_err();
    disk.clear_faults();
    let vain = files(&disk, "streams/1/");
    assert!(!vain.is_empty());
    broker.stream("jobs").unwrap().trim(Trim::max_len(120)).unwrap();
    broker.checkpoint().unwrap();
    assert!(files(&disk, "streams/1/").starts_with(&vain), "the test has something to show");

    let broker = reopened(&disk, broker);
    let before = numbers(&broker);
    assert_eq!(numbers(&rebuilt(&disk, broker)), before);
}

/// The story: of the journal files that a checkpoint gives up a loss of power brings back some. The oldest was read, the log
/// was thought to end where the one after it is missing, and half of the entries were gone without a word.
#[test]
fn an_old_journal_file_that_came_back_alone_ends_nothing() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    add(&broker, 1..=10);
    broker.checkpoint().unwrap();
    let mut last = 10;
    while files(&disk, "journal/").len() < 3 {
        add(&broker, last + 1..=last + 20);
        last += 20;
    }
    let oldest = "journal/00000000000000000001.log";
    let bytes = disk.read_all(oldest).unwrap();
    broker.checkpoint().unwrap();
    assert_eq!(files(&disk, "journal/").len(), 1);
    let before = numbers(&broker);
    broker.crash();
    disk.restart(Survival::All);
    disk.write_all(oldest, &bytes);
    assert!(disk.remove("state.redb"));
    let broker = open(&disk);
    assert_eq!(numbers(&broker), before);
}
