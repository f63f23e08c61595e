//! Long workloads, through several crashes, some of them in the middle of a recovery.

use std::time::Duration;

use streamlog::Durability;
use streamlog::sim::SimDisk;

use super::broken::Broken;
use super::chance::Chance;
use super::faults::until_a_failure;
use super::op::Levels;
use super::trial::{Ran, Setup, Trial, Verdict, caught};
use super::workload::Manner;

pub(crate) const ALWAYS: Levels = Levels { writes: Durability::Always, acks: Durability::Always };
pub(crate) const OS: Levels = Levels { writes: Durability::Os, acks: Durability::Os };

/// The levels that long workloads take in turn.
const LEVELS: [Levels; 5] = [
    ALWAYS,
    Levels { writes: Durability::Always, acks: Durability::Os },
    Levels { writes: Durability::Interval(Duration::from_secs(1)), acks: Durability::Interval(Duration::from_secs(1)) },
    OS,
    Levels { writes: Durability::Os, acks: Durability::Always },
];

/// A trial by chance, and how it is worked.
fn begin(chance: &mut Chance, seed: u64, amid: bool, broken: Broken) -> (Trial, Manner) {
    let roomy = 1 << 20;
    let setup = Setup {
        levels: LEVELS[(seed % LEVELS.len() as u64) as usize],
        segment_bytes: 200 + chance.below(600),
        segment_age_ms: *chance.pick(&[25, 1 << 30]),
        journal_file_bytes: 1024 + chance.below(3072),
        checkpoint_bytes: 2048 + chance.below(6144),
        journal_bytes_max: if amid { roomy } else { *chance.pick(&[3000, 12_000, roomy]) },
        tail_bytes: if amid { roomy as usize } else { 200 + chance.index(2000) },
        cache_bytes: chance.index(3000),
        open_files_max: 1 + chance.index(6),
        sabotage: broken.engine(),
    };
    let manner = Manner { streams: 1 + chance.index(3), only_work: chance.once_in(4), execs: true, amid };
    let disk = SimDisk::new(chance.next());
    broken.lie_on(&disk);
    let mut trial = Trial::new(setup, disk);
    trial.watched = chance.once_in(2);
    (trial, manner)
}

/// Checks what a trial came to, and says of a complaint where it comes from.
fn end(seed: u64, mut trial: Trial, manner: Manner, verdict: Verdict<u64>) -> Verdict<u64> {
    let verdict = verdict.and_then(|crashes| {
        caught(|| {
            trial.check_files()?;
            trial.check_order()?;
            trial.drain(manner.only_work)?;
            Ok(crashes)
        })
    });
    verdict.map_err(|complaint| format!("seed {seed}: {complaint}\n{:?}\n{}", trial.setup, trial.log.join("\n")))
}

/// A workload from a seed, through several crashes. Returns how many.
pub(crate) fn long(seed: u64, broken: Broken) -> Verdict<u64> {
    crashing(&mut Chance::new(seed), seed, seed % 3 == 2, broken)
}

/// As [`long`], always with users at work in the middle of what the background does.
pub(crate) fn amid(seed: u64, broken: Broken) -> Verdict<u64> {
    crashing(&mut Chance::new(seed), seed, true, broken)
}

/// A workload from a seed, on a disk that errs. Returns how often writing was stopped by that, or the machine.
pub(crate) fn erring(seed: u64, broken: Broken) -> Verdict<u64> {
    failing(&mut Chance::new(seed), seed, broken)
}

/// A workload by chance, through several crashes. Returns how many.
pub(crate) fn crashing(chance: &mut Chance, seed: u64, amid: bool, broken: Broken) -> Verdict<u64> {
    let (mut trial, manner) = begin(chance, seed, amid, broken);
    let verdict = caught(|| {
        let epochs = 3 + chance.below(2);
        (0..epochs).map(|_| epoch(&mut trial, manner, chance)).sum()
    });
    end(seed, trial, manner, verdict)
}

/// A workload by chance, on a disk that errs. Returns how often writing was stopped by that, or the machine.
pub(crate) fn failing(chance: &mut Chance, seed: u64, broken: Broken) -> Verdict<u64> {
    let (mut trial, manner) = begin(chance, seed, false, broken);
    // One of several can be refused for want of room, and the others stay.
    let manner = Manner { execs: false, ..manner };
    let verdict = caught(|| {
        let mut failures = 0;
        for _ in 0..3 {
            trial.heal();
            if until_a_failure(&mut trial, manner, chance)? {
                failures += 1;
                if chance.once_in(2) {
                    trial.reopen_after_failure()?;
                    continue;
                }
            }
            trial.heal();
            trial.crash_into_trouble(chance)?;
            failures += epoch(&mut trial, manner, chance)?;
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
    // A recovery takes some eighty operations of the disk: everywhere in it, and after it.
    let again: Vec<_> = (0..chance.below(4)).map(|_| (1 + chance.below(110), chance.survival())).collect();
    trial.crash(survival, &again)?;
    if chance.once_in(3) {
        trial.check_files()?;
    }
    Ok(1 + again.len() as u64)
}
