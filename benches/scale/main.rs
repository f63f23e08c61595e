//! How cost grows with what there is: `cargo bench --bench scale`.
//!
//! Each curve has a size on its x axis and, for each size, what single calls take, how long opening takes after a clean close
//! and after a kill, and the resident memory. Prints a table for each curve, each figure with its growth to the size before, and
//! writes plots (SVG) and all figures (JSON) to `target/scale/`.
//!
//! ```text
//! cargo bench --bench scale -- [--curve NAME]… [--full] [--quick] [--dir PATH]
//!
//! --full    larger sizes: the backlog goes to 10^8 entries, which takes 16 GB of disk and a quarter of an hour
//! --quick   without the largest of the usual sizes
//! ```
//!
//! Every step of a point is a process of its own, this program with hidden arguments, so that no allocator's past shows in the memory
//! and nothing that was warm in the opening: see [`life`]. The kill is one, in the middle of work.
//!
//! The last lines of a table hold each figure's growth over the whole curve beside how much it may grow. Nothing fails by it: a figure is
//! a time, and other work on the machine shows in it.
//!
//! Knows streamlog by its public interface alone.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures are for people: they have three digits"
)]

mod backlog;
mod child;
#[path = "../common/mod.rs"]
mod common;
mod curve;
mod figure;
mod groups;
mod life;
mod pending;
mod plot;
mod segments;
mod streams;
mod threads;
mod timer;
mod trim;

use std::path::{Path, PathBuf};

use serde_json::json;

use self::common::{Arguments, Machine, write_json};
use self::curve::{Curve, Sizes};

const CURVES: &[&Curve] = &[
    &backlog::CURVE,
    &streams::CURVE,
    &groups::CURVE,
    &pending::CURVE,
    &pending::SCATTERED,
    &threads::CURVE,
    &segments::CURVE,
    &trim::CURVE,
];

fn main() {
    if child::run(CURVES) {
        return;
    }
    let mut arguments = Arguments::of_process();
    let asked: Vec<String> = arguments.values("--curve");
    let sizes = match (arguments.flag("--full"), arguments.flag("--quick")) {
        (true, _) => Sizes::Full,
        (_, true) => Sizes::Quick,
        _ => Sizes::Usual,
    };
    let directory = arguments.value("--dir").unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    let names: Vec<_> = CURVES.iter().map(|curve| curve.name).collect();
    let usage = format!("[--curve NAME]… [--full] [--quick] [--dir PATH]\ncurves: {}", names.join(", "));
    if let Some(name) = asked.iter().find(|name| !names.contains(&name.as_str())) {
        eprintln!("there is no curve {name}\n\n{usage}");
        std::process::exit(2);
    }
    arguments.finish(&usage);

    let machine = Machine::look(&directory).with("streamlog", env!("CARGO_PKG_VERSION"));
    println!("{machine}");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("scale");
    std::fs::create_dir_all(&out).expect("a directory for the plots");
    let mut curves = serde_json::Map::new();
    for curve in CURVES.iter().filter(|curve| asked.is_empty() || asked.iter().any(|name| name == curve.name)) {
        println!("\n## {}: {}\n", curve.name, curve.title);
        let measured = curve.measure(sizes, &directory);
        println!("{measured}");
        for file in plot::write_all(&measured, &out) {
            println!("plot: {}", file.display());
        }
        curves.insert(curve.name.to_owned(), measured.json());
    }
    write_json(&out.join("scale.json"), &json!({ "machine": machine.json(), "curves": curves }));
}
