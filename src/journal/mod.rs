//! The journal: every change is first one record here, and only what is here has happened. One log for all streams,
//! so that whatever a crash leaves is one prefix of the broker's history.
//!
//! ```text
//! journal/<first lsn>.log   | header | snapshot | record | record | mark | … zeros or the file's former life
//! ```
//!
//! A record is a frame; its LSN is one more than the record's before it. The journal knows records as bytes: not what
//! they say, nor of streams. It decides what the end of the log is ([`recovery`]) and when bytes are durable ([`sync`]).

pub(crate) mod file;
pub(crate) mod recovery;
pub(crate) mod sync;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use self::file::{Head, JOURNAL, JournalFile, RECORD, Spare, Unbegun};
pub(crate) use self::recovery::{Recovery, files, highest, recover, snapshot};
use self::sync::SyncState;
use crate::error::{Error, ErrorKind, Result};
use crate::log::frame;
use crate::log::header::Identity;
use crate::storage::{File, Storage};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// The number of a record: 1 for the first.
pub(crate) type Lsn = u64;

/// Spares kept ready: one to go on in, and one for when the disk is full, when records that add nothing go on in it.
pub(crate) const SPARES: usize = 1 + RESERVE;
const RESERVE: usize = 1;

/// So many times as many spares are kept, at most, where a checkpoint gives up more files than it is wont to.
const SPARES_FACTOR_MAX: usize = 8;

/// A file that grows, grows by this much more than is asked for.
const GROWS_BY_MAX: u64 = 1 << 20;

/// One large batch must not keep its memory for ever.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// Room kept at a file's end for the mark that a clean close writes.
const MARK_BYTES: u64 = frame::HEADER_LEN as u64;

#[derive(Debug)]
pub(crate) struct Journal {
    storage: Arc<dyn Storage>,
    directory: Identity,
    file_bytes: u64,
    append: Mutex<Append>,
    sync: Mutex<SyncState>,
    /// The last record known to be durable.
    synced: AtomicU64,
    /// The last record that is durable and was published: what waiters wait for.
    settled: AtomicU64,
    /// The last record handed to the operating system.
    written: AtomicU64,
    /// The last record appended.
    last: AtomicU64,
    /// Bytes appended since the journal was opened.
    appended_bytes: AtomicU64,
    /// Whether the current file is half full and none is ready to follow it.
    wants_spare: AtomicBool,
    /// The first write or sync that failed: nothing is written after it.
    failure: OnceLock<Error>,
}

/// The end of the journal, where one appends at a time.
#[derive(Debug)]
struct Append {
    current: JournalFile,
    /// Where `buffer` goes.
    offset: u64,
    /// Records not yet written to the file.
    buffer: Vec<u8>,
    next_lsn: Lsn,
    /// Files before the current one that are not known to be synced, oldest first.
    unsynced: Vec<Filled>,
    /// How many files were begun, and how many of their names are known to be synced.
    begun: u64,
    begun_synced: u64,
    /// Every file, the current one last.
    files: VecDeque<Named>,
    /// Files ready to take the current one's place.
    spares: Vec<Spare>,
    spares_made: u64,
}

/// A file under its name.
#[derive(Debug)]
struct Named {
    first_lsn: Lsn,
    bytes: u64,
    head: Head,
}

/// A file with records up to one.
#[derive(Debug, Clone)]
struct Filled {
    file: Arc<dyn File>,
    last_lsn: Lsn,
}

impl PartialEq for Filled {
    fn eq(&self, other: &Filled) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && self.last_lsn == other.last_lsn
    }
}

/// The journal as it was at one moment, for a copy of it.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) last_lsn: Lsn,
    /// Each file with the bytes to be copied, oldest first.
    pub(crate) files: Vec<(String, u64)>,
    /// What is to follow the last one's bytes: the mark of a journal that was closed, once `last_lsn` is durable.
    pub(crate) mark: Vec<u8>,
}

impl Append {
    /// Whether the current file has room for what waits in the buffer, for `frame_bytes` more, and for a mark.
    fn has_room(&self, frame_bytes: u64) -> bool {
        self.offset + self.buffer.len() as u64 + frame_bytes + MARK_BYTES <= self.current.capacity
    }

    /// The files that are not known to be synced, the current one last.
    fn unsynced(&self) -> Vec<Filled> {
        let current = Filled { file: Arc::clone(&self.current.file), last_lsn: self.next_lsn - 1 };
        self.unsynced.iter().cloned().chain([current]).collect()
    }
}

