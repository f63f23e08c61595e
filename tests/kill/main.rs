//! A child process works on a directory and is killed, again and again. Whatever it said had returned is there, at
//! every durability level: the level is about power, not about processes.
//!
//! `STREAMLOG_KILLS` sets how often each test kills, `STREAMLOG_SEED` the moments.

mod child;
mod ledger;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use ledger::Ledger;
use streamlog::Broker;

/// How often a test kills if not said otherwise.
const KILLS: u64 = 50;
/// How long a child may take to open the directory before something is wrong with it.
const OPENING_MAX: Duration = Duration::from_secs(120);

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

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
    let seed = number("STREAMLOG_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("{level}: STREAMLOG_SEED={seed}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let mut random = Random::new(seed);
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
    let lines = read_lines(&mut child);
    let mut seen = Vec::new();
    // Most often it has begun to work; else it may be opening the directory.
    if random.below(4) > 0 {
        loop {
            let line = lines.recv_timeout(OPENING_MAX).expect("the child opens the directory");
            let open = line == "open" || line.starts_with('!');
            seen.push(line);
            if open {
                break;
            }
        }
    }
    thread::sleep(Duration::from_micros(random.below(60_000)));
    child.kill().unwrap();
    child.wait().unwrap();
    seen.extend(lines);
    seen
}

/// The child's whole lines, as they come.
fn read_lines(child: &mut Child) -> Receiver<String> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        // A line without an end was cut by the kill.
        while output.read_line(&mut line).is_ok_and(|_| line.ends_with('\n')) {
            sender.send(line.trim_end().to_owned()).unwrap();
            line.clear();
        }
    });
    lines
}

fn command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
