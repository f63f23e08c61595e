//! One stream: its entries, counters and groups, and the one way in which they change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::change::{Change, Front};
use super::group::{Consumer, Group, NOBODY};
use super::producers::{Produced, Producers};
use super::sorted::SortedSet;
use super::tombstones::Tombstones;
use crate::id::Id;
use crate::log::StreamLog;
use crate::trim::Retention;

#[derive(Debug)]
pub(crate) struct StreamState {
    /// Never used again for another stream.
    pub(crate) number: u64,
    /// Random; with the number it ties the stream's files to it. What is scheduled is for whoever has this: one that is made
    /// anew keeps it.
    pub(crate) incarnation: u64,
    pub(crate) name: Arc<str>,
    /// The last ID added or set: deleting and trimming do not move it. Never less than the log's last.
    pub(crate) last_id: Id,
    /// How many entries were ever added, or were said to be.
    pub(crate) entries_added: u64,
    /// Entries that are there: neither trimmed nor deleted.
    pub(crate) length: u64,
    /// The greatest ID ever deleted from the middle, or said to be; trimming does not move it.
    pub(crate) max_deleted_id: Id,
    /// The greatest ID that was deleted from the middle, whatever is said, or that the last ID was set back from: what was delivered
    /// after it, from the front on, is there.
    pub(crate) holes_to: Id,
    /// The last ID trimmed.
    pub(crate) trimmed_to: Id,
    pub(crate) front: Front,
    pub(crate) tombstones: Tombstones,
    pub(crate) retention: Retention,
    pub(crate) producers: Producers,
    pub(crate) groups: BTreeMap<u32, Group>,
    pub(crate) next_group: u32,
    /// Sorted, not hashed: there are few, and what each is asked for costs less than a hash.
    names: BTreeMap<Arc<str>, u32>,
    pub(crate) log: StreamLog,
    /// Whether anything of the stream, its groups included, changed since the last checkpoint.
    pub(super) dirty: bool,
    /// Groups destroyed since the last checkpoint.
    pub(super) dead_groups: BTreeSet<u32>,
}

impl StreamState {
    /// A stream as it is when it was just created.
    pub(crate) fn new(number: u64, name: Arc<str>, incarnation: u64) -> StreamState {
        StreamState {
            number,
            incarnation,
            name,
            last_id: Id::MIN,
            entries_added: 0,
            length: 0,
            max_deleted_id: Id::MIN,
            holes_to: Id::MIN,
            trimmed_to: Id::MIN,
            front: Front::default(),
            tombstones: Tombstones::default(),
            retention: Retention::default(),
            producers: Producers::default(),
            groups: BTreeMap::new(),
            next_group: 1,
            names: BTreeMap::new(),
            log: StreamLog::new(number, [], 0, 0, 0, Id::MIN),
            dirty: true,
            dead_groups: BTreeSet::new(),
        }
    }

    pub(crate) fn group_named(&self, name: &str) -> Option<(u32, &Group)> {
        let number = *self.names.get(name)?;
        self.groups.get(&number).map(|group| (number, group))
    }

    pub(super) fn insert_group(&mut self, number: u32, group: Group) {
        self.names.insert(Arc::clone(&group.name), number);
        self.groups.insert(number, group);
        self.next_group = self.next_group.max(number + 1);
    }

    /// Adds an entry.
    pub(crate) fn apply_entry(&mut self, id: Id, body: &[u8]) {
        if self.length == 0 {
            self.front = Front { ordinal: self.log.next_ordinal(), bytes: self.log.next_bytes(), id };
        }
        self.log.append(id, body);
        self.last_id = id;
        // It may have been said to be anything.
        self.entries_added = self.entries_added.saturating_add(1);
        self.length += 1;
        self.dirty = true;
    }

    /// Makes a recorded change. What no longer makes sense (an ack of what is not pending) changes nothing.
    pub(crate) fn apply(&mut self, change: &Change) {
        self.dirty = true;
        match change {
            Change::CreateStream { .. } | Change::DeleteStream => {}
            Change::Trim { front, last, removed } => {
                self.trimmed_to = self.trimmed_to.max(*last);
                self.length -= removed;
                self.front = *front;
            }
            Change::Delete { entries, front } => {
                for &(id, ordinal) in entries {
                    self.tombstones.insert(ordinal);
                    self.max_deleted_id = self.max_deleted_id.max(id);
                    self.holes_to = self.holes_to.max(id);
                }
                self.length -= entries.len() as u64;
                self.front = *front;
            }
            Change::TrimSome { runs, front, last, removed } => {
                for &(first, len) in runs {
                    (first..first + len).for_each(|ordinal| self.tombstones.insert(ordinal));
                }
                self.trimmed_to = self.trimmed_to.max(*last);
                self.length -= removed;
                self.front = *front;
            }
            Change::SetLast { last_id, entries_added, max_deleted_id } => {
                if *last_id < self.last_id {
                    // What was trimmed may be pending still, and would lie after a front to come.
                    self.holes_to = self.holes_to.max(self.last_id);
                }
                (self.last_id, self.entries_added) = (*last_id, *entries_added);
                self.max_deleted_id = *max_deleted_id;
                self.trimmed_to = self.trimmed_to.min(*last_id);
            }
            Change::Rename { name } => self.name = name.as_str().into(),
            Change::Adopt(adopted) => self.adopt(adopted),
            Change::SetRetention(retention) => self.retention = *retention,
            Change::SetIdempotency(settings) => self.producers.set(*settings),
            Change::Produced { producer, id, entry, now_ms } => {
                self.producers.remember(producer, Produced { id: id.clone(), entry: *entry, added_ms: *now_ms });
            }
            Change::CreateGroup { group, name, cursor, entries_read } => {
                let mut created = Group::new(name.as_str().into(), *cursor, *entries_read);
                created.dirty.row = true;
                self.insert_group(*group, created);
            }
            Change::DestroyGroup { group } => {
                if let Some(destroyed) = self.groups.remove(group) {
                    self.names.remove(&destroyed.name);
                    self.dead_groups.insert(*group);
                }
            }
            Change::SetCursor { group, .. }
            | Change::CreateConsumer { group, .. }
            | Change::DeleteConsumer { group, .. }
            | Change::Deliver { group, .. }
            | Change::Assign { group, .. }
            | Change::Redeliver { group, .. }
            | Change::Release { group, .. }
            | Change::Ack { group, .. } => {
                if let Some(group) = self.groups.get_mut(group) {
                    group.apply(change);
                }
            }
        }
    }

