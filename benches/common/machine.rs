//! What was measured on: figures say nothing without it.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub(crate) struct Machine {
    cores: usize,
    processor: String,
    memory_bytes: u64,
    kernel: String,
    file_system: String,
    rustc: String,
    /// The day, as `2026-01-31`.
    date: String,
    /// What was measured, each with its version.
    versions: Vec<(String, String)>,
}

impl Machine {
    /// This one; what is measured is written to `directory`.
    pub(crate) fn look(directory: &Path) -> Machine {
        let line = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
            line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
        };
        let kib = line("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Machine {
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            processor: line("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            memory_bytes: kib.unwrap_or(0) << 10,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| unknown(), |text| text.trim().to_owned()),
            file_system: file_system(directory).unwrap_or_else(unknown),
            rustc: said("rustc", "--version"),
            date: today(),
            versions: Vec::new(),
        }
    }

    /// With the version of something measured, as `env!("CARGO_PKG_VERSION")`.
    pub(crate) fn with(mut self, name: &str, version: impl Into<String>) -> Machine {
        self.versions.push((name.to_owned(), version.into()));
        self
    }

    pub(crate) fn json(&self) -> Value {
        let versions: serde_json::Map<_, _> =
            self.versions.iter().map(|(name, version)| (name.clone(), json!(version))).collect();
        json!({
            "cores": self.cores,
            "processor": self.processor,
            "memory_bytes": self.memory_bytes,
            "kernel": self.kernel,
            "file_system": self.file_system,
            "rustc": self.rustc,
            "date": self.date,
            "versions": versions,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cores, processor, kernel, file_system, rustc, date, .. } = self;
        let memory = super::bytes(self.memory_bytes as f64);
        write!(f, "{date}; {cores} cores ({processor}), {memory}; Linux {kernel}, {file_system}; {rustc}")?;
        self.versions.iter().try_for_each(|(name, version)| write!(f, "; {name} {version}"))
    }
}

/// What a program says first when it is run with this word.
pub(crate) fn said(program: &str, word: &str) -> String {
    let output = Command::new(program).arg(word).output().ok();
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.and_then(|text| Some(text.lines().next()?.trim().to_owned())).unwrap_or_else(unknown)
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// The type of the file system that the directory, or what will hold it, is on.
fn file_system(directory: &Path) -> Option<String> {
    let directory = directory.ancestors().find_map(|path| path.canonicalize().ok())?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let holds = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (at, kind) = (words.next()?, words.next()?);
        directory.starts_with(at).then(|| (at.len(), kind.to_owned()))
    };
    // Of two mounted at one place the later hides the other.
    mounts.lines().filter_map(holds).max_by_key(|(len, _)| *len).map(|(_, kind)| kind)
}

/// The day in UTC.
fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut days = seconds / 86400;
    let mut year = 1970;
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, days + 1)
}
