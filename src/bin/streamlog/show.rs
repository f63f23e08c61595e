//! Numbers and tables as all verbs show them.

use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{HumanBytes, HumanCount};

/// `12,345`.
pub(crate) fn count(count: u64) -> String {
    HumanCount(count).to_string()
}

/// `1.50 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// How many a second: `12,345/s`.
pub(crate) fn rate(done: u64, took: Duration) -> String {
    // A billion a second of anything is a clock that stood still.
    let nanos = took.as_nanos().max(1);
    format!("{}/s", count((u128::from(done) * 1_000_000_000 / nanos) as u64))
}

/// `1.23 s`, `5.7 ms`: in the unit that fits.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs_f64() {
        seconds if seconds >= 60.0 => indicatif::HumanDuration(duration).to_string(),
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds => format!("{:.1} ms", seconds * 1000.0),
    }
}

/// `1 entry`, `2 entries`.
pub(crate) fn entries(number: u64) -> String {
    format!("{} {}", count(number), if number == 1 { "entry" } else { "entries" })
}

/// An empty table with these headings.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(headings);
    table
}

/// A cell that stands to the right, as numbers do.
pub(crate) fn number(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}
