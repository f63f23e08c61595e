//! A child process works on a disk whose power is cut, again and again. What comes back is one prefix of what it did, with
//! all that it was told is durable: on a real file system, and with the system's own page cache.
//!
//! Skipped, visibly, where such a disk cannot be made; `STREAMLOG_REQUIRE_POWER=1` forbids that.
//! `STREAMLOG_POWER_CUTS` sets how often each test cuts, `STREAMLOG_SEED` the moments.

mod child;
#[path = "../common/directory.rs"]
mod directory;
mod disk;
#[path = "../common/entries.rs"]
mod entries;
mod ledger;
#[path = "../common/passing.rs"]
mod passing;
#[path = "../common/process.rs"]
mod process;
mod seen;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use directory::copy_dir;
use disk::{Cut, Disk};
use ledger::{CUT, Ledger};
use process::{Random, number, read_lines, seed, turn, wait_for_the_moment};
use streamlog::Broker;

/// How often a test cuts if not said otherwise.
const CUTS: u64 = 8;

#[test]
fn what_returned_under_always_outlives_a_power_cut() {
    outlives_power_cuts("always");
}

#[test]
fn under_interval_a_power_cut_leaves_one_prefix() {
    outlives_power_cuts("interval");
}

#[test]
fn under_os_a_power_cut_leaves_one_prefix() {
    outlives_power_cuts("os");
}

fn outlives_power_cuts(level: &str) {
    let _turn = turn();
    let mut disk = match Disk::new() {
        Ok(disk) => disk,
        Err(why) => {
            assert!(std::env::var_os("STREAMLOG_REQUIRE_POWER").is_none(), "power cuts are required: {why}");
            // Not by `eprintln!`, which a test that passes keeps to itself.
            let mut stderr = std::io::stderr();
            writeln!(stderr, "SKIPPED: no power cuts under `{level}`: {why}").unwrap();
            return;
        }
    };
    let path = disk.root().join("data");
    let mut random = Random::new(seed(level));
    let mut ledger = Ledger::new(level);
    let mut backups = 0;
    for run in 0..number("STREAMLOG_POWER_CUTS").unwrap_or(CUTS) {
        let lines = work_and_cut(&disk, &path, level, run, &mut random);
        disk.unmount().unwrap();
        disk.mount().unwrap();
        ledger.take(&lines);
        backups += check_backups(&ledger, &disk.root());
        // Every other time in a copy, so that it is the next child that recovers the original.
        if path.exists() && random.below(2) == 0 {
            let copy = tempfile::tempdir().unwrap();
            copy_dir(&path, copy.path());
            ledger.check(Broker::open(copy.path()).unwrap());
        } else {
            ledger.check(Broker::open(&path).unwrap());
        }
    }
    ledger.assert_worth_it();
    eprintln!("{backups} backups");
}

/// A backup that returned is there; one that did not is there whole or not at all, or has not its name yet. Returns how
/// many there were, and removes them.
fn check_backups(ledger: &Ledger, root: &Path) -> u64 {
    let mut checked = 0;
    for backup in ledger.backups() {
        let path = root.join(&backup.name);
        if backup.returned.is_some() || path.exists() {
            ledger.check_backup(Broker::open(&path).unwrap(), &backup);
            fs::remove_dir_all(path).unwrap();
            checked += 1;
        }
    }
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().ends_with(".partial") {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    checked
}

/// Has a child work, cuts the power at some moment, and returns the lines it wrote.
fn work_and_cut(disk: &Disk, path: &Path, level: &str, run: u64, random: &mut Random) -> Vec<String> {
    let mut child = child::start(path, level, run);
    let is_cut = AtomicBool::new(false);
    let lines = read_lines(&mut child, move |line| {
        is_cut.fetch_or(line.trim_end() == CUT, Ordering::Relaxed);
        assert!(!line.starts_with('!') || is_cut.load(Ordering::Relaxed), "the child failed: {line}");
    });
    let mut seen = wait_for_the_moment(&lines, random);
    if random.below(4) == 0 {
        // Time for backups.
        thread::sleep(Duration::from_millis(random.below(600)));
    }
    let cut = disk.cut(if random.below(3) == 0 { Cut::LogFlushed } else { Cut::AtOnce }, Some(&child));
    // The disk can be unmounted only once nobody has it open, whatever went wrong.
    child.kill().unwrap();
    child.wait().unwrap();
    cut.unwrap();
    seen.extend(lines);
    seen
}
