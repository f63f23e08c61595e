//! The schedule: the entries, of all streams, that are to be added when they are due.
//!
//! It is a stream like any other, with a name that no user can give, begun with the first entry that is put on it. So what
//! waits is in segments, and a checkpoint, a backup, a check and a repair need not know of it.
//!
//! ```text
//! body on the schedule   | 0 | header len varint | header | body of the entry to be added |    a field without a name first
//! header                 | codec of a Header |
//! ```
//!
//! Its group `due` has a row for each entry, pending with nobody and to be delivered when it is due: the index by time. What
//! lies after the group's cursor may lack its row, for those are lost with redb, and gets it from its header when the broker is
//! opened. Nothing is ever delivered from it: [`due`](super::due) takes it off and adds it to its stream.
//!
//! An entry that waits for long keeps its segment, and a bit for each that was scheduled after it. Streams are known by their
//! incarnation here, which stays whatever else of them changes.
//!
//! Where a repair has nothing but segments to go by, what was added already is on the schedule again.
//!
//! Does not know the time, nor what a user's handle of a delayed entry is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::NO_BODIES;
use super::cell::{Inner, StreamCell};
use super::collect::Collector;
use super::core::{Core, Ids, Plan, found};
use super::work::Work;
use crate::codec::{self, put_varint, take_varint};
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Id, IdSpec};
use crate::log::Lookup;
use crate::log::stream_log::Blocks;
use crate::name::SCHEDULE;
use crate::options::Durability;
use crate::state::change::{Bodies, Change};
use crate::state::{Group, StreamState};

/// The schedule's one group.
const DUE: &str = "due";

const HEADER_VERSION: u8 = 1;

/// So many rows are restored by one record.
const RESTORED: usize = 1000;

/// The stream that an entry is for: its incarnation, which stays when it is renamed or made anew, and no other gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Target(u64);

/// What stands before the body of an entry on the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    target: Target,
    due_ms: u64,
}

impl Target {
    pub(super) fn of(cell: &StreamCell) -> Target {
        Target(cell.incarnation)
    }
}

impl Header {
    fn put(self, out: &mut Vec<u8>) {
        let mut header = Vec::new();
        codec::encode(HEADER_VERSION, &self, &mut header);
        put_varint(0, out);
        put_varint(header.len() as u64, out);
        out.extend_from_slice(&header);
    }

    /// Takes the header off a body; `None` if there is none.
    fn take(body: &mut &[u8]) -> Option<Header> {
        let name_len = take_varint(body)?;
        let len = usize::try_from(take_varint(body)?).ok()?;
        let (header, rest) = body.split_at_checked(len).filter(|_| name_len == 0)?;
        *body = rest;
        codec::decode(HEADER_VERSION, header).ok()
    }
}

/// An entry on the schedule.
#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) ordinal: u64,
    pub(super) target: Target,
    pub(super) due_ms: u64,
    entry: Entry,
}

impl Scheduled {
    fn new(ordinal: u64, entry: Entry) -> Result<Scheduled> {
        let Some(Header { target, due_ms }) = Header::take(&mut entry.fields().body()) else {
            let text = format!("the delayed entry {} does not say when it is due", entry.id);
            return Err(Error::new(ErrorKind::Corrupt, text));
        };
        Ok(Scheduled { ordinal, target, due_ms, entry })
    }

    pub(super) fn id(&self) -> Id {
        self.entry.id
    }

    /// The body of the entry to be added.
    pub(super) fn body(&self) -> &[u8] {
        let mut body = self.entry.fields().body();
        Header::take(&mut body);
        body
    }
}

impl Core {
    /// Puts an entry with this body on the schedule; returns its ID there once `level` is met.
    ///
    /// # Errors
    ///
    /// `Closed`; `WritesStopped`; what the system says.
    pub(super) fn schedule(&self, target: Target, due_ms: u64, body: &[u8], level: Durability) -> Result<Id> {
        let mut bodies = Bodies::default();
        Header { target, due_ms }.put(&mut bodies.bytes);
        bodies.bytes.extend_from_slice(body);
        bodies.end_body();
        let (id, is_next) = self.commit(&self.schedule_or_created()?, level, &bodies, |inner, _| {
            let id = IdSpec::Auto.assign(inner.state.last_id, self.clock.now_ms())?;
            let (number, group) = inner.state.due().ok_or_else(no_group)?;
            let is_next = group.released().next().is_none_or(|next| due_ms < next.ms);
            let changes = vec![
                Change::Release { group: number, ready_ms: due_ms, ids: vec![(id, 0)] },
                Change::SetCursor { group: number, cursor: id, entries_read: None },
            ];
            Ok(Plan::Write { ids: Ids::One([id]), changes, value: (id, is_next) })
        })?;
        if is_next {
            self.work.want(Work::DUE);
        }
        Ok(id)
    }

