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
//! runner     many seeds, as long as one asks
//! sabotage   each rule broken, which must be noticed
//! stories    what was found
//! ```
//!
//! A complaint tells the seed or the workload that it comes from. A million crash points:
//!
//! ```text
//! STREAMLOG_CRASH_POINTS=1000000 STREAMLOG_CRASH_THREADS=2 \
//!   cargo test --release --features simulation --test crash -- --nocapture a_long_workload
//! ```

#![cfg(feature = "simulation")]

mod crash {
    pub(crate) mod chance;
    pub(crate) mod checks;
    pub(crate) mod exhaust;
    pub(crate) mod faults;
    pub(crate) mod observe;
    pub(crate) mod op;
    pub(crate) mod runner;
    pub(crate) mod sabotage;
    mod stories;
    pub(crate) mod trial;
    pub(crate) mod workload;
}

use std::time::Duration;

use crash::chance::Chance;
use crash::exhaust::{Exhaust, KILL_OR_SECTORS, SURVIVALS};
use crash::faults::until_a_failure;
use crash::op::Levels;
use crash::runner::{caught, run};
use crash::sabotage::Broken;
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

/// A trial from a seed, and how it is worked.
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
    let manner = Manner { streams: 1 + chance.index(3), only_work: chance.once_in(4), amid };
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
            trial.drain(manner.only_work)?;
            Ok(crashes)
        })
    });
    verdict.map_err(|complaint| format!("seed {seed}: {complaint}\n{:?}\n{}", trial.setup, trial.log.join("\n")))
}

/// A workload from a seed, through several crashes. Returns how many.
fn long(seed: u64, broken: Broken) -> Verdict<u64> {
    worked(seed, seed % 3 == 2, broken)
}

/// As [`long`], always with users at work in the middle of what the background does.
fn amid(seed: u64, broken: Broken) -> Verdict<u64> {
    worked(seed, true, broken)
}

fn worked(seed: u64, amid: bool, broken: Broken) -> Verdict<u64> {
    let mut chance = Chance::new(seed);
    let (mut trial, manner) = begin(&mut chance, seed, amid, broken);
    let verdict = caught(|| {
        let epochs = 3 + chance.below(2);
        (0..epochs).map(|_| epoch(&mut trial, manner, &mut chance)).sum()
    });
    end(seed, trial, manner, verdict)
}

