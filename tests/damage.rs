//! Directories damaged at random, files of every kind, several places at once: `check` knows, and
//! `repair` makes of them what opens, never with less than could be read before.
//!
//! `STREAMLOG_DAMAGE` sets how many are tried, `STREAMLOG_DAMAGE_SEED` the first.

#![cfg(feature = "simulation")]

use std::collections::BTreeMap;
use std::sync::Arc;

use streamlog::sim::{SimDisk, Survival};
use streamlog::{Broker, Builder, Durability, Id, ManualClock, Repair, Report, Storage, Trim, check_on, repair_on};

fn builder() -> Builder {
    Broker::builder()
        .background(false)
        .clock(ManualClock::at(1_000))
        .durability(Durability::Always)
        .segment_bytes(700)
        .journal_file_bytes(4_096)
}

/// A small generator of numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below.max(1)
    }
}

type Files = BTreeMap<String, Vec<u8>>;

/// A directory of two streams with deletions, a trim, groups and pending entries; closed, or as a killed process leaves it.
fn directory(random: &mut Random, closed: bool) -> Files {
    let disk = SimDisk::new(random.below(1 << 30));
    let broker = builder().open_on(disk.storage()).unwrap();
    let operations = 40 + random.below(60);
    for n in 1..=operations {
        let stream = broker.stream(["orders", "events"][random.below(2) as usize]).unwrap();
        let padding = "x".repeat(random.below(60) as usize);
        stream.entry([("n", format!("{} {n}", stream.name())), ("padding", padding)]).id(Id::new(n, 0)).add().unwrap();
        let group = stream.group("billing").from_start().ensure().unwrap();
        match random.below(12) {
            0 => drop(group.consumer("worker").read_new().count(5).next().unwrap()),
            1 => drop(group.consumer("worker").read_new().count(5).next().unwrap().ack_all().unwrap()),
            2 => drop(stream.delete(&[Id::new(1 + random.below(n), 0), Id::new(1 + random.below(n), 0)]).unwrap()),
            3 => drop(stream.trim(Trim::max_len(20)).unwrap()),
            4 => broker.checkpoint().unwrap(),
            5 => broker.flush_all().unwrap(),
            _ => {}
        }
    }
    if closed {
        broker.close().unwrap();
    } else {
        broker.crash();
    }
    disk.restart(Survival::All);
    files(&disk)
}

fn files(disk: &SimDisk) -> Files {
    let read = |path: String| disk.read_all(&path).map(|bytes| (path, bytes));
    disk.list_all().into_iter().filter_map(read).collect()
}

fn disk(files: &Files) -> SimDisk {
    let disk = SimDisk::new(7);
    for (path, bytes) in files {
        disk.write_all(path, bytes);
    }
    disk
}

/// Damages one file; says what was done.
fn damage(files: &mut Files, random: &mut Random) -> String {
    // Segments are many, and so get half of it.
    let kind = ["streams/", "streams/", "streams/", "journal/0", "state.redb", ""][random.below(6) as usize];
    let paths: Vec<String> = files.keys().filter(|path| *path != "LOCK" && path.starts_with(kind)).cloned().collect();
    if paths.is_empty() {
        return "nothing".to_owned();
    }
    let path = &paths[random.below(paths.len() as u64) as usize];
    let bytes = files.get_mut(path).unwrap();
    let at = random.below(bytes.len() as u64) as usize;
    let what = match random.below(5) {
        0 | 1 if !bytes.is_empty() => {
            bytes[at] ^= 1 << random.below(8);
            format!("a bit of byte {at} flipped")
        }
        2 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        3 => {
            let end = bytes.len().min(at + 1 + random.below(300) as usize);
            bytes[at..end].fill(0);
            format!("zeros from {at} to {end}")
        }
        _ => {
            files.remove(path);
            "removed".to_owned()
        }
    };
    format!("{path}: {what}")
}

/// What of one stream can be seen.
#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    /// Those that can be read, each with its number.
    entries: BTreeMap<Id, String>,
    last_id: Id,
    length: u64,
    cursor: Id,
    pending: Vec<(Id, u64)>,
}

