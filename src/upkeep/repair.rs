//! Repair: what can be had of a damaged directory, written in its place, with the originals kept.
//!
//! 1. Copies of all that will be changed or removed go to `repair-<n>/`, synced: before that nothing is changed.
//! 2. FORMAT, headers and new segments, which the damaged redb does not name or has lost already.
//! 3. What opening does after a crash: entries that only the journal has go to segments, a new redb takes the old one's
//!    place, which names the new segments and not what was given up; a new journal begins.
//! 4. Segments are cut where redb now says that they end, and get footers.
//!
//! A crash in 1 or 2 leaves what there was, and in 4 segments with a bad footer, which cost nothing: another repair ends it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::broker::{Broker, format, replay::Replay};
use crate::codec;
use crate::error::{Error, Result};
use crate::journal::file;
use crate::log::files::{STREAMS, segment_path, stream_dir};
use crate::log::frame::{self, Frame, HEADER_LEN};
use crate::log::index::Index;
use crate::log::segment::{FOOTER, FOOTER_VERSION, Footer};
use crate::log::survey::Survey;
use crate::log::{Position, Segment};
use crate::state::tables::{self, Meta};
use crate::storage::{File, Lock, Storage};

use super::plan::{Mend, piece_start, plan};
use super::report::{Problem, Progress, Warning};
use super::{Examined, examine, existing, leftovers, lock};

/// Bytes are copied and written about this many at a time.
const STEP_BYTES: usize = 1 << 20;

/// What a repair did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// What was wrong, each with what is given up for it.
    pub problems: Vec<Problem>,
    /// The files that are changed, made or removed, and how. Those that change are copied before.
    pub changes: Vec<Warning>,
    /// The directory in the broker's directory that has the originals; `None` if there was nothing to do.
    pub originals: Option<String>,
}

/// Says what [`repair`] would do, and what would be given up. Nothing is changed.
///
/// # Errors
///
/// As [`repair`].
pub fn plan_repair(path: impl AsRef<Path>) -> Result<Repair> {
    repair_with(path, true, |_| {})
}

/// Makes a damaged directory one that opens, with every entry that can still be read; what cannot is given up, as if it had
/// been deleted. [`plan_repair`] says beforehand what that is. A directory in which [`check`](crate::check) finds no problem
/// stays as it is.
///
/// - Entries whose bytes are damaged are given up, one by one. Those around them stay.
/// - Of a journal damaged where it was durable, what comes after the damage is given up: changes build on each other.
/// - A lost `state.redb` is rebuilt from the journal, and consumers get again what they had not acknowledged, and more. With
///   neither there are the streams of which there are segments, with every entry in them, and no groups.
///
/// The originals of all that changes are copied to a directory `repair-1` (or the next number that is free) first. Opening
/// leaves it alone; remove it when it is not needed any more. A crash during a repair is made good by another.
///
/// ```
/// use streamlog::Broker;
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("data");
/// let broker = Broker::open(&path)?;
/// let orders = broker.stream("orders")?;
/// for sku in ["A1", "B2", "C3"] {
///     orders.add([("sku", sku)])?;
/// }
/// broker.close()?;
///
/// # let segment = std::fs::read_dir(path.join("streams/1")).unwrap().next().unwrap().unwrap().path();
/// let mut bytes = std::fs::read(&segment).unwrap();
/// let at = bytes.windows(2).position(|window| window == b"B2").unwrap();
/// bytes[at] = b'?'; // a bad disk
/// std::fs::write(&segment, bytes).unwrap();
///
/// let plan = streamlog::plan_repair(&path)?;
/// assert_eq!(plan.problems[0].loss.entries, 1);
/// streamlog::repair(&path)?;
/// let broker = Broker::open(&path)?;
/// assert_eq!(broker.stream("orders")?.len()?, 2);
/// # Ok::<(), streamlog::Error>(())
/// ```
///
/// # Errors
///
/// [`Locked`](crate::ErrorKind::Locked), [`ForeignDirectory`](crate::ErrorKind::ForeignDirectory),
/// [`NewerFormat`](crate::ErrorKind::NewerFormat); [`Corrupt`](crate::ErrorKind::Corrupt) if nothing is left that says what
/// this directory was; what the system says.
pub fn repair(path: impl AsRef<Path>) -> Result<Repair> {
    repair_with(path, false, |_| {})
}

