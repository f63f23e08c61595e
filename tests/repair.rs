//! `repair`, damage by damage: what is given up is what was damaged, and everything else is as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use streamlog::{Broker, Builder, Durability, Id, Repair, check, plan_repair, repair};
use tempfile::TempDir;

const ENTRIES: u64 = 600;

fn builder() -> Builder {
    Broker::builder().durability(Durability::Os).segment_bytes(4096).journal_file_bytes(16 << 10)
}

fn id(n: u64) -> Id {
    Id::new(n, 0)
}

/// A closed directory with entries deleted, pending and acknowledged.
fn closed() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let broker = builder().open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    let billing = orders.group("billing").from_start().ensure().unwrap();
    for n in 1..=ENTRIES {
        orders.entry([("n", format!("<{n}>"))]).id(id(n)).add().unwrap();
    }
    let batch = billing.consumer("worker").read_new().count(500).next().unwrap();
    let acked: Vec<_> = batch.iter().map(streamlog::Message::id).filter(|id| id.ms % 2 == 0).collect();
    billing.ack(&acked).unwrap();
    drop(batch);
    orders.delete(&(1..=ENTRIES).filter(|n| n % 10 == 3).map(id).collect::<Vec<_>>()).unwrap();
    broker.close().unwrap();
    directory
}

/// The numbers of the entries there are, read through and one by one.
fn numbers(directory: &Path) -> BTreeSet<u64> {
    let broker = builder().open(directory).unwrap();
    let orders = broker.stream("orders").unwrap();
    let entries = orders.range(..).read().unwrap();
    for entry in &entries {
        assert_eq!(entry.text("n").unwrap(), format!("<{}>", entry.id.ms));
        assert_eq!(orders.range(entry.id..=entry.id).read().unwrap(), std::slice::from_ref(entry));
    }
    assert_eq!(orders.len().unwrap(), entries.len() as u64);
    let numbers = entries.iter().map(|entry| entry.id.ms).collect();
    broker.close().unwrap();
    numbers
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut segments: Vec<_> =
        fs::read_dir(directory.join("streams/1")).unwrap().map(|segment| segment.unwrap().path()).collect();
    segments.sort();
    segments
}

/// Where the frame of an entry begins.
fn frame(bytes: &[u8], n: u64) -> usize {
    let text = format!("<{n}>");
    // The frame's head, then each length and the field's name.
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap() - 25 - 3
}

/// The first entry of a segment, by its name.
fn first(segment: &Path) -> u64 {
    segment.file_name().unwrap().to_str().unwrap()[..20].parse().unwrap()
}

/// Repairs, and asserts that what was said is what happened; returns it with what is left.
fn repaired(directory: &Path) -> (Repair, BTreeSet<u64>) {
    let plan = plan_repair(directory).unwrap();
    let done = repair(directory).unwrap();
    assert_eq!(plan, done);
    let report = check(directory).unwrap();
    assert!(report.is_ok(), "{:#?}", report.problems);
    assert_eq!(repair(directory).unwrap(), Repair::default(), "twice is once");
    let left = numbers(directory);
    assert_eq!(report.figures.entries, left.len() as u64);
    (done, left)
}

fn lost(repair: &Repair) -> u64 {
    repair.problems.iter().map(|problem| problem.loss.entries).sum()
}

#[test]
fn entries_damaged_at_the_beginning_in_the_middle_and_at_the_end_of_a_segment_are_given_up_one_by_one() {
    let directory = closed();
    let before = numbers(directory.path());
    let segment = &segments(directory.path())[2];
    let (begin, end) = (first(segment), first(&segments(directory.path())[3]));
    let mut bytes = fs::read(segment).unwrap();
    let damaged = [begin, begin + 20, begin + 21, begin + 40, end - 1];
    for n in damaged {
        let at = frame(&bytes, n);
        bytes[at + 26] ^= 1;
    }
    fs::write(segment, &bytes).unwrap();
    let (repair, left) = repaired(directory.path());
    let damaged: BTreeSet<u64> = damaged.into_iter().filter(|n| before.contains(n)).collect();
    assert!(left == &before - &damaged, "{damaged:?} were damaged, {:?} are gone", &before - &left);
    assert_eq!(lost(&repair), damaged.len() as u64);
    let original = directory.path().join("repair-1").join(segment.strip_prefix(directory.path()).unwrap());
    assert!(fs::read(original).unwrap() == bytes, "the original is kept");
}

