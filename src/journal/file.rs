//! One file of the journal: its name, its head, its frames' flags and keys.
//!
//! ```text
//! | header | frame SNAPSHOT: what the broker was before this file | frame RECORD … | frame MARK at a clean close |
//! header   what `log::header` draws, around a [`JournalHeader`]
//! key      | lsn u64 | mark u64 |   the record's number, and the last record known to be durable when it was written
//! ```
//!
//! A mark's own LSN is that of the last record before it.
//!
//! A file is made ready ahead of its use, as a spare: preallocated, its header synced. To go on in it takes no sync: the
//! snapshot is written and the file renamed, and the next sync of what follows covers both. So a file with a journal file's name and a
//! bad header is damage; a bad snapshot may also be the torn end of the log.
//!
//! A file that was given up is a spare again as it is, header and all: what was never synced of it need never be. Numbers of
//! records only grow while the process lives, and no other uses its files: of frames in a file those that are numbered below its name are of
//! its former life.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Lsn;
use crate::error::{Error, Result};
use crate::log::frame::{self, Frame, Salt};
use crate::log::header::{self, Identity, Magic};
use crate::storage::{File, Storage};

pub(crate) const JOURNAL: &str = "journal";
pub(crate) const MAGIC: Magic = *b"SLOGJL01";
pub(crate) const HEADER_VERSION: u8 = 1;

pub(crate) const RECORD: u8 = 0;
pub(crate) const SNAPSHOT: u8 = 2;
pub(crate) const MARK: u8 = 3;

/// Zeros are written this many at a time: a page. What Linux caches of one write it keeps together, and where that is much each small
/// write into it costs several times as much (ext4 goes through all of its blocks).
const FILL_BYTES: usize = 4 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JournalHeader {
    pub(crate) directory: Identity,
    /// The first record, in files of earlier versions; 0 since they are made ready ahead: the snapshot's key says it.
    pub(crate) first_lsn: Lsn,
    /// The last record known to be durable when the file was made, likewise.
    pub(crate) mark: Lsn,
}

/// What a file has for good: what its frames are checksummed with, and where they begin.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) salt: Salt,
    len: u64,
}

/// A file that records are appended to.
#[derive(Debug)]
pub(crate) struct JournalFile {
    pub(crate) file: Arc<dyn File>,
    pub(crate) head: Head,
    /// The offset of the first record.
    pub(crate) head_len: u64,
    /// The bytes preallocated.
    pub(crate) capacity: u64,
}

impl JournalFile {
    /// Appends to `out` the frame of a mark behind the record `lsn`.
    pub(crate) fn mark(&self, lsn: Lsn, mark: Lsn, out: &mut Vec<u8>) {
        let start = frame::begin(key(lsn, mark), MARK, out);
        frame::finish(&self.head.salt, start, out);
    }
}

pub(crate) fn path(first_lsn: Lsn) -> String {
    format!("{JOURNAL}/{first_lsn:020}.log")
}

pub(crate) fn spare_name(number: u64) -> String {
    format!("{JOURNAL}/spare-{number}")
}

/// The first LSN in a journal file's name.
pub(crate) fn parse_name(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(".log")?;
    // There is no record 0.
    if digits.len() == 20 { digits.parse().ok().filter(|&first| first > 0) } else { None }
}

/// Whether the name is that of a spare, or of one being made: of no use to the next life.
pub(crate) fn is_spare(name: &str) -> bool {
    name.strip_prefix("spare-").is_some_and(|number| number.parse::<u64>().is_ok())
}

pub(crate) fn key(lsn: Lsn, mark: Lsn) -> [u8; 16] {
    (u128::from(lsn) << 64 | u128::from(mark)).to_be_bytes()
}

pub(crate) fn parse_key(key: [u8; 16]) -> (Lsn, Lsn) {
    let wide = u128::from_be_bytes(key);
    ((wide >> 64) as u64, wide as u64)
}

