//! Delayed entries: added when they are due, once, whatever happens meanwhile; cancelled, or dropped with their stream.
#![cfg(feature = "simulation")]

#[path = "../common/directory.rs"]
mod directory;
mod losses;
mod times;

use streamlog::{Broker, Builder, Durability, Id, ManualClock, Stream};

pub(crate) const START_MS: u64 = 1_000_000;

/// Sizes so small that segments and journal files come and go.
pub(crate) fn tiny(clock: &ManualClock) -> Builder {
    let builder = Broker::builder().clock(clock.clone()).background(false).durability(Durability::Os);
    builder.segment_bytes(600).tail_bytes(800).journal_file_bytes(4096).cache_bytes(1000).open_files_max(2)
}

pub(crate) fn in_memory(clock: &ManualClock) -> Broker {
    tiny(clock).open_in_memory().unwrap()
}

pub(crate) fn schedule(stream: &Stream, n: u64, due_ms: u64) -> streamlog::Delayed {
    stream.entry([("n", n.to_string())]).at(due_ms).schedule().unwrap()
}

pub(crate) fn entries(stream: &Stream) -> Vec<(Id, u64)> {
    let read = stream.range(..).read().unwrap();
    read.iter().map(|entry| (entry.id, entry.text("n").unwrap().parse().unwrap())).collect()
}

pub(crate) fn numbers(stream: &Stream) -> Vec<u64> {
    entries(stream).into_iter().map(|(_, n)| n).collect()
}

/// Steps until nothing is due; returns how many entries that were.
pub(crate) fn add_due(broker: &Broker) -> usize {
    let mut done = 0;
    loop {
        match broker.due_step().unwrap() {
            0 => return done,
            some => done += some,
        }
    }
}
