//! Opening: redb, then what the journal has beyond it, then a checkpoint of that, then a new journal file.
//!
//! What was read from the journal past redb may have been in the system's memory alone. Nothing is published before a
//! checkpoint has made it durable in segments and redb; only then is a new journal file begun, and only then are the
//! old ones removed. A crash anywhere in between finds the old files, or redb at the same record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::checkpoint;
use super::format;
use crate::clock::{Clock, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{self, Journal, Lsn, Recovery, file};
use crate::log::files::STREAMS;
use crate::log::header::Identity;
use crate::log::writer::Roll;
use crate::log::{Segment, SegmentFiles};
use crate::options::Options;
use crate::state::StreamState;
use crate::state::change::{Change, Recorded, decode};
use crate::state::snapshot::{Snapshot, StreamSnapshot};
use crate::state::tables::{Commit, Loaded, Meta, Tables};
use crate::storage::{Lock, Storage};
use crate::stream::catalog::Catalog;
use crate::stream::cell::StreamCell;
use crate::stream::core::Core;

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
    let tables = Tables::open(&*storage)?;
    let (meta, loaded) = tables.load()?;
    let with_segments = |(number, loaded): (&u64, &Loaded)| loaded.state.log.segments().next().map(|_| *number);
    let with_segments: BTreeSet<u64> = loaded.iter().filter_map(with_segments).collect();
    let mut replay = Replay::new(meta, loaded);
    let fresh = !meta.journal && journal_is_empty(&*storage)?;
    let recovery = if fresh {
        Recovery::default()
    } else {
        journal::recover(&*storage, directory, meta.floor, meta.covered, |lsn, record| replay.apply(lsn, record))?
    };
    let last_lsn = recovery.last_lsn.max(meta.covered);
    let catalog = replay.into_catalog(directory);
    let files = SegmentFiles::new(Arc::clone(&storage), options.open_files_max);
    if last_lsn > meta.floor {
        // Made anew when they are written to: after a sync that failed, no later one makes their names durable.
        remove_streams(&*storage, |number| !with_segments.contains(&number))?;
        settle(&tables, &files, &catalog, &options, clock.now_ms(), last_lsn)?;
    }
    let catalog = Catalog { deleted: Vec::new(), ..catalog };
    // A backup's journal ends as a clean one does, and not at a checkpoint: this may not be the first try to replay it.
    if !recovery.clean || last_lsn > meta.floor {
        sweep(&files, &catalog)?;
    }
    remove(&*storage, &recovery.beyond)?;
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
    if !meta.journal && last_lsn == meta.floor {
        let meta = Meta { journal: true, ..meta };
        tables.commit(&Commit { meta, deltas: Vec::new(), deleted_streams: Vec::new() })?;
    }
    // A file that held no record has given its name to the new one.
    let new = file::path(last_lsn + 1);
    remove(&*storage, &recovery.used.into_iter().filter(|path| *path != new).collect::<Vec<_>>())?;
    Ok((Core::new(storage, clock, options, directory, journal, tables, catalog), lock))
}

