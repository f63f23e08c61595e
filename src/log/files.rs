//! The files of segments: their names, and a bounded number of open ones. Knows no formats.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use super::segment::read_exact;
use crate::error::{Error, Result, too_many_open};
use crate::id::Id;
use crate::storage::{File, Storage};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, PoisonError};

/// The directory of all streams.
pub(crate) const STREAMS: &str = "streams";

/// A segment that is being cut. In the root: in a stream's directory it would be one file more to be told from others'.
const CUT: &str = "segment.new";

/// The directory of one stream.
pub(crate) fn stream_dir(stream: u64) -> String {
    format!("{STREAMS}/{stream}")
}

/// The path of the segment of `stream` whose first entry is `first_id`. Names sort as the IDs do.
pub(crate) fn segment_path(stream: u64, first_id: Id) -> String {
    format!("{STREAMS}/{stream}/{:020}-{:020}.log", first_id.ms, first_id.seq)
}

/// The first ID in a segment's file name; `None` if it is no such name.
pub(crate) fn parse_segment_name(name: &str) -> Option<Id> {
    let (ms, seq) = name.strip_suffix(".log")?.split_once('-')?;
    let number = |text: &str| if text.len() == 20 { text.parse().ok() } else { None };
    Some(Id::new(number(ms)?, number(seq)?))
}

/// Opens segment files, and keeps the ones used last open.
///
/// Those kept, here and by writers until they are synced, are at most `open_max`; each caller has the one it is using
/// besides.
#[derive(Debug)]
pub(crate) struct SegmentFiles {
    storage: Arc<dyn Storage>,
    open_max: usize,
    open: Mutex<Open>,
    /// How many are [`Unsynced`].
    unsynced: Arc<AtomicUsize>,
}

/// A file that was written and not yet synced, held open: a sync by another handle might not be told of a write that
/// failed. Counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Unsynced {
    file: Arc<dyn File>,
    count: Arc<AtomicUsize>,
}

impl Unsynced {
    pub(crate) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }
}

impl Drop for Unsynced {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Open {
    /// Each file with the time it was last used.
    files: HashMap<(u64, Id), (Arc<dyn File>, u64)>,
    time: u64,
    /// How often files were removed: one opened before may be among them, and is not kept.
    forgotten: u64,
}

impl SegmentFiles {
    pub(crate) fn new(storage: Arc<dyn Storage>, open_max: usize) -> SegmentFiles {
        SegmentFiles { storage, open_max: open_max.max(1), open: Mutex::default(), unsynced: Arc::default() }
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// Opens a segment that exists.
    pub(crate) fn open(&self, stream: u64, first_id: Id) -> Result<Arc<dyn File>> {
        let forgotten = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.time += 1;
            let time = open.time;
            if let Some((file, used)) = open.files.get_mut(&(stream, first_id)) {
                *used = time;
                return Ok(Arc::clone(file));
            }
            open.forgotten
        };
        let path = segment_path(stream, first_id);
        let file = self.retrying(|| self.storage.open(&path)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::corrupt(&path, 0, "the file is missing").with_source(error),
            _ => Error::io(format_args!("opening {path}"), error),
        })?;
        self.keep(stream, first_id, &file, forgotten);
        Ok(file)
    }

    /// Creates a segment, in place of what a crash may have left under its name: after a sync of the directory that
    /// failed, no later one makes a name durable that was there before.
    pub(crate) fn create(&self, stream: u64, first_id: Id) -> Result<Arc<dyn File>> {
        self.remove(stream, first_id)?;
        let forgotten = self.open.lock().unwrap_or_else(PoisonError::into_inner).forgotten;
        let path = segment_path(stream, first_id);
        let file = self
            .retrying(|| self.storage.create(&path))
            .map_err(|error| Error::io(format_args!("creating {path}"), error))?;
        self.keep(stream, first_id, &file, forgotten);
        Ok(file)
    }

    /// Opens a file or a directory; where the system says that too many are open, once more with those closed that are kept
    /// here: the limit of the process may be below ours.
    fn retrying<T>(&self, open: impl Fn() -> io::Result<T>) -> io::Result<T> {
        open().or_else(|error| {
            if !too_many_open(&error) {
                return Err(error);
            }
            self.open.lock().unwrap_or_else(PoisonError::into_inner).files.clear();
            open()
        })
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.retrying(|| self.storage.sync_dir(dir))
    }

