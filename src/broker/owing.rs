//! Calls whose wait for the disk is left to whoever made them: several calls, one wait.

use super::Broker;
#[cfg(feature = "tokio")]
use crate::error::Result;
use crate::stream::owed::{self, Owed};
#[cfg(feature = "resp")]
use crate::stream::settle::Syncs;

impl Broker {
    /// Calls `work`, whose calls on this broker's handles wait for no sync; returns what they owe. What they wrote is durable,
    /// and seen by others, only once that is [settled](Broker::settle).
    #[allow(clippy::unused_self, reason = "what is owed is owed to this broker's journal")]
    pub(crate) fn owing<T>(&self, work: impl FnOnce() -> T) -> (T, Owed) {
        owed::owing(work)
    }

    /// What is owed for everything that returned so far, whatever its durability (`WAITAOF`).
    #[cfg(feature = "resp")]
    pub(crate) fn owed_so_far(&self) -> Owed {
        Owed { lsn: self.open.core.journal.last_lsn() }
    }

    /// Calls `work`, and waits without a thread for the disk.
    ///
    /// # Errors
    ///
    /// What `work` says; what the sync failed with.
    #[cfg(feature = "tokio")]
    pub(crate) async fn settled<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.open.core.settled(work).await
    }

    /// Waits until what is owed is durable and seen by others. Whoever is first after all others of its thread had their turn
    /// syncs for all, and the thread stands still meanwhile.
    ///
    /// # Errors
    ///
    /// What the sync failed with.
    #[cfg(feature = "resp")]
    pub(crate) async fn settle(&self, owed: Owed) -> Result<()> {
        let core = &self.open.core;
        if core.journal.settled() < owed.lsn {
            tokio::task::yield_now().await;
        }
        core.settle(owed.lsn, Syncs::Poll).await
    }
}
