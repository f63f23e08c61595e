//! Consumer groups, their consumers and what is pending with them. Knows no entries, only their IDs.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::sorted::{SortedMap, SortedSet};
use crate::id::Id;

/// Whose the entries are that were released: consumers have numbers from 1.
pub(crate) const NOBODY: u32 = 0;

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: Arc<str>,
    /// The last ID delivered: what `>` reads after.
    pub(crate) cursor: Id,
    /// How many of the stream's entries were ever delivered, if that is known.
    pub(crate) entries_read: Option<u64>,
    pub(crate) pending: SortedMap<Id, Pending>,
    /// What was released, in the order in which it is to be delivered again; then the rest, once somebody asks for that.
    by_time: SortedSet<Due>,
    /// Whether `by_time` has the rest too.
    ordered: bool,
    pub(crate) consumers: BTreeMap<u32, Consumer>,
    pub(crate) next_consumer: u32,
    /// What entries delivered from now on are stamped with; not recorded.
    pub(crate) stamp: u32,
    /// The place of the latest delivery; of those that are pending, after a restart.
    latest: Due,
    /// The greatest turn that a delivery had.
    turn_max: u16,
    names: BTreeMap<Arc<str>, u32>,
    pub(super) dirty: Dirty,
}

/// One consumer of a group.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) name: Arc<str>,
    /// When it last asked for anything.
    pub(crate) seen_ms: u64,
    /// When it last got anything.
    pub(crate) active_ms: Option<u64>,
    /// The IDs of what is pending with it.
    pub(crate) pending: SortedSet<Id>,
}

/// One entry that was delivered and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pending {
    /// When it was delivered, or with nobody from when on it is to be.
    pub(crate) delivered_ms: u64,
    /// [`NOBODY`]'s if it was released.
    pub(crate) consumer: u32,
    pub(crate) deliveries: u32,
    /// Tells deliveries of this process made before some moment from those after; 0 for an earlier process's.
    pub(crate) stamp: u32,
    /// How often of the deliveries of its millisecond one had a smaller ID than the one before it. So what came first has the smaller
    /// turn, or the smaller ID; and most have none, for what is new is delivered in the order of IDs.
    pub(super) turn: u16,
    /// Whether it was looked for and is in the stream no more.
    pub(crate) gone: bool,
    /// Whether redb has a row for it.
    pub(super) stored: bool,
}

/// A pending entry's place among those that are to be delivered again: what was released comes first, from the time it is
/// ready; then what was delivered longest ago, and of what was delivered in one millisecond what came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    pub(crate) owned: bool,
    pub(crate) ms: u64,
    turn: u16,
    pub(crate) id: Id,
}

impl Due {
    const FIRST_OWNED: Due = Due { owned: true, ms: 0, turn: 0, id: Id::MIN };

    pub(super) fn of(id: Id, pending: &Pending) -> Due {
        Due { owned: !pending.is_released(), ms: pending.delivered_ms, turn: pending.turn, id }
    }
}

/// What changed since the last checkpoint.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    pub(super) row: bool,
    pub(super) consumers: BTreeSet<u32>,
    /// Pending entries to be written, or removed where redb has one that is pending no longer.
    pub(super) pending: SortedSet<Id>,
}

impl Group {
    pub(crate) fn new(name: Arc<str>, cursor: Id, entries_read: Option<u64>) -> Group {
        Group {
            name,
            cursor,
            entries_read,
            pending: SortedMap::default(),
            by_time: SortedSet::default(),
            ordered: false,
            consumers: BTreeMap::new(),
            next_consumer: 1,
            stamp: 0,
            latest: Due::FIRST_OWNED,
            turn_max: 0,
            names: BTreeMap::new(),
            dirty: Dirty::default(),
        }
    }