    /// Notes that a consumer asked and got nothing. No record is written for this: the next checkpoint has it.
    pub(crate) fn touch(&mut self, group: u32, consumer: u32, now_ms: u64) {
        if let Some(group) = self.groups.get_mut(&group) {
            group.touch(consumer, now_ms, false);
            self.dirty = true;
        }
    }

    /// Notes that an add was found to be there already, as [`touch`](Self::touch) notes what it does.
    pub(crate) fn count_duplicate(&mut self) {
        self.producers.duplicates += 1;
        self.dirty = true;
    }

    /// Gives back what is kept of the entries before `ordinal`, which is at most the front's: apart from the changes, for
    /// readers may see such entries until a change is published.
    pub(crate) fn forget_before(&mut self, ordinal: u64) {
        self.log.forget_before(ordinal);
        self.tombstones.forget_before(ordinal);
    }

    /// Has the next checkpoint write everything, for a redb that has nothing of the stream yet.
    pub(crate) fn mark_all(&mut self) {
        self.dirty = true;
        self.tombstones.mark_all();
        self.producers.mark_all();
        for group in self.groups.values_mut() {
            group.dirty.row = true;
            group.dirty.consumers.extend(group.consumers.keys());
            group.dirty.pending.extend(group.pending.keys().copied());
        }
    }

    /// The last ID up to which every group was delivered and has acknowledged every entry; `None` with no group.
    pub(crate) fn acknowledged_to(&self) -> Option<Id> {
        self.groups.values().map(Group::done_to).min()
    }
}

impl Group {
    fn apply(&mut self, change: &Change) {
        match *change {
            Change::SetCursor { cursor, entries_read, .. } => {
                self.cursor = cursor;
                self.entries_read = entries_read;
                self.dirty.row = true;
            }
            Change::CreateConsumer { consumer, ref name, now_ms, .. } => {
                let name = name.as_str().into();
                let created = Consumer { name, seen_ms: now_ms, active_ms: None, pending: SortedSet::default() };
                self.add_consumer(consumer, created);
                self.dirty.row = true;
                self.dirty.consumers.insert(consumer);
            }
            Change::DeleteConsumer { consumer, .. } => self.remove_consumer(consumer),
            Change::Deliver { consumer, now_ms, ref ids, cursor, entries_read, .. } => {
                for &id in ids {
                    self.assign(id, consumer, now_ms, 1);
                }
                self.cursor = cursor;
                self.entries_read = entries_read;
                self.dirty.row = true;
                // What is acknowledged as it is delivered is not what a consumer is active with: so Redis has it.
                self.touch(consumer, now_ms, !ids.is_empty());
            }
            Change::Assign { consumer, now_ms, delivered_ms, ref ids, .. } => {
                for &(id, deliveries) in ids {
                    self.assign(id, consumer, delivered_ms, deliveries);
                }
                self.touch(consumer, now_ms, true);
            }
            Change::Redeliver { consumer, now_ms, ref ids, .. } => {
                for &(id, deliveries) in ids {
                    self.assign(id, consumer, now_ms, deliveries);
                }
                self.touch(consumer, now_ms, false);
            }
            Change::Release { ready_ms, ref ids, .. } => {
                for &(id, deliveries) in ids {
                    self.assign(id, NOBODY, ready_ms, deliveries);
                }
            }
            Change::Ack { ref ids, .. } => ids.iter().for_each(|&id| self.ack(id)),
            Change::CreateStream { .. }
            | Change::DeleteStream
            | Change::Trim { .. }
            | Change::Delete { .. }
            | Change::SetRetention(_)
            | Change::SetIdempotency(_)
            | Change::Produced { .. }
            | Change::TrimSome { .. }
            | Change::SetLast { .. }
            | Change::Rename { .. }
            | Change::Adopt(_)
            | Change::CreateGroup { .. }
            | Change::DestroyGroup { .. } => {}
        }
    }
}
