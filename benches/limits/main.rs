//! The engine beside what the machine could do: `cargo bench --bench limits`.
//!
//! Each row does some work with streamlog and writes (or reads) the same bytes to the same file system with `std` alone, in
//! turns, in slices short enough that a disk that drifts does so for both. What counts is the ratio within one round; the table has
//! the median of the rounds, the least and the most.
//!
//! ```text
//! cargo bench --bench limits -- [--row NAME]… [--payload BYTES]… [--rounds 5] [--quick] [--dir PATH]
//! ```
//!
//! - **The same bytes**: what a call writes is counted by Linux (`/proc/self/io`) call by call before the row begins,
//!   and the limit writes as many: see [`ours`].
//! - **The best there is**: the limit overwrites a ring of preallocated files as large as the journal's, and as many as it
//!   keeps; see [`raw`] and [`leader`]. It never waits for the disk unless it syncs: what it writes need never be written out.
//! - **Sustained**: the broker stays open over all rounds of a row, so checkpoints, flushes and new journal files fall into
//!   them; the table says how many checkpoints. `burst` is the rate in the first tenth of each slice, after all was at rest, and
//!   `burst ratio` that beside the limit of the same round.
//!   Options are the defaults, but that rows which sync one by one have smaller checkpoints: as many bytes as the default asks for
//!   take them minutes. Those rows say so.
//!
//! Knows streamlog by its public interface alone.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures are for people: they have three digits"
)]

mod add;
mod latency;
mod leader;
mod mixed;
mod ours;
mod raw;
mod report;
mod scan;
mod setting;
mod slice;
mod wake;
mod work;

#[path = "../common/mod.rs"]
mod common;

use std::path::PathBuf;

use common::{Arguments, Machine, refuse, write_json};
use report::Report;
use serde_json::json;
use setting::Setting;

/// A row of the table, or a few that are measured together.
type Row = (&'static str, fn(&Setting, &mut Report));

const ROWS: &[Row] = &[
    ("add", add::one),
    ("add-batch", add::batches),
    ("add-always", add::always),
    ("producers", add::producers),
    ("work", work::one),
    ("work-100", work::hundred),
    ("work-always", work::always),
    ("mixed", mixed::os),
    ("mixed-always", mixed::always),
    ("scan", scan::scan),
    ("wake", wake::wake),
    ("latency", latency::add),
    ("latency-paced", latency::paced),
];

fn main() {
    let mut arguments = Arguments::of_process();
    let asked: Vec<String> = arguments.values("--row");
    let directory = arguments.value("--dir").unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    let setting = Setting::new(directory, &mut arguments);
    let names: Vec<_> = ROWS.iter().map(|(name, _)| *name).collect();
    arguments.finish(&format!(
        "[--row NAME]… [--payload BYTES]… [--rounds N] [--quick] [--dir PATH]\nrows: {}",
        names.join(", ")
    ));
    if let Some(name) = asked.iter().find(|asked| !names.contains(&asked.as_str())) {
        refuse(&format!("there is no row {name}; there are {}", names.join(", ")));
    }
    let machine = Machine::look(&setting.directory).with("streamlog", env!("CARGO_PKG_VERSION"));
    println!("{machine}; {} rounds\n", setting.rounds);
    let mut report = Report::default();
    for (_, row) in ROWS.iter().filter(|(name, _)| asked.is_empty() || asked.iter().any(|asked| asked == name)) {
        row(&setting, &mut report);
    }
    println!("\n{report}");
    let json = json!({ "machine": machine.json(), "rounds": setting.rounds, "rows": report.json() });
    // Beside the scratch, whatever `--dir` says: what was measured is of the build.
    write_json(&PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("limits").join("limits.json"), &json);
}
