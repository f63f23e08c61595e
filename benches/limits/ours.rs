//! The engine's side: opening it, what its calls write, and waiting until it is at rest.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use streamlog::{Broker, Builder, Stream, Trim};

use crate::common::{Io, Scratch};

/// Checkpoints of the defaults.
pub(crate) const CHECKPOINT_BYTES: u64 = 32 << 20;
/// The name of an entry's one field.
pub(crate) const FIELD: &str = "f";

/// How many times something is done to see what it writes.
pub(crate) const PROBES: usize = 50;

/// A value that no compression or zero page makes easier.
pub(crate) fn payload(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(next).collect()
}

/// Of rows that sync one by one: about one in five thousand calls, which take a second or so. As many bytes as the default asks for may
/// take them minutes.
pub(crate) fn small_checkpoint_bytes(payload: usize) -> u64 {
    const CALLS: usize = 5000;
    const FRAME: usize = 51;
    (((payload + FRAME) * CALLS) as u64).min(CHECKPOINT_BYTES)
}

pub(crate) fn open(builder: Builder, scratch: &Scratch) -> Broker {
    builder.open(scratch.join("data")).expect("a directory for the broker")
}

/// Adds so many entries, untimed, in batches.
pub(crate) fn fill(stream: &Stream, payload: &[u8], entries: usize) {
    let batch_len = ((1 << 20) / (payload.len() + 32)).clamp(1, 1000);
    let mut left = entries;
    while left > 0 {
        let len = left.min(batch_len);
        let mut batch = stream.batch().durability(streamlog::Durability::Os);
        for _ in 0..len {
            batch.push([(FIELD, payload)]).expect("an entry");
        }
        batch.add().expect("a batch");
        left -= len;
    }
}

/// Removes the stream's entries, that the disk may hold those of the next slice.
pub(crate) fn empty(stream: &Stream) {
    stream.trim(Trim::max_len(1)).expect("a trim");
}

/// The bytes that one call of `work` has the process write: of several the least, so that what the background wrote meanwhile is
/// not in it.
pub(crate) fn written_bytes(mut work: impl FnMut()) -> usize {
    let probe = |_| {
        let before = Io::of_self();
        work();
        (Io::of_self() - before).written_bytes as usize
    };
    let bytes = (0..PROBES).map(probe).min().unwrap_or(0);
    assert!(bytes > 0, "the limit needs to know what a call writes, and that is told by Linux alone: /proc/self/io");
    bytes
}

/// Returns when the background has nothing left to do and the system has written out what it was given: neither is to happen in the
/// other side's turn.
pub(crate) fn rest(scratch: &Scratch) {
    let began = Instant::now();
    let mut before = Io::of_self();
    let mut quiet = 0;
    while quiet < 3 && began.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(20));
        let now = Io::of_self();
        quiet = if now.write_calls == before.write_calls { quiet + 1 } else { 0 };
        before = now;
    }
    sync_file_system(scratch.path());
}

/// `sync -f`, which `std` has not.
fn sync_file_system(directory: &Path) {
    // Where there is no such program the disk is a little busier for the next.
    let _ = Command::new("sync").arg("-f").arg(directory).status();
}