impl Journal {
    /// Begins a new file after what was recovered; `snapshot` is the state that its first record meets.
    ///
    /// # Errors
    ///
    /// If the file cannot be made durable.
    pub(crate) fn start(
        storage: Arc<dyn Storage>,
        directory: Identity,
        file_bytes: u64,
        first_file_bytes: u64,
        next_lsn: Lsn,
        snapshot: &[u8],
    ) -> Result<Journal> {
        let needed = file::head_len(snapshot) + MARK_BYTES;
        let capacity = first_file_bytes.max(needed);
        let new = file::create(&*storage, directory, next_lsn, next_lsn - 1, capacity, snapshot)?;
        Ok(Journal {
            storage,
            directory,
            file_bytes,
            append: Mutex::new(Append {
                offset: new.head_len,
                files: [Named { first_lsn: next_lsn, bytes: new.capacity, head: new.head.clone() }].into(),
                current: new,
                buffer: Vec::new(),
                next_lsn,
                unsynced: Vec::new(),
                begun: 0,
                begun_synced: 0,
                spares: Vec::new(),
                spares_made: 0,
            }),
            sync: Mutex::default(),
            synced: AtomicU64::new(next_lsn - 1),
            settled: AtomicU64::new(next_lsn - 1),
            written: AtomicU64::new(next_lsn - 1),
            last: AtomicU64::new(next_lsn - 1),
            appended_bytes: AtomicU64::new(0),
            wants_spare: AtomicBool::new(false),
            failure: OnceLock::new(),
        })
    }

    fn append(&self) -> MutexGuard<'_, Append> {
        self.append.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a record with the body that `encode` writes, and if `write` is set hands everything appended so far to
    /// the operating system, so that it survives the process. `None` if the file has no room: [`rotate`](Self::rotate).
    ///
    /// # Errors
    ///
    /// `TooLarge` (an acknowledgement of millions at once); `WritesStopped` if an earlier write failed; otherwise what the
    /// system says.
    pub(crate) fn append_record(&self, write: bool, encode: impl Fn(&mut Vec<u8>)) -> Result<Option<Lsn>> {
        let mut append = self.append();
        self.check()?;
        let append = &mut *append;
        let lsn = append.next_lsn;
        let key = file::key(lsn, self.synced.load(Ordering::Relaxed));
        let start = frame::begin(key, RECORD, &mut append.buffer);
        encode(&mut append.buffer);
        let body = append.buffer.len() - start - frame::HEADER_LEN;
        if body > frame::BODY_LEN_MAX {
            append.buffer.truncate(start);
            append.buffer.shrink_to(BUFFER_BYTES_MAX);
            return Err(Error::too_large("a record", body, frame::BODY_LEN_MAX));
        }
        if !append.has_room(0) {
            append.buffer.truncate(start);
            return Ok(None);
        }
        frame::finish(&append.current.head.salt, start, &mut append.buffer);
        let bytes = append.buffer.len() - start;
        if append.offset > append.current.capacity / 2 && append.spares.len() < SPARES {
            self.wants_spare.store(true, Ordering::Relaxed);
        }
        append.next_lsn += 1;
        self.last.store(lsn, Ordering::Release);
        // Nobody else changes it: under the lock that is cheaper than adding.
        self.appended_bytes.store(self.appended_bytes() + bytes as u64, Ordering::Relaxed);
        if write {
            self.write_out(append)?;
        }
        Ok(Some(lsn))
    }

    /// Hands everything appended so far to the operating system.
    ///
    /// # Errors
    ///
    /// As [`append_record`](Self::append_record).
    pub(crate) fn write_all(&self) -> Result<()> {
        let mut append = self.append();
        if append.buffer.is_empty() {
            return Ok(());
        }
        self.check()?;
        self.write_out(&mut append)
    }

    fn write_out(&self, append: &mut Append) -> Result<()> {
        if append.buffer.is_empty() {
            return Ok(());
        }
        if let Err(error) = append.current.file.write_at(&append.buffer, append.offset) {
            return Err(self.fail(Error::io("writing the journal", error)));
        }
        append.offset += append.buffer.len() as u64;
        self.written.store(append.next_lsn - 1, Ordering::Release);
        append.buffer.clear();
        if append.buffer.capacity() > BUFFER_BYTES_MAX {
            append.buffer.shrink_to(BUFFER_BYTES_MAX);
        }
        Ok(())
    }

    /// Whether the current file has room for a record of so many bytes.
    pub(crate) fn has_room(&self, record_bytes: u64) -> bool {
        self.append().has_room(record_bytes + frame::HEADER_LEN as u64)
    }

