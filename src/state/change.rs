//! Records: what happened, as the journal keeps it.
//!
//! ```text
//! record   | change … |                                    all of them or none
//! change   | stream varint | kind u8 | len u32 LE | payload |
//! kind 1   | ID 16, big-endian | body len varint | body | …    entries added, bodies as `entry` draws them
//! kind 2   | codec of a Change |
//! ```

use serde::{Deserialize, Serialize};

use super::adopted::Adopted;
use crate::codec::{self, CodecError, put_varint, take_varint};
use crate::id::Id;
use crate::idempotency::Idempotency;
use crate::trim::Retention;

const ADDED: u8 = 1;
const CHANGE: u8 = 2;
pub(crate) const CHANGE_VERSION: u8 = 1;

/// Where a stream now begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Front {
    /// The ordinal of the first entry there is, or of the next to come.
    pub(crate) ordinal: u64,
    /// The bytes of all frames before it.
    pub(crate) bytes: u64,
    /// Its ID; `0-0` if there is none.
    pub(crate) id: Id,
}

/// One change to one stream, entries added excepted. New kinds go to the end: bincode numbers them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Change {
    CreateStream {
        name: String,
        incarnation: u64,
    },
    DeleteStream,
    /// `removed` live entries went, the last of them `last`.
    Trim {
        front: Front,
        last: Id,
        removed: u64,
    },
    /// These entries went, each with its ordinal.
    Delete {
        entries: Vec<(Id, u64)>,
        front: Front,
    },
    SetRetention(Retention),
    CreateGroup {
        group: u32,
        name: String,
        cursor: Id,
        entries_read: Option<u64>,
    },
    DestroyGroup {
        group: u32,
    },
    SetCursor {
        group: u32,
        cursor: Id,
        entries_read: Option<u64>,
    },
    CreateConsumer {
        group: u32,
        consumer: u32,
        name: String,
        now_ms: u64,
    },
    DeleteConsumer {
        group: u32,
        consumer: u32,
    },
    /// New entries were delivered for the first time, or again after the cursor was set back.
    Deliver {
        group: u32,
        consumer: u32,
        now_ms: u64,
        ids: Vec<Id>,
        cursor: Id,
        entries_read: Option<u64>,
    },
    /// These entries now belong to the consumer, with these counts of deliveries, since `delivered_ms`.
    Assign {
        group: u32,
        consumer: u32,
        now_ms: u64,
        delivered_ms: u64,
        ids: Vec<(Id, u32)>,
    },
    /// These entries are pending no longer.
    Ack {
        group: u32,
        ids: Vec<Id>,
    },
    /// These entries were delivered to the consumer again, which had them already: nothing new for it.
    Redeliver {
        group: u32,
        consumer: u32,
        now_ms: u64,
        ids: Vec<(Id, u32)>,
    },
    /// These entries are pending with nobody, with these counts of deliveries, and to be delivered from `ready_ms` on.
    Release {
        group: u32,
        ready_ms: u64,
        ids: Vec<(Id, u32)>,
    },
    SetIdempotency(Idempotency),
    /// The entry is what this add of a producer became.
    Produced {
        producer: Vec<u8>,
        id: Vec<u8>,
        entry: Id,
        now_ms: u64,
    },
    /// `removed` live entries were trimmed, though others before them stay: those whose ordinals lie in these runs, each a first
    /// ordinal and a number of them. The last that nothing stays before is `last`.
    TrimSome {
        runs: Vec<(u64, u64)>,
        front: Front,
        last: Id,
        removed: u64,
    },
    /// The stream's last ID and counters are these.
    SetLast {
        last_id: Id,
        entries_added: u64,
        max_deleted_id: Id,
    },
    /// The stream has this name from now on.
    Rename {
        name: String,
    },
    /// The stream, created by this record, is the copy of another.
    Adopt(Box<Adopted>),
}

/// Entries to be added to one stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Added<'a> {
    pub(crate) ids: &'a [Id],
    pub(crate) bodies: &'a Bodies,
}

/// The bodies of entries, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    pub(crate) bytes: Vec<u8>,
    /// Where each body ends.
    pub(crate) ends: Vec<usize>,
}

impl Bodies {
    /// Takes what was appended to `bytes` for one body.
    pub(crate) fn end_body(&mut self) {
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| &self.bytes[start..end])
    }
}