/// What [`repair`], or with `dry_run` [`plan_repair`], does, telling `progress` how far the reading is.
///
/// # Errors
///
/// As [`repair`].
pub fn repair_with(path: impl AsRef<Path>, dry_run: bool, progress: impl FnMut(Progress)) -> Result<Repair> {
    repair_storage(&existing(path.as_ref())?, dry_run, progress)
}

/// What [`repair`] does, on a simulated disk.
///
/// # Errors
///
/// As [`repair`].
#[cfg(feature = "simulation")]
#[allow(clippy::needless_pass_by_value, reason = "as `Builder::open_on` takes it")]
pub fn repair_on(storage: Arc<dyn Storage>, dry_run: bool) -> Result<Repair> {
    repair_storage(&storage, dry_run, |_| {})
}

fn repair_storage(storage: &Arc<dyn Storage>, dry_run: bool, progress: impl FnMut(Progress)) -> Result<Repair> {
    let lock = lock(&**storage)?;
    let mut examined = examine(&**storage, progress)?;
    if examined.report.is_ok() {
        return Ok(Repair::default());
    }
    let mut mends = Vec::new();
    let Examined { loaded, streams, .. } = &mut examined;
    for (loaded_stream, checked) in loaded.replay.streams.values_mut().zip(&*streams) {
        mends.extend(plan(&**storage, loaded.directory, &mut loaded_stream.state, checked)?);
    }
    let originals = originals(&**storage, &examined, &mends)?;
    let aside = next_aside(&**storage)?;
    let repair = Repair {
        changes: changes(&originals, &mends),
        problems: std::mem::take(&mut examined.report.problems),
        originals: Some(aside.clone()),
    };
    if !dry_run {
        keep(&**storage, &aside, &originals)?;
        carry_out(storage, lock, examined, &mends)?;
    }
    Ok(repair)
}

/// A file that changes, and whether it is removed.
type Originals = BTreeMap<String, bool>;

/// Everything that will be changed or removed.
fn originals(storage: &dyn Storage, examined: &Examined, mends: &[Mend]) -> Result<Originals> {
    let loaded = &examined.loaded;
    let mut originals = Originals::new();
    originals.extend([format::PATH, tables::PATH].map(|path| (path.to_owned(), false)));
    for name in leftovers::names(storage, file::JOURNAL)?.iter().filter(|name| file::parse_name(name).is_some()) {
        originals.insert(format!("{}/{name}", file::JOURNAL), true);
    }
    for (number, first_id) in leftovers::segments(storage, loaded)? {
        originals.insert(segment_path(number, first_id), true);
    }
    for checked in &examined.streams {
        // The journal's entries are written there, after what the checkpoint knows of.
        let continued = checked.scanned.last().filter(|(segment, _)| !segment.position.sealed);
        originals.extend(continued.map(|(segment, _)| (segment.path(), false)));
    }
    for (loaded, checked) in loaded.replay.streams.values().zip(&examined.streams) {
        let kept = |first_id| loaded.state.log.segments().any(|segment| segment.position.first_id == first_id);
        let gone = checked.scanned.iter().filter(|(segment, _)| !kept(segment.position.first_id));
        originals.extend(gone.map(|(segment, _)| (segment.path(), true)));
    }
    for mend in mends {
        originals.insert(mend.segment().path(), false);
    }
    let mut there = Originals::new();
    for (path, removed) in originals {
        match storage.open(&path) {
            Ok(_) => drop(there.insert(path, removed)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(format_args!("opening {path}"), error)),
        }
    }
    Ok(there)
}

fn changes(originals: &Originals, mends: &[Mend]) -> Vec<Warning> {
    let mut changes: BTreeMap<String, &str> = BTreeMap::new();
    for (path, &removed) in originals {
        let what = match &**path {
            format::PATH => continue,
            tables::PATH => "written anew",
            _ if removed => "removed",
            _ => "continued with what the journal has",
        };
        changes.insert(path.clone(), what);
    }
    changes.extend(mends.iter().map(|mend| (mend.segment().path(), mend.what())));
    changes.into_iter().map(|(file, what)| Warning { file, what: what.to_owned() }).collect()
}

