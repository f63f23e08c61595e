//! The model test: random operations on a broker and on a model of what they mean, with reopening in between, by closing and by
//! crashing, and with failures of redb. Every outcome must be the same, and from time to time all that can be seen. In the
//! end redb is lost: that may cost redeliveries, and nothing else.
//!
//! `MODEL_CASES` says how many sequences to try with each set of sizes. One that fails is shrunk and printed, with the
//! `MODEL_SEED` that finds it again.
#![cfg(feature = "simulation")]

mod common {
    pub(crate) mod engine;
    pub(crate) mod generate;
    pub(crate) mod model;
    pub(crate) mod operation;
    pub(crate) mod schedule;
    pub(crate) mod sequence;
}

use std::hash::{BuildHasher, Hasher, RandomState};

use common::sequence::{Build, Place, Run, Sizes, Small, tiny};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use streamlog::sim::SimDisk;
use streamlog::{Broker, Builder, Durability};

/// How many steps a sequence has at most.
const STEPS_MAX: usize = 200;
/// The bytes that one step is made of.
const STEP_BYTES: usize = 64;
impl Place for tempfile::TempDir {
    fn open(&self, builder: Builder) -> streamlog::Result<Broker> {
        builder.open(self.path())
    }

    fn lose_redb(&self, _how: u8) {
        std::fs::remove_file(self.path().join("state.redb")).unwrap();
    }
}

/// Tries `cases` sequences, or as many as `MODEL_CASES` says.
fn check(cases: u32, sizes: impl Strategy<Value = Sizes>, place: impl Fn() -> Box<dyn Place>) {
    let number =
        |name| std::env::var(name).map(|value| value.parse::<u64>().unwrap_or_else(|_| panic!("{name}={value}")));
    let cases = number("MODEL_CASES").map_or(cases, |cases| cases as u32);
    let seed = number("MODEL_SEED").unwrap_or_else(|_| RandomState::new().build_hasher().finish());
    let steps = prop::collection::vec(prop::collection::vec(any::<u8>(), STEP_BYTES), 1..STEPS_MAX);
    let rng_seed = RngSeed::Fixed(seed);
    let config = Config { cases, rng_seed, max_shrink_iters: 4000, failure_persistence: None, ..Config::default() };
    let run = |(sizes, steps): (Sizes, Vec<Vec<u8>>)| {
        let steps: Vec<_> = steps.iter().map(Vec::as_slice).collect();
        let lose_redb = steps.last().map_or(0, |bytes| bytes[STEP_BYTES - 1]);
        Run::new(&*place(), &sizes.builder()).run(&steps, lose_redb)
    };
    match TestRunner::new(config).run(&(sizes, steps), run) {
        Ok(()) => {}
        // The steps are in the reason, as what they came to mean.
        Err(TestError::Fail(reason, (sizes, _))) => panic!("{reason}with {sizes:?}\nagain with MODEL_SEED={seed}"),
        Err(error) => panic!("{error}; again with MODEL_SEED={seed}"),
    }
}

fn any_sizes() -> impl Strategy<Value = Sizes> {
    let durability = prop_oneof![Just(Durability::Always), Just(Durability::Os)];
    (durability, 1..4000_u64, 0..4000_usize, 1..8000_u64, 0..64_000_u64, 0..8000_usize, 1..4_usize).prop_map(
        |(
            durability,
            segment_bytes,
            tail_bytes,
            journal_file_bytes,
            journal_bytes_max,
            cache_bytes,
            open_files_max,
        )| {
            Some(Small {
                durability,
                segment_bytes,
                tail_bytes,
                journal_file_bytes,
                journal_bytes_max,
                cache_bytes,
                open_files_max,
            })
        },
    )
}

fn sim() -> Box<dyn Place> {
    Box::new(SimDisk::new(1))
}

#[test]
fn a_broker_of_tiny_segments_does_what_the_model_does() {
    check(200, Just(Some(tiny(Durability::Always))), sim);
}

#[test]
fn a_broker_of_any_sizes_does_what_the_model_does() {
    check(200, any_sizes(), sim);
}

#[test]
fn a_broker_of_default_sizes_does_what_the_model_does() {
    check(100, Just(None), sim);
}

#[test]
fn a_broker_on_a_real_disk_does_what_the_model_does() {
    let place = || -> Box<dyn Place> { Box::new(tempfile::tempdir().expect("a temporary directory")) };
    check(8, Just(Some(tiny(Durability::Os))), place);
}
