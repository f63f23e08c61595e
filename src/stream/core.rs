//! What all streams share: the journal, the catalog, and the one path on which everything is written.
//!
//! **Commit**: under the stream's lock, plan against the state in memory, append one record, apply it; then wait for
//! the sync if the level asks; then publish and wake readers. Ordinary operations hold the gate shared; whoever must
//! find no change between its record and its application (a new journal file's snapshot), or have every name stay with its
//! stream (a rename), takes it alone.
//!
//! Locks are taken in this order: gate, catalog, a stream's writer, a stream or several by their numbers, the journal.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::adjustable::Adjustable;
use super::alone::Alone;
use super::catalog::Catalog;
use super::cell::{Inner, StreamCell, Until};
use super::kept::Kept;
use super::owed;
use super::publish::Unpublished;
use super::waiting::Absent;
use super::watch::Watches;
use super::work::Work;
use crate::clock::{Clock, millis};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::journal::{Journal, Lsn};
use crate::log::header::Identity;
use crate::log::segment::At;
use crate::log::stream_log::Blocks;
use crate::log::writer::Roll;
use crate::log::{Block, BlockCache, Lookup, Segment, SegmentFiles};
use crate::options::{Durability, Options};
use crate::state::Tables;
use crate::state::change::{Added, Bodies, Change, encode_added, encode_change};
use crate::state::snapshot::{Snapshot, StreamSnapshot};
use crate::storage::Storage;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) adjustable: Adjustable,
    pub(crate) directory: Identity,
    pub(crate) journal: Journal,
    pub(crate) files: SegmentFiles,
    pub(crate) cache: BlockCache,
    gate: RwLock<()>,
    pub(super) catalog: RwLock<Catalog>,
    /// Who waits for names that are not in the catalog.
    pub(crate) absent: Absent,
    /// Streams with entries that wait for a sync to be seen.
    pub(super) unpublished: Unpublished,
    /// What the thread that is alone does, if one is.
    pub(super) alone: Alone,
    pub(crate) watches: Arc<Watches>,
    /// What all tails hold in memory.
    pub(super) tail_bytes: AtomicUsize,
    closed: AtomicBool,
    /// Counts the consumers' handles: see [`Pending::stamp`](crate::state::Pending).
    pub(crate) sessions: AtomicU32,
    pub(crate) work: Work,
    /// For the thread that writes tails and makes journal files ready: a checkpoint under way must not keep it.
    pub(crate) flush_work: Work,
    /// The shortest interval that anybody's durability was, in milliseconds; `u64::MAX` if nobody's was one.
    sync_interval_ms: AtomicU64,
    /// For the thread that syncs: a checkpoint under way must not stretch the interval.
    pub(crate) sync_work: Work,
    /// Also the turn to write a checkpoint.
    pub(crate) tables: Mutex<Kept>,
    /// What the journal had appended when the last checkpoint began, and when the last one that is done did.
    pub(crate) checkpoint_begun: AtomicU64,
    pub(crate) checkpoint_done: AtomicU64,
    /// Whether something could not be written for want of room, or the journal is over its limit and cannot be given up:
    /// no entry is added until there is room again. What frees room goes on.
    pub(super) short_of_room: AtomicBool,
    /// The turn of those who found the journal over its limit.
    pub(super) over_limit: Mutex<()>,
}

/// What an operation decided under the stream's lock.
pub(crate) enum Plan<T> {
    /// Record these entries and then these changes, and return the value.
    Write { ids: Ids, changes: Vec<Change>, value: T },
    /// There is nothing to record.
    Nothing(T),
    /// A block must be loaded first; the operation then plans again.
    Load(Segment, At),
}

impl<T> Plan<T> {
    pub(crate) fn change(change: Change, value: T) -> Plan<T> {
        Plan::of(vec![change], value)
    }

    /// These changes, which may be none.
    pub(crate) fn of(changes: Vec<Change>, value: T) -> Plan<T> {
        if changes.is_empty() { Plan::Nothing(value) } else { Plan::Write { ids: Ids::None, changes, value } }
    }
}

/// What a record is to do to one stream.
pub(super) struct Part<'a> {
    pub(super) cell: &'a Arc<StreamCell>,
    pub(super) stream: &'a mut Inner,
    /// Its creation, if that is part of it: it comes first.
    pub(super) created: Option<&'a Change>,
    pub(super) added: Added<'a>,
    pub(super) changes: &'a [Change],
}

/// What became of a change.
pub(super) enum Made {
    /// It is recorded and applied. Whom to wake, and what all tails hold.
    Done { lsn: Lsn, woken: Vec<Waker>, tail_bytes: usize },
    /// The journal's file has no room for so many bytes more: nothing was done.
    NoRoom(u64),
}

