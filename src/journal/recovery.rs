//! Reads the journal back after a crash or a close, and decides where it ends.
//!
//! The rule: every record carries a mark, the last record known to be durable when it was written. A bad frame where
//! the record `n` should be is **damage** if a valid frame anywhere after it, in its file or a later one, has a mark of
//! `n` or more, or if redb covers `n`: the record was durable and is gone. Otherwise nobody was ever told that `n` is
//! durable, and it **ends the log**, whatever follows. Nor is it damage where redb alone says that `n` was durable, holds
//! everything up to `n` or further, and no valid frame goes beyond that: a killed process leaves records that only the
//! system's memory has, the next one puts them into redb, and then the power goes.
//!
//! Nothing is published from here before a checkpoint has made it durable elsewhere: what was read may have been in
//! the system's memory alone.

use std::ops::Range;

use super::Lsn;
use super::file::{
    HEADER_VERSION, JOURNAL, JournalHeader, MAGIC, MARK, RECORD, SNAPSHOT, is_spare, parse_key, parse_name, path,
};
use crate::error::{Error, ErrorKind, Result};
use crate::log::frame::{self, Frame, HEADER_LEN, Salt};
use crate::log::header::{self, Identity};
use crate::log::segment::read_exact;
use crate::storage::Storage;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// The last record there is.
    pub(crate) last_lsn: Lsn,
    /// Whether the log was closed: nothing was written after its last mark.
    pub(crate) clean: bool,
    /// Files made after the log's end, and spares: to be gone before anything is written. A spare half made may have the
    /// name that the next file is made under.
    pub(crate) beyond: Vec<String>,
    /// Every other file in the directory: of no use once a new one was begun.
    pub(crate) used: Vec<String>,
}

/// Reads every record after `floor`, in order, and calls `each` with it. `covered` is the highest LSN that redb knows.
///
/// # Errors
///
/// `Corrupt` if a record is missing that was durable; what the system or `each` says.
pub(crate) fn recover(
    storage: &dyn Storage,
    directory: Identity,
    floor: Lsn,
    covered: Lsn,
    mut each: impl FnMut(Lsn, &[u8]) -> Result<()>,
) -> Result<Recovery> {
    let (files, spares) = list(storage)?;
    let start = files.partition_point(|&first| first <= floor + 1).checked_sub(1);
    let Some(start) = start else {
        return Err(Error::corrupt(JOURNAL, 0, format_args!("no file of it holds record {}", floor + 1)));
    };
    let mut used: Vec<_> = files[..start].iter().map(|&first| path(first)).collect();
    let mut expected = files[start];
    let mut marked = false;
    for (number, &first) in files.iter().enumerate().skip(start) {
        let next = files.get(number + 1).copied();
        let file = Contents::read(storage, directory, first)?;
        file.check_life(floor)?;
        let end = file.records(
            &mut expected,
            &mut marked,
            next,
            |lsn, body| if lsn > floor { each(lsn, body) } else { Ok(()) },
        )?;
        used.push(path(first));
        if next == Some(expected) {
            continue;
        }
        // The frame of record `expected` is bad, or was never written.
        let later = &files[number + 1..];
        let beyond = Beyond::read(storage, directory, &file, end, expected, floor, later)?;
        let needless = covered == floor && expected <= floor && beyond.last_lsn <= floor;
        if beyond.mark >= expected || (covered >= expected && !needless) {
            let what = format_args!("record {expected} was durable and is not there any more");
            return Err(Error::corrupt(path(first), end, what));
        }
        let beyond = later.iter().map(|&first| path(first)).chain(spares).collect();
        return Ok(Recovery { last_lsn: expected - 1, clean: marked, beyond, used });
    }
    unreachable!("the last file has no next one to go on with")
}

/// The first LSNs of the journal's files, in order.
///
/// # Errors
///
/// `Corrupt` if there is no journal; what the system says.
pub(crate) fn files(storage: &dyn Storage) -> Result<Vec<Lsn>> {
    list(storage).map(|(files, _)| files)
}

