//! How long each of many calls took.

use std::time::Duration;

use serde_json::{Value, json};

use super::table::nanos;

/// In nanoseconds, in the order measured until somebody asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies {
    nanos: Vec<u64>,
    sorted: bool,
}

impl Latencies {
    /// With room for so many: the memory must not be got while somebody measures.
    pub(crate) fn with_capacity(calls: usize) -> Latencies {
        Latencies { nanos: Vec::with_capacity(calls), sorted: false }
    }

    pub(crate) fn push(&mut self, took: Duration) {
        self.sorted = false;
        self.nanos.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn merge(&mut self, other: Latencies) {
        self.sorted = false;
        self.nanos.extend(other.nanos);
    }

    pub(crate) fn len(&self) -> usize {
        self.nanos.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nanos.is_empty()
    }

    /// What `percent` of the calls took at most, in nanoseconds; 0 if there were none.
    pub(crate) fn percentile(&mut self, percent: f64) -> u64 {
        if !self.sorted {
            self.nanos.sort_unstable();
            self.sorted = true;
        }
        let rank = (percent / 100.0 * self.nanos.len() as f64).ceil() as usize;
        self.nanos.get(rank.max(1) - 1).copied().unwrap_or(0)
    }

    pub(crate) fn max(&mut self) -> u64 {
        self.percentile(100.0)
    }

    /// As four cells of a table: p50, p99, p99.9 and the longest.
    pub(crate) fn show(&mut self) -> [String; 4] {
        [50.0, 99.0, 99.9, 100.0].map(|percent| nanos(self.percentile(percent)))
    }

    pub(crate) fn json(&mut self) -> Value {
        json!({
            "calls": self.len(),
            "p50_ns": self.percentile(50.0),
            "p99_ns": self.percentile(99.0),
            "p999_ns": self.percentile(99.9),
            "max_ns": self.max(),
        })
    }
}
