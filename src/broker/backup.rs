//! The backup: a copy of a directory in use, that opens as what the broker was at one moment.
//!
//! A checkpoint first, and no other until the copy is made: so long redb's file and the segments it names stay as they
//! are. Then the journal as far as it goes at one moment, the cut, which is behind everything that had returned before.
//! Sealed segments are never written to again and get a second name instead of a copy, where the file system can do
//! that; the one that a stream still adds to is copied as far as redb knows it, for the journal has the rest.
//!
//! All of it is made durable under a name of its own, and only then gets the target's. Knows files, and no records.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::format;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::file::JOURNAL;
use crate::log::Position;
use crate::log::files::{STREAMS, segment_path, stream_dir};
use crate::log::segment::read_exact;
use crate::state::tables;
use crate::storage::{Disk, File, Storage};
use crate::stream::core::Core;
use crate::stream::kept::Kept;
use crate::sync::PoisonError;

/// Bytes are copied this many at a time.
const COPY_BYTES: u64 = 1 << 20;

/// What a backup took: [`Broker::backup_to`](super::Broker::backup_to).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Backup {
    /// Files that the backup shares with the directory.
    pub linked_files: u64,
    /// Their bytes. They take up room of their own only once the directory has given them up.
    pub linked_bytes: u64,
    /// Files that were copied.
    pub copied_files: u64,
    /// Their bytes.
    pub copied_bytes: u64,
}

impl Core {
    /// Copies the directory to `target`: see [`Broker::backup_to`](super::Broker::backup_to).
    pub(super) fn backup(&self, target: &Path) -> Result<Backup> {
        // Whoever writes checkpoints waits here: nothing that redb names goes, and redb's file is at rest.
        let mut turn = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        self.checkpoint_in_turn(&mut turn)?;
        let Kept::Open(tables) = &*turn else { return Err(Error::closed()) };
        let target = Target::begin(target)?;
        let mut copy = Copy::new(&*self.storage, &target.partial)?;
        // Right after the checkpoint: the less there is to replay the better.
        let cut = self.journal.cut()?;
        copy.dir(JOURNAL)?;
        for (number, (path, bytes)) in (1..).zip(&cut.files) {
            let more = if number == cut.files.len() { &cut.mark[..] } else { &[] };
            copy.file(path, *bytes, more)?;
        }
        copy.whole_file(format::PATH)?;
        copy.whole_file(tables::PATH)?;
        copy.dir(STREAMS)?;
        for (stream, segments) in tables.segments()? {
            copy.stream(stream, &segments)?;
        }
        drop(turn);
        copy.sync_dirs()?;
        // What is in the copy stays in the original, and the copy's mark says that it is durable.
        self.sync_to(cut.last_lsn)?;
        let done = copy.done;
        target.publish()?;
        Ok(done)
    }
}

/// Files on their way to another directory.
struct Copy<'a> {
    from: &'a dyn Storage,
    to: Disk,
    to_path: &'a Path,
    dirs: Vec<String>,
    done: Backup,
}

