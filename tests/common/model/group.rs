//! A group in the model: who has what, since when and how often; and a consumer that asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use streamlog::Id;
use streamlog::command::{NackMode, XNack};

use super::stream::Stream;
use crate::common::operation::{Before, Delivered};

#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) cursor: Id,
    pub(crate) entries_read: Option<u64>,
    pub(crate) pending: BTreeMap<Id, Pending>,
    pub(crate) consumers: BTreeMap<String, Consumer>,
    /// Counts deliveries.
    pub(super) turns: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Pending {
    /// Empty if it was given back.
    pub(crate) consumer: String,
    /// If it was given back: from when on it is delivered again.
    pub(crate) delivered_ms: u64,
    pub(crate) deliveries: u32,
    /// When it was last delivered, counted in moments.
    moment: u64,
    /// Which came first of those delivered in one millisecond.
    turn: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Consumer {
    pub(crate) seen_ms: u64,
    pub(crate) active_ms: Option<u64>,
    /// Earlier times it was seen, of which a crash may leave one: those since one was last recorded.
    pub(crate) seen_before_ms: Vec<u64>,
}

/// A handle that fetches.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) made: u64,
    /// What was pending before it was made was delivered again up to here; `None` once all of it was.
    pub(super) own: Option<Id>,
}

impl Group {
    /// How many are pending with a consumer.
    pub(crate) fn pending_with(&self, consumer: &str) -> u64 {
        self.pending.values().filter(|row| row.consumer == consumer).count() as u64
    }

    /// Gives an entry back, for later; `false` if it is not pending and not forced to be.
    pub(super) fn release(&mut self, id: Id, nack: &XNack, now_ms: u64, delay_ms: u64, exists: bool) -> bool {
        let before = match self.pending.get(&id) {
            Some(row) => row.deliveries,
            None if nack.force && exists => 0,
            None => return false,
        };
        let deliveries = nack.retry_count.map_or_else(
            || match nack.mode {
                NackMode::Silent => before.saturating_sub(1),
                NackMode::Fail => before,
                NackMode::Fatal => u32::MAX,
            },
            counted,
        );
        let row = Pending { consumer: String::new(), delivered_ms: now_ms + delay_ms, deliveries, moment: 0, turn: 0 };
        self.pending.insert(id, row);
        true
    }

    /// What was delivered in one millisecond is from now on in the order of IDs.
    pub(crate) fn forget_turns(&mut self) {
        self.pending.values_mut().for_each(|row| row.turn = 0);
    }
}

impl Pending {
    pub(crate) fn is_released(&self) -> bool {
        self.consumer.is_empty()
    }

    pub(super) fn idle_ms(&self, now_ms: u64) -> u64 {
        if self.is_released() { 0 } else { now_ms.saturating_sub(self.delivered_ms) }
    }

    /// Whether it may be taken over: what was given back, from its time on.
    pub(super) fn is_due(&self, now_ms: u64, min_idle_ms: u64) -> bool {
        if self.is_released() { self.delivered_ms <= now_ms } else { self.idle_ms(now_ms) >= min_idle_ms }
    }
}

/// A count of deliveries, which ends earlier than Redis's.
pub(super) fn counted(deliveries: u64) -> u32 {
    u32::try_from(deliveries).unwrap_or(u32::MAX)
}

/// What becomes of what is taken over.
#[derive(Debug, Clone, Default)]
pub(super) struct HowToClaim {
    pub(super) force: bool,
    /// Now if not said.
    pub(super) delivered_ms: Option<u64>,
    pub(super) deliveries: Option<u32>,
    pub(super) just_ids: bool,
}

/// A consumer at work, its group taken out of its stream.
pub(super) struct Asking<'a> {
    pub(super) stream: &'a Stream,
    pub(super) group: &'a mut Group,
    pub(super) consumer: &'a String,
    pub(super) now_ms: u64,
    pub(super) moment: u64,
    /// Whether it got anything that counts as activity.
    pub(super) got: bool,
    /// Whether anything was recorded that says when it asked.
    pub(super) recorded: bool,
}

