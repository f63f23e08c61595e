//! Bytes taken for a file of frames, of a segment or of the journal are read to one and the same end by all who read them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use streamlog::fuzzing::{self, Bytes};

fuzz_target!(|input: &[u8]| {
    let Some((&choice, input)) = input.split_first() else { return };
    let Some(bytes) = Bytes::of(input) else { return };
    match choice % 8 {
        0 => fuzzing::frames(bytes),
        1..5 => fuzzing::segment(bytes),
        _ => fuzzing::journal(bytes),
    }
});