    /// Closes the files of a stream that is deleted, whose space is free only then.
    fn forget(&self, stream: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.files.retain(|key, _| key.0 != stream);
        open.forgotten += 1;
    }

    /// Removes a stream's segments, and its directory unless it holds something else, for good.
    pub(crate) fn remove_stream(&self, stream: u64) -> Result<()> {
        self.forget(stream);
        let storage = &*self.storage;
        let dir = stream_dir(stream);
        let doing = |error| Error::io(format_args!("removing {dir}"), error);
        let names = match self.retrying(|| storage.list(&dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            names => names.map_err(doing)?,
        };
        let (segments, unknown): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| parse_segment_name(name).is_some());
        for name in segments {
            storage.remove(&format!("{dir}/{name}")).map_err(doing)?;
        }
        if let Some(name) = unknown.first() {
            tracing::warn!(name, "an unknown file in {dir}, a deleted stream's directory, is left alone");
            return self.sync_dir(&dir).map_err(doing);
        }
        storage.remove_dir(&dir).map_err(doing)?;
        self.sync_dir(STREAMS).map_err(|error| Error::sync(format_args!("removing {dir}"), error))
    }

    /// Removes for good what the file of a segment that is not sealed has after its first `len` bytes. No backup shares it.
    pub(crate) fn truncate(&self, stream: u64, first_id: Id, len: u64) -> Result<()> {
        let path = segment_path(stream, first_id);
        let doing = |error| Error::io(format_args!("cutting {path}"), error);
        let file = self.open(stream, first_id)?;
        if file.len().map_err(doing)? <= len {
            return Ok(());
        }
        file.set_len(len).and_then(|()| file.sync()).map_err(doing)
    }

