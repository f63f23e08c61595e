//! What a worker wants next: its own of before a crash, what others gave back or died over, and what is new.

use std::time::Duration;

use super::blocking::Block;
use super::deliver::{Asked, Rescue};
use super::limits::Limits;
use super::{Consumer, GroupStart, Messages};
use crate::error::Result;

/// What a worker wants next: [`Consumer::fetch`].
#[derive(Debug, Clone)]
#[must_use = "nothing is fetched before `next` is called"]
pub struct Fetch {
    consumer: Consumer,
    asked: Asked,
}

impl Fetch {
    pub(super) fn new(consumer: &Consumer) -> Fetch {
        let asked = Asked { limits: Limits::each(1), again: Rescue::OfOthers(None), ..Asked::default() };
        Fetch { consumer: consumer.clone(), asked }
    }

    /// At most this many messages; one if not said.
    pub fn count(mut self, messages: usize) -> Fetch {
        self.asked.limits.count = messages;
        self
    }

    /// Waits up to this long for the first message. If not said, the fetch does not wait.
    pub fn block(mut self, timeout: Duration) -> Fetch {
        self.asked.block = Block::For(timeout);
        self
    }

    /// Waits for ever for the first message.
    pub fn block_forever(mut self) -> Fetch {
        self.asked.block = Block::Forever;
        self
    }

    /// Also takes over what has been pending with other consumers for at least this long.
    pub fn claim_idle(mut self, min_idle: Duration) -> Fetch {
        self.asked.again = Rescue::OfOthers(Some(min_idle));
        self
    }

    /// The next messages; none if the time is over.
    ///
    /// # Errors
    ///
    /// As [`ReadNew::next`](super::ReadNew::next).
    pub fn next(self) -> Result<Messages> {
        self.asked.one(self.consumer.member(), GroupStart::New, || self.own())
    }

    /// [`next`](Fetch::next) as a future.
    #[cfg(feature = "tokio")]
    pub(super) async fn found(&self) -> Result<Messages> {
        self.asked.one_async(self.consumer.member(), GroupStart::New, || self.own()).await
    }

    fn own(&self) -> Result<Option<Messages>> {
        let count = self.asked.limits.count;
        // Nothing is asked for: what is pending stays for a fetch that does.
        if count == 0 { Ok(None) } else { self.consumer.own(count) }
    }
}
