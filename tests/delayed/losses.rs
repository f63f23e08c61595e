//! What is scheduled outlives crashes, a lost redb, damage and a full disk, and is in a backup.

use std::fs;
use std::path::Path;
use std::time::Duration;

use streamlog::sim::{SimDisk, Survival};
use streamlog::{Broker, Durability, ErrorKind, ManualClock, check};

use crate::directory::copy_dir;
use crate::{START_MS, add_due, numbers, schedule, tiny};

#[test]
fn after_a_crash_an_entry_is_on_the_schedule_or_in_its_stream() {
    let clock = ManualClock::at(START_MS);
    let disk = SimDisk::new(1);
    let always = || tiny(&clock).durability(Durability::Always);
    let mut broker = always().open_on(disk.storage()).unwrap();
    let count = 40;
    for n in 0..count {
        schedule(&broker.stream("orders").unwrap(), n, START_MS + n);
    }
    for now in 0..count {
        clock.set(START_MS + now);
        if now % 3 == 0 {
            // Half-way through the step's record.
            disk.crash_at(disk.operations() + now % 4);
        }
        let stepped = broker.due_step();
        let survival = if now % 2 == 0 { Survival::Nothing } else { Survival::Kill };
        disk.crash();
        broker.crash();
        disk.restart(survival);
        broker = always().open_on(disk.storage()).unwrap();
        let orders = broker.stream("orders").unwrap();
        let (added, left) = (numbers(&orders), orders.delayed().unwrap());
        assert!(added.iter().copied().eq(0..added.len() as u64), "once each, in order: {added:?}");
        assert_eq!(added.len() + left.len(), count as usize, "at {now}, the step {stepped:?}");
        assert!(left.iter().all(|left| left.due_ms() >= START_MS + added.len() as u64));
        if stepped.is_ok() {
            assert_eq!(added.len() as u64, now + 1, "what was seen stays");
        }
        add_due(&broker);
    }
    assert!(numbers(&broker.stream("orders").unwrap()).into_iter().eq(0..count));
}

/// A directory with entries that were added, cancelled, are due, and are not.
fn with_delayed(clock: &ManualClock, path: &Path) -> Broker {
    let broker = tiny(clock).open(path).unwrap();
    let (orders, other) = (broker.stream("orders").unwrap(), broker.stream("other").unwrap());
    for n in 0..300 {
        let delayed = schedule(if n % 5 == 0 { &other } else { &orders }, n, START_MS + (n * 7) % 300);
        if n % 11 == 0 {
            assert!(delayed.cancel().unwrap());
        }
        if n == 200 {
            broker.checkpoint().unwrap();
            clock.set(START_MS + 100);
            add_due(&broker);
        }
    }
    clock.set(START_MS + 120);
    add_due(&broker);
    broker
}

/// Whether exactly what is to be there is there, and comes when it is due.
fn assert_all_come_once(broker: &Broker, clock: &ManualClock, story: &str) {
    let (orders, other) = (broker.stream("orders").unwrap(), broker.stream("other").unwrap());
    let mut all: Vec<u64> = [&orders, &other].into_iter().flat_map(numbers).collect();
    assert!(all.iter().all(|n| (n * 7) % 300 <= 120), "{story}: none was added early");
    assert_eq!(add_due(broker), 0, "{story}: nothing else is due");
    let left = orders.delayed().unwrap().len() + other.delayed().unwrap().len();
    clock.set(START_MS + 300);
    assert_eq!(add_due(broker), left, "{story}");
    all = numbers(&orders);
    assert!(all.iter().all(|n| n % 5 != 0), "{story}: each in its stream");
    all.extend(numbers(&other));
    all.sort_unstable();
    assert_eq!(all, (0..300).filter(|n| n % 11 != 0).collect::<Vec<_>>(), "{story}");
    clock.set(START_MS + 120);
}

#[test]
fn with_redb_lost_every_entry_keeps_its_time_and_comes_once() {
    let clock = ManualClock::at(START_MS);
    let directory = tempfile::tempdir().unwrap();
    let broker = with_delayed(&clock, directory.path());
    broker.sync().unwrap();
    for closed in [false, true] {
        let (copy, rebuilt) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        copy_dir(directory.path(), copy.path());
        if closed {
            tiny(&clock).open(copy.path()).unwrap().close().unwrap();
        }
        fs::remove_file(copy.path().join("state.redb")).unwrap();
        let broker = tiny(&clock).open(copy.path()).unwrap();
        broker.crash();
        copy_dir(copy.path(), rebuilt.path());
        assert!(check(rebuilt.path()).unwrap().is_ok());
        for path in [copy.path(), rebuilt.path()] {
            assert_all_come_once(&tiny(&clock).open(path).unwrap(), &clock, &format!("closed: {closed}"));
        }
    }
}

#[test]
fn a_backup_has_what_is_scheduled_and_a_check_counts_it() {
    let clock = ManualClock::at(START_MS);
    let directory = tempfile::tempdir().unwrap();
    let broker = with_delayed(&clock, &directory.path().join("data"));
    let target = directory.path().join("backup");
    broker.backup_to(&target).unwrap();
    let left: usize =
        ["orders", "other"].iter().map(|name| broker.stream(name).unwrap().delayed().unwrap().len()).sum();
    let report = check(&target).unwrap();
    assert!(report.is_ok(), "{:?}", report.problems);
    assert_eq!((report.figures.streams, report.figures.groups, report.figures.pending), (2, 0, 0));
    assert_eq!(report.figures.delayed, left as u64);
    assert_all_come_once(&tiny(&clock).open(&target).unwrap(), &clock, "the backup");
    assert_all_come_once(&broker, &clock, "the original");
}

