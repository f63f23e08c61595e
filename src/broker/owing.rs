//! Calls whose wait for the disk is left to whoever made them: several calls, one wait.

use super::Broker;
#[cfg(feature = "tokio")]
use crate::error::Result;
use crate::stream::owed::{self, Owed};

impl Broker {
    /// Calls `work`, whose calls on this broker's handles wait for no sync; returns what they owe. What they wrote is durable,
    /// and seen by others, only once that is [settled](Broker::settle).
    pub(crate) fn owing<T>(&self, work: impl FnOnce() -> T) -> (T, Owed) {
        owed::owing(work)
    }

    /// What is owed for everything that returned so far, whatever its durability (`WAITAOF`).
    #[cfg(feature = "resp")]
    pub(crate) fn owed_so_far(&self) -> Owed {
        Owed { lsn: self.open.core.journal.last_lsn() }
    }

    /// Waits until what is owed is durable.
    ///
    /// # Errors
    ///
    /// What the sync failed with.
    #[cfg(feature = "tokio")]
    pub(crate) async fn settle(&self, owed: Owed) -> Result<()> {
        if owed == Owed::NOTHING { Ok(()) } else { self.open.core.sync_to(owed.lsn) }
    }
}
