//! A segment: one append-only file of consecutive entries, dropped whole by trimming.
//!
//! ```text
//! | header | frame: key = ID, body = fields | … | footer |
//! header   what `log::header` draws, around a [`SegmentHeader`]
//! footer   frame: key = last ID, flags = FOOTER, body = codec of a [`Footer`]; in a sealed segment, right after its frames
//! ```
//!
//! Where the frames end is not read from the file but known: from redb's position, then from what was written since.
//! So a frame before the end that does not decode is damage, and bytes after it mean nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::block::{Block, BlockCache};
use super::files::{SegmentFiles, segment_path};
use super::frame::{Frame, HEADER_LEN, Salt};
use super::header::{self, Identity, Magic};
use super::index::Index;
use super::salvage::salvage;
use super::survey::Survey;
use crate::codec;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::storage::File;
use crate::sync::{PoisonError, RwLock};

pub(crate) const MAGIC: Magic = *b"SLOGSG01";
pub(crate) const HEADER_VERSION: u8 = 1;
pub(crate) const FOOTER_VERSION: u8 = 1;
/// The flag of a footer's frame.
pub(crate) const FOOTER: u8 = 1;

/// What a segment's file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentHeader {
    pub(crate) directory: Identity,
    pub(crate) stream: u64,
    pub(crate) incarnation: u64,
    /// The stream's name when the segment was made: a hint, for repair.
    pub(crate) name: String,
    /// The first ID of the segment before this one.
    pub(crate) predecessor: Option<Id>,
    pub(crate) first_id: Id,
    pub(crate) first_ordinal: u64,
    pub(crate) base_bytes: u64,
    pub(crate) created_ms: u64,
}

/// What a sealed segment's file says at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Footer {
    pub(crate) count: u64,
    pub(crate) first_id: Id,
    pub(crate) last_id: Id,
    pub(crate) index: Index,
}

/// Where a segment begins and how far it was written: kept in redb.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) identity: Identity,
    pub(crate) first_id: Id,
    pub(crate) last_id: Id,
    pub(crate) first_ordinal: u64,
    /// The ordinal after the last entry's.
    pub(crate) next_ordinal: u64,
    /// The bytes of all frames the stream got before this segment.
    pub(crate) base_bytes: u64,
    /// The offset of the first frame.
    pub(crate) begin: u64,
    /// The offset after the last frame.
    pub(crate) end: u64,
    pub(crate) created_ms: u64,
    pub(crate) sealed: bool,
    /// Every entry was deleted while there were others before: the file has been, or is to be, cut to its header.
    pub(crate) hollow: bool,
}

/// A segment as readers and the writer share it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) stream: u64,
    pub(crate) position: Position,
    /// Loaded when first needed. May know blocks past `position.end`, of entries flushed since.
    pub(crate) index: Arc<RwLock<Option<Index>>>,
}

/// What to look for in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// The first entry with at least this ID.
    Id(Id),
    /// The entry with this ordinal.
    Ordinal(u64),
    /// The entry whose frame holds, or the first that begins after, this byte of all the stream's frames.
    Byte(u64),
}

impl Segment {
    pub(crate) fn new(stream: u64, position: Position) -> Segment {
        Segment { stream, position, index: Arc::default() }
    }

    pub(crate) fn path(&self) -> String {
        segment_path(self.stream, self.position.first_id)
    }

    pub(crate) fn salt(&self) -> Salt {
        Salt::new(&self.position.identity)
    }

    /// The bytes of all frames the stream got until this segment's end.
    pub(crate) fn bytes_until(&self) -> u64 {
        self.position.base_bytes + (self.position.end - self.position.begin)
    }

