//! The engine's threads in orders of shuttle's choice: `RUSTFLAGS="--cfg shuttle" cargo test --all-features --test shuttle`.
//!
//! Each test is a small story of a few threads over the real broker on a simulated disk, told again and again. Shuttle
//! runs one thread at a time and chooses at every lock and atomic who goes on; it sees a deadlock, which is how a
//! wake-up that was lost shows. It knows no time, and takes every atomic as sequentially consistent: a wrong `Ordering`
//! is not found here.
//!
//! `STREAMLOG_SHUTTLE_ITERATIONS` is how often each story is told by each scheduler; `STREAMLOG_SHUTTLE_REPLAY` is a
//! schedule that a failure printed, for the test that failed alone.

#![cfg(all(shuttle, feature = "simulation"))]

mod commit;
mod delayed;
#[cfg(feature = "tokio")]
mod futures;
mod names;
mod publication;
mod several;
mod together;
mod upkeep;
mod waiting;
mod witness;

use std::env;

use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};
use streamlog::{Broker, Builder, DATA_FIELD, Durability, Entry, Group, Id, ManualClock, Stream};

use crate::witness::Witness;

const ITERATIONS: usize = 300;

/// The preemptions that a bug may need: most need one or two.
const PCT_DEPTH: usize = 4;

/// Far more than any story has: one that has so many goes round in a circle.
const STEPS_MAX: usize = 200_000;

/// Tells a story in many orders.
fn check(story: impl Fn() + Send + Sync + Clone + 'static) {
    let iterations = env::var("STREAMLOG_SHUTTLE_ITERATIONS").map_or(ITERATIONS, |n| n.parse().expect("a number"));
    if let Ok(schedule) = env::var("STREAMLOG_SHUTTLE_REPLAY") {
        return run(ReplayScheduler::new_from_encoded(&schedule), story);
    }
    run(RandomScheduler::new(iterations), story.clone());
    run(PctScheduler::new(PCT_DEPTH, iterations), story);
}

fn run(scheduler: impl Scheduler + 'static, story: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    // redb is opened on these stacks.
    config.stack_size = 1 << 20;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    Runner::new(scheduler, config).run(story);
}

/// A broker that does nothing of itself: its clock stands still, so that a stream's IDs have one millisecond and count from 0.
fn builder(durability: Durability) -> Builder {
    Broker::builder().durability(durability).background(false).clock(ManualClock::at(1)).journal_file_bytes(16 << 10)
}

fn open(witness: &Witness, durability: Durability) -> (Broker, Stream, Group) {
    let broker = builder(durability).open_on(witness.storage()).unwrap();
    let stream = broker.stream("orders").unwrap();
    let group = stream.group("billing").from_start().create().unwrap();
    (broker, stream, group)
}

/// The entry that was added as number `n`, counted from 0.
fn id(n: u64) -> Id {
    Id::new(1, n)
}

fn random_below(end: u64) -> u64 {
    shuttle::rand::thread_rng().gen_range(0..end)
}

/// What an entry was added with.
fn token_of(entry: &Entry) -> String {
    entry.fields().text(DATA_FIELD).unwrap().to_owned()
}
