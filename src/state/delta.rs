//! What a checkpoint writes of one stream: rows of redb, as of one record. Taken under the stream's lock, owned since.

use serde::{Deserialize, Serialize};

use super::change::Front;
use super::group::{Consumer, Dirty, Group, NOBODY, Pending};
use super::producers::{ProducerRow, Producers, ProducersRow};
use super::sorted::SortedSet;
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
    pub(crate) holes_to: Id,
    pub(crate) trimmed_to: Id,
    pub(crate) front: Front,
    pub(crate) next_ordinal: u64,
    /// The bytes of all frames the stream got.
    pub(crate) next_bytes: u64,
    /// The ID of the last entry that the stream got.
    pub(crate) last_entry_id: Id,
    pub(crate) retention: Retention,
    pub(crate) producers: ProducersRow,
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

/// A pending entry's row with its turn, which few have ([`Pending::turn`]): without one it is written as a [`PendingRow`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TurnRow {
    pub(crate) row: PendingRow,
    pub(crate) turn: u16,
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
    pub(crate) pending: Vec<(u32, Id, Option<TurnRow>)>,
    pub(crate) producers: Vec<(Vec<u8>, Option<ProducerRow>)>,
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
    pub(super) fn of(consumer: &Consumer) -> ConsumerRow {
        let Consumer { name, seen_ms, active_ms, .. } = consumer;
        ConsumerRow { name: name.to_string(), seen_ms: *seen_ms, active_ms: *active_ms }
    }
}

impl PendingRow {
    pub(super) fn of(pending: &Pending) -> PendingRow {
        let Pending { consumer, delivered_ms, deliveries, .. } = *pending;
        PendingRow { consumer, delivered_ms, deliveries }
    }
}