#[test]
fn what_was_lost_is_as_if_deleted_for_those_who_had_it_and_for_those_who_come() {
    let directory = closed();
    let before = numbers(directory.path());
    let gone = &segments(directory.path())[1];
    let (begin, end) = (first(gone), first(&segments(directory.path())[2]));
    let last = segments(directory.path()).pop().unwrap();
    fs::remove_file(gone).unwrap();
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..frame(&bytes, ENTRIES - 1)]).unwrap();
    let (_, left) = repaired(directory.path());
    let kept = |n: &u64| !(begin..end).contains(n) && *n < ENTRIES - 1;
    assert_eq!(left, before.iter().copied().filter(kept).collect());

    let broker = builder().open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    let billing = orders.group("billing").existing().unwrap();
    let pending: BTreeMap<u64, _> =
        billing.pending_range(..).count(1000).read().unwrap().into_iter().map(|row| (row.id.ms, row)).collect();
    assert_eq!(pending.keys().copied().collect::<Vec<_>>(), (1..500).filter(|n| n % 2 == 1).collect::<Vec<_>>());
    let worker = billing.consumer("worker");
    let new: Vec<_> = worker.read_new().count(1000).next().unwrap().iter().map(|message| message.id().ms).collect();
    assert_eq!(new, left.iter().copied().filter(|&n| n > 500).collect::<Vec<_>>());
    billing.ack(&pending.values().map(|row| row.id).collect::<Vec<_>>()).unwrap();
    orders.entry([("n", "<601>")]).id(id(ENTRIES + 1)).add().unwrap();
    assert_eq!(orders.info().unwrap().entries_added, ENTRIES + 1);
    assert!(orders.entry([("n", "again")]).id(id(ENTRIES)).add().is_err(), "IDs only grow");
    broker.close().unwrap();
    assert_eq!(numbers(directory.path()).last(), Some(&(ENTRIES + 1)));
    assert!(check(directory.path()).unwrap().is_ok());
}

#[test]
fn the_first_segments_lost_and_all_lost_leave_what_is_left() {
    let directory = closed();
    let before = numbers(directory.path());
    let all = segments(directory.path());
    fs::remove_file(&all[0]).unwrap();
    fs::write(&all[1], "nonsense").unwrap();
    let (repair, left) = repaired(directory.path());
    assert_eq!(left, before.into_iter().filter(|&n| n >= first(&all[2])).collect());
    assert!(repair.changes.iter().any(|change| all[1].ends_with(&change.file) && change.what == "removed"));
    assert_eq!(
        fs::read(directory.path().join("repair-1").join(all[1].strip_prefix(directory.path()).unwrap())).unwrap(),
        b"nonsense"
    );

    fs::remove_dir_all(directory.path().join("streams/1")).unwrap();
    let (repair, left) = repaired(directory.path());
    assert_eq!(left, BTreeSet::new());
    assert_eq!(repair.originals.as_deref(), Some("repair-2"));
    let broker = builder().open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    assert_eq!(orders.info().unwrap().last_id, id(ENTRIES));
    orders.add([("n", "1")]).unwrap();
}

#[test]
fn headers_and_footers_are_written_again_and_nothing_is_given_up() {
    let directory = closed();
    let before = numbers(directory.path());
    let whole: Vec<_> = segments(directory.path()).iter().map(|segment| fs::read(segment).unwrap()).collect();
    for (number, segment) in segments(directory.path()).iter().enumerate() {
        let mut bytes = whole[number].clone();
        let at = if number % 2 == 0 { 50 } else { bytes.len() - 1 };
        bytes[at] ^= 1;
        fs::write(segment, bytes).unwrap();
    }
    let (repair, left) = repaired(directory.path());
    assert_eq!((lost(&repair), left), (0, before));
    for (segment, whole) in segments(directory.path()).iter().zip(whole) {
        assert!(fs::read(segment).unwrap() == whole, "{} is what it was", segment.display());
    }
}

