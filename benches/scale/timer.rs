//! What one call takes: the mean of some hundred calls, and of many such means the one in the middle, so that one stall of the
//! machine does not pass for growth. Stalls of the engine's own are in the latencies of `benches/limits`.

use std::time::{Duration, Instant};

use super::common::median;

#[derive(Debug, Default)]
pub(crate) struct Timer {
    /// Seconds for each call.
    means: Vec<f64>,
}

impl Timer {
    /// Times `calls` calls together, each told its number.
    pub(crate) fn each(&mut self, calls: u64, mut call: impl FnMut(u64)) {
        let began = Instant::now();
        (0..calls).for_each(&mut call);
        self.add(calls, began.elapsed());
    }

    /// So many calls took so long.
    pub(crate) fn add(&mut self, calls: u64, time: Duration) {
        self.means.push(time.as_secs_f64() / calls as f64);
    }

    pub(crate) fn seconds(&self) -> f64 {
        median(&self.means)
    }
}
