//! What is scheduled, in the model: entries that wait for their time.

use std::collections::BTreeMap;

use streamlog::{Id, IdSpec};

use super::model::next_id;
use super::operation::Fields;

/// When an entry is tried again that could not be added.
const TRY_AGAIN_MS: u64 = 3_600_000;

#[derive(Debug, Clone, Default)]
pub(crate) struct Schedule {
    last_id: Id,
    entries: BTreeMap<Id, Waiting>,
}

#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// `None` once the stream is gone.
    pub(crate) stream: Option<String>,
    due_ms: u64,
    /// When it is next looked at.
    ready_ms: u64,
    pub(crate) fields: Fields,
}

impl Schedule {
    pub(crate) fn add(&mut self, stream: &str, due_ms: u64, fields: &Fields, now_ms: u64) -> Id {
        self.last_id = next_id(IdSpec::Auto, self.last_id, now_ms).expect("there are IDs left");
        let (stream, fields) = (Some(stream.to_owned()), fields.clone());
        self.entries.insert(self.last_id, Waiting { stream, due_ms, ready_ms: due_ms, fields });
        self.last_id
    }

    /// Whether it was there.
    pub(crate) fn cancel(&mut self, stream: &str, id: Id) -> bool {
        let there = self.entries.get(&id).is_some_and(|waiting| waiting.stream.as_deref() == Some(stream));
        there && self.entries.remove(&id).is_some()
    }

    pub(crate) fn stream_is_gone(&mut self, stream: &str) {
        self.of_mut(stream).for_each(|waiting| waiting.stream = None);
    }

    pub(crate) fn stream_is_renamed(&mut self, stream: &str, to: &str) {
        self.of_mut(stream).for_each(|waiting| waiting.stream = Some(to.to_owned()));
    }

    fn of_mut(&mut self, stream: &str) -> impl Iterator<Item = &mut Waiting> {
        self.entries.values_mut().filter(move |waiting| waiting.stream.as_deref() == Some(stream))
    }

    /// What a stream has here, the next first.
    pub(crate) fn of(&self, stream: &str) -> Vec<(u64, Id)> {
        let of_it = self.entries.iter().filter(|(_, waiting)| waiting.stream.as_deref() == Some(stream));
        let mut all: Vec<_> = of_it.map(|(id, waiting)| (waiting.due_ms, *id)).collect();
        all.sort_unstable();
        all
    }

    /// Every ID here.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Id> {
        self.entries.keys().copied()
    }

    /// Takes off what is due, in the order in which it is added.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Vec<(Id, Waiting)> {
        let (due, left) = std::mem::take(&mut self.entries).into_iter().partition(|(_, one)| one.ready_ms <= now_ms);
        self.entries = left;
        let mut due: Vec<(Id, Waiting)> = BTreeMap::into_iter(due).collect();
        due.sort_by_key(|(id, waiting)| (waiting.ready_ms, *id));
        due
    }

    /// Puts back what could not be added.
    pub(crate) fn put_off(&mut self, id: Id, waiting: &Waiting, now_ms: u64) {
        self.entries.insert(id, Waiting { ready_ms: now_ms + TRY_AGAIN_MS, ..waiting.clone() });
    }
}
