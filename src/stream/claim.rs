//! Taking over what is pending with others (`XCLAIM`, `XAUTOCLAIM`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::cell::Inner;
use super::collect::Collector;
use super::consumer::Asking;
use super::core::{Plan, found};
use super::message::Delivery;
use super::{Consumer, Messages};
use crate::clock::millis;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::log::Lookup;
use crate::log::stream_log::Blocks;
use crate::state::{Change, Group, Pending};

/// Entries about to be taken over: [`Consumer::claim`].
///
/// ```
/// use std::time::Duration;
///
/// # let broker = streamlog::Broker::in_memory()?;
/// # let orders = broker.stream("orders")?;
/// # orders.add([("sku", "A1")])?;
/// # let billing = orders.group("billing").from_start().ensure()?;
/// # billing.consumer("worker-1").read_new().next()?;
/// let stuck = billing.pending_range(..).idle(Duration::from_millis(0)).read()?;
/// let ids: Vec<_> = stuck.iter().map(|entry| entry.id).collect();
/// let mine = billing.consumer("worker-2").claim(&ids).run()?;
/// assert_eq!(mine[0].deliveries(), 2);
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is claimed before `run` is called"]
pub struct Claim {
    consumer: Consumer,
    ids: Vec<Id>,
    min_idle: Duration,
    options: Options,
}

/// Redis makes what it is forced to claim pending as if it had been delivered once, and then claims it.
const DELIVERIES_FORCED: u32 = 1;

/// A pending entry, as the claims before it left it.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// `None` if it was released: then it is idle for long enough.
    delivered_ms: Option<u64>,
    deliveries: u32,
}

impl Row {
    fn of(pending: &Pending) -> Row {
        let delivered_ms = (!pending.is_released()).then_some(pending.delivered_ms);
        Row { delivered_ms, deliveries: pending.deliveries }
    }

    fn is_idle(&self, now_ms: u64, min_idle: Duration) -> bool {
        self.delivered_ms.is_none() || self.idle_ms(now_ms) >= millis(min_idle)
    }

    fn idle_ms(&self, now_ms: u64) -> u64 {
        self.delivered_ms.map_or(0, |ms| now_ms.saturating_sub(ms))
    }
}

/// How claimed entries are to look.
#[derive(Debug, Clone, Copy, Default)]
struct Options {
    force: bool,
    delivered: Option<Delivered>,
    deliveries: Option<u32>,
    last_id: Option<Id>,
    just_ids: bool,
}

/// When claimed entries count as delivered.
#[derive(Debug, Clone, Copy)]
enum Delivered {
    Ago(Duration),
    AtMs(u64),
}

impl Options {
    /// When claimed entries count as delivered: never later than now.
    fn delivered_ms(&self, now_ms: u64) -> u64 {
        match self.delivered {
            None => now_ms,
            Some(Delivered::Ago(idle)) => now_ms.saturating_sub(millis(idle)),
            Some(Delivered::AtMs(ms)) => ms.min(now_ms),
        }
    }

    /// The count of deliveries that a claimed entry gets.
    fn deliveries(&self, before: u32) -> u32 {
        self.deliveries.unwrap_or(if self.just_ids { before } else { before.saturating_add(1) })
    }
}

impl Claim {
    pub(super) fn new(consumer: &Consumer, ids: &[Id]) -> Claim {
        Claim { consumer: consumer.clone(), ids: ids.to_vec(), min_idle: Duration::ZERO, options: Options::default() }
    }

    /// Only what was last delivered at least this long ago.
    pub fn min_idle(mut self, idle: Duration) -> Claim {
        self.min_idle = idle;
        self
    }

    /// Also entries that are pending with nobody, if they are in the stream (`FORCE`): counted as if they had been
    /// delivered once before.
    pub fn force(mut self) -> Claim {
        self.options.force = true;
        self
    }

    /// Counts them as last delivered this long ago; now if not said (`IDLE`).
    pub fn idle(mut self, idle: Duration) -> Claim {
        self.options.delivered = Some(Delivered::Ago(idle));
        self
    }

    /// Counts them as last delivered at this time, in milliseconds since the Unix epoch; now if that is still to come
    /// (`TIME`).
    pub fn delivered_at_ms(mut self, ms: u64) -> Claim {
        self.options.delivered = Some(Delivered::AtMs(ms));
        self
    }

    /// Moves the group's cursor to this ID, if it is not so far yet, whatever is claimed (`LASTID`).
    pub fn last_id(mut self, id: Id) -> Claim {
        self.options.last_id = Some(id);
        self
    }

    /// Sets their count of deliveries; one more if not said (`RETRYCOUNT`).
    pub fn deliveries(mut self, deliveries: u32) -> Claim {
        self.options.deliveries = Some(deliveries);
        self
    }

