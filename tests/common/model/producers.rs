//! What a stream of the model remembers of idempotent producers.

use std::collections::BTreeMap;

use streamlog::{Id, Idempotent};

use crate::common::operation::Fields;

#[derive(Debug, Clone)]
pub(crate) struct Producers {
    pub(crate) seconds: u32,
    pub(crate) ids_max: u32,
    pub(crate) added: u64,
    /// When what is expired was last forgotten.
    swept_ms: u64,
    /// Of each producer its latest: what makes them the same, the entry, the time.
    pub(super) latest: BTreeMap<Vec<u8>, Vec<(Once, Id, u64)>>,
}

/// What makes two adds of a producer the same.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Once {
    Id(Vec<u8>),
    Content(Fields),
}

impl Once {
    pub(super) fn of(idempotent: &Idempotent, fields: &Fields) -> Once {
        match idempotent.id() {
            Some(id) => Once::Id(id.to_vec()),
            None => {
                let mut content = fields.clone();
                content.sort();
                Once::Content(content)
            }
        }
    }
}

impl Default for Producers {
    fn default() -> Producers {
        Producers { seconds: 100, ids_max: 100, added: 0, swept_ms: 0, latest: BTreeMap::new() }
    }
}

impl Producers {
    fn is_expired(&self, then_ms: u64, now_ms: u64) -> bool {
        now_ms.saturating_sub(then_ms) >= u64::from(self.seconds) * 1000
    }

    /// How many producers, and how many of their IDs, are remembered.
    pub(super) fn tracked(&self, now_ms: u64) -> (u64, u64) {
        let live = |latest: &Vec<(Once, Id, u64)>| latest.iter().filter(|one| !self.is_expired(one.2, now_ms)).count();
        let counts: Vec<usize> = self.latest.values().map(live).filter(|count| *count > 0).collect();
        (counts.len() as u64, counts.iter().sum::<usize>() as u64)
    }

    pub(super) fn find(&self, producer: &[u8], once: &Once, now_ms: u64) -> Option<Id> {
        let last = self.latest.get(producer)?.iter().rev().find(|(other, ..)| other == once)?;
        (!self.is_expired(last.2, now_ms)).then_some(last.1)
    }

    pub(super) fn remember(&mut self, producer: &[u8], once: Once, entry: Id, now_ms: u64) {
        let duration = u64::from(self.seconds) * 1000;
        let expire = |latest: &mut Vec<(Once, Id, u64)>| {
            let live = latest.iter().position(|(.., then_ms)| now_ms.saturating_sub(*then_ms) < duration);
            drop(latest.drain(..live.unwrap_or(latest.len())));
        };
        if self.is_expired(self.swept_ms, now_ms) {
            self.swept_ms = now_ms;
            self.latest.values_mut().for_each(expire);
        }
        let latest = self.latest.entry(producer.to_vec()).or_default();
        expire(latest);
        while latest.len() >= self.ids_max as usize {
            latest.remove(0);
        }
        latest.push((once, entry, now_ms));
        self.added += 1;
    }
}
