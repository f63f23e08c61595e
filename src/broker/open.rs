//! Opening: redb (or what is rebuilt in its place), then what the journal has beyond it, then a checkpoint of that, then a new journal file.
//!
//! What was read from the journal past redb may have been in the system's memory alone. Nothing is published before a
//! checkpoint has made it durable in segments and redb; only then is a new journal file begun, and only then are the
//! old ones removed. A crash anywhere in between finds the old files, or redb at the same record.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::checkpoint::{self, Taken};
use super::format;
use super::rebuild::rebuild;
use super::replay::Replay;
use crate::clock::{Clock, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{self, Journal, Lsn, Recovery, file};
use crate::log::files::{STREAMS, stream_dir};
use crate::log::header::Identity;
use crate::log::writer::Roll;
use crate::log::{Segment, SegmentFiles};
use crate::options::{Options, Sabotage};
use crate::state::snapshot::{Snapshot, StreamSnapshot};
use crate::state::tables::{Base, Commit, Meta, Tables};
use crate::storage::{Lock, Storage};
use crate::stream::catalog::Catalog;
use crate::stream::cell::StreamCell;
use crate::stream::core::Core;
use crate::stream::kept::GivenUp;

/// The first journal file after opening is no larger: opening writes its zeros.
const FIRST_FILE_BYTES: u64 = 1 << 20;

/// Opens what `storage` holds, or begins it.
pub(super) fn open(
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    options: Options,
) -> Result<(Core, Box<dyn Lock>)> {
    format::check_ours(&*storage)?;
    let lock = storage.lock(format::LOCK).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            Error::new(ErrorKind::Locked, "another broker, here or in another process, has the directory open")
        }
        _ => Error::io("locking the directory", error),
    })?;
    let directory = format::open(&*storage)?;
    prepare(&*storage)?;
    let found = find(&*storage, directory, &options)?;
    Ok((begin(storage, clock, options, directory, found)?, lock))
}

/// Begins with a state that was repaired: it is all there is, up to the record `last_lsn`. The journal's files are `used`.
pub(super) fn mended(
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    options: Options,
    directory: Identity,
    replay: Replay,
    last_lsn: Lsn,
    used: Vec<String>,
) -> Result<Core> {
    let recovery = Recovery { last_lsn, clean: false, beyond: Vec::new(), used };
    begin(storage, clock, options, directory, Found { replay, recovery, redb: Redb::Lost })
}

/// Makes what was found durable, and begins a new journal.
fn begin(
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    options: Options,
    directory: Identity,
    found: Found,
) -> Result<Core> {
    let Found { replay, recovery, redb } = found;
    let meta = replay.meta;
    let from_redb = if options.breaks(Sabotage::NumberFromJournal) { 0 } else { meta.covered };
    let last_lsn = recovery.last_lsn.max(from_redb);
    let publish_first = options.breaks(Sabotage::PublishBeforeCheckpoint);
    let (with_segments, catalog) = replay.into_catalog(directory);
    let files = SegmentFiles::new(Arc::clone(&storage), options.open_files_max);
    // Where it holds no record, the name of the journal's first file may not be durable yet.
    let begun = meta.journal || last_lsn > meta.floor;
    // Before anything is written: the disk may be full.
    if !options.breaks(Sabotage::KeepBeyond) {
        remove(&*storage, &recovery.beyond)?;
    }
    let tables = match redb {
        Redb::New => Tables::open(&*storage)?,
        Redb::Whole if recovery.clean && last_lsn == meta.floor || publish_first => Tables::open(&*storage)?,
        Redb::Whole | Redb::Lost => {
            // Whoever wrote redb may have been killed before that was durable. Nothing goes because of what it says
            // before it is.
            let whole = redb == Redb::Whole;
            let nothing = Commit { meta, deltas: Vec::new(), deleted_streams: Vec::new() };
            let tables = whole.then(|| Tables::replace(&*storage, Base::Copy, &nothing)).transpose()?;
            // Made anew when they are written to: after a sync that failed, no later one makes their names durable.
            remove_streams(&files, |number| !with_segments.contains(&number))?;
            if redb == Redb::Lost {
                sync_segments(&files, &catalog)?;
            }
            let settled = settle(tables, &files, &catalog, &options, clock.now_ms(), last_lsn, begun)?;
            let (tables, mut given_up) = settled;
            if !given_up.is_empty() {
                // Nor because of what the journal says: without redb it is what counts.
                sync_journal(&*storage, &recovery.used)?;
                given_up.unlink(&files)?;
            }
            tables
        }
    };
    let mut catalog = catalog;
    catalog.deleted = Vec::new();
    // A backup's journal ends as a clean one does, and not at a checkpoint: this may not be the first try to replay it.
    if !recovery.clean || last_lsn > meta.floor || redb == Redb::Lost {
        sweep(&files, &catalog)?;
    }
    let streams = catalog.streams.values().map(|cell| StreamSnapshot::of(&cell.lock().state, last_lsn));
    let snapshot = Snapshot { next_stream: catalog.next_stream, streams: streams.collect() }.encode();
    let first_file_bytes = options.journal_file_bytes.min(FIRST_FILE_BYTES);
    let journal = Journal::start(
        Arc::clone(&storage),
        directory,
        options.journal_file_bytes,
        first_file_bytes,
        last_lsn + 1,
        &snapshot,
    )?;
    if !begun {
        let meta = Meta { journal: true, ..meta };
        tables.commit(&Commit { meta, deltas: Vec::new(), deleted_streams: Vec::new() })?;
    }
    let used = if publish_first { Vec::new() } else { recovery.used };
    // A file that held no record has given its name to the new one.
    let new = file::path(last_lsn + 1);
    remove(&*storage, &used.into_iter().filter(|path| *path != new).collect::<Vec<_>>())?;
    Ok(Core::new(storage, clock, options, directory, journal, tables, catalog))
}