/// All that can be read, and whether everything could.
fn see(storage: Arc<dyn Storage>) -> (BTreeMap<String, Seen>, bool) {
    let mut all = BTreeMap::new();
    let Ok(broker) = builder().open_on(storage) else { return (all, false) };
    let mut whole = true;
    for name in broker.streams().unwrap() {
        let stream = broker.stream(&name).unwrap();
        let info = stream.info().unwrap();
        let mut seen = Seen { last_id: info.last_id, length: info.length, ..Seen::default() };
        // Backwards and forwards, for each stops at what is damaged; and one by one, for damage is bounded.
        let ids = (1..=info.last_id.ms).map(|ms| stream.range(Id::new(ms, 0)..=Id::new(ms, 0)).read());
        for entries in [stream.range(..).read(), stream.range(..).rev().read()].into_iter().chain(ids) {
            whole &= entries.is_ok();
            for entry in entries.unwrap_or_default() {
                let n = entry.text("n").unwrap().to_owned();
                assert_eq!(format!("{name} {}", entry.id.ms), n, "an entry with other bytes");
                seen.entries.insert(entry.id, n);
            }
        }
        if let Ok(group) = stream.group("billing").existing() {
            seen.cursor = group.info().unwrap().last_delivered_id;
            let pending = group.pending_range(..).count(1000).read().unwrap();
            seen.pending = pending.iter().map(|row| (row.id, u64::from(row.deliveries))).collect();
        }
        all.insert(name, seen);
    }
    broker.crash();
    (all, whole)
}

/// Runs `trial` for each seed, with the directory, what it was before, and what was done to it.
fn trials(mut trial: impl FnMut(u64, &Files, &Files, &[String], bool)) {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let first: u64 = number("STREAMLOG_DAMAGE_SEED", 0);
    for seed in first..first + number("STREAMLOG_DAMAGE", 100) {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let closed = seed % 3 != 0;
        let before = directory(&mut random, closed);
        let mut damaged = before.clone();
        let done: Vec<_> = (0..=random.below(3)).map(|_| damage(&mut damaged, &mut random)).collect();
        trial(seed, &before, &damaged, &done, closed);
    }
}

fn checked(files: &Files) -> Option<Report> {
    let disk = disk(files);
    let report = check_on(disk.storage()).ok();
    let mut after = self::files(&disk);
    if !files.contains_key("LOCK") {
        after.remove("LOCK");
    }
    assert!(after == *files, "a check changes nothing");
    report
}

#[test]
fn what_is_whole_is_called_so_and_what_is_called_whole_reads_back_equal() {
    let mut found = 0;
    trials(|seed, before, damaged, done, closed| {
        let report = checked(before).unwrap();
        assert!(report.is_ok(), "{seed}: whole, closed: {closed}, {:#?}", report.problems);
        let (seen, whole) = see(disk(before).storage());
        assert!(whole, "{seed}: reads back");
        let Some(report) = checked(damaged) else { return };
        if !report.is_ok() {
            found += 1;
            return;
        }
        let (now, whole) = see(disk(damaged).storage());
        assert!(whole, "{seed}: called whole and is not: {done:?}");
        // What was never synced may have been torn.
        let torn = !closed && done.iter().any(|done| done.starts_with("journal/"));
        assert!(torn || now == seen, "{seed}: called whole and is other: {done:?}\n{seen:?}\n{now:?}");
    });
    println!("damage was found {found} times");
    assert!(found > 0);
}

fn assert_has(story: &dyn std::fmt::Debug, all: &BTreeMap<String, Seen>, some: &BTreeMap<String, Seen>) {
    for (name, seen) in some {
        let Some(now) = all.get(name) else {
            assert!(seen.entries.is_empty(), "the stream {name} is gone: {story:?}");
            continue;
        };
        let missing: Vec<_> = seen.entries.keys().filter(|id| !now.entries.contains_key(id)).collect();
        assert!(missing.is_empty(), "of {name} {missing:?} are gone: {story:?}");
        assert!(now.last_id >= seen.last_id, "the last ID of {name} went back: {story:?}");
    }
}

