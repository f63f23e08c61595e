//! Waiting for the disk as a future: it holds no thread, and dropped it leaves the waiting list.
//!
//! Who syncs is a matter of whose thread it is. One that polls other people's futures too must not stand still for the time
//! of a sync: the background syncs then. Knows no handles, and nothing of what was written.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::core::Core;
use super::owed::{Owed, owing};
use super::work::Work;
use crate::error::Result;
use crate::journal::Lsn;
use crate::journal::sync::{Look, Wait};

/// Who syncs for a future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syncs {
    /// The background, if there is one; else the poll.
    Background,
    /// The poll itself: on threads of our own, where all wait for the same.
    #[cfg_attr(not(feature = "resp"), allow(dead_code, reason = "only a server has threads of its own"))]
    Poll,
}

/// Ready when a record is as durable as can be, and published.
#[derive(Debug)]
pub(crate) struct Settle<'a> {
    core: &'a Core,
    wait: Wait,
}

impl Core {
    /// [`sync_to`](Core::sync_to) as a future.
    pub(crate) fn settle(&self, lsn: Lsn, syncs: Syncs) -> Settle<'_> {
        let leads = syncs == Syncs::Poll || !self.options.background;
        Settle { core: self, wait: Wait::new(lsn, leads) }
    }

    /// Calls `work`, and waits for what it owes to the disk.
    ///
    /// # Errors
    ///
    /// What `work` says; what the sync failed with.
    pub(crate) async fn settled<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (value, Owed { synced, written }) = owing(work);
        // Whatever became of the call: others are to see what it did.
        self.write_to(written)?;
        let value = value?;
        self.settle(synced, Syncs::Background).await?;
        Ok(value)
    }
}

impl Future for Settle<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Settle { core, wait } = &mut *self;
        loop {
            match core.journal.look(wait, cx.waker())? {
                Look::Settled => return Poll::Ready(Ok(())),
                Look::Leads(turn) => turn.sync(|synced| core.publish(synced))?,
                Look::Waits => {
                    if !wait.leads {
                        core.sync_work.want(Work::SYNC);
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for Settle<'_> {
    fn drop(&mut self) {
        self.core.journal.leave(&mut self.wait);
    }
}
