//! Memory: [`Storage`] in this process, for brokers that need no disk and tests that want none.
//!
//! Keeps the contract of the seam but for durability, which ends with the last clone. Knows nothing of crashes: that
//! is `sim`. Clones share one tree, so that a test can close a broker and open another on what it left.

#[cfg(test)]
pub(super) mod contract;
mod pages;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{File, Lock, Storage};

pub(super) use pages::Pages;
#[cfg(any(test, feature = "simulation"))]
pub(super) use pages::is_zero;

/// Large enough that a big file is few pages, small enough that many small files stay cheap.
const PAGE_LEN: usize = 64 * 1024;

/// A directory tree in memory, shared by its clones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    tree: Mutex<Tree>,
    locks: Mutex<BTreeSet<String>>,
    identities: AtomicU64,
}

/// Every directory by its path. A directory is never renamed, so paths serve for identity.
#[derive(Debug)]
struct Tree {
    dirs: BTreeMap<String, BTreeMap<String, Node>>,
}

#[derive(Clone, Debug)]
enum Node {
    File(Arc<MemoryFile>),
    Dir,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree { dirs: BTreeMap::from([(String::new(), BTreeMap::new())]) }
    }
}

impl Tree {
    fn dir(&mut self, path: &str) -> io::Result<&mut BTreeMap<String, Node>> {
        self.dirs.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&mut self, path: &str) -> io::Result<Arc<MemoryFile>> {
        let (dir, name) = split(path);
        match self.dir(dir)?.get(name) {
            Some(Node::File(file)) => Ok(Arc::clone(file)),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn file_or_new(&mut self, path: &str) -> io::Result<Arc<MemoryFile>> {
        match self.file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (dir, name) = split(path);
                let file = Arc::new(MemoryFile::default());
                self.dir(dir)?.insert(name.to_owned(), Node::File(Arc::clone(&file)));
                Ok(file)
            }
            found => found,
        }
    }

    fn create_dir(&mut self, path: &str) -> io::Result<()> {
        if path.is_empty() || self.dirs.contains_key(path) {
            return Ok(());
        }
        let (parent, name) = split(path);
        self.create_dir(parent)?;
        let siblings = self.dir(parent)?;
        if siblings.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        siblings.insert(name.to_owned(), Node::Dir);
        self.dirs.insert(path.to_owned(), BTreeMap::new());
        Ok(())
    }
}

/// The directory and the last name of a path.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl Memory {
    /// The tree. A thread that panicked while it held the lock left whole names behind: each change is one insert.
    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.shared.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Memory {
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.tree().file(path)?)
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let file = self.tree().file_or_new(path)?;
        file.set_len(0)?;
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut tree = self.tree();
        let file = tree.file(from)?;
        let (dir, name) = split(to);
        let target = tree.dir(dir)?;
        if matches!(target.get(name), Some(Node::Dir)) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if from != to {
            target.insert(name.to_owned(), Node::File(file));
            let (dir, name) = split(from);
            tree.dir(dir)?.remove(name);
        }
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut tree = self.tree();
        tree.file(path)?;
        let (dir, name) = split(path);
        tree.dir(dir)?.remove(name);
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        Ok(self.tree().dir(dir)?.keys().cloned().collect())
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.tree().create_dir(dir)
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        let mut tree = self.tree();
        if !tree.dir(dir)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (parent, name) = split(dir);
        if name.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        tree.dirs.remove(dir);
        tree.dir(parent)?.remove(name);
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.tree().dir(dir).map(|_| ())
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Lock>> {
        self.tree().file_or_new(path)?;
        let mut locks = self.shared.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if !locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemoryLock { shared: Arc::clone(&self.shared), path: path.to_owned() }))
    }

    fn random(&self) -> [u8; 16] {
        // Counting is enough: no file of another tree can come into this one.
        let count = self.shared.identities.fetch_add(1, Ordering::Relaxed) + 1;
        let mut bytes = [0; 16];
        if getrandom::fill(&mut bytes[..8]).is_err() {
            bytes[..8].fill(0x5a);
        }
        bytes[8..].copy_from_slice(&count.to_le_bytes());
        bytes
    }
}

/// One file in memory: lives as long as its name or a handle.
#[derive(Debug, Default)]
struct MemoryFile {
    pages: RwLock<Pages<PAGE_LEN>>,
}

impl File for MemoryFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.pages.read().unwrap_or_else(PoisonError::into_inner).read_at(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        end_of_write(buf, offset)?;
        self.pages.write().unwrap_or_else(PoisonError::into_inner).write_at(buf, offset);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.pages.read().unwrap_or_else(PoisonError::into_inner).len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.pages.write().unwrap_or_else(PoisonError::into_inner).set_len(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The offset past a write.
///
/// # Errors
///
/// `InvalidInput` if no file can be so long.
pub(super) fn end_of_write(buf: &[u8], offset: u64) -> io::Result<u64> {
    offset.checked_add(buf.len() as u64).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// A path that is locked while this lives.
#[derive(Debug)]
struct MemoryLock {
    shared: Arc<Shared>,
    path: String,
}

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.shared.locks.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_keeps_the_contract() {
        contract::holds(&Memory::default());
    }

    #[test]
    fn clones_share_one_tree_and_its_locks() {
        let memory = Memory::default();
        let lock = memory.lock("LOCK").unwrap();
        memory.create("f").unwrap().write_at(b"left", 0).unwrap();
        let clone = memory.clone();
        assert!(clone.lock("LOCK").is_err());
        drop((lock, memory));
        clone.lock("LOCK").unwrap();
        assert_eq!(clone.open("f").unwrap().len().unwrap(), 4);
    }

    #[test]
    fn zeros_cost_no_pages() {
        let memory = Memory::default();
        memory.create("f").unwrap().write_at(&vec![0; 8 << 20], 0).unwrap();
        let file = memory.tree().file("f").unwrap();
        assert_eq!(file.len().unwrap(), 8 << 20);
        assert_eq!(file.pages.read().unwrap().allocated(), 0);
    }
}
