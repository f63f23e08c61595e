//! The clock: the seam through which time comes in. It gives IDs their milliseconds and owns every deadline, so a
//! test can hold time still. Knows nothing of what is waited for.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Milliseconds since the Unix epoch, for IDs and idle times. May go back, or jump ahead.
    fn now_ms(&self) -> u64;

    /// The time since some moment in the past, for deadlines. Never goes back.
    fn monotonic(&self) -> Duration;

    /// How long to sleep, in real time, before looking at this clock again when `left` is left until a deadline.
    fn nap(&self, left: Duration) -> Duration {
        left
    }
}

/// The system's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    pub(crate) fn new() -> SystemClock {
        SystemClock { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        // A clock set before 1970 reads as 1970: IDs then follow the last ID, as with any clock that goes back.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// A duration in whole milliseconds, capped where `u64` ends.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A clock that a test sets by hand.
#[cfg(feature = "simulation")]
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    now_ms: std::sync::Arc<std::sync::atomic::AtomicU64>,
    monotonic_ms: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

#[cfg(feature = "simulation")]
impl ManualClock {
    /// A clock that shows `now_ms` milliseconds since the Unix epoch.
    pub fn at(now_ms: u64) -> ManualClock {
        let clock = ManualClock::default();
        clock.set(now_ms);
        clock
    }

    /// Sets the time of day, forwards or back. Deadlines do not see it.
    pub fn set(&self, now_ms: u64) {
        self.now_ms.store(now_ms, std::sync::atomic::Ordering::SeqCst);
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.now_ms.fetch_add(millis(by), std::sync::atomic::Ordering::SeqCst);
        self.monotonic_ms.fetch_add(millis(by), std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(feature = "simulation")]
impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(std::sync::atomic::Ordering::SeqCst))
    }

    fn nap(&self, left: Duration) -> Duration {
        left.min(Duration::from_millis(1))
    }
}