    /// Takes the entries over and returns them; one given twice is claimed twice. Those deleted from the stream are
    /// pending no longer, however short their idle time, and are in [`Messages::deleted`].
    ///
    /// # Errors
    ///
    /// [`NoSuchGroup`](ErrorKind::NoSuchGroup); [`Corrupt`](ErrorKind::Corrupt); if it cannot be written.
    pub fn run(self) -> Result<Messages> {
        let (found, deliveries, deleted) = self.claim(false)?;
        Ok(Messages::new(self.consumer.group(), found.finish()?, deliveries, deleted))
    }

    /// Takes the entries over and returns their IDs only; their counts of deliveries stay (`JUSTID`).
    ///
    /// # Errors
    ///
    /// As [`run`](Claim::run).
    pub fn just_ids(self) -> Result<Vec<Id>> {
        let (found, _, _) = self.claim(true)?;
        Ok(found.ids().collect())
    }

    fn claim(&self, just_ids: bool) -> Result<(Collector, Vec<Delivery>, Vec<Id>)> {
        let options = Options { just_ids, ..self.options };
        self.consumer.change(|inner, asking, blocks, changes| {
            let Asking { group, now_ms, .. } = asking;
            let mut found = Collector::default();
            let mut claimed: Vec<(Id, u32)> = Vec::new();
            let mut told = Vec::new();
            let mut deleted = Vec::new();
            let delivered_ms = options.delivered_ms(now_ms);
            let Group { cursor, entries_read, .. } = inner.state.groups[&group];
            if let Some(cursor) = options.last_id.filter(|&id| id > cursor) {
                changes.push(Change::SetCursor { group, cursor, entries_read });
            }
            // What the IDs before made of an entry: one that is given twice is claimed twice, as Redis does.
            let mut rows: BTreeMap<Id, Option<Row>> = BTreeMap::new();
            for &id in &self.ids {
                let pending = &inner.state.groups[&group].pending;
                let row = rows.entry(id).or_insert_with(|| pending.get(&id).map(Row::of));
                let idle = match row {
                    Some(row) => row.is_idle(now_ms, self.min_idle),
                    None if options.force => true,
                    None => continue,
                };
                match (found!(inner.collect_idle(id, idle, blocks, &mut found))?, *row) {
                    (Looked::Idle, before) => {
                        let deliveries_before = before.map_or(DELIVERIES_FORCED, |row| row.deliveries);
                        let idle_ms_before = before.map_or(0, |row| row.idle_ms(now_ms));
                        let deliveries = options.deliveries(deliveries_before);
                        claimed.push((id, deliveries));
                        told.push(Delivery { deliveries, deliveries_before, idle_ms_before });
                        *row = Some(Row { delivered_ms: Some(delivered_ms), deliveries });
                    }
                    (Looked::Deleted, Some(_)) => {
                        deleted.push(id);
                        *row = None;
                    }
                    (Looked::Deleted, None) | (Looked::Busy, _) => {}
                }
            }
            record(changes, asking, delivered_ms, claimed, &deleted);
            let value = (found, told, deleted);
            Ok(Plan::of(std::mem::take(changes), value))
        })
    }
}

/// What looking at a pending entry showed.
enum Looked {
    /// It was collected.
    Idle,
    /// It is there, and not idle for long enough.
    Busy,
    /// It is in the stream no more. Then it does not matter who has it, and for how long: nobody needs it any more.
    Deleted,
}

impl Inner {
    fn collect_idle(&self, id: Id, idle: bool, blocks: Blocks<'_>, out: &mut Collector) -> Lookup<Result<Looked>> {
        if idle {
            let found = self.collect_one(id, blocks, out);
            return found.map(|found| Ok(found?.map_or(Looked::Deleted, |_| Looked::Idle)));
        }
        // Without a look into the log, for all that is newer than what was deleted last: most of what is not idle.
        if self.state.length > 0 && id >= self.state.front.id && id > self.state.holes_to {
            return Lookup::Found(Ok(Looked::Busy));
        }
        let found = self.collect_one(id, blocks, &mut Collector::default());
        found.map(|found| Ok(found?.map_or(Looked::Deleted, |_| Looked::Busy)))
    }
}

/// Records that entries were taken over, and that others turned out to be deleted.
pub(super) fn record(
    changes: &mut Vec<Change>,
    asking: Asking,
    delivered_ms: u64,
    claimed: Vec<(Id, u32)>,
    deleted: &[Id],
) {
    let Asking { group, consumer, now_ms } = asking;
    if !claimed.is_empty() {
        changes.push(Change::Assign { group, consumer, now_ms, delivered_ms, ids: claimed });
    }
    if !deleted.is_empty() {
        changes.push(Change::Ack { group, ids: deleted.to_vec() });
    }
}

