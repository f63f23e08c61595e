//! What is written with `std` alone: the limit.
//!
//! Three ways to lay out a log, of which the best counts where there is a sync after each write: a file that grows (its length
//! is synced each time), one preallocated with zeros, and files written over again and again. Without a sync the last is the best:
//! no block is allotted, no page is new.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// As large as a journal file, and as many of them as the engine keeps for reuse.
const FILE_BYTES: u64 = 8 << 20;
const FILES: u64 = 6;

/// Files that are written from first to last, and then again.
pub(crate) struct Ring {
    files: Vec<File>,
    /// The bytes written since the beginning.
    position: AtomicU64,
}

impl Ring {
    /// Preallocated as the journal's files are: with zeros, a page at a time, synced.
    pub(crate) fn new(directory: &Path) -> Ring {
        let file = |number| {
            let file = create(&directory.join(format!("ring-{number}")));
            let zeros = [0; 4096];
            for offset in (0..FILE_BYTES).step_by(zeros.len()) {
                file.write_all_at(&zeros, offset).expect("a disk with room");
            }
            file.sync_all().expect("a disk that works");
            file
        };
        Ring { files: (0..FILES).map(file).collect(), position: AtomicU64::new(0) }
    }

    /// One that was written to its end before.
    pub(crate) fn recycled(directory: &Path) -> Ring {
        let ring = Ring::new(directory);
        let ones = [1; 1 << 12];
        for _ in 0..FILES * FILE_BYTES / ones.len() as u64 {
            ring.write(&ones);
        }
        ring.files.iter().for_each(|file| file.sync_all().expect("a disk that works"));
        ring
    }

    /// Writes all of it into one file, with one call; returns the file's number, for [`sync`](Ring::sync).
    pub(crate) fn write(&self, bytes: &[u8]) -> usize {
        let len = bytes.len() as u64;
        let position = self.position.fetch_add(len, Ordering::Relaxed);
        let number = (position / FILE_BYTES % FILES) as usize;
        let offset = (position % FILE_BYTES).min(FILE_BYTES - len);
        self.files[number].write_all_at(bytes, offset).expect("a disk with room");
        number
    }

    pub(crate) fn sync(&self, file: usize) {
        self.files[file].sync_data().expect("a disk that works");
    }

    /// Syncs what is being written to now.
    pub(crate) fn sync_current(&self) {
        self.sync((self.position.load(Ordering::Relaxed) / FILE_BYTES % FILES) as usize);
    }
}

/// A file that has no byte before it is written.
pub(crate) struct Growing {
    file: File,
    len: u64,
}

impl Growing {
    pub(crate) fn new(directory: &Path) -> Growing {
        Growing { file: create(&directory.join("growing")), len: 0 }
    }

    pub(crate) fn write_synced(&mut self, bytes: &[u8]) {
        self.file.write_all_at(bytes, self.len).expect("a disk with room");
        self.len += bytes.len() as u64;
        self.file.sync_data().expect("a disk that works");
    }
}

fn create(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).expect("a file")
}
