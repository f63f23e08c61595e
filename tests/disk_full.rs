//! A full disk: adding is refused with a typed error and nothing is lost; reads, acknowledgements and trims go on; adding
//! goes on when there is room again, be it that a trim made it.

#![cfg(feature = "simulation")]

use std::fmt::Write as _;
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

/// The story: of many who added on a full disk one tried to make room, the others passed meanwhile, and what they added
/// stayed in memory, over its budget.
#[test]
fn nobody_passes_while_another_tries_to_make_room() {
    let disk = SimDisk::new(1);
    let broker = builder().tail_bytes(1 << 20).open_on(disk.storage()).unwrap();
    let add = |broker: &Broker| broker.stream("jobs").unwrap().add([("payload", "one")]).map(drop);
    add(&broker).unwrap();
    refuse(&disk, FaultOp::Write, "streams/", 0, u64::MAX);
    broker.flush_all().unwrap_err();
    let (tell, told) = std::sync::mpsc::channel();
    let other = broker.clone();
    disk.meanwhile("streams/", 0, move || {
        let (passed, waiting) = std::sync::mpsc::channel();
        let adding = std::thread::spawn(move || {
            let added = add(&other);
            passed.send(()).unwrap();
            added
        });
        // Who does not pass waits for the one in whose middle this is.
        let _ = waiting.recv_timeout(std::time::Duration::from_millis(200));
        tell.send((adding, waiting)).unwrap();
    });
    assert_eq!(add(&broker).unwrap_err().kind(), ErrorKind::StorageFull);
    let (adding, _waiting) = told.recv().unwrap();
    assert_eq!(adding.join().unwrap().unwrap_err().kind(), ErrorKind::StorageFull);
    disk.clear_faults();
    add(&broker).unwrap();
    assert_eq!(broker.stream("jobs").unwrap().len().unwrap(), 2);
}

/// What is in the streams and their groups, but for times, and which files there are, and which of them hold something.
fn picture(disk: &SimDisk, broker: &Broker) -> String {
    let mut picture = String::new();
    for (number, name) in (1..).zip(broker.streams().unwrap()) {
        let stream = broker.stream(&name).unwrap();
        let (info, entries) = (stream.info().unwrap(), stream.range(..).read().unwrap());
        let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
        writeln!(picture, "{name} {} {} {ids:?}", info.entries_added, info.max_deleted_id).unwrap();
        for group in stream.groups().unwrap() {
            writeln!(picture, "  {} {:?} {:?}", group.name, group.last_delivered_id, group.entries_read).unwrap();
            let group = stream.group(&group.name).existing().unwrap();
            for consumer in group.consumers().unwrap() {
                writeln!(picture, "    {} has {}", consumer.name, consumer.pending).unwrap();
            }
            for row in group.pending_range(..).read().unwrap() {
                writeln!(picture, "    {} {} {}", row.id, row.consumer, row.deliveries).unwrap();
            }
        }
        let storage = disk.storage();
        for file in storage.list(&format!("streams/{number}")).unwrap() {
            let len = storage.open(&format!("streams/{number}/{file}")).unwrap().len().unwrap();
            writeln!(picture, "  {file} {}", len > 500).unwrap();
        }
    }
    picture
}

