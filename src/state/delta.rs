//! What a checkpoint writes of one stream: rows of redb, as of one record. Taken under the stream's lock, owned since.

use serde::{Deserialize, Serialize};

use super::change::Front;
use super::group::{Consumer, Group, Pending};
use super::stream_state::StreamState;
use super::tombstones::Bits;
use crate::id::Id;
use crate::journal::Lsn;
use crate::log::{Position, Segment, StreamLog};
use crate::trim::Retention;

/// A stream's row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StreamRow {
    pub(crate) name: String,
    pub(crate) incarnation: u64,
    /// Every record up to this one is in the stream's rows.
    pub(crate) covered: Lsn,
    pub(crate) last_id: Id,
    pub(crate) entries_added: u64,
    pub(crate) length: u64,
    pub(crate) max_deleted_id: Id,
    pub(crate) trimmed_to: Id,
    pub(crate) front: Front,
    pub(crate) next_ordinal: u64,
    /// The bytes of all frames the stream got.
    pub(crate) next_bytes: u64,
    pub(crate) retention: Retention,
    pub(crate) next_group: u32,
    pub(crate) segments: Vec<Position>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupRow {
    pub(crate) name: String,
    pub(crate) cursor: Id,
    pub(crate) entries_read: Option<u64>,
    pub(crate) next_consumer: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConsumerRow {
    pub(crate) name: String,
    pub(crate) seen_ms: u64,
    pub(crate) active_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PendingRow {
    pub(crate) consumer: u32,
    pub(crate) delivered_ms: u64,
    pub(crate) deliveries: u32,
}

/// The rows of one stream that changed; `None` for one that is gone.
#[derive(Debug)]
pub(crate) struct StreamDelta {
    pub(crate) stream: u64,
    pub(crate) row: StreamRow,
    pub(crate) dead_groups: Vec<u32>,
    pub(crate) tombstones: Vec<(u64, Option<Bits>)>,
    pub(crate) groups: Vec<(u32, GroupRow)>,
    pub(crate) consumers: Vec<(u32, u32, Option<ConsumerRow>)>,
    pub(crate) pending: Vec<(u32, Id, Option<PendingRow>)>,
    /// Segments whose files nothing will name once this is committed.
    pub(crate) dropped: Vec<Id>,
    /// Segments whose files are to be cut to their headers then.
    pub(crate) hollowed: Vec<Id>,
}

impl StreamDelta {
    /// Notes what the flush that belongs to this delta wrote.
    pub(crate) fn add_segments(&mut self, written: &[Segment]) {
        for Segment { position, .. } in written {
            match self.row.segments.last_mut() {
                Some(last) if last.first_id == position.first_id => *last = position.clone(),
                _ => self.row.segments.push(position.clone()),
            }
        }
    }
}

impl GroupRow {
    pub(crate) fn of(group: &Group) -> GroupRow {
        let Group { name, cursor, entries_read, next_consumer, .. } = group;
        GroupRow { name: name.to_string(), cursor: *cursor, entries_read: *entries_read, next_consumer: *next_consumer }
    }
}

impl ConsumerRow {
    fn of(consumer: &Consumer) -> ConsumerRow {
        let Consumer { name, seen_ms, active_ms, .. } = consumer;
        ConsumerRow { name: name.to_string(), seen_ms: *seen_ms, active_ms: *active_ms }
    }
}

impl PendingRow {
    fn of(pending: &Pending) -> PendingRow {
        let Pending { consumer, delivered_ms, deliveries, .. } = *pending;
        PendingRow { consumer, delivered_ms, deliveries }
    }
}

impl StreamState {
    /// The stream's row as of the record `covered`.
    pub(crate) fn row(&self, covered: Lsn) -> StreamRow {
        StreamRow {
            name: self.name.to_string(),
            incarnation: self.incarnation,
            covered,
            last_id: self.last_id,
            entries_added: self.entries_added,
            length: self.length,
            max_deleted_id: self.max_deleted_id,
            trimmed_to: self.trimmed_to,
            front: self.front,
            next_ordinal: self.log.next_ordinal(),
            next_bytes: self.log.next_bytes(),
            retention: self.retention,
            next_group: self.next_group,
            segments: self.log.segments().map(|segment| segment.position.clone()).collect(),
        }
    }

    /// Takes what changed since the last checkpoint; `None` if nothing did. The caller takes the tail with it.
    pub(crate) fn take_delta(&mut self, covered: Lsn) -> Option<StreamDelta> {
        if !std::mem::take(&mut self.dirty) {
            return None;
        }
        let tombstones = &self.tombstones;
        let hollowed =
            if tombstones.is_empty() { Vec::new() } else { self.log.hollow_out(|from, to| tombstones.count(from, to)) };
        let mut delta = StreamDelta {
            stream: self.number,
            hollowed,
            row: self.row(covered),
            dead_groups: std::mem::take(&mut self.dead_groups).into_iter().collect(),
            tombstones: self.tombstones.take_dirty(),
            groups: Vec::new(),
            consumers: Vec::new(),
            pending: Vec::new(),
            dropped: self.log.take_dropped(),
        };
        for (&number, group) in &mut self.groups {
            let dirty = std::mem::take(&mut group.dirty);
            if dirty.row {
                delta.groups.push((number, GroupRow::of(group)));
            }
            for consumer in dirty.consumers {
                delta.consumers.push((number, consumer, group.consumers.get(&consumer).map(ConsumerRow::of)));
            }
            for id in dirty.pending {
                let pending = group.pending.get_mut(&id);
                delta.pending.push((number, id, pending.as_deref().map(PendingRow::of)));
                if let Some(pending) = pending {
                    pending.stored = true;
                }
            }
        }
        Some(delta)
    }

    /// The stream that a row describes, without its groups.
    pub(crate) fn from_row(number: u64, row: StreamRow) -> StreamState {
        let mut state = StreamState::new(number, row.name.into(), row.incarnation);
        state.last_id = row.last_id;
        state.entries_added = row.entries_added;
        state.length = row.length;
        state.max_deleted_id = row.max_deleted_id;
        state.trimmed_to = row.trimmed_to;
        state.front = row.front;
        state.retention = row.retention;
        state.next_group = row.next_group;
        state.log = StreamLog::new(number, row.segments, row.front.ordinal, row.next_ordinal, row.next_bytes);
        state.dirty = false;
        state
    }

    pub(crate) fn load_group(&mut self, number: u32, row: GroupRow) {
        let next_group = self.next_group;
        let mut group = Group::new(row.name.into(), row.cursor, row.entries_read);
        group.next_consumer = row.next_consumer;
        self.insert_group(number, group);
        self.next_group = self.next_group.max(next_group);
    }

    /// Loads a consumer's row; `false` if there is no such group.
    pub(crate) fn load_consumer(&mut self, group: u32, number: u32, row: ConsumerRow) -> bool {
        let Some(group) = self.groups.get_mut(&group) else { return false };
        let ConsumerRow { name, seen_ms, active_ms } = row;
        group.add_consumer(
            number,
            Consumer { name: name.into(), seen_ms, active_ms, pending: std::collections::BTreeSet::new() },
        );
        true
    }

    /// Loads a pending entry's row; `false` if there is no such group or consumer.
    pub(crate) fn load_pending(&mut self, group: u32, id: Id, row: &PendingRow) -> bool {
        let Some(group) = self.groups.get_mut(&group) else { return false };
        if !group.consumers.contains_key(&row.consumer) {
            return false;
        }
        group.load_pending(id, Pending::new(row.consumer, row.delivered_ms, row.deliveries));
        true
    }
}
