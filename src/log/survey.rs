//! What a segment's file says by itself: for whoever cannot ask redb how far it was written, or does not trust the answer.
//! Every frame is verified. Knows one file; how the files of a stream follow each other is for others to judge.

use std::fmt;
use std::ops::Range;

use super::frame::{self, Frame, HEADER_LEN, Salt};
use super::header::{self, Identity};
use super::segment::{FOOTER, FOOTER_VERSION, Footer, HEADER_VERSION, MAGIC, Position, SegmentHeader, read_exact};
use crate::codec;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::storage::File;

/// Frames are read about this many bytes at a time.
const WINDOW_BYTES: u64 = 1 << 20;

/// A segment's file, being read from its beginning to its end.
pub(crate) struct Survey<'a> {
    file: &'a dyn File,
    path: &'a str,
    len: u64,
    salt: Salt,
    window: Vec<u8>,
    window_offset: u64,
}

/// Why a survey went no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The segment is sealed.
    Footer(Footer),
    /// The file ends there.
    End,
    /// Something else is there.
    Bad(String),
}

/// Reads a segment's header: what it says, and the position of a segment that has no entries yet.
///
/// # Errors
///
/// `Corrupt` if it is not the header of a segment of `directory`; what the system says.
pub(crate) fn read_header(file: &dyn File, path: &str, directory: Identity) -> Result<(SegmentHeader, Position)> {
    let len = file.len().map_err(|error| Error::io(format_args!("reading {path}"), error))?;
    let mut bytes = vec![0; (8 + HEADER_LEN as u64).min(len) as usize];
    read_exact(file, &mut bytes, 0, path)?;
    if let Some(head) = bytes.get(8..).and_then(|head| head.first_chunk()) {
        let whole = 8 + HEADER_LEN as u64 + frame::body_len(head) as u64;
        bytes = vec![0; whole.min(len) as usize];
        read_exact(file, &mut bytes, 0, path)?;
    }
    let (identity, head, begin) = header::decode::<SegmentHeader>(path, MAGIC, HEADER_VERSION, &bytes)?;
    if head.directory != directory {
        return Err(Error::corrupt(path, 0, "it belongs to another directory"));
    }
    let position = Position {
        identity,
        first_id: head.first_id,
        last_id: head.first_id,
        first_ordinal: head.first_ordinal,
        next_ordinal: head.first_ordinal,
        base_bytes: head.base_bytes,
        begin: begin as u64,
        end: begin as u64,
        created_ms: head.created_ms,
        sealed: false,
        hollow: false,
    };
    Ok((head, position))
}

