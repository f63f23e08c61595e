//! Consumers: reading new entries, one's own pending ones, and the fetch that a worker wants (`XREADGROUP`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::catalog::check_name;
use super::cell::Inner;
use super::collect::Collector;
use super::core::{Ids, Plan, found};
use super::read::{Block, Place};
use super::{Claim, Group, Messages};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::options::Durability;
use crate::state::Change;
use crate::sync::atomic::Ordering;
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// How many pending entries of others a fetch looks at, for each it was asked for, before it goes on to new ones.
const CLAIM_LOOKS: usize = 10;

/// Deliveries are recorded before they are returned, and wait for no sync: the acknowledgement's covers them.
pub(super) const DELIVERY: Durability = Durability::Os;

/// A consumer of a group, by its name. Clones share their place in what was pending before; two handles made
/// separately with the same name are one consumer that works twice.
#[derive(Clone)]
pub struct Consumer {
    group: Group,
    name: Arc<str>,
    /// Tells what was delivered before this handle was made.
    session: u32,
    progress: Arc<Mutex<Progress>>,
}

/// How far a handle has come with what was there before it.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// Its own pending entries up to this one were delivered again; `None` once all were.
    own: Option<Id>,
    /// Where to look next for what is idle with others.
    others: Id,
}

impl Consumer {
    pub(super) fn new(group: Group, name: &str) -> Consumer {
        let session = group.stream().core().sessions.fetch_add(1, Ordering::Relaxed) + 1;
        let progress = Progress { own: Some(Id::MIN), others: Id::MIN };
        Consumer { group, name: name.into(), session, progress: Arc::new(Mutex::new(progress)) }
    }

    /// The consumer's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The consumer's group.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// What a worker wants next: first what was pending with this consumer before this handle was made (each once,
    /// after a crash or a restart), then, with [`Fetch::claim_idle`], what has been idle too long with others, then new
    /// entries.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let orders = broker.stream("orders")?;
    /// # orders.add([("sku", "A1")])?;
    /// let worker = orders.group("billing").from_start().ensure()?.consumer("worker-1");
    /// let batch = worker.fetch().count(100).block(Duration::from_secs(1)).next()?;
    /// for message in &batch {
    ///     println!("{} {}", message.id(), message.text("sku")?);
    /// }
    /// batch.ack_all()?;
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    pub fn fetch(&self) -> Fetch {
        Fetch { read: self.read_new(), claim_idle: None }
    }

    /// New entries only: those after the group's cursor (`XREADGROUP … >`).
    pub fn read_new(&self) -> ReadNew {
        ReadNew { consumer: self.clone(), count: 1, block: Block::No, acknowledged: false }
    }

    /// What is pending with this consumer, after an ID, delivered to it again (`XREADGROUP` with an ID).
    pub fn history(&self, after: Id) -> History {
        History { consumer: self.clone(), after, count: usize::MAX }
    }

    /// Takes over these entries from whoever they are pending with (`XCLAIM`).
    pub fn claim(&self, ids: &[Id]) -> Claim {
        Claim::new(self, ids)
    }

    /// Takes over what has been idle for long enough (`XAUTOCLAIM`).
    pub fn auto_claim(&self, min_idle: Duration) -> super::AutoClaim {
        super::AutoClaim::new(self, min_idle)
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.group.stream().core().clock.now_ms()
    }

    /// Plans for this consumer: calls `plan` with the numbers of its group and itself and the changes so far, which
    /// create it if need be. What `plan` adds is recorded; whatever it is, the consumer was seen.
    pub(super) fn change<T>(
        &self,
        mut plan: impl FnMut(&mut Inner, Asking, crate::log::stream_log::Blocks<'_>, &mut Vec<Change>) -> Result<Plan<T>>,
    ) -> Result<T> {
        check_name("consumer", &self.name)?;
        self.group.change(DELIVERY, |inner, group, blocks| {
            let now_ms = self.now_ms();
            let mut changes = Vec::new();
            let state = inner.state.groups.get_mut(&group).expect("the group was looked up under this lock");
            state.stamp = self.group.stream().core().sessions.load(Ordering::Relaxed);
            let consumer = state.consumer_or_created(group, &self.name, now_ms, &mut changes);
            let planned = plan(inner, Asking { group, consumer, now_ms }, blocks, &mut changes)?;
            // Not every change says that it was asked for: acknowledging what was deleted does not.
            inner.state.touch(group, consumer, now_ms);
            Ok(match planned {
                Plan::Nothing(value) if !changes.is_empty() => Plan::Write { ids: Ids::None, changes, value },
                other => other,
            })
        })
    }
}

/// Who asks, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    pub(super) group: u32,
    pub(super) consumer: u32,
    pub(super) now_ms: u64,
}