/// What there is, read and replayed.
struct Found {
    replay: Replay,
    recovery: Recovery,
    redb: Redb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Redb {
    /// The journal was not begun yet.
    New,
    Whole,
    Lost,
}

fn find(storage: &dyn Storage, directory: Identity, options: &Options) -> Result<Found> {
    let (meta, loaded) = match Tables::read(storage) {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            let (replay, recovery) = rebuild(storage, directory, &error)?;
            tracing::warn!(%error, "rebuilt from the journal: groups get again what they had not acknowledged, and more");
            Tables::set_aside(storage)?;
            return Ok(Found { replay, recovery, redb: Redb::Lost });
        }
        read => read?,
    };
    let mut replay = Replay::new(meta, loaded);
    replay.twice = options.breaks(Sabotage::ReplayTwice);
    if !meta.journal && journal_is_empty(storage)? {
        return Ok(Found { replay, recovery: Recovery::default(), redb: Redb::New });
    }
    let recovery =
        journal::recover(storage, directory, meta.floor, meta.covered, |lsn, record| replay.apply(lsn, record))?;
    Ok(Found { replay, recovery, redb: Redb::Whole })
}

/// Makes what a new directory lacks. A crash in between is made good here: redb is there before the journal's first
/// file is.
fn prepare(storage: &dyn Storage) -> Result<()> {
    let doing = |error| Error::io("preparing the directory", error);
    Tables::remove_unfinished(storage)?;
    if Tables::exist(storage)? {
        if journal_is_empty(storage)? {
            // Whoever made the file may have been killed before its name was durable.
            storage.sync_dir("").map_err(doing)?;
        }
        return Ok(());
    }
    journal::create_dir(storage)?;
    storage.create_dir(STREAMS).map_err(doing)?;
    storage.sync_dir("").map_err(doing)?;
    if journal_is_empty(storage)? && storage.list(STREAMS).map_err(doing)?.is_empty() {
        Tables::create(storage)
    } else {
        // It is missing: `find` rebuilds it.
        Ok(())
    }
}

fn journal_is_empty(storage: &dyn Storage) -> Result<bool> {
    let names = storage.list(file::JOURNAL);
    match names {
        Ok(names) => Ok(names.iter().all(|name| file::parse_name(name).is_none())),
        // `recover` says what this means.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("listing the journal", error)),
    }
}

fn remove(storage: &dyn Storage, paths: &[String]) -> Result<()> {
    for path in paths {
        match storage.remove(path) {
            // A spare that was being made when the process was killed: the new file was made in its place.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed.map_err(|error| Error::io(format_args!("removing {path}"), error))?,
        }
    }
    if paths.is_empty() {
        return Ok(());
    }
    storage.sync_dir(file::JOURNAL).map_err(|error| Error::io("syncing the journal's directory", error))
}