/// Idle entries about to be taken over: [`Consumer::auto_claim`].
///
/// ```
/// use std::time::Duration;
/// use streamlog::Id;
///
/// # let broker = streamlog::Broker::in_memory()?;
/// # let orders = broker.stream("orders")?;
/// # let billing = orders.group("billing").from_start().ensure()?;
/// let rescuer = billing.consumer("rescuer");
/// let mut start = Id::MIN;
/// loop {
///     let claimed = rescuer.auto_claim(Duration::from_secs(30)).start(start).count(100).run()?;
///     for message in &claimed.messages {
///         println!("{} for the {}th time", message.id(), message.deliveries());
///     }
///     start = claimed.next;
///     if start == Id::MIN {
///         break;
///     }
/// }
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is claimed before `run` is called"]
pub struct AutoClaim {
    consumer: Consumer,
    min_idle: Duration,
    start: Id,
    count: usize,
}

/// What [`AutoClaim::just_ids`] took over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AutoClaimedIds {
    /// The IDs of the entries.
    pub ids: Vec<Id>,
    /// IDs that were pending, but whose entries were deleted or trimmed: they are pending no longer.
    pub deleted: Vec<Id>,
    /// Where to go on: the next pending ID, or `0-0` if that was the last.
    pub next: Id,
}

/// What [`AutoClaim::run`] took over.
#[derive(Debug, Clone)]
pub struct AutoClaimed {
    /// The entries. Those that turned out to be deleted are pending no longer, and are in [`Messages::deleted`].
    pub messages: Messages,
    /// Where to go on: the next pending ID, or `0-0` if that was the last.
    pub next: Id,
}

impl AutoClaim {
    pub(super) fn new(consumer: &Consumer, min_idle: Duration) -> AutoClaim {
        let consumer = consumer.clone();
        AutoClaim { consumer, min_idle, start: Id::MIN, count: 100 }
    }

    /// Begins with the first pending ID that is not smaller.
    pub fn start(mut self, id: Id) -> AutoClaim {
        self.start = id;
        self
    }

    /// At most this many entries, 100 if not said. Up to ten times as many are looked at.
    pub fn count(mut self, entries: usize) -> AutoClaim {
        self.count = entries;
        self
    }

    /// Takes the entries over. What was [released](super::Group::nack) until later is passed by until then.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) (a count of 0); otherwise as [`Claim::run`].
    pub fn run(self) -> Result<AutoClaimed> {
        let group = self.consumer.group().clone();
        let (found, deliveries, deleted, next) = self.claim(false)?;
        Ok(AutoClaimed { messages: Messages::new(&group, found.finish()?, deliveries, deleted), next })
    }

    /// Takes the entries over and returns their IDs only; their counts of deliveries stay (`JUSTID`).
    ///
    /// # Errors
    ///
    /// As [`run`](AutoClaim::run).
    pub fn just_ids(self) -> Result<AutoClaimedIds> {
        let (found, _, deleted, next) = self.claim(true)?;
        Ok(AutoClaimedIds { ids: found.ids().collect(), deleted, next })
    }

    fn claim(self, just_ids: bool) -> Result<(Collector, Vec<Delivery>, Vec<Id>, Id)> {
        let options = Options { just_ids, ..Options::default() };
        if self.count == 0 {
            return Err(Error::new(ErrorKind::InvalidArgument, "the count must be greater than 0"));
        }
        self.consumer.change(|inner, asking, blocks, changes| {
            let mut found = Collector::default();
            let mut claimed = Vec::new();
            let mut told = Vec::new();
            let mut deleted = Vec::new();
            let mut looks = self.count.saturating_mul(10);
            let mut next = Id::MIN;
            for (&id, row) in inner.state.groups[&asking.group].pending.range(self.start..) {
                if looks == 0 || claimed.len() + deleted.len() >= self.count {
                    next = id;
                    break;
                }
                looks -= 1;
                let idle = row.is_due(asking.now_ms, millis(self.min_idle));
                match found!(inner.collect_idle(id, idle, blocks, &mut found))? {
                    Looked::Idle => {
                        let deliveries = options.deliveries(row.deliveries);
                        claimed.push((id, deliveries));
                        told.push(Delivery::set(row, asking.now_ms, deliveries));
                    }
                    Looked::Deleted => deleted.push(id),
                    Looked::Busy => {}
                }
            }
            record(changes, asking, asking.now_ms, claimed, &deleted);
            let value = (found, told, deleted, next);
            let changes = std::mem::take(changes);
            Ok(Plan::of(changes, value))
        })
    }
}