/// Damages the entry on the schedule whose body has this text.
fn damage(path: &Path, text: &str) {
    let dir = path.join("streams/2");
    for file in fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(text.len()).position(|window| window == text.as_bytes()) {
            bytes[at] ^= 1;
            fs::write(path, bytes).unwrap();
            return;
        }
    }
    panic!("{text} is nowhere");
}

#[test]
fn a_damaged_entry_stays_on_the_schedule_holds_nothing_up_and_is_given_up_by_a_repair() {
    let clock = ManualClock::at(START_MS);
    let directory = tempfile::tempdir().unwrap();
    let broker = tiny(&clock).open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    for n in 100..200 {
        orders.entry([("n", format!("{n}"))]).at(START_MS + 1).schedule().unwrap();
    }
    drop(orders);
    broker.close().unwrap();
    damage(directory.path(), "\x01n\x03150");
    clock.set(START_MS + 1);
    let broker = tiny(&clock).open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    assert_eq!(add_due(&broker), 100, "one of them was put off");
    assert!(numbers(&orders).into_iter().eq((100..200).filter(|&n| n != 150)));
    assert_eq!(orders.delayed().unwrap_err().kind(), ErrorKind::Corrupt);
    drop(orders);
    broker.close().unwrap();

    let report = check(directory.path()).unwrap();
    assert_eq!(report.problems.len(), 1);
    assert_eq!(report.problems[0].place.stream.as_deref(), Some("(delayed entries)"));
    assert_eq!(report.problems[0].loss.entries, 1);
    streamlog::repair(directory.path()).unwrap();
    let broker = tiny(&clock).open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    assert!(orders.delayed().unwrap().is_empty());
    clock.advance(Duration::from_secs(3601));
    assert_eq!(add_due(&broker), 1, "its row goes");
    assert_eq!(orders.len().unwrap(), 99);
    orders.entry([("n", "1")]).at(0).schedule().unwrap();
    assert_eq!(add_due(&broker), 1);
}

/// Of the whole directory only the segments are left: their names say what the schedule is.
#[test]
fn from_segments_alone_a_repair_finds_the_schedule_again() {
    let clock = ManualClock::at(START_MS);
    let directory = tempfile::tempdir().unwrap();
    let broker = tiny(&clock).open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    orders.add([("n", "0")]).unwrap();
    schedule(&orders, 1, START_MS + 10);
    schedule(&orders, 2, START_MS + 20);
    drop(orders);
    broker.close().unwrap();
    fs::remove_file(directory.path().join("state.redb")).unwrap();
    fs::remove_dir_all(directory.path().join("journal")).unwrap();
    streamlog::repair(directory.path()).unwrap();
    let broker = tiny(&clock).open(directory.path()).unwrap();
    assert_eq!(broker.streams().unwrap(), ["orders"]);
    let orders = broker.stream("orders").unwrap();
    assert_eq!(orders.delayed().unwrap().len(), 2);
    clock.set(START_MS + 10);
    assert_eq!(add_due(&broker), 1);
    assert_eq!(numbers(&orders), [0, 1]);
}

#[test]
fn a_full_disk_delays_what_is_due_and_loses_nothing() {
    let clock = ManualClock::at(START_MS);
    let disk = SimDisk::new(1);
    let broker = tiny(&clock).open_on(disk.storage()).unwrap();
    let orders = broker.stream("orders").unwrap();
    for n in 0..20 {
        orders.entry([("n", n.to_string()), ("data", "x".repeat(300))]).at(START_MS + 1 + n).schedule().unwrap();
    }
    disk.set_capacity(Some(disk.used()));
    let mut failed = 0;
    for now in 1..=20 {
        clock.set(START_MS + now);
        match broker.due_step() {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
                failed += 1;
            }
        }
    }
    assert!(failed > 0, "the test has something to show");
    disk.set_capacity(None);
    add_due(&broker);
    assert!(numbers(&orders).into_iter().eq(0..20));
}

/// The schedule's first segment was cut short. What was due in others was to be taken off, and for that the first entry's block
/// was read, though it stayed the first: nothing that was scheduled, of any stream, was ever added.
#[test]
fn damage_to_what_is_due_later_keeps_nobody_waiting() {
    let clock = ManualClock::at(START_MS);
    let disk = SimDisk::new(1);
    let open = || tiny(&clock).segment_bytes(1000).open_on(disk.storage()).unwrap();
    let broker = open();
    for n in 0..100 {
        let due_ms = START_MS + if n < 50 { 1_000_000 } else { n };
        schedule(&broker.stream("orders").unwrap(), n, due_ms);
    }
    broker.close().unwrap();
    disk.restart(Survival::All);
    let first = disk.list_all().into_iter().filter(|path| path.starts_with("streams/2/")).min().unwrap();
    let cut = disk.read_all(&first).unwrap()[..200].to_vec();
    disk.write_all(&first, &cut);
    let broker = open();
    clock.set(START_MS + 100);
    assert_eq!(add_due(&broker), 50);
    assert!(numbers(&broker.stream("orders").unwrap()).into_iter().eq(50..100));
}