/// A read of new entries: [`Consumer::read_new`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `next` is called"]
pub struct ReadNew {
    consumer: Consumer,
    count: usize,
    block: Block,
    acknowledged: bool,
}

impl ReadNew {
    /// At most this many entries; one if not said.
    pub fn count(mut self, entries: usize) -> ReadNew {
        self.count = entries;
        self
    }

    /// Waits up to this long for the first entry. If not said, the read does not wait.
    pub fn block(mut self, timeout: Duration) -> ReadNew {
        self.block = Block::For(timeout);
        self
    }

    /// Waits for ever for the first entry.
    pub fn block_forever(mut self) -> ReadNew {
        self.block = Block::Forever;
        self
    }

    /// Takes the entries as acknowledged at once (`NOACK`): nothing becomes pending, and a crash loses them.
    pub fn no_ack(mut self) -> ReadNew {
        self.acknowledged = true;
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
        self.wait(None, |_| Ok(None))
    }

    /// Waits for new entries, or for what `first` gives.
    fn wait(
        &self,
        retry: Option<Duration>,
        mut first: impl FnMut(&Consumer) -> Result<Option<Messages>>,
    ) -> Result<Messages> {
        let group = &self.consumer.group;
        let core = group.stream().core();
        // Nothing is enough of nothing: there is nothing to wait for.
        let block = if self.count == 0 { Block::No } else { self.block };
        let cell = group.stream().cell().map_err(|error| group.error(error))?;
        let queue = Some(group.read(|inner, _| inner.group(group.name()))?);
        let attempt = |place: &Place, news: &mut u64| match first(&self.consumer)? {
            Some(messages) => {
                // Read before, for whoever sleeps on it.
                *news = 0;
                Ok(Some(messages))
            }
            None => self.attempt(place, news),
        };
        let got = core.wait_for(&cell, queue, block, attempt, retry).map_err(|error| group.error(error))?;
        Ok(got.unwrap_or_else(|| Messages::new(group, Vec::new(), &[], Vec::new())))
    }

    fn attempt(&self, place: &Place, news: &mut u64) -> Result<Option<Messages>> {
        let ReadNew { consumer, count, acknowledged, .. } = self;
        let found = consumer.change(|inner, asking, blocks, changes| {
            *news = inner.news;
            let Asking { group, consumer, now_ms } = asking;
            if !place.is_in(group) {
                return Err(Error::no_such_group(&inner.state.name, self.consumer.group.name()));
            }
            let mut found = Collector::until_damage();
            let state = &inner.state.groups[&group];
            let (mut cursor, mut entries_read) = (state.cursor, state.entries_read);
            let first = cursor.next().filter(|_| place.is_turn(inner) && cursor < inner.visible_last_id);
            if let Some(first) = first {
                let mut ordinals = found!(inner.ordinals(first, Id::MAX, blocks));
                found!(inner.collect(&mut ordinals, false, *count, blocks, &mut found));
                found.check()?;
            }
            if found.len() == 0 {
                return Ok(Plan::Nothing(None));
            }
            for id in found.ids() {
                entries_read = inner.state.entries_read_after(entries_read, cursor, id);
                cursor = id;
            }
            if *acknowledged {
                changes.push(Change::SetCursor { group, cursor, entries_read });
            } else {
                let ids = found.ids().collect();
                changes.push(Change::Deliver { group, consumer, now_ms, ids, cursor, entries_read });
            }
            Ok(Plan::Write { ids: Ids::None, changes: std::mem::take(changes), value: Some(found) })
        })?;
        let group = &consumer.group;
        found.map(|found| Ok(Messages::new(group, found.finish()?, &[], Vec::new()))).transpose()
    }
}

/// What a worker wants next: [`Consumer::fetch`].
#[derive(Debug, Clone)]
#[must_use = "nothing is fetched before `next` is called"]
pub struct Fetch {
    read: ReadNew,
    claim_idle: Option<Duration>,
}

impl Fetch {
    /// At most this many messages; one if not said.
    pub fn count(mut self, messages: usize) -> Fetch {
        self.read.count = messages;
        self
    }

    /// Waits up to this long for the first message. If not said, the fetch does not wait.
    pub fn block(mut self, timeout: Duration) -> Fetch {
        self.read.block = Block::For(timeout);
        self
    }

    /// Waits for ever for the first message.
    pub fn block_forever(mut self) -> Fetch {
        self.read.block = Block::Forever;
        self
    }