/// At least the bytes that come before the first record.
pub(crate) fn head_len(snapshot: &[u8]) -> u64 {
    const HEADER: usize = 128;
    (HEADER + frame::HEADER_LEN + snapshot.len()) as u64
}

/// A file made ready to be gone on in: its bytes are there, and its header is durable.
#[derive(Debug)]
pub(crate) struct Spare {
    name: String,
    head: Head,
    capacity: u64,
}

/// Makes a spare of `capacity` zeros that are really there: the disk cannot be full when they are overwritten. Where somebody
/// waits for it (`at_once`) the zeros are left to the next sync.
pub(crate) fn make_spare(
    storage: &dyn Storage,
    directory: Identity,
    name: String,
    capacity: u64,
    at_once: bool,
) -> Result<Spare> {
    let make = || {
        let file = storage.create(&name)?;
        if at_once {
            let head = write_header(storage, &*file, directory)?;
            fill(&*file, head.len, capacity)?;
            return Ok(head);
        }
        fill(&*file, 0, capacity)?;
        write_header(storage, &*file, directory)
    };
    let head = whole_or_gone(storage, &name, make).map_err(|error| Error::io("preallocating a journal file", error))?;
    Ok(Spare { name, head, capacity })
}

/// Gives the file an identity. Durable when this returns.
fn write_header(storage: &dyn Storage, file: &dyn File, directory: Identity) -> io::Result<Head> {
    let identity = storage.random();
    let header = JournalHeader { directory, first_lsn: 0, mark: 0 };
    let header = header::encode(MAGIC, identity, HEADER_VERSION, &header);
    file.write_at(&header, 0)?;
    file.sync()?;
    Ok(Head { salt: Salt::new(&identity), len: header.len() as u64 })
}

/// Removes the file `name` if `make` fails: half made it would only take up room, perhaps the last there is.
fn whole_or_gone<T>(storage: &dyn Storage, name: &str, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    make().inspect_err(|_| {
        // What cannot be removed is of no harm, and goes at the next open.
        let _ = storage.remove(name);
    })
}

impl Spare {
    /// A file that was given up, and has the spare's name for good.
    pub(crate) fn again(name: String, head: Head, capacity: u64) -> Spare {
        Spare { name, head, capacity }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn into_name(self) -> String {
        self.name
    }

    /// Writes the snapshot that the record `first_lsn` meets, and gives the file its name: both are durable with the next sync
    /// of the file and of the directory. If the snapshot cannot be written the spare is gone.
    ///
    /// # Errors
    ///
    /// Those of the snapshot, which leave nothing behind, and of the name, which may be there all the same: recovery
    /// would look for the next record in this file and no other.
    pub(crate) fn begin(
        self,
        storage: &dyn Storage,
        first_lsn: Lsn,
        mark: Lsn,
        snapshot: &[u8],
    ) -> std::result::Result<JournalFile, Unbegun> {
        let Spare { name, head, capacity } = self;
        let mut frame = Vec::new();
        frame::encode(&head.salt, Frame { key: key(first_lsn, mark), flags: SNAPSHOT, body: snapshot }, &mut frame);
        let write = || {
            let file = storage.open(&name)?;
            file.write_at(&frame, head.len)?;
            Ok(file)
        };
        let file = whole_or_gone(storage, &name, write)
            .map_err(|error| Unbegun::Nothing(Error::io("beginning a journal file", error)))?;
        storage
            .rename(&name, &path(first_lsn))
            .map_err(|error| Unbegun::Named(Error::io("naming a journal file", error)))?;
        let head_len = head.len + frame.len() as u64;
        Ok(JournalFile { file, head, head_len, capacity })
    }
}

/// Why a file could not be begun.
#[derive(Debug)]
pub(crate) enum Unbegun {
    /// Nothing has changed.
    Nothing(Error),
    /// It may have its name.
    Named(Error),
}

impl Unbegun {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Unbegun::Nothing(error) | Unbegun::Named(error) => error,
        }
    }
}