#[test]
fn with_redb_and_the_journal_lost_every_entry_is_there_and_it_is_said_that_groups_are_not() {
    let directory = closed();
    fs::remove_file(directory.path().join("state.redb")).unwrap();
    for file in fs::read_dir(directory.path().join("journal")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    fs::remove_file(directory.path().join("FORMAT")).unwrap();
    let plan = plan_repair(directory.path()).unwrap();
    assert!(plan.problems.iter().any(|problem| problem.loss.groups), "{plan:#?}");
    let (_, left) = repaired(directory.path());
    assert_eq!(left, (1..=ENTRIES).collect(), "nothing knows any more what was deleted");
    let broker = builder().open(directory.path()).unwrap();
    assert_eq!(broker.streams().unwrap(), ["orders"]);
    assert!(broker.stream("orders").unwrap().group("billing").existing().is_err());
}

#[test]
fn a_damaged_journal_gives_up_what_comes_after_the_damage_and_says_how_much() {
    let directory = closed();
    let broker = builder().open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    for n in ENTRIES + 1..=ENTRIES + 10 {
        orders.entry([("n", format!("<{n}>"))]).id(id(n)).durability(Durability::Always).add().unwrap();
    }
    // As a process that is killed leaves it.
    let killed = tempfile::tempdir().unwrap();
    for dir in ["", "journal", "streams", "streams/1"] {
        fs::create_dir_all(killed.path().join(dir)).unwrap();
        for entry in fs::read_dir(directory.path().join(dir)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), killed.path().join(dir).join(entry.file_name())).unwrap();
            }
        }
    }
    drop(broker);
    let text = format!("<{}>", ENTRIES + 4);
    for entry in fs::read_dir(killed.path().join("journal")).unwrap().map(Result::unwrap) {
        let mut bytes = fs::read(entry.path()).unwrap();
        if let Some(at) = bytes.windows(text.len()).position(|window| window == text.as_bytes()) {
            bytes[at] ^= 1;
            fs::write(entry.path(), bytes).unwrap();
        }
    }
    builder().open(killed.path()).unwrap_err();
    let (repair, left) = repaired(killed.path());
    assert_eq!(left.last(), Some(&(ENTRIES + 3)));
    assert_eq!(repair.problems.iter().map(|problem| problem.loss.records).sum::<u64>(), 7, "{repair:#?}");
}

/// The story: found by fuzzing. Where the entries of a segment had moved forward by one, there was no ID left for the one that
/// is lost behind them: it got the first ID of the next segment, and the repair wrote a header over that segment's entries.
#[test]
fn a_segment_whose_entries_moved_takes_nothing_of_the_next_one_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let broker = builder().open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    let seqs = 100..=400;
    for seq in seqs.clone() {
        orders.entry([("n", format!("<{seq}>"))]).id(Id::new(1, seq)).add().unwrap();
    }
    broker.close().unwrap();
    let segments = segments(directory.path());
    let first_seq = |segment: &Path| -> u64 {
        segment.file_stem().unwrap().to_str().unwrap().split_once('-').unwrap().1.parse().unwrap()
    };
    let inside = first_seq(&segments[1])..first_seq(&segments[2]);
    let mut bytes = fs::read(&segments[1]).unwrap();
    let [begin, second, end] = [inside.start, inside.start + 1, inside.end - 1].map(|seq| frame(&bytes, seq));
    bytes.copy_within(second..end + (second - begin), begin);
    fs::write(&segments[1], bytes).unwrap();

    repair(directory.path()).unwrap();
    assert!(check(directory.path()).unwrap().is_ok());
    let broker = builder().open(directory.path()).unwrap();
    let found = broker.stream("orders").unwrap().range(..).read().unwrap();
    let found: BTreeSet<u64> = found.iter().map(|entry| entry.id.seq).collect();
    let lost: Vec<u64> = seqs.filter(|seq| !inside.contains(seq) && !found.contains(seq)).collect();
    assert_eq!(lost, [0; 0]);
}