/// The snapshot that the file whose first record is `first_lsn` begins with: the state that this record met.
///
/// # Errors
///
/// `Corrupt` if the file's head is damaged; what the system says.
pub(crate) fn snapshot(storage: &dyn Storage, directory: Identity, first_lsn: Lsn) -> Result<Vec<u8>> {
    let file = Contents::read(storage, directory, first_lsn)?;
    file.snapshot.map(|snapshot| file.bytes[snapshot].to_vec())
}

/// The greatest number that a record of this journal may have had, whatever of it is damaged: new ones begin after it.
///
/// # Errors
///
/// What the system says.
pub(crate) fn highest(storage: &dyn Storage, directory: Identity) -> Result<Lsn> {
    let mut highest = 0;
    let Ok((files, _)) = list(storage) else { return Ok(0) };
    for first in files {
        highest = highest.max(first.saturating_sub(1));
        match Contents::read(storage, directory, first) {
            Ok(file) => {
                let mut beyond = Beyond::default();
                beyond.look(&file.bytes[file.head_len..], first, &file.salt);
                highest = highest.max(beyond.last_lsn);
            }
            Err(error) if error.kind() == ErrorKind::Io => return Err(error),
            Err(_) => {}
        }
    }
    Ok(highest)
}

/// The first LSNs of the journal's files in order, and the paths of spares.
fn list(storage: &dyn Storage) -> Result<(Vec<Lsn>, Vec<String>)> {
    let names = storage.list(JOURNAL).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::corrupt(JOURNAL, 0, "it is missing"),
        _ => Error::io("listing the journal", error),
    })?;
    let mut files = Vec::new();
    let mut spares = Vec::new();
    for name in names {
        match parse_name(&name) {
            Some(first) => files.push(first),
            None if is_spare(&name) => spares.push(format!("{JOURNAL}/{name}")),
            None => tracing::warn!(name, "an unknown file in the journal's directory is left alone"),
        }
    }
    files.sort_unstable();
    Ok((files, spares))
}

/// What the valid frames say that come after the log's end.
#[derive(Debug, Default)]
struct Beyond {
    mark: Lsn,
    last_lsn: Lsn,
}

impl Beyond {
    /// Looks after `end` in `file`, where record `expected` should be, and in the `later` files.
    fn read(
        storage: &dyn Storage,
        directory: Identity,
        file: &Contents,
        end: u64,
        expected: Lsn,
        floor: Lsn,
        later: &[Lsn],
    ) -> Result<Beyond> {
        let mut beyond = Beyond::default();
        beyond.look(&file.bytes[end as usize..], expected, &file.salt);
        for &first in later {
            let file = Contents::read(storage, directory, first)?;
            file.check_life(floor)?;
            beyond.mark = beyond.mark.max(file.mark);
            beyond.look(&file.bytes[file.head_len..], first, &file.salt);
        }
        Ok(beyond)
    }

    /// Takes note of any valid frame in `bytes`, wherever it begins; record `expected` should be their first.
    fn look(&mut self, bytes: &[u8], expected: Lsn, salt: &Salt) {
        let mut at = 0;
        while let Some(header) = bytes.get(at..).and_then(|rest| rest.first_chunk::<HEADER_LEN>()) {
            let (lsn, mark) = parse_key(frame::key(header));
            if lsn == 0 {
                // No record has that number: go on where there is one in the key. Of a file that is not full most is zeros.
                at += 1 + zeros(&bytes[at + LSN_OFFSET + LSN_LEN..]);
                continue;
            }
            let news = mark > self.mark || lsn > self.last_lsn;
            if news && may_be_frame(header, at, expected) && Frame::decode(&bytes[at..], salt).is_ok() {
                self.mark = self.mark.max(mark);
                self.last_lsn = self.last_lsn.max(lsn);
            }
            at += 1;
        }
    }
}

/// Where a frame's key has its record's number.
const LSN_OFFSET: usize = 8;
const LSN_LEN: usize = 8;

/// How many zeros come first.
fn zeros(bytes: &[u8]) -> usize {
    let words = bytes.chunks_exact(8).take_while(|word| **word == [0; 8]).count();
    words * 8 + bytes[words * 8..].iter().take_while(|byte| **byte == 0).count()
}