    /// Sees to it that the next record may have so many bytes, where going on in a new file comes too late: the current one
    /// grows. Nobody appends meanwhile. Returns how many it may have.
    ///
    /// # Errors
    ///
    /// What the system says. If there is no room nothing has changed; after a sync that failed, writing stops.
    pub(crate) fn reserve(&self, record_bytes: u64) -> Result<u64> {
        let (file, capacity, taken) = {
            let append = self.append();
            let waiting = append.buffer.len() + frame::HEADER_LEN;
            (append.current.file.clone(), append.current.capacity, append.offset + waiting as u64 + MARK_BYTES)
        };
        if taken + record_bytes <= capacity {
            return Ok(capacity - taken);
        }
        // More than is asked for: a record that grows asks again and again.
        let grown = taken + record_bytes + record_bytes.min(GROWS_BY_MAX);
        file::fill(&*file, capacity, grown).map_err(|error| Error::io("making room in the journal", error))?;
        file.sync().map_err(|error| self.fail(Error::io("syncing the journal", error)))?;
        let mut append = self.append();
        append.current.capacity = grown;
        if let Some(current) = append.files.back_mut() {
            current.bytes = grown;
        }
        Ok(grown - taken)
    }

    /// Goes on in a new file, unless the waiting record has room in the current one: of many that met its end one makes
    /// the next for all. The caller sees to it that no change is between its record and its application, so that
    /// `snapshot` is exact; it is called with the LSN that the file begins with. `record_bytes` is the room that the
    /// waiting record needs; one that `adds` entries leaves the last spare to those that do not.
    ///
    /// # Errors
    ///
    /// What the system says. If the new file could not be made nothing has changed, and trying again may help; if it
    /// could not be named, writing stops.
    pub(crate) fn rotate(&self, record_bytes: u64, adds: bool, snapshot: impl FnOnce(Lsn) -> Vec<u8>) -> Result<()> {
        let mut append = self.append();
        self.check()?;
        let append = &mut *append;
        let frame_bytes = record_bytes + frame::HEADER_LEN as u64;
        if append.has_room(frame_bytes) {
            return Ok(());
        }
        self.write_out(append)?;
        let first_lsn = append.next_lsn;
        let snapshot = snapshot(first_lsn);
        let needed = file::head_len(&snapshot) + frame_bytes + MARK_BYTES;
        let left_over = if adds { RESERVE } else { 0 };
        let usable = needed <= self.file_bytes && append.spares.len() > left_over;
        let storage = &*self.storage;
        let spare = match if usable { append.spares.pop() } else { None } {
            Some(spare) => spare,
            None => {
                let capacity = needed.max(self.file_bytes);
                file::make_spare(storage, self.directory, file::spare_name(0), capacity, true)?
            }
        };
        let new = spare.begin(storage, first_lsn, self.synced_lsn(), &snapshot).map_err(|unbegun| match unbegun {
            Unbegun::Nothing(error) => error,
            Unbegun::Named(error) => self.fail(error),
        })?;
        append.begun += 1;
        let old = std::mem::replace(&mut append.current, new);
        if append.files.back().is_some_and(|old| old.first_lsn == first_lsn) {
            // The old file held no record, and the new one has taken its name.
            append.files.pop_back();
        } else {
            append.unsynced.push(Filled { file: old.file, last_lsn: first_lsn - 1 });
        }
        let JournalFile { capacity, ref head, .. } = append.current;
        append.files.push_back(Named { first_lsn, bytes: capacity, head: head.clone() });
        append.offset = append.current.head_len;
        Ok(())
    }

    /// Whether it is time to [`prepare_spare`](Self::prepare_spare).
    pub(crate) fn wants_spare(&self) -> bool {
        self.wants_spare.load(Ordering::Relaxed)
    }

    /// Makes a file ready for the next [`rotate`](Self::rotate), if too few are; returns whether it did.
    ///
    /// # Errors
    ///
    /// What the system says; nothing is lost by it.
    pub(crate) fn prepare_spare(&self) -> Result<bool> {
        self.check()?;
        self.wants_spare.store(false, Ordering::Relaxed);
        let name = {
            let mut append = self.append();
            if append.spares.len() >= SPARES {
                return Ok(false);
            }
            append.spares_made += 1;
            file::spare_name(append.spares_made)
        };
        let spare = file::make_spare(&*self.storage, self.directory, name, self.file_bytes, false)?;
        self.append().spares.push(spare);
        Ok(true)
    }

