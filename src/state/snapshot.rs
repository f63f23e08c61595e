//! The snapshot that each journal file begins with: what redb would be needed for, should it be lost.
//!
//! It is exact, as of the record before the file's first, for streams, retention, last IDs, counters, trim marks, the next
//! number, segments and their positions, deletions, cursors and what idempotent producers added. Of what is pending it has
//! only the oldest ID of each group, and of consumers nothing: losing redb costs redeliveries, never streams, groups or
//! entries, nor an entry twice.

use serde::{Deserialize, Serialize};

use super::delta::{GroupRow, StreamRow};
use super::producers::ProducerRow;
use super::stream_state::StreamState;
use crate::codec::{self, CodecError};
use crate::id::Id;
use crate::journal::Lsn;

const SNAPSHOT_VERSION: u8 = 1;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) next_stream: u64,
    pub(crate) streams: Vec<StreamSnapshot>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StreamSnapshot {
    pub(crate) number: u64,
    pub(crate) row: StreamRow,
    pub(crate) groups: Vec<GroupSnapshot>,
    /// What was deleted from the middle: [`Tombstones::runs`](super::tombstones::Tombstones::runs).
    pub(crate) tombstones: Vec<(u64, u64)>,
    /// What is remembered of each idempotent producer.
    pub(crate) producers: Vec<(Vec<u8>, ProducerRow)>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupSnapshot {
    pub(crate) number: u32,
    pub(crate) row: GroupRow,
    /// The first ID that is pending.
    pub(crate) oldest_pending: Option<Id>,
}

impl StreamSnapshot {
    /// The stream as of the record `lsn`.
    pub(crate) fn of(state: &StreamState, lsn: Lsn) -> StreamSnapshot {
        let groups = state.groups.iter().map(|(&number, group)| GroupSnapshot {
            number,
            row: GroupRow::of(group),
            oldest_pending: group.pending.first_key_value().map(|(&id, _)| id),
        });
        StreamSnapshot {
            number: state.number,
            row: state.row(lsn),
            groups: groups.collect(),
            tombstones: state.tombstones.runs(),
            producers: state.producers.rows(),
        }
    }
}

impl Snapshot {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        codec::encode(SNAPSHOT_VERSION, self, &mut out);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Snapshot, CodecError> {
        codec::decode(SNAPSHOT_VERSION, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::delta::tests::sample;
    use super::super::producers::Produced;
    use super::*;
    use crate::codec::hex;

    #[test]
    fn the_layout_of_a_snapshot_is_pinned() {
        let row =
            GroupRow { name: "billing".to_owned(), cursor: Id::new(1, 2), entries_read: Some(3), next_consumer: 4 };
        let group = GroupSnapshot { number: 1, row, oldest_pending: Some(Id::new(1, 1)) };
        let produced = Produced { id: vec![7, 8], entry: Id::new(1, 2), added_ms: 3 };
        let stream = StreamSnapshot {
            number: 7,
            row: sample(),
            groups: vec![group],
            tombstones: vec![(3, 2), (300, 1)],
            producers: vec![(vec![9], vec![produced])],
        };
        let snapshot = Snapshot { next_stream: 8, streams: vec![stream] };
        let bytes = snapshot.encode();
        let expected = concat!(
            "01080107066f7264657273fd080706050403020101020304050607242508090a0b0c0d0efb2c012223010f011011000100",
            "64641f202112011d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1415161718191a1b1cfd0068e5cf8b01000001000101",
            "0762696c6c696e670102010304010101020302fb2c010101010901020708010203",
        );
        assert_eq!(hex(&bytes), expected);
        assert_eq!(Snapshot::decode(&bytes).unwrap(), snapshot);
    }
}