    /// The number of a consumer.
    pub(crate) fn consumer_named(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    pub(super) fn add_consumer(&mut self, number: u32, consumer: Consumer) {
        self.names.insert(Arc::clone(&consumer.name), number);
        self.consumers.insert(number, consumer);
        self.next_consumer = self.next_consumer.max(number + 1);
    }

    pub(super) fn remove_consumer(&mut self, number: u32) {
        let Some(consumer) = self.consumers.remove(&number) else { return };
        self.names.remove(&consumer.name);
        for id in consumer.pending.iter() {
            self.forget(id);
        }
        self.dirty.consumers.insert(number);
    }

    /// Notes that a consumer asked, or got something.
    pub(super) fn touch(&mut self, number: u32, now_ms: u64, got: bool) {
        if let Some(consumer) = self.consumers.get_mut(&number) {
            consumer.seen_ms = now_ms;
            if got {
                consumer.active_ms = Some(now_ms);
            }
            self.dirty.consumers.insert(number);
        }
    }

    /// Gives back the memory that is kept for what is delivered next: whoever goes on has it again soon.
    pub(super) fn give_back(&mut self) {
        self.pending.give_back();
        self.by_time.give_back();
        self.consumers.values_mut().for_each(|consumer| consumer.pending.give_back());
    }

    /// Makes an entry pending with a consumer, whoever had it.
    pub(super) fn assign(&mut self, id: Id, consumer: u32, delivered_ms: u64, deliveries: u32) {
        let turn = self.next_turn(id, consumer, delivered_ms);
        let mut pending =
            Pending { delivered_ms, consumer, deliveries, stamp: self.stamp, turn, gone: false, stored: false };
        let before = self.pending.insert(id, pending);
        let is_dirty = !self.dirty.pending.insert(id);
        // What is pending no longer, and to be written all the same, is a row of redb's.
        pending.stored = before.map_or(is_dirty, |before| before.stored);
        if pending.stored
            && let Some(row) = self.pending.get_mut(&id)
        {
            row.stored = true;
        }
        if let Some(before) = before {
            self.disorder(id, &before);
        }
        if before.is_none_or(|before| before.consumer != consumer) {
            let owner = before.and_then(|before| self.consumers.get_mut(&before.consumer));
            owner.into_iter().for_each(|owner| _ = owner.pending.remove(&id));
            let owner = self.consumers.get_mut(&consumer);
            owner.into_iter().for_each(|owner| _ = owner.pending.insert(id));
        }
        self.note_delivery(id, &pending);
        self.order(id, &pending);
    }

    /// The turn of what is delivered next, as at this time.
    pub(super) fn next_turn(&mut self, id: Id, consumer: u32, delivered_ms: u64) -> u16 {
        let last = match delivered_ms.cmp(&self.latest.ms) {
            _ if consumer == NOBODY => return 0,
            Ordering::Greater => return 0,
            Ordering::Equal => self.latest,
            // Claimed as if it had been delivered then, or the clock has gone back. A turn that no delivery had is after all of then.
            Ordering::Less if self.turn_max < u16::MAX => return self.turn_max + 1,
            Ordering::Less => {
                // They have run out. What is kept in order says it exactly.
                self.order_by_time();
                let of_then = |turn, id| Due { owned: true, ms: delivered_ms, turn, id };
                let of_then = of_then(0, Id::MIN)..=of_then(u16::MAX, Id::MAX);
                let Some(last) = self.by_time.range(of_then).next_back() else { return 0 };
                last
            }
        };
        last.turn.saturating_add(u16::from(id < last.id))
    }

    fn note_delivery(&mut self, id: Id, pending: &Pending) {
        if !pending.is_released() {
            self.latest = self.latest.max(Due::of(id, pending));
            self.turn_max = self.turn_max.max(pending.turn);
        }
    }

    /// Notes that these were looked for and are in the stream no more.
    pub(crate) fn note_gone(&mut self, ids: &[Id]) {
        for id in ids {
            self.pending.get_mut(id).into_iter().for_each(|pending| pending.gone = true);
        }
    }

    pub(super) fn ack(&mut self, id: Id) {
        if let Some(pending) = self.forget(id)
            && let Some(owner) = self.consumers.get_mut(&pending.consumer)
        {
            owner.pending.remove(&id);
        }
    }

    fn forget(&mut self, id: Id) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.disorder(id, &pending);
        if pending.stored {
            self.dirty.pending.insert(id);
        } else {
            // Delivered and acknowledged between two checkpoints: redb never hears of it.
            self.dirty.pending.remove(&id);
        }
        Some(pending)
    }

    pub(super) fn load_pending(&mut self, id: Id, mut pending: Pending) {
        pending.stored = true;
        self.note_delivery(id, &pending);
        if let Some(owner) = self.consumers.get_mut(&pending.consumer) {
            owner.pending.insert(id);
        }
        self.pending.insert(id, pending);
        self.order(id, &pending);
    }

    fn order(&mut self, id: Id, pending: &Pending) {
        if self.ordered || pending.is_released() {
            self.by_time.insert(Due::of(id, pending));
        }
    }

    fn disorder(&mut self, id: Id, pending: &Pending) {
        if self.ordered || pending.is_released() {
            self.by_time.remove(&Due::of(id, pending));
        }
    }

    /// Has all that is pending in the order of time from now on. Whoever takes no more than what was released need not pay
    /// for that.
    pub(crate) fn order_by_time(&mut self) {
        if !std::mem::replace(&mut self.ordered, true) {
            self.by_time.extend(self.pending.iter().map(|(&id, pending)| Due::of(id, pending)));
        }
    }

