//! A full disk: adding is refused with a typed error and nothing is lost; reads, acknowledgements and trims go on; adding
//! goes on when there is room again, be it that a trim made it.

#![cfg(feature = "simulation")]

use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

use streamlog::sim::{Fault, FaultOp, SimDisk, Survival};
use streamlog::{Broker, Builder, Durability, ErrorKind, Id, Trim};

const SURVIVALS: [Survival; 3] = [Survival::Nothing, Survival::Kill, Survival::Sectors(7)];

fn builder() -> Builder {
    Broker::builder()
        .background(false)
        .segment_bytes(16 << 10)
        .tail_bytes(4 << 10)
        .journal_file_bytes(32 << 10)
        .checkpoint_bytes(128 << 10)
        .journal_bytes_max(256 << 10)
}

fn open(disk: &SimDisk) -> Broker {
    builder().open_on(disk.storage()).unwrap()
}

/// The IDs of the entries that are there, each of which must be whole.
fn ids(broker: &Broker) -> Vec<Id> {
    let entries = broker.stream("jobs").unwrap().range(..).read().unwrap();
    for entry in &entries {
        assert_eq!(entry.get("payload").unwrap(), payload(entry.id), "{}", entry.id);
    }
    entries.iter().map(|entry| entry.id).collect()
}

fn payload(id: Id) -> Vec<u8> {
    vec![id.ms as u8; 300 + (id.ms % 700) as usize]
}

/// Adds entries until that is refused, with the steps that the background takes; returns the error's kind and what was
/// added.
fn fill(broker: &Broker, from: u64, durability: Durability) -> (ErrorKind, Vec<Id>) {
    let jobs = broker.stream("jobs").unwrap();
    let mut added = Vec::new();
    for n in from..from + 10_000 {
        let id = Id::new(n, 0);
        match jobs.entry([("payload", payload(id))]).id(id).durability(durability).add() {
            Ok(id) => added.push(id),
            Err(error) => return (error.kind(), added),
        }
        // As the background would: what fails is tried again.
        if n % 8 == 0 {
            let _ = broker.spare_step();
            let _ = broker.flush_step();
        }
        if n % 64 == 0 {
            let _ = broker.checkpoint();
        }
    }
    panic!("the disk is never full");
}

#[test]
fn adding_is_refused_reads_acks_and_trims_go_on_and_adding_resumes_when_space_returns() {
    for survival in SURVIVALS {
        for capacity in (0..4).map(|n| (2 << 20) + n * 15_000) {
            let story = format!("{capacity} bytes, {survival:?}");
            let disk = SimDisk::new(1);
            let broker = open(&disk);
            let jobs = broker.stream("jobs").unwrap();
            let group = jobs.group("workers").from_start().ensure().unwrap();
            let worker = group.consumer("worker");
            let (_, mut added) = {
                disk.set_capacity(Some(capacity));
                fill(&broker, 1, Durability::Always)
            };
            assert!(added.len() > 100, "{story}: {}", added.len());
            let (kind, more) = fill(&broker, 100_000, Durability::Os);
            assert_eq!((kind, more.len()), (ErrorKind::StorageFull, 0), "{story}");
            assert_eq!(ids(&broker), added, "reads go on: {story}");

            // At one of the capacities, more than the current journal file has room for.
            let mut acked = 0;
            for _ in 0..100 {
                let batch = worker.read_new().count(1).next().expect(&story);
                batch[0].ack().expect(&story);
                acked += 1;
            }
            let pending = |broker: &Broker| {
                let group = broker.stream("jobs").unwrap().group("workers").existing().unwrap();
                group.pending().unwrap().count
            };
            assert_eq!(pending(&broker), 0, "{story}");

            disk.set_capacity(None);
            let (id, n) = (Id::new(200_000, 0), added.len());
            added.push(jobs.entry([("payload", payload(id))]).id(id).add().expect(&story));
            assert_eq!(ids(&broker), added, "{story}");
            broker.checkpoint().expect(&story);
            assert_eq!(ids(&broker), added, "{story}");
            drop((jobs, group, worker, broker));

            disk.restart(survival);
            let broker = open(&disk);
            assert_eq!(ids(&broker), added, "{story}");
            assert_eq!(pending(&broker), 0, "{story}");
            let jobs = broker.stream("jobs").unwrap();
            let left = jobs.group("workers").existing().unwrap().consumer("worker").read_new().count(n * 2).next();
            assert_eq!(left.unwrap().len(), added.len() - acked, "{story}");
        }
    }
}

