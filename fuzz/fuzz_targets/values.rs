//! Records of the journal, entries' bodies, values of redb, headers and footers: what decodes is what is written again.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| streamlog::fuzzing::value(input));
