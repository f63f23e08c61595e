//! Removing entries: trimming the beginning (`XTRIM`), retention, and deleting from anywhere (`XDEL`).

use super::NO_BODIES;
use super::Stream;
use super::cell::StreamCell;
use super::collect::Collector;
use super::core::{Core, Plan, found};
use crate::clock::millis;
use crate::error::Result;
use crate::id::Id;
use crate::log::frame::HEADER_LEN;
use crate::log::segment::At;
use crate::log::stream_log::Blocks;
use crate::log::{Lookup, Segment};
use crate::options::Durability;
use crate::state::StreamState;
use crate::state::change::{Added, Change, Front};
use crate::trim::{By, Trim};
use std::sync::Arc;

impl Stream {
    /// Removes entries from the beginning; returns how many. The disk shrinks by whole segments.
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](crate::ErrorKind::NoSuchStream); if it cannot be written.
    pub fn trim(&self, trim: Trim) -> Result<u64> {
        self.with_cell(|cell| self.core().trim(cell, trim, self.core().options.durability))
    }

    /// Deletes these entries wherever they are (`XDEL`); returns how many were there. What is pending of them stays
    /// pending until it is acknowledged or claimed.
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](crate::ErrorKind::NoSuchStream); if it cannot be written.
    pub fn delete(&self, ids: &[Id]) -> Result<u64> {
        self.change(self.core().options.durability, |inner, blocks| {
            let mut entries: Vec<(Id, u64)> = Vec::new();
            for &id in ids {
                let ordinal = found!(inner.collect_one(id, blocks, &mut Collector::default()))?;
                if let Some(ordinal) = ordinal.filter(|ordinal| entries.iter().all(|(_, other)| other != ordinal)) {
                    entries.push((id, ordinal));
                }
            }
            if entries.is_empty() {
                return Ok(Plan::Nothing(0));
            }
            let mut dead: Vec<u64> = entries.iter().map(|&(_, ordinal)| ordinal).collect();
            dead.sort_unstable();
            let front = found!(inner.state.front_without(&dead, blocks));
            let count = entries.len() as u64;
            Ok(Plan::change(Change::Delete { entries, front }, count))
        })
    }
}

impl Core {
    pub(crate) fn trim(&self, cell: &Arc<StreamCell>, trim: Trim, level: Durability) -> Result<u64> {
        self.commit(cell, level, &NO_BODIES, |inner, blocks| {
            let change = found!(inner.state.plan_trim(trim, self.clock.now_ms(), None, blocks));
            let Some(Change::Trim { removed, .. }) = change else { return Ok(Plan::Nothing(0)) };
            Ok(Plan::Write { ids: super::core::Ids::None, changes: change.into_iter().collect(), value: removed })
        })
    }

    /// Applies what each stream keeps of itself, to each whatever became of the others: one that is damaged must not
    /// have them grow. Nobody waits for it to be durable.
    ///
    /// # Errors
    ///
    /// The first: `WritesStopped`; `Corrupt`; what the system says.
    pub(crate) fn apply_retention(&self) -> Result<()> {
        let mut applied = Ok(());
        for cell in self.cells() {
            let retention = cell.lock().state.retention;
            let trimmed =
                retention.trims().into_iter().try_for_each(|trim| self.trim(&cell, trim, Durability::Os).map(drop));
            match trimmed {
                Err(error) if error.kind() == crate::ErrorKind::NoSuchStream => {}
                trimmed => applied = applied.and(trimmed),
            }
        }
        applied
    }
}

impl StreamState {
    /// The change that `trim` amounts to, if entries go, with `added` in place already.
    pub(crate) fn plan_trim(
        &self,
        trim: Trim,
        now_ms: u64,
        added: Option<Added<'_>>,
        blocks: Blocks<'_>,
    ) -> Lookup<Option<Change>> {
        into_lookup(self.look_up_trim(trim, now_ms, added, blocks))
    }

