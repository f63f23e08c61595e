//! The checkpoint: what is in memory goes to segments and redb, and the journal before it is given up.
//!
//! Stream by stream: lock, take what changed, unlock; write and sync the segments. Then sync the journal as far as any of
//! that reaches, for redb must not be ahead of it; commit redb; and only then unlink what redb no longer names. Nothing
//! else unlinks. A crash at any point leaves redb with the last commit, and segments longer than it says.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::error::{Error, Result};
use crate::journal::Lsn;
use crate::log::SegmentFiles;
use crate::log::files::{STREAMS, parse_segment_name, stream_dir};
use crate::log::writer::Roll;
use crate::state::delta::StreamDelta;
use crate::state::tables::{Commit, Meta, Tables};
use crate::storage::Storage;
use crate::stream::cell::StreamCell;
use crate::stream::core::Core;

/// Writes a stream's tail to its segments, synced, and takes what else changed: the stream as of the record that `covered`
/// gives, under the stream's lock. `None` if nothing changed.
pub(super) fn take(
    files: &SegmentFiles,
    cell: &StreamCell,
    roll: Roll,
    now_ms: u64,
    covered: impl FnOnce() -> Lsn,
) -> Result<Option<StreamDelta>> {
    let mut writer = cell.lock_writer();
    let (delta, begun) = {
        let mut inner = cell.lock();
        if inner.deleted {
            return Ok(None);
        }
        (inner.state.take_delta(covered()), inner.state.log.begin_flush())
    };
    let Some(mut delta) = delta else { return Ok(None) };
    if let Some((chunk, from, last)) = begun {
        let written = writer
            .write(files, last.as_ref(), &chunk, from, roll, now_ms)
            .map_err(|error| error.in_stream(&cell.name))?;
        delta.add_segments(&written);
        cell.lock().state.log.end_flush(written);
    }
    writer.sync(files)?;
    Ok(Some(delta))
}

/// Removes the files of segments and streams that redb no longer names, for good: after a clean close nobody looks for
/// what a loss of power brings back.
pub(super) fn unlink(files: &SegmentFiles, deltas: &[StreamDelta], deleted: &[Arc<StreamCell>]) -> Result<()> {
    for delta in deltas {
        if !delta.dropped.is_empty() {
            files.remove_all(delta.stream, &delta.dropped)?;
        }
        for position in delta.row.segments.iter().filter(|position| delta.hollowed.contains(&position.first_id)) {
            files.cut(delta.stream, position.first_id, position.begin)?;
        }
    }
    for cell in deleted {
        // Nobody writes there any more: a flush that was under way when the stream was deleted has ended.
        let mut writer = cell.lock_writer();
        writer.forget();
        remove_stream(files.storage(), cell.number)?;
        files.forget(cell.number);
    }
    Ok(())
}

/// Removes a stream's segments, and its directory unless it holds something else, for good.
pub(super) fn remove_stream(storage: &dyn Storage, number: u64) -> Result<()> {
    let dir = stream_dir(number);
    let doing = |error| Error::io(format_args!("removing {dir}"), error);
    let names = match storage.list(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        names => names.map_err(doing)?,
    };
    let (segments, unknown): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| parse_segment_name(name).is_some());
    for name in segments {
        storage.remove(&format!("{dir}/{name}")).map_err(doing)?;
    }
    if let Some(name) = unknown.first() {
        tracing::warn!(name, "an unknown file in {dir}, a deleted stream's directory, is left alone");
        return storage.sync_dir(&dir).map_err(doing);
    }
    storage.remove_dir(&dir).map_err(doing)?;
    storage.sync_dir(STREAMS).map_err(doing)
}

impl Core {
    /// Writes a checkpoint. One at a time; whoever comes second waits, and then writes one of its own.
    ///
    /// # Errors
    ///
    /// `WritesStopped`; what the system says: writing then stops.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        self.checkpoint_in_turn(tables.as_ref().ok_or_else(Error::closed)?)
    }

    /// Writes a checkpoint; the caller has the turn.
    pub(super) fn checkpoint_in_turn(&self, tables: &Tables) -> Result<()> {
        self.journal.check()?;
        let appended = self.journal.appended_bytes();
        self.checkpoint_begun.store(appended, Ordering::Relaxed);
        let (commit, deleted) = self.collect_checkpoint().map_err(|error| self.journal.fail(error))?;
        #[cfg(any(test, feature = "simulation"))]
        let sync = !self.sabotage.load(Ordering::Relaxed);
        #[cfg(not(any(test, feature = "simulation")))]
        let sync = true;
        if sync {
            self.sync_to(commit.meta.covered)?;
        }
        // A flush that failed meanwhile has its entries nowhere on disk; it stopped writing under its writer's lock.
        self.journal.check()?;
        tables.commit(&commit).map_err(|error| self.journal.fail(error))?;
        self.checkpoint_done.store(appended, Ordering::Relaxed);
        for cell in &deleted {
            self.cache.forget(cell.number);
        }
        // What is left over is swept at the next opening, unless the close is clean.
        unlink(&self.files, &commit.deltas, &deleted).map_err(|error| self.journal.fail(error))?;
        let spares_max = self.options.checkpoint_bytes / self.options.journal_file_bytes.max(1) + 1;
        self.journal.release(commit.meta.floor, spares_max as usize)
    }

    fn collect_checkpoint(&self) -> Result<(Commit, Vec<Arc<StreamCell>>)> {
        // Whatever is recorded up to here is applied before its stream's lock is free again, so that taking each
        // stream after this point covers it.
        let floor = self.journal.last_lsn();
        let (cells, first_new) = {
            let catalog = self.catalog();
            (catalog.streams.values().map(Arc::clone).collect::<Vec<_>>(), catalog.next_stream)
        };
        let mut deltas = Vec::new();
        for cell in cells {
            deltas.extend(self.take_stream(&cell)?);
        }
        // The catalog last, with the streams created meanwhile.
        let mut catalog = self.catalog_mut();
        let new = catalog.streams.values().filter(|cell| cell.number >= first_new).map(Arc::clone).collect::<Vec<_>>();
        for cell in new {
            deltas.extend(self.take_stream(&cell)?);
        }
        let deleted = std::mem::take(&mut catalog.deleted);
        let catalog_lsn = self.journal.last_lsn();
        let covered = deltas.iter().map(|delta| delta.row.covered).fold(floor.max(catalog_lsn), Lsn::max);
        let meta = Meta { floor, covered, catalog: catalog_lsn, next_stream: catalog.next_stream, journal: true };
        let deleted_streams = deleted.iter().map(|cell| cell.number).collect();
        Ok((Commit { meta, deltas, deleted_streams }, deleted))
    }

    fn take_stream(&self, cell: &StreamCell) -> Result<Option<StreamDelta>> {
        let delta = take(&self.files, cell, self.roll(), self.clock.now_ms(), || self.journal.last_lsn())?;
        self.count_tail(&mut cell.lock());
        Ok(delta)
    }
}