/// Makes what a new directory lacks. A crash in between is made good here: redb is there before the journal's first
/// file is.
fn prepare(storage: &dyn Storage) -> Result<()> {
    let doing = |error| Error::io("preparing the directory", error);
    if Tables::exist(storage)? {
        // Whoever made the file may have been killed before its name was durable.
        return if journal_is_empty(storage)? { storage.sync_dir("").map_err(doing) } else { Ok(()) };
    }
    journal::create_dir(storage)?;
    storage.create_dir(STREAMS).map_err(doing)?;
    storage.sync_dir("").map_err(doing)?;
    if !journal_is_empty(storage)? || !storage.list(STREAMS).map_err(doing)?.is_empty() {
        return Err(Error::corrupt("state.redb", 0, "it is missing"));
    }
    Tables::create(storage)
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

/// The state, as records are applied to it.
struct Replay {
    meta: Meta,
    streams: BTreeMap<u64, Loaded>,
    deleted: Vec<StreamState>,
    /// Streams that a record of this replay deleted: no later record may name them.
    gone: BTreeSet<u64>,
    next_stream: u64,
}

impl Replay {
    fn new(meta: Meta, streams: BTreeMap<u64, Loaded>) -> Replay {
        Replay { next_stream: meta.next_stream, meta, streams, deleted: Vec::new(), gone: BTreeSet::new() }
    }

    fn apply(&mut self, lsn: Lsn, record: &[u8]) -> Result<()> {
        let damaged =
            |what: &dyn std::fmt::Display| Error::corrupt(file::JOURNAL, 0, format_args!("record {lsn}: {what}"));
        for (number, change) in decode(record).map_err(|error| damaged(&error))? {
            let covered = lsn <= self.meta.catalog;
            if let Recorded::Change(Change::CreateStream { name, incarnation }) = &change {
                // One that redb covers and does not have was deleted again.
                if !covered {
                    let state = StreamState::new(number, name.as_str().into(), *incarnation);
                    self.streams.insert(number, Loaded { state, covered: 0 });
                    self.next_stream = self.next_stream.max(number + 1);
                }
                continue;
            }
            let Some(Loaded { state, covered: stream_covered }) = self.streams.get_mut(&number) else {
                if covered && !self.gone.contains(&number) {
                    continue;
                }
                return Err(damaged(&format_args!("it is about stream {number}, which there is not")));
            };
            if lsn <= *stream_covered {
                continue;
            }
            match change {
                Recorded::Added(entries) => {
                    entries.for_each(|(id, body)| state.apply_entry(id, body));
                    state.forget_before(state.front.ordinal);
                }
                Recorded::Change(Change::DeleteStream) => {
                    self.gone.insert(number);
                    self.deleted.extend(self.streams.remove(&number).map(|loaded| loaded.state));
                }
                Recorded::Change(change) => {
                    state.apply(&change);
                    state.forget_before(state.front.ordinal);
                }
            }
        }
        Ok(())
    }

    fn into_catalog(self, directory: Identity) -> Catalog {
        let cell = |state: StreamState| Arc::new(StreamCell::new(directory, state));
        let streams: BTreeMap<_, _> =
            self.streams.into_values().map(|Loaded { state, .. }| (Arc::clone(&state.name), cell(state))).collect();
        let deleted = self.deleted.into_iter().map(cell).collect();
        Catalog { streams, next_stream: self.next_stream, deleted }
    }
}

/// Makes what was replayed durable, in segments and redb: a checkpoint of everything up to `last_lsn`.
fn settle(
    tables: &Tables,
    files: &SegmentFiles,
    catalog: &Catalog,
    options: &Options,
    now_ms: u64,
    last_lsn: Lsn,
) -> Result<()> {
    let roll = Roll { bytes: options.segment_bytes, age_ms: millis(options.segment_age) };
    let mut deltas = Vec::new();
    for cell in catalog.streams.values() {
        deltas.extend(checkpoint::take(files, cell, roll, now_ms, || last_lsn)?);
    }
    let meta =
        Meta { floor: last_lsn, covered: last_lsn, catalog: last_lsn, next_stream: catalog.next_stream, journal: true };
    let deleted_streams = catalog.deleted.iter().map(|cell| cell.number).collect();
    let commit = Commit { meta, deltas, deleted_streams };
    tables.commit(&commit)?;
    checkpoint::unlink(files, &commit.deltas, &catalog.deleted)
}

/// Removes the directories of the streams that `unwanted` says.
fn remove_streams(storage: &dyn Storage, unwanted: impl Fn(u64) -> bool) -> Result<()> {
    let names = storage.list(STREAMS).map_err(|error| Error::io("listing the streams", error))?;
    for name in names {
        match name.parse::<u64>() {
            Ok(number) if number.to_string() == name => {
                if unwanted(number) {
                    checkpoint::remove_stream(storage, number)?;
                }
            }
            _ => tracing::warn!(name, "an unknown file among the streams is left alone"),
        }
    }
    Ok(())
}

/// Removes the files that redb has durably given up, and those it never heard of: of streams and of segments.
fn sweep(files: &SegmentFiles, catalog: &Catalog) -> Result<()> {
    let numbers: BTreeSet<u64> = catalog.streams.values().map(|cell| cell.number).collect();
    remove_streams(files.storage(), |number| !numbers.contains(&number))?;
    for cell in catalog.streams.values() {
        let segments = cell.lock().state.log.segments().map(|segment| segment.position.first_id).collect();
        files.remove_others(cell.number, &segments)?;
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