/// The story: a trim's files go when redb no longer names them, and redb could not be written, for the disk was full.
#[test]
fn a_trim_makes_room_on_a_full_disk() {
    for survival in SURVIVALS {
        for capacity in (0..4).map(|n| (2 << 20) + n * 15_000) {
            let story = format!("{capacity} bytes, {survival:?}");
            let disk = SimDisk::new(1);
            let broker = open(&disk);
            disk.set_capacity(Some(capacity));
            let (kind, mut added) = fill(&broker, 1, Durability::Always);
            assert_eq!(kind, ErrorKind::StorageFull, "{story}");
            let jobs = broker.stream("jobs").unwrap();
            let full = disk.used();
            let removed = jobs.trim(Trim::max_len(20)).expect(&story);
            added.drain(..removed as usize);
            broker.checkpoint().expect(&story);
            assert!(disk.used() < full / 2, "{story}: {} of {full} bytes", disk.used());
            let (kind, more) = fill(&broker, 100_000, Durability::Always);
            assert_eq!(kind, ErrorKind::StorageFull, "{story}");
            assert!(more.len() > 50, "{story}: {}", more.len());
            added.extend(more);
            assert_eq!(ids(&broker), added, "{story}");
            drop((jobs, broker));
            disk.restart(survival);
            disk.set_capacity(None);
            assert_eq!(ids(&open(&disk)), added, "{story}");
        }
    }
}

#[test]
fn a_flush_that_fails_for_want_of_room_anywhere_is_made_good_later() {
    for op in [FaultOp::Write, FaultOp::Create] {
        for after in 0..12 {
            for survival in SURVIVALS {
                let story = format!("{op:?} of a segment after {after}, {survival:?}");
                let disk = SimDisk::new(1);
                let broker = open(&disk);
                let path_contains = Some("streams/".to_owned());
                disk.inject(Fault { op, path_contains, after, times: 3, error: io::ErrorKind::StorageFull });
                let mut added = Vec::new();
                let jobs = broker.stream("jobs").unwrap();
                let mut refused = 0;
                for n in 1..=600 {
                    let id = Id::new(n, 0);
                    match jobs.entry([("payload", payload(id))]).id(id).add() {
                        Ok(id) => added.push(id),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::StorageFull, "{story}");
                            refused += 1;
                        }
                    }
                    let checkpoint = if n % 50 == 0 { broker.checkpoint() } else { Ok(()) };
                    assert!(checkpoint.is_ok() || refused < 3, "{story}");
                }
                assert!(refused <= 3, "{story}: {refused}");
                assert_eq!(ids(&broker), added, "{story}");
                broker.checkpoint().expect(&story);
                assert_eq!(ids(&broker), added, "{story}");
                drop((jobs, broker));
                disk.restart(survival);
                assert_eq!(ids(&open(&disk)), added, "{story}");
            }
        }
    }
}

/// A disk that refuses so many operations of this kind on such paths.
fn refuse(disk: &SimDisk, op: FaultOp, path: &str, after: u64, times: u64) {
    disk.inject(Fault { op, path_contains: Some(path.to_owned()), after, times, error: io::ErrorKind::StorageFull });
}

/// The story: a flush that met a full disk left the segments it had begun. After a trim the next one began others, so nothing
/// named those any more, and they took up the disk for ever.
#[test]
fn segments_that_a_flush_began_in_vain_are_gone() {
    let disk = SimDisk::new(1);
    let broker = builder().tail_bytes(1 << 20).open_on(disk.storage()).unwrap();
    let jobs = broker.stream("jobs").unwrap();
    for n in 1..=200 {
        jobs.entry([("payload", payload(Id::new(n, 0)))]).id(Id::new(n, 0)).add().unwrap();
    }
    refuse(&disk, FaultOp::Write, "streams/1/", 2, 1);
    broker.flush_all().unwrap_err();
    jobs.trim(Trim::max_len(120)).unwrap();
    broker.checkpoint().unwrap();
    jobs.trim(Trim::max_len(0)).unwrap();
    broker.checkpoint().unwrap();
    let left = || disk.list_all().into_iter().filter(|path| path.starts_with("streams/")).collect::<Vec<_>>();
    assert!(left().is_empty(), "{:?}", left());
}

