//! What a backup is, and what may go wrong with it.

use std::fs;
use std::path::{Path, PathBuf};

use streamlog::{Broker, ErrorKind, Stream, Trim};

fn small(path: &Path) -> Broker {
    Broker::builder().segment_bytes(2000).tail_bytes(1000).journal_file_bytes(8000).open(path).unwrap()
}

fn add(stream: &Stream, from: u64, count: u64) {
    let numbers = (from..from + count).map(|number| [("number", number.to_string())]);
    stream.add_batch(numbers).unwrap();
}

fn numbers(stream: &Stream) -> Vec<u64> {
    stream.range(..).into_iter().map(|entry| entry.unwrap().text("number").unwrap().parse().unwrap()).collect()
}

/// Every file below a directory, with its bytes.
fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push((path.clone(), fs::read(&path).unwrap())) }
    }
    found.sort();
    found
}

/// A directory with sealed segments, and a backup of it.
fn with_backup() -> (tempfile::TempDir, Broker, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let broker = small(&directory.path().join("data"));
    let stream = broker.stream("orders").unwrap();
    for n in 0..20 {
        add(&stream, n * 20, 20);
    }
    let target = directory.path().join("backup");
    let backup = broker.backup_to(&target).unwrap();
    // Where the file system has no hard links this is no test of them.
    assert!(backup.linked_files > 3 && backup.copied_files >= 4, "{backup:?}");
    (directory, broker, target)
}

/// The story: a segment whose entries are all deleted is cut to its header. Where it was cut in place, a backup that
/// shared the file lost its entries.
#[test]
fn what_is_deleted_and_trimmed_later_stays_in_the_backup() {
    let (directory, broker, target) = with_backup();
    let stream = broker.stream("orders").unwrap();
    let before = files(&target);
    let ids: Vec<_> = stream.range(..).into_iter().map(|entry| entry.unwrap().id).collect();
    stream.delete(&ids[50..300]).unwrap();
    stream.trim(Trim::min_id(ids[20])).unwrap();
    add(&stream, 1000, 50);
    broker.backup_to(directory.path().join("later")).unwrap();
    broker.close().unwrap();
    assert_eq!(files(&target), before);
    assert_eq!(numbers(&small(&target).stream("orders").unwrap()), (0..400).collect::<Vec<_>>());
    let later: Vec<u64> = (20..50).chain(300..400).chain(1000..1050).collect();
    for name in ["data", "later"] {
        assert_eq!(numbers(&small(&directory.path().join(name)).stream("orders").unwrap()), later, "{name}");
    }
}

#[test]
fn what_is_done_in_a_backup_does_not_reach_the_original() {
    let (directory, broker, target) = with_backup();
    broker.close().unwrap();
    let data = directory.path().join("data");
    let before = files(&data);
    let copy = small(&target);
    let stream = copy.stream("orders").unwrap();
    let ids: Vec<_> = stream.range(..).into_iter().map(|entry| entry.unwrap().id).collect();
    stream.delete(&ids[50..300]).unwrap();
    stream.trim(Trim::min_id(ids[20])).unwrap();
    add(&stream, 1000, 50);
    copy.close().unwrap();
    assert_eq!(files(&data), before);
}

#[test]
fn groups_and_what_is_pending_are_in_the_backup() {
    let (_directory, broker, target) = with_backup();
    let group = broker.stream("orders").unwrap().group("billing").from_start().ensure().unwrap();
    let messages = group.consumer("one").read_new().count(10).next().unwrap();
    group.ack(&messages.ids()[..4]).unwrap();
    let later = target.with_file_name("later");
    broker.backup_to(&later).unwrap();
    let group = Broker::open(&later).unwrap().stream("orders").unwrap().group("billing").existing().unwrap();
    assert_eq!(group.pending().unwrap().count, 6);
    assert_eq!(group.consumer("two").read_new().next().unwrap().iter().next().unwrap().text("number").unwrap(), "10");
    assert_eq!(Broker::open(&target).unwrap().stream("orders").unwrap().info().unwrap().groups, 0);
}

