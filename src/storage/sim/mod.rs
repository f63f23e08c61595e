//! The simulated disk: a [`Storage`] that loses power when told, and everything that was not synced with it.
//!
//! ```text
//! handle    Storage and File of one boot: counts operations, crashes, injects faults
//! faults    which operation fails, and when
//! lies      which operation says that it did what it did not
//! tree      names: live, durable, pending
//! file      bytes: live, durable, pending
//! ```
//!
//! Knows what a file system promises and nothing else: neither what the files hold nor what the engine makes of them.
//! It is at times harsher than any one real file system: renames across directories are not atomic, lengths live
//! apart from data. It lies only when told to: by a [fault](Fault), a [lie](Lie) or [`SimDisk::flip_bit`].
//!
//! Every choice comes from the seed of the disk or of the [`Survival`], so a run that makes the same calls in the
//! same order sees the same disk.

#![cfg_attr(
    not(feature = "simulation"),
    allow(dead_code, unreachable_pub, reason = "the whole of it is public with the feature only")
)]

mod extents;
mod faults;
mod file;
mod handle;
mod lies;
pub(crate) mod random;
mod tree;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Storage, memory::split};
use faults::Faults;
use handle::Boot;
use lies::Late;
use random::Random;
use tree::Tree;

pub use faults::{Fault, FaultOp};
pub use lies::Lie;

/// What is left after a crash. The numbers are seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// The process died and the system lived: all that was written is there, and still not durable.
    Kill,
    /// Power loss; only what was synced is there.
    Nothing,
    /// Power loss just after the system had written everything.
    All,
    /// Power loss; of each file and each directory, the first so many of its unsynced changes are there.
    Prefix(u64),
    /// Power loss; each 512-byte sector, each length and each name is, on its own, as it was at some moment since
    /// its last sync.
    Sectors(u64),
    /// As `Prefix`, and the last write to survive in each file is cut at some byte.
    Torn(u64),
}

/// A disk that can crash. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = locked(&self.state);
        f.debug_struct("SimDisk")
            .field("boot", &state.boot)
            .field("off", &state.off)
            .field("operations", &state.operations)
            .finish_non_exhaustive()
    }
}

/// What is to happen in the middle of somebody's work.
struct Meanwhile {
    path_contains: &'static str,
    /// How many changes there come first.
    after: u64,
    run: Box<dyn FnOnce() + Send>,
}

/// The disk and the machine around it, under one lock: a simulated operation is one step.
struct State {
    tree: Tree,
    /// Counts restarts. A handle of another boot is dead.
    boot: u64,
    off: bool,
    operations: u64,
    crash_at: Option<u64>,
    faults: Faults,
    capacity_bytes: Option<u64>,
    lies: Vec<Lie>,
    /// Syncs put off by a lie.
    late: Vec<Late>,
    meanwhile: Option<Meanwhile>,
    /// Changes of files whose path contains this take so long.
    slow: Option<(String, Duration)>,
    /// Paths locked in this boot.
    locks: BTreeSet<String>,
    /// Apart from `identities`, so that tearing one write more does not change every file's identity.
    tearing: Random,
    identities: Random,
}

/// Locks what no panic leaves half done: every change is made whole before its guard goes.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// The bytes that can still be allocated; `None` without a limit.
    fn free(&self) -> Option<u64> {
        let capacity = self.capacity_bytes?;
        Some(capacity.saturating_sub(self.used()))
    }

    /// Does the syncs that were put off until this operation.
    fn catch_up(&mut self, op: FaultOp, paths: &[&str]) {
        self.late.retain(|late| {
            let (until, part) = late.until;
            let due = until == op && paths.iter().any(|path| path.contains(part));
            if due {
                locked(&late.file).catch_up();
            }
            !due
        });
    }

    fn used(&self) -> u64 {
        let files = self.tree.files();
        let sizes = files.iter().map(|(_, file)| locked(file).live.allocated_bytes());
        sizes.sum()
    }
}

