//! A guard without a clock: how many instructions each of the hot paths takes, counted by callgrind, beside what was
//! recorded. `cargo bench --bench instructions`, with `-- --record` to record; it fails if a path takes a quarter more than it did, and
//! names what takes a twentieth more or less.
//!
//! ```text
//! cargo bench --bench instructions -- [--record] [--only TEXT] [--keep]
//!
//! --only    the paths with this in their names
//! --keep    leaves callgrind's files under target/tmp, for callgrind_annotate
//! ```
//!
//! Each path runs in a process of its own under callgrind, which counts only inside [`paths::measured`], on the thread that
//! called it: set-up and the background's threads are not in the figure, and neither is the kernel. What the background does
//! for a path has rows of its own. Other processors, compilers and C libraries count differently, so what was counted with
//! others is not compared.

#[path = "../common/mod.rs"]
mod common;
mod paths;
mod record;
mod valgrind;

use std::process::ExitCode;

use self::common::Arguments;
use self::paths::{PATHS, Path};
use self::record::{Record, Verdict};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, name, directory] = &words[..]
        && word == valgrind::RUN
    {
        let path = PATHS.iter().find(|path| path.name == name).expect("a path's name");
        (path.run)(path.operations, std::path::Path::new(directory));
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::of_process();
    let asked = Asked {
        record: arguments.flag("--record"),
        keep: arguments.flag("--keep"),
        only: arguments.value("--only").unwrap_or_default(),
    };
    arguments.finish("[--record] [--only TEXT] [--keep]");
    count_all(&asked).unwrap_or_else(|missing| {
        eprintln!("{missing}");
        ExitCode::FAILURE
    })
}

/// What is asked on the command line.
struct Asked {
    record: bool,
    keep: bool,
    only: String,
}

fn count_all(asked: &Asked) -> Result<ExitCode, String> {
    let tools = valgrind::tools()?;
    let recorded = Record::read();
    let comparable = recorded.as_ref().is_some_and(|recorded| recorded.tools == tools);
    println!("{tools}");
    println!("{:40} {:>12} {:>12} {:>8}", "path", "instructions", "recorded", "change");
    let mut counted = Record { tools, paths: Vec::new() };
    let mut failed = false;
    for path in PATHS.iter().filter(|path| path.name.contains(&asked.only)) {
        let instructions = count(path, asked.keep)?;
        let before = recorded.as_ref().and_then(|recorded| recorded.of(path.name));
        let verdict = Verdict::of(instructions, before);
        failed |= verdict.fails();
        println!("{:40} {instructions:12.1} {verdict}", path.name);
        counted.paths.push((path.name.to_owned(), instructions));
    }
    if asked.record {
        counted.or_else(recorded.filter(|_| comparable)).write();
        println!("recorded");
        return Ok(ExitCode::SUCCESS);
    }
    match recorded {
        Some(recorded) if !comparable => {
            println!("SKIPPED: not compared, for what is recorded was counted with other tools:\n{}", recorded.tools);
            Ok(ExitCode::SUCCESS)
        }
        Some(_) if !failed => Ok(ExitCode::SUCCESS),
        Some(_) => {
            println!(
                "paths take more instructions than recorded, or are not recorded; where that is meant: -- --record"
            );
            Ok(ExitCode::FAILURE)
        }
        None => Err("nothing is recorded: -- --record".to_owned()),
    }
}

/// Instructions for each operation of the path.
fn count(path: &Path, keep: bool) -> Result<f64, String> {
    let total = valgrind::count(path.name, keep)?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(total as f64 / path.operations as f64)
}
