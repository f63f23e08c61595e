//! What falls due: from the schedule to its stream.
//!
//! **One record** deletes an entry on the [`schedule`](super::schedule), takes its row away, and adds it to its stream. So it is
//! there once, whatever crashes.
//!
//! That record is as durable as an add is by the broker's options. A weaker one would lose no entry (it would be on the
//! schedule again), but readers might have seen it, under an ID that it would not get a second time.
//!
//! An entry that cannot be added, because its bytes are damaged or its stream has had its last ID, is tried again after
//! [`TRY_AGAIN`]. One whose stream is gone is dropped.
//!
//! Does not know who is to call the step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::cell::{Inner, StreamCell};
use super::core::{Core, Ids};
use super::schedule::{Scheduled, Target};
use super::together::Together;
use crate::clock::millis;
use crate::error::{ErrorKind, Result};
use crate::id::{Id, IdSpec};
use crate::log::Lookup;
use crate::name::SCHEDULE;
use crate::state::StreamState;
use crate::state::change::{Bodies, Change};

/// At most so many entries in one step, and no more once they have so many bytes: other work of the background waits for it.
const STEP_ENTRIES: usize = 256;
const STEP_BYTES: usize = 1 << 20;

/// When an entry is tried again that could not be added. Nothing but a repair, a cancel or a deleted stream will change that.
const TRY_AGAIN: Duration = Duration::from_secs(3600);

/// The wall clock may be set: while something is scheduled it is looked at this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

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
    /// How long the background may wait until it looks whether something is due; `None` if nothing is scheduled, or nothing
    /// can be written any more.
    pub(crate) fn until_due(&self) -> Option<Duration> {
        let schedule = self.find(SCHEDULE)?;
        let next_ms = schedule.lock().state.due()?.1.released().next()?.ms;
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
}

impl Inner {
    /// The IDs of what is due, the first due first.
    fn due_rows(&self, now_ms: u64) -> Vec<Id> {
        let Some((_, group)) = self.state.due() else { return Vec::new() };
        let due = group.released().take_while(|row| row.ms <= now_ms);
        due.take(STEP_ENTRIES).map(|row| row.id).collect()
    }
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
