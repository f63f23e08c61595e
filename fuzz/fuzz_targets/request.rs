//! What a client sends: the same requests in whatever pieces it comes.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| streamlog::fuzzing::requests(input));
