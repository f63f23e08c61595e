//! The snapshot that each journal file begins with: what redb would be needed for, should it be lost.
//!
//! It is exact, as of the record before the file's first, for streams, retention, last IDs, counters, trim marks, the next
//! number, segments and their positions, deletions and cursors. Of what is pending it has only the oldest ID of each
//! group: losing redb costs redeliveries, never streams, groups or entries.

use serde::{Deserialize, Serialize};

use super::delta::{GroupRow, StreamRow};
use super::stream_state::StreamState;
use crate::codec;
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
        StreamSnapshot { number: state.number, row: state.row(lsn), groups: groups.collect() }
    }
}

impl Snapshot {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        codec::encode(SNAPSHOT_VERSION, self, &mut out);
        out
    }
}
