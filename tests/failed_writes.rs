//! After a write or sync that failed, the broker refuses every other one until it is opened again, goes on reading, and
//! what was durable is still there after the power has gone too. The story: a kernel that fails a sync forgets what was
//! to be written and calls the next sync a success, so a broker that tries again loses what it acknowledges.

#![cfg(feature = "simulation")]

use std::io;

use streamlog::sim::{Fault, FaultOp, SimDisk, Survival};
use streamlog::{Broker, Durability, ErrorKind, Trim};

const SURVIVALS: [Survival; 3] = [Survival::Nothing, Survival::Kill, Survival::Sectors(7)];

fn open(disk: &SimDisk) -> Broker {
    Broker::builder().background(false).open_on(disk.storage()).unwrap()
}

fn fault(op: FaultOp, path: &str) -> Fault {
    Fault { op, path_contains: Some(path.to_owned()), after: 0, times: 1, error: io::ErrorKind::Other }
}

fn numbers(broker: &Broker) -> Vec<String> {
    let entries = broker.stream("jobs").unwrap().range(..).read().unwrap();
    entries.iter().map(|entry| entry.text("n").unwrap().to_owned()).collect()
}

/// Fails one operation of this kind on such a path, by doing `trigger`, and checks all that must hold then.
fn check(op: FaultOp, path: &str, survival: Survival, trigger: impl Fn(&Broker) -> streamlog::Result<()>) {
    let story = format!("{op:?} of {path} fails, {survival:?}");
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    let jobs = broker.stream("jobs").unwrap();
    let group = jobs.group("g").from_start().ensure().unwrap();
    for n in ["1", "2", "3"] {
        jobs.add([("n", n)]).unwrap();
    }
    let worker = group.consumer("w");
    let batch = worker.read_new().count(2).next().unwrap();
    batch[0].ack().unwrap();
    let idle = jobs.group("idle").create().unwrap().consumer("w");
    assert!(idle.fetch().next().unwrap().is_empty());

    disk.inject(fault(op, path));
    trigger(&broker).expect_err(&story);
    disk.clear_faults();

    let kind = |result: streamlog::Result<()>| result.expect_err(&story).kind();
    let stopped = ErrorKind::WritesStopped;
    assert_eq!(kind(jobs.add([("n", "5")]).map(drop)), stopped, "{story}");
    assert_eq!(kind(jobs.entry([("n", "5")]).durability(Durability::Os).add().map(drop)), stopped, "{story}");
    assert_eq!(kind(batch[1].ack().map(drop)), stopped, "{story}");
    assert_eq!(kind(jobs.trim(Trim::max_len(1)).map(drop)), stopped, "{story}");
    assert_eq!(kind(worker.read_new().next().map(drop)), stopped, "a delivery is a write: {story}");
    assert_eq!(kind(idle.fetch().next().map(drop)), stopped, "nobody is to wait for what cannot come: {story}");
    if path == "journal/" {
        assert_eq!(kind(broker.sync()), stopped, "{story}");
    }
    assert_eq!(kind(broker.checkpoint()), stopped, "{story}");
    assert_eq!(numbers(&broker), ["1", "2", "3"], "reads go on: {story}");
    assert!(broker.close().is_err(), "{story}");

    drop((jobs, group, worker, batch, idle));
    disk.restart(survival);
    let broker = open(&disk);
    let found = numbers(&broker);
    assert!(found == ["1", "2", "3"] || found == ["1", "2", "3", "4"], "{story}: {found:?}");
    let jobs = broker.stream("jobs").unwrap();
    let group = jobs.group("g").existing().unwrap();
    assert!(group.pending().unwrap().count <= 1, "an ack that returned holds: {story}");
    assert_eq!(group.ack(&[jobs.range(..).read().unwrap()[0].id]).unwrap(), 0, "{story}");
    jobs.add([("n", "6")]).unwrap();
    broker.checkpoint().unwrap();
    assert_eq!(numbers(&broker).last().unwrap(), "6", "{story}");
}

#[test]
fn a_failed_write_or_sync_of_the_journal_stops_writing_until_reopened() {
    let add = |broker: &Broker| broker.stream("jobs")?.add([("n", "4")]).map(drop);
    for survival in SURVIVALS {
        check(FaultOp::Write, "journal/", survival, add);
        check(FaultOp::Sync, "journal/", survival, add);
    }
}

