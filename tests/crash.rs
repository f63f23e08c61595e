//! The crash checker: whatever a broker is doing, and wherever in it the machine stops, what comes back is the broker as
//! it was after the first so many of its operations, and no fewer of them than its callers were told are durable.
//!
//! ```text
//! chance     seeds into choices
//! op         the operations, and who of them waits for the disk
//! workload   which operations come: enumerated, or from a seed
//! observe    all that can be seen of a broker
//! trial      a broker on a disk that crashes, beside one that does not
//! checks     what must hold besides: nothing lost, nothing left over, new IDs new
//! ```
//!
//! A failure prints its seed. `STREAMLOG_CRASH_SEEDS=n` runs that many seeds, `STREAMLOG_CRASH_SEED=s` that one only.

#![cfg(feature = "simulation")]

mod crash {
    pub(crate) mod chance;
    pub(crate) mod checks;
    pub(crate) mod observe;
    pub(crate) mod op;
    pub(crate) mod trial;
    pub(crate) mod workload;
}

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use crash::chance::Chance;
use crash::op::{Levels, Op};
use crash::trial::{Ran, Setup, Trial, Verdict};
use crash::workload::{ALPHABET, BEGUN, Letter, Manner, letter};
use streamlog::Durability;
use streamlog::sim::{SimDisk, Survival};

const ALWAYS: Levels = Levels { writes: Durability::Always, acks: Durability::Always };
const OS: Levels = Levels { writes: Durability::Os, acks: Durability::Os };

/// The levels that long workloads take in turn.
const LEVELS: [Levels; 5] = [
    ALWAYS,
    Levels { writes: Durability::Always, acks: Durability::Os },
    Levels { writes: Durability::Interval(Duration::from_secs(1)), acks: Durability::Interval(Duration::from_secs(1)) },
    OS,
    Levels { writes: Durability::Os, acks: Durability::Always },
];

/// Runs what may complain or panic.
fn caught<T>(run: impl FnOnce() -> Verdict<T>) -> Verdict<T> {
    std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!(
            "panic: {}",
            text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
        ))
    })
}

/// A workload from a seed, through several crashes. Returns how many.
fn long(seed: u64, sabotage: fn(&mut Setup, &SimDisk)) -> Verdict<u64> {
    let mut chance = Chance::new(seed);
    let mut setup = Setup {
        levels: LEVELS[(seed % LEVELS.len() as u64) as usize],
        segment_bytes: 200 + chance.below(600),
        segment_age_ms: *chance.pick(&[25, 1 << 30]),
        journal_file_bytes: 1024 + chance.below(3072),
        checkpoint_bytes: 2048 + chance.below(6144),
        journal_bytes_max: *chance.pick(&[3000, 12_000, 1 << 20]),
        tail_bytes: 200 + chance.index(2000),
        cache_bytes: chance.index(3000),
        open_files_max: 1 + chance.index(6),
        sabotaged_checkpoint: false,
    };
    let manner = Manner { streams: 1 + chance.index(3), only_work: chance.once_in(4) };
    let disk = SimDisk::new(chance.next());
    sabotage(&mut setup, &disk);
    let mut trial = Trial::new(setup, disk);
    trial.watched = chance.once_in(2);
    let mut crashes = 0;
    let verdict = caught(|| {
        for _ in 0..3 + chance.below(2) {
            crashes += epoch(&mut trial, manner, &mut chance)?;
        }
        trial.check_files()?;
        trial.drain(manner.only_work)
    });
    verdict.map_err(|complaint| format!("seed {seed}: {complaint}\n{setup:?}\n{}", trial.log.join("\n")))?;
    Ok(crashes)
}

/// Operations until a crash, and the recovery, which may crash too. Returns how many crashes that were.
fn epoch(trial: &mut Trial, manner: Manner, chance: &mut Chance) -> Verdict<u64> {
    let ops = 5 + chance.below(50);
    let crash_within = chance.once_in(3).then(|| 1 + chance.below(150));
    if let Some(operations) = crash_within {
        trial.disk.crash_at(trial.disk.operations() + operations);
    }
    for number in 0.. {
        if crash_within.is_none() && number >= ops {
            // Now and then at the next operation of the disk, whatever it is.
            if chance.once_in(2) {
                break;
            }
            trial.disk.crash_at(trial.disk.operations() + 1 + chance.below(8));
        }
        if number > 400 {
            break;
        }
        let op = manner.next(chance, trial.model.now());
        trial.now_ms += chance.below(6);
        if trial.run(&op)? == Ran::Crashed {
            break;
        }
    }
    let survival = chance.survival();
    let again: Vec<_> = (0..chance.below(4)).map(|_| (1 + chance.below(40), chance.survival())).collect();
    trial.crash(survival, &again)?;
    if chance.once_in(3) {
        trial.check_files()?;
    }
    Ok(1 + again.len() as u64)
}

fn seeds(normally: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    match (number("STREAMLOG_CRASH_SEED"), number("STREAMLOG_CRASH_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(normally),
    }
}

#[test]
fn a_long_workload_comes_back_from_every_crash_with_a_prefix_of_itself() {
    let began = Instant::now();
    let mut crashes = 0;
    let mut complaints = Vec::new();
    for seed in seeds(300) {
        match long(seed, |_, _| {}) {
            Ok(count) => crashes += count,
            Err(complaint) => complaints.push(complaint),
        }
    }
    if let Some(first) = complaints.first() {
        let others: Vec<_> = complaints.iter().skip(1).filter_map(|complaint| complaint.lines().next()).collect();
        panic!("{first}\n{}", others.join("\n"));
    }
    let rate = crashes as f64 / began.elapsed().as_secs_f64();
    println!("{crashes} crash points, {rate:.0} a second");
}
