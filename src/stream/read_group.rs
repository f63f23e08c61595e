//! Reading new entries in a group, of one stream or of several at once (`XREADGROUP`).

use std::time::Duration;

use super::blocking::Block;
use super::consumer::Member;
use super::deliver::{Asked, Found, Rescue};
use super::limits::Limits;
use super::{Consumer, Messages};
use crate::error::Result;
use crate::id::Id;

/// What is read of a stream in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupStart {
    /// New entries: those after the group's cursor (`>`).
    #[default]
    New,
    /// What is pending with the consumer after this ID, once more.
    PendingAfter(Id),
}

impl From<Id> for GroupStart {
    fn from(id: Id) -> GroupStart {
        GroupStart::PendingAfter(id)
    }
}

/// A read of new entries: [`Consumer::read_new`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `next` is called"]
pub struct ReadNew {
    consumer: Consumer,
    asked: Asked,
}

impl ReadNew {
    pub(super) fn new(consumer: &Consumer) -> ReadNew {
        ReadNew { consumer: consumer.clone(), asked: Asked { limits: Limits::each(1), ..Asked::default() } }
    }

    /// At most this many entries; one if not said.
    pub fn count(mut self, entries: usize) -> ReadNew {
        self.asked.limits.count = entries;
        self
    }

    /// Waits up to this long for the first entry. If not said, the read does not wait.
    pub fn block(mut self, timeout: Duration) -> ReadNew {
        self.asked.block = Block::For(timeout);
        self
    }

    /// Waits for ever for the first entry.
    pub fn block_forever(mut self) -> ReadNew {
        self.asked.block = Block::Forever;
        self
    }

    /// Takes the new entries as acknowledged at once (`NOACK`): they do not become pending, and a crash loses them.
    pub fn no_ack(mut self) -> ReadNew {
        self.asked.no_ack = true;
        self
    }

    /// Before new entries, takes over those that were [given back](super::Group::nack) and are ready, and then those last
    /// delivered at least this long ago, to whomever: this consumer too. What was delivered longest ago comes first
    /// (`CLAIM` of Redis 8.4). Those whose entries were deleted are passed over, and stay pending until they are acknowledged, or
    /// claimed by their IDs.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let orders = broker.stream("orders")?;
    /// # orders.add_batch([[("sku", "A1")], [("sku", "B7")]])?;
    /// let billing = orders.group("billing").from_start().ensure()?;
    /// billing.consumer("dead").read_new().next()?;
    /// let both = billing.consumer("worker-1").read_new().count(10).claim_idle(Duration::ZERO).next()?;
    /// assert_eq!((both[0].deliveries_before(), both[1].deliveries_before()), (1, 0));
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    pub fn claim_idle(mut self, min_idle: Duration) -> ReadNew {
        self.asked.again = Rescue::Idle(min_idle);
        self
    }

    /// The next new entries, now pending with the consumer; none if the time is over.
    ///
    /// Of several who wait in a group, the first to come is the first to get.
    ///
    /// # Errors
    ///
    /// [`NoSuchGroup`](crate::ErrorKind::NoSuchGroup), also when the group or stream goes while this waits;
    /// [`Closed`](crate::ErrorKind::Closed); [`Corrupt`](crate::ErrorKind::Corrupt); if it cannot be written.
    pub fn next(self) -> Result<Messages> {
        self.asked.one(self.consumer.member(), GroupStart::New, || Ok(None))
    }

    /// [`next`](ReadNew::next) as a future.
    #[cfg(feature = "tokio")]
    pub(super) async fn found(&self) -> Result<Messages> {
        self.asked.one_async(self.consumer.member(), GroupStart::New, || Ok(None)).await
    }
}

/// A read of several streams by one consumer of a group that each of them has:
/// [`Broker::read_group`](crate::Broker::read_group).
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `next` is called"]
pub struct ReadGroup {
    streams: Vec<(Member, GroupStart)>,
    asked: Asked,
}

impl ReadGroup {
    pub(crate) fn new(streams: Vec<(Member, GroupStart)>) -> ReadGroup {
        ReadGroup { streams, asked: Asked::default() }
    }

    /// At most this many entries of each stream (`COUNT`).
    pub fn count(mut self, entries: usize) -> ReadGroup {
        self.asked.limits.count = entries;
        self
    }

    /// At most this many entries in all: the streams that come too late in the list are left out (`MAXCOUNT` of Redis
    /// 8.10, from its documentation).
    pub fn max_count(mut self, entries: usize) -> ReadGroup {
        self.asked.limits.max_count = entries;
        self
    }

    /// Stops before an entry with which all of them would be larger than this, if it is not the first of all (`MAXSIZE` of Redis
    /// 8.10, from its documentation). In bytes: those of names and values, and a few for each.
    pub fn max_bytes(mut self, bytes: u64) -> ReadGroup {
        self.asked.limits.max_bytes = Some(bytes);
        self
    }

    /// Waits up to this long for the first entry of any of the streams. If not said, the read does not wait; nor does one of
    /// what is pending.
    pub fn block(mut self, timeout: Duration) -> ReadGroup {
        self.asked.block = Block::For(timeout);
        self
    }

    /// Waits for ever for the first entry of any of the streams; not if what is pending is read of one.
    pub fn block_forever(mut self) -> ReadGroup {
        self.asked.block = Block::Forever;
        self
    }

    /// As [`ReadNew::no_ack`].
    pub fn no_ack(mut self) -> ReadGroup {
        self.asked.no_ack = true;
        self
    }

    /// As [`ReadNew::claim_idle`]. Of the streams that come after one of which what is pending is read, nothing is
    /// taken over: so Redis 8.6 has it.
    pub fn claim_idle(mut self, min_idle: Duration) -> ReadGroup {
        self.asked.again = Rescue::Idle(min_idle);
        self
    }

    /// Of each stream, in the order given, its name and its messages. A stream with nothing new is left out, one with
    /// nothing pending is not. Nothing if the time is over.
    ///
    /// Of several who wait in a group of a stream, the first to come is the first to get, whatever else they wait for.
    /// What is delivered of each stream is one record: a crash may forget that of the later ones.
    ///
    /// # Errors
    ///
    /// [`NoSuchGroup`](crate::ErrorKind::NoSuchGroup), if one of the streams has none, and then nothing is delivered of the
    /// others; otherwise as [`ReadNew::next`].
    pub fn next(self) -> Result<Vec<(String, Messages)>> {
        let members = self.members();
        let got = self.asked.all(&members, || Ok(None))?.on_thread()?;
        Ok(named(&members, got))
    }

    /// [`next`](ReadGroup::next) as a future.
    #[cfg(feature = "tokio")]
    pub(super) async fn found(&self) -> Result<Vec<(String, Messages)>> {
        let members = self.members();
        let got = self.asked.all(&members, || Ok(None))?.on_runtime().await?;
        Ok(named(&members, got))
    }

    fn members(&self) -> Vec<(&Member, GroupStart)> {
        self.streams.iter().map(|(member, start)| (member, *start)).collect()
    }
}

fn named(members: &[(&Member, GroupStart)], found: Option<Found>) -> Vec<(String, Messages)> {
    let name = |index: usize| members[index].0.group.stream().name().to_owned();
    found.into_iter().flatten().map(|(index, messages)| (name(index), messages)).collect()
}
