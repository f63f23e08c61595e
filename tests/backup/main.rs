//! Backups: of a directory in use, of one in memory, and what they share with the original. What a power cut leaves of
//! one is in `tests/power`.
//!
//! `STREAMLOG_BACKUPS` sets how many are made of a directory in use, in each of two lives at each level.

#[path = "../power/child.rs"]
mod child;
#[path = "../common/entries.rs"]
mod entries;
#[allow(dead_code, reason = "some of it is for power cuts")]
#[path = "../power/ledger.rs"]
mod ledger;
#[path = "../common/passing.rs"]
mod passing;
#[allow(dead_code, reason = "some of it is for other tests")]
#[path = "../common/process.rs"]
mod process;
#[path = "../power/seen.rs"]
mod seen;
mod stories;

use ledger::Ledger;
use process::{number, read_lines, turn};
use streamlog::Broker;

/// How many backups are made if not said otherwise.
const BACKUPS: u64 = 3;

#[test]
fn a_backup_under_load_is_one_prefix_with_all_that_had_returned() {
    for level in ["always", "interval", "os"] {
        back_up_under_load(level);
    }
}

/// A child works and makes one backup after the other; each is opened and checked, and then what it goes on from.
fn back_up_under_load(level: &str) {
    let _turn = turn();
    let backups = number("STREAMLOG_BACKUPS").unwrap_or(BACKUPS);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let mut ledger = Ledger::new(level);
    for run in 0..2 {
        let mut child = child::start(&path, level, run);
        let lines = read_lines(&mut child, |line| assert!(!line.starts_with('!'), "the child failed: {line}"));
        let mut said = Vec::new();
        let mut begun = 0;
        while begun <= backups {
            let line = lines.recv_timeout(process::OPENING_MAX).expect("the child makes backups");
            begun += u64::from(line.contains(" backup "));
            said.push(line);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        said.extend(lines);
        ledger.take(&said);
        let mut checked = 0;
        for backup in ledger.backups() {
            let path = directory.path().join(&backup.name);
            assert!(path.exists() || backup.returned.is_none(), "{} returned", backup.name);
            if path.exists() {
                ledger.check_backup(Broker::open(&path).unwrap(), &backup);
                if checked == 0 {
                    // What it went through when it was opened first must not change it.
                    ledger.check_backup(Broker::open(&path).unwrap(), &backup);
                }
                checked += 1;
            }
        }
        assert!(checked >= backups, "only {checked} were checked");
        // Nothing that was done to the backups was done to this.
        ledger.check(Broker::open(&path).unwrap());
    }
}
