//! What a stream remembers of its idempotent producers: the latest IDs of each, and the entries that they became (`XADD …
//! IDMP`). Knows no entries, only their IDs.
//!
//! An ID is remembered for a time and while it is among the latest of its producer. What is expired is never found, and is
//! given up when its producer adds again; now and then for all producers, or those that never come back would stay.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::idempotency::Idempotency;

#[derive(Debug, Default)]
pub(crate) struct Producers {
    settings: Idempotency,
    producers: BTreeMap<Vec<u8>, Producer>,
    /// How many entries were ever added with an ID to remember.
    pub(crate) added: u64,
    /// How many adds were ever found to be there already. Written at checkpoints only.
    pub(crate) duplicates: u64,
    /// When what is expired was last given up everywhere.
    swept_ms: u64,
    /// Those that changed since the last checkpoint.
    dirty: BTreeSet<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Producer {
    /// From the oldest to the latest.
    latest: VecDeque<Produced>,
    entries: HashMap<Vec<u8>, (Id, u64)>,
}

/// One remembered ID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Produced {
    pub(crate) id: Vec<u8>,
    pub(crate) entry: Id,
    pub(crate) added_ms: u64,
}

/// A producer's row in redb.
pub(crate) type ProducerRow = Vec<Produced>;

/// The settings and counters, as a stream's row has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProducersRow {
    pub(crate) settings: Idempotency,
    pub(crate) added: u64,
    pub(crate) duplicates: u64,
    pub(crate) swept_ms: u64,
}

impl Producer {
    fn push(&mut self, produced: Produced) {
        self.entries.insert(produced.id.clone(), (produced.entry, produced.added_ms));
        self.latest.push_back(produced);
    }

    fn pop(&mut self) {
        let oldest = self.latest.pop_front();
        // Added again after it was expired: the later one stays.
        if let Some(oldest) = oldest
            && self.entries.get(&oldest.id).is_some_and(|(entry, _)| *entry == oldest.entry)
        {
            self.entries.remove(&oldest.id);
        }
    }

    fn forget_expired(&mut self, is_expired: impl Fn(u64) -> bool) {
        while self.latest.front().is_some_and(|oldest| is_expired(oldest.added_ms)) {
            self.pop();
        }
    }
}

impl Producers {
    pub(crate) fn settings(&self) -> Idempotency {
        self.settings
    }

    fn is_expired(settings: Idempotency, added_ms: u64, now_ms: u64) -> bool {
        now_ms.saturating_sub(added_ms) >= u64::from(settings.seconds) * 1000
    }

    /// The entry that this add became before.
    pub(crate) fn find(&self, producer: &[u8], id: &[u8], now_ms: u64) -> Option<Id> {
        let &(entry, added_ms) = self.producers.get(producer)?.entries.get(id)?;
        (!Producers::is_expired(self.settings, added_ms, now_ms)).then_some(entry)
    }

    /// How many producers, and how many of their IDs, are remembered.
    pub(crate) fn tracked(&self, now_ms: u64) -> (u64, u64) {
        let live = |producer: &Producer| {
            let live = |produced: &&Produced| !Producers::is_expired(self.settings, produced.added_ms, now_ms);
            producer.latest.iter().filter(live).count() as u64
        };
        let counts = self.producers.values().map(live).filter(|count| *count > 0);
        counts.fold((0, 0), |(producers, ids), count| (producers + 1, ids + count))
    }

    /// Changes the settings; everything is forgotten if they are others.
    pub(super) fn set(&mut self, settings: Idempotency) {
        if settings != self.settings {
            self.settings = settings;
            self.dirty.extend(std::mem::take(&mut self.producers).into_keys());
        }
    }

    /// Remembers an add.
    pub(super) fn remember(&mut self, name: &[u8], produced: Produced) {
        let (settings, now_ms) = (self.settings, produced.added_ms);
        let is_expired = |added_ms| Producers::is_expired(settings, added_ms, now_ms);
        if is_expired(self.swept_ms) {
            self.swept_ms = now_ms;
            for (name, producer) in &mut self.producers {
                let before = producer.latest.len();
                producer.forget_expired(is_expired);
                if producer.latest.len() < before {
                    self.dirty.insert(name.clone());
                }
            }
            self.producers.retain(|_, producer| !producer.latest.is_empty());
        }
        let its = self.producers.entry(name.to_vec()).or_default();
        its.forget_expired(is_expired);
        while its.latest.len() >= settings.ids_max as usize {
            its.pop();
        }
        its.push(produced);
        self.added += 1;
        self.dirty.insert(name.to_vec());
    }

    pub(crate) fn row(&self) -> ProducersRow {
        let Producers { settings, added, duplicates, swept_ms, .. } = *self;
        ProducersRow { settings, added, duplicates, swept_ms }
    }

    /// What is remembered of each producer.
    pub(super) fn rows(&self) -> Vec<(Vec<u8>, ProducerRow)> {
        let row = |producer: &Producer| producer.latest.iter().cloned().collect();
        self.producers.iter().map(|(name, producer)| (name.clone(), row(producer))).collect()
    }