    /// Gives up the files that hold no record after `floor`, and come before one of which a record is durable. Up to `spares_max` of
    /// them are kept for later use, or more where that many were filled since the last time.
    ///
    /// # Errors
    ///
    /// What the system says; the files are then given up at the next open.
    pub(crate) fn release(&self, floor: Lsn, spares_max: usize) -> Result<()> {
        let doing = |error| Error::io("removing journal files", error);
        let mut given_up = Vec::new();
        let mut kept = Vec::new();
        {
            let mut append = self.append();
            // With a record its file's name and head are durable: where redb is lost, everything is built on those.
            let suffices = floor.saturating_add(1).min(self.synced_lsn());
            let mut released = Vec::new();
            while append.files.get(1).is_some_and(|next| next.first_lsn <= suffices) {
                released.extend(append.files.pop_front());
            }
            let spares_max = spares_max.max(released.len().min(spares_max * SPARES_FACTOR_MAX));
            let surplus = append.spares.len().saturating_sub(spares_max);
            given_up.extend(append.spares.drain(..surplus).map(Spare::into_name));
            for Named { first_lsn, bytes, head } in released {
                let path = file::path(first_lsn);
                if bytes == self.file_bytes && append.spares.len() + kept.len() < spares_max {
                    append.spares_made += 1;
                    kept.push((path, Spare::again(file::spare_name(append.spares_made), head, bytes)));
                } else {
                    given_up.push(path);
                }
            }
        }
        given_up.iter().try_for_each(|path| self.storage.remove(path)).map_err(doing)?;
        if kept.is_empty() {
            return Ok(());
        }
        kept.iter().try_for_each(|(path, spare)| self.storage.rename(path, spare.name())).map_err(doing)?;
        // Before anything is written to them: under its old name a file has to be what it was. It may be this sync that fails
        // for the name of a file begun meanwhile, and no later one is to be believed then.
        self.storage.sync_dir(JOURNAL).map_err(|error| self.fail(doing(error)))?;
        self.append().spares.extend(kept.into_iter().map(|(_, spare)| spare));
        Ok(())
    }

    /// Removes the files made ready, but for `kept` of them: their room is wanted for something else.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn give_up_spares(&self, kept: usize) -> Result<()> {
        let given_up = {
            let mut append = self.append();
            let surplus = append.spares.len().saturating_sub(kept);
            append.spares.drain(..surplus).collect::<Vec<_>>()
        };
        let remove = |spare: Spare| self.storage.remove(&spare.into_name());
        given_up.into_iter().try_for_each(remove).map_err(|error| Error::io("removing journal files", error))
    }

    /// The journal as far as it goes now. Its files stay what they are up to there, and where they are as long as nobody
    /// calls [`release`](Self::release).
    ///
    /// # Errors
    ///
    /// As [`append_record`](Self::append_record).
    pub(crate) fn cut(&self) -> Result<Cut> {
        let mut append = self.append();
        self.check()?;
        self.write_out(&mut append)?;
        let mut files: Vec<_> = append.files.iter().map(|file| (file::path(file.first_lsn), file.bytes)).collect();
        if let Some((_, bytes)) = files.last_mut() {
            *bytes = append.offset;
        }
        let last_lsn = append.next_lsn - 1;
        let mut mark = Vec::new();
        append.current.mark(last_lsn, last_lsn, &mut mark);
        Ok(Cut { last_lsn, files, mark })
    }

    /// Writes a last mark, so that damage anywhere before it is known from a torn tail. Nothing is appended after it.
    ///
    /// # Errors
    ///
    /// What the system says, or that an earlier write failed.
    pub(crate) fn close(&self) -> Result<()> {
        let mut append = self.append();
        self.check()?;
        let append = &mut *append;
        let (lsn, mark) = (append.next_lsn - 1, self.synced_lsn());
        append.current.mark(lsn, mark, &mut append.buffer);
        self.write_out(append)?;
        self.sync_files(&append.unsynced(), append.begun == append.begun_synced)?;
        self.stop();
        Ok(())
    }

    /// Refuses all writes from now on: the broker is closed, and another may have the directory.
    pub(crate) fn stop(&self) {
        let _ = self.failure.set(Error::closed());
        self.wake_failed();
    }

    /// The last record appended.
    pub(crate) fn last_lsn(&self) -> Lsn {
        self.last.load(Ordering::Acquire)
    }

    /// The last record handed to the operating system.
    pub(crate) fn written_lsn(&self) -> Lsn {
        self.written.load(Ordering::Acquire)
    }

    /// The last record known to be durable.
    pub(crate) fn synced_lsn(&self) -> Lsn {
        self.synced.load(Ordering::Acquire)
    }

    /// Bytes appended since the journal was opened.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.appended_bytes.load(Ordering::Relaxed)
    }

    /// `WritesStopped` once a write or sync has failed.
    pub(crate) fn check(&self) -> Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(cause) if cause.kind() == ErrorKind::Closed => Err(cause.again()),
            Some(cause) => {
                let text = format!(
                    "writing has stopped since an earlier failure ({cause}): close the broker and open it again"
                );
                Err(Error::new(ErrorKind::WritesStopped, text).with_source(cause.again()))
            }
        }
    }

    /// Stops all writing because of `error`, which is returned.
    pub(crate) fn fail(&self, error: Error) -> Error {
        tracing::error!(%error, "a write failed: writing stops until the broker is opened again");
        let _ = self.failure.set(error.again());
        self.wake_failed();
        error
    }
}

/// Creates the journal's directory.
pub(crate) fn create_dir(storage: &dyn Storage) -> Result<()> {
    storage.create_dir(JOURNAL).map_err(|error| Error::io("creating the journal", error))
}
