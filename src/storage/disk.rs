//! The disk: [`Storage`] over a directory of the operating system.
//!
//! Knows how this system opens, locks and syncs, and that a directory needs a sync of its own. Does not know what
//! the files hold, or when a sync is due: it never syncs a file unasked.
//!
//! Windows has no handle on a directory that `std` can sync; there [`Storage::sync_dir`] does nothing, and the file
//! system's journal alone orders names.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions, TryLockError},
    hash::{BuildHasher, RandomState},
    io,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use super::{File, Lock, Storage};

/// A directory of the operating system.
#[derive(Debug)]
pub(crate) struct Disk {
    /// Absolute, so that a program that changes its working directory does not move its log.
    root: PathBuf,
    /// The root and the directories right below it, once they were synced: that must not fail because no more files may
    /// be open. Those of streams may be many.
    dirs: Mutex<HashMap<String, Arc<fs::File>>>,
}

impl Disk {
    /// Opens the directory, creating it and its missing parents durably.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn open(root: impl Into<PathBuf>) -> io::Result<Disk> {
        let root = std::path::absolute(root.into())?;
        let missing: Vec<&Path> = root.ancestors().take_while(|dir| !dir.is_dir()).collect();
        fs::create_dir_all(&root)?;
        for dir in &missing {
            if let Some(parent) = dir.parent() {
                sync_names(parent)?;
            }
        }
        // One that exists may have been made by a process killed before it could sync the name. Where the parent is
        // not ours to open, whoever made the directory answers for it.
        if missing.is_empty()
            && let Some(parent) = root.parent()
        {
            match sync_names(parent) {
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
                _ => {}
            }
        }
        Ok(Disk { root, dirs: Mutex::default() })
    }

    /// The system's path: part by part, because some Windows paths take no `/`.
    fn path(&self, path: &str) -> PathBuf {
        let mut full = self.root.clone();
        full.extend(path.split('/').filter(|part| !part.is_empty()));
        full
    }
}

impl Storage for Disk {
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(path))?;
        Ok(Arc::new(DiskFile { file }))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.path(path))?;
        Ok(Arc::new(DiskFile { file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn link_outside(&self, path: &str, outside: &Path) -> io::Result<()> {
        fs::hard_link(self.path(path), outside)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        // A name that is not UTF-8 is none of ours: shown approximately, it is as unknown as it was.
        let mut names = fs::read_dir(self.path(dir))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        fs::create_dir_all(self.path(dir))
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        fs::remove_dir(self.path(dir))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        if cfg!(windows) || dir.contains('/') {
            return sync_names(&self.path(dir));
        }
        let open = {
            let mut dirs = self.dirs.lock().unwrap_or_else(PoisonError::into_inner);
            match dirs.get(dir) {
                Some(open) => Arc::clone(open),
                None => Arc::clone(dirs.entry(dir.to_owned()).or_insert(Arc::new(fs::File::open(self.path(dir))?))),
            }
        };
        open.sync_all()
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Lock>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.path(path))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(DiskLock { file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        if getrandom::fill(&mut bytes).is_err() {
            bytes = unlikely_to_repeat();
        }
        bytes
    }
}

/// Sixteen bytes from what a process has when the system gives it no randomness: not secret, but not seen before.
fn unlikely_to_repeat() -> [u8; 16] {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let unique = (SystemTime::now(), process::id(), CALLS.fetch_add(1, Ordering::Relaxed));
    // Two states, each with keys of its own.
    let high = RandomState::new().hash_one(unique);
    let low = RandomState::new().hash_one(unique);
    ((u128::from(high) << 64) | u128::from(low)).to_le_bytes()
}

/// Makes the names in a directory durable.
#[cfg(not(windows))]
fn sync_names(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

#[cfg(windows)]
#[allow(clippy::unnecessary_wraps, reason = "fallible elsewhere")]
fn sync_names(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// One file of the operating system.
#[derive(Debug)]
struct DiskFile {
    file: fs::File,
}

impl File for DiskFile {
    fn read_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<usize> {
        let wanted = buf.len();
        while !buf.is_empty() {
            match read_some_at(&self.file, buf, offset) {
                Ok(0) => break,
                Ok(count) => {
                    buf = &mut buf[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(wanted - buf.len())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        write_all_at(&self.file, buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        // `std` asks a Mac for F_FULLFSYNC here: plain fsync leaves the bytes in the drive's cache.
        self.file.sync_data()
    }
}

#[cfg(unix)]
fn read_some_at(file: &fs::File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

#[cfg(unix)]
fn write_all_at(file: &fs::File, buf: &[u8], offset: u64) -> io::Result<()> {
    // Retries what was interrupted.
    std::os::unix::fs::FileExt::write_all_at(file, buf, offset)
}

#[cfg(windows)]
fn read_some_at(file: &fs::File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, offset)
}

#[cfg(windows)]
fn write_all_at(file: &fs::File, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, buf, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                buf = &buf[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The system's lock goes with the last descriptor of the open file, and a child that was just forked has one until it becomes
/// another program: so it is given up in so many words.
#[derive(Debug)]
struct DiskLock {
    file: fs::File,
}

impl Lock for DiskLock {}

impl Drop for DiskLock {
    fn drop(&mut self) {
        // It goes with the file in any case.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::contract;

    #[test]
    fn the_disk_keeps_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        contract::holds(&Disk::open(dir.path()).unwrap());
    }

    #[test]
    fn opening_creates_missing_parents_and_finds_what_was_written_before() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b/data");
        let disk = Disk::open(&root).unwrap();
        disk.create("f").unwrap().write_at(b"kept", 0).unwrap();
        drop(disk);
        let disk = Disk::open(&root).unwrap();
        assert_eq!(disk.open("f").unwrap().len().unwrap(), 4);
    }

    #[test]
    fn a_file_in_place_of_the_root_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("taken"), b"").unwrap();
        assert!(Disk::open(dir.path().join("taken")).is_err());
    }

    #[test]
    fn two_disks_on_one_directory_share_its_locks() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (Disk::open(dir.path()).unwrap(), Disk::open(dir.path()).unwrap());
        let held = one.lock("LOCK").unwrap();
        assert_eq!(other.lock("LOCK").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        other.lock("LOCK").unwrap();
    }

    /// The story: a broker was closed while another thread of the process started a program. Opened again at once, the directory
    /// was locked: by the child, which had the descriptor until it was that program.
    #[test]
    fn a_lock_that_is_dropped_is_free_whoever_has_a_descriptor_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).unwrap();
        file.try_lock().unwrap();
        let childs = file.try_clone().unwrap();
        drop(DiskLock { file });
        Disk::open(dir.path()).unwrap().lock("LOCK").unwrap();
        drop(childs);
    }

    #[test]
    fn identities_differ_even_without_the_systems_randomness() {
        assert_ne!(unlikely_to_repeat(), unlikely_to_repeat());
    }
}
