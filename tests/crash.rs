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
//! exhaust    short workloads, crashed everywhere
//! faults     workloads on a disk that errs
//! stories    what was found
//! ```
//!
//! A failure prints its seed. `STREAMLOG_CRASH_SEEDS=n` runs that many seeds, `STREAMLOG_CRASH_SEED=s` that one only; with
//! `--nocapture` each test tells how many crashes that were, and how fast.

#![cfg(feature = "simulation")]

mod crash {
    pub(crate) mod chance;
    pub(crate) mod checks;
    pub(crate) mod exhaust;
    pub(crate) mod faults;
    pub(crate) mod observe;
    pub(crate) mod op;
    mod stories;
    pub(crate) mod trial;
    pub(crate) mod workload;
}

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use crash::chance::Chance;
use crash::exhaust::{Exhaust, KILL_OR_SECTORS, SURVIVALS};
use crash::faults::until_a_failure;
use crash::op::Levels;
use crash::trial::{Ran, Setup, Trial, Verdict};
use crash::workload::{ALPHABET, BEGUN, Letter, Manner, letter};
use streamlog::Durability;
use streamlog::sim::SimDisk;

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

/// A trial from a seed, and how it is worked.
fn begin(chance: &mut Chance, seed: u64, sabotage: fn(&mut Setup, &SimDisk)) -> (Trial, Manner) {
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
    (trial, manner)
}

/// Checks what a trial came to, and says of a complaint where it comes from.
fn end(seed: u64, mut trial: Trial, manner: Manner, verdict: Verdict<u64>) -> Verdict<u64> {
    let verdict = verdict.and_then(|crashes| {
        caught(|| {
            trial.check_files()?;
            trial.drain(manner.only_work)?;
            Ok(crashes)
        })
    });
    verdict.map_err(|complaint| format!("seed {seed}: {complaint}\n{:?}\n{}", trial.setup, trial.log.join("\n")))
}

/// A workload from a seed, through several crashes. Returns how many.
fn long(seed: u64, sabotage: fn(&mut Setup, &SimDisk)) -> Verdict<u64> {
    let mut chance = Chance::new(seed);
    let (mut trial, manner) = begin(&mut chance, seed, sabotage);
    let verdict = caught(|| {
        let epochs = 3 + chance.below(2);
        (0..epochs).map(|_| epoch(&mut trial, manner, &mut chance)).sum()
    });
    end(seed, trial, manner, verdict)
}