    fn schedule_or_created(&self) -> Result<Arc<StreamCell>> {
        loop {
            if let Some(schedule) = self.find(SCHEDULE) {
                return Ok(schedule);
            }
            self.commit_new(&SCHEDULE.into(), Durability::Os, &NO_BODIES, |inner, _| {
                Ok(Plan::change(inner.state.create_due(), ()))
            })?;
        }
    }

    /// Takes an entry off the schedule, if it is there and for this stream; returns whether it was.
    ///
    /// # Errors
    ///
    /// `Closed`; `WritesStopped`; `Corrupt` if the entry is damaged; what the system says.
    pub(super) fn unschedule(&self, target: Target, id: Id, level: Durability) -> Result<bool> {
        self.check_open()?;
        let Some(schedule) = self.find(SCHEDULE) else {
            // As sure as if there had been something to cancel.
            self.meet(self.journal.last_lsn(), level)?;
            return Ok(false);
        };
        self.commit(&schedule, level, &NO_BODIES, |inner, blocks| {
            let found = found!(inner.scheduled(id, blocks))?.filter(|found| found.target == target);
            let (Some(found), Some((group, _))) = (found, inner.state.due()) else { return Ok(Plan::Nothing(false)) };
            let front = found!(inner.state.front_without(&[found.ordinal], blocks));
            let changes = vec![
                Change::Delete { entries: vec![(id, found.ordinal)], front },
                Change::Ack { group, ids: vec![id] },
            ];
            Ok(Plan::Write { ids: Ids::None, changes, value: true })
        })
    }

    /// When the entries for a stream are due, and their IDs, the next first. Reads what is scheduled for all streams.
    ///
    /// # Errors
    ///
    /// `Closed`; `Corrupt` if an entry is damaged; what the system says.
    pub(super) fn scheduled_for(&self, target: Target) -> Result<Vec<(u64, Id)>> {
        let Some(schedule) = self.find(SCHEDULE) else { return Ok(Vec::new()) };
        let rows: Vec<Id> = self
            .lock_whole(&schedule)
            .state
            .due()
            .map(|(_, due)| due.pending.keys().copied().collect())
            .unwrap_or_default();
        let mut scheduled = Vec::new();
        for id in rows {
            let found = self.read_scheduled(&schedule, id)?.filter(|found| found.target == target);
            scheduled.extend(found.map(|found| (found.due_ms, id)));
        }
        scheduled.sort_unstable();
        Ok(scheduled)
    }

    pub(super) fn read_scheduled(&self, schedule: &StreamCell, id: Id) -> Result<Option<Scheduled>> {
        self.read(schedule, |inner, blocks| flip(inner.scheduled(id, blocks)))
    }

    /// Gives every entry on the schedule its row, where redb was lost and the rows with it.
    ///
    /// # Errors
    ///
    /// `WritesStopped`; what the system says.
    pub(crate) fn restore_schedule(&self) -> Result<()> {
        let Some(schedule) = self.find(SCHEDULE) else { return Ok(()) };
        let cursor = {
            let state = &schedule.lock().state;
            let cursor = state.due().map(|(_, group)| group.cursor);
            if cursor.is_some_and(|cursor| cursor >= state.last_id) {
                return Ok(());
            }
            cursor
        };
        if cursor.is_none() {
            self.commit(&schedule, Durability::Os, &NO_BODIES, |inner, _| {
                Ok(Plan::change(inner.state.create_due(), ()))
            })?;
        }
        let after = cursor.unwrap_or(Id::MIN).next().unwrap_or(Id::MAX);
        let mut next = self.read(&schedule, |inner, blocks| Ok(inner.state.log.ordinal_of(after, blocks)))?;
        loop {
            let mut rows = Vec::new();
            let mut all = false;
            while rows.len() < RESTORED && !all {
                let ordinal = schedule.lock().next_scheduled(next);
                let Some(ordinal) = ordinal else {
                    all = true;
                    continue;
                };
                next = ordinal + 1;
                match self.read(&schedule, |inner, blocks| flip(inner.scheduled_at(ordinal, blocks))) {
                    Ok(found) => rows.extend(found.map(|found| (found.id(), found.due_ms))),
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        tracing::error!(%error, "it is not known when a delayed entry is due: it is not added");
                    }
                    Err(error) => return Err(error),
                }
            }
            self.commit(&schedule, Durability::Os, &NO_BODIES, |inner, _| {
                let last_id = inner.state.last_id;
                let (number, group) = inner.state.due().ok_or_else(no_group)?;
                let missing = rows.iter().filter(|(id, _)| !group.pending.contains_key(id));
                let release =
                    |&(id, due_ms): &(Id, u64)| Change::Release { group: number, ready_ms: due_ms, ids: vec![(id, 0)] };
                let mut changes: Vec<Change> = missing.map(release).collect();
                let cursor = if all { Some(last_id) } else { rows.last().map(|&(id, _)| id) };
                let moved = |cursor| Change::SetCursor { group: number, cursor, entries_read: None };
                changes.extend(cursor.map(moved));
                Ok(Plan::Write { ids: Ids::None, changes, value: () })
            })?;
            if all {
                return Ok(());
            }
        }
    }
}

