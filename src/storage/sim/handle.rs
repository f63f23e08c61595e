//! The simulated disk as the engine sees it: [`Storage`] and [`File`] of one boot.
//!
//! Every operation goes the same way, under the disk's one lock: is the machine on, does it crash here, is a fault
//! due, and only then the work. A handle outlives its boot as a program's memory would not, so it checks.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard},
};

use super::{
    FaultOp, Lie, State,
    lies::{Late, Told},
    locked,
    tree::FileRef,
};
use crate::storage::{
    File, Lock, Storage,
    memory::{end_of_write, split},
};

/// The tree during one boot.
#[derive(Clone)]
pub(super) struct Boot {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) number: u64,
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Boot").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What becomes of an operation on which the crash may fall.
enum Step {
    Whole,
    /// The machine goes off in the middle of it.
    Torn,
}

fn crashed() -> io::Error {
    io::Error::other("simulated crash")
}

impl Boot {
    /// The disk, if this boot still runs.
    fn running(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = locked(&self.state);
        if state.off || state.boot != self.number {
            return Err(crashed());
        }
        Ok(state)
    }

    /// Counts a change.
    fn step(&self) -> io::Result<(MutexGuard<'_, State>, Step)> {
        let mut state = self.running()?;
        state.operations += 1;
        if state.crash_at.is_some_and(|at| state.operations >= at) {
            state.off = true;
            return Ok((state, Step::Torn));
        }
        Ok((state, Step::Whole))
    }

    /// Does what was to be done in the middle of this, if this is where, and takes its time. The disk's lock is free: others
    /// use the disk.
    fn interrupt(&self, path: impl FnOnce() -> String) {
        let (now, delay) = {
            let mut state = locked(&self.state);
            if state.meanwhile.is_none() && state.slow.is_none() || state.off || state.boot != self.number {
                return;
            }
            let path = path();
            let now = state.meanwhile.take_if(|meanwhile| {
                let here = path.contains(meanwhile.path_contains);
                let now = here && meanwhile.after == 0;
                meanwhile.after -= u64::from(here && !now);
                now
            });
            (now, state.slow.as_ref().filter(|(part, _)| path.contains(part)).map(|(_, delay)| *delay))
        };
        if let Some(meanwhile) = now {
            (meanwhile.run)();
        }
        if let Some(delay) = delay {
            std::thread::sleep(delay);
        }
    }

    /// Counts a change that a crash leaves undone, and lets the faults aimed at it speak.
    fn change(&self, op: FaultOp, paths: &[&str]) -> io::Result<MutexGuard<'_, State>> {
        self.interrupt(|| paths[0].to_owned());
        let (mut state, step) = self.step()?;
        match step {
            Step::Torn => Err(crashed()),
            Step::Whole => {
                state.faults.check(op, paths)?;
                state.catch_up(op, paths);
                Ok(state)
            }
        }
    }

    /// The name that a file made as `path` gets.
    fn in_place<'a>(&self, path: &'a str) -> &'a str {
        let lies = &locked(&self.state).lies;
        let name = lies.iter().find_map(|lie| match *lie {
            Lie::InPlace(new, name) if new == path => Some(name),
            _ => None,
        });
        name.unwrap_or(path)
    }

    fn handle(&self, file: FileRef) -> Arc<dyn File> {
        Arc::new(SimFile { boot: self.clone(), file })
    }
}

impl Storage for Boot {
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.running()?;
        state.faults.check(FaultOp::Open, &[path])?;
        Ok(self.handle(state.tree.file(path)?))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let path = self.in_place(path);
        let state = self.change(FaultOp::Create, &[path])?;
        let file = state.tree.file_or_new(path)?;
        locked(&file).set_len(0);
        Ok(self.handle(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if self.in_place(from) != from {
            return Ok(());
        }
        self.change(FaultOp::Rename, &[from, to])?.tree.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.change(FaultOp::Remove, &[path])?.tree.remove(path)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.running()?.tree.list(dir)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.change(FaultOp::Create, &[dir])?.tree.create_dir(dir)
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.change(FaultOp::Remove, &[dir])?.tree.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.interrupt(|| dir.to_owned());
        let (mut state, step) = self.step()?;
        let State { tree, tearing, faults, lies, .. } = &mut *state;
        let ignored = !lies.is_empty() && {
            let removals = tree.has_only_removals(dir);
            lies.iter().any(|lie| lie.is_of_dir(dir, removals))
        };
        if matches!(step, Step::Torn) {
            if !ignored {
                tree.sync_dir_torn(dir, tearing);
            }
            return Err(crashed());
        }
        if let Err(error) = faults.check(FaultOp::SyncDir, &[dir]) {
            tree.fail_sync_dir(dir);
            return Err(error);
        }
        let done = if ignored { tree.list(dir).map(|_| ()) } else { tree.sync_dir(dir) };
        state.catch_up(FaultOp::SyncDir, &[dir]);
        done
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Lock>> {
        let missing = self.running()?.tree.file(path).is_err();
        let mut state = if missing {
            let state = self.change(FaultOp::Create, &[path])?;
            state.tree.file_or_new(path)?;
            state
        } else {
            self.running()?
        };
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { boot: self.clone(), path: path.to_owned() }))
    }

