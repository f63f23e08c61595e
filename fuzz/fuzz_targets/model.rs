//! Operations on a broker and on a model of what they mean: what `tests/model.rs` does, with sequences that are looked for
//! instead of drawn.

#![no_main]

use libfuzzer_sys::fuzz_target;
use streamlog::Durability;
use streamlog::sim::SimDisk;

#[path = "../../tests/common"]
mod common {
    pub(crate) mod engine;
    pub(crate) mod generate;
    pub(crate) mod model;
    pub(crate) mod operation;
    pub(crate) mod schedule;
    #[allow(dead_code, reason = "the model test has brokers with the default sizes, too")]
    pub(crate) mod sequence;
}

use common::sequence::{Build, Run, Small, tiny};

/// What comes before the steps.
const HEAD_BYTES: usize = 6;
/// The bytes that one step is made of: enough for all but large batches, which end in zeros.
const STEP_BYTES: usize = 24;
/// What kind of step it is, and how.
const STEP_BYTES_MIN: usize = 3;
const STEPS_MAX: usize = 100;

/// Small enough for everything to be full soon; the larger the bytes, the less.
fn sizes(head: &[u8; HEAD_BYTES]) -> Small {
    let [choice, segment, tail, journal, files, _] = head.map(u64::from);
    let durability = if choice % 2 == 0 { Durability::Always } else { Durability::Os };
    if choice % 4 < 2 {
        return tiny(durability);
    }
    Small {
        durability,
        segment_bytes: 1 + segment * 16,
        tail_bytes: tail as usize * 16,
        journal_file_bytes: 1 + journal * 32,
        journal_bytes_max: journal * 256,
        cache_bytes: tail as usize * 32,
        open_files_max: 1 + files as usize % 3,
    }
}

fuzz_target!(init: streamlog_fuzz::let_redb_panic(), |input: &[u8]| {
    let Some((head, input)) = input.split_first_chunk() else { return };
    let steps: Vec<_> = input.chunks(STEP_BYTES).filter(|step| step.len() >= STEP_BYTES_MIN).take(STEPS_MAX).collect();
    let disk = SimDisk::new(1);
    let builder = Some(sizes(head)).builder();
    if let Err(failure) = Run::new(&disk, &builder).run(&steps, head[HEAD_BYTES - 1]) {
        panic!("{failure}");
    }
});
