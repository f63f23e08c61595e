//! Looking at what is pending (`XPENDING`).

use std::ops::{Bound, RangeBounds};
use std::time::Duration;

use super::Group;
use crate::clock::millis;
use crate::error::Result;
use crate::id::{Id, inclusive};

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
    /// With whom it is pending.
    pub consumer: String,
    /// How long ago it was last delivered.
    pub idle: Duration,
    /// How often it was delivered.
    pub deliveries: u32,
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
    /// Only what was last delivered at least this long ago.
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
                let idle = Duration::from_millis(row.idle_ms(now_ms));
                if idle.as_millis() >= u128::from(millis(self.idle)) && entries.len() < self.count {
                    let consumer = group.consumers[&row.consumer].name.to_string();
                    entries.push(PendingEntry { id, consumer, idle, deliveries: row.deliveries });
                }
                entries.len() < self.count
            };
            match &self.consumer {
                None => drop(group.pending.range(bounds).all(|(&id, _)| take(id))),
                Some(name) => {
                    let consumer = group.consumer_named(name).map(|number| &group.consumers[&number]);
                    consumer.into_iter().flat_map(|consumer| consumer.pending.range(bounds)).all(|&id| take(id));
                }
            }
            Ok(entries)
        })
    }
}
