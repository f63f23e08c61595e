//! The `streamlog` program: the streams of a directory from the command line, one module a verb.
//!
//! Entries and tables go to standard output, everything else to standard error. It ends with 0; with 1 after one line
//! that says what went wrong and what to do; with 2 if it was called wrongly.

mod add;
mod backup;
mod demo;
mod failure;
mod info;
mod open;
mod read;
mod show;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// Redis Streams in a directory, with no server to run.
#[derive(Debug, Parser)]
#[command(name = "streamlog", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Add(add::Args),
    Read(read::Args),
    Info(info::Args),
    Backup(backup::Args),
    /// Shows, in seconds and in a temporary directory, that a crash loses nothing
    ///
    /// Adds entries, has them worked on by another process, kills that process half-way, and counts what became of
    /// every entry.
    Demo,
    /// The process that the demo kills
    #[command(name = demo::WORKERS_VERB, hide = true)]
    DemoWorkers(demo::WorkersArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Add(args) => add::run(&args),
        Verb::Read(args) => read::run(&args),
        Verb::Info(args) => info::run(&args),
        Verb::Backup(args) => backup::run(&args),
        Verb::Demo => demo::run(),
        Verb::DemoWorkers(args) => demo::work(&args),
    };
    match done {
        // Whoever read has read enough.
        Ok(()) | Err(Failure::PipeClosed) => ExitCode::SUCCESS,
        Err(Failure::Told(text)) => {
            eprintln!("streamlog: {}", text.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}