    fn random(&self) -> [u8; 16] {
        let mut state = locked(&self.state);
        let (high, low) = (state.identities.next(), state.identities.next());
        ((u128::from(high) << 64) | u128::from(low)).to_le_bytes()
    }
}

/// A file opened during one boot.
#[derive(Debug)]
struct SimFile {
    boot: Boot,
    file: FileRef,
}

impl SimFile {
    /// The name the file has now. The disk's lock is held by the caller.
    fn path(&self) -> String {
        locked(&self.file).path.clone()
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.boot.running()?;
        let inode = locked(&self.file);
        state.faults.check(FaultOp::Read, &[&inode.path])?;
        Ok(inode.live.read_at(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        end_of_write(buf, offset)?;
        self.boot.interrupt(|| self.path());
        let (mut state, step) = self.boot.step()?;
        // Before the inode is locked: it is one of those that are counted.
        let free = state.free();
        let State { tearing, faults, .. } = &mut *state;
        let mut inode = locked(&self.file);
        let (done, result) = if matches!(step, Step::Torn) {
            (tearing.cut(buf.len() as u64), Err(crashed()))
        } else if let Err(error) = faults.check(FaultOp::Write, &[&inode.path]) {
            (tearing.cut(buf.len() as u64), Err(error))
        } else {
            let fits = match free {
                Some(free) => inode.affordable(offset, buf.len() as u64, free),
                None => buf.len() as u64,
            };
            let full = fits < buf.len() as u64;
            (fits, if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) })
        };
        inode.write(&buf[..done as usize], offset);
        result
    }

    fn len(&self) -> io::Result<u64> {
        let _state = self.boot.running()?;
        Ok(locked(&self.file).live.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.boot.interrupt(|| self.path());
        // Aimed by the name the file has now, which only the disk's lock keeps.
        let (mut state, step) = self.boot.step()?;
        if matches!(step, Step::Torn) {
            return Err(crashed());
        }
        let mut inode = locked(&self.file);
        state.faults.check(FaultOp::SetLen, &[&inode.path])?;
        inode.set_len(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.boot.interrupt(|| self.path());
        let (mut state, step) = self.boot.step()?;
        let State { tree, tearing, faults, lies, late, .. } = &mut *state;
        let mut inode = locked(&self.file);
        let names = || tree.list(split(&inode.path).0).unwrap_or_default();
        let told = lies.iter().map(|lie| lie.of_file(&inode.path, names)).find(|told| *told != Told::Truth);
        if matches!(step, Step::Torn) {
            if told.is_none() {
                inode.sync_torn(tearing);
            }
            return Err(crashed());
        }
        if let Err(error) = faults.check(FaultOp::Sync, &[&inode.path]) {
            inode.fail_sync();
            return Err(error);
        }
        late.retain(|late| !Arc::ptr_eq(&late.file, &self.file));
        match told {
            None => inode.sync(),
            Some(Told::Later(op, part)) => {
                inode.put_off_sync();
                late.push(Late { file: Arc::clone(&self.file), until: (op, part) });
            }
            Some(_) => {}
        }
        let path = inode.path.clone();
        drop(inode);
        state.catch_up(FaultOp::Sync, &[&path]);
        Ok(())
    }
}

/// A path locked during one boot.
#[derive(Debug)]
struct SimLock {
    boot: Boot,
    path: String,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = locked(&self.boot.state);
        // A later boot's lock on the path is not ours to release.
        if state.boot == self.boot.number {
            state.locks.remove(&self.path);
        }
    }
}
