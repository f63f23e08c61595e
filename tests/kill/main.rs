//! A child process works on a directory and is killed, again and again. Whatever it said had returned is there, at
//! every durability level: the level is about power, not about processes.
//!
//! `STREAMLOG_KILLS` sets how often each test kills, `STREAMLOG_SEED` the moments.

mod child;
#[path = "../common/directory.rs"]
mod directory;
#[path = "../common/entries.rs"]
mod entries;
mod ledger;
#[path = "../common/passing.rs"]
mod passing;
#[path = "../common/process.rs"]
mod process;

use std::path::Path;

use directory::copy_dir;
use ledger::Ledger;
use process::{Random, number, read_lines, seed, turn, wait_for_the_moment};
use streamlog::Broker;

/// How often a test kills if not said otherwise.
const KILLS: u64 = 50;

#[test]
fn what_returned_under_always_outlives_a_kill() {
    outlives_kills("always");
}

#[test]
fn what_returned_under_interval_outlives_a_kill() {
    outlives_kills("interval");
}

#[test]
fn what_returned_under_os_outlives_a_kill() {
    outlives_kills("os");
}

fn outlives_kills(level: &str) {
    let _turn = turn();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let mut random = Random::new(seed(level));
    let mut ledger = Ledger::default();
    for run in 0..number("STREAMLOG_KILLS").unwrap_or(KILLS) {
        let lines = work_and_kill(&path, level, run, &mut random);
        ledger.begin_run();
        for line in &lines {
            ledger.take(line);
        }
        if !path.exists() {
            continue;
        }
        // Every other time in a copy, so that it is the next child that recovers the original.
        if random.below(2) == 0 {
            let copy = tempfile::tempdir().unwrap();
            copy_dir(&path, copy.path());
            ledger.check(Broker::open(copy.path()).unwrap());
        } else {
            ledger.check(Broker::open(&path).unwrap());
        }
    }
    ledger.assert_worth_it();
}

/// Has a child work, kills it at some moment, and returns the lines it wrote.
fn work_and_kill(path: &Path, level: &str, run: u64, random: &mut Random) -> Vec<String> {
    let mut child = child::start(path, level, run);
    let lines = read_lines(&mut child, |_| {});
    let mut seen = wait_for_the_moment(&lines, random);
    child.kill().unwrap();
    child.wait().unwrap();
    seen.extend(lines);
    seen
}