#[test]
fn an_empty_broker_and_one_in_memory_are_backed_up_too() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::open(directory.path().join("data")).unwrap();
    broker.backup_to(directory.path().join("empty")).unwrap();
    assert_eq!(Broker::open(directory.path().join("empty")).unwrap().streams().unwrap(), Vec::<String>::new());

    let broker = Broker::in_memory().unwrap();
    add(&broker.stream("orders").unwrap(), 0, 100);
    // An empty directory may be there, and its parents need not.
    let target = directory.path().join("a/b/memory");
    fs::create_dir_all(&target).unwrap();
    let backup = broker.backup_to(&target).unwrap();
    assert_eq!(backup.linked_files, 0);
    let copy = Broker::open(&target).unwrap();
    assert_eq!(numbers(&copy.stream("orders").unwrap()), (0..100).collect::<Vec<_>>());
    // A backup of a backup.
    copy.backup_to(directory.path().join("x/y")).unwrap();
    let copy = Broker::open(directory.path().join("x/y")).unwrap();
    assert_eq!(numbers(&copy.stream("orders").unwrap()), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_backup_takes_nobodys_place() {
    let (directory, broker, target) = with_backup();
    // The background makes files for the journal to go on in when it comes to it.
    let files = || files(directory.path()).into_iter().filter(|(path, _)| !path.to_string_lossy().contains("spare-"));
    let before = files().count();
    let file = directory.path().join("file");
    fs::write(&file, "mine").unwrap();
    let mine = directory.path().join("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("file"), "mine").unwrap();
    let half = directory.path().join("half.partial");
    fs::create_dir(&half).unwrap();
    for refused in [&target, &file, &mine, &directory.path().join("data"), &directory.path().join("half")] {
        let error = broker.backup_to(refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    assert!(half.exists() && !directory.path().join("half").exists());
    fs::remove_file(file).unwrap();
    fs::remove_dir_all(mine).unwrap();
    // The journal of the original got no record by it.
    assert_eq!(files().count(), before);
    let copy = target.with_file_name("data");
    broker.close().unwrap();
    assert_eq!(numbers(&small(&copy).stream("orders").unwrap()).len(), 400);
}

#[test]
fn a_backup_that_lost_its_redb_is_rebuilt_as_any_directory_is() {
    let (_directory, broker, target) = with_backup();
    let stream = broker.stream("orders").unwrap();
    add(&stream, 400, 100);
    let later = target.with_file_name("later");
    broker.backup_to(&later).unwrap();
    for (path, count) in [(target, 400), (later, 500)] {
        fs::remove_file(path.join("state.redb")).unwrap();
        assert_eq!(numbers(&small(&path).stream("orders").unwrap()), (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn damage_in_a_backups_journal_is_not_taken_for_its_end() {
    let (_directory, _broker, target) = with_backup();
    let (path, mut bytes) = files(&target.join("journal")).pop().unwrap();
    let last = bytes.len() - 30;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
    assert_eq!(Broker::open(&target).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[cfg(feature = "simulation")]
mod simulated {
    use std::io;
    use std::sync::Arc;

    use streamlog::sim::{Fault, FaultOp, SimDisk};
    use streamlog::{ManualClock, Storage};

    use super::*;

    fn broker(storage: Arc<dyn Storage>) -> Broker {
        let builder = Broker::builder().segment_bytes(2000).tail_bytes(1000).journal_file_bytes(8000);
        builder.background(false).clock(ManualClock::at(1000)).open_on(storage).unwrap()
    }

    #[test]
    fn a_backup_that_fails_leaves_nothing_behind_and_the_original_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("backup");
        let mut failed = 0;
        for after in 0.. {
            let disk = SimDisk::new(1);
            let broker = broker(disk.storage());
            let stream = broker.stream("orders").unwrap();
            add(&stream, 0, 100);
            broker.flush_all().unwrap();
            let error = io::ErrorKind::Other;
            disk.inject(Fault { op: FaultOp::Read, path_contains: None, after, times: 1, error });
            let backup = broker.backup_to(&target);
            if backup.is_ok() {
                break;
            }
            failed += 1;
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "after {after} reads");
            broker.backup_to(&target).unwrap();
            fs::remove_dir_all(&target).unwrap();
            assert_eq!(numbers(&stream).len(), 100);
        }
        assert!(failed > 3, "{failed} failed");
        assert_eq!(numbers(&Broker::open(&target).unwrap().stream("orders").unwrap()).len(), 100);
    }

    /// The story: a segment with nothing alive in it is cut by putting a small file in its place, for a backup may share
    /// the large one. That needs space where cutting in place needed none.
    #[test]
    fn a_full_disk_does_not_stop_writing_when_a_segment_is_to_be_cut() {
        let disk = SimDisk::new(1);
        let broker = broker(disk.storage());
        let stream = broker.stream("orders").unwrap();
        add(&stream, 0, 200);
        broker.flush_all().unwrap();
        let path_contains = Some("segment.new".to_owned());
        let error = io::ErrorKind::StorageFull;
        disk.inject(Fault { op: FaultOp::Write, path_contains, after: 0, times: u64::MAX, error });
        let ids: Vec<_> = stream.range(..).into_iter().map(|entry| entry.unwrap().id).collect();
        stream.delete(&ids[1..199]).unwrap();
        let before = disk.storage().list("").unwrap();
        broker.checkpoint().unwrap();
        assert_eq!(disk.storage().list("").unwrap(), before);
        add(&stream, 200, 1);
        // It is cut when there is space again.
        let disk_bytes = || -> usize {
            let files = disk.list_all().into_iter().filter(|path| path.starts_with("streams/"));
            files.filter_map(|path| disk.read_all(&path)).map(|bytes| bytes.len()).sum()
        };
        let full = disk_bytes();
        disk.clear_faults();
        broker.crash();
        assert_eq!(numbers(&self::broker(disk.storage()).stream("orders").unwrap()), [0, 199, 200]);
        assert!(disk_bytes() < full / 2, "{} of {full}", disk_bytes());
    }
}