fn next_aside(storage: &dyn Storage) -> Result<String> {
    let names = leftovers::names(storage, "")?;
    let last = names.iter().filter_map(|name| leftovers::repair_number(name)).max();
    Ok(format!("{}{}", leftovers::ASIDE, last.unwrap_or(0) + 1))
}

/// Copies the originals, durably.
fn keep(storage: &dyn Storage, aside: &str, originals: &Originals) -> Result<()> {
    let doing = |error| Error::io(format_args!("keeping the originals in {aside}"), error);
    storage.create_dir(aside).map_err(doing)?;
    let mut dirs = vec![String::new(), aside.to_owned()];
    for path in originals.keys() {
        let mut parent = aside.to_owned();
        let parts: Vec<&str> = path.split('/').collect();
        for part in &parts[..parts.len() - 1] {
            parent = format!("{parent}/{part}");
            if !dirs.contains(&parent) {
                storage.create_dir(&parent).map_err(doing)?;
                dirs.push(parent.clone());
            }
        }
        let from = storage.open(path).map_err(doing)?;
        let to = storage.create(&format!("{aside}/{path}")).map_err(doing)?;
        copy(&*from, &*to).and_then(|()| to.sync()).map_err(doing)?;
    }
    dirs.iter().try_for_each(|dir| storage.sync_dir(dir)).map_err(doing)
}

fn copy(from: &dyn File, to: &dyn File) -> io::Result<()> {
    let mut buffer = vec![0; STEP_BYTES];
    let mut offset = 0;
    loop {
        match from.read_at(&mut buffer, offset)? {
            0 => return Ok(()),
            read => {
                to.write_at(&buffer[..read], offset)?;
                offset += read as u64;
            }
        }
    }
}

fn carry_out(storage: &Arc<dyn Storage>, lock: Box<dyn Lock>, examined: Examined, mends: &[Mend]) -> Result<()> {
    let Examined { loaded, .. } = examined;
    let doing = |error| Error::io("repairing", error);
    let shared = Arc::clone(storage);
    let storage = &**storage;
    if !matches!(format::read(storage), Ok(Some(directory)) if directory == loaded.directory) {
        format::write(storage, loaded.directory)?;
    }
    for dir in [file::JOURNAL, STREAMS] {
        storage.create_dir(dir).map_err(doing)?;
    }
    storage.sync_dir("").map_err(doing)?;
    let with_segments = |state: &&crate::state::StreamState| state.log.segments().next().is_some();
    for state in loaded.replay.streams.values().map(|loaded| &loaded.state).filter(with_segments) {
        storage.create_dir(&stream_dir(state.number)).map_err(doing)?;
        storage.sync_dir(STREAMS).map_err(doing)?;
    }
    for path in leftovers::half_made(storage)? {
        storage.remove(&path).map_err(doing)?;
    }
    write_new(storage, mends)?;
    let last_lsn = loaded.last_lsn;
    let next_stream = loaded.replay.next_stream.max(highest_stream(storage)? + 1);
    let meta = Meta { floor: last_lsn, covered: last_lsn, catalog: last_lsn, next_stream, journal: true };
    let replay = Replay::new(meta, loaded.replay.streams);
    let journal = leftovers::names(storage, file::JOURNAL)?;
    let journal = journal.into_iter().filter(|name| file::parse_name(name).is_some() || file::is_spare(name));
    let journal = journal.map(|name| format!("{}/{name}", file::JOURNAL)).collect();
    let broker = Broker::open_mended(shared, lock, loaded.directory, replay, last_lsn, journal)?;
    for mend in mends {
        match mend {
            Mend::Footer(segment) => write_footer(storage, segment)?,
            // What is hollow was cut with the rest that redb gave up.
            Mend::Cut(_) | Mend::Header(..) | Mend::Part { .. } => {}
        }
    }
    broker.close()
}

/// The greatest number that a stream's directory has.
fn highest_stream(storage: &dyn Storage) -> Result<u64> {
    let names = leftovers::names(storage, STREAMS)?;
    Ok(names.iter().filter_map(|name| leftovers::stream_number(name)).max().unwrap_or(0))
}