impl<'a> Copy<'a> {
    fn new(from: &'a dyn Storage, to_path: &'a Path) -> Result<Copy<'a>> {
        let to = Disk::open(to_path).map_err(|error| Error::io(format_args!("making {}", to_path.display()), error))?;
        Ok(Copy { from, to, to_path, dirs: vec![String::new()], done: Backup::default() })
    }

    fn doing(&self, path: &str) -> impl Fn(io::Error) -> Error + use<> {
        let text = format!("copying {path} to {}", self.to_path.display());
        move |error| Error::io(&text, error)
    }

    fn dir(&mut self, dir: &str) -> Result<()> {
        self.to.create_dir(dir).map_err(self.doing(dir))?;
        self.dirs.push(dir.to_owned());
        Ok(())
    }

    fn stream(&mut self, stream: u64, segments: &[Position]) -> Result<()> {
        if segments.is_empty() {
            return Ok(());
        }
        self.dir(&stream_dir(stream))?;
        for segment in segments {
            let path = segment_path(stream, segment.first_id);
            if segment.hollow {
                self.file(&path, segment.begin, &[])?;
            } else if !segment.sealed {
                self.file(&path, segment.end, &[])?;
            } else if !self.link(&path)? {
                self.whole_file(&path)?;
            }
        }
        Ok(())
    }

    /// Gives a file, whose bytes are durable, a second name; `false` if that cannot be.
    fn link(&mut self, path: &str) -> Result<bool> {
        let mut outside = self.to_path.to_owned();
        outside.extend(path.split('/'));
        if self.from.link_outside(path, &outside).is_err() {
            return Ok(false);
        }
        let bytes = fs::metadata(&outside).map_err(self.doing(path))?.len();
        self.done.linked_files += 1;
        self.done.linked_bytes += bytes;
        Ok(true)
    }

    fn whole_file(&mut self, path: &str) -> Result<()> {
        let file = self.from.open(path).map_err(self.doing(path))?;
        let bytes = file.len().map_err(self.doing(path))?;
        self.copy(&*file, path, bytes, &[])
    }

    /// Copies the first `bytes` of a file, and writes `more` behind them.
    fn file(&mut self, path: &str, bytes: u64, more: &[u8]) -> Result<()> {
        let file = self.from.open(path).map_err(self.doing(path))?;
        self.copy(&*file, path, bytes, more)
    }

    fn copy(&mut self, file: &dyn File, path: &str, bytes: u64, more: &[u8]) -> Result<()> {
        let doing = self.doing(path);
        let to = self.to.create(path).map_err(&doing)?;
        let mut buffer = vec![0; COPY_BYTES.min(bytes) as usize];
        let mut at = 0;
        while at < bytes {
            let part = &mut buffer[..COPY_BYTES.min(bytes - at) as usize];
            read_exact(file, part, at, path)?;
            to.write_at(part, at).map_err(&doing)?;
            at += part.len() as u64;
        }
        to.write_at(more, bytes).and_then(|()| to.sync()).map_err(&doing)?;
        self.done.copied_files += 1;
        self.done.copied_bytes += bytes + more.len() as u64;
        Ok(())
    }

    fn sync_dirs(&self) -> Result<()> {
        self.dirs.iter().try_for_each(|dir| self.to.sync_dir(dir).map_err(self.doing(dir)))
    }
}

/// The directory to be made, under the name it has until it is whole. Dropped before that, it goes.
struct Target {
    target: PathBuf,
    partial: PathBuf,
    published: bool,
}

impl Target {
    fn begin(target: &Path) -> Result<Target> {
        let target = std::path::absolute(target).map_err(|error| Error::io("finding the backup's directory", error))?;
        let doing = |error| Error::io(format_args!("making {}", target.display()), error);
        let refused = |what: &str| {
            Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{} {what}: a backup makes its own directory", target.display()),
            ))
        };
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return refused("is no directory's name");
        };
        match fs::read_dir(&target).map(|mut names| names.next().is_none()) {
            Ok(true) => {}
            Ok(false) => return refused("is not empty"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return refused("is a file"),
            Err(error) => return Err(doing(error)),
        }
        Disk::open(parent).map_err(doing)?;
        let mut partial = name.to_owned();
        partial.push(".partial");
        let partial = parent.join(partial);
        match fs::create_dir(&partial) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let text = format!(
                    "{} is there: another backup to this name is being made, or one was cut short and may be removed",
                    partial.display()
                );
                Err(Error::new(ErrorKind::InvalidArgument, text))
            }
            made => made.map_err(doing).map(|()| Target { target, partial, published: false }),
        }
    }

    /// Gives the directory, all of it durable, its name; when this returns that is durable too.
    fn publish(mut self) -> Result<()> {
        let doing = |error| Error::io(format_args!("naming {}", self.target.display()), error);
        let parent = Disk::open(self.target.parent().unwrap_or(&self.target)).map_err(doing)?;
        // Not every system renames to the name of an empty directory; none removes one that is not.
        match fs::remove_dir(&self.target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(doing(error)),
            _ => {}
        }
        fs::rename(&self.partial, &self.target).map_err(doing)?;
        self.published = true;
        parent.sync_dir("").map_err(|error| Error::io(format_args!("naming {}", self.target.display()), error))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = fs::remove_dir_all(&self.partial)
        {
            tracing::warn!(path = %self.partial.display(), %error, "half a backup could not be removed");
        }
    }
}