/// The IDs of the entries to be added.
#[derive(Debug, Default, Clone)]
pub(crate) enum Ids {
    #[default]
    None,
    One([Id; 1]),
    Many(Vec<Id>),
}

impl Ids {
    pub(crate) fn as_slice(&self) -> &[Id] {
        match self {
            Ids::None => &[],
            Ids::One(id) => id,
            Ids::Many(ids) => ids,
        }
    }
}

/// Takes the value of a look-up, or leaves the planning closure to have its block loaded.
macro_rules! found {
    ($lookup:expr) => {
        match $lookup {
            crate::log::Lookup::Found(value) => value,
            crate::log::Lookup::Load(segment, at) => return Ok(crate::stream::core::Plan::Load(segment, at)),
        }
    };
}
pub(crate) use found;

impl Core {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        options: Options,
        directory: Identity,
        journal: Journal,
        tables: Tables,
        catalog: Catalog,
    ) -> Core {
        Core {
            files: SegmentFiles::new(Arc::clone(&storage), options.open_files_max),
            cache: BlockCache::new(options.cache_bytes),
            storage,
            clock,
            options,
            adjustable: Adjustable::default(),
            directory,
            journal,
            gate: RwLock::default(),
            catalog: RwLock::new(catalog),
            absent: Absent::default(),
            unpublished: Unpublished::default(),
            alone: Alone::default(),
            watches: Arc::default(),
            tail_bytes: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            sessions: AtomicU32::new(0),
            work: Work::default(),
            flush_work: Work::default(),
            sync_interval_ms: AtomicU64::new(u64::MAX),
            sync_work: Work::default(),
            tables: Mutex::new(Kept::Open(tables)),
            checkpoint_begun: AtomicU64::new(0),
            checkpoint_done: AtomicU64::new(0),
            short_of_room: AtomicBool::new(false),
            over_limit: Mutex::default(),
        }
    }

    /// The gate; `None` for the thread that is alone in it.
    pub(crate) fn gate(&self) -> Option<RwLockReadGuard<'_, ()>> {
        if self.is_alone() { None } else { Some(self.gate.read().unwrap_or_else(PoisonError::into_inner)) }
    }

    /// The gate, with nobody else in it; `None` for the thread that is alone in it.
    pub(super) fn gate_alone(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        if self.is_alone() { None } else { Some(self.gate.write().unwrap_or_else(PoisonError::into_inner)) }
    }

    pub(crate) fn roll(&self) -> Roll {
        Roll { bytes: self.options.segment_bytes, age_ms: millis(self.options.segment_age) }
    }

    /// # Errors
    ///
    /// `Closed` once the broker is.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::closed()) } else { Ok(()) }
    }

    /// Refuses every operation from now on and wakes all who wait, to be told so. Returns whether this was the first.
    pub(crate) fn set_closed(&self) -> bool {
        // Alone: whoever passed the check before has applied its change.
        let gate = self.gate_alone();
        let first = !self.closed.swap(true, Ordering::AcqRel);
        drop(gate);
        self.wake_everybody();
        first
    }

    /// Sees to it that nothing of this broker writes to the directory any more, whoever still has a handle: another broker
    /// may open it next.
    pub(crate) fn stop_writing(&self) {
        self.journal.stop();
        // Whoever flushes holds its stream's writer, and looks at the journal first.
        for cell in self.cells() {
            drop(cell.lock_writer());
        }
        if let Err(error) = self.close_tables() {
            tracing::warn!(%error, "redb is written anew at the next opening");
        }
    }

    /// Closes redb: nothing is written to it any more.
    ///
    /// # Errors
    ///
    /// If not all of it could be written.
    pub(crate) fn close_tables(&self) -> Result<()> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).close()
    }

    /// Wakes all who wait, to find out why.
    pub(crate) fn wake_everybody(&self) {
        for cell in self.cells() {
            let waiting = cell.lock().wake_all();
            waiting.into_iter().for_each(Waker::wake);
        }
        self.absent.wake_all();
    }

    /// The one path on which a stream changes. `plan` may be called several times; what it returns last is done.
    /// Returns when `level` is met.
    ///
    /// # Errors
    ///
    /// What `plan` says; `NoSuchStream` if the stream was deleted; `Closed`; `WritesStopped`; what the system says.
    pub(crate) fn commit<T>(
        &self,
        cell: &Arc<StreamCell>,
        level: Durability,
        bodies: &Bodies,
        plan: impl FnMut(&mut Inner, Blocks<'_>) -> Result<Plan<T>>,
    ) -> Result<T> {
        let (value, lsn) = self.record(cell, level, bodies, plan)?;
        self.meet(lsn, level)?;
        Ok(value)
    }

    /// Returns when the record `lsn` is as durable as `level` says.
    pub(super) fn meet(&self, lsn: Lsn, level: Durability) -> Result<()> {
        match level {
            Durability::Always if self.owe_alone(lsn) || owed::note(lsn) => Ok(()),
            Durability::Always => self.sync_to(lsn),
            Durability::Interval(interval) => {
                self.sync_within(interval);
                owed::note_written(lsn);
                Ok(())
            }
            Durability::Os => {
                owed::note_written(lsn);
                Ok(())
            }
        }
    }

    /// When a record is seen that is to be as durable as `level` says.
    pub(super) fn until(&self, level: Durability) -> Until {
        match level {
            Durability::Always => Until::Synced,
            Durability::Interval(_) | Durability::Os if owed::is_owing() && !self.is_alone() => Until::Written,
            Durability::Interval(_) | Durability::Os => Until::Now,
        }
    }

    /// [`commit`](Self::commit) without the wait: returns the record to wait for.
    fn record<T>(
        &self,
        cell: &Arc<StreamCell>,
        level: Durability,
        bodies: &Bodies,
        mut plan: impl FnMut(&mut Inner, Blocks<'_>) -> Result<Plan<T>>,
    ) -> Result<(T, Lsn)> {
        let until = self.until(level);
        let mut held = Vec::new();
        loop {
            let gate = self.gate();
            self.check_open()?;
            let mut stream = cell.lock();
            if cell.is_gone() {
                return Err(Error::no_such_stream(&cell.name));
            }
            let (ids, changes, value) = match plan(&mut stream, Blocks { cache: &self.cache, held: &held })? {
                Plan::Write { ids, changes, value } => (ids, changes, value),
                Plan::Nothing(value) => return Ok((value, self.found_done(until)?)),
                Plan::Load(segment, at) => {
                    drop((stream, gate));
                    held.extend(self.load(cell, &segment, at)?);
                    continue;
                }
            };
            let adds = !ids.as_slice().is_empty();
            if adds && self.is_short_of_room() {
                drop((stream, gate));
                self.make_room()?;
                continue;
            }
            let added = Added { ids: ids.as_slice(), bodies };
            let part = Part { cell, stream: &mut stream, created: None, added, changes: &changes };
            match self.make(until, &mut [part])? {
                Made::Done { lsn, woken, tail_bytes } => {
                    drop((stream, gate));
                    self.wake(woken);
                    self.keep_within_bounds(cell, tail_bytes);
                    return Ok((value, lsn));
                }
                Made::NoRoom(bytes) => {
                    drop((stream, gate));
                    self.rotate(bytes, adds)?;
                }
            }
        }
    }

    /// What was found done already must be as sure as if it had been done now: returns the record to wait for.
    pub(super) fn found_done(&self, until: Until) -> Result<Lsn> {
        self.journal.check()?;
        if until == Until::Now {
            self.journal.write_all()?;
        }
        Ok(self.journal.last_lsn())
    }

    /// Makes what one record is about: of one stream or of several, whose locks the caller holds.
    pub(super) fn make(&self, until: Until, parts: &mut [Part<'_>]) -> Result<Made> {
        let encode = |out: &mut Vec<u8>| {
            for Part { cell, created, added, changes, .. } in &*parts {
                created.iter().for_each(|change| encode_change(cell.number, change, out));
                if !added.ids.is_empty() {
                    encode_added(cell.number, *added, out);
                }
                changes.iter().for_each(|change| encode_change(cell.number, change, out));
            }
        };
        let Some(lsn) = self.append(until == Until::Now, encode)? else {
            let mut record = Vec::new();
            encode(&mut record);
            return Ok(Made::NoRoom(record.len() as u64));
        };
        let (mut woken, mut tail_bytes) = (Vec::new(), 0);
        for Part { cell, stream, created, added, changes } in parts {
            if created.is_some() || !added.ids.is_empty() || changes.iter().any(Change::touches) {
                self.watches.touch(&cell.name);
            }
            let hides = self.hide(cell, stream, created.is_some() || changes.iter().any(Change::shows_at_once));
            for (&id, body) in added.ids.iter().zip(added.bodies.iter()) {
                stream.state.apply_entry(id, body);
            }
            changes.iter().for_each(|change| stream.state.apply(change));
            let mut these = Vec::new();
            if hides {
                stream.show_all();
            } else if stream.has_news() {
                these = self.note_news(cell, stream, lsn, until);
            }
            changes.iter().for_each(|change| these.extend(stream.wake_for(change)));
            woken.append(&mut these);
            tail_bytes = self.count_tail(stream);
        }
        Ok(Made::Done { lsn, woken, tail_bytes })
    }

    /// Returns when the record `lsn` is durable and its entries can be seen.
    ///
    /// # Errors
    ///
    /// What the sync failed with.
    pub(crate) fn sync_to(&self, lsn: Lsn) -> Result<()> {
        self.journal.wait_synced(lsn, |synced| self.publish(synced))
    }

    /// Syncs the journal for a checkpoint: see [`Journal::sync_between`].
    ///
    /// # Errors
    ///
    /// What the sync failed with.
    pub(crate) fn sync_between(&self, floor: Lsn, lsn: Lsn) -> Result<()> {
        self.journal.sync_between(floor, lsn, |synced| self.publish(synced))
    }

    /// Syncs what those asked for who do not sync themselves, until nothing is left of it; a failure is theirs.
    pub(crate) fn sync_asked(&self) {
        while let Some(lsn) = self.journal.asked() {
            if self.sync_to(lsn).is_err() {
                return;
            }
        }
    }

    /// Makes everything recorded so far durable.
    ///
    /// # Errors
    ///
    /// As [`sync_to`](Self::sync_to).
    pub(crate) fn sync(&self) -> Result<()> {
        self.sync_to(self.journal.last_lsn())
    }

    /// Has the background sync this often, or more often if it was asked to.
    pub(crate) fn sync_within(&self, interval: Duration) {
        let ms = millis(interval);
        if ms < self.sync_interval_ms.load(Ordering::Relaxed) {
            self.sync_interval_ms.fetch_min(ms, Ordering::Relaxed);
            self.sync_work.want(Work::INTERVAL);
        }
    }

    /// How often the background is to sync, if it is.
    pub(crate) fn sync_interval(&self) -> Option<Duration> {
        let ms = self.sync_interval_ms.load(Ordering::Relaxed);
        (ms < u64::MAX).then(|| Duration::from_millis(ms.max(1)))
    }

    /// Reads a stream without changing it.
    ///
    /// # Errors
    ///
    /// What `read` says; `NoSuchStream` if the stream was deleted; `Closed`; what the system says; `Corrupt`.
    pub(crate) fn read<T>(
        &self,
        cell: &StreamCell,
        mut read: impl FnMut(&mut Inner, Blocks<'_>) -> Result<Lookup<T>>,
    ) -> Result<T> {
        let mut held = Vec::new();
        loop {
            let mut stream = self.lock_whole(cell);
            // Under the lock: closing wakes those who wait after it has said so, and counts as news for who looked before.
            self.check_open()?;
            if cell.is_gone() {
                return Err(Error::no_such_stream(&cell.name));
            }
            match read(&mut stream, Blocks { cache: &self.cache, held: &held })? {
                Lookup::Found(value) => return Ok(value),
                Lookup::Load(segment, at) => {
                    drop(stream);
                    held.extend(self.load(cell, &segment, at)?);
                }
            }
        }
    }

    /// Loads a block; `None` if what it was of is gone meanwhile, and the caller is to look again.
    pub(super) fn load(&self, cell: &StreamCell, segment: &Segment, at: At) -> Result<Option<Arc<Block>>> {
        let there = |other: &Segment| other.position.first_id == segment.position.first_id && !other.position.hollow;
        segment.load(at, &self.files, &self.cache).map(Some).or_else(|error| {
            let inner = cell.lock();
            // One that was hollow when it was looked up has not become so meanwhile: looking again would never end.
            if !segment.position.hollow && (inner.deleted || !inner.state.log.segments().any(there)) {
                return Ok(None);
            }
            Err(error.in_stream(&cell.name))
        })
    }

    /// Goes on in a new journal file; `adds` says whether for a record that adds entries. Where there is no room for one a
    /// checkpoint gives up others.
    pub(super) fn rotate(&self, record_bytes: u64, adds: bool) -> Result<()> {
        debug_assert!(!self.is_alone(), "a new file's snapshot has nothing that no record has");
        match self.rotate_once(record_bytes, adds) {
            Err(error) if error.is_for_want_of_room() => {
                self.checkpoint().map_err(|_| error)?;
                self.rotate_once(record_bytes, adds)
            }
            rotated => rotated,
        }
    }

    fn rotate_once(&self, record_bytes: u64, adds: bool) -> Result<()> {
        let _alone = self.gate_alone();
        let catalog = self.catalog();
        self.journal.rotate(record_bytes, adds, |first_lsn| {
            let streams = catalog.streams.values().map(|cell| StreamSnapshot::of(&cell.lock().state, first_lsn - 1));
            Snapshot { next_stream: catalog.next_stream, streams: streams.collect() }.encode()
        })
    }
}
