//! redb: the state as of the last checkpoint. Knows rows and no journal.
//!
//! ```text
//! meta         "meta"                              -> Meta
//! streams      stream                              -> StreamRow
//! tombstones   stream, ordinal / 1024              -> bitmap
//! groups       stream, group                       -> GroupRow
//! consumers    stream, group, consumer             -> ConsumerRow
//! pending      stream, group, ID's ms, ID's seq    -> PendingRow, or in version 2 TurnRow
//! producers    stream, producer                    -> ProducerRow
//! ```
//!
//! Every value is sealed by `codec`, for redb does not verify what it reads. A key that names what is not there
//! (a consumer of no group) is damage.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::delta::{ConsumerRow, GroupRow, StreamDelta, StreamRow, TurnRow};
use super::producers::ProducerRow;
use super::stream_state::StreamState;
use crate::codec::{self, CodecError};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::journal::Lsn;
use crate::log::segment::Position;
use crate::storage::{File, RedbFile, RedbScratch, Storage};

pub(crate) const PATH: &str = "state.redb";
pub(crate) const NEW_PATH: &str = "state.redb.new";
/// A damaged file that another was made in place of.
pub(crate) const ASIDE_PATH: &str = "state.redb.damaged";

/// What redb keeps in memory. A checkpoint touches each page once; the state itself is resident.
const CACHE_BYTES: usize = 4 << 20;

/// The version of every row's layout, but for one.
const ROW_VERSION: u8 = 1;
/// That of the row of a pending entry with a turn: delivered in one millisecond with others, and not in the order of IDs.
pub(crate) const TURN_VERSION: u8 = 2;

type Bytes = &'static [u8];
const META: TableDefinition<'_, &str, Bytes> = TableDefinition::new("meta");
const STREAMS: TableDefinition<'_, u64, Bytes> = TableDefinition::new("streams");
const TOMBSTONES: TableDefinition<'_, (u64, u64), Bytes> = TableDefinition::new("tombstones");
const GROUPS: TableDefinition<'_, (u64, u32), Bytes> = TableDefinition::new("groups");
const CONSUMERS: TableDefinition<'_, (u64, u32, u32), Bytes> = TableDefinition::new("consumers");
const PENDING: TableDefinition<'_, (u64, u32, u64, u64), Bytes> = TableDefinition::new("pending");
const PRODUCERS: TableDefinition<'_, (u64, Bytes), Bytes> = TableDefinition::new("producers");
const META_KEY: &str = "meta";

/// What redb says of the broker as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Every record up to this one is in the rows.
    pub(crate) floor: Lsn,
    /// The highest record that any row covers.
    pub(crate) covered: Lsn,
    /// Every stream created, deleted or renamed up to this record is so in the rows.
    pub(crate) catalog: Lsn,
    pub(crate) next_stream: u64,
    /// Whether the journal's first file was made: one without files is damage from then on.
    pub(crate) journal: bool,
}

/// What redb says of a broker with nothing in it.
pub(crate) const NOTHING: Meta = Meta { floor: 0, covered: 0, catalog: 0, next_stream: 1, journal: false };

/// What a checkpoint writes.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) meta: Meta,
    pub(crate) deltas: Vec<StreamDelta>,
    pub(crate) deleted_streams: Vec<u64>,
}

/// A stream as redb has it, and the record up to which it does.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) state: StreamState,
    pub(crate) covered: Lsn,
}

/// The file, open to be written.
#[derive(Debug)]
pub(crate) struct Tables {
    database: Database,
    /// Whether a write or sync of the file has failed.
    failed: Arc<AtomicBool>,
}

/// What a new file begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Base {
    /// What the file has that it takes the place of.
    Copy,
    /// Nothing: the commit has everything.
    Nothing,
}

fn failed(doing: &str, error: impl Into<redb::Error>) -> Error {
    match error.into() {
        // It ends before something that it names, or does not begin as such a file does.
        redb::Error::Io(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) => {
            damaged(error)
        }
        redb::Error::Io(error) => Error::io(format_args!("{doing} {PATH}"), error),
        error => Error::corrupt(PATH, 0, format_args!("{doing} it: {error}")).with_source(error),
    }
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::corrupt(PATH, 0, what)
}

/// Calls redb, which may panic where its pages are damaged.
fn guarded<T>(doing: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let panicked = |_| Err(damaged(format_args!("redb panicked while {doing} it")));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked)
}