    /// The offset of the block to look in, if the index is loaded.
    fn block_offset(&self, at: At) -> Option<(u64, u64)> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let index = index.as_ref()?;
        let number = match at {
            At::Id(id) => index.block_of_id(id),
            At::Ordinal(ordinal) => index.block_of_ordinal(ordinal),
            At::Byte(byte) => {
                index.block_of_offset(self.position.begin + byte.saturating_sub(self.position.base_bytes)).or(Some(0))
            }
        }?;
        let (block, end) = index.block(number, self.position.end);
        Some((block.offset, end))
    }

    /// The block to look in, if it is in memory.
    pub(crate) fn cached(&self, at: At, cache: &BlockCache, held: &[Arc<Block>]) -> Option<Arc<Block>> {
        let (offset, end) = self.block_offset(at)?;
        let key = (self.stream, self.position.first_ordinal, offset);
        // A block that was loaded before a flush continued it is of no use, and must not hide one loaded since.
        let whole = |block: &Arc<Block>| block.end_offset() >= end;
        let held = held.iter().find(|block| block.key() == key && whole(block)).map(Arc::clone);
        held.or_else(|| cache.get(key).filter(whole))
    }

    /// Reads the block to look in.
    pub(crate) fn load(&self, at: At, files: &SegmentFiles, cache: &BlockCache) -> Result<Arc<Block>> {
        let file = files.open(self.stream, self.position.first_id)?;
        self.load_index(&*file)?;
        let (offset, end) = self.block_offset(at).ok_or_else(|| {
            Error::corrupt(self.path(), self.position.begin, "the index does not know an entry that must be there")
        })?;
        let block = Arc::new(self.read_block(&*file, offset, end)?);
        cache.put(&block);
        Ok(block)
    }

    fn read_block(&self, file: &dyn File, offset: u64, end: u64) -> Result<Block> {
        let mut bytes = vec![0; (end - offset) as usize];
        let path = || self.path();
        read_exact(file, &mut bytes, offset, &path())?;
        let (first, next) = {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            index.as_ref().and_then(|index| index.block_at(offset)).unzip()
        };
        let first_ordinal = first.map_or(self.position.first_ordinal, |block| block.ordinal);
        let key = (self.stream, self.position.first_ordinal, offset);
        let next = next.flatten().filter(|next| next.offset == end);
        let next_ordinal = next.map_or(self.position.next_ordinal, |next| next.ordinal);
        Block::decode(key, first_ordinal..next_ordinal, bytes, &self.salt()).or_else(|(bytes, at, what)| {
            let low = first.map_or(self.position.first_id, |first| first.id);
            let high = next.and_then(|next| next.id.previous()).unwrap_or(self.position.last_id);
            let error = |at: u64| Error::corrupt(path(), offset + at, what);
            let count = (next_ordinal - first_ordinal) as usize;
            match salvage(&bytes, count, &self.salt(), low, high) {
                Some(salvaged) => Ok(Block::damaged(key, first_ordinal, bytes, salvaged, error)),
                None => Err(error(at)),
            }
        })
    }

    /// Loads the index from the footer, or else by reading the segment through.
    pub(crate) fn load_index(&self, file: &dyn File) -> Result<()> {
        if self.index.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        match self.check_header(file) {
            // Its frames' checksums say whose file it is.
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            checked => checked?,
        }
        let index =
            if self.position.sealed { self.read_footer(file).map(|footer| footer.index) } else { self.scan(file) };
        let index = index.or_else(|error| if self.position.sealed { self.scan(file) } else { Err(error) })?;
        // Whoever loaded it meanwhile may have extended it since.
        self.index.write().unwrap_or_else(PoisonError::into_inner).get_or_insert(index);
        Ok(())
    }

    /// Reads the footer of a sealed segment.
    pub(crate) fn read_footer(&self, file: &dyn File) -> Result<Footer> {
        let path = self.path();
        let len = file.len().map_err(|error| Error::io(format_args!("reading {path}"), error))?;
        let bad = |what: &dyn std::fmt::Display| Error::corrupt(&path, self.position.end, what);
        let mut bytes = vec![0; len.saturating_sub(self.position.end) as usize];
        read_exact(file, &mut bytes, self.position.end, &path)?;
        let (frame, _) = Frame::decode(&bytes, &self.salt()).map_err(|error| bad(&error))?;
        if frame.flags != FOOTER {
            return Err(bad(&"there is no footer where the segment ends"));
        }
        codec::decode(FOOTER_VERSION, frame.body).map_err(|error| bad(&error))
    }

    /// Builds the index by reading the segment through. Every frame is verified: an ID that is not what it was would hide
    /// entries.
    fn scan(&self, file: &dyn File) -> Result<Index> {
        let path = self.path();
        let Position { begin, end, first_id, first_ordinal, next_ordinal, .. } = self.position;
        let mut index = Index::default();
        let (mut ordinal, mut offset) = (first_ordinal, begin);
        let note = |id: Id, body: &[u8]| {
            index.note(id, ordinal, offset);
            ordinal += 1;
            offset += (HEADER_LEN + body.len()) as u64;
            true
        };
        let mut read = Position { end: begin, next_ordinal: first_ordinal, last_id: first_id, ..self.position.clone() };
        Survey::new(file, &path, &self.position)?.until(end).extend(&mut read, note)?;
        if (read.end, read.next_ordinal) == (end, next_ordinal) { Ok(index) } else { self.scan_around(file) }
    }

    /// Builds the index of a damaged segment, from the frames that are whole.
    fn scan_around(&self, file: &dyn File) -> Result<Index> {
        let path = self.path();
        let Position { begin, end, first_ordinal, next_ordinal, first_id, last_id, .. } = self.position;
        let mut bytes = vec![0; (end - begin) as usize];
        read_exact(file, &mut bytes, begin, &path)?;
        let salvaged = salvage(&bytes, (next_ordinal - first_ordinal) as usize, &self.salt(), first_id, last_id)
            .ok_or_else(|| Error::corrupt(path, begin, "its frames do not add up to what was written"))?;
        let mut index = Index::default();
        for (ordinal, (id, at)) in (first_ordinal..).zip(salvaged.entries) {
            let number = (ordinal - first_ordinal) as usize;
            // A block begins with an entry whose ID is known. The segment's first one is, whatever became of it.
            if number == 0 {
                index.note(first_id, ordinal, begin);
            } else if !salvaged.bad.iter().any(|bad| bad.entries.contains(&number)) {
                index.note(id, ordinal, begin + u64::from(at));
            }
        }
        Ok(index)
    }

    /// Verifies that the file is this segment.
    fn check_header(&self, file: &dyn File) -> Result<()> {
        let path = self.path();
        let mut bytes = vec![0; self.position.begin as usize];
        read_exact(file, &mut bytes, 0, &path)?;
        let (identity, head, _) = header::decode::<SegmentHeader>(&path, MAGIC, HEADER_VERSION, &bytes)?;
        if identity != self.position.identity || head.stream != self.stream {
            return Err(Error::corrupt(path, 0, "it is another segment's file"));
        }
        Ok(())
    }
}

