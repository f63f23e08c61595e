//! Operations, crashes, and faults of the disk, as `tests/crash.rs` has them, with chances that are looked for instead of drawn.

#![no_main]

use std::panic;

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/crash"]
#[allow(dead_code, reason = "the tests draw their chances from seeds, and break rules")]
mod crash {
    pub(crate) mod broken;
    pub(crate) mod chance;
    pub(crate) mod checks;
    pub(crate) mod faults;
    pub(crate) mod long;
    pub(crate) mod observe;
    pub(crate) mod op;
    pub(crate) mod trial;
    pub(crate) mod workload;
}

use crash::broken::Broken;
use crash::chance::Chance;
use crash::long::{crashing, failing};

/// A trial catches panics and tells what led to them; libFuzzer's hook would end the process before.
fn let_trials_catch() {
    drop(panic::take_hook());
}

fuzz_target!(init: let_trials_catch(), |input: &[u8]| {
    let mut chance = Chance::of_bytes(input.to_vec());
    let (levels, manner) = (chance.below(256), chance.below(4));
    let verdict = match manner {
        0 => failing(&mut chance, levels, Broken::Nothing),
        manner => crashing(&mut chance, levels, manner == 1, Broken::Nothing),
    };
    if let Err(complaint) = verdict {
        panic!("{complaint}");
    }
});