#[test]
fn a_failed_write_or_sync_of_a_segment_in_a_checkpoint_stops_writing_until_reopened() {
    for survival in SURVIVALS {
        check(FaultOp::Write, "streams/", survival, Broker::checkpoint);
        check(FaultOp::Sync, "streams/", survival, Broker::checkpoint);
    }
}

/// A broker whose redb fails from the operation `after` on, in a checkpoint that has much to do.
fn with_redb_in_doubt(op: FaultOp, after: u64, story: &str) -> (SimDisk, Broker) {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    let jobs = broker.stream("jobs").unwrap();
    let worker = jobs.group("g").from_start().ensure().unwrap().consumer("w");
    let gone = broker.stream("gone").unwrap();
    gone.add([("n", "0")]).unwrap();
    broker.checkpoint().unwrap();
    for n in ["1", "2", "3"] {
        jobs.add([("n", n)]).unwrap();
    }
    let batch = worker.read_new().count(2).next().unwrap();
    gone.delete_stream().unwrap();
    disk.inject(Fault { after, times: u64::MAX, ..fault(op, "state.redb") });
    let failed = broker.checkpoint().is_err();
    assert!(failed || after > 0, "{story}");
    assert!(!failed || broker.checkpoint().is_err(), "it stays so: {story}");
    jobs.add([("n", "4")]).expect(story);
    batch[0].ack().expect(story);
    (disk, broker)
}

fn check_in_doubt(broker: &Broker, story: &str) {
    assert_eq!(numbers(broker), ["1", "2", "3", "4"], "{story}");
    assert_eq!(broker.streams().unwrap(), ["jobs"], "{story}");
    let group = broker.stream("jobs").unwrap().group("g").existing().unwrap();
    assert_eq!(group.pending().unwrap().count, 1, "{story}");
}

/// The story: redb opened again in place after a sync that failed, and then cut off, cannot be opened any more. A new file
/// of all that is in memory takes its place; until it can be written the journal has what redb lacks.
#[test]
fn redb_that_failed_is_written_anew_and_writing_goes_on() {
    for op in [FaultOp::Write, FaultOp::Sync] {
        for after in 0..4 {
            let story = format!("{op:?} of redb fails for good after {after}");
            let (disk, broker) = with_redb_in_doubt(op, after, &story);
            check_in_doubt(&broker, &story);
            disk.clear_faults();
            broker.checkpoint().expect(&story);
            check_in_doubt(&broker, &story);
            let streams = disk.storage().list("streams").unwrap();
            assert_eq!(streams.len(), 1, "the deleted stream's files go too: {story}, {streams:?}");
            broker.stream("jobs").unwrap().trim(Trim::max_len(1)).unwrap();
            broker.close().expect(&story);
            assert_eq!(numbers(&open(&disk)), ["4"], "{story}");
        }
    }
}

#[test]
fn with_redb_in_doubt_a_crash_loses_nothing() {
    for survival in SURVIVALS {
        for op in [FaultOp::Write, FaultOp::Sync] {
            for after in 0..4 {
                let story = format!("{op:?} of redb fails for good after {after}, {survival:?}");
                let (disk, broker) = with_redb_in_doubt(op, after, &story);
                drop(broker);
                disk.clear_faults();
                disk.restart(survival);
                check_in_doubt(&open(&disk), &story);
            }
        }
    }
}

#[test]
fn everyone_who_waits_for_a_sync_that_fails_is_told() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    let jobs = broker.stream("jobs").unwrap();
    jobs.add([("n", "0")]).unwrap();
    disk.inject(Fault { after: 20, times: u64::MAX, ..fault(FaultOp::Sync, "journal/") });
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let jobs = jobs.clone();
            std::thread::spawn(move || {
                let mut added = 0;
                while jobs.add([("n", "x")]).is_ok() {
                    added += 1;
                }
                added
            })
        })
        .collect();
    let added: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(jobs.len().unwrap(), 1 + added, "what is seen is what was acknowledged");
    drop((broker, jobs));
    disk.clear_faults();
    disk.restart(Survival::Nothing);
    assert!(open(&disk).stream("jobs").unwrap().len().unwrap() > added, "and all of that is there");
}