impl TurnRow {
    fn of(pending: &Pending) -> TurnRow {
        TurnRow { row: PendingRow::of(pending), turn: pending.turn }
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
            holes_to: self.holes_to,
            trimmed_to: self.trimmed_to,
            front: self.front,
            next_ordinal: self.log.next_ordinal(),
            next_bytes: self.log.next_bytes(),
            last_entry_id: self.log.last_id(),
            retention: self.retention,
            producers: self.producers.row(),
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
            producers: self.producers.take_dirty(),
            dropped: self.log.take_dropped(),
        };
        for (&number, group) in &mut self.groups {
            let dirty = std::mem::take(&mut group.dirty);
            group.give_back();
            if dirty.row {
                delta.groups.push((number, GroupRow::of(group)));
            }
            for consumer in dirty.consumers {
                delta.consumers.push((number, consumer, group.consumers.get(&consumer).map(ConsumerRow::of)));
            }
            for id in dirty.pending.iter() {
                let pending = group.pending.get_mut(&id);
                delta.pending.push((number, id, pending.as_deref().map(TurnRow::of)));
                if let Some(pending) = pending {
                    pending.stored = true;
                }
            }
        }
        Some(delta)
    }

    /// Takes back a delta that was not committed: the next one has what it had, and what changed since.
    pub(crate) fn put_back(&mut self, delta: StreamDelta) {
        self.dirty = true;
        self.dead_groups.extend(delta.dead_groups);
        self.tombstones.mark(delta.tombstones.iter().map(|(group, _)| *group));
        self.producers.mark(delta.producers.into_iter().map(|(name, _)| name));
        self.log.put_back(delta.dropped, &delta.hollowed);
        let mut dirty = |number, mark: &mut dyn FnMut(&mut Dirty)| {
            if let Some(group) = self.groups.get_mut(&number) {
                mark(&mut group.dirty);
            }
        };
        for (group, _) in delta.groups {
            dirty(group, &mut |dirty| dirty.row = true);
        }
        for (group, consumer, _) in delta.consumers {
            dirty(group, &mut |dirty| _ = dirty.consumers.insert(consumer));
        }
        for (number, id, _) in delta.pending {
            let Some(group) = self.groups.get_mut(&number) else { continue };
            group.dirty.pending.insert(id);
            // Delivered again since: redb may have the row that was to be removed.
            if let Some(pending) = group.pending.get_mut(&id) {
                pending.stored = true;
            }
        }
    }

    /// The stream that a row describes, without its groups.
    pub(crate) fn from_row(number: u64, row: StreamRow) -> StreamState {
        let mut state = StreamState::new(number, row.name.into(), row.incarnation);
        state.last_id = row.last_id;
        state.entries_added = row.entries_added;
        state.length = row.length;
        state.max_deleted_id = row.max_deleted_id;
        state.holes_to = row.holes_to;
        state.trimmed_to = row.trimmed_to;
        state.front = row.front;
        state.retention = row.retention;
        state.producers = Producers::from_row(row.producers);
        state.next_group = row.next_group;
        let (front, next) = (row.front.ordinal, row.next_ordinal);
        state.log = StreamLog::new(number, row.segments, front, next, row.next_bytes, row.last_entry_id);
        // The row may be from between a trim and its publication: then the next checkpoint gives up the segments.
        state.log.forget_before(row.front.ordinal);
        state.dirty = state.log.has_dropped();
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
        group.add_consumer(number, Consumer { name: name.into(), seen_ms, active_ms, pending: SortedSet::default() });
        true
    }

    /// Loads a pending entry's row; `false` if there is no such group or consumer.
    pub(crate) fn load_pending(&mut self, group: u32, id: Id, TurnRow { row, turn }: TurnRow) -> bool {
        let Some(group) = self.groups.get_mut(&group) else { return false };
        if row.consumer != NOBODY && !group.consumers.contains_key(&row.consumer) {
            return false;
        }
        group.load_pending(id, Pending { turn, ..Pending::new(row.consumer, row.delivered_ms, row.deliveries) });
        true
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fmt::Debug;
    use std::time::Duration;

    use serde::de::DeserializeOwned;

    use super::super::producers::Produced;
    use super::*;
    use crate::codec::{hex, seal, unseal};
    use crate::idempotency::Idempotency;

    /// Asserts that a row is sealed to these bytes, and that they say the same again.
    pub(crate) fn pinned<T: Serialize + DeserializeOwned + PartialEq + Debug>(row: &T, expected: &str) {
        let sealed = seal(1, row);
        assert_eq!(hex(&sealed), expected);
        assert_eq!(unseal::<T>(1, &sealed).unwrap(), *row);
    }

    /// A row with a different value in each place.
    pub(crate) fn sample() -> StreamRow {
        let position = Position {
            identity: [0x1d; 16],
            first_id: Id::new(20, 21),
            last_id: Id::new(22, 23),
            first_ordinal: 24,
            next_ordinal: 25,
            base_bytes: 26,
            begin: 27,
            end: 28,
            created_ms: 1_700_000_000_000,
            sealed: true,
            hollow: false,
        };
        StreamRow {
            name: "orders".to_owned(),
            incarnation: 0x0102_0304_0506_0708,
            covered: 1,
            last_id: Id::new(2, 3),
            entries_added: 4,
            length: 5,
            max_deleted_id: Id::new(6, 7),
            holes_to: Id::new(36, 37),
            trimmed_to: Id::new(8, 9),
            front: Front { ordinal: 10, bytes: 11, id: Id::new(12, 13) },
            next_ordinal: 14,
            next_bytes: 300,
            last_entry_id: Id::new(34, 35),
            retention: Retention::default().max_len(15).max_age(Duration::new(16, 17)).acknowledged(),
            producers: ProducersRow { settings: Idempotency::default(), added: 31, duplicates: 32, swept_ms: 33 },
            next_group: 18,
            segments: vec![position],
        }
    }

    #[test]
    fn the_layout_of_a_streams_row_is_pinned() {
        pinned(
            &sample(),
            concat!(
                "2b61f92d01066f7264657273fd080706050403020101020304050607242508090a0b0c0d0efb2c012223010f0110110001006464",
                "1f202112011d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1415161718191a1b1cfd0068e5cf8b0100000100",
            ),
        );
    }

    #[test]
    fn the_layouts_of_the_rows_of_groups_consumers_and_pending_entries_are_pinned() {
        let mut group =
            GroupRow { name: "billing".to_owned(), cursor: Id::new(1, 2), entries_read: Some(3), next_consumer: 4 };
        pinned(&group, "91fd8c14010762696c6c696e670102010304");
        group.entries_read = None;
        pinned(&group, "dc0ab405010762696c6c696e6701020004");
        let mut consumer = ConsumerRow { name: "worker".to_owned(), seen_ms: 1_700_000_000_000, active_ms: Some(5) };
        pinned(&consumer, "3dc166320106776f726b6572fd0068e5cf8b0100000105");
        consumer.active_ms = None;
        pinned(&consumer, "999ec0c60106776f726b6572fd0068e5cf8b01000000");
        pinned(
            &PendingRow { consumer: 6, delivered_ms: 1_700_000_000_000, deliveries: 7 },
            "f0aab1bf0106fd0068e5cf8b01000007",
        );
        let produced = Produced { id: vec![7, 8], entry: Id::new(1, 2), added_ms: 3 };
        pinned::<ProducerRow>(&vec![produced], "b8d85e9f0101020708010203");
    }
}