/// Makes what was replayed durable, in segments and redb, a new one if there is none: a checkpoint of everything up to
/// `last_lsn`. Returns what that gives up, too.
/// `journal` is whether the journal's first file is there for good.
fn settle(
    tables: Option<Tables>,
    files: &SegmentFiles,
    catalog: &Catalog,
    options: &Options,
    now_ms: u64,
    last_lsn: Lsn,
    journal: bool,
) -> Result<(Tables, GivenUp)> {
    let roll = Roll { bytes: options.segment_bytes, age_ms: millis(options.segment_age) };
    let mut deltas = Vec::new();
    for cell in catalog.streams.values() {
        let taken = checkpoint::take(files, cell, roll, now_ms, StreamCell::lock, || last_lsn)?;
        if let Some(Taken { delta, mut written }) = taken {
            written.sync(files)?;
            deltas.push(delta);
        }
    }
    let next_stream = catalog.next_stream;
    let meta = Meta { floor: last_lsn, covered: last_lsn, catalog: last_lsn, next_stream, journal };
    let deleted_streams = catalog.deleted.iter().map(|cell| cell.number).collect();
    let commit = Commit { meta, deltas, deleted_streams };
    let tables = match tables {
        Some(tables) => tables.commit(&commit).map(|()| tables)?,
        None => Tables::replace(files.storage(), Base::Nothing, &commit)?,
    };
    let given_up = GivenUp::of(&commit.deltas, catalog.deleted.clone());
    Ok((tables, given_up))
}

/// Makes durable what the segments have, where that was not learnt from redb: a process that was killed may have written it
/// and not synced it, and the journal that has it too goes once there is a new redb.
fn sync_segments(files: &SegmentFiles, catalog: &Catalog) -> Result<()> {
    for cell in catalog.streams.values() {
        let dir = stream_dir(cell.number);
        let doing = |error| Error::io(format_args!("syncing {dir}"), error);
        let segments: Vec<Segment> = cell.lock().state.log.segments().cloned().collect();
        for Segment { position, .. } in segments.iter().filter(|segment| !segment.position.hollow) {
            files.open(cell.number, position.first_id)?.sync().map_err(doing)?;
        }
        if !segments.is_empty() {
            files.sync_dir(&dir).map_err(doing)?;
        }
    }
    Ok(())
}

/// Makes durable what was read from the journal, for whoever finds no redb: with it go streams and entries that its records
/// gave up.
fn sync_journal(storage: &dyn Storage, paths: &[String]) -> Result<()> {
    for path in paths {
        let synced = storage.open(path).and_then(|file| file.sync());
        synced.map_err(|error| Error::io(format_args!("syncing {path}"), error))?;
    }
    storage.sync_dir(file::JOURNAL).map_err(|error| Error::io("syncing the journal's directory", error))
}

/// Removes the directories of the streams that `unwanted` says.
fn remove_streams(files: &SegmentFiles, unwanted: impl Fn(u64) -> bool) -> Result<()> {
    let names = files.storage().list(STREAMS).map_err(|error| Error::io("listing the streams", error))?;
    for name in names {
        match name.parse::<u64>() {
            Ok(number) if number.to_string() == name => {
                if unwanted(number) {
                    files.remove_stream(number)?;
                }
            }
            _ => tracing::warn!(name, "an unknown file among the streams is left alone"),
        }
    }
    Ok(())
}

/// Removes the files that redb has durably given up, and those it never heard of: of streams and of segments. Before there
/// is a new journal: what of segments it does not know would else be taken for what it adds, where redb is lost.
fn sweep(files: &SegmentFiles, catalog: &Catalog) -> Result<()> {
    let numbers: BTreeSet<u64> = catalog.streams.values().map(|cell| cell.number).collect();
    remove_streams(files, |number| !numbers.contains(&number))?;
    for cell in catalog.streams.values() {
        let segments = cell.lock().state.log.segments().map(|segment| segment.position.first_id).collect();
        files.remove_others(cell.number, &segments)?;
        let last = cell.lock().state.log.segments().last().cloned();
        if let Some(Segment { stream, position, .. }) = last.filter(|last| !last.position.sealed) {
            files.truncate(stream, position.first_id, position.end)?;
        }
    }
    for cell in catalog.streams.values() {
        let hollow = |segment: &&Segment| segment.position.hollow;
        let hollow: Vec<Segment> = cell.lock().state.log.segments().filter(hollow).cloned().collect();
        for Segment { stream, position, .. } in hollow {
            files.cut(stream, position.first_id, position.begin)?;
        }
    }
    files.remove_half_cut()
}