    /// Leaves of a segment's file the first `len` bytes, for good. In a new file: a backup may share the old one.
    pub(crate) fn cut(&self, stream: u64, first_id: Id, len: u64) -> Result<()> {
        let (path, dir) = (segment_path(stream, first_id), stream_dir(stream));
        let doing = |error| Error::io(format_args!("cutting {path}"), error);
        let file = self.open(stream, first_id)?;
        if file.len().map_err(doing)? == len {
            return Ok(());
        }
        let mut kept = vec![0; len as usize];
        read_exact(&*file, &mut kept, 0, &path)?;
        let replace = || {
            // After a crash in a rename it may be another segment's name too, whose bytes must not go.
            match self.storage.remove(CUT) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let new = self.retrying(|| self.storage.create(CUT))?;
            new.write_at(&kept, 0)?;
            new.sync()?;
            self.storage.rename(CUT, &path)
        };
        match replace() {
            // What was to free space must not need any, nor stop writing: the file goes when the stream is trimmed to it.
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                tracing::warn!(path, "the disk is full: a segment with nothing alive in it keeps its size");
                let _ = self.storage.remove(CUT);
                return Ok(());
            }
            done => done.map_err(doing)?,
        }
        self.close(stream, first_id);
        self.sync_dir(&dir).and_then(|()| self.sync_dir("")).map_err(doing)
    }

    /// Removes what a crash in a [`cut`](Self::cut) left behind, for good.
    pub(crate) fn remove_half_cut(&self) -> Result<()> {
        match self.storage.remove(CUT) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed
                .and_then(|()| self.sync_dir(""))
                .map_err(|error| Error::io(format_args!("removing {CUT}"), error)),
        }
    }

    /// No longer keeps a file open whose name is gone, or is another's.
    fn close(&self, stream: u64, first_id: Id) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.files.remove(&(stream, first_id));
        open.forgotten += 1;
    }

    /// Removes a segment's file; no error if there is none.
    pub(super) fn remove(&self, stream: u64, first_id: Id) -> Result<()> {
        let path = segment_path(stream, first_id);
        let removed = self.storage.remove(&path);
        self.close(stream, first_id);
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format_args!("removing {path}"), error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the segments of `stream` that are not among these, for good.
    pub(crate) fn remove_others(&self, stream: u64, segments: &BTreeSet<Id>) -> Result<()> {
        let dir = stream_dir(stream);
        let doing = |error| Error::io(format_args!("sweeping {dir}"), error);
        let names = match self.retrying(|| self.storage.list(&dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            names => names.map_err(doing)?,
        };
        let ids = names.iter().filter_map(|name| parse_segment_name(name));
        let others: Vec<_> = ids.filter(|id| !segments.contains(id)).collect();
        if others.is_empty() { Ok(()) } else { self.remove_all(stream, &others) }
    }

    /// Removes these segments of `stream`, for good.
    pub(crate) fn remove_all(&self, stream: u64, segments: &[Id]) -> Result<()> {
        for &first_id in segments {
            self.remove(stream, first_id)?;
        }
        let dir = stream_dir(stream);
        self.sync_dir(&dir).map_err(|error| Error::sync(format_args!("syncing {dir}"), error))
    }

    fn keep(&self, stream: u64, first_id: Id, file: &Arc<dyn File>, forgotten: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.forgotten != forgotten {
            return;
        }
        open.time += 1;
        let time = open.time;
        open.files.insert((stream, first_id), (Arc::clone(file), time));
        self.evict(&mut open);
    }

    /// Counts a file that is to be held open until it is synced; `None` if there are so many that it must be synced
    /// now. They get half of `open_max`: readers need some too.
    pub(crate) fn hold(&self, file: &Arc<dyn File>) -> Option<Unsynced> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // More come only under the lock.
        if self.unsynced.load(Ordering::Relaxed) >= self.open_max / 2 {
            return None;
        }
        self.unsynced.fetch_add(1, Ordering::Relaxed);
        self.evict(&mut open);
        Some(Unsynced { file: Arc::clone(file), count: Arc::clone(&self.unsynced) })
    }

    /// Whether so many files are held until they are synced that it is better done soon.
    pub(crate) fn holds_many(&self) -> bool {
        self.unsynced.load(Ordering::Relaxed) > self.open_max / 8
    }

    fn evict(&self, open: &mut Open) {
        while open.files.len() + self.unsynced.load(Ordering::Relaxed) > self.open_max {
            let oldest = open.files.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            oldest.and_then(|key| open.files.remove(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sim::{SimDisk, Survival};

    #[test]
    fn names_of_segments_sort_as_their_ids_and_come_back() {
        let ids = [Id::new(0, 1), Id::new(9, 0), Id::new(10, 2), Id::MAX];
        let names: Vec<_> = ids.iter().map(|&id| segment_path(7, id).replace("streams/7/", "")).collect();
        assert!(names.is_sorted());
        assert_eq!(names[2], "00000000000000000010-00000000000000000002.log");
        for (name, id) in names.iter().zip(ids) {
            assert_eq!(parse_segment_name(name), Some(id));
        }
        for foreign in ["1-2.log", "notes.txt", "00000000000000000010-00000000000000000002.log.tmp"] {
            assert_eq!(parse_segment_name(foreign), None, "{foreign}");
        }
    }

    /// The story: the power went while one segment was being cut, and the file in its place had the other name still. The
    /// next segment to be cut was written to it.
    #[test]
    fn a_cut_after_one_that_the_power_ended_leaves_the_other_segment_alone() {
        let disk = SimDisk::new(1);
        let storage = disk.storage();
        storage.create_dir("streams/1").unwrap();
        let [first, second] = [Id::new(1, 0), Id::new(2, 0)].map(|id| segment_path(1, id));
        for (path, bytes) in [(CUT, b"header of one"), (&*second, b"all of second")] {
            let file = storage.create(path).unwrap();
            file.write_at(bytes, 0).unwrap();
            file.sync().unwrap();
        }
        for dir in ["", "streams"] {
            storage.sync_dir(dir).unwrap();
        }
        storage.rename(CUT, &first).unwrap();
        storage.sync_dir("streams/1").unwrap();
        disk.restart(Survival::Nothing);
        assert_eq!(disk.read_all(CUT), disk.read_all(&first), "both names are there");

        SegmentFiles::new(disk.storage(), 8).cut(1, Id::new(2, 0), 6).unwrap();
        assert_eq!(disk.read_all(&first).unwrap(), b"header of one");
        assert_eq!(disk.read_all(&second).unwrap(), b"all of");
    }
}
