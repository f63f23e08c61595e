//! What the one who writes checkpoints keeps between them: redb, and the files that a commit gives up.
//!
//! A commit that failed leaves redb in doubt: perhaps it is on disk, perhaps half of it, and opened again in place the file
//! can become unopenable. A new one of all that is in memory then takes its place; until it can be written the journal
//! has what redb lacks.

use std::io;
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

    /// Removes the files, for good: after a clean close nobody looks for what a loss of power brings back. If it fails
    /// what is left here is what is still to be removed: a segment of a stream whose directory is gone would be missed.
    pub(crate) fn unlink(&mut self, files: &SegmentFiles) -> Result<()> {
        // First, while the names are there.
        while let Some(&(stream, first_id, begin)) = self.hollow.last() {
            if !self.streams.iter().any(|cell| cell.number == stream) {
                files.cut(stream, first_id, begin)?;
            }
            self.hollow.pop();
        }
        while let Some((stream, first_ids)) = self.segments.last() {
            files.remove_all(*stream, first_ids)?;
            self.segments.pop();
        }
        while let Some(cell) = self.streams.last() {
            // Nobody writes there any more: a flush that was under way when the stream was deleted has ended.
            cell.lock_writer().forget();
            files.remove_stream(cell.number)?;
            self.streams.pop();
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
    ///
    /// # Errors
    ///
    /// If it is not as whoever opens it in place must find it.
    pub(crate) fn close(&mut self) -> Result<()> {
        match std::mem::replace(self, Kept::Closed) {
            Kept::Open(tables) => tables.close(),
            // Somebody's checkpoint may have come after the closing one.
            Kept::InDoubt(_) => Err(Error::io("closing redb", io::Error::other("its last commit failed"))),
            Kept::Closed => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The story: a call that was still under way wrote a checkpoint after the one of the close, and redb failed. The journal
    /// was marked as closed, so the next opening would have taken redb for whole and written to it in place.
    #[test]
    fn closing_says_that_redb_is_in_doubt() {
        let mut kept = Kept::InDoubt(GivenUp::default());
        kept.close().unwrap_err();
        kept.close().unwrap();
    }
}
