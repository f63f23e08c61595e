//! The `streamlog` program: the streams of a directory from the command line, one module a verb.
//!
//! Entries and tables go to standard output, everything else to standard error. It ends with 0; with 1 after one line
//! that says what went wrong and what to do, or where `check` found damage; with 2 if it was called wrongly.

mod add;
mod backup;
mod check;
mod demo;
mod durability;
mod failure;
mod info;
mod open;
mod read;
mod repair;
mod serve;
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
    Serve(serve::Args),
    Backup(backup::Args),
    Check(check::Args),
    Repair(repair::Args),
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
    let done = |done: failure::Result<()>| done.map(|()| ExitCode::SUCCESS);
    let done = match Cli::parse().verb {
        Verb::Add(args) => done(add::run(&args)),
        Verb::Read(args) => done(read::run(&args)),
        Verb::Info(args) => done(info::run(&args)),
        Verb::Serve(args) => done(serve::run(&args)),
        Verb::Backup(args) => done(backup::run(&args)),
        Verb::Check(args) => check::run(&args),
        Verb::Repair(args) => done(repair::run(&args)),
        Verb::Demo => done(demo::run()),
        Verb::DemoWorkers(args) => done(demo::work(&args)),
    };
    match done {
        Ok(code) => code,
        // Whoever read has read enough.
        Err(Failure::PipeClosed) => ExitCode::SUCCESS,
        Err(Failure::Told(text)) => {
            eprintln!("streamlog: {}", text.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}
