//! One thread alone: whatever calls it makes on a broker's handles are one record, and one moment to everybody else (`EXEC`).
//!
//! It holds the gate alone. Each call plans and applies as ever, on what those before it did; what it would append to the journal
//! is gathered, and appended at the end as the record that all of them expected. Until then nobody else looks at what it
//! touched: streams that are [hidden](super::cell::Inner::hide) and a catalog that is being changed are waited for, at the gate.
//! So nobody is told anything that a crash could take back by halves, and no checkpoint has a stream as no record left it.
//!
//! It sees all that was done before, synced or not, and waits for that sync too.
//!
//! What it did is seen by others at one moment. Entries that wait for a sync, with nothing beside them, wait hidden, like those of
//! an ordinary add. Where there are changes too that show at once, the thread stays alone until it is synced.
//!
//! The record's room is kept before each change is made ([`reserve`](crate::journal::Journal::reserve)), so that the end finds
//! it. Where the record cannot be written all the same, or a call panics between changes, writing stops: what is in memory
//! is not what is on the disk any more.
//!
//! Nothing waits inside: not for entries, not for syncs, not for checkpoints.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use super::cell::{Inner, StreamCell};
use super::core::Core;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::Lsn;
use crate::log::frame::BODY_LEN_MAX;
use crate::options::{Durability, Sabotage};
use crate::state::Change;
use crate::sync::{self, MutexGuard, PoisonError};

/// A journal file with less room than this, or than an eighth of it, is not begun to be filled alone.
const ROOM_BYTES: u64 = 64 << 10;

sync::thread_local! {
    /// The address of the core on which this thread is alone; 0 for none.
    static ALONE: Cell<usize> = const { Cell::new(0) };
}

/// What the thread that is alone does, if one is.
#[derive(Debug, Default)]
pub(super) struct Alone {
    /// Whether there is one: a hint that spares all others the look at their own thread.
    somebody: AtomicBool,
    /// Only that thread takes the lock.
    work: std::sync::Mutex<Option<Gathered>>,
}

/// What calls did that are to be one record.
#[derive(Debug, Default)]
struct Gathered {
    record: Vec<u8>,
    /// How large the record may be without asking again.
    room: u64,
    /// Somebody waits for the sync.
    synced: bool,
    /// The last record before this one that must be durable too.
    owes: Lsn,
    /// Whether something was done that shows at once.
    shows: bool,
    /// Whether nothing may be seen of it before it is synced.
    secret: bool,
    /// The streams that were changed, under one of their names.
    touched: Vec<Arc<StreamCell>>,
    woken: Vec<Waker>,
    /// Names that came into the catalog.
    appeared: Vec<Arc<str>>,
    /// Streams that were deleted.
    buried: Vec<Arc<StreamCell>>,
    /// Why nothing is to be added.
    no_room: Option<Error>,
}

/// Ends it if a call panics.
struct Ends<'a> {
    core: &'a Core,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let Some(gathered) = self.core.gathered().take() else { return };
        if !gathered.record.is_empty() {
            self.core.journal.fail(Error::new(ErrorKind::Io, "a call panicked in the middle of several that are one"));
        }
        self.core.end_alone(&gathered, Lsn::MAX, true).into_iter().chain(gathered.woken).for_each(Waker::wake);
    }
}

impl Core {
    /// Calls `work` while nobody else changes anything, nor looks at what it changes; what it changes is one record. `None`, and
    /// it is not called, if it `may` not any more by then.
    ///
    /// # Errors
    ///
    /// `Closed`; what the system says, and then nothing can be written any more.
    pub(crate) fn alone<T>(&self, may: impl Fn() -> bool, work: impl FnOnce() -> T) -> Result<Option<T>> {
        if !may() {
            return Ok(None);
        }
        if self.is_alone() {
            return Ok(Some(work()));
        }
        let no_room = self.find_room()?;
        let gate = self.gate_alone();
        self.check_open()?;
        if !may() {
            return Ok(None);
        }
        // Nothing waits to be seen that is not owed a sync. Where it cannot be written nothing can, and calls say so.
        let _ = self.write_to(self.journal.last_lsn());
        *self.gathered() = Some(Gathered { no_room, ..Gathered::default() });
        self.alone.somebody.store(true, Ordering::Relaxed);
        ALONE.with(|alone| alone.set(self.address()));
        let ends = Ends { core: self };
        self.show_unpublished();
        let value = work();
        let gathered = self.gathered().take().expect("nobody else takes it");
        drop(ends);
        let Gathered { synced, owes, shows, secret, .. } = gathered;
        self.find_heirs(&gathered.buried);
        let recorded = self.record_gathered(&gathered);
        let lsn = *recorded.as_ref().unwrap_or(&Lsn::MAX);
        // What shows at once would be seen without what waits.
        let hidden = || gathered.touched.iter().any(|cell| cell.lock().hides_news());
        let met = if synced && recorded.is_ok() && (secret || shows && hidden()) { self.sync_to(lsn) } else { Ok(()) };
        let woken = self.end_alone(&gathered, lsn, synced || recorded.is_err());
        drop(gate);
        woken.into_iter().chain(gathered.woken).for_each(Waker::wake);
        gathered.appeared.iter().for_each(|name| self.name_appeared(name));
        recorded.and(met)?;
        for cell in &gathered.touched {
            let tail_bytes = self.count_tail(&mut cell.lock());
            self.keep_within_bounds(cell, tail_bytes);
        }
        if synced {
            self.meet(if gathered.record.is_empty() { owes } else { lsn }, Durability::Always)?;
        }
        Ok(Some(value))
    }

