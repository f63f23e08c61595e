//! A directory to write in, gone when it is dropped; of a bench that was killed, when the next one begins.
//!
//! It has to be on a real file system: in memory, as `/tmp` often is, nothing can be said of a disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const PREFIX: &str = "bench-";

pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new directory in `parent`, which is made if it is not there: `env!("CARGO_TARGET_TMPDIR")`, or what the user
    /// said with `--dir`.
    pub(crate) fn new(parent: &Path) -> Scratch {
        static MADE: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(parent).expect("a directory for what is measured");
        sweep(parent);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a directory for what is measured");
        Scratch { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something in it, that is not made.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// A directory in it, made if it is not there.
    pub(crate) fn join_dir(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir_all(&path).expect("a directory for what is measured");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} stays: {error}", self.path.display());
        }
    }
}

/// Removes what processes left that are no more.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        let Some(owner) = owner.and_then(|process| process.parse::<u32>().ok()) else { continue };
        // Where there is no /proc nothing is known of them, and they stay.
        if Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{owner}")).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
