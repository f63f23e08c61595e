//! What keeps memory and the journal within their bounds: tails go to segments and checkpoints are written in time, by the
//! background or by those who add. Where there is no room for that, nothing is added until there is.
//!
//! Knows when, and of how much; not how a segment or a checkpoint is written.

use std::cmp::Ordering;
use std::sync::Arc;

use super::cell::{Inner, StreamCell};
use super::core::Core;
use super::work::Work;
use crate::error::{Error, Result};
use crate::journal::SPARES;
use crate::sync::PoisonError;
use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};

impl Core {
    /// What all tails hold in memory.
    #[cfg(any(test, feature = "resp", feature = "simulation"))]
    pub(crate) fn tail_bytes(&self) -> usize {
        self.tail_bytes.load(Relaxed)
    }

    /// Counts what the stream's tail holds; returns what all hold.
    pub(crate) fn count_tail(&self, stream: &mut Inner) -> usize {
        let bytes = if stream.deleted { 0 } else { stream.state.log.tail_bytes() };
        let before = std::mem::replace(&mut stream.counted, bytes);
        let all = &self.tail_bytes;
        match bytes.cmp(&before) {
            Ordering::Equal => all.load(Relaxed),
            Ordering::Greater => all.fetch_add(bytes - before, Relaxed) + (bytes - before),
            Ordering::Less => all.fetch_sub(before - bytes, Relaxed) - (before - bytes),
        }
    }

    /// Sees to it that memory and journal stay within their bounds: asks the background for help, or helps. A failure is
    /// not the caller's, whose change is made; if it stops writing, the next one is told.
    pub(super) fn keep_within_bounds(&self, cell: &Arc<StreamCell>, tail_bytes: usize) {
        if self.is_alone() {
            // When it no longer is.
            return;
        }
        if self.journal.wants_spare() {
            self.flush_work.want(Work::SPARE);
        }
        let since = |bytes: &AtomicU64| self.journal.appended_bytes().saturating_sub(bytes.load(Relaxed));
        if since(&self.checkpoint_begun) > self.options.checkpoint_bytes {
            self.work.want(Work::CHECKPOINT);
        }
        let mut helped = Ok(());
        if self.is_over_limit() {
            let _turn = self.over_limit.lock().unwrap_or_else(PoisonError::into_inner);
            // One checkpoint serves everybody who waits for it here.
            if self.is_over_limit() {
                helped = self.checkpoint();
                if helped.is_err() {
                    self.short_of_room.store(true, Release);
                }
            }
        }
        if tail_bytes > self.options.tail_bytes / 4 {
            self.flush_work.want(Work::FLUSH);
            if tail_bytes > self.options.tail_bytes {
                helped = helped.and_then(|()| self.flush(cell));
            }
        }
        if let Err(error) = helped {
            tracing::warn!(%error, "what keeps memory and journal within their bounds failed");
        }
    }

    fn is_over_limit(&self) -> bool {
        let done = self.checkpoint_done.load(Relaxed);
        self.journal.appended_bytes().saturating_sub(done) > self.options.journal_bytes_max
    }

    pub(crate) fn is_short_of_room(&self) -> bool {
        if self.is_alone() { self.refused_alone().is_some() } else { self.short_of_room.load(Acquire) }
    }

    /// Tries again what could not be written for want of room.
    ///
    /// # Errors
    ///
    /// As before: there is still none.
    pub(crate) fn make_room(&self) -> Result<()> {
        self.journal.check()?;
        if let Some(refused) = self.refused_alone() {
            return Err(refused);
        }
        self.journal.give_up_spares(SPARES)?;
        let waiting = |cell: &&Arc<StreamCell>| cell.lock().state.log.is_flushing();
        let made = self.cells().iter().filter(waiting).try_for_each(|cell| self.flush(cell));
        made.and_then(|()| if self.is_over_limit() { self.checkpoint() } else { Ok(()) })?;
        // Only now: of many who add, the others would pass meanwhile. Whoever fails next says so again.
        self.short_of_room.store(false, Release);
        Ok(())
    }

    /// Writes a stream's tail to its segments.
    ///
    /// # Errors
    ///
    /// What the system says: writing then stops, unless it was for want of room.
    pub(crate) fn flush(&self, cell: &StreamCell) -> Result<()> {
        let mut writer = cell.lock_writer();
        // What an earlier flush could not write comes before the tail.
        let mut waiting = true;
        while waiting {
            self.journal.check()?;
            let begun = {
                let Some(mut stream) = self.try_lock_whole(cell) else {
                    // Not with the writer: a checkpoint in the gate may wait for it, somebody who wants to be alone for the
                    // checkpoint, and this for him.
                    drop(writer);
                    drop(self.gate());
                    writer = cell.lock_writer();
                    continue;
                };
                waiting = stream.state.log.is_flushing();
                writer.set_name(&stream.state.name);
                if stream.deleted { None } else { stream.state.log.begin_flush() }
            };
            let Some((chunk, from, last)) = begun else { return Ok(()) };
            let now_ms = self.clock.now_ms();
            let written = writer
                .write(&self.files, last.as_ref(), &chunk, from, self.roll(), now_ms)
                .map_err(|error| self.failed_to_flush(error.in_stream(&cell.name)))?;
            if written.len() > 1 {
                // A segment is full: retention may drop others.
                self.work.want(Work::TRIM);
            }
            let mut stream = cell.lock();
            stream.state.log.end_flush(written);
            self.count_tail(&mut stream);
        }
        Ok(())
    }

    /// Notes that segments could not be written: for want of room nothing is added until there is some; for any other reason
    /// all writing stops.
    pub(crate) fn failed_to_flush(&self, error: Error) -> Error {
        if error.is_for_want_of_room() {
            self.short_of_room.store(true, Release);
            return error;
        }
        self.journal.fail(error)
    }
}
