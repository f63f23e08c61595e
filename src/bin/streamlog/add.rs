//! `streamlog add`: one entry a line, from standard input.

mod json;

use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use streamlog::{Batch, Broker, DATA_FIELD, Durability, ErrorKind, Id, Stream};

use crate::failure::{Failure, Result};
use crate::{durability, show};

/// What is read at a time, where the input is a file: also the most that waits to be added.
const INPUT_BYTES: usize = 1 << 20;

/// A longer line is no entry: memory has an end. More than the largest entry that is allowed by default.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Adds one entry for each line of standard input
///
/// The line is the value of one field; with --jsonl each line is a JSON object, and each of its keys a field: strings as
/// they are, everything else as its JSON text without blanks. Blank lines are passed over with --jsonl.
///
/// Lines that are there already are added together, up to --batch of them; a line never waits for the next. A line that
/// cannot be added ends it: all lines before are added then, and nothing after.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory, begun if it is new or empty
    dir: PathBuf,
    /// The stream's name, begun if there is none
    stream: String,
    /// Each line is a JSON object, each of its keys a field
    #[arg(long, conflicts_with = "field")]
    jsonl: bool,
    /// The field that a line becomes
    #[arg(long, value_name = "NAME", default_value = DATA_FIELD)]
    field: String,
    /// At most this many entries in one write; after a crash all of a write are there, or none
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// What an entry survives as soon as it is added, beside the end of this program: `always`: power loss;
    /// `interval:1s`: power loss, but for the last second; `os`: what the system had written by then. When this ends
    /// well, all is on the disk
    #[arg(long, value_name = "LEVEL", default_value = "always", value_parser = durability::parse)]
    durability: Durability,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let told = |error: streamlog::Error| Failure::in_dir(&args.dir, &error);
    let broker = Broker::builder().durability(args.durability).open(&args.dir).map_err(told)?;
    let stream = broker.stream(&args.stream).map_err(told)?;
    let began = Instant::now();
    let mut adder = Adder::new(&stream, args.batch as usize);
    let mut outcome = adder.add_lines(args);
    let Adder { added, last, bar, .. } = adder;
    bar.finish_and_clear();
    // The entries may be in the system's memory only: what the summary says must be true after power loss too.
    if let Err(error) = broker.close() {
        outcome = outcome.and(Err(Stop::Broken(error)));
    }
    let took = began.elapsed();
    match outcome {
        Ok(()) => {
            let last = last.map(|id| format!(", the last one is {id}")).unwrap_or_default();
            let (rate, took) = (show::rate(added, took), show::duration(took));
            eprintln!("added {} to `{}` in {took} ({rate}){last}", show::entries(added), args.stream);
            Ok(())
        }
        Err(Stop::BadLine { number, what }) => Err(Failure::new(format!(
            "line {number}: {what}; {} added before it, none from it on; mend it and go on with `tail -n +{number}`",
            were(added),
        ))),
        Err(Stop::Input(error)) => Err(Failure::new(format!("reading standard input: {error}; {} added", were(added)))),
        Err(Stop::Broken(error)) => {
            let Failure::Told(text) = Failure::in_dir(&args.dir, &error) else { unreachable!("an error has a text") };
            Err(Failure::new(format!("{text}; {} added before, those last tried may be there too", were(added))))
        }
    }
}

fn were(added: u64) -> String {
    format!("{} {}", show::entries(added), if added == 1 { "was" } else { "were" })
}

/// Why adding ended before its input did.
enum Stop {
    BadLine { number: u64, what: String },
    Input(io::Error),
    Broken(streamlog::Error),
}

struct Adder<'a> {
    stream: &'a Stream,
    batch: Batch<'a>,
    batch_max: usize,
    added: u64,
    last: Option<Id>,
    bar: ProgressBar,
}

impl<'a> Adder<'a> {
    fn new(stream: &'a Stream, batch_max: usize) -> Adder<'a> {
        Adder { stream, batch: stream.batch(), batch_max, added: 0, last: None, bar: progress() }
    }

    fn add_lines(&mut self, args: &Args) -> Result<(), Stop> {
        let mut input = BufReader::with_capacity(INPUT_BYTES, io::stdin().lock());
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            // A line that has not come yet may not come for long.
            if !self.batch.is_empty() && !input.buffer().contains(&b'\n') {
                self.flush()?;
            }
            let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            let bytes = match read {
                Ok(bytes) => bytes as u64,
                Err(error) => {
                    self.flush()?;
                    return Err(Stop::Input(error));
                }
            };
            if bytes == 0 {
                break;
            }
            self.bar.inc(bytes);
            let pushed = if bytes == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
                Err(format!("it is longer than {}", show::bytes(LINE_BYTES_MAX)))
            } else {
                self.push_line(args, trim_end(&line))?
            };
            if let Err(what) = pushed {
                self.flush()?;
                return Err(Stop::BadLine { number, what });
            }
            if self.batch.len() >= self.batch_max {
                self.flush()?;
            }
        }
        self.flush()
    }

    /// Takes a line into the batch; inside, what is wrong with it.
    fn push_line(&mut self, args: &Args, line: &[u8]) -> Result<Result<(), String>, Stop> {
        if !args.jsonl {
            return self.push(&[(args.field.as_bytes(), line)]);
        }
        if line.trim_ascii().is_empty() {
            return Ok(Ok(()));
        }
        match json::fields(line) {
            Ok(fields) => self.push(&fields),
            Err(what) => Ok(Err(what)),
        }
    }

    fn push(&mut self, fields: &[(impl AsRef<[u8]>, impl AsRef<[u8]>)]) -> Result<Result<(), String>, Stop> {
        let mut pushed = self.batch.push(fields);
        if !self.batch.is_empty() && pushed.as_ref().is_err_and(|error| error.kind() == ErrorKind::TooLarge) {
            // It may only be the batch that is too large.
            self.flush()?;
            pushed = self.batch.push(fields);
        }
        Ok(pushed.map_err(|error| error.to_string()))
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let batch = std::mem::replace(&mut self.batch, self.stream.batch());
        let ids = batch.add().map_err(Stop::Broken)?;
        self.added += ids.len() as u64;
        self.last = ids.last().copied().or(self.last);
        self.bar.set_message(show::entries(self.added));
        Ok(())
    }
}

/// The line without its end.
fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Counts the bytes of the input, on standard error if that is a terminal.
fn progress() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(input_bytes(), ProgressDrawTarget::stderr());
    let template = match bar.length() {
        Some(_) => "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left, {msg}",
        None => "{spinner} {bytes} {bytes_per_sec}, {msg}",
    };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// How large the input is, where that can be told: if it is a file.
#[cfg(unix)]
fn input_bytes() -> Option<u64> {
    use std::os::fd::AsFd;

    let file = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

#[cfg(not(unix))]
fn input_bytes() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_no_part_of_a_line() {
        assert_eq!(trim_end(b"a\n"), b"a");
        assert_eq!(trim_end(b"a\r\n"), b"a");
        assert_eq!(trim_end(b"a\n\n"), b"a\n");
        assert_eq!(trim_end(b" a "), b" a ");
    }
}