impl<'a> Survey<'a> {
    /// A survey of the file of the segment that `position` is of.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn new(file: &'a dyn File, path: &'a str, position: &Position) -> Result<Survey<'a>> {
        let len = file.len().map_err(|error| Error::io(format_args!("reading {path}"), error))?;
        Ok(Survey { file, path, len, salt: Salt::new(&position.identity), window: Vec::new(), window_offset: 0 })
    }

    /// Has the survey end at this offset, as if the file did.
    pub(crate) fn until(mut self, end: u64) -> Survey<'a> {
        self.len = self.len.min(end);
        self
    }

    /// Goes on from where `position` ends, entry by entry, as long as each is whole, its ID greater than the one's before,
    /// and `each` calls it good; moves `position` along.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn extend(&mut self, position: &mut Position, mut each: impl FnMut(Id, &[u8]) -> bool) -> Result<Stop> {
        loop {
            let offset = position.end;
            if offset >= self.len {
                return Ok(Stop::End);
            }
            let salt = self.salt.clone();
            let frame = match Frame::decode(self.bytes_at(offset)?, &salt) {
                Ok((frame, _)) => frame,
                Err(error) => return Ok(Stop::Bad(error.to_string())),
            };
            if frame.flags == FOOTER {
                return Ok(codec::decode(FOOTER_VERSION, frame.body).map_or_else(bad, Stop::Footer));
            }
            let id = Id::from_bytes(frame.key);
            let empty = position.next_ordinal == position.first_ordinal;
            if frame.flags != 0 {
                return Ok(bad("a frame has flags that no entry has"));
            }
            if if empty { id != position.first_id } else { id <= position.last_id } {
                return Ok(bad(format_args!("the entry {id} is out of its order")));
            }
            if !each(id, frame.body) {
                return Ok(bad(format_args!("the entry {id} is not laid out as an entry is")));
            }
            position.end += (HEADER_LEN + frame.body.len()) as u64;
            position.next_ordinal += 1;
            position.last_id = id;
        }
    }

    /// How many entries there are between two offsets where bytes are damaged, if what is left of their frames agrees: one
    /// ends where the next begins, and IDs ascend from `after`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn damaged_entries(&mut self, offsets: Range<u64>, mut after: Option<Id>) -> Result<Option<u64>> {
        let (mut offset, mut count) = (offsets.start, 0);
        while offset < offsets.end {
            if offset >= self.len {
                return Ok(None);
            }
            self.fill(offset, HEADER_LEN)?;
            let head = self.window[(offset - self.window_offset) as usize..].first_chunk::<HEADER_LEN>();
            let Some(head) = head else { return Ok(None) };
            let id = Id::from_bytes(frame::key(head));
            if Some(id) <= after || id == Id::MIN || head[HEADER_LEN - 1] != 0 {
                return Ok(None);
            }
            after = Some(id);
            offset += (HEADER_LEN + frame::body_len(head)) as u64;
            count += 1;
        }
        Ok((offset == offsets.end).then_some(count))
    }

    /// The first offset from `from` on where an entry begins that is whole and has an ID after `after` and up to `last`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn next_entry(&mut self, from: u64, after: Id, last: Id) -> Result<Option<u64>> {
        for offset in from..self.len.saturating_sub(HEADER_LEN as u64 - 1) {
            self.fill(offset, HEADER_LEN)?;
            let Some(head) = self.window[(offset - self.window_offset) as usize..].first_chunk::<HEADER_LEN>() else {
                break;
            };
            let id = Id::from_bytes(frame::key(head));
            let whole = HEADER_LEN as u64 + frame::body_len(head) as u64;
            // Before the checksum, which would be quadratic in what a damaged length claims.
            if id <= after || id > last || head[HEADER_LEN - 1] != 0 || whole > self.len - offset {
                continue;
            }
            let salt = self.salt.clone();
            if Frame::decode(self.bytes_at(offset)?, &salt).is_ok() {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }

    /// The file's bytes from `offset` on: a whole frame of them if there is one.
    fn bytes_at(&mut self, offset: u64) -> Result<&[u8]> {
        self.fill(offset, HEADER_LEN)?;
        let head = self.window[(offset - self.window_offset) as usize..].first_chunk();
        if let Some(body_len) = head.map(frame::body_len).filter(|&len| len <= frame::BODY_LEN_MAX) {
            self.fill(offset, HEADER_LEN + body_len)?;
        }
        Ok(&self.window[(offset - self.window_offset) as usize..])
    }

    /// Has the window hold `wanted` bytes from `offset` on, or as many as there are.
    fn fill(&mut self, offset: u64, wanted: usize) -> Result<()> {
        let there = self.len - offset;
        let held = self.window_offset..=self.window_offset + self.window.len() as u64;
        if held.contains(&offset) && held.contains(&(offset + there.min(wanted as u64))) {
            return Ok(());
        }
        self.window.resize(there.min(WINDOW_BYTES.max(wanted as u64)) as usize, 0);
        self.window_offset = offset;
        read_exact(self.file, &mut self.window, offset, self.path)
    }
}

fn bad(what: impl fmt::Display) -> Stop {
    Stop::Bad(what.to_string())
}
