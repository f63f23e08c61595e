//! Looking after a directory that is not open: [`check`] reads all of it and says what is damaged, [`repair`] makes the best
//! of that.
//!
//! ```text
//! load        the state: from redb and the journal, or from what there is of them
//! scan        one segment against its position
//! stream      the segments of one stream, and the state against them
//! leftovers   names that the state does not have
//! report      what is said of all this
//! plan        what a repair makes of one stream
//! repair      the originals kept, the plan carried out
//! ```
//!
//! It uses what opening uses to read, and decides nothing of its own about what a journal's end or a torn tail is. It does
//! not know the semantics of streams.

mod alone;
mod leftovers;
mod load;
mod plan;
mod repair;
mod report;
mod scan;
mod stream;

use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "simulation")]
pub use self::repair::repair_on;
pub use self::repair::{Repair, plan_repair, repair, repair_with};
pub use self::report::{Figures, Loss, Problem, Progress, Report, Warning};
use crate::broker::format;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::file;
use crate::name;
use crate::state::tables;
use crate::storage::{Disk, Lock, Storage};

use self::load::Loaded;
use self::stream::Checked;

/// Reads all of a directory that no broker has open, and says what is damaged, missing or contradictory: every checksum, how
/// segments and records follow each other, footers and indexes, the pages of `state.redb`, and whether what it says agrees
/// with the entries.
///
/// Nothing on disk is changed (but that the file LOCK is made where it is missing). What a crash leaves and opening makes
/// good is no problem.
///
/// ```
/// use streamlog::Broker;
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("data");
/// let broker = Broker::open(&path)?;
/// broker.stream("orders")?.add([("sku", "A1")])?;
/// broker.close()?;
///
/// let report = streamlog::check(&path)?;
/// assert!(report.is_ok(), "{:?}", report.problems);
/// assert_eq!(report.figures.entries, 1);
/// # Ok::<(), streamlog::Error>(())
/// ```
///
/// # Errors
///
/// [`Locked`](crate::ErrorKind::Locked), [`ForeignDirectory`](crate::ErrorKind::ForeignDirectory),
/// [`NewerFormat`](crate::ErrorKind::NewerFormat); what the system says. Damage is no error: it is in the report.
pub fn check(path: impl AsRef<Path>) -> Result<Report> {
    check_with(path, |_| {})
}

/// What [`check`] does, telling `progress` how far it is.
///
/// # Errors
///
/// As [`check`].
pub fn check_with(path: impl AsRef<Path>, progress: impl FnMut(Progress)) -> Result<Report> {
    check_storage(&*existing(path.as_ref())?, progress)
}

/// What [`check`] does, on a simulated disk.
///
/// # Errors
///
/// As [`check`].
#[cfg(feature = "simulation")]
#[allow(clippy::needless_pass_by_value, reason = "as `Builder::open_on` takes it")]
pub fn check_on(storage: Arc<dyn Storage>) -> Result<Report> {
    check_storage(&*storage, |_| {})
}

fn check_storage(storage: &dyn Storage, progress: impl FnMut(Progress)) -> Result<Report> {
    let _lock = lock(storage)?;
    examine(storage, progress).map(|examined| examined.report)
}

/// The disk under a directory that must be there.
fn existing(path: &Path) -> Result<Arc<dyn Storage>> {
    let doing = |error| Error::io(format_args!("opening {}", path.display()), error);
    if !std::fs::metadata(path).map_err(doing)?.is_dir() {
        let text = format!("{} is no directory", path.display());
        return Err(Error::new(ErrorKind::ForeignDirectory, text));
    }
    Ok(Arc::new(Disk::open(path).map_err(doing)?))
}

fn lock(storage: &dyn Storage) -> Result<Box<dyn Lock>> {
    if let Err(error) = format::check_ours(storage).and_then(|()| nonempty(storage))
        && error.kind() != ErrorKind::Corrupt
    {
        return Err(error);
    }
    storage.lock(format::LOCK).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            Error::new(ErrorKind::Locked, "a broker, here or in another process, has the directory open")
        }
        _ => Error::io("locking the directory", error),
    })
}

fn nonempty(storage: &dyn Storage) -> Result<()> {
    if leftovers::names(storage, "")?.iter().all(|name| name == format::LOCK) {
        return Err(Error::new(ErrorKind::ForeignDirectory, "the directory is empty: there is no streamlog in it"));
    }
    Ok(())
}

/// What there is, and what is wrong with it.
struct Examined {
    loaded: Loaded,
    /// By stream, in the order of their numbers.
    streams: Vec<Checked>,
    report: Report,
}

fn examine(storage: &dyn Storage, mut progress: impl FnMut(Progress)) -> Result<Examined> {
    let mut report = Report::default();
    let mut read =
        size(storage, &[tables::PATH.to_owned()])? + size(storage, &leftovers::paths(storage, file::JOURNAL)?)?;
    let loaded = load::load(storage, &mut report)?;
    let states = || loaded.replay.streams.values().map(|loaded| &loaded.state);
    let segments: Vec<String> =
        states().flat_map(|state| state.log.segments()).map(crate::log::Segment::path).collect();
    let bytes_total = read + size(storage, &segments)?;
    report.figures.segments = segments.len() as u64;
    progress(Progress { bytes: read, bytes_total });
    let mut streams = Vec::new();
    for state in states() {
        let checked = stream::check(storage, loaded.directory, state, &mut report, |bytes| {
            read += bytes;
            progress(Progress { bytes: read, bytes_total });
        })?;
        if !loaded.alone {
            stream::state(state, &checked, &mut report);
        }
        let figures = &mut report.figures;
        if *state.name == *name::SCHEDULE {
            figures.delayed = state.length;
        } else {
            figures.streams += 1;
            figures.groups += state.groups.len() as u64;
            figures.pending += state.groups.values().map(|group| group.pending.len() as u64).sum::<u64>();
            figures.entries += state.length;
        }
        streams.push(checked);
    }
    report.figures.bytes = read;
    leftovers::warn(storage, &loaded, &mut report)?;
    if !loaded.clean {
        report.warn(file::JOURNAL, "the directory was not closed: opening it recovers what there is");
    }
    Ok(Examined { loaded, streams, report })
}

fn size(storage: &dyn Storage, paths: &[String]) -> Result<u64> {
    let mut bytes = 0;
    for path in paths {
        match storage.open(path) {
            Ok(file) => bytes += file.len().map_err(|error| Error::io(format_args!("reading {path}"), error))?,
            // Whoever reads it says what that means.
            Err(_) => continue,
        }
    }
    Ok(bytes)
}
