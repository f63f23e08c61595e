//! What a copy of a stream has besides its entries: counters, settings, groups and what is pending in them, as one change.
//!
//! Rows are those that redb has too ([`delta`](super::delta)). Knows no entries: they are added by the same record, before
//! this.

use serde::{Deserialize, Serialize};

use super::delta::{ConsumerRow, GroupRow, PendingRow, TurnRow};
use super::group::Due;
use super::producers::{ProducerRow, ProducersRow};
use super::stream_state::StreamState;
use crate::id::Id;
use crate::trim::Retention;

/// Everything of a stream but its entries and its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Adopted {
    pub(crate) last_id: Id,
    pub(crate) entries_added: u64,
    pub(crate) max_deleted_id: Id,
    pub(crate) holes_to: Id,
    pub(crate) trimmed_to: Id,
    pub(crate) retention: Retention,
    pub(crate) producers: ProducersRow,
    pub(crate) remembered: Vec<(Vec<u8>, ProducerRow)>,
    pub(crate) next_group: u32,
    pub(crate) groups: Vec<AdoptedGroup>,
}

/// A group of a stream that is copied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AdoptedGroup {
    pub(crate) number: u32,
    pub(crate) row: GroupRow,
    pub(crate) consumers: Vec<(u32, ConsumerRow)>,
    /// Of what was delivered in one millisecond, what comes first here came first.
    pub(crate) pending: Vec<(Id, PendingRow)>,
}

impl Adopted {
    /// What a copy of the stream is to have. What was delivered in one millisecond is in the order of IDs there: so Redis has it.
    pub(crate) fn of(state: &StreamState) -> Adopted {
        let groups = state.groups.iter().map(|(&number, group)| AdoptedGroup {
            number,
            row: GroupRow::of(group),
            consumers: group.consumers.iter().map(|(&number, consumer)| (number, ConsumerRow::of(consumer))).collect(),
            pending: group.pending.iter().map(|(&id, pending)| (id, PendingRow::of(pending))).collect(),
        });
        Adopted {
            last_id: state.last_id,
            entries_added: state.entries_added,
            max_deleted_id: state.max_deleted_id,
            holes_to: state.holes_to,
            trimmed_to: state.trimmed_to,
            retention: state.retention,
            producers: state.producers.row(),
            remembered: state.producers.rows(),
            next_group: state.next_group,
            groups: groups.collect(),
        }
    }

    /// What the stream itself is to have, made anew.
    pub(crate) fn anew(state: &StreamState) -> Adopted {
        let mut adopted = Adopted::of(state);
        for AdoptedGroup { number, pending, .. } in &mut adopted.groups {
            let rows = &state.groups[number].pending;
            pending.sort_unstable_by_key(|(id, _)| Due::of(*id, &rows[id]));
        }
        adopted
    }
}

impl StreamState {
    /// Makes a stream that was just created, and has its entries, the copy of another.
    pub(super) fn adopt(&mut self, adopted: &Adopted) {
        let Adopted { last_id, entries_added, max_deleted_id, trimmed_to, retention, .. } = *adopted;
        (self.last_id, self.entries_added, self.retention) = (last_id, entries_added, retention);
        (self.max_deleted_id, self.trimmed_to, self.holes_to) = (max_deleted_id, trimmed_to, adopted.holes_to);
        self.producers = super::producers::Producers::from_row(adopted.producers);
        for (name, row) in &adopted.remembered {
            self.producers.load(name.clone(), row.clone());
        }
        self.next_group = adopted.next_group;
        for AdoptedGroup { number, row, consumers, pending } in &adopted.groups {
            self.load_group(*number, row.clone());
            for (consumer, row) in consumers {
                self.load_consumer(*number, *consumer, row.clone());
            }
            let mut pending: Vec<_> = pending.iter().collect();
            pending.sort_by_key(|(_, row)| row.delivered_ms);
            for (id, row) in pending {
                let group = self.groups.get_mut(number);
                let turn = group.map_or(0, |group| group.next_turn(*id, row.consumer, row.delivered_ms));
                self.load_pending(*number, *id, TurnRow { row: row.clone(), turn });
            }
        }
        self.mark_all();
    }

    /// Takes over from the stream that this is a copy of what no record has: which deliveries were made before which handles.
    pub(crate) fn stamp_as(&mut self, state: &StreamState) {
        for (number, group) in &mut self.groups {
            let Some(source) = state.groups.get(number) else { continue };
            for (id, pending) in &mut group.pending {
                pending.stamp = source.pending.get(id).map_or(pending.stamp, |source| source.stamp);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::{CHANGE_VERSION, Change};
    use super::super::producers::Produced;
    use super::*;
    use crate::codec;

    /// Adopted state with a different value in each place.
    fn sample() -> Adopted {
        let produced = Produced { id: vec![20], entry: Id::new(21, 22), added_ms: 23 };
        let consumer = ConsumerRow { name: "c".to_owned(), seen_ms: 11, active_ms: Some(12) };
        let group = AdoptedGroup {
            number: 7,
            row: GroupRow { name: "g".to_owned(), cursor: Id::new(8, 9), entries_read: None, next_consumer: 11 },
            consumers: vec![(10, consumer)],
            pending: vec![(Id::new(13, 14), PendingRow { consumer: 10, delivered_ms: 16, deliveries: 17 })],
        };
        Adopted {
            last_id: Id::new(31, 32),
            entries_added: 3,
            max_deleted_id: Id::new(4, 5),
            holes_to: Id::new(33, 34),
            trimmed_to: Id::new(5, 6),
            retention: Retention::default().max_len(18),
            producers: ProducersRow { added: 24, duplicates: 25, swept_ms: 26, ..ProducersRow::default() },
            remembered: vec![(vec![27], vec![produced])],
            next_group: 8,
            groups: vec![group],
        }
    }

    #[test]
    fn the_layout_of_an_adopted_stream_is_pinned() {
        let change = Change::Adopt(Box::new(sample()));
        let mut bytes = Vec::new();
        codec::encode(CHANGE_VERSION, &change, &mut bytes);
        let expected = concat!(
            "01141f2003040521220506011200000000646418191a01011b01011415161708010701670809000b010a01630b010c010d0e",
            "0a1011",
        );
        assert_eq!(codec::hex(&bytes), expected);
        assert_eq!(codec::decode::<Change>(CHANGE_VERSION, &bytes).unwrap(), change);
    }

    #[test]
    fn a_copy_of_a_copy_is_the_same() {
        let mut copy = StreamState::new(2, "copy".into(), 3);
        copy.adopt(&sample());
        assert_eq!(Adopted::of(&copy), sample());
        let delta = copy.take_delta(5).unwrap();
        assert_eq!(
            (delta.groups.len(), delta.consumers.len(), delta.pending.len(), delta.producers.len()),
            (1, 1, 1, 1)
        );
    }
}