impl Asking<'_> {
    /// It asked: it exists from now on.
    pub(super) fn seen(&mut self) {
        match self.group.consumers.get_mut(self.consumer) {
            Some(consumer) => {
                consumer.seen_before_ms.push(consumer.seen_ms);
                consumer.seen_ms = self.now_ms;
            }
            None => {
                let created = Consumer { seen_ms: self.now_ms, ..Consumer::default() };
                self.group.consumers.insert(self.consumer.clone(), created);
            }
        }
    }

    /// Makes an entry pending with the consumer, whoever had it.
    fn deliver(&mut self, id: Id, delivered_ms: u64, deliveries: u32, before: Before, out: &mut Delivered) {
        self.group.turns += 1;
        let (consumer, turn) = (self.consumer.clone(), self.group.turns);
        let row = Pending { consumer, delivered_ms, deliveries, moment: self.moment, turn };
        self.group.pending.insert(id, row);
        out.messages.push((id, deliveries, before, self.stream.entries[&id].clone()));
        self.recorded = true;
    }

    fn before(&self, id: Id) -> Option<Before> {
        self.group.pending.get(&id).map(|row| (row.deliveries, row.idle_ms(self.now_ms)))
    }

    pub(super) fn read_new(&mut self, count: usize, no_ack: bool, delivered: &mut Delivered) {
        let after = (Bound::Excluded(self.group.cursor), Bound::Unbounded);
        for (&id, fields) in self.stream.entries.range(after).take(count - delivered.messages.len()) {
            self.group.entries_read = self.stream.entries_read_after(self.group, id);
            self.group.cursor = id;
            if no_ack {
                delivered.messages.push((id, 1, (0, 0), fields.clone()));
            } else {
                self.deliver(id, self.now_ms, 1, (0, 0), delivered);
                self.got = true;
            }
            self.recorded = true;
        }
        // Nothing but what is gone is nothing: one that waits waits on.
        if delivered.messages.is_empty() {
            delivered.deleted.clear();
        }
    }

    /// Takes what was given back and is ready, and what has been idle for so long; what was delivered longest ago comes first.
    pub(super) fn take_due(
        &mut self,
        count: usize,
        min_idle_ms: Option<u64>,
        from_others: bool,
        delivered: &mut Delivered,
    ) {
        let is_due = |row: &Pending| match min_idle_ms {
            _ if row.is_released() => row.is_due(self.now_ms, 0),
            Some(min_idle_ms) => {
                row.is_due(self.now_ms, min_idle_ms) && !(from_others && row.consumer == *self.consumer)
            }
            None => false,
        };
        // What is gone stays pending, unless it is had from others; of nothing at all nobody looks what is gone.
        let stays = |id| !self.stream.entries.contains_key(id) && (!from_others || self.stream.entries.is_empty());
        let due = self.group.pending.iter().filter(|(id, row)| !stays(id) && is_due(row));
        let mut due: Vec<_> = due.map(|(&id, row)| (!row.is_released(), row.delivered_ms, row.turn, id)).collect();
        due.sort_unstable();
        for (.., id) in due {
            if delivered.messages.len() < count {
                self.claim_one(id, 0, &HowToClaim::default(), delivered);
            }
        }
    }

    /// Its own pending IDs after this one that `wanted` accepts.
    fn own(&self, after: Id, count: usize, wanted: impl Fn(&Pending) -> bool) -> Vec<Id> {
        let rows = self.group.pending.range((Bound::Excluded(after), Bound::Unbounded));
        rows.filter(|(_, row)| row.consumer == *self.consumer && wanted(row)).map(|(id, _)| *id).take(count).collect()
    }

    /// Delivers entries that are pending with it once more.
    fn redeliver(&mut self, ids: &[Id]) -> Delivered {
        let mut delivered = Delivered::default();
        for id in ids {
            if self.stream.entries.contains_key(id) {
                let before = self.before(*id).expect("it is pending");
                self.deliver(*id, self.now_ms, before.0.saturating_add(1), before, &mut delivered);
            } else {
                delivered.deleted.push(*id);
            }
        }
        delivered
    }

    pub(super) fn history(&mut self, after: Id, count: usize) -> Delivered {
        let ids = self.own(after, count, |_| true);
        self.redeliver(&ids)
    }

    pub(super) fn fetch(&mut self, worker: &mut Worker, count: usize, claim_idle_ms: Option<u64>) -> Delivered {
        while let Some(after) = worker.own.filter(|_| count > 0) {
            let ids = self.own(after, count, |row| row.moment < worker.made);
            worker.own = ids.last().copied();
            let delivered = self.redeliver(&ids);
            delivered.deleted.iter().for_each(|id| drop(self.group.pending.remove(id)));
            if !delivered.messages.is_empty() {
                return delivered;
            }
        }
        let mut delivered = Delivered::default();
        self.take_due(count, claim_idle_ms, true, &mut delivered);
        self.read_new(count, false, &mut delivered);
        delivered
    }

    /// Takes an entry over, if it is there and has been idle for long enough.
    fn claim_one(&mut self, id: Id, min_idle_ms: u64, how: &HowToClaim, out: &mut Delivered) -> bool {
        let row = self.group.pending.get(&id);
        if !self.stream.entries.contains_key(&id) {
            if self.group.pending.remove(&id).is_some() {
                out.deleted.push(id);
                return true;
            }
            return false;
        }
        match row {
            Some(row) if !row.is_released() && row.idle_ms(self.now_ms) < min_idle_ms => return false,
            None if !how.force => return false,
            _ => {}
        }
        // Redis makes what is forced pending as if it had been delivered, and then claims it.
        let before = self.before(id).unwrap_or((1, 0));
        let deliveries = how.deliveries.unwrap_or(if how.just_ids { before.0 } else { before.0.saturating_add(1) });
        let delivered_ms = how.delivered_ms.map_or(self.now_ms, |ms| ms.min(self.now_ms));
        self.deliver(id, delivered_ms, deliveries, before, out);
        self.got = true;
        true
    }

    pub(super) fn claim(&mut self, ids: &[Id], min_idle_ms: u64, last_id: Option<Id>, how: &HowToClaim) -> Delivered {
        let mut claimed = Delivered::default();
        self.group.cursor = last_id.map_or(self.group.cursor, |id| id.max(self.group.cursor));
        for &id in ids {
            self.claim_one(id, min_idle_ms, how, &mut claimed);
        }
        claimed
    }

    pub(super) fn auto_claim(
        &mut self,
        min_idle_ms: u64,
        start: Id,
        count: usize,
        how: &HowToClaim,
    ) -> (Delivered, Id) {
        let mut claimed = Delivered::default();
        let mut left = count;
        let rows: BTreeSet<Id> = self.group.pending.range(start..).map(|(id, _)| *id).collect();
        for (looked, &id) in rows.iter().enumerate() {
            if left == 0 || looked == 10 * count {
                return (claimed, id);
            }
            // What was given back for later is passed by, unless there is nothing left of it.
            let row = &self.group.pending[&id];
            if self.stream.entries.contains_key(&id) && !row.is_due(self.now_ms, min_idle_ms) {
                continue;
            }
            if self.claim_one(id, min_idle_ms, how, &mut claimed) {
                left -= 1;
            }
        }
        (claimed, Id::MIN)
    }
}