/// Writes headers in place, and new segments. Where redb is lost a rebuilding goes by the files that are there: so they get
/// their names only when all are whole, the last of a stream first, and each finds what it lacks in the damaged one before.
fn write_new(storage: &dyn Storage, mends: &[Mend]) -> Result<()> {
    let doing = |error| Error::io("writing segments", error);
    let mut unnamed = Vec::new();
    for mend in mends {
        let path = mend.segment().path();
        let new = format!("{path}{}", leftovers::NEW);
        match mend {
            Mend::Header(_, header) => {
                let file = match storage.open(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        unnamed.push((mend.segment().stream, path, new.clone()));
                        storage.create(&new)
                    }
                    file => file,
                };
                let file = file.map_err(doing)?;
                file.write_at(header, 0).and_then(|()| file.sync()).map_err(doing)?;
            }
            Mend::Part { new: segment, header, old, piece } => {
                let file = storage.create(&new).map_err(doing)?;
                let (old_path, mut at) = (old.path(), piece_start(&old.position, piece));
                let from = storage.open(&old_path).map_err(doing)?;
                let survey = Survey::new(&*from, &old_path, &old.position)?.until(piece.offsets.end);
                write_part(&*file, segment, header, survey, &mut at).map_err(doing)??;
                unnamed.push((segment.stream, path, new));
            }
            Mend::Footer(_) | Mend::Cut(_) => {}
        }
    }
    for (stream, path, new) in unnamed.into_iter().rev() {
        storage.rename(&new, &path).and_then(|()| storage.sync_dir(&stream_dir(stream))).map_err(doing)?;
    }
    Ok(())
}

/// Writes a segment of what `survey` reads from `at` on, with its footer.
fn write_part(
    file: &dyn File,
    new: &Segment,
    header: &[u8],
    mut survey: Survey<'_>,
    at: &mut Position,
) -> io::Result<Result<()>> {
    let (salt, mut ordinal, mut end) = (new.salt(), new.position.first_ordinal, new.position.begin);
    let (mut out, mut written, mut index) = (header.to_vec(), Ok(0_u64), Index::default());
    let read = survey.extend(at, |id, body| {
        index.note(id, ordinal, end);
        (ordinal, end) = (ordinal + 1, end + (HEADER_LEN + body.len()) as u64);
        frame::encode(&salt, Frame { key: id.to_bytes(), flags: 0, body }, &mut out);
        if out.len() >= STEP_BYTES {
            written = write_on(file, &written, &out);
            out.clear();
        }
        written.is_ok()
    });
    if let Err(error) = read {
        return Ok(Err(error));
    }
    encode_footer(&new.position, index, &mut out);
    write_on(file, &written, &out)?;
    file.sync().map(Ok)
}

/// Writes `out` where the last write ended; returns where this one does.
fn write_on(file: &dyn File, written: &io::Result<u64>, out: &[u8]) -> io::Result<u64> {
    let offset = *written.as_ref().map_err(|error| io::Error::from(error.kind()))?;
    file.write_at(out, offset)?;
    Ok(offset + out.len() as u64)
}

fn encode_footer(position: &Position, index: Index, out: &mut Vec<u8>) {
    let Position { first_id, last_id, first_ordinal, next_ordinal, .. } = *position;
    let footer = Footer { count: next_ordinal - first_ordinal, first_id, last_id, index };
    let start = frame::begin(last_id.to_bytes(), FOOTER, out);
    codec::encode(FOOTER_VERSION, &footer, out);
    frame::finish(&frame::Salt::new(&position.identity), start, out);
}

/// Cuts a segment where it ends, and writes its footer there.
fn write_footer(storage: &dyn Storage, segment: &Segment) -> Result<()> {
    let (path, position) = (segment.path(), &segment.position);
    let doing = |error| Error::io(format_args!("writing {path}"), error);
    let file = storage.open(&path).map_err(doing)?;
    let Position { first_id, first_ordinal, begin, .. } = *position;
    let mut at = Position { last_id: first_id, next_ordinal: first_ordinal, end: begin, ..position.clone() };
    let (mut index, mut ordinal, mut end) = (Index::default(), first_ordinal, begin);
    Survey::new(&*file, &path, position)?.until(position.end).extend(&mut at, |id, body| {
        index.note(id, ordinal, end);
        (ordinal, end) = (ordinal + 1, end + (HEADER_LEN + body.len()) as u64);
        true
    })?;
    let mut out = Vec::new();
    encode_footer(position, index, &mut out);
    file.set_len(position.end).and_then(|()| file.write_at(&out, position.end)).map_err(doing)?;
    file.sync().map_err(doing)
}
