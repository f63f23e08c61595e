//! What is asked of all rows: how often, how long, how large.

use std::path::PathBuf;
use std::time::Duration;

use crate::common::{Arguments, Scratch};

pub(crate) struct Setting {
    /// Where everything is written, in directories that go again.
    pub(crate) directory: PathBuf,
    pub(crate) rounds: usize,
    payloads: Vec<usize>,
    quick: bool,
}

impl Setting {
    pub(crate) fn new(directory: PathBuf, arguments: &mut Arguments) -> Setting {
        let quick = arguments.flag("--quick");
        let rounds = arguments.value("--rounds").unwrap_or(if quick { 2 } else { 5 });
        assert!(rounds > 0, "one round at least");
        Setting { directory, rounds, payloads: arguments.values("--payload"), quick }
    }

    /// How long a slice is that takes so many seconds in a full run.
    pub(crate) fn time(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(if self.quick { seconds / 4.0 } else { seconds })
    }

    /// How many of something that a full run has so many of.
    pub(crate) fn scaled(&self, full: usize) -> usize {
        if self.quick { full / 4 } else { full }
    }

    /// The payloads of a row, in bytes, where nobody asks for others.
    pub(crate) fn payloads(&self, these: &[usize]) -> Vec<usize> {
        if self.payloads.is_empty() { these.to_vec() } else { self.payloads.clone() }
    }

    pub(crate) fn scratch(&self) -> Scratch {
        Scratch::new(&self.directory)
    }
}
