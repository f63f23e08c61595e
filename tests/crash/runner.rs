//! Runs workloads by their seeds: as many as a test normally does, or as many as one asks for.
//!
//! ```text
//! STREAMLOG_CRASH_SEED=s      this one only
//! STREAMLOG_CRASH_SEEDS=n     the first n
//! STREAMLOG_CRASH_POINTS=n    from the first on until there were n crash points
//! STREAMLOG_CRASH_THREADS=n   on so many threads: a seed does the same on each
//! ```
//!
//! Unless it is asked, a debug build, thirty times as slow, runs every tenth. It tells as it goes how far it has come and
//! how fast; `--nocapture` shows it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::trial::Verdict;

/// How often it tells.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// After so many complaints there is enough to look at.
const COMPLAINTS_MAX: usize = 20;

/// What is asked for.
struct Asked {
    seeds: std::ops::Range<u64>,
    step: u64,
    points: u64,
    threads: u64,
}

impl Asked {
    fn from_environment(normally: u64) -> Asked {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
        let points = number("STREAMLOG_CRASH_POINTS");
        let (one, first) = (number("STREAMLOG_CRASH_SEED"), number("STREAMLOG_CRASH_SEEDS"));
        let asked = one.or(first).or(points).is_some();
        let step = if cfg!(debug_assertions) && !asked { 10 } else { 1 };
        let seeds = match (one, first, points) {
            (Some(seed), _, _) => seed..seed + 1,
            (None, Some(count), _) => 0..count,
            (None, None, Some(_)) => 0..u64::MAX,
            (None, None, None) => 0..normally,
        };
        let threads = number("STREAMLOG_CRASH_THREADS").unwrap_or(1);
        Asked { seeds, step, points: points.unwrap_or(u64::MAX), threads }
    }
}

/// Runs the seeds from 0 to `normally`, without it, or what is asked for. Each returns how many crashes it was.
///
/// # Panics
///
/// If there was a complaint: with the first of them, and a line of each other.
pub(crate) fn run(normally: u64, workload: impl Fn(u64) -> Verdict<u64> + Sync) {
    let asked = Asked::from_environment(normally);
    let next = AtomicU64::new(asked.seeds.start);
    let tally = Mutex::new(Tally::begin());
    let work = || {
        loop {
            {
                let tally = tally.lock().unwrap();
                if tally.crashes >= asked.points || tally.complaints.len() >= COMPLAINTS_MAX {
                    return;
                }
            }
            let seed = next.fetch_add(asked.step, Ordering::Relaxed);
            if seed >= asked.seeds.end {
                return;
            }
            let verdict = workload(seed);
            tally.lock().unwrap().add(verdict);
        }
    };
    std::thread::scope(|scope| (0..asked.threads).for_each(|_| drop(scope.spawn(work))));
    tally.into_inner().unwrap().end();
}

/// Counts the crashes of many runs, and tells how fast they went.
struct Tally {
    began: Instant,
    told: Instant,
    runs: u64,
    crashes: u64,
    complaints: Vec<String>,
}

impl Tally {
    fn begin() -> Tally {
        let began = Instant::now();
        Tally { began, told: began, runs: 0, crashes: 0, complaints: Vec::new() }
    }

    fn add(&mut self, verdict: Verdict<u64>) {
        self.runs += 1;
        match verdict {
            Ok(crashes) => self.crashes += crashes,
            Err(complaint) => {
                println!("{complaint}");
                self.complaints.push(complaint);
            }
        }
        if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            self.tell();
        }
    }

    fn tell(&self) {
        let Tally { began, runs, crashes, ref complaints, .. } = *self;
        let elapsed = began.elapsed();
        let rate = u128::from(crashes) * 1000 / elapsed.as_millis().max(1);
        let (seconds, complaints) = (elapsed.as_secs(), complaints.len());
        println!("{seconds:>6} s: {runs} workloads, {crashes} crash points, {rate} a second, {complaints} complaints");
    }

    /// # Panics
    ///
    /// If there was a complaint.
    fn end(self) {
        self.tell();
        if let Some(first) = self.complaints.first() {
            let others: Vec<_> = self.complaints[1..].iter().filter_map(|complaint| complaint.lines().next()).collect();
            panic!("{first}\n{}", others.join("\n"));
        }
    }
}
