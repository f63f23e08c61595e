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
//! opened. Nothing is ever delivered from it: **one record** deletes an entry here, takes its row away, and adds it to its
//! stream. So it is there once, whatever crashes.
//!
//! That record is as durable as an add is by the broker's options. A weaker one would lose no entry (it would be on the
//! schedule again), but readers might have seen it, under an ID that it would not get a second time.
//!
//! An entry that waits for long keeps its segment, and a bit for each that was scheduled after it. One that cannot be added,
//! because its bytes are damaged or its stream has had its last ID, is tried again after [`TRY_AGAIN`]. One whose stream is gone
//! is dropped when it is due. Streams are known by their incarnation here, which stays whatever else of them changes.
//!
//! Where a repair has nothing but segments to go by, what was added already is on the schedule again.
//!
//! Does not know who is to call the step, nor what a user's handle of a delayed entry is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::NO_BODIES;
use super::cell::{Inner, StreamCell};
use super::collect::Collector;
use super::core::{Core, Ids, Plan, found};
use super::together::Together;
use super::work::Work;
use crate::clock::millis;
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

/// At most so many entries in one step, and no more once they have so many bytes: other work of the background waits for it.
const STEP_ENTRIES: usize = 256;
const STEP_BYTES: usize = 1 << 20;

/// So many rows are restored by one record.
const RESTORED: usize = 1000;

/// When an entry is tried again that could not be added. Nothing but a repair, a cancel or a deleted stream will change that.
const TRY_AGAIN: Duration = Duration::from_secs(3600);

/// The wall clock may be set: while something is scheduled it is looked at this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

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
    ordinal: u64,
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
    fn body(&self) -> &[u8] {
        let mut body = self.entry.fields().body();
        Header::take(&mut body);
        body
    }
}

/// What a step is to take off the schedule.
#[derive(Debug, Default)]
struct Batch {
    entries: Vec<Scheduled>,
    /// Rows whose entry was given up by a repair.
    gone: Vec<Id>,
    damaged: Vec<Id>,
}

impl Batch {
    fn ids(&self) -> impl Iterator<Item = Id> {
        self.entries.iter().map(Scheduled::id).chain(self.gone.iter().copied()).chain(self.damaged.iter().copied())
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
            let (number, group) = inner.state.due_mut().ok_or_else(no_group)?;
            let is_next = group.by_time().first().is_none_or(|next| due_ms < next.ms);
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
        let rows: Vec<Id> =
            schedule.lock().state.due().map(|(_, due)| due.pending.keys().copied().collect()).unwrap_or_default();
        let mut scheduled = Vec::new();
        for id in rows {
            let found = self.read_scheduled(&schedule, id)?.filter(|found| found.target == target);
            scheduled.extend(found.map(|found| (found.due_ms, id)));
        }
        scheduled.sort_unstable();
        Ok(scheduled)
    }

    fn read_scheduled(&self, schedule: &StreamCell, id: Id) -> Result<Option<Scheduled>> {
        self.read(schedule, |inner, blocks| flip(inner.scheduled(id, blocks)))
    }

    /// How long the background may wait until it looks whether something is due; `None` if nothing is scheduled, or nothing
    /// can be written any more.
    pub(crate) fn until_due(&self) -> Option<Duration> {
        let schedule = self.find(SCHEDULE)?;
        let next_ms = schedule.lock().state.due_mut()?.1.by_time().first()?.ms;
        self.journal.check().ok()?;
        let left = Duration::from_millis(next_ms.saturating_sub(self.clock.now_ms()));
        Some(self.clock.nap(left.min(LOOK_AGAIN)))
    }

    /// Adds what is due to its streams, as much as fits in one record. Returns how many entries are done with; 0 if nothing is
    /// due.
    ///
    /// # Errors
    ///
    /// `Closed`; `WritesStopped`; what the system says.
    pub(crate) fn due_step(&self) -> Result<usize> {
        let Some(schedule) = self.find(SCHEDULE) else { return Ok(0) };
        loop {
            let now_ms = self.clock.now_ms();
            let rows = schedule.lock().due_rows(now_ms);
            if rows.is_empty() {
                return Ok(0);
            }
            let batch = self.gather(&schedule, rows)?;
            // Where it was not to be done like this any more, it is looked at again.
            if let Some(done) = self.add_due(&schedule, &batch, now_ms)? {
                return Ok(done);
            }
        }
    }

