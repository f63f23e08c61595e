//! Group commit: of all who wait for their records to be durable, one syncs for all whose bytes the sync covers.
//! A failure reaches every waiter, and there is no second try: after a failed sync nothing is known of the disk.

use std::task::Waker;

use super::{Journal, Lsn};
use crate::error::{Error, Result};
use crate::sync::atomic::Ordering;
use crate::sync::{MutexGuard, PoisonError};
use crate::wait::Sleeper;

#[derive(Debug, Default)]
pub(super) struct SyncState {
    /// Whether somebody is syncing.
    leading: bool,
    waiting: Vec<Waker>,
}

impl Journal {
    fn sync_state(&self) -> MutexGuard<'_, SyncState> {
        self.sync.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the record `lsn` is durable. Whoever syncs calls `publish` with the LSN that became durable
    /// before anybody is told.
    ///
    /// # Errors
    ///
    /// What the sync that would have covered the record failed with.
    pub(crate) fn wait_synced(&self, lsn: Lsn, publish: impl Fn(Lsn)) -> Result<()> {
        Sleeper::with(|sleeper| {
            loop {
                if self.settled() >= lsn {
                    return Ok(());
                }
                self.check()?;
                {
                    let mut state = self.sync_state();
                    // Under the lock, for whoever finishes a sync takes it before waking the waiters.
                    if self.settled() >= lsn || self.check().is_err() {
                        continue;
                    }
                    if state.leading {
                        state.waiting.push(sleeper.waker().clone());
                        drop(state);
                        sleeper.sleep(None);
                        continue;
                    }
                    state.leading = true;
                }
                // The leader hands over even if `publish` panics: the others must not sleep for ever.
                let _turn = Turn { journal: self };
                let synced = self.sync_once()?;
                publish(synced);
                self.settled.fetch_max(synced, Ordering::Release);
            }
        })
    }

    /// The last record that is durable and published.
    fn settled(&self) -> Lsn {
        self.settled.load(Ordering::Acquire)
    }

    fn sync_once(&self) -> Result<Lsn> {
        let (older, current, last) = {
            let mut append = self.append();
            self.check()?;
            self.write_out(&mut append)?;
            (append.unsynced.clone(), append.current.file.clone(), append.next_lsn - 1)
        };
        // In order: nothing in a file counts as durable before all that came before it is.
        for file in older.iter().chain([&current]) {
            file.sync().map_err(|error| self.fail(Error::io("syncing the journal", error)))?;
        }
        self.append().unsynced.drain(..older.len());
        self.synced.fetch_max(last, Ordering::Release);
        Ok(last)
    }

    /// Wakes everybody, to meet the failure.
    pub(super) fn wake_failed(&self) {
        let waiting = std::mem::take(&mut self.sync_state().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// The turn of the one who syncs; ends when dropped.
struct Turn<'a> {
    journal: &'a Journal,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.journal.sync_state();
            state.leading = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}
