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

use super::Lsn;
use super::file::{
    HEADER_VERSION, JOURNAL, JournalHeader, MAGIC, MARK, RECORD, SNAPSHOT, is_spare, parse_key, parse_name, path,
};
use crate::error::{Error, Result};
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
        let beyond = Beyond::read(storage, directory, &file, end, later)?;
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
    /// Looks after `end` in `file`, and in the `later` files.
    fn read(storage: &dyn Storage, directory: Identity, file: &Contents, end: u64, later: &[Lsn]) -> Result<Beyond> {
        let mut beyond = Beyond::default();
        beyond.look(&file.bytes[end as usize..], file.salt);
        for &first in later {
            let file = Contents::read(storage, directory, first)?;
            beyond.mark = beyond.mark.max(file.header.mark);
            beyond.look(&file.bytes[file.head_len..], file.salt);
        }
        Ok(beyond)
    }

    /// Takes note of any valid frame in `bytes`, wherever it begins.
    fn look(&mut self, bytes: &[u8], salt: Salt) {
        let mut at = 0;
        while let Some(header) = bytes.get(at..).and_then(|rest| rest.first_chunk::<HEADER_LEN>()) {
            let (lsn, mark) = parse_key(frame::key(header));
            // A cheap look before the checksum; zeros fail it.
            let news = mark > self.mark || lsn > self.last_lsn;
            if lsn > 0 && news && mark <= lsn && Frame::decode(&bytes[at..], salt).is_ok() {
                self.mark = self.mark.max(mark);
                self.last_lsn = self.last_lsn.max(lsn);
            }
            at += 1;
        }
    }
}

/// A journal file in memory.
struct Contents {
    path: String,
    header: JournalHeader,
    salt: Salt,
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
        if header.first_lsn != first_lsn {
            return Err(Error::corrupt(path, 0, format_args!("it was made for record {}", header.first_lsn)));
        }
        let salt = Salt::new(&identity);
        let (snapshot, rest) =
            Frame::decode(&bytes[head_len..], salt).map_err(|error| Error::corrupt(&path, head_len as u64, error))?;
        if snapshot.flags != SNAPSHOT {
            return Err(Error::corrupt(path, head_len as u64, "its snapshot is missing"));
        }
        let head_len = bytes.len() - rest.len();
        Ok(Contents { path, header, salt, head_len, bytes })
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
            let Ok((frame, after)) = Frame::decode(rest, self.salt) else { break };
            let (lsn, _) = parse_key(frame.key);
            match frame.flags {
                RECORD if lsn == *expected => {
                    each(lsn, frame.body)?;
                    *expected += 1;
                    *marked = false;
                }
                MARK => *marked = true,
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