    pub(super) fn from_row(row: ProducersRow) -> Producers {
        let ProducersRow { settings, added, duplicates, swept_ms } = row;
        Producers { settings, added, duplicates, swept_ms, ..Producers::default() }
    }

    /// Loads what redb has of one producer.
    pub(crate) fn load(&mut self, name: Vec<u8>, row: ProducerRow) {
        let mut producer = Producer::default();
        row.into_iter().for_each(|produced| producer.push(produced));
        self.producers.insert(name, producer);
    }

    /// Has the next [`take_dirty`](Self::take_dirty) return these producers.
    pub(super) fn mark(&mut self, names: impl Iterator<Item = Vec<u8>>) {
        self.dirty.extend(names);
    }

    /// Has the next [`take_dirty`](Self::take_dirty) return every producer.
    pub(super) fn mark_all(&mut self) {
        self.dirty.extend(self.producers.keys().cloned());
    }

    /// The producers that changed since this was last asked, each with its row if anything of it is remembered.
    pub(super) fn take_dirty(&mut self) -> Vec<(Vec<u8>, Option<ProducerRow>)> {
        let row = |name: &Vec<u8>| self.producers.get(name).map(|producer| producer.latest.iter().cloned().collect());
        std::mem::take(&mut self.dirty).into_iter().map(|name| (name.clone(), row(&name))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remember(producers: &mut Producers, name: &str, id: &str, seq: u64, now_ms: u64) {
        let produced = Produced { id: id.into(), entry: Id::new(1, seq), added_ms: now_ms };
        producers.remember(name.as_bytes(), produced);
    }

    fn find(producers: &Producers, name: &str, id: &str, now_ms: u64) -> Option<u64> {
        producers.find(name.as_bytes(), id.as_bytes(), now_ms).map(|entry| entry.seq)
    }

    #[test]
    fn each_producer_has_its_latest_ids_remembered_for_their_time() {
        let mut producers = Producers::default();
        producers.set(Idempotency::default().seconds(10).unwrap().ids(2).unwrap());
        remember(&mut producers, "p", "a", 1, 0);
        remember(&mut producers, "p", "b", 2, 1000);
        remember(&mut producers, "q", "a", 3, 2000);
        assert_eq!(find(&producers, "p", "a", 9_999), Some(1));
        assert_eq!(find(&producers, "p", "a", 10_000), None, "expired");
        assert_eq!(producers.tracked(9_999), (2, 3));
        assert_eq!(producers.tracked(11_999), (1, 1));
        remember(&mut producers, "p", "c", 4, 3000);
        assert_eq!(find(&producers, "p", "a", 3000), None, "the third pushes the first out");
        assert_eq!(find(&producers, "q", "a", 3000), Some(3));
        assert_eq!((producers.added, producers.tracked(3000)), (4, (2, 3)));
    }

    #[test]
    fn an_id_that_was_expired_and_is_added_again_outlives_its_first_time() {
        let mut producers = Producers::default();
        producers.set(Idempotency::default().seconds(1).unwrap().ids(2).unwrap());
        remember(&mut producers, "p", "a", 1, 500);
        // The clock went back: what is in front is not expired, what is found is.
        remember(&mut producers, "p", "a", 2, 400);
        remember(&mut producers, "p", "b", 3, 450);
        assert_eq!(find(&producers, "p", "a", 450), Some(2));
    }

    #[test]
    fn other_settings_forget_everything_and_the_same_ones_nothing() {
        let mut producers = Producers::default();
        remember(&mut producers, "p", "a", 1, 0);
        producers.take_dirty();
        producers.set(Idempotency::default());
        assert_eq!(find(&producers, "p", "a", 0), Some(1));
        assert!(producers.take_dirty().is_empty());
        producers.set(Idempotency::default().ids(7).unwrap());
        assert_eq!(find(&producers, "p", "a", 0), None);
        assert_eq!(producers.take_dirty(), [(b"p".to_vec(), None)]);
    }

    #[test]
    fn producers_that_do_not_come_back_are_given_up() {
        let mut producers = Producers::default();
        for name in 0..50 {
            remember(&mut producers, &name.to_string(), "a", name, 0);
        }
        producers.take_dirty();
        remember(&mut producers, "p", "a", 100, 100_000);
        assert_eq!(producers.producers.len(), 1);
        assert_eq!(producers.take_dirty().iter().filter(|(_, row)| row.is_none()).count(), 50);
    }

    #[test]
    fn what_is_loaded_is_what_was_written() {
        let mut producers = Producers::default();
        remember(&mut producers, "p", "a", 1, 7);
        remember(&mut producers, "p", "b", 2, 8);
        producers.duplicates = 3;
        let mut again = Producers::from_row(producers.row());
        for (name, row) in producers.take_dirty() {
            again.load(name, row.unwrap());
        }
        assert_eq!(find(&again, "p", "b", 8), Some(2));
        assert_eq!((again.row(), again.tracked(8)), (producers.row(), (1, 2)));
    }
}