/// A workload from a seed, on a disk that errs. Returns how often writing was stopped by that, or the machine.
fn erring(seed: u64, broken: Broken) -> Verdict<u64> {
    let mut chance = Chance::new(seed);
    let (mut trial, manner) = begin(&mut chance, seed, false, broken);
    let verdict = caught(|| {
        let mut failures = 0;
        for _ in 0..3 {
            trial.heal();
            if until_a_failure(&mut trial, manner, &mut chance)? {
                failures += 1;
                if chance.once_in(2) {
                    trial.reopen_after_failure()?;
                    continue;
                }
            }
            trial.heal();
            trial.crash_into_trouble(&mut chance)?;
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
    // A recovery takes some eighty operations of the disk: everywhere in it, and after it.
    let again: Vec<_> = (0..chance.below(4)).map(|_| (1 + chance.below(110), chance.survival())).collect();
    trial.crash(survival, &again)?;
    if chance.once_in(3) {
        trial.check_files()?;
    }
    Ok(1 + again.len() as u64)
}

#[test]
fn a_long_workload_comes_back_from_every_crash_with_a_prefix_of_itself() {
    run(500, |seed| long(seed, Broken::Nothing));
}

/// The kind of survival with this number, and what the number has left beyond that.
fn survival(number: u64) -> (&'static [Survival], u64) {
    let kinds = SURVIVALS.len() as u64;
    (&SURVIVALS[(number % kinds) as usize..][..1], number / kinds)
}

#[test]
fn a_directory_being_made_can_be_made_again_wherever_the_crash_came() {
    run(SURVIVALS.len() as u64, |number| {
        let (setup, letters, survivals) = (Setup::ALWAYS, [BEGUN[0]], survival(number).0);
        let in_recovery = survivals == [Survival::Kill];
        Exhaust { setup, begun: &[], letters: &letters, survivals, broken: Broken::Nothing, in_recovery }.run()
    });
}

#[test]
fn every_crash_point_of_chosen_workloads_leaves_a_prefix() {
    let chosen: [&[&str]; 10] = [
        &["add os", "checkpoint", "add os"],
        &["trim all", "add", "flush"],
        &["trim all", "checkpoint", "add large"],
        &["delete stream", "batch", "checkpoint"],
        &["read", "ack", "reopen"],
        &["flush", "delete second", "checkpoint"],
        &["add large", "add trim", "reopen"],
        &["claim", "delete consumer", "fetch"],
        &["amid segments", "add os", "amid tables"],
        &["fetch idle", "force", "amid tables"],
    ];
    run((SURVIVALS.len() * chosen.len()) as u64, |number| {
        let (survivals, number) = survival(number);
        let letters: Vec<Letter> = chosen[number as usize].iter().map(|name| letter(name)).collect();
        let setup = Setup { levels: [ALWAYS, OS][number as usize % 2], ..Setup::ALWAYS };
        Exhaust { setup, begun: &BEGUN, letters: &letters, survivals, broken: Broken::Nothing, in_recovery: false }
            .run()
    });
}

#[test]
fn every_crash_point_of_a_recovery_leaves_what_was_recovered() {
    let chosen: [&[&str]; 4] =
        [&["flush", "trim all", "add os"], &["delete stream", "batch b"], &["amid segments"], &["ack os", "reopen"]];
    run(chosen.len() as u64, |number| {
        let letters: Vec<Letter> = chosen[number as usize].iter().map(|name| letter(name)).collect();
        let setup = Setup { levels: OS, ..Setup::ALWAYS };
        let survivals = &KILL_OR_SECTORS[..1];
        Exhaust { setup, begun: &BEGUN, letters: &letters, survivals, broken: Broken::Nothing, in_recovery: true }.run()
    });
}

/// Crashes a short workload everywhere, with one kind of survival and one level, each in its turn.
fn in_turn(letters: &[Letter], turn: u64) -> Verdict<u64> {
    let setup = Setup { levels: [ALWAYS, OS][turn as usize % 2], ..Setup::ALWAYS };
    let survivals = survival(turn).0;
    Exhaust { setup, begun: &BEGUN, letters, survivals, broken: Broken::Nothing, in_recovery: false }.run()
}

/// The workload with this number of those that are `len` of these letters.
fn word(letters: &[Letter], len: u32, number: u64) -> Vec<Letter> {
    let base = letters.len() as u64;
    (0..len).rev().map(|place| letters[(number / base.pow(place) % base) as usize]).collect()
}

#[test]
fn every_pair_of_operations_leaves_a_prefix() {
    let pairs = (ALPHABET.len() as u64).pow(2);
    run(pairs, |number| in_turn(&word(&ALPHABET, 2, number), number));
}

#[test]
fn every_triple_of_a_few_operations_leaves_a_prefix() {
    let few = ["add os", "fetch", "trim all", "checkpoint", "reopen"].map(letter);
    let triples = (few.len() as u64).pow(3);
    run(triples, |number| in_turn(&word(&few, 3, number), number));
}

#[test]
#[ignore = "takes an hour: run it by its name"]
fn every_triple_of_operations_leaves_a_prefix() {
    let triples = (ALPHABET.len() as u64).pow(3);
    run(triples, |number| in_turn(&word(&ALPHABET, 3, number), number));
}

#[test]
fn a_disk_that_errs_costs_nothing_that_was_acknowledged() {
    run(100, |seed| erring(seed, Broken::Nothing));
}