impl StreamState {
    fn create_due(&self) -> Change {
        Change::CreateGroup { group: self.next_group, name: DUE.to_owned(), cursor: Id::MIN, entries_read: None }
    }

    pub(super) fn due(&self) -> Option<(u32, &Group)> {
        self.group_named(DUE)
    }
}

impl Inner {
    /// The ordinal, from `from` on, of the next entry that is there.
    fn next_scheduled(&self, from: u64) -> Option<u64> {
        let ordinal = self.state.tombstones.first_live(from.max(self.state.front.ordinal));
        (ordinal < self.state.log.next_ordinal()).then_some(ordinal)
    }

    /// The entry with this ID, published or not: whoever scheduled it may not have to wait for that.
    fn scheduled(&self, id: Id, blocks: Blocks<'_>) -> Lookup<Result<Option<Scheduled>>> {
        let ordinal = match self.state.log.ordinal_of(id, blocks) {
            Lookup::Found(ordinal) => ordinal,
            Lookup::Load(segment, at) => return Lookup::Load(segment, at),
        };
        if self.next_scheduled(ordinal) != Some(ordinal) {
            return Lookup::Found(Ok(None));
        }
        self.scheduled_at(ordinal, blocks).map(|found| Ok(found?.filter(|found| found.id() == id)))
    }

    /// The entry with this ordinal, which is there.
    fn scheduled_at(&self, ordinal: u64, blocks: Blocks<'_>) -> Lookup<Result<Option<Scheduled>>> {
        let mut found = Collector::default();
        self.collect(&mut (ordinal..ordinal + 1), false, 1, blocks, &mut found)
            .map(|()| found.finish()?.pop().map(|entry| Scheduled::new(ordinal, entry)).transpose())
    }
}

fn flip<T>(lookup: Lookup<Result<T>>) -> Result<Lookup<T>> {
    match lookup {
        Lookup::Found(found) => found.map(Lookup::Found),
        Lookup::Load(segment, at) => Ok(Lookup::Load(segment, at)),
    }
}

fn no_group() -> Error {
    Error::new(ErrorKind::Corrupt, "the schedule of delayed entries has no group")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::hex;

    #[test]
    fn the_layout_of_a_scheduled_body_is_pinned() {
        let header = Header { target: Target(1 << 63), due_ms: 5 };
        let mut body = Vec::new();
        header.put(&mut body);
        body.extend_from_slice(b"\x01n\x011");
        assert_eq!(hex(&body), "000b01fd000000000000008005016e0131");
        let mut rest = &body[..];
        assert_eq!(Header::take(&mut rest), Some(header));
        assert_eq!(rest, b"\x01n\x011");
        assert!(crate::entry::is_body(&body), "a check reads it as it reads every other");
    }

    #[test]
    fn a_body_without_a_whole_header_says_nothing() {
        let mut body = Vec::new();
        Header { target: Target(2), due_ms: 3 }.put(&mut body);
        for len in 0..body.len() {
            assert_eq!(Header::take(&mut &body[..len]), None, "{len} bytes");
        }
        assert_eq!(Header::take(&mut &b"\x01n\x011"[..]), None, "an entry of another stream");
    }
}