impl Tables {
    /// Whether there is a file to open.
    pub(crate) fn exist(storage: &dyn Storage) -> Result<bool> {
        match storage.open(PATH) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io(format_args!("opening {PATH}"), error)),
        }
    }

    /// Creates the file of a broker with nothing in it.
    pub(crate) fn create(storage: &dyn Storage) -> Result<()> {
        let commit = Commit { meta: NOTHING, deltas: Vec::new(), deleted_streams: Vec::new() };
        Tables::replace(storage, Base::Nothing, &commit)?.close()
    }

    /// Opens the file to be written in place: for one that was closed, since whose last sync nothing has failed.
    pub(crate) fn open(storage: &dyn Storage) -> Result<Tables> {
        Tables::open_file(open(storage)?)
    }

    /// Makes a new file beside the old one, of `base` and `commit`, and gives it the old one's name. What redb left behind
    /// after a crash or a failure is never written again: reopened in place it can become unopenable.
    pub(crate) fn replace(storage: &dyn Storage, base: Base, commit: &Commit) -> Result<Tables> {
        let doing = |error| Error::io(format_args!("writing a new {PATH}"), error);
        // After a sync of the directory that failed, no later one makes a name durable that was there before.
        Tables::remove_unfinished(storage)?;
        let make = || {
            let file = storage.create(NEW_PATH).map_err(doing)?;
            if let Base::Copy = base {
                copy(&*open(storage)?, &*file).map_err(doing)?;
            }
            let tables = Tables::open_file(Arc::clone(&file))?;
            tables.commit(commit)?;
            file.sync().map_err(doing)?;
            storage.rename(NEW_PATH, PATH).map_err(doing)?;
            storage.sync_dir("").map_err(doing)?;
            Ok(tables)
        };
        make().inspect_err(|_| {
            // Half made it would only take up room; what cannot be removed is at the next attempt.
            let _ = storage.remove(NEW_PATH);
        })
    }

    /// Removes what a crash left of a file that was to take the place of another.
    pub(crate) fn remove_unfinished(storage: &dyn Storage) -> Result<()> {
        match storage.remove(NEW_PATH) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format_args!("removing {NEW_PATH}"), error))
            }
            _ => Ok(()),
        }
    }

    /// Renames a damaged file, for whoever wants to look at it; nothing if there is none.
    pub(crate) fn set_aside(storage: &dyn Storage) -> Result<()> {
        match storage.rename(PATH, ASIDE_PATH) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format_args!("setting {PATH} aside"), error))
            }
            _ => Ok(()),
        }
    }

    /// Where each stream's segments are.
    pub(crate) fn segments(&self) -> Result<Vec<(u64, Vec<Position>)>> {
        let read = || -> Result<RowsOf<u64>, redb::Error> {
            let streams = self.database.begin_read()?.open_table(STREAMS)?;
            let rows = streams.iter()?.map(|row| row.map(|(key, value)| (key.value(), value.value().to_vec())));
            Ok(rows.collect::<Result<_, _>>()?)
        };
        let rows = guarded("reading", || read().map_err(|error| failed("reading", error)))?;
        rows.into_iter().map(|(number, bytes)| Ok((number, unseal::<StreamRow>(&bytes)?.segments))).collect()
    }

    fn open_file(file: Arc<dyn File>) -> Result<Tables> {
        let (backend, failed) = RedbFile::new(file);
        Ok(Tables { database: database(backend)?, failed })
    }

    /// Closes the file.
    ///
    /// # Errors
    ///
    /// If anything of it could not be written: the file is then not to be opened in place.
    pub(crate) fn close(self) -> Result<()> {
        let Tables { database, failed } = self;
        guarded("closing", || {
            drop(database);
            Ok(())
        })?;
        if failed.load(Ordering::Relaxed) {
            let error = io::Error::other("a write or sync failed");
            return Err(Error::io(format_args!("closing {PATH}"), error));
        }
        Ok(())
    }

    /// Writes a checkpoint; when this returns it is durable.
    pub(crate) fn commit(&self, commit: &Commit) -> Result<()> {
        guarded("writing", || {
            let mut transaction = self.database.begin_write().map_err(|error| failed("writing", error))?;
            // Opening after a crash then reads the allocator's state instead of scanning the whole file.
            transaction.set_quick_repair(true);
            write(&transaction, commit).map_err(|error| failed("writing", error))?;
            transaction.commit().map_err(|error| failed("writing", error))
        })
    }

    /// Reads everything, and changes nothing of the file. All of it is verified first, for redb's reads verify nothing.
    ///
    /// # Errors
    ///
    /// `Corrupt` if the file is missing or damaged; what the system says.
    pub(crate) fn read(storage: &dyn Storage) -> Result<(Meta, BTreeMap<u64, Loaded>)> {
        let file = open(storage)?;
        let (meta, rows) = guarded("reading", || {
            let scratch = RedbScratch::new(file).map_err(|error| Error::io(format_args!("reading {PATH}"), error))?;
            let mut database = database(scratch)?;
            if !database.check_integrity().map_err(|error| failed("verifying", error))? {
                return Err(damaged("its pages do not have the checksums they were written with"));
            }
            Rows::read(&database).map_err(|error| failed("reading", error))
        })?;
        let meta = unseal(&meta.ok_or_else(|| damaged("it says nothing of the broker"))?)?;
        let mut streams = BTreeMap::new();
        for (number, bytes) in rows.streams {
            let row: StreamRow = unseal(&bytes)?;
            let covered = row.covered;
            streams.insert(number, Loaded { state: StreamState::from_row(number, row), covered });
        }
        for ((number, group), bytes) in rows.tombstones {
            stream(&mut streams, number)?.tombstones.load(group, unseal(&bytes)?);
        }
        for ((number, group), bytes) in rows.groups {
            stream(&mut streams, number)?.load_group(group, unseal(&bytes)?);
        }
        for ((number, group, consumer), bytes) in rows.consumers {
            if !stream(&mut streams, number)?.load_consumer(group, consumer, unseal(&bytes)?) {
                return Err(damaged("it has a consumer of no group"));
            }
        }
        for ((number, group, ms, seq), bytes) in rows.pending {
            if !stream(&mut streams, number)?.load_pending(group, Id::new(ms, seq), unseal_pending(&bytes)?) {
                return Err(damaged("it has a pending entry of no consumer"));
            }
        }
        for ((number, producer), bytes) in rows.producers {
            stream(&mut streams, number)?.producers.load(producer, unseal(&bytes)?);
        }
        Ok((meta, streams))
    }
}