/// A workload from a seed, on a disk that errs. Returns how often writing was stopped by that, or the machine.
fn erring(seed: u64) -> Verdict<u64> {
    let mut chance = Chance::new(seed);
    let (mut trial, manner) = begin(&mut chance, seed, |_, _| {});
    let verdict = caught(|| {
        let mut failures = 0;
        for _ in 0..3 {
            trial.disk.clear_faults();
            if until_a_failure(&mut trial, manner, &mut chance)? {
                failures += 1;
                if chance.once_in(2) {
                    trial.reopen_after_failure()?;
                    continue;
                }
            }
            trial.disk.clear_faults();
            trial.crash(chance.survival(), &[])?;
            failures += epoch(&mut trial, manner, &mut chance)?;
        }
        Ok(failures)
    });
    end(seed, trial, manner, verdict)
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

/// How many seeds a test that normally runs so many is to run.
fn seeds(normally: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    match (number("STREAMLOG_CRASH_SEED"), number("STREAMLOG_CRASH_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(normally),
    }
}

/// Counts the crashes of many runs, and tells how fast they went.
struct Tally {
    began: Instant,
    crashes: u64,
    complaints: Vec<String>,
}

impl Tally {
    fn begin() -> Tally {
        Tally { began: Instant::now(), crashes: 0, complaints: Vec::new() }
    }

    fn add(&mut self, verdict: Verdict<u64>) {
        match verdict {
            Ok(crashes) => self.crashes += crashes,
            Err(complaint) => self.complaints.push(complaint),
        }
    }

    /// # Panics
    ///
    /// If there was a complaint: with the first of them, and a line of each other.
    fn end(self) {
        if let Some(first) = self.complaints.first() {
            let others: Vec<_> = self.complaints[1..].iter().filter_map(|complaint| complaint.lines().next()).collect();
            panic!("{first}\n{}", others.join("\n"));
        }
        let rate = u128::from(self.crashes) * 1000 / self.began.elapsed().as_millis().max(1);
        println!("{} crash points, {rate} a second", self.crashes);
    }
}

#[test]
fn a_long_workload_comes_back_from_every_crash_with_a_prefix_of_itself() {
    let mut tally = Tally::begin();
    for seed in seeds(300) {
        tally.add(long(seed, |_, _| {}));
    }
    tally.end();
}

#[test]
fn a_directory_being_made_can_be_made_again_wherever_the_crash_came() {
    let letters = [BEGUN[0]];
    let mut tally = Tally::begin();
    for (survivals, in_recovery) in [(&SURVIVALS[..], false), (&KILL_OR_SECTORS[..1], true)] {
        tally.add(Exhaust { setup: Setup::ALWAYS, begun: &[], letters: &letters, survivals, in_recovery }.run());
    }
    tally.end();
}

#[test]
fn every_crash_point_of_chosen_workloads_leaves_a_prefix() {
    let chosen: [&[&str]; 8] = [
        &["add os", "checkpoint", "add os"],
        &["trim all", "add", "flush"],
        &["trim all", "checkpoint", "add large"],
        &["delete stream", "batch", "checkpoint"],
        &["read", "ack", "reopen"],
        &["flush", "delete second", "checkpoint"],
        &["add large", "add trim", "reopen"],
        &["claim", "delete consumer", "fetch"],
    ];
    let mut tally = Tally::begin();
    for (number, names) in chosen.into_iter().enumerate() {
        let letters: Vec<Letter> = names.iter().map(|name| letter(name)).collect();
        let setup = Setup { levels: [ALWAYS, OS][number % 2], ..Setup::ALWAYS };
        tally.add(Exhaust { setup, begun: &BEGUN, letters: &letters, survivals: &SURVIVALS, in_recovery: false }.run());
    }
    tally.end();
}

#[test]
fn every_crash_point_of_a_recovery_leaves_what_was_recovered() {
    let chosen: [&[&str]; 2] = [&["flush", "trim all", "add os"], &["delete stream", "batch b"]];
    let mut tally = Tally::begin();
    for names in chosen {
        let letters: Vec<Letter> = names.iter().map(|name| letter(name)).collect();
        let setup = Setup { levels: OS, ..Setup::ALWAYS };
        let survivals = &KILL_OR_SECTORS[..1];
        tally.add(Exhaust { setup, begun: &BEGUN, letters: &letters, survivals, in_recovery: true }.run());
    }
    tally.end();
}

#[test]
fn every_pair_of_operations_leaves_a_prefix() {
    let mut tally = Tally::begin();
    for (number, first) in ALPHABET.into_iter().enumerate() {
        for second in ALPHABET {
            let setup = Setup { levels: [ALWAYS, OS][number % 2], ..Setup::ALWAYS };
            let letters = [first, second];
            tally.add(
                Exhaust {
                    setup,
                    begun: &BEGUN,
                    letters: &letters,
                    survivals: &KILL_OR_SECTORS[1..],
                    in_recovery: false,
                }
                .run(),
            );
        }
    }
    tally.end();
}

#[test]
fn a_disk_that_errs_costs_nothing_that_was_acknowledged() {
    let mut tally = Tally::begin();
    for seed in seeds(200) {
        tally.add(erring(seed));
    }
    tally.end();
}

/// How many seeds a sabotaged engine may pass before the checker must have complained.
const SEEDS_MAX: u64 = 40;

#[test]
fn the_checker_bites_where_the_journal_is_not_synced() {
    let bites = |seed| long(seed, |_, disk| disk.ignore_sync("journal/")).is_err();
    assert!((0..SEEDS_MAX).any(bites), "{SEEDS_MAX} seeds and no complaint");
}

#[test]
fn the_checker_bites_where_redb_is_committed_before_the_journal_is_synced() {
    let bites = |seed| long(seed, |setup, _| setup.sabotaged_checkpoint = true).is_err();
    assert!((0..SEEDS_MAX).any(bites), "{SEEDS_MAX} seeds and no complaint");
}