fn put_change(stream: u64, kind: u8, out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    put_varint(stream, out);
    out.push(kind);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    payload(out);
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

/// Appends the change that adds entries to a record.
pub(crate) fn encode_added(stream: u64, added: Added<'_>, out: &mut Vec<u8>) {
    put_change(stream, ADDED, out, |out| {
        for (id, body) in added.ids.iter().zip(added.bodies.iter()) {
            out.extend_from_slice(&id.to_bytes());
            put_varint(body.len() as u64, out);
            out.extend_from_slice(body);
        }
    });
}

/// Appends a change to a record.
pub(crate) fn encode_change(stream: u64, change: &Change, out: &mut Vec<u8>) {
    put_change(stream, CHANGE, out, |out| codec::encode(CHANGE_VERSION, change, out));
}

/// A decoded change.
#[derive(Debug)]
pub(crate) enum Recorded<'a> {
    Added(AddedEntries<'a>),
    Change(Change),
}

/// The entries of a record, whose layout was checked.
#[derive(Debug, Clone)]
pub(crate) struct AddedEntries<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for AddedEntries<'a> {
    type Item = (Id, &'a [u8]);

    fn next(&mut self) -> Option<(Id, &'a [u8])> {
        let (id, rest) = self.rest.split_first_chunk::<16>()?;
        self.rest = rest;
        let len = usize::try_from(take_varint(&mut self.rest)?).ok()?;
        let (body, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some((Id::from_bytes(*id), body))
    }
}

/// Decodes a record: every change with its stream.
pub(crate) fn decode(mut record: &[u8]) -> Result<Vec<(u64, Recorded<'_>)>, CodecError> {
    let mut changes = Vec::new();
    while !record.is_empty() {
        let stream = take_varint(&mut record).ok_or(CodecError::Truncated)?;
        let (&kind, rest) = record.split_first().ok_or(CodecError::Truncated)?;
        let (len, rest) = rest.split_first_chunk::<4>().ok_or(CodecError::Truncated)?;
        let len = u32::from_le_bytes(*len) as usize;
        let (payload, rest) = rest.split_at_checked(len).ok_or(CodecError::Truncated)?;
        record = rest;
        let change = match kind {
            ADDED => {
                let mut entries = AddedEntries { rest: payload };
                while entries.by_ref().any(|_| false) {}
                if !entries.rest.is_empty() {
                    return Err(CodecError::Truncated);
                }
                Recorded::Added(AddedEntries { rest: payload })
            }
            CHANGE => Recorded::Change(codec::decode(CHANGE_VERSION, payload)?),
            unknown => return Err(CodecError::Version(unknown)),
        };
        changes.push((stream, change));
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_of_records_is_pinned() {
        let mut bodies = Bodies::default();
        for body in [&b"\x01a\x01b"[..], b"\x01c\x00"] {
            bodies.bytes.extend_from_slice(body);
            bodies.end_body();
        }
        let ids = [Id::new(1, 2), Id::new(1, 3)];
        let mut record = Vec::new();
        encode_added(300, Added { ids: &ids, bodies: &bodies }, &mut record);
        assert_eq!(record[..7], [0xac, 0x02, ADDED, 41, 0, 0, 0]);
        assert_eq!(record[7..28], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 4, 1, b'a', 1, b'b']);

        encode_change(5, &Change::Ack { group: 1, ids: vec![Id::new(1, 2)] }, &mut record);
        assert_eq!(record[48..], [5, CHANGE, 6, 0, 0, 0, CHANGE_VERSION, 12, 1, 1, 1, 2]);

        let changes = decode(&record).unwrap();
        assert!(matches!(&changes[..], [(300, Recorded::Added(_)), (5, Recorded::Change(Change::Ack { .. }))]));
    }

    #[test]
    fn the_number_and_layout_of_each_change_are_pinned() {
        let id = |seq| Id::new(1, seq);
        let name = || "n".to_owned();
        let front = Front { ordinal: 3, bytes: 4, id: id(5) };
        let retention = Retention::default().max_len(7).max_bytes(8).only_acknowledged();
        let deliver = Change::Deliver {
            group: 1,
            consumer: 2,
            now_ms: 3,
            ids: vec![id(4), id(5)],
            cursor: id(5),
            entries_read: Some(6),
        };
        let produced = Change::Produced { producer: vec![7, 8], id: vec![9], entry: id(2), now_ms: 3 };
        let assign = Change::Assign { group: 1, consumer: 2, now_ms: 3, delivered_ms: 4, ids: vec![(id(5), 6)] };
        let pinned = [
            (Change::CreateStream { name: name(), incarnation: 300 }, "0100016efb2c01"),
            (Change::DeleteStream, "0101"),
            (Change::Trim { front, last: id(2), removed: 6 }, "010203040105010206"),
            (Change::Delete { entries: vec![(id(2), 9)], front }, "01030101020903040105"),
            (Change::SetRetention(retention), "010401070001080001"),
            (Change::CreateGroup { group: 1, name: name(), cursor: id(2), entries_read: None }, "010501016e010200"),
            (Change::DestroyGroup { group: 1 }, "010601"),
            (Change::SetCursor { group: 1, cursor: id(2), entries_read: Some(3) }, "01070101020103"),
            (Change::CreateConsumer { group: 1, consumer: 2, name: name(), now_ms: 3 }, "01080102016e03"),
            (Change::DeleteConsumer { group: 1, consumer: 2 }, "01090102"),
            (deliver, "010a010203020104010501050106"),
            (assign, "010b0102030401010506"),
            (Change::Ack { group: 1, ids: vec![id(2)] }, "010c01010102"),
            (Change::Redeliver { group: 1, consumer: 2, now_ms: 3, ids: vec![(id(5), 6)] }, "010d01020301010506"),
            (Change::Release { group: 1, ready_ms: 3, ids: vec![(id(5), 6)] }, "010e010301010506"),
            (Change::SetIdempotency(Idempotency::default()), "010f6464"),
            (produced, "01100207080109010203"),
            (Change::TrimSome { runs: vec![(9, 10)], front, last: id(2), removed: 7 }, "011101090a03040105010207"),
            (Change::SetLast { last_id: id(2), entries_added: 3, max_deleted_id: id(1) }, "01120102030101"),
            (Change::Rename { name: name() }, "0113016e"),
        ];
        for (change, expected) in pinned {
            let mut bytes = Vec::new();
            codec::encode(CHANGE_VERSION, &change, &mut bytes);
            assert_eq!(codec::hex(&bytes), expected, "{change:?}");
            assert_eq!(codec::decode::<Change>(CHANGE_VERSION, &bytes).unwrap(), change);
        }
    }

    #[test]
    fn a_record_cut_anywhere_does_not_decode_to_something_else() {
        let mut record = Vec::new();
        encode_change(5, &Change::SetRetention(Retention::default().max_len(7)), &mut record);
        for len in 1..record.len() {
            assert!(decode(&record[..len]).is_err(), "{len} bytes");
        }
    }
}