    /// What was released, in the order in which it is to be delivered again.
    pub(crate) fn released(&self) -> impl Iterator<Item = Due> {
        self.by_time.range(..Due::FIRST_OWNED)
    }

    /// What is pending with somebody, what was delivered longest ago first: all of it only after
    /// [`order_by_time`](Self::order_by_time).
    pub(crate) fn owned_by_time(&self) -> impl Iterator<Item = Due> {
        self.by_time.range(Due::FIRST_OWNED..)
    }

    /// The last ID up to which every entry was delivered and is acknowledged.
    pub(crate) fn done_to(&self) -> Id {
        // What is pending may lie after what is new: a cursor can be set back, and a claim forced.
        let before_pending = self.pending.first_key_value().and_then(|(id, _)| id.previous());
        before_pending.map_or(self.cursor, |id| id.min(self.cursor))
    }
}

impl Pending {
    pub(crate) fn new(consumer: u32, delivered_ms: u64, deliveries: u32) -> Pending {
        Pending { delivered_ms, consumer, deliveries, stamp: 0, turn: 0, gone: false, stored: false }
    }

    /// Whether nobody has it.
    pub(crate) fn is_released(&self) -> bool {
        self.consumer == NOBODY
    }

    /// Whether somebody is to have delivered what was delivered at least `min_idle_ms` ago, or is ready for whoever comes.
    pub(crate) fn is_due(&self, now_ms: u64, min_idle_ms: u64) -> bool {
        if self.is_released() { self.delivered_ms <= now_ms } else { self.idle_ms(now_ms) >= min_idle_ms }
    }

    /// How long ago it was delivered, in milliseconds; 0 if the clock has gone back since.
    pub(crate) fn idle_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.delivered_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        /// To one of two consumers, or to nobody.
        Deliver(u64, u32, u64),
        Ack(u64),
        /// What is written of it is read again.
        Reload,
        /// Somebody asks for what is pending by time.
        Order,
        /// No turn is left that no delivery had.
        RunOut,
    }

    /// What redb has of an entry goes once it is acknowledged, however often it was delivered again before a checkpoint.
    #[test]
    fn a_row_is_removed_though_its_entry_was_delivered_again_after_it_was_acknowledged() {
        let mut group = Group::new("g".into(), Id::MIN, None);
        let id = Id::new(1, 1);
        group.load_pending(id, Pending::new(1, 1, 1));
        group.ack(id);
        group.assign(id, 1, 2, 1);
        group.ack(id);
        assert!(group.dirty.pending.iter().eq([id]), "redb has its row");
        let other = Id::new(1, 2);
        group.assign(other, 1, 3, 1);
        group.ack(other);
        assert!(group.dirty.pending.iter().eq([id]), "redb never heard of it");
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            20 => (1..9_u64, 0..3_u32, 0..5_u64).prop_map(|(seq, consumer, ms)| Step::Deliver(seq, consumer, ms)),
            3 => (1..9_u64).prop_map(Step::Ack),
            1 => Just(Step::Reload),
            1 => Just(Step::Order),
            1 => Just(Step::RunOut),
        ]
    }

    fn reloaded(group: &Group) -> Group {
        let mut again = Group::new(Arc::clone(&group.name), group.cursor, None);
        for (&id, row) in &group.pending {
            let written = Pending::new(row.consumer, row.delivered_ms, row.deliveries);
            again.load_pending(id, Pending { turn: row.turn, ..written });
        }
        again
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_pending_by_time_is_in_the_order_of_deliveries_after_it_was_loaded_too(
            steps in proptest::collection::vec(step(), 0..60),
        ) {
            let mut group = Group::new("g".into(), Id::MIN, None);
            let mut expected: BTreeMap<Id, (bool, u64, usize)> = BTreeMap::new();
            for (index, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Deliver(seq, consumer, ms) => {
                        let (id, owned) = (Id::new(1, seq), consumer != NOBODY);
                        group.assign(id, consumer, ms, 1);
                        // What was released at one time is in the order of IDs.
                        expected.insert(id, (owned, ms, if owned { index } else { 0 }));
                    }
                    Step::Ack(seq) => {
                        group.ack(Id::new(1, seq));
                        expected.remove(&Id::new(1, seq));
                    }
                    Step::Reload => group = reloaded(&group),
                    Step::Order => group.order_by_time(),
                    Step::RunOut => group.turn_max = u16::MAX,
                }
            }
            group.order_by_time();
            let mut by_time: Vec<_> = expected.into_iter().map(|(id, place)| (place, id)).collect();
            by_time.sort_unstable();
            let found: Vec<_> = group.released().chain(group.owned_by_time()).map(|due| due.id).collect();
            prop_assert_eq!(found, by_time.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
        }
    }
}