    /// Also takes over what has been pending with other consumers for at least this long.
    pub fn claim_idle(mut self, min_idle: Duration) -> Fetch {
        self.claim_idle = Some(min_idle);
        self
    }

    /// The next messages; none if the time is over.
    ///
    /// # Errors
    ///
    /// As [`ReadNew::next`].
    pub fn next(self) -> Result<Messages> {
        // Idle entries come without an event: whoever waits for them looks again as often as they could.
        let retry = self.claim_idle.map(|idle| idle.clamp(Duration::from_millis(10), Duration::from_secs(1)));
        self.read.wait(retry, |consumer| {
            // Nothing is asked for: what is pending stays for a fetch that does.
            if self.read.count == 0 {
                return Ok(None);
            }
            if let Some(messages) = consumer.own(self.read.count)? {
                return Ok(Some(messages));
            }
            match self.claim_idle {
                Some(min_idle) => consumer.others(min_idle, self.read.count),
                None => Ok(None),
            }
        })
    }
}

impl Consumer {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was pending with this consumer before this handle was made.
    fn own(&self, count: usize) -> Result<Option<Messages>> {
        loop {
            let mut progress = self.progress();
            let Some(after) = progress.own else { return Ok(None) };
            let (messages, last) = self.redeliver(after, count, true, |stamp| stamp < self.session)?;
            progress.own = last;
            if !messages.is_empty() {
                return Ok(Some(messages));
            }
        }
    }

    /// What has been idle for at least `min_idle` with others.
    fn others(&self, min_idle: Duration, count: usize) -> Result<Option<Messages>> {
        let start = self.progress().others;
        let claim = self.auto_claim(min_idle).start(start).count(count).looks(CLAIM_LOOKS.saturating_mul(count));
        let claimed = claim.others_only().run()?;
        self.progress().others = claimed.next;
        Ok(if claimed.messages.is_empty() { None } else { Some(claimed.messages) })
    }

    /// Delivers again what is pending with this consumer after an ID, if its stamp is `wanted`; what was deleted is no
    /// longer pending if `forget_deleted`. Also returns after which ID to go on: `None` if that was all.
    fn redeliver(
        &self,
        after: Id,
        count: usize,
        forget_deleted: bool,
        wanted: impl Fn(u32) -> bool,
    ) -> Result<(Messages, Option<Id>)> {
        let (found, deliveries, deleted, last) = self.change(|inner, asking, blocks, changes| {
            let Asking { group, consumer, now_ms } = asking;
            let mut found = Collector::default();
            let mut assigned = Vec::new();
            let mut deleted = Vec::new();
            let mut last = None;
            let state = &inner.state.groups[&group];
            let pending = state.consumers.get(&consumer).map(|consumer| &consumer.pending);
            let after = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
            for &id in pending.into_iter().flat_map(|pending| pending.range(after)) {
                if assigned.len() + deleted.len() >= count {
                    break;
                }
                last = Some(id);
                let row = &state.pending[&id];
                if !wanted(row.stamp) {
                    continue;
                }
                match found!(inner.collect_one(id, blocks, &mut found))? {
                    Some(_) => assigned.push((id, row.deliveries.saturating_add(1))),
                    None => deleted.push(id),
                }
            }
            let deliveries: Vec<u32> = assigned.iter().map(|&(_, deliveries)| deliveries).collect();
            if !assigned.is_empty() {
                let ids = assigned;
                changes.push(Change::Assign { group, consumer, now_ms, delivered_ms: now_ms, ids });
            }
            if forget_deleted && !deleted.is_empty() {
                changes.push(Change::Ack { group, ids: deleted.clone() });
            }
            let value = (found, deliveries, deleted, last);
            Ok(if changes.is_empty() {
                Plan::Nothing(value)
            } else {
                Plan::Write { ids: Ids::None, changes: std::mem::take(changes), value }
            })
        })?;
        Ok((Messages::new(&self.group, found.finish()?, &deliveries, deleted), last))
    }
}

/// A read of one's own pending entries: [`Consumer::history`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `read` is called"]
pub struct History {
    consumer: Consumer,
    after: Id,
    count: usize,
}

impl History {
    /// At most this many entries.
    pub fn count(mut self, entries: usize) -> History {
        self.count = entries;
        self
    }

    /// The entries, each counted as delivered once more. Those that were deleted or trimmed are in
    /// [`Messages::deleted`], and stay pending until acknowledged.
    ///
    /// # Errors
    ///
    /// As [`ReadNew::next`].
    pub fn read(self) -> Result<Messages> {
        Ok(self.consumer.redeliver(self.after, self.count, false, |_| true)?.0)
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("stream", &self.group.stream().name())
            .field("group", &self.group.name())
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