/// What a checkpoint took of a stream is gone from memory's lists: if it was not written, the next one must write it all
/// the same, though nothing of it changes any more. `fails` says which stream's segment finds no room, and how often.
fn after_a_checkpoint(fails: Option<(&str, u64)>) -> [String; 2] {
    let disk = SimDisk::new(1);
    let builder = || builder().segment_bytes(1000).tail_bytes(1 << 20).journal_file_bytes(1 << 20);
    let broker = builder().open_on(disk.storage()).unwrap();
    let (jobs, last) = (broker.stream("jobs").unwrap(), broker.stream("last").unwrap());
    let add = |seqs: std::ops::RangeInclusive<u64>| {
        for seq in seqs {
            jobs.entry([("payload", [7; 75])]).id(Id::new(seq, 0)).add().unwrap();
        }
    };
    add(1..=90);
    let add_last = |seq| last.entry([("n", "1")]).id(Id::new(seq, 0)).add().unwrap();
    add_last(1);
    let group = jobs.group("group").from_start().ensure().unwrap();
    let old = jobs.group("old").from_start().ensure().unwrap();
    let (worker, gone) = (group.consumer("worker"), group.consumer("gone"));
    let first = worker.read_new().count(10).next().unwrap();
    drop((old.consumer("c").read_new().count(3).next().unwrap(), gone.read_new().count(2).next().unwrap()));
    broker.checkpoint().unwrap();

    jobs.trim(Trim::min_id(Id::new(25, 0))).unwrap();
    jobs.delete(&(50..80).map(|seq| Id::new(seq, 0)).collect::<Vec<_>>()).unwrap();
    old.destroy().unwrap();
    jobs.group("new").from_start().ensure().unwrap();
    group.ack(&first.ids()[..5]).unwrap();
    group.delete_consumer("gone").unwrap();
    drop(worker.read_new().count(4).next().unwrap());
    drop(group.consumer("late").read_new().count(4).next().unwrap());
    add(91..=120);
    add_last(2);
    if let Some((path, times)) = fails {
        let (op, path_contains, error) = (FaultOp::Write, Some(path.to_owned()), io::ErrorKind::StorageFull);
        disk.inject(Fault { op, path_contains, after: 0, times, error });
        // Once is made good by the checkpoint itself, which finds something to free.
        let kind = broker.checkpoint().err().map(|error| error.kind());
        assert_eq!(kind, (times > 1).then_some(ErrorKind::StorageFull));
    }
    broker.checkpoint().unwrap();
    let before = picture(&disk, &broker);
    drop((jobs, last, group, old, worker, gone, first));
    broker.crash();
    let broker = builder().open_on(disk.storage()).unwrap();
    [before, picture(&disk, &broker)]
}

#[test]
fn what_a_checkpoint_could_not_write_for_want_of_room_is_in_the_next_one() {
    let expected = after_a_checkpoint(None);
    assert_eq!(expected[0], expected[1]);
    assert!(expected[0].contains("false"), "a segment with nothing alive in it was cut: {}", expected[0]);
    for path in ["streams/1", "streams/2"] {
        for times in [1, 2] {
            assert_eq!(after_a_checkpoint(Some((path, times))), expected, "{path}, {times} times");
        }
    }
}

/// Not only when memory is full, too: what was added then could not be written either.
#[test]
fn a_flush_that_failed_for_want_of_room_stops_adding_at_once() {
    let disk = SimDisk::new(1);
    let broker = builder().tail_bytes(1 << 20).open_on(disk.storage()).unwrap();
    let jobs = broker.stream("jobs").unwrap();
    let new = broker.stream("new").unwrap();
    jobs.add([("n", "1")]).unwrap();
    refuse(&disk, FaultOp::Write, "streams/", 0, u64::MAX);
    assert_eq!(broker.flush_all().unwrap_err().kind(), ErrorKind::StorageFull);
    for stream in [&jobs, &new] {
        assert_eq!(stream.add([("n", "2")]).unwrap_err().kind(), ErrorKind::StorageFull);
    }
    disk.clear_faults();
    for stream in [&jobs, &new] {
        stream.add([("n", "2")]).unwrap();
    }
    assert_eq!((jobs.len().unwrap(), new.len().unwrap()), (2, 1));
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

impl Tmpfs {
    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        assert!(Command::new("mount").args(["-o", &options]).arg(self.0.path()).status().unwrap().success());
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
    // Opening after a crash takes some room.
    tmpfs.grow("32m");
    let broker = open(&path);
    assert_eq!(ids(&broker), added);
    broker.close().unwrap();
}