    /// As [`plan_trim`](Self::plan_trim); what must be loaded is the error, so that `?` can leave.
    fn look_up_trim(
        &self,
        trim: Trim,
        now_ms: u64,
        added: Option<Added<'_>>,
        blocks: Blocks<'_>,
    ) -> Result<Option<Change>, Load> {
        let view = View { state: self, added, blocks };
        let start = if self.length == 0 { self.log.next_ordinal() } else { self.front.ordinal };
        let length = self.length + view.added_len();
        let mut target = match trim.by {
            By::Len(max) => match length.saturating_sub(max) {
                0 => return Ok(None),
                excess => self.tombstones.skip_live(start, excess),
            },
            By::MinId(id) => view.ordinal_of(id)?,
            By::Age(age) => view.ordinal_of(Id::new(now_ms.saturating_sub(millis(age)), 0))?,
            By::Bytes(max) => match view.next_bytes().checked_sub(max) {
                None => return Ok(None),
                Some(from_byte) => view.ordinal_of_byte(from_byte)?,
            },
            By::All => view.next_ordinal(),
        };
        if trim.only_acknowledged {
            let Some(done_to) = self.acknowledged_to() else { return Ok(None) };
            if let Some(keep) = done_to.next() {
                target = target.min(view.ordinal_of(keep)?);
            }
        }
        if target <= start {
            return Ok(None);
        }
        let removed = (target - start) - self.tombstones.count(start, target);
        if removed == 0 {
            return Ok(None);
        }
        let last = view.id(self.tombstones.last_live(target).unwrap_or(start))?;
        Ok(Some(Change::Trim { front: view.front(self.tombstones.first_live(target))?, last, removed }))
    }

    /// Where the stream begins once the entries with these ordinals, sorted, are gone.
    pub(crate) fn front_without(&self, dead: &[u64], blocks: Blocks<'_>) -> Lookup<Front> {
        let mut ordinal = self.front.ordinal;
        loop {
            ordinal = self.tombstones.first_live(ordinal);
            if dead.binary_search(&ordinal).is_err() {
                break;
            }
            ordinal += 1;
        }
        into_lookup(View { state: self, added: None, blocks }.front(ordinal))
    }
}

/// A stream as it will be with the entries being added.
struct View<'a> {
    state: &'a StreamState,
    added: Option<Added<'a>>,
    blocks: Blocks<'a>,
}

/// A block to be loaded, as an error: so `?` leaves a look-up that needs several.
type Load = Box<(Segment, At)>;

fn or_load<T>(lookup: Lookup<T>) -> Result<T, Load> {
    match lookup {
        Lookup::Found(value) => Ok(value),
        Lookup::Load(segment, at) => Err(Box::new((segment, at))),
    }
}

fn into_lookup<T>(result: Result<T, Load>) -> Lookup<T> {
    match result {
        Ok(value) => Lookup::Found(value),
        Err(load) => Lookup::Load(load.0, load.1),
    }
}

impl View<'_> {
    fn added_len(&self) -> u64 {
        self.added.map_or(0, |added| added.ids.len() as u64)
    }

    fn next_ordinal(&self) -> u64 {
        self.state.log.next_ordinal() + self.added_len()
    }

    /// The bytes of the frames of the first `count` entries being added.
    fn added_bytes(&self, count: u64) -> u64 {
        self.added.map_or(0, |added| {
            added.bodies.iter().take(count as usize).map(|body| (HEADER_LEN + body.len()) as u64).sum()
        })
    }

    fn next_bytes(&self) -> u64 {
        self.state.log.next_bytes() + self.added_bytes(self.added_len())
    }

    fn ordinal_of(&self, id: Id) -> Result<u64, Load> {
        if id > self.state.last_id {
            let before = self.added.map_or(0, |added| added.ids.partition_point(|&added| added < id));
            return Ok(self.state.log.next_ordinal() + before as u64);
        }
        or_load(self.state.log.ordinal_of(id, self.blocks))
    }

    fn ordinal_of_byte(&self, byte: u64) -> Result<u64, Load> {
        let mut next = self.state.log.next_bytes();
        if byte < next {
            return or_load(self.state.log.ordinal_of_byte(byte, self.blocks));
        }
        let mut ordinal = self.state.log.next_ordinal();
        for body in self.added.iter().flat_map(|added| added.bodies.iter()) {
            if next >= byte {
                break;
            }
            next += (HEADER_LEN + body.len()) as u64;
            ordinal += 1;
        }
        Ok(ordinal)
    }

    /// The ID of an entry that is there, deleted or not.
    fn id(&self, ordinal: u64) -> Result<Id, Load> {
        let next = self.state.log.next_ordinal();
        match ordinal.checked_sub(next) {
            Some(index) => Ok(self.added.map_or(Id::MIN, |added| added.ids[index as usize])),
            None => or_load(self.state.log.page(ordinal, self.blocks)).map(|page| page.id(ordinal)),
        }
    }

    /// The front of a stream whose first entry has this ordinal.
    fn front(&self, ordinal: u64) -> Result<Front, Load> {
        let next = self.state.log.next_ordinal();
        let bytes = match ordinal.checked_sub(next) {
            Some(count) => self.state.log.next_bytes() + self.added_bytes(count),
            None => or_load(self.state.log.bytes_before(ordinal, self.blocks))?,
        };
        let id = if ordinal >= self.next_ordinal() { Id::MIN } else { self.id(ordinal)? };
        Ok(Front { ordinal, bytes, id })
    }
}
