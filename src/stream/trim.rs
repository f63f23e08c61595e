//! Removing entries from the beginning: trimming (`XTRIM`) and retention. Knows when, and of which stream; which entries go is
//! planned in [`remove`](super::remove).

use std::sync::Arc;

use super::NO_BODIES;
use super::Stream;
use super::cell::StreamCell;
use super::core::{Core, Ids, Plan, found};
use super::remove::Trimmed;
use crate::error::Result;
use crate::options::Durability;
use crate::trim::Trim;

impl Stream {
    /// Removes entries from the beginning; returns how many. The disk shrinks by whole segments.
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](crate::ErrorKind::NoSuchStream); if it cannot be written.
    pub fn trim(&self, trim: Trim) -> Result<u64> {
        self.with_cell(|cell| self.core().trim(cell, trim, self.core().options.durability))
    }
}

impl Core {
    pub(crate) fn trim(&self, cell: &Arc<StreamCell>, trim: Trim, level: Durability) -> Result<u64> {
        let nodes = self.adjustable.node_entries();
        self.commit(cell, level, &NO_BODIES, |inner, blocks| {
            Ok(match found!(inner.state.plan_trim(trim, nodes, self.clock.now_ms(), None, blocks)) {
                Some(Trimmed { changes, removed }) => Plan::Write { ids: Ids::None, changes, value: removed },
                None => Plan::Nothing(0),
            })
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