    fn gather(&self, schedule: &StreamCell, rows: Vec<Id>) -> Result<Batch> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        for id in rows {
            match self.read_scheduled(schedule, id) {
                Ok(Some(found)) => {
                    bytes += found.body().len();
                    batch.entries.push(found);
                }
                Ok(None) => batch.gone.push(id),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::error!(%error, "a delayed entry cannot be added, and stays on the schedule");
                    batch.damaged.push(id);
                }
                Err(error) => return Err(error),
            }
            if bytes >= STEP_BYTES {
                break;
            }
        }
        Ok(batch)
    }

    /// Adds these entries to their streams and takes them off the schedule, in one record; `None`, and nothing is done, if one of
    /// them is not on it any more, or its stream was deleted or made anew meanwhile.
    fn add_due(&self, schedule: &StreamCell, batch: &Batch, now_ms: u64) -> Result<Option<usize>> {
        let cells = self.with_targets(&batch.entries, schedule);
        let at = cells.iter().position(|cell| cell.number == schedule.number).expect("nobody deletes the schedule");
        let of_cell = |cell: &Arc<StreamCell>| {
            let target = Target::of(cell);
            batch.entries.iter().filter(move |entry| entry.target == target).collect::<Vec<_>>()
        };
        let by_cell: Vec<Vec<&Scheduled>> = cells.iter().map(of_cell).collect();
        let there: BTreeSet<u64> = by_cell.iter().flatten().map(|entry| entry.ordinal).collect();
        let targetless = || batch.entries.iter().filter(|entry| !there.contains(&entry.ordinal));
        let bodies: Vec<Bodies> = by_cell.iter().map(|entries| bodies(entries)).collect();
        self.commit_together(&cells, &bodies, self.options.durability, |streams, blocks| {
            let Some((group, due)) = streams[at].state.due() else { return Ok(Together::Nothing(None)) };
            let is_due = |id| due.pending.get(&id).is_some_and(|row| row.is_due(now_ms, 0));
            if !batch.ids().all(is_due) || streams.iter().any(|stream| stream.deleted) {
                return Ok(Together::Nothing(None));
            }
            let mut done: Vec<(Id, u64)> = targetless().map(|entry| (entry.id(), entry.ordinal)).collect();
            let mut later = batch.damaged.clone();
            let mut each: Vec<(Ids, Vec<Change>)> = Vec::new();
            for (stream, entries) in streams.iter().zip(&by_cell) {
                match assign(&stream.state, entries.len(), now_ms) {
                    Ok(ids) => {
                        done.extend(entries.iter().map(|entry| (entry.id(), entry.ordinal)));
                        each.push((Ids::Many(ids), Vec::new()));
                    }
                    Err(error) => {
                        let stream = &stream.state.name;
                        tracing::error!(%error, %stream, "delayed entries cannot be added, and stay on the schedule");
                        later.extend(entries.iter().map(|entry| entry.id()));
                        each.push((Ids::None, Vec::new()));
                    }
                }
            }
            done.sort_unstable_by_key(|&(_, ordinal)| ordinal);
            let dead: Vec<u64> = done.iter().map(|&(_, ordinal)| ordinal).collect();
            let front = match streams[at].state.front_without(&dead, blocks) {
                Lookup::Found(front) => front,
                Lookup::Load(segment, at) => return Ok(Together::Load(segment, at)),
            };
            let changes = &mut each[at].1;
            let acked: Vec<Id> = done.iter().map(|&(id, _)| id).chain(batch.gone.iter().copied()).collect();
            let count = acked.len() + later.len();
            if !done.is_empty() {
                changes.push(Change::Delete { entries: done, front });
            }
            if !acked.is_empty() {
                changes.push(Change::Ack { group, ids: acked });
            }
            if !later.is_empty() {
                let ready_ms = now_ms.saturating_add(millis(TRY_AGAIN));
                let ids = later.into_iter().map(|id| (id, 0)).collect();
                changes.push(Change::Release { group, ready_ms, ids });
            }
            Ok(Together::Write { each, value: Some(count) })
        })
    }

    /// The schedule and the streams that are there of those that these entries are for, in the order of their numbers.
    fn with_targets(&self, entries: &[Scheduled], schedule: &StreamCell) -> Vec<Arc<StreamCell>> {
        let wanted: BTreeSet<Target> = entries.iter().map(|entry| entry.target).chain([Target::of(schedule)]).collect();
        let catalog = self.catalog();
        let found = catalog.streams.values().filter(|cell| wanted.contains(&Target::of(cell)));
        // A repair may have found the files of a stream, and those of what it was before it was made anew.
        let mut youngest: BTreeMap<Target, &Arc<StreamCell>> = BTreeMap::new();
        for cell in found {
            let other = youngest.entry(Target::of(cell)).or_insert(cell);
            *other = if other.number < cell.number { cell } else { other };
        }
        let mut cells: Vec<_> = youngest.into_values().map(Arc::clone).collect();
        cells.sort_unstable_by_key(|cell| cell.number);
        cells
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

    fn due(&self) -> Option<(u32, &Group)> {
        self.group_named(DUE)
    }

    fn due_mut(&mut self) -> Option<(u32, &mut Group)> {
        let (number, _) = self.due()?;
        self.groups.get_mut(&number).map(|group| (number, group))
    }
}

impl Inner {
    /// The IDs of what is due, the first due first.
    fn due_rows(&mut self, now_ms: u64) -> Vec<Id> {
        let Some((_, group)) = self.state.due_mut() else { return Vec::new() };
        let due = group.by_time().iter().take_while(|row| row.ms <= now_ms);
        due.take(STEP_ENTRIES).map(|row| row.id).collect()
    }

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

/// The bodies that entries have in their stream.
fn bodies(entries: &[&Scheduled]) -> Bodies {
    let mut bodies = Bodies::default();
    for entry in entries {
        bodies.bytes.extend_from_slice(entry.body());
        bodies.end_body();
    }
    bodies
}

/// The IDs that so many entries get.
fn assign(state: &StreamState, count: usize, now_ms: u64) -> Result<Vec<Id>> {
    let mut last = state.last_id;
    let next = |_| {
        last = IdSpec::Auto.assign(last, now_ms)?;
        Ok(last)
    };
    (0..count).map(next).collect()
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
