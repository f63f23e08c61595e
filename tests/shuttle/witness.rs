//! A simulated disk that is watched: which tokens have gone through a sync of the journal.
//!
//! A token is what a test adds as an entry's data: `<`, some text, `>`. What was written while a sync was under way does
//! not count as covered by it, though this disk would have made it durable.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use shuttle::thread;
use streamlog::sim::SimDisk;
use streamlog::{File, Lock, Storage};

#[derive(Clone, Debug)]
pub(crate) struct Witness {
    pub(crate) disk: SimDisk,
    durable: Arc<Mutex<BTreeSet<String>>>,
}

impl Witness {
    pub(crate) fn new() -> Witness {
        Witness { disk: SimDisk::new(1), durable: Arc::default() }
    }

    pub(crate) fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(Watched { storage: self.disk.storage(), durable: Arc::clone(&self.durable) })
    }

    /// Whether a sync that covers the token was completed.
    pub(crate) fn is_durable(&self, token: &str) -> bool {
        self.durable.lock().unwrap().contains(token)
    }
}

#[derive(Debug)]
struct Watched {
    storage: Arc<dyn Storage>,
    durable: Arc<Mutex<BTreeSet<String>>>,
}

impl Watched {
    fn watched(&self, path: &str, file: Arc<dyn File>) -> Arc<dyn File> {
        if !path.starts_with("journal/") {
            // redb's locks are held over its reads and writes: nobody else may run then.
            return file;
        }
        Arc::new(WatchedFile { file, written: Mutex::default(), durable: Arc::clone(&self.durable) })
    }
}

impl Storage for Watched {
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.watched(path, self.storage.open(path)?))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.watched(path, self.storage.create(path)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.storage.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.storage.remove(path)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.storage.list(dir)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.storage.create_dir(dir)
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.storage.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.storage.sync_dir(dir)
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Lock>> {
        self.storage.lock(path)
    }

    fn random(&self) -> [u8; 16] {
        self.storage.random()
    }
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn File>,
    /// Tokens written since the last sync.
    written: Mutex<BTreeSet<String>>,
    durable: Arc<Mutex<BTreeSet<String>>>,
}

impl File for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(buf, offset)?;
        self.written.lock().unwrap().extend(tokens(buf));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        let covered = std::mem::take(&mut *self.written.lock().unwrap());
        // A sync takes its time.
        thread::sleep(std::time::Duration::ZERO);
        self.file.sync()?;
        thread::sleep(std::time::Duration::ZERO);
        self.durable.lock().unwrap().extend(covered);
        Ok(())
    }
}

fn tokens(bytes: &[u8]) -> impl Iterator<Item = String> {
    let starts = bytes.iter().enumerate().filter(|&(_, &byte)| byte == b'<').map(|(at, _)| at);
    starts.filter_map(|start| {
        let len = bytes[start..].iter().take(16).position(|&byte| byte == b'>')?;
        String::from_utf8(bytes[start..=start + len].to_vec()).ok()
    })
}
