//! redb on the seam: one [`File`] as redb's [`StorageBackend`].
//!
//! Knows what redb expects of its file (reads that are whole, growth with zeros). Knows neither tables nor
//! checkpoints, and locks nothing: the directory's `LOCK` already keeps a second process out, and redb does without
//! where a backend has no locks.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;

use super::File;

/// A file that redb reads and writes.
#[derive(Debug)]
pub(crate) struct RedbFile {
    file: Arc<dyn File>,
    /// Whether a write or sync has failed: redb writes when it is dropped too, and cannot say so.
    failed: Arc<AtomicBool>,
}

impl RedbFile {
    /// The file, and what will say whether a write or sync of it has failed.
    pub(crate) fn new(file: Arc<dyn File>) -> (RedbFile, Arc<AtomicBool>) {
        let failed = Arc::new(AtomicBool::new(false));
        (RedbFile { file, failed: Arc::clone(&failed) }, failed)
    }

    fn noting<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl StorageBackend for RedbFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.file.read_at(out, offset)? < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.noting(self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.noting(self.file.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.noting(self.file.write_at(data, offset))
    }
}

/// A file that redb reads and does not change: what it writes stays in memory, and goes with it.
#[derive(Debug)]
pub(crate) struct RedbScratch {
    file: Arc<dyn File>,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// What was written, by the number of the page; it hides the file's.
    pages: BTreeMap<u64, Box<[u8; SCRATCH_PAGE]>>,
    /// The file's bytes from here on were cut off.
    file_len: u64,
}

const SCRATCH_PAGE: usize = 4096;

impl RedbScratch {
    pub(crate) fn new(file: Arc<dyn File>) -> io::Result<RedbScratch> {
        let len = file.len()?;
        Ok(RedbScratch { file, written: Mutex::new(Written { len, pages: BTreeMap::new(), file_len: len }) })
    }

    fn read_file(&self, offset: u64, out: &mut [u8], file_len: u64) -> io::Result<()> {
        let there = (file_len.saturating_sub(offset)).min(out.len() as u64) as usize;
        let (there, beyond) = out.split_at_mut(there);
        beyond.fill(0);
        if self.file.read_at(there, offset)? < there.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// The parts of `len` bytes at `offset`, by page: the page's number, where in it, and where in the bytes.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let page = SCRATCH_PAGE as u64;
    (offset / page..(offset + len as u64).div_ceil(page)).map(move |number| {
        let from = (number * page).max(offset);
        let to = ((number + 1) * page).min(offset + len as u64);
        (number, (from % page) as usize, (from - offset) as usize..(to - offset) as usize)
    })
}

impl StorageBackend for RedbScratch {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().unwrap_or_else(PoisonError::into_inner).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if offset + out.len() as u64 > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_file(offset, out, written.file_len)?;
        for (number, at, range) in parts(offset, out.len()) {
            if let Some(page) = written.pages.get(&number) {
                let len = range.len();
                out[range].copy_from_slice(&page[at..at + len]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let cut = len / SCRATCH_PAGE as u64;
        drop(written.pages.split_off(&(cut + 1)));
        if let Some(page) = written.pages.get_mut(&cut) {
            page[(len % SCRATCH_PAGE as u64) as usize..].fill(0);
        }
        written.file_len = written.file_len.min(len);
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let file_len = written.file_len;
        for (number, at, range) in parts(offset, data.len()) {
            let page = match written.pages.entry(number) {
                Entry::Occupied(page) => page.into_mut(),
                Entry::Vacant(place) => {
                    let mut page = Box::new([0; SCRATCH_PAGE]);
                    if range.len() < SCRATCH_PAGE {
                        self.read_file(number * SCRATCH_PAGE as u64, &mut page[..], file_len)?;
                    }
                    place.insert(page)
                }
            };
            page[at..at + range.len()].copy_from_slice(&data[range]);
        }
        written.len = written.len.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redb::{Database, ReadableDatabase, TableDefinition};

    use super::*;
    use crate::storage::{Memory, Storage};

    const NUMBERS: TableDefinition<u64, u64> = TableDefinition::new("numbers");

    #[test]
    fn a_database_reopened_on_the_same_file_has_what_was_committed() {
        let memory = Memory::default();
        memory.create("state.redb").unwrap();
        let open = || {
            let file = memory.open("state.redb").unwrap();
            Database::builder().create_with_backend(RedbFile::new(file).0).unwrap()
        };
        let database = open();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(NUMBERS).unwrap().insert(1, 2).unwrap();
        transaction.commit().unwrap();
        drop(database);

        let database = open();
        let transaction = database.begin_read().unwrap();
        let table = transaction.open_table(NUMBERS).unwrap();
        assert_eq!(table.get(1).unwrap().unwrap().value(), 2);
    }

    #[test]
    fn a_read_past_the_end_is_an_error_not_short() {
        let file = Memory::default().create("f").unwrap();
        file.write_at(b"abc", 0).unwrap();
        let (backend, _) = RedbFile::new(file);
        backend.read(0, &mut [0; 3]).unwrap();
        let error = backend.read(1, &mut [0; 3]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_write_that_failed_is_remembered() {
        use crate::storage::sim::{Fault, FaultOp, SimDisk};
        let disk = SimDisk::new(1);
        let (backend, failed) = RedbFile::new(disk.storage().create("f").unwrap());
        backend.write(0, b"abc").unwrap();
        backend.read(1, &mut [0; 3]).unwrap_err();
        assert!(!failed.load(Ordering::Relaxed), "a read is no write");
        let error = io::ErrorKind::Other;
        disk.inject(Fault { op: FaultOp::Sync, path_contains: None, after: 0, times: 1, error });
        backend.sync_data().unwrap_err();
        assert!(failed.load(Ordering::Relaxed));
    }

    /// Against a plain file: the same writes, cuts and reads at random.
    #[test]
    fn a_scratch_reads_as_the_file_would_and_leaves_it_alone() {
        let memory = Memory::default();
        let (file, model) = (memory.create("file").unwrap(), memory.create("model").unwrap());
        let original: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
        file.write_at(&original, 0).unwrap();
        model.write_at(&original, 0).unwrap();
        let (scratch, (model, _)) = (RedbScratch::new(Arc::clone(&file)).unwrap(), RedbFile::new(model));
        let mut seed = 7u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for round in 0..2000u32 {
            let (offset, len) = (random(30_000), random(9_000));
            match random(4) {
                0 => {
                    let len = random(30_000);
                    scratch.set_len(len).unwrap();
                    model.set_len(len).unwrap();
                }
                1 | 2 => {
                    let bytes = vec![round as u8; len as usize];
                    scratch.write(offset, &bytes).unwrap();
                    model.write(offset, &bytes).unwrap();
                }
                _ => {}
            }
            assert_eq!(scratch.len().unwrap(), model.len().unwrap());
            let (mut ours, mut theirs) = (vec![0; len as usize], vec![0; len as usize]);
            let read = scratch.read(offset, &mut ours).is_ok();
            assert_eq!(read, model.read(offset, &mut theirs).is_ok());
            assert!(!read || ours == theirs, "round {round}");
        }
        let mut untouched = vec![0; original.len()];
        file.read_at(&mut untouched, 0).unwrap();
        assert_eq!((untouched, file.len().unwrap()), (original.clone(), original.len() as u64));
    }
}
