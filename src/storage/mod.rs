//! Where bytes live: the seam between the engine and a disk.
//!
//! [`Storage`] is a directory tree, [`File`] one file in it. Everything durable goes through these two traits, redb
//! included, so one simulated disk under them can lose, keep, tear and reorder what was not synced.
//!
//! Paths are relative to the storage's root, with `/` between the parts; `""` is the root itself.
//!
//! **The contract.** A write is visible to later reads at once and durable only after [`File::sync`] of that file.
//! Creating, renaming and removing are durable only after [`Storage::sync_dir`] of the directory that holds the name.
//! Neither makes the other durable. Nothing here knows of logs, streams or formats.

mod disk;
mod memory;
mod redb_backend;
#[cfg(any(test, feature = "simulation"))]
pub mod sim;

use std::{fmt, io, path::Path, sync::Arc};

pub(crate) use disk::Disk;
pub(crate) use memory::Memory;
pub(crate) use redb_backend::{RedbFile, RedbScratch};

/// A directory tree that holds files.
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file; otherwise what the system says.
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>>;

    /// Creates a file for reading and writing, emptying one that exists. Its directory must exist.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn create(&self, path: &str) -> io::Result<Arc<dyn File>>;

    /// Renames a file within or across directories, replacing what had the new name.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file; otherwise what the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Gives a file a second name outside this storage, in the system's file system. Both names then are of the same
    /// bytes; as with any name, the caller makes the new one durable.
    ///
    /// # Errors
    ///
    /// What the system says; `Unsupported` if the file is not one of the system's, as by default.
    fn link_outside(&self, path: &str, outside: &Path) -> io::Result<()> {
        let _ = (path, outside);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Removes a file. Handles that are open stay usable.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file; otherwise what the system says.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// The names in a directory, files and directories alike, sorted.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such directory; otherwise what the system says.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Creates a directory and its missing parents; no error if it exists.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn create_dir(&self, dir: &str) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn remove_dir(&self, dir: &str) -> io::Result<()>;

    /// Makes the names in a directory durable: files created, renamed into it and removed from it.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Creates the file if it is missing and holds an exclusive lock on it until the value is dropped.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if another handle or process holds it; otherwise what the system says.
    fn lock(&self, path: &str) -> io::Result<Box<dyn Lock>>;

    /// Sixteen bytes that no file made before holds: the identity of a new file.
    fn random(&self) -> [u8; 16];
}

/// One file. Reads and writes give their offset; there is no cursor to share.
#[allow(clippy::len_without_is_empty, reason = "nobody asks a file whether it is empty")]
pub trait File: fmt::Debug + Send + Sync + 'static {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `buf` at `offset`, extending the file (with zeros before `offset`) as needed.
    ///
    /// # Errors
    ///
    /// What the system says; any part of `buf` may have been written.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable (`fdatasync`).
    ///
    /// # Errors
    ///
    /// What the system says. After an error nothing is known of what is durable, and trying again proves nothing.
    fn sync(&self) -> io::Result<()>;
}

/// A held lock; dropping it releases it.
pub trait Lock: fmt::Debug + Send + Sync {}
