//! What is counted: commands by name, errors by prefix, connections, bytes (`INFO`). Atomics only on the way of a command; a
//! lock where there was an error.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::commands::{self, Spec};

/// Prefixes of errors that are counted each by itself: a client could make up any number.
const PREFIXES_MAX: usize = 128;

/// What was counted since the start, or since `CONFIG RESETSTAT`.
#[derive(Debug)]
pub(crate) struct Stats {
    /// By [`Spec::row`].
    rows: Box<[Row]>,
    connections: AtomicU64,
    rejected: AtomicU64,
    /// Bytes from clients, and to them.
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    /// Connections that were ended for what they wanted to have read, or did not read.
    pub(crate) input_cut_off: AtomicU64,
    pub(crate) output_cut_off: AtomicU64,
    errors: Mutex<BTreeMap<String, u64>>,
    rate: Mutex<Rate>,
    /// Connections that wait for entries now.
    pub(crate) blocked: AtomicUsize,
}

#[derive(Debug, Default)]
struct Row {
    calls: AtomicU64,
    nanos: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
}

/// What was counted of one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) calls: u64,
    pub(crate) took: Duration,
    pub(crate) rejected: u64,
    pub(crate) failed: u64,
}

/// Commands at a time, to say how many there are in a second.
#[derive(Debug)]
struct Rate {
    at: Instant,
    commands: u64,
    per_second: u64,
}

impl Stats {
    pub(crate) fn new() -> Stats {
        Stats {
            rows: (0..commands::rows()).map(|_| Row::default()).collect(),
            connections: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            input_cut_off: AtomicU64::new(0),
            output_cut_off: AtomicU64::new(0),
            errors: Mutex::default(),
            rate: Mutex::new(Rate { at: Instant::now(), commands: 0, per_second: 0 }),
            blocked: AtomicUsize::new(0),
        }
    }

    /// Notes a command that was run, and the error that it answered, if it did.
    pub(crate) fn note(&self, spec: &Spec, took: Duration, error: Option<&str>) {
        let row = &self.rows[spec.row];
        row.calls.fetch_add(1, Ordering::Relaxed);
        row.nanos.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        if let Some(text) = error {
            row.failed.fetch_add(1, Ordering::Relaxed);
            self.note_error(text);
        }
    }

    /// Notes a command that was refused before it was run: its arguments, its place, no password. `None`: it is not known.
    pub(crate) fn note_rejected(&self, spec: Option<&Spec>, error: &str) {
        if let Some(spec) = spec {
            self.rows[spec.row].rejected.fetch_add(1, Ordering::Relaxed);
        }
        self.note_error(error);
    }

    /// Notes an error that was answered to no command.
    pub(crate) fn note_error(&self, text: &str) {
        let prefix = text.split([' ', '\r', '\n']).next().unwrap_or_default();
        let mut errors = self.errors();
        if let Some(count) = errors.get_mut(prefix) {
            *count += 1;
        } else if errors.len() < PREFIXES_MAX {
            errors.insert(prefix.to_owned(), 1);
        }
    }

    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn turned_away(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    fn errors(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often each prefix was answered, sorted.
    pub(crate) fn errors_by_prefix(&self) -> Vec<(String, u64)> {
        self.errors().iter().map(|(prefix, count)| (prefix.clone(), *count)).collect()
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// What was counted of a command.
    pub(crate) fn of(&self, spec: &Spec) -> Counted {
        let row = &self.rows[spec.row];
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted {
            calls: get(&row.calls),
            took: Duration::from_nanos(get(&row.nanos)),
            rejected: get(&row.rejected),
            failed: get(&row.failed),
        }
    }

    /// How many commands were run.
    pub(crate) fn commands(&self) -> u64 {
        self.rows.iter().map(|row| row.calls.load(Ordering::Relaxed)).sum()
    }

    /// Commands in a second, between the last two times that somebody asked, a second apart at least.
    pub(crate) fn per_second(&self) -> u64 {
        let commands = self.commands();
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = rate.at.elapsed();
        if elapsed >= Duration::from_secs(1) {
            rate.per_second = commands.saturating_sub(rate.commands) * 1000 / elapsed.as_millis() as u64;
            rate.at = Instant::now();
            rate.commands = commands;
        }
        rate.per_second
    }

    /// Begins anew (`CONFIG RESETSTAT`).
    pub(crate) fn reset(&self) {
        for row in &self.rows {
            for count in [&row.calls, &row.nanos, &row.rejected, &row.failed] {
                count.store(0, Ordering::Relaxed);
            }
        }
        let counts = [&self.connections, &self.rejected, &self.received, &self.sent];
        for count in counts.into_iter().chain([&self.input_cut_off, &self.output_cut_off]) {
            count.store(0, Ordering::Relaxed);
        }
        self.errors().clear();
        *self.rate.lock().unwrap_or_else(PoisonError::into_inner) =
            Rate { at: Instant::now(), commands: 0, per_second: 0 };
    }
}