/// The story: files were to be removed, of which some could not be. At the next attempt the first ones were gone already,
/// their directory with them, and writing stopped for that.
#[test]
fn what_could_not_be_removed_is_removed_later_without_what_was() {
    for other in ["streams/1", "streams/2"] {
        let disk = SimDisk::new(1);
        let broker = open(&disk);
        let [a, b] = ["a", "b"].map(|stream| broker.stream(stream).unwrap());
        for stream in [&a, &b] {
            (0..100).for_each(|n| assert!(stream.add([("payload", [n; 500])]).is_ok()));
        }
        broker.checkpoint().unwrap();
        for stream in [&a, &b] {
            stream.trim(Trim::max_len(10)).unwrap();
        }
        refuse(&disk, FaultOp::Remove, "streams/", 0, 3);
        broker.checkpoint().unwrap_err();
        disk.clear_faults();
        for stream in [&a, &b] {
            stream.delete_stream().unwrap();
        }
        // All of one stream goes, and the other's directory stays.
        let entries = disk.list_all().iter().filter(|path| path.starts_with(other)).count();
        refuse(&disk, FaultOp::Remove, other, entries as u64, 2);
        broker.checkpoint().unwrap_err();
        disk.clear_faults();
        broker.checkpoint().unwrap_or_else(|error| panic!("{other}: {error}"));
        a.add([("payload", "new")]).unwrap();
        broker.close().unwrap();
    }
}

/// The story: a checkpoint had in hand that an entry is pending no longer, and failed for want of room. Meanwhile the entry was
/// delivered again. When it was acknowledged too, redb was not told, and had it pending for ever.
#[test]
fn an_ack_holds_though_the_entry_was_delivered_again_in_the_middle_of_a_checkpoint_that_failed() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    let jobs = broker.stream("jobs").unwrap();
    let id = jobs.add([("payload", "first")]).unwrap();
    let group = jobs.group("workers").from_start().ensure().unwrap();
    let worker = group.consumer("worker");
    assert_eq!(worker.read_new().next().unwrap().len(), 1);
    broker.checkpoint().unwrap();
    group.ack(&[id]).unwrap();
    jobs.add([("payload", "second")]).unwrap();
    let meanwhile = (group.clone(), worker.clone());
    disk.meanwhile("streams/1", 0, move || {
        let (group, worker) = meanwhile;
        group.set_cursor(Id::MIN).unwrap();
        assert_eq!(worker.read_new().count(1).next().unwrap().len(), 1);
    });
    refuse(&disk, FaultOp::Write, "streams/1", 0, 1);
    broker.checkpoint().unwrap_err();
    assert!(!disk.forget_meanwhile());
    assert_eq!(group.ack(&[id]).unwrap(), 1);
    broker.close().unwrap();
    drop((jobs, group, worker));
    disk.restart(Survival::Kill);
    let group = open(&disk).stream("jobs").unwrap().group("workers").existing().unwrap();
    assert_eq!(group.pending().unwrap().count, 0);
}

/// A small file system in memory, mounted for the test; `None`, and loudly, where that may not be done.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Option<Tmpfs> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(directory.path())
            .output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Tmpfs(directory));
        }
        // Not by `eprintln!`, which a test that passes keeps to itself.
        let skipped = "SKIPPED: a full disk that is a real one, for no tmpfs can be mounted here (that takes root)\n";
        io::stderr().write_all(skipped.as_bytes()).unwrap();
        None
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn on_a_full_tmpfs_acks_go_on_a_trim_makes_room_and_nothing_is_lost() {
    let Some(tmpfs) = Tmpfs::mount("24m") else { return };
    let path = tmpfs.0.path().join("data");
    let open = |path: &Path| {
        let builder = Broker::builder().durability(Durability::Os).segment_bytes(1 << 20).tail_bytes(1 << 20);
        builder.journal_file_bytes(1 << 20).checkpoint_bytes(4 << 20).open(path).unwrap()
    };
    let broker = open(&path);
    let jobs = broker.stream("jobs").unwrap();
    let worker = jobs.group("workers").from_start().ensure().unwrap().consumer("worker");
    let mut added = Vec::new();
    let until_full = |added: &mut Vec<Id>| {
        let from = added.last().map_or(1, |id| id.ms + 1);
        for n in from.. {
            let id = Id::new(n, 0);
            match jobs.entry([("payload", payload(id))]).id(id).add() {
                Ok(id) => added.push(id),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
                    return;
                }
            }
        }
    };
    until_full(&mut added);
    assert!(added.len() > 10_000, "{}", added.len());
    assert_eq!(ids(&broker), added);
    for _ in 0..1000 {
        worker.read_new().count(1).next().unwrap()[0].ack().unwrap();
    }
    let before = added.len();
    let removed = jobs.trim(Trim::max_len(1000)).unwrap();
    added.drain(..removed as usize);
    broker.checkpoint().unwrap();
    until_full(&mut added);
    assert!(added.len() > before / 4, "{} after {before}", added.len());
    drop((worker, jobs));
    broker.crash();
    let broker = open(&path);
    assert_eq!(ids(&broker), added);
    broker.close().unwrap();
}
