//! Looking at what is pending (`XPENDING`).

use std::ops::{Bound, RangeBounds};
use std::time::Duration;

use super::Group;
use crate::clock::millis;
use crate::error::Result;
use crate::id::{Id, inclusive};
use crate::state::Pending;

/// What is pending in a group, in short: [`Group::pending`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingSummary {
    /// How many entries.
    pub count: u64,
    /// The smallest and the greatest ID, if there are any.
    pub ids: Option<(Id, Id)>,
    /// Each consumer with something pending, and how many, by name.
    pub consumers: Vec<(String, u64)>,
}

/// One pending entry: [`PendingRange::read`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingEntry {
    /// The entry's ID.
    pub id: Id,
    /// With whom it is pending; empty if it was [given back](Group::nack).
    pub consumer: String,
    /// How long ago it was last delivered; nothing if it was given back.
    pub idle: Duration,
    /// How often it was delivered.
    pub deliveries: u32,
    /// When it was last delivered, in milliseconds since the Unix epoch; if it was given back, from when on it is delivered
    /// again.
    pub since_ms: u64,
    /// Whether it was given back, and is with nobody.
    pub released: bool,
}

impl Group {
    /// What is pending, in short (`XPENDING key group`).
    ///
    /// # Errors
    ///
    /// [`NoSuchGroup`](crate::ErrorKind::NoSuchGroup).
    pub fn pending(&self) -> Result<PendingSummary> {
        self.read(|_, group| {
            let first = group.pending.first_key_value().map(|(&id, _)| id);
            let last = group.pending.last_key_value().map(|(&id, _)| id);
            let consumers = group.consumers.values().filter(|consumer| !consumer.pending.is_empty());
            let mut consumers: Vec<_> =
                consumers.map(|consumer| (consumer.name.to_string(), consumer.pending.len() as u64)).collect();
            consumers.sort_unstable();
            Ok(PendingSummary { count: group.pending.len() as u64, ids: first.zip(last), consumers })
        })
    }

    /// What is pending, one by one (`XPENDING key group start end count`).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let orders = broker.stream("orders")?;
    /// # let billing = orders.group("billing").from_start().ensure()?;
    /// for entry in billing.pending_range(..).idle(Duration::from_secs(60)).count(10).read()? {
    ///     println!("{} is stuck with {} for {:?}", entry.id, entry.consumer, entry.idle);
    /// }
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    pub fn pending_range(&self, range: impl RangeBounds<Id>) -> PendingRange {
        PendingRange {
            group: self.clone(),
            bounds: inclusive(&range),
            idle: Duration::ZERO,
            consumer: None,
            count: usize::MAX,
        }
    }
}

impl crate::state::Group {
    fn entry(&self, id: Id, row: &Pending, now_ms: u64) -> PendingEntry {
        let consumer = self.consumers.get(&row.consumer).map(|consumer| consumer.name.to_string());
        let released = row.is_released();
        let idle_ms = if released { 0 } else { row.idle_ms(now_ms) };
        PendingEntry {
            id,
            consumer: consumer.unwrap_or_default(),
            idle: Duration::from_millis(idle_ms),
            deliveries: row.deliveries,
            since_ms: row.delivered_ms,
            released,
        }
    }
}

/// A range of what is pending: [`Group::pending_range`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `read` is called"]
pub struct PendingRange {
    group: Group,
    bounds: Option<(Id, Id)>,
    idle: Duration,
    consumer: Option<String>,
    count: usize,
}

impl PendingRange {
    /// Only what was last delivered at least this long ago, or was given back and can be delivered again.
    pub fn idle(mut self, idle: Duration) -> PendingRange {
        self.idle = idle;
        self
    }

    /// Only what is pending with this consumer. One that does not exist has nothing.
    pub fn consumer(mut self, name: &str) -> PendingRange {
        self.consumer = Some(name.to_owned());
        self
    }

    /// At most this many entries.
    pub fn count(mut self, entries: usize) -> PendingRange {
        self.count = entries;
        self
    }

    /// The entries, by ID.
    ///
    /// # Errors
    ///
    /// [`NoSuchGroup`](crate::ErrorKind::NoSuchGroup).
    pub fn read(self) -> Result<Vec<PendingEntry>> {
        let now_ms = self.group.stream().core().clock.now_ms();
        self.group.read(|_, group| {
            let Some((first, last)) = self.bounds else { return Ok(Vec::new()) };
            let bounds = (Bound::Included(first), Bound::Included(last));
            let mut entries = Vec::new();
            let mut take = |id: Id| {
                let row = &group.pending[&id];
                if (self.idle.is_zero() || row.is_due(now_ms, millis(self.idle))) && entries.len() < self.count {
                    entries.push(group.entry(id, row, now_ms));
                }
                entries.len() < self.count
            };
            match &self.consumer {
                None => drop(group.pending.range(bounds).all(|(&id, _)| take(id))),
                Some(name) => {
                    let consumer = group.consumer_named(name).map(|number| &group.consumers[&number]);
                    consumer.into_iter().flat_map(|consumer| consumer.pending.range(bounds)).all(take);
                }
            }
            Ok(entries)
        })
    }
}
