//! What several fuzz targets share.

pub mod directory;

use std::panic;

/// Lets redb panic. Where its pages are damaged it does, and the engine catches that; libFuzzer, whose hook ends the process
/// at any panic, does not know it. One that nobody catches still ends it.
pub fn let_redb_panic() {
    let ends_the_process = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info.location().is_some_and(|location| location.file().contains("/redb-")) {
            ends_the_process(info);
        }
    }));
}
