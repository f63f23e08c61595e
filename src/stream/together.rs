//! One record that changes several streams: after a crash all of it is there, or nothing.
//!
//! The streams' locks are taken in the order of their numbers, so that two who want the same streams never wait for each
//! other. Knows how such a change is recorded and applied; not what it is for.

use std::sync::Arc;

use super::cell::{Inner, StreamCell};
use super::core::{Core, Ids, Made, Part};
use crate::error::Result;
use crate::log::Segment;
use crate::log::segment::At;
use crate::log::stream_log::Blocks;
use crate::options::Durability;
use crate::state::change::{Added, Bodies, Change};
use crate::sync::MutexGuard;

/// What an operation on several streams decided, all of them locked.
pub(super) enum Together<T> {
    /// Record, for each stream in their order, these entries and then these changes, and return the value. At least one of
    /// them has some.
    Write { each: Vec<(Ids, Vec<Change>)>, value: T },
    /// There is nothing to record.
    Nothing(T),
    /// A block must be loaded first; the operation then plans again.
    Load(Segment, At),
}

impl Core {
    /// [`commit`](Core::commit) on several streams, which are in the order of their numbers, each with the bodies of what
    /// is added to it. One that was deleted is there all the same: `plan` looks ([`Inner::deleted`]), and leaves it alone.
    ///
    /// # Errors
    ///
    /// What `plan` says; `Closed`; `WritesStopped`; what the system says.
    pub(super) fn commit_together<T>(
        &self,
        cells: &[Arc<StreamCell>],
        bodies: &[Bodies],
        level: Durability,
        mut plan: impl FnMut(&mut [MutexGuard<'_, Inner>], Blocks<'_>) -> Result<Together<T>>,
    ) -> Result<T> {
        debug_assert!(cells.is_sorted_by(|one, next| one.number < next.number), "the order in which all lock them");
        let until = self.until(level);
        let mut held = Vec::new();
        loop {
            let gate = self.gate();
            self.check_open()?;
            let mut streams: Vec<_> = cells.iter().map(|cell| cell.lock()).collect();
            let (each, value) = match plan(&mut streams, Blocks { cache: &self.cache, held: &held })? {
                Together::Write { each, value } => (each, value),
                Together::Nothing(value) => return Ok(value),
                Together::Load(segment, at) => {
                    drop((streams, gate));
                    let of = |cell: &&Arc<StreamCell>| cell.number == segment.stream;
                    let cell = cells.iter().find(of).expect("a look-up in one of these streams");
                    held.extend(self.load(cell, &segment, at)?);
                    continue;
                }
            };
            let adds = each.iter().any(|(ids, _)| !ids.as_slice().is_empty());
            if adds && self.is_short_of_room() {
                drop((streams, gate));
                self.make_room()?;
                continue;
            }
            let of_each = cells.iter().zip(&mut streams).zip(bodies).zip(&each);
            let parts = of_each.map(|(((cell, stream), bodies), (ids, changes))| {
                let added = Added { ids: ids.as_slice(), bodies };
                Part { cell, stream, created: None, added, changes }
            });
            // A stream that nothing happens to has nothing to publish either.
            let parts = parts.filter(|part| !part.added.ids.is_empty() || !part.changes.is_empty());
            match self.make(until, &mut parts.collect::<Vec<_>>())? {
                Made::Done { lsn, woken, tail_bytes } => {
                    drop((streams, gate));
                    self.wake(woken);
                    cells.iter().for_each(|cell| self.keep_within_bounds(cell, tail_bytes));
                    self.meet(lsn, level)?;
                    return Ok(value);
                }
                Made::NoRoom(bytes) => {
                    drop((streams, gate));
                    self.rotate(bytes, adds)?;
                }
            }
        }
    }
}
