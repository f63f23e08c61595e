//! The simulated names: directories whose entries are durable apart from the files they name.
//!
//! Like a file, a directory has a live image, a durable one, and the pending changes between them. Across two
//! directories nothing is atomic: a rename from one to the other is two changes, each durable by its own directory's
//! sync. Knows nothing of handles, faults or when a crash comes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex},
};

use super::{Survival, file::Inode, locked, random::Random};
use crate::storage::memory::split;

/// A file. Its lock is only ever taken under the disk's, so it never waits.
pub(super) type FileRef = Arc<Mutex<Inode>>;
type DirRef = Arc<Mutex<Directory>>;

#[derive(Clone, Debug)]
enum Entry {
    File(FileRef),
    Dir(DirRef),
}

/// A change to the names of a directory that no sync has made durable.
#[derive(Debug)]
enum NameOp {
    Link { name: String, entry: Entry },
    Unlink { name: String },
    Rename { from: String, to: String, entry: Entry },
}

type Names = BTreeMap<String, Entry>;

#[derive(Debug, Default)]
struct Directory {
    live: Names,
    durable: Names,
    pending: Vec<NameOp>,
    /// Whether a failed sync dropped changes that the live names still show.
    forgotten: bool,
}

impl NameOp {
    fn apply(&self, names: &mut Names) {
        match self {
            NameOp::Link { name, entry } => {
                names.insert(name.clone(), entry.clone());
            }
            NameOp::Unlink { name } => {
                names.remove(name);
            }
            NameOp::Rename { from, to, entry } => {
                names.remove(from);
                names.insert(to.clone(), entry.clone());
            }
        }
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        let (one, other) = match self {
            NameOp::Link { name, .. } | NameOp::Unlink { name } => (name, None),
            NameOp::Rename { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(one).chain(other)
    }
}

impl Directory {
    fn change(&mut self, op: NameOp) {
        op.apply(&mut self.live);
        self.pending.push(op);
    }

    fn sync(&mut self, count: usize) {
        for op in self.pending.drain(..count) {
            op.apply(&mut self.durable);
        }
    }

    fn settle(&mut self, survival: Survival, random: &mut Random) {
        let pending = std::mem::take(&mut self.pending);
        let forgotten = std::mem::take(&mut self.forgotten);
        if pending.is_empty() && !forgotten {
            return;
        }
        match survival {
            Survival::Kill | Survival::All => {
                self.durable = self.live.clone();
                return;
            }
            Survival::Nothing => {}
            Survival::Prefix(_) | Survival::Torn(_) => {
                let kept = random.below(pending.len() as u64 + 1) as usize;
                for op in &pending[..kept] {
                    op.apply(&mut self.durable);
                }
            }
            Survival::Sectors(_) => {
                // Each name is as it was at some moment: one that lost a change has lost the later ones too. A
                // rename ties its two names together.
                let mut stale = BTreeSet::new();
                for op in &pending {
                    if op.names().any(|name| stale.contains(name)) || random.coin() {
                        stale.extend(op.names().cloned());
                    } else {
                        op.apply(&mut self.durable);
                    }
                }
            }
        }
        self.live = self.durable.clone();
    }
}

/// All names, from the root.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: DirRef,
}

impl Tree {
    fn entry(&self, path: &str) -> io::Result<Entry> {
        let mut entry = Entry::Dir(Arc::clone(&self.root));
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Entry::Dir(dir) = entry else {
                return Err(io::ErrorKind::NotADirectory.into());
            };
            let found = locked(&dir).live.get(name).cloned();
            entry = found.ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(entry)
    }

