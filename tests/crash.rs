//! The crash checker: whatever a broker is doing, and wherever in it the machine stops, what comes back is the broker as
//! it was after the first so many of its operations, and no fewer of them than its callers were told are durable.
//!
//! ```text
//! chance     seeds, or bytes, into choices
//! op         the operations, and who of them waits for the disk
//! workload   which operations come: enumerated, or by chance
//! observe    all that can be seen of a broker
//! trial      a broker on a disk that crashes, beside one that does not
//! checks     what must hold besides: nothing lost, nothing left over, new IDs new
//! exhaust    short workloads, crashed everywhere
//! long       long workloads, crashed several times
//! faults     workloads on a disk that errs
//! runner     many seeds, as long as one asks
//! broken     what is broken of the engine or the disk: nothing
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
    pub(crate) mod broken;
    pub(crate) mod chance;
    pub(crate) mod checks;
    pub(crate) mod exhaust;
    pub(crate) mod faults;
    pub(crate) mod long;
    pub(crate) mod observe;
    pub(crate) mod op;
    pub(crate) mod runner;
    pub(crate) mod sabotage;
    mod stories;
    pub(crate) mod trial;
    pub(crate) mod workload;
}

use crash::broken::Broken;
use crash::exhaust::{Exhaust, KILL_OR_SECTORS, SURVIVALS};
use crash::long::{ALWAYS, OS, erring, long};
use crash::runner::run;
use crash::trial::{Setup, Verdict};
use crash::workload::{ALPHABET, BEGUN, Letter, letter};
use streamlog::sim::Survival;

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
    let chosen: [&[&str]; 13] = [
        &["delay", "checkpoint", "add due"],
        &["delay b os", "delay", "add due", "checkpoint"],
        &["delay", "delay b os", "cancel", "delete stream", "add due"],
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
    let chosen: [&[&str]; 5] = [
        &["delay b os", "flush", "add due"],
        &["flush", "trim all", "add os"],
        &["delete stream", "batch b"],
        &["amid segments"],
        &["ack os", "reopen"],
    ];
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
