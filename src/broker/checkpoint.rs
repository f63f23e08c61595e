//! The checkpoint: what is in memory goes to segments and redb, and the journal before it is given up.
//!
//! Stream by stream: lock, take what changed, unlock; write the segments. Then sync the journal, from where the taking began as far
//! as any of that reaches, for of what came between redb has only a part; sync the segments; commit redb; and only then unlink what
//! redb no longer names. What the journal has from before the taking began is never synced for a checkpoint's sake. On a full disk,
//! where redb cannot be written, what was trimmed goes before, once the records that gave it up are durable. A crash at any
//! point leaves redb with the last commit, and segments longer than it says.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::journal::Lsn;
use crate::log::SegmentFiles;
use crate::log::stream_log::Flush;
use crate::log::writer::{Roll, Written};
use crate::options::Sabotage;
use crate::state::delta::StreamDelta;
use crate::state::tables::{Commit, Meta};
use crate::stream::cell::{Inner, StreamCell};
use crate::stream::core::Core;
use crate::stream::kept::{GivenUp, Kept};
use crate::sync::atomic::Ordering;
use crate::sync::{MutexGuard, PoisonError};

/// What a checkpoint took of a stream: what changed, and what of its segments is to be made durable before that is believed.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) delta: StreamDelta,
    pub(super) written: Written,
}

/// Writes a stream's tail to its segments and takes what else changed: the stream as of the record that `covered`
/// gives, under the stream's `lock`, taken where it has nothing that no record has. `None` if nothing changed.
pub(super) fn take(
    files: &SegmentFiles,
    cell: &StreamCell,
    roll: Roll,
    now_ms: u64,
    lock: impl Fn(&StreamCell) -> MutexGuard<'_, Inner>,
    covered: impl FnOnce() -> Lsn,
) -> Result<Option<Taken>> {
    let mut writer = cell.lock_writer();
    writer.set_name(&cell.lock().state.name);
    let mut write = |(chunk, from, last): Flush| {
        let written = writer.write(files, last.as_ref(), &chunk, from, roll, now_ms);
        written.map_err(|error| error.in_stream(&cell.name))
    };
    // What an earlier flush could not write: the delta must come with the whole tail.
    let waiting = {
        let mut inner = cell.lock();
        if inner.state.log.is_flushing() && !inner.deleted { inner.state.log.begin_flush() } else { None }
    };
    if let Some(begun) = waiting {
        let written = write(begun)?;
        cell.lock().state.log.end_flush(written);
    }
    let (delta, begun) = {
        let mut inner = lock(cell);
        if inner.deleted {
            return Ok(None);
        }
        (inner.state.take_delta(covered()), inner.state.log.begin_flush())
    };
    let Some(mut delta) = delta else { return Ok(None) };
    if let Some(begun) = begun {
        match write(begun) {
            Ok(written) => {
                delta.add_segments(&written);
                cell.lock().state.log.end_flush(written);
            }
            Err(error) => {
                cell.lock().state.put_back(delta);
                return Err(error);
            }
        }
    }
    // Synced later, and not under the writer: that takes long, and those who add would wait when their tail is full.
    Ok(Some(Taken { delta, written: writer.take_unsynced() }))
}