    fn dir(&self, path: &str) -> io::Result<DirRef> {
        match self.entry(path)? {
            Entry::Dir(dir) => Ok(dir),
            Entry::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn file(&self, path: &str) -> io::Result<FileRef> {
        match self.entry(path)? {
            Entry::File(file) => Ok(file),
            Entry::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// The file of that name, made if there is none.
    pub(super) fn file_or_new(&self, path: &str) -> io::Result<FileRef> {
        match self.file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (dir, name) = split(path);
                let file = Arc::new(Mutex::new(Inode::new(path)));
                locked(&*self.dir(dir)?)
                    .change(NameOp::Link { name: name.to_owned(), entry: Entry::File(Arc::clone(&file)) });
                Ok(file)
            }
            found => found,
        }
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.file(from)?;
        let (from_dir, from_name) = split(from);
        let (to_dir, to_name) = split(to);
        let target = self.dir(to_dir)?;
        if matches!(locked(&target).live.get(to_name), Some(Entry::Dir(_))) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if from == to {
            return Ok(());
        }
        to.clone_into(&mut locked(&file).path);
        let (name, entry) = (to_name.to_owned(), Entry::File(file));
        if from_dir == to_dir {
            let from = from_name.to_owned();
            locked(&target).change(NameOp::Rename { from, to: name, entry });
        } else {
            locked(&target).change(NameOp::Link { name, entry });
            let name = from_name.to_owned();
            locked(&*self.dir(from_dir)?).change(NameOp::Unlink { name });
        }
        Ok(())
    }

    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        self.file(path)?;
        self.unlink(path)
    }

    pub(super) fn remove_dir(&self, path: &str) -> io::Result<()> {
        let dir = self.dir(path)?;
        if Arc::ptr_eq(&dir, &self.root) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if !locked(&dir).live.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.unlink(path)
    }

    fn unlink(&self, path: &str) -> io::Result<()> {
        let (dir, name) = split(path);
        let name = name.to_owned();
        locked(&*self.dir(dir)?).change(NameOp::Unlink { name });
        Ok(())
    }

    pub(super) fn create_dir(&self, path: &str) -> io::Result<()> {
        match self.dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (parent, name) = split(path);
                self.create_dir(parent)?;
                locked(&*self.dir(parent)?)
                    .change(NameOp::Link { name: name.to_owned(), entry: Entry::Dir(DirRef::default()) });
                Ok(())
            }
            found => found.map(|_| ()),
        }
    }

    pub(super) fn list(&self, path: &str) -> io::Result<Vec<String>> {
        Ok(locked(&*self.dir(path)?).live.keys().cloned().collect())
    }

    pub(super) fn sync_dir(&self, path: &str) -> io::Result<()> {
        let dir = self.dir(path)?;
        let mut dir = locked(&dir);
        let all = dir.pending.len();
        dir.sync(all);
        Ok(())
    }

    /// Whether a sync of the directory has removals to make durable and nothing else.
    pub(super) fn has_only_removals(&self, path: &str) -> bool {
        self.dir(path).is_ok_and(|dir| {
            let pending = &locked(&dir).pending;
            !pending.is_empty() && pending.iter().all(|op| matches!(op, NameOp::Unlink { .. }))
        })
    }

    /// A sync that the crash cut off.
    pub(super) fn sync_dir_torn(&self, path: &str, random: &mut Random) {
        if let Ok(dir) = self.dir(path) {
            let mut dir = locked(&dir);
            let done = random.cut(dir.pending.len() as u64) as usize;
            dir.sync(done);
        }
    }

    /// A sync that failed: no later one makes these names durable.
    pub(super) fn fail_sync_dir(&self, path: &str) {
        if let Ok(dir) = self.dir(path) {
            let mut dir = locked(&dir);
            dir.forgotten |= !dir.pending.is_empty();
            dir.pending.clear();
        }
    }

    /// Makes the names on the way to a path durable.
    pub(super) fn sync_way(&self, path: &str) {
        let ends = path.match_indices('/').map(|(at, _)| at);
        for end in std::iter::once(0).chain(ends) {
            // The way exists: the caller has just walked it.
            let _ = self.sync_dir(&path[..end]);
        }
    }

    /// Every file and its path, in the order of their paths' parts.
    pub(super) fn files(&self) -> Vec<(String, FileRef)> {
        let mut files = Vec::new();
        collect_files(&self.root, "", &mut files);
        files
    }

    /// After a loss of power: decides what survived, first of the names, then of the files that kept one.
    pub(super) fn settle(&self, survival: Survival, random: &mut Random) {
        settle_dirs(&self.root, survival, random);
        for (path, file) in self.files() {
            let mut inode = locked(&file);
            inode.path = path;
            inode.settle(survival, random);
        }
    }
}

/// The path of a name in a directory.
fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

fn collect_files(dir: &DirRef, path: &str, files: &mut Vec<(String, FileRef)>) {
    for (name, entry) in &locked(dir).live {
        let path = join(path, name);
        match entry {
            Entry::File(file) => files.push((path, Arc::clone(file))),
            Entry::Dir(dir) => collect_files(dir, &path, files),
        }
    }
}

fn settle_dirs(dir: &DirRef, survival: Survival, random: &mut Random) {
    let mut dir = locked(dir);
    dir.settle(survival, random);
    for entry in dir.live.values() {
        if let Entry::Dir(dir) = entry {
            settle_dirs(dir, survival, random);
        }
    }
}
