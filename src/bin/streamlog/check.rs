//! `streamlog check`: whether a directory is whole, as a text or as JSON.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use streamlog::{Progress, Report};

use crate::failure::{Failure, Result};
use crate::{open, show};

/// Reads all of a directory and says what is damaged
///
/// Verifies every checksum, how segments and records follow each other, and whether what the tables say agrees with the
/// entries. Changes nothing. Ends with 0 if the directory is whole and with 1 if it is not.
///
/// Examples:
///
///   streamlog check ./data
///   streamlog check ./data --json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The directory
    dir: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    ok: bool,
    problems: Vec<ProblemShown<'a>>,
    warnings: Vec<WarningShown<'a>>,
    streams: u64,
    groups: u64,
    pending: u64,
    entries: u64,
    delayed: u64,
    segments: u64,
    journal_records: u64,
    bytes: u64,
}

/// A problem as JSON has it.
#[derive(Debug, Serialize)]
pub(crate) struct ProblemShown<'a> {
    stream: Option<&'a str>,
    file: &'a str,
    offset: u64,
    what: &'a str,
    entries_lost: u64,
    first_id: Option<String>,
    last_id: Option<String>,
    records_lost: u64,
    redelivers: bool,
    groups_lost: bool,
}

#[derive(Debug, Serialize)]
struct WarningShown<'a> {
    file: &'a str,
    what: &'a str,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    open::is_there(&args.dir)?;
    let bar = Bar::new(args.json);
    let report = streamlog::check_with(&args.dir, |progress| bar.show(progress));
    bar.finish();
    let report = report.map_err(|error| Failure::in_dir(&args.dir, &error))?;
    let text = if args.json { json(&report)? } else { text(&args.dir, &report) };
    writeln!(io::stdout().lock(), "{text}").map_err(Failure::output)?;
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How far it is, on a terminal.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new(hidden: bool) -> Bar {
        let bar = if hidden { ProgressBar::hidden() } else { ProgressBar::new(0) };
        let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}");
        Bar(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    pub(crate) fn show(&self, progress: Progress) {
        self.0.set_length(progress.bytes_total);
        self.0.set_position(progress.bytes);
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// The problems as JSON has them.
pub(crate) fn problems(problems: &[streamlog::Problem]) -> Vec<ProblemShown<'_>> {
    let shown = problems.iter().map(|problem| ProblemShown {
        stream: problem.place.stream.as_deref(),
        file: &problem.place.file,
        offset: problem.place.offset,
        what: &problem.what,
        entries_lost: problem.loss.entries,
        first_id: problem.loss.ids.as_ref().map(|ids| ids.start().to_string()),
        last_id: problem.loss.ids.as_ref().map(|ids| ids.end().to_string()),
        records_lost: problem.loss.records,
        redelivers: problem.loss.redelivers,
        groups_lost: problem.loss.groups,
    });
    shown.collect()
}

fn json(report: &Report) -> Result<String> {
    let figures = report.figures;
    let warnings = report.warnings.iter().map(|warning| WarningShown { file: &warning.file, what: &warning.what });
    let shown = Shown {
        ok: report.is_ok(),
        problems: problems(&report.problems),
        warnings: warnings.collect(),
        streams: figures.streams,
        groups: figures.groups,
        pending: figures.pending,
        entries: figures.entries,
        delayed: figures.delayed,
        segments: figures.segments,
        journal_records: figures.records,
        bytes: figures.bytes,
    };
    serde_json::to_string_pretty(&shown).map_err(|error| Failure::new(format!("encoding: {error}")))
}

fn text(dir: &Path, report: &Report) -> String {
    let figures = report.figures;
    let mut lines = vec![format!(
        "{}: {} in {}, {} and {} pending in {}, {} read",
        dir.display(),
        show::entries(figures.entries),
        counted(figures.streams, "stream"),
        counted(figures.segments, "segment"),
        show::count(figures.pending),
        counted(figures.groups, "group"),
        show::bytes(figures.bytes),
    )];
    if figures.delayed > 0 {
        lines.push(format!("{} to be added later", show::entries(figures.delayed)));
    }
    lines.extend(report.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.extend(report.problems.iter().map(|problem| format!("PROBLEM: {problem}")));
    lines.push(match report.problems.len() as u64 {
        0 => "whole: no problems".to_owned(),
        number => format!("DAMAGED: {}", counted(number, "problem")),
    });
    lines.join("\n")
}

/// `1 stream`, `2 streams`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", show::count(number), if number == 1 { "" } else { "s" })
}