impl Core {
    /// Writes a checkpoint. One at a time; whoever comes second waits, and then writes one of its own.
    ///
    /// # Errors
    ///
    /// `WritesStopped`; what the system says. Writing then stops if it was the journal or a segment that failed; if it was
    /// redb the journal keeps what redb lacks, and the next checkpoint writes a new file of all that is in memory.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        let mut kept = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        self.checkpoint_in_turn(&mut kept)
    }

    /// Writes a checkpoint; the caller has the turn.
    pub(super) fn checkpoint_in_turn(&self, kept: &mut Kept) -> Result<()> {
        let in_doubt = matches!(kept, Kept::InDoubt(_));
        let mut written = self.write_checkpoint(kept);
        if let Err(error) = &written
            && !in_doubt
            && matches!(kept, Kept::InDoubt(_))
        {
            tracing::warn!(%error, "a checkpoint failed, and redb is written anew");
            written = self.write_checkpoint(kept);
        }
        if written.as_ref().is_err_and(Error::is_for_want_of_room) && self.free_what_is_trimmed(kept)? {
            written = self.write_checkpoint(kept);
        }
        written
    }

    /// Removes the files of trimmed segments and deleted streams before redb has given them up, where that could not be
    /// written for want of room; returns whether there were any. Once the records that gave them up are durable no opening
    /// looks for them, whatever redb names.
    fn free_what_is_trimmed(&self, kept: &mut Kept) -> Result<bool> {
        let mut given_up = match kept {
            Kept::InDoubt(owed) => std::mem::take(owed),
            _ => GivenUp::default(),
        };
        for cell in self.cells() {
            // Nobody is writing to them.
            let _writer = cell.lock_writer();
            given_up.add_segments(cell.number, cell.lock().state.log.take_dropped());
        }
        // redb still has their rows: they stay in the catalog for the next commit.
        given_up.streams.extend(self.catalog().deleted.iter().map(Arc::clone));
        if given_up.is_empty() {
            return Ok(false);
        }
        self.sync()?;
        self.unlink(kept, given_up)?;
        Ok(true)
    }

    /// Removes files that are given up. What cannot be now, for want of room, goes with the next checkpoint.
    fn unlink(&self, kept: &mut Kept, mut given_up: GivenUp) -> Result<()> {
        given_up.unlink(&self.files).map_err(|error| {
            if error.is_for_want_of_room() {
                kept.owe(given_up);
                return error;
            }
            self.journal.fail(error)
        })
    }

    fn write_checkpoint(&self, kept: &mut Kept) -> Result<()> {
        match kept {
            Kept::Closed => return Err(Error::closed()),
            Kept::InDoubt(_) => self.cells().iter().for_each(|cell| cell.lock().state.mark_all()),
            Kept::Open(_) => {}
        }
        self.journal.check()?;
        let appended = self.journal.appended_bytes();
        self.checkpoint_begun.store(appended, Ordering::Relaxed);
        // The less is written while streams are taken, the less of the journal is to be synced.
        if let Err(error) = self.flush_step() {
            if !error.is_for_want_of_room() {
                return Err(error);
            }
            // It may be files to be opened that there is no room for: those that are held until they are synced.
            self.sync_segments()?;
        }
        let (commit, deleted) = self.collect_checkpoint().map_err(|error| self.failed_to_flush(error))?;
        let given_up = GivenUp::of(&commit.deltas, deleted);
        let Meta { floor, covered, .. } = commit.meta;
        self.journal.check()?;
        let given_up = kept.commit(&*self.storage, &commit, given_up)?;
        self.journal.note_durable(floor, covered);
        self.checkpoint_done.store(appended, Ordering::Relaxed);
        for cell in &given_up.streams {
            self.cache.forget(cell.number);
        }
        // What is left over is swept at the next opening, unless the close is clean.
        self.unlink(kept, given_up)?;
        // The last checkpoint, of a broker that closes, leaves none.
        let is_open = u64::from(self.check_open().is_ok());
        let spares_max = is_open * (self.options.checkpoint_bytes / self.options.journal_file_bytes.max(1) + 2);
        self.journal.release(floor, spares_max as usize)
    }

    fn collect_checkpoint(&self) -> Result<(Commit, Vec<Arc<StreamCell>>)> {
        let (mut taken, mut deleted) = (Vec::new(), Vec::new());
        let collected = self.take_streams(&mut taken, &mut deleted).and_then(|meta| {
            if !self.options.breaks(Sabotage::CheckpointBeforeJournal) {
                // Before the segments: it has grown less.
                self.sync_between(meta.floor, meta.covered)?;
            }
            taken.iter_mut().try_for_each(|(_, taken)| taken.written.sync(&self.files)).map(|()| meta)
        });
        match collected {
            Ok(meta) => {
                let deltas = taken.into_iter().map(|(_, taken)| taken.delta).collect();
                let deleted_streams = deleted.iter().map(|cell| cell.number).collect();
                Ok((Commit { meta, deltas, deleted_streams }, deleted))
            }
            Err(error) => {
                for (cell, Taken { delta, written }) in taken {
                    cell.lock_writer().put_back(written);
                    cell.lock().state.put_back(delta);
                }
                self.catalog_mut().deleted.append(&mut deleted);
                Err(error)
            }
        }
    }

    fn take_streams(
        &self,
        taken: &mut Vec<(Arc<StreamCell>, Taken)>,
        deleted: &mut Vec<Arc<StreamCell>>,
    ) -> Result<Meta> {
        // Whatever is recorded up to here is applied before its stream's lock is free again, so that taking each
        // stream after this point covers it.
        let floor = self.journal.last_lsn();
        let begun = self.catalog().streams.clone();
        let mut take = |cell: &Arc<StreamCell>| {
            let Some(of_this) = self.take_stream(cell)? else { return Ok(()) };
            taken.push((Arc::clone(cell), of_this));
            match taken.last_mut() {
                Some((_, of_this)) if self.files.holds_many() => of_this.written.sync(&self.files),
                _ => Ok(()),
            }
        };
        begun.values().try_for_each(&mut take)?;
        // The catalog last, with the streams created meanwhile, and those renamed: redb must not have one under a name that
        // another has by now. Of these there may be two deltas, the later of which is written over the earlier.
        let _gate = self.gate();
        let mut catalog = self.catalog_mut();
        let is_new = |cell: &&Arc<StreamCell>| begun.get(&cell.name).is_none_or(|known| !Arc::ptr_eq(known, cell));
        catalog.streams.values().filter(is_new).try_for_each(take)?;
        // Nothing fails from here on.
        deleted.append(&mut catalog.deleted);
        let catalog_lsn = self.journal.last_lsn();
        let covered = taken.iter().map(|(_, taken)| taken.delta.row.covered).fold(floor.max(catalog_lsn), Lsn::max);
        Ok(Meta { floor, covered, catalog: catalog_lsn, next_stream: catalog.next_stream, journal: true })
    }

    /// Makes durable what streams have written to their segments.
    fn sync_segments(&self) -> Result<()> {
        self.cells().iter().try_for_each(|cell| {
            let mut written = cell.lock_writer().take_unsynced();
            written.sync(&self.files).map_err(|error| {
                cell.lock_writer().put_back(written);
                self.failed_to_flush(error)
            })
        })
    }

    fn take_stream(&self, cell: &StreamCell) -> Result<Option<Taken>> {
        let taken = take(
            &self.files,
            cell,
            self.roll(),
            self.clock.now_ms(),
            |cell| self.lock_whole(cell),
            || self.journal.last_lsn(),
        )?;
        self.count_tail(&mut cell.lock());
        Ok(taken)
    }
}