/// Whether a frame can begin with `header`, `at` bytes after where record `expected` should be: a cheap look before the
/// checksum. In a file's former life almost any bytes are a plausible length, and a checksum of what each claims would
/// be quadratic in the file's size. A record's number is bounded by the frames that fit in between.
fn may_be_frame(header: &[u8; HEADER_LEN], at: usize, expected: Lsn) -> bool {
    let (lsn, mark) = parse_key(frame::key(header));
    let [.., flags] = *header;
    let number = match flags {
        RECORD => Some(lsn),
        // Its own number is that of the record before it.
        MARK => lsn.checked_add(1),
        _ => None,
    };
    let last = expected.saturating_add((at / HEADER_LEN) as Lsn);
    mark <= lsn && number.is_some_and(|number| (expected..=last).contains(&number))
}

/// A journal file in memory.
struct Contents {
    path: String,
    first_lsn: Lsn,
    salt: Salt,
    /// The last record known to be durable when the file was begun.
    mark: Lsn,
    /// It may be torn, or that of the file's former life, where nothing in this one was durable: then there is no good frame before
    /// `head_len`, nor at it.
    snapshot: Result<Range<usize>>,
    /// The first record of the former life that the file has the snapshot of.
    former_life: Option<Lsn>,
    head_len: usize,
    bytes: Vec<u8>,
}

impl Contents {
    fn read(storage: &dyn Storage, directory: Identity, first_lsn: Lsn) -> Result<Contents> {
        let path = path(first_lsn);
        let doing = |error| Error::io(format_args!("reading {path}"), error);
        let file = storage.open(&path).map_err(doing)?;
        let mut bytes = vec![0; file.len().map_err(doing)? as usize];
        read_exact(&*file, &mut bytes, 0, &path)?;
        let (identity, header, head_len) = header::decode::<JournalHeader>(&path, MAGIC, HEADER_VERSION, &bytes)?;
        if header.directory != directory {
            return Err(Error::corrupt(path, 0, "it belongs to another directory"));
        }
        let salt = Salt::new(&identity);
        let made_for_other =
            |lsn| Err(Error::corrupt(&path, 0, format_args!("it was made for record {lsn}, and not {first_lsn}")));
        if ![0, first_lsn].contains(&header.first_lsn) {
            return made_for_other(header.first_lsn);
        }
        let bad = |what| Error::corrupt(&path, head_len as u64, format_args!("its snapshot: {what}"));
        let mut former_life = None;
        let (mark, snapshot, head_len) = match Frame::decode(&bytes[head_len..], &salt) {
            Ok((frame, rest)) if frame.flags == SNAPSHOT => match parse_key(frame.key) {
                (lsn, mark) if lsn == first_lsn => {
                    let end = bytes.len() - rest.len();
                    (mark, Ok(end - frame.body.len()..end), end)
                }
                (lsn, _) if lsn < first_lsn && header.first_lsn == 0 => {
                    former_life = Some(lsn);
                    (header.mark, Err(bad(format_args!("that of record {lsn}"))), head_len)
                }
                (lsn, _) => return made_for_other(lsn),
            },
            Ok(_) => return Err(Error::corrupt(path, head_len as u64, "its snapshot is missing")),
            Err(error) => (header.mark, Err(bad(format_args!("{error}"))), head_len),
        };
        Ok(Contents { path, first_lsn, salt, mark, snapshot, former_life, head_len, bytes })
    }

    /// Only a file whose records redb has all of begins another life.
    fn check_life(&self, floor: Lsn) -> Result<()> {
        match self.former_life {
            Some(lsn) if lsn > floor => {
                Err(Error::corrupt(&self.path, 0, format_args!("it was made for record {lsn}")))
            }
            _ => Ok(()),
        }
    }

