//! What the background is asked to do. Asking is cheap, and asking again for what is asked already is cheaper.

use std::time::Duration;

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Condvar, Mutex, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct Work {
    wanted: AtomicU32,
    sleeping: Mutex<()>,
    bell: Condvar,
}

impl Work {
    /// Tails are to go to segments.
    pub(crate) const FLUSH: u32 = 1;
    pub(crate) const CHECKPOINT: u32 = 2;
    /// Retention is to be applied.
    pub(crate) const TRIM: u32 = 4;
    /// A journal file is to be made ready.
    pub(crate) const SPARE: u32 = 8;
    /// The interval of syncing has changed.
    pub(crate) const INTERVAL: u32 = 16;
    /// The threads are to end.
    pub(crate) const STOP: u32 = 32;
    /// Something was scheduled that is due before all else.
    pub(crate) const DUE: u32 = 64;
    /// Somebody waits for a sync who does not sync himself.
    pub(crate) const SYNC: u32 = 128;

    /// Asks for `what`.
    pub(crate) fn want(&self, what: u32) {
        if self.wanted.load(Ordering::Relaxed) & what != what {
            self.wanted.fetch_or(what, Ordering::AcqRel);
            // Whoever is about to sleep looked before, and holds this, or will look.
            drop(self.sleeping.lock().unwrap_or_else(PoisonError::into_inner));
            self.bell.notify_all();
        }
    }

    /// Waits until something is wanted or `timeout` has passed, and takes all that is; [`STOP`](Self::STOP) stays.
    pub(crate) fn take(&self, timeout: Duration) -> u32 {
        let sleeping = self.sleeping.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |(): &mut ()| self.wanted.load(Ordering::Acquire) == 0;
        drop(self.bell.wait_timeout_while(sleeping, timeout, idle).unwrap_or_else(PoisonError::into_inner));
        self.wanted.fetch_and(Work::STOP, Ordering::AcqRel)
    }
}