impl SimDisk {
    /// An empty disk. The seed decides the identities it gives out and how its operations are torn.
    pub fn new(seed: u64) -> SimDisk {
        let mut seeds = Random::new(seed);
        let state = State {
            tree: Tree::default(),
            boot: 0,
            off: false,
            operations: 0,
            crash_at: None,
            faults: Faults::default(),
            capacity_bytes: None,
            lies: Vec::new(),
            late: Vec::new(),
            meanwhile: None,
            slow: None,
            locks: BTreeSet::new(),
            tearing: Random::new(seeds.next()),
            identities: Random::new(seeds.next()),
        };
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// The storage of this boot, dead for ever after the next [`restart`](SimDisk::restart).
    pub fn storage(&self) -> Arc<dyn Storage> {
        let number = locked(&self.state).boot;
        Arc::new(Boot { state: Arc::clone(&self.state), number })
    }

    /// How many changes were asked for since the disk was made: create, write, `set_len`, rename, remove, sync,
    /// `sync_dir`, `create_dir`, `remove_dir`, and `lock` where it creates the file. Those that failed count.
    pub fn operations(&self) -> u64 {
        locked(&self.state).operations
    }

    /// Turns the disk off at the change that brings [`operations`](SimDisk::operations) to `operation`, or at the
    /// next one if that is past. That change fails: a write or a sync may be done in part, anything else is not
    /// done. From then on everything fails until [`restart`](SimDisk::restart), which also forgets this.
    pub fn crash_at(&self, operation: u64) {
        locked(&self.state).crash_at = Some(operation);
    }

    /// Turns the disk off now.
    pub fn crash(&self) {
        locked(&self.state).off = true;
    }

    /// Whether the disk has crashed and was not restarted.
    pub fn is_off(&self) -> bool {
        locked(&self.state).off
    }

    /// Turns the disk on again (off before, if it was on) with what survived. Handles and locks of earlier boots are
    /// dead; faults, capacity and lies stay as they were.
    pub fn restart(&self, survival: Survival) {
        let mut state = locked(&self.state);
        let seed = match survival {
            // The pages are the system's, not the process's: nothing happens to them.
            Survival::Kill => None,
            Survival::Nothing | Survival::All => Some(0),
            Survival::Prefix(seed) | Survival::Sectors(seed) | Survival::Torn(seed) => Some(seed),
        };
        if let Some(seed) = seed {
            state.tree.settle(survival, &mut Random::new(seed));
        }
        state.boot += 1;
        state.off = false;
        state.crash_at = None;
        state.late.clear();
        state.meanwhile = None;
        state.locks.clear();
    }

    /// From now on a change of a file whose path contains this takes so long; `None` for as long as it takes.
    pub fn slow(&self, path_contains: &str, delay: Option<Duration>) {
        locked(&self.state).slow = delay.map(|delay| (path_contains.to_owned(), delay));
    }

    /// Arms a fault.
    pub fn inject(&self, fault: Fault) {
        locked(&self.state).faults.add(fault);
    }

    /// Disarms all faults. What a failed sync forgot stays forgotten.
    pub fn clear_faults(&self) {
        locked(&self.state).faults.clear();
    }

    /// Limits the bytes of all files that have a name, in pages of 4 KiB that were written (zeros too, but not what
    /// `set_len` added). A write that needs more does what fits and fails with `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        locked(&self.state).capacity_bytes = bytes;
    }

    /// The bytes that count towards the capacity.
    pub fn used(&self) -> u64 {
        locked(&self.state).used()
    }

    /// From now on the disk tells this lie.
    pub fn lie(&self, lie: Lie) {
        locked(&self.state).lies.push(lie);
    }

    /// Has `run` called in the middle of somebody's work: before the disk makes the change that comes after so many others
    /// to paths that contain this. `run` may use the disk; a later call replaces this one, and a restart forgets it.
    pub fn meanwhile(&self, path_contains: &'static str, after: u64, run: impl FnOnce() + Send + 'static) {
        locked(&self.state).meanwhile = Some(Meanwhile { path_contains, after, run: Box::new(run) });
    }

    /// Forgets what was to be done [`meanwhile`](SimDisk::meanwhile); whether it was still to come.
    pub fn forget_meanwhile(&self) -> bool {
        locked(&self.state).meanwhile.take().is_some()
    }

    /// Flips one bit of a file, counted from the lowest of its first byte, in what is read and in what is durable;
    /// false if there is none.
    pub fn flip_bit(&self, path: &str, bit_index: u64) -> bool {
        let state = locked(&self.state);
        state.tree.file(path).is_ok_and(|file| {
            let mut inode = locked(&file);
            let durable = inode.durable.flip(bit_index);
            inode.live.flip(bit_index) || durable
        })
    }

    /// All bytes of a file as a program would read them; `None` if there is no such file. Works on a disk that is
    /// off.
    pub fn read_all(&self, path: &str) -> Option<Vec<u8>> {
        let state = locked(&self.state);
        let file = state.tree.file(path).ok()?;
        let inode = locked(&file);
        Some(inode.live.to_vec())
    }

    /// Makes a file of these bytes, durable at once, with its directories and what is pending in them. Neither
    /// counted nor subject to faults.
    ///
    /// # Panics
    ///
    /// If a directory has that path, or a file that of one of its directories.
    pub fn write_all(&self, path: &str, bytes: &[u8]) {
        let state = locked(&self.state);
        let made = state.tree.create_dir(split(path).0).and_then(|()| state.tree.file_or_new(path));
        let file = made.unwrap_or_else(|error| panic!("{path}: {error}"));
        locked(&file).replace(bytes);
        state.tree.sync_way(path);
    }

    /// Removes a file durably, as damage does; false if there is no such file.
    pub fn remove(&self, path: &str) -> bool {
        let state = locked(&self.state);
        let removed = state.tree.remove(path).is_ok();
        if removed {
            state.tree.sync_way(path);
        }
        removed
    }

    /// The paths of all files, in all directories.
    pub fn list_all(&self) -> Vec<String> {
        let files = locked(&self.state).tree.files();
        files.into_iter().map(|(path, _)| path).collect()
    }
}

#[cfg(test)]
mod tests;
