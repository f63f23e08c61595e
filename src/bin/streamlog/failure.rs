//! What ends a command early: one line for a person, with what to do next.

use std::io;
use std::path::Path;

use streamlog::{Error, ErrorKind};

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody reads the output any more: not an error.
    PipeClosed,
    Told(String),
}

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure::Told(text.into())
    }

    /// An error of the engine, about the streams in `dir`.
    pub(crate) fn in_dir(dir: &Path, error: &Error) -> Failure {
        Failure::Told(format!("{}: {error}{}", dir.display(), advice(error.kind())))
    }

    /// An error of the system on standard output.
    #[allow(clippy::needless_pass_by_value, reason = "it goes into `map_err` as it is")]
    pub(crate) fn output(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::PipeClosed,
            _ => Failure::Told(format!("writing to standard output: {error}")),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Told(format!("{error}{}", advice(error.kind())))
    }
}

/// What to do about an error, where its text does not say it.
fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Locked => "; stop the program that has it, or try again when it has ended",
        ErrorKind::StorageFull => "; free some space and run this again",
        ErrorKind::NewerFormat => "; use the version that wrote it, or a later one",
        ErrorKind::Corrupt => {
            "; keep a copy of the directory as it is; `streamlog check DIR` says what is damaged, and `streamlog repair DIR --dry-run` what can be had of it"
        }
        ErrorKind::WritesStopped => "; run this again: opening recovers what is there",
        ErrorKind::NoSuchStream => "; `streamlog info DIR` lists those there are",
        _ => "",
    }
}