    /// Goes on in a new journal file if the current one is nearly full. Returns why nothing is to be added, if there is no room.
    fn find_room(&self) -> Result<Option<Error>> {
        if self.journal.check().is_err() {
            // Whoever only reads is not to be told.
            return Ok(None);
        }
        let mut no_room = if self.is_short_of_room() { self.make_room().err() } else { None };
        let room = ROOM_BYTES.min(self.options.journal_file_bytes / 8);
        if !self.journal.has_room(room) {
            match self.rotate(room, true) {
                Err(error) if error.is_for_want_of_room() => {
                    no_room = Some(error);
                    match self.rotate(room, false) {
                        // Each call finds that out for itself.
                        Err(error) if error.is_for_want_of_room() => {}
                        rotated => rotated?,
                    }
                }
                rotated => rotated?,
            }
        }
        Ok(no_room)
    }

    /// Shows this thread, which is alone, what was done before and waits to be seen: it is at one moment of the history, and
    /// tells of that when it is durable.
    fn show_unpublished(&self) {
        if self.journal.check().is_err() {
            // What waits now waits for ever.
            return;
        }
        for cell in self.unpublished_cells() {
            let mut stream = cell.lock();
            if stream.waits_to_be_seen() {
                self.hide(&cell, &mut stream, false);
                stream.show_all();
            }
        }
        self.if_alone(|gathered| gathered.owes = self.journal.last_lsn());
    }

    fn record_gathered(&self, gathered: &Gathered) -> Result<Lsn> {
        if gathered.record.is_empty() {
            return Ok(self.journal.last_lsn());
        }
        let appended =
            self.journal.append_record(!gathered.synced, |out| out.extend_from_slice(&gathered.record)).and_then(
                |lsn| lsn.ok_or_else(|| Error::new(ErrorKind::Io, "the room that was kept in the journal is gone")),
            );
        appended.map_err(|error| if self.journal.check().is_ok() { self.journal.fail(error) } else { error })
    }

    /// Has others look again at what was touched. Returns whom to wake.
    fn end_alone(&self, gathered: &Gathered, lsn: Lsn, synced: bool) -> Vec<Waker> {
        let woken = if gathered.touched.is_empty() { Vec::new() } else { self.uncover(&gathered.touched, lsn, synced) };
        // Not before: whoever finds a stream in the catalog looks at it.
        self.catalog.write().unwrap_or_else(PoisonError::into_inner).changing = false;
        ALONE.with(|alone| alone.set(0));
        self.alone.somebody.store(false, Ordering::Relaxed);
        woken
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn gathered(&self) -> std::sync::MutexGuard<'_, Option<Gathered>> {
        self.alone.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `note` if this thread is alone.
    fn if_alone<T>(&self, note: impl FnOnce(&mut Gathered) -> T) -> Option<T> {
        if self.is_alone() { self.gathered().as_mut().map(note) } else { None }
    }

    /// Whether this thread is alone.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone.somebody.load(Ordering::Relaxed) && ALONE.with(|alone| alone.get() == self.address())
    }

