//! What the one who writes checkpoints keeps between them: redb, and the files that a commit gives up.
//!
//! A commit that failed leaves redb in doubt: perhaps it is on disk, perhaps half of it, and opened again in place the file
//! can become unopenable. A new one of all that is in memory then takes its place; until it can be written the journal
//! has what redb lacks.

use std::sync::Arc;

use super::cell::StreamCell;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::log::SegmentFiles;
use crate::state::Tables;
use crate::state::delta::StreamDelta;
use crate::state::tables::{Base, Commit};
use crate::storage::Storage;

/// Files that redb no longer names once a checkpoint is committed.
#[derive(Debug, Default)]
pub(crate) struct GivenUp {
    segments: Vec<(u64, Vec<Id>)>,
    /// Segments to be cut to their headers: the stream, the first ID, the header's length.
    hollow: Vec<(u64, Id, u64)>,
    pub(crate) streams: Vec<Arc<StreamCell>>,
}

impl GivenUp {
    pub(crate) fn of(deltas: &[StreamDelta], deleted: Vec<Arc<StreamCell>>) -> GivenUp {
        let dropped = deltas.iter().filter(|delta| !delta.dropped.is_empty());
        let hollow = deltas.iter().flat_map(|delta| {
            let hollowed = delta.row.segments.iter().filter(|position| delta.hollowed.contains(&position.first_id));
            hollowed.map(|position| (delta.stream, position.first_id, position.begin))
        });
        GivenUp {
            hollow: hollow.collect(),
            segments: dropped.map(|delta| (delta.stream, delta.dropped.clone())).collect(),
            streams: deleted,
        }
    }

    pub(crate) fn add_segments(&mut self, stream: u64, first_ids: Vec<Id>) {
        if !first_ids.is_empty() {
            self.segments.push((stream, first_ids));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.hollow.is_empty() && self.streams.is_empty()
    }

    fn extend(&mut self, other: GivenUp) {
        self.segments.extend(other.segments);
        self.hollow.extend(other.hollow);
        self.streams.extend(other.streams);
    }

    /// Removes the files, for good: after a clean close nobody looks for what a loss of power brings back.
    pub(crate) fn unlink(&self, files: &SegmentFiles) -> Result<()> {
        // First, while the names are there.
        for &(stream, first_id, begin) in &self.hollow {
            if !self.streams.iter().any(|cell| cell.number == stream) {
                files.cut(stream, first_id, begin)?;
            }
        }
        for (stream, first_ids) in &self.segments {
            files.remove_all(*stream, first_ids)?;
        }
        for cell in &self.streams {
            // Nobody writes there any more: a flush that was under way when the stream was deleted has ended.
            let mut writer = cell.lock_writer();
            writer.forget();
            files.remove_stream(cell.number)?;
        }
        Ok(())
    }
}

/// Redb as the one whose turn it is to write a checkpoint finds it.
#[derive(Debug)]
pub(crate) enum Kept {
    Open(Tables),
    /// A commit failed: nothing is known of the file, and another is to take its place. What the commits that failed would
    /// have given up.
    InDoubt(GivenUp),
    /// The broker is closed.
    Closed,
}

impl Kept {
    /// Commits everything there is if the file is in doubt, what changed otherwise; afterwards nothing names what is
    /// returned.
    pub(crate) fn commit(&mut self, storage: &dyn Storage, commit: &Commit, given_up: GivenUp) -> Result<GivenUp> {
        let failed = match self {
            Kept::Open(tables) => match tables.commit(commit) {
                Ok(()) => return Ok(given_up),
                Err(error) => {
                    *self = Kept::InDoubt(given_up);
                    error
                }
            },
            Kept::InDoubt(owed) => {
                owed.extend(given_up);
                match Tables::replace(storage, Base::Nothing, commit) {
                    Ok(tables) => {
                        let owed = std::mem::take(owed);
                        *self = Kept::Open(tables);
                        return Ok(owed);
                    }
                    Err(error) => error,
                }
            }
            Kept::Closed => Error::closed(),
        };
        Err(failed)
    }

    /// Takes note of what is still to be removed: with the next checkpoint, which writes everything.
    pub(crate) fn owe(&mut self, given_up: GivenUp) {
        match self {
            Kept::Open(_) => *self = Kept::InDoubt(given_up),
            Kept::InDoubt(owed) => owed.extend(given_up),
            Kept::Closed => {}
        }
    }

    /// Closes the file for good.
    pub(crate) fn close(&mut self) -> Result<()> {
        match std::mem::replace(self, Kept::Closed) {
            Kept::Open(tables) => tables.close(),
            Kept::InDoubt(_) | Kept::Closed => Ok(()),
        }
    }
}