/// Asserts that the disk was repaired; returns what can be seen.
fn assert_repaired(disk: &SimDisk, story: &dyn std::fmt::Debug) -> BTreeMap<String, Seen> {
    let report = check_on(disk.storage()).unwrap();
    assert!(report.is_ok(), "{story:?}: {:#?}", report.problems);
    let before = files(disk);
    assert_eq!(repair_on(disk.storage(), false).unwrap(), Repair::default());
    assert!(files(disk) == before, "what is whole is not repaired: {story:?}");
    let (seen, whole) = see(disk.storage());
    assert!(whole, "{story:?}");
    for (name, seen) in &seen {
        assert_eq!(seen.entries.len() as u64, seen.length, "{name}: {story:?}");
    }
    seen
}

#[test]
fn a_repair_gives_up_what_it_says_and_nothing_that_could_be_read() {
    let mut repaired = 0;
    trials(|seed, before, damaged, done, _| {
        let story = (seed, done);
        let fresh = || disk(damaged);
        let Ok(report) = check_on(fresh().storage()) else { return };
        let on = fresh();
        let Ok(planned) = repair_on(on.storage(), true) else {
            assert!(!report.is_ok(), "{story:?}");
            return;
        };
        let mut after = files(&on);
        if !damaged.contains_key("LOCK") {
            after.remove("LOCK");
        }
        assert!(after == *damaged, "a plan changes nothing: {story:?}");
        assert_eq!(planned.problems, report.problems);
        let did = repair_on(on.storage(), false).unwrap_or_else(|error| panic!("{story:?}: {error}"));
        assert_eq!(did, planned, "{story:?}");
        let Some(originals) = did.originals else { return };
        repaired += 1;
        for (path, bytes) in damaged {
            let now = on.read_all(path);
            let kept = on.read_all(&format!("{originals}/{path}"));
            let same = now.as_ref() == Some(bytes) || kept.as_ref() == Some(bytes) || path.contains("spare");
            assert!(same, "{path} is nowhere as it was: {story:?}");
        }
        let now = assert_repaired(&on, &story);
        let (readable, _) = see(fresh().storage());
        assert_has(&story, &now, &readable);
        if done.iter().all(|done| done.starts_with("streams/")) {
            let (all, _) = see(disk(before).storage());
            assert_has(&story, &all, &now);
            let count =
                |seen: &BTreeMap<String, Seen>| seen.values().map(|seen| seen.entries.len() as u64).sum::<u64>();
            let said: u64 = did.problems.iter().map(|problem| problem.loss.entries).sum();
            assert_eq!(count(&all) - count(&now), said, "{story:?}: {:#?}", did.problems);
            for (name, seen) in &all {
                assert_eq!((&seen.pending, seen.cursor), (&now[name].pending, now[name].cursor), "{story:?}");
            }
        }
    });
    println!("{repaired} were repaired");
    assert!(repaired > 0);
}

/// Where the power goes during a repair, at each of its steps, another one ends it.
#[test]
fn a_repair_that_is_cut_off_anywhere_is_ended_by_another() {
    let mut cut = 0;
    trials(|seed, _, damaged, done, _| {
        if seed % 15 != 1 {
            return;
        }
        let on = disk(damaged);
        let before = on.operations();
        if !repair_on(on.storage(), false).is_ok_and(|repair| repair.originals.is_some()) {
            return;
        }
        let steps = on.operations() - before;
        let straight = assert_repaired(&on, &(seed, done));
        let mut random = Random(seed);
        let mut step = 1 + random.below(7);
        while step <= steps {
            let survivals =
                [Survival::Kill, Survival::Nothing, Survival::All, Survival::Sectors(step), Survival::Torn(step)];
            let survival = survivals[(step % 5) as usize];
            let story = (seed, done, step, survival);
            let on = disk(damaged);
            on.crash_at(on.operations() + step);
            repair_on(on.storage(), false).unwrap_err();
            on.restart(survival);
            repair_on(on.storage(), false).unwrap_or_else(|error| panic!("{story:?}: {error}"));
            let now = assert_repaired(&on, &story);
            assert_has(&story, &now, &straight);
            cut += 1;
            step += 1 + random.below(14);
        }
    });
    println!("{cut} were cut off");
    assert!(cut > 0);
}