    /// Locks a stream, not in the middle of what a thread that is alone does to it.
    pub(crate) fn lock_whole<'a>(&self, cell: &'a StreamCell) -> MutexGuard<'a, Inner> {
        loop {
            if let Some(stream) = self.try_lock_whole(cell) {
                return stream;
            }
            drop(self.gate());
        }
    }

    /// The same; `None` in the middle of that. For those who hold what comes behind the gate: they must not wait at it.
    pub(super) fn try_lock_whole<'a>(&self, cell: &'a StreamCell) -> Option<MutexGuard<'a, Inner>> {
        let stream = cell.lock();
        (stream.hidden.is_none() || self.is_alone()).then_some(stream)
    }

    /// Appends a record, or adds to the one that all of what this thread does will be. Returns its number; `None` if the
    /// journal's file has no room, which does not happen to a thread that is alone.
    ///
    /// # Errors
    ///
    /// As [`append_record`](crate::journal::Journal::append_record); what the system says.
    pub(super) fn append(&self, write: bool, encode: impl Fn(&mut Vec<u8>)) -> Result<Option<Lsn>> {
        let added = self.if_alone(|gathered| {
            self.journal.check()?;
            if self.options.breaks(Sabotage::RecordEach) {
                let mut record = Vec::new();
                encode(&mut record);
                self.journal.reserve(record.len() as u64)?;
                return self.journal.append_record(write, &encode);
            }
            let before = gathered.record.len();
            encode(&mut gathered.record);
            self.keep_room(gathered).inspect_err(|_| gathered.record.truncate(before))?;
            // Nobody else appends meanwhile.
            Ok(Some(self.journal.last_lsn() + 1))
        });
        added.unwrap_or_else(|| self.journal.append_record(write, encode))
    }

    fn keep_room(&self, gathered: &mut Gathered) -> Result<()> {
        let bytes = gathered.record.len();
        if bytes > BODY_LEN_MAX {
            return Err(Error::too_large("a record", bytes, BODY_LEN_MAX));
        }
        if bytes as u64 > gathered.room {
            gathered.room = self.journal.reserve(bytes as u64)?;
        }
        Ok(())
    }

    /// Keeps from all others what is now done to the stream, if this thread is alone; returns whether it is. `shows` says
    /// whether others would see it at once.
    pub(super) fn hide(&self, cell: &Arc<StreamCell>, stream: &mut Inner, shows: bool) -> bool {
        let hidden = self.if_alone(|gathered| {
            gathered.shows |= shows;
            // What nobody may see yet is seen by whoever is alone: it must not be told before it may.
            gathered.synced |= stream.waits_for_sync();
            if stream.hide() {
                gathered.touched.push(Arc::clone(cell));
            }
        });
        hidden.is_some()
    }

    /// Notes that a stream was deleted, if this thread is alone.
    pub(super) fn bury_alone(&self, cell: &Arc<StreamCell>) {
        self.if_alone(|gathered| gathered.buried.push(Arc::clone(cell)));
    }

    /// Has those who wait in streams that others took the place of wait in those: nobody saw what was between.
    fn find_heirs(&self, buried: &[Arc<StreamCell>]) {
        let catalog = self.catalog.read().unwrap_or_else(PoisonError::into_inner);
        for cell in buried {
            catalog.streams.get(&cell.name).iter().for_each(|heir| cell.set_heir(heir));
        }
    }

    /// Notes that a stream came into the catalog, if this thread is alone.
    pub(super) fn appears_alone(&self, name: &str) -> bool {
        self.if_alone(|gathered| gathered.appeared.push(name.into())).is_some()
    }

    /// Notes what this thread is to wait for, if it is alone, until it no longer is.
    pub(super) fn owe_alone(&self, lsn: Lsn) -> bool {
        let owe = |gathered: &mut Gathered| {
            gathered.synced = true;
            gathered.owes = gathered.owes.max(lsn);
        };
        self.if_alone(owe).is_some()
    }

    /// Notes that nothing may be seen of what this thread does before it is synced, if it is alone.
    pub(super) fn keep_secret(&self) -> bool {
        self.if_alone(|gathered| (gathered.synced, gathered.secret) = (true, true)).is_some()
    }

    /// Why this thread, being alone, adds nothing.
    pub(super) fn refused_alone(&self) -> Option<Error> {
        self.if_alone(|gathered| gathered.no_room.as_ref().map(Error::again)).flatten()
    }

    /// Wakes those who wait, or has them woken when this thread is alone no longer.
    pub(super) fn wake(&self, woken: Vec<Waker>) {
        if woken.is_empty() {
            return;
        }
        let mut woken = Some(woken);
        self.if_alone(|gathered| gathered.woken.extend(woken.take().into_iter().flatten()));
        woken.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Change {
    /// Whether others see it before it is synced.
    pub(super) fn shows_at_once(&self) -> bool {
        !matches!(self, Change::Trim { .. } | Change::SetLast { .. } | Change::Produced { .. })
    }

    /// Whether it touches those who watch the stream (`signalModifiedKey`): what changes its entries.
    pub(super) fn touches(&self) -> bool {
        matches!(self, Change::Trim { .. } | Change::TrimSome { .. } | Change::Delete { .. })
    }
}