/// Fills `buf` from `offset`; a file that ends before is damaged.
pub(crate) fn read_exact(file: &dyn File, buf: &mut [u8], offset: u64, path: &str) -> Result<()> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], offset + filled as u64) {
            Ok(0) => return Err(Error::corrupt(path, offset + filled as u64, "the file ends too early")),
            Ok(read) => filled += read,
            Err(error) => return Err(Error::io(format_args!("reading {path}"), error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::hex;
    use crate::log::tail::Chunk;
    use crate::log::writer::{Owner, Roll, SegmentWriter};
    use crate::storage::{Memory, Storage};

    /// The story: a reader that met the end of a segment between two flushes held a block that was too short by the time
    /// it looked again. It loaded the block anew, looked at the first one it held, and so on for ever.
    #[test]
    fn a_block_that_a_flush_continued_is_found_once_it_was_loaded_again() {
        let storage = Arc::new(Memory::default());
        storage.create_dir(super::super::files::STREAMS).unwrap();
        let files = SegmentFiles::new(storage, 1);
        let cache = BlockCache::new(0);
        let mut writer =
            SegmentWriter::new(Owner { directory: [1; 16], stream: 1, incarnation: 1, name: "orders".into() });
        let mut bytes = 0;
        let mut flush = |last: Option<&Segment>, ordinal: u64| {
            let mut chunk = Chunk::starting_at(ordinal, bytes);
            chunk.push(Id::new(1, ordinal), b"body");
            bytes = chunk.bytes_before(ordinal + 1);
            let roll = Roll { bytes: u64::MAX, age_ms: u64::MAX };
            writer.write(&files, last, &chunk, ordinal, roll, 1).unwrap().remove(0)
        };
        let at = At::Ordinal(0);
        let segment = flush(None, 0);
        let short = segment.load(at, &files, &cache).unwrap();
        let segment = flush(Some(&segment), 1);
        assert!(segment.cached(at, &cache, std::slice::from_ref(&short)).is_none());
        let whole = segment.load(at, &files, &BlockCache::new(0)).unwrap();
        let found = segment.cached(at, &cache, &[Arc::clone(&short), Arc::clone(&whole)]).unwrap();
        assert_eq!(found.next_ordinal(), 2);
        cache.put(&whole);
        assert!(segment.cached(at, &cache, &[short]).is_some());
    }

    #[test]
    fn the_layout_of_a_segments_header_is_pinned() {
        let head = SegmentHeader {
            directory: [0xd1; 16],
            stream: 7,
            incarnation: 0x0102_0304_0506_0708,
            name: "orders".to_owned(),
            predecessor: Some(Id::new(5, 1)),
            first_id: Id::new(1_700_000_000_000, 2),
            first_ordinal: 300,
            base_bytes: 70_000,
            created_ms: 1_700_000_000_001,
        };
        let bytes = header::encode(MAGIC, [0x1d; 16], HEADER_VERSION, &head);
        let expected = concat!(
            "534c4f47534730316f2e7c39400000001d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d0001d1d1d1d1d1d1d1d1d1d1d1d1d1d1",
            "d1d107fd0807060504030201066f7264657273010501fd0068e5cf8b01000002fb2c01fc70110100fd0168e5cf8b0100",
            "00",
        );
        assert_eq!(hex(&bytes), expected);
        let (identity, decoded, len) =
            header::decode::<SegmentHeader>("segment", MAGIC, HEADER_VERSION, &bytes).unwrap();
        assert_eq!((identity, decoded, len), ([0x1d; 16], head, bytes.len()));
    }

    #[test]
    fn the_layout_of_a_segments_footer_is_pinned() {
        let mut index = Index::default();
        index.note(Id::new(5, 0), 300, 120);
        index.note(Id::new(5, 9), 309, 70_000);
        let footer = Footer { count: 12, first_id: Id::new(5, 0), last_id: Id::new(6, 1), index };
        let mut bytes = Vec::new();
        codec::encode(FOOTER_VERSION, &footer, &mut bytes);
        let expected = "010c05000601020500fb2c01780509fb3501fc70110100";
        assert_eq!(hex(&bytes), expected);
        assert_eq!(codec::decode::<Footer>(FOOTER_VERSION, &bytes).unwrap(), footer);
        assert_eq!(FOOTER, 1);
    }
}