fn open(storage: &dyn Storage) -> Result<Arc<dyn File>> {
    storage.open(PATH).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => damaged("it is missing").with_source(error),
        _ => Error::io(format_args!("opening {PATH}"), error),
    })
}

fn database(backend: impl StorageBackend) -> Result<Database> {
    guarded("opening", || {
        let mut builder = redb::Builder::new();
        builder.set_cache_size(CACHE_BYTES).create_with_backend(backend).map_err(|error| failed("opening", error))
    })
}

fn copy(from: &dyn File, to: &dyn File) -> io::Result<()> {
    const STEP: usize = 1 << 20;
    let mut offset = 0;
    let mut buffer = vec![0; STEP];
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

fn stream(streams: &mut BTreeMap<u64, Loaded>, number: u64) -> Result<&mut StreamState> {
    let loaded = streams.get_mut(&number);
    loaded.map(|loaded| &mut loaded.state).ok_or_else(|| damaged(format_args!("it has rows of no stream, {number}")))
}

type RowsOf<K> = Vec<(K, Vec<u8>)>;

#[derive(Default)]
struct Rows {
    streams: RowsOf<u64>,
    tombstones: RowsOf<(u64, u64)>,
    groups: RowsOf<(u64, u32)>,
    consumers: RowsOf<(u64, u32, u32)>,
    pending: RowsOf<(u64, u32, u64, u64)>,
    producers: RowsOf<(u64, Vec<u8>)>,
}

impl Rows {
    fn read(database: &Database) -> Result<(Option<Vec<u8>>, Rows), redb::Error> {
        let transaction = database.begin_read()?;
        let meta = transaction.open_table(META)?.get(META_KEY)?.map(|value| value.value().to_vec());
        let mut rows = Rows::default();
        for row in transaction.open_table(STREAMS)?.iter()? {
            let (key, value) = row?;
            rows.streams.push((key.value(), value.value().to_vec()));
        }
        for row in transaction.open_table(TOMBSTONES)?.iter()? {
            let (key, value) = row?;
            rows.tombstones.push((key.value(), value.value().to_vec()));
        }
        for row in transaction.open_table(GROUPS)?.iter()? {
            let (key, value) = row?;
            rows.groups.push((key.value(), value.value().to_vec()));
        }
        for row in transaction.open_table(CONSUMERS)?.iter()? {
            let (key, value) = row?;
            rows.consumers.push((key.value(), value.value().to_vec()));
        }
        for row in transaction.open_table(PENDING)?.iter()? {
            let (key, value) = row?;
            rows.pending.push((key.value(), value.value().to_vec()));
        }
        for row in transaction.open_table(PRODUCERS)?.iter()? {
            let (key, value) = row?;
            let (stream, producer) = key.value();
            rows.producers.push(((stream, producer.to_vec()), value.value().to_vec()));
        }
        Ok((meta, rows))
    }
}

fn seal<T: Serialize>(row: &T) -> Vec<u8> {
    codec::seal(ROW_VERSION, row)
}

fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    codec::unseal(ROW_VERSION, bytes).map_err(damaged)
}

fn seal_pending(row: &TurnRow) -> Vec<u8> {
    if row.turn == 0 { seal(&row.row) } else { codec::seal(TURN_VERSION, row) }
}

