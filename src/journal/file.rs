//! One file of the journal: its name, its head, its frames' flags and keys.
//!
//! ```text
//! | header | frame SNAPSHOT: what the broker was before this file | frame RECORD … | frame MARK at a clean close |
//! header   what `log::header` draws, around a [`JournalHeader`]
//! key      | lsn u64 | mark u64 |   the record's number, and the last record known to be durable when it was written
//! ```
//!
//! A mark's own LSN is that of the last record before it. A file is preallocated, its head synced, and only then
//! renamed to its name: a file of that name with a bad head is damage.

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
    pub(crate) first_lsn: Lsn,
    /// The last record known to be durable when the file was made.
    pub(crate) mark: Lsn,
}

/// A file that records are appended to.
#[derive(Debug)]
pub(crate) struct JournalFile {
    pub(crate) file: Arc<dyn File>,
    pub(crate) salt: Salt,
    /// The offset of the first record.
    pub(crate) head_len: u64,
    /// The bytes preallocated.
    pub(crate) capacity: u64,
}

impl JournalFile {
    /// Appends to `out` the frame of a mark behind the record `lsn`.
    pub(crate) fn mark(&self, lsn: Lsn, mark: Lsn, out: &mut Vec<u8>) {
        let start = frame::begin(key(lsn, mark), MARK, out);
        frame::finish(self.salt, start, out);
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

/// A file that is whole and has not its name yet.
#[derive(Debug)]
pub(crate) struct Unnamed {
    name: String,
    first_lsn: Lsn,
    file: JournalFile,
}

/// Makes the file whose first record will be `first_lsn`, from `spare` (of at least `capacity` bytes) if there is one.
/// If it fails the spare is gone: after a sync that failed nothing is known of what it holds.
pub(crate) fn create(
    storage: &dyn Storage,
    directory: Identity,
    first_lsn: Lsn,
    mark: Lsn,
    capacity: u64,
    spare: Option<String>,
    snapshot: &[u8],
) -> Result<Unnamed> {
    let name = match spare {
        Some(spare) => spare,
        None => {
            let temporary = spare_name(0);
            preallocate(storage, &temporary, capacity)?;
            temporary
        }
    };
    let identity = storage.random();
    let salt = Salt::new(&identity);
    let mut head = header::encode(MAGIC, identity, HEADER_VERSION, &JournalHeader { directory, first_lsn, mark });
    frame::encode(salt, Frame { key: key(first_lsn, mark), flags: SNAPSHOT, body: snapshot }, &mut head);
    let begin = || {
        let file = storage.open(&name)?;
        file.write_at(&head, 0)?;
        file.sync()?;
        Ok(file)
    };
    let file = whole_or_gone(storage, &name, begin).map_err(|error| Error::io("creating a journal file", error))?;
    Ok(Unnamed { name, first_lsn, file: JournalFile { file, salt, head_len: head.len() as u64, capacity } })
}

/// Removes the file `name` if `make` fails: half made it would only take up room, perhaps the last there is.
fn whole_or_gone<T>(storage: &dyn Storage, name: &str, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    make().inspect_err(|_| {
        // What cannot be removed is of no harm, and goes at the next open.
        let _ = storage.remove(name);
    })
}

impl Unnamed {
    /// Gives the file its name; when this returns it is durable under it. If it fails the name may be there all the
    /// same: recovery would look for the next record in this file and no other.
    pub(crate) fn publish(self, storage: &dyn Storage) -> Result<JournalFile> {
        let doing = |error| Error::io("naming a journal file", error);
        storage.rename(&self.name, &path(self.first_lsn)).map_err(doing)?;
        storage.sync_dir(JOURNAL).map_err(doing)?;
        Ok(self.file)
    }
}

/// Makes a file of `bytes` zeros that are really there: the disk cannot be full when they are overwritten.
pub(crate) fn preallocate(storage: &dyn Storage, name: &str, bytes: u64) -> Result<()> {
    let make = || {
        let file = storage.create(name)?;
        fill(&*file, 0, bytes)?;
        file.sync()
    };
    whole_or_gone(storage, name, make).map_err(|error| Error::io("preallocating a journal file", error))
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
        frame::finish(Salt::new(&[0x1d; 16]), start, &mut mark);
        assert_eq!(hex(&mark), "089eb5ed000000000000000000000007000000000000000503");
    }

    #[test]
    fn a_file_begins_with_its_header_and_the_snapshot_and_is_zeros_from_there() {
        let storage = Memory::default();
        super::super::create_dir(&storage).unwrap();
        let made = create(&storage, [0xd1; 16], 300, 299, 1000, None, b"snapshot").unwrap().publish(&storage).unwrap();
        let mut bytes = vec![0xff; made.file.len().unwrap() as usize];
        made.file.read_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes.len(), 1000);
        let (identity, head, len) = header::decode::<JournalHeader>("", MAGIC, HEADER_VERSION, &bytes).unwrap();
        assert_eq!((head.first_lsn, head.mark), (300, 299));
        let (snapshot, rest) = Frame::decode(&bytes[len..], Salt::new(&identity)).unwrap();
        assert_eq!((snapshot.key, snapshot.flags, snapshot.body), (key(300, 299), SNAPSHOT, &b"snapshot"[..]));
        assert_eq!(made.head_len as usize, bytes.len() - rest.len());
        assert!(rest.iter().all(|&byte| byte == 0));
        assert!(made.head_len <= head_len(b"snapshot"), "the room that is kept suffices");
        assert_eq!(storage.list(JOURNAL).unwrap(), ["00000000000000000300.log"]);
    }
}