    /// Calls `each` with every record from `expected` on, until a bad frame or the record `until`. Returns the offset
    /// after the last good frame, with `expected` set to the record after it, and `marked` if a mark was last.
    fn records(
        &self,
        expected: &mut Lsn,
        marked: &mut bool,
        until: Option<Lsn>,
        mut each: impl FnMut(Lsn, &[u8]) -> Result<()>,
    ) -> Result<u64> {
        let mut rest = &self.bytes[self.head_len..];
        while until != Some(*expected) {
            let Ok((frame, after)) = Frame::decode(rest, &self.salt) else { break };
            let (lsn, _) = parse_key(frame.key);
            match frame.flags {
                RECORD if lsn == *expected => {
                    each(lsn, frame.body)?;
                    *expected += 1;
                    *marked = false;
                }
                MARK => *marked = true,
                // Of the file's former life: nothing was written over it.
                RECORD | SNAPSHOT if lsn < self.first_lsn => break,
                _ => {
                    let offset = (self.bytes.len() - rest.len()) as u64;
                    return Err(Error::corrupt(&self.path, offset, format_args!("record {lsn} is out of its order")));
                }
            }
            rest = after;
        }
        Ok((self.bytes.len() - rest.len()) as u64)
    }
}

#[cfg(test)]
mod end;

#[cfg(test)]
mod tests {
    use super::super::file::key;
    use super::*;

    const SALT: &[u8] = b"identity";

    fn frame(lsn: Lsn, mark: Lsn, flags: u8, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame::encode(&Salt::new(SALT), Frame { key: key(lsn, mark), flags, body }, &mut out);
        out
    }

    /// What would be checksummed of `bytes`.
    fn work(bytes: &[u8], expected: Lsn) -> usize {
        let headers = bytes.windows(HEADER_LEN).map(|header| header.first_chunk().unwrap()).enumerate();
        let may_be = headers.filter(|&(at, header)| may_be_frame(header, at, expected));
        let lens = may_be.map(|(at, header)| (at, HEADER_LEN + frame::body_len(header)));
        lens.filter(|(at, len)| at + len <= bytes.len()).map(|(_, len)| len).sum()
    }

    /// The story: after a kill, 8 MiB of a file's former life took a minute to open, for at every fourth byte of an
    /// array of floats there was a plausible length, and what it claimed was checksummed.
    #[test]
    fn a_files_former_life_is_not_checksummed_again_and_again() {
        let f32_one = 1.0_f32.to_le_bytes();
        let big_number = 65536_u32.to_le_bytes();
        for word in [f32_one, big_number, [0; 4], [1, 0, 0, 0], [0, 0, 0, 1]] {
            for expected in [1, 2, 1000, 1 << 32] {
                assert_eq!(work(&word.repeat(1 << 18), expected), 0, "{word:?}, record {expected}");
            }
        }
        // Records of that former life, with numbers of their own.
        let records: Vec<u8> = (1..=999).flat_map(|lsn| frame(lsn, lsn - 1, RECORD, &f32_one.repeat(100))).collect();
        assert!(work(&records, 1000) < records.len());
    }

    #[test]
    fn every_frame_after_a_bad_one_is_found() {
        let salt = Salt::new(SALT);
        let records = |bodies: &[&[u8]]| -> Vec<u8> {
            let frames = (10..).zip(bodies).flat_map(|(lsn, body)| frame(lsn, lsn - 1, RECORD, body));
            frames.collect()
        };
        for bodies in [[&b""[..]; 4], [b"", b"body", b"", b"b"], [b"body", b"", b"", b""]] {
            for closed in [false, true] {
                let mut bytes = records(&bodies);
                if closed {
                    bytes.extend(frame(13, 13, MARK, b""));
                }
                bytes[0] ^= 1;
                let mut beyond = Beyond::default();
                beyond.look(&bytes, 10, &salt);
                assert_eq!((beyond.last_lsn, beyond.mark), (13, if closed { 13 } else { 12 }), "{bodies:?}");
            }
        }
        // A mark that comes right where the record should be: after the log's last one.
        let mut beyond = Beyond::default();
        beyond.look(&frame(9, 9, MARK, b""), 10, &salt);
        assert_eq!((beyond.last_lsn, beyond.mark), (9, 9));
    }
}