fn unseal_pending(bytes: &[u8]) -> Result<TurnRow> {
    match codec::unseal(ROW_VERSION, bytes) {
        Ok(row) => Ok(TurnRow { row, turn: 0 }),
        Err(CodecError::Version(TURN_VERSION)) => codec::unseal(TURN_VERSION, bytes).map_err(damaged),
        Err(error) => Err(damaged(error)),
    }
}

fn write(transaction: &WriteTransaction, commit: &Commit) -> Result<(), redb::Error> {
    let mut streams = transaction.open_table(STREAMS)?;
    let mut tombstones = transaction.open_table(TOMBSTONES)?;
    let mut groups = transaction.open_table(GROUPS)?;
    let mut consumers = transaction.open_table(CONSUMERS)?;
    let mut pending = transaction.open_table(PENDING)?;
    let mut producers = transaction.open_table(PRODUCERS)?;
    for delta in &commit.deltas {
        let number = delta.stream;
        streams.insert(number, &*seal(&delta.row))?;
        for &group in &delta.dead_groups {
            groups.remove((number, group))?;
            consumers.retain_in((number, group, 0)..=(number, group, u32::MAX), |_, _| false)?;
            pending.retain_in((number, group, 0, 0)..=(number, group, u64::MAX, u64::MAX), |_, _| false)?;
        }
        for (group, bits) in &delta.tombstones {
            match bits {
                Some(bits) => drop(tombstones.insert((number, *group), &*seal(bits))?),
                None => drop(tombstones.remove((number, *group))?),
            }
        }
        for (group, row) in &delta.groups {
            let row: &GroupRow = row;
            groups.insert((number, *group), &*seal(row))?;
        }
        for (group, consumer, row) in &delta.consumers {
            let row: &Option<ConsumerRow> = row;
            match row {
                Some(row) => drop(consumers.insert((number, *group, *consumer), &*seal(row))?),
                None => drop(consumers.remove((number, *group, *consumer))?),
            }
        }
        for (group, id, row) in &delta.pending {
            match row {
                Some(row) => drop(pending.insert((number, *group, id.ms, id.seq), &*seal_pending(row))?),
                None => drop(pending.remove((number, *group, id.ms, id.seq))?),
            }
        }
        for (producer, row) in &delta.producers {
            let row: &Option<ProducerRow> = row;
            match row {
                Some(row) => drop(producers.insert((number, &**producer), &*seal(row))?),
                None => drop(producers.remove((number, &**producer))?),
            }
        }
    }
    // After the deltas: a stream may have been deleted after its own was taken.
    for &number in &commit.deleted_streams {
        streams.remove(number)?;
        tombstones.retain_in((number, 0)..=(number, u64::MAX), |_, _| false)?;
        groups.retain_in((number, 0)..=(number, u32::MAX), |_, _| false)?;
        consumers.retain_in((number, 0, 0)..=(number, u32::MAX, u32::MAX), |_, _| false)?;
        pending.retain_in((number, 0, 0, 0)..=(number, u32::MAX, u64::MAX, u64::MAX), |_, _| false)?;
        producers.retain_in((number, &[][..])..(number + 1, &[][..]), |_, _| false)?;
    }
    transaction.open_table(META)?.insert(META_KEY, &*seal(&commit.meta))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::delta::PendingRow;
    use super::super::delta::tests::pinned;
    use super::super::tombstones::Bits;
    use super::{Meta, TurnRow, seal_pending, unseal_pending};
    use crate::codec::hex;

    #[test]
    fn the_layout_of_what_redb_says_of_the_broker_is_pinned() {
        let meta = Meta { floor: 300, covered: 302, catalog: 301, next_stream: 4, journal: true };
        pinned(&meta, "478d428101fb2c01fb2e01fb2d010401");
    }

    #[test]
    fn the_layouts_of_a_pending_entrys_row_with_and_without_a_turn_are_pinned() {
        let row = || PendingRow { consumer: 6, delivered_ms: 1_700_000_000_000, deliveries: 7 };
        for (turn, expected) in
            [(0, "f0aab1bf0106fd0068e5cf8b01000007"), (300, "74d0d1440206fd0068e5cf8b01000007fb2c01")]
        {
            let row = TurnRow { row: row(), turn };
            let sealed = seal_pending(&row);
            assert_eq!(hex(&sealed), expected);
            assert_eq!(unseal_pending(&sealed).unwrap(), row);
        }
    }

    #[test]
    fn the_layout_of_a_bitmap_is_pinned() {
        let mut bits: Bits = [0; 16];
        (bits[0], bits[1], bits[15]) = (1, 300, 1 << 63);
        pinned(&bits, "db189c200101fb2c0100000000000000000000000000fd0000000000000080");
    }
}