/// Makes a file and begins it; durable under its name when this returns.
pub(crate) fn create(
    storage: &dyn Storage,
    directory: Identity,
    first_lsn: Lsn,
    mark: Lsn,
    capacity: u64,
    snapshot: &[u8],
) -> Result<JournalFile> {
    let spare = make_spare(storage, directory, spare_name(0), capacity, false)?;
    let begun = spare.begin(storage, first_lsn, mark, snapshot).map_err(Unbegun::into_error)?;
    let synced = begun.file.sync().and_then(|()| storage.sync_dir(JOURNAL));
    synced.map_err(|error| Error::io("creating a journal file", error))?;
    Ok(begun)
}

/// Writes zeros from `offset` to `end`.
pub(super) fn fill(file: &dyn File, mut offset: u64, end: u64) -> io::Result<()> {
    let zeros = vec![0; FILL_BYTES.min((end - offset) as usize)];
    while offset < end {
        let len = zeros.len().min((end - offset) as usize);
        file.write_at(&zeros[..len], offset)?;
        offset += len as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::hex;
    use crate::storage::Memory;

    #[test]
    fn the_layout_of_a_journal_files_header_is_pinned() {
        let head = JournalHeader { directory: [0xd1; 16], first_lsn: 300, mark: 299 };
        let bytes = header::encode(MAGIC, [0x1d; 16], HEADER_VERSION, &head);
        let expected = concat!(
            "534c4f474a4c3031a46ada23170000001d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d0001d1d1d1d1d1d1d1d1d1d1d1d1d1d1",
            "d1d1fb2c01fb2b01",
        );
        assert_eq!(hex(&bytes), expected);
        let (identity, decoded, len) =
            header::decode::<JournalHeader>("journal", MAGIC, HEADER_VERSION, &bytes).unwrap();
        assert_eq!((identity, decoded, len), ([0x1d; 16], head, bytes.len()));
    }

    #[test]
    fn the_keys_and_flags_of_frames_are_pinned() {
        assert_eq!(hex(&key(0x0102, 0x0a0b)), "00000000000001020000000000000a0b");
        assert_eq!(parse_key(key(7, 5)), (7, 5));
        assert_eq!((RECORD, SNAPSHOT, MARK), (0, 2, 3));
        let mut mark = Vec::new();
        let start = frame::begin(key(7, 5), MARK, &mut mark);
        frame::finish(&Salt::new(&[0x1d; 16]), start, &mut mark);
        assert_eq!(hex(&mark), "089eb5ed000000000000000000000007000000000000000503");
    }

    #[test]
    fn a_file_begins_with_its_header_and_the_snapshot_and_is_zeros_from_there() {
        let storage = Memory::default();
        super::super::create_dir(&storage).unwrap();
        let made = create(&storage, [0xd1; 16], 300, 299, 1000, b"snapshot").unwrap();
        let mut bytes = vec![0xff; made.file.len().unwrap() as usize];
        made.file.read_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes.len(), 1000);
        let (identity, head, len) = header::decode::<JournalHeader>("", MAGIC, HEADER_VERSION, &bytes).unwrap();
        assert_eq!((head.first_lsn, head.mark), (0, 0), "it was made ready before that was known");
        let (snapshot, rest) = Frame::decode(&bytes[len..], &Salt::new(&identity)).unwrap();
        assert_eq!((snapshot.key, snapshot.flags, snapshot.body), (key(300, 299), SNAPSHOT, &b"snapshot"[..]));
        assert_eq!(made.head_len as usize, bytes.len() - rest.len());
        assert!(rest.iter().all(|&byte| byte == 0));
        assert!(made.head_len <= head_len(b"snapshot"), "the room that is kept suffices");
        assert_eq!(storage.list(JOURNAL).unwrap(), ["00000000000000000300.log"]);
    }
}
