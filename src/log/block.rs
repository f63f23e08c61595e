//! A block: about 64 KiB of a segment, read, verified and decoded; and the cache that keeps the ones used last.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::frame::{Frame, FrameError, HEADER_LEN, Salt};
use super::salvage::{Bad, Salvaged};
use crate::error::Error;
use crate::id::Id;
use crate::sync::{Mutex, PoisonError};

/// The stream, the segment's first ordinal and the block's offset in it.
pub(crate) type Key = (u64, u64, u64);

/// Consecutive entries of one segment.
#[derive(Debug)]
pub(crate) struct Block {
    key: Key,
    first_ordinal: u64,
    bytes: Arc<Vec<u8>>,
    /// Each entry's ID and where its frame begins.
    entries: Vec<(Id, u32)>,
    /// Those of them that are damaged, each with what is to be said of it.
    bad: Vec<(Bad, Error)>,
}

impl Block {
    /// Decodes and verifies every frame of `bytes`, which are to be the entries `ordinals`; the error gives them back, and says where in them, and what.
    pub(crate) fn decode(
        key: Key,
        ordinals: Range<u64>,
        bytes: Vec<u8>,
        salt: &Salt,
    ) -> Result<Block, (Vec<u8>, u64, FrameError)> {
        // What an index that is wrong claims is not believed.
        let expected = (ordinals.end.saturating_sub(ordinals.start) as usize).min(bytes.len() / HEADER_LEN);
        let mut entries = Vec::with_capacity(expected);
        let mut start = 0;
        while start < bytes.len() {
            match Frame::decode(&bytes[start..], salt) {
                Ok((frame, after)) => {
                    entries.push((Id::from_bytes(frame.key), start as u32));
                    start = bytes.len() - after.len();
                }
                Err(error) => return Err((bytes, start as u64, error)),
            }
        }
        Ok(Block { key, first_ordinal: ordinals.start, bytes: Arc::new(bytes), entries, bad: Vec::new() })
    }

    /// A block that is damaged, with what can be read of it; `error` makes what is to be said of damage at an offset.
    pub(crate) fn damaged(
        key: Key,
        first_ordinal: u64,
        bytes: Vec<u8>,
        salvaged: Salvaged,
        error: impl Fn(u64) -> Error,
    ) -> Block {
        let Salvaged { entries, bad } = salvaged;
        let bad = bad.into_iter().map(|bad| (bad.clone(), error(u64::from(bad.offset)))).collect();
        Block { key, first_ordinal, bytes: Arc::new(bytes), entries, bad }
    }

    /// What is to be said of the entry with this ordinal, which must be here, if it is damaged.
    pub(crate) fn damage(&self, ordinal: u64) -> Option<&Error> {
        let index = (ordinal - self.first_ordinal) as usize;
        self.bad.iter().find(|(bad, _)| bad.entries.contains(&index)).map(|(_, error)| error)
    }

    /// Whether every entry is whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.bad.is_empty()
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// The offset in the segment after the last entry.
    pub(crate) fn end_offset(&self) -> u64 {
        self.key.2 + self.bytes.len() as u64
    }

    pub(crate) fn first_ordinal(&self) -> u64 {
        self.first_ordinal
    }

    pub(crate) fn next_ordinal(&self) -> u64 {
        self.first_ordinal + self.entries.len() as u64
    }

    /// The ordinal of the first entry whose ID is at least `id`, or may be; of the next entry if there is none.
    pub(crate) fn ordinal_of(&self, id: Id) -> u64 {
        self.first_ordinal + self.entries.partition_point(|entry| entry.0 < id) as u64
    }

    /// The ordinal after the last entry whose ID is less than `id`, or may be.
    pub(crate) fn ordinal_before(&self, id: Id) -> u64 {
        let index = self.entries.partition_point(|entry| entry.0 < id);
        let bad = self.bad.iter().find(|(bad, _)| bad.entries.contains(&index) && bad.low < id);
        self.first_ordinal + bad.map_or(index, |(bad, _)| bad.entries.end) as u64
    }

    /// The first ordinal whose frame begins at this offset of the segment or after it.
    pub(crate) fn ordinal_of_offset(&self, offset: u64) -> u64 {
        self.first_ordinal + self.entries.partition_point(|entry| self.key.2 + u64::from(entry.1) < offset) as u64
    }

    /// The offset in the segment of the frame with this ordinal, which is here or the next after those here.
    pub(crate) fn offset(&self, ordinal: u64) -> u64 {
        let index = (ordinal - self.first_ordinal) as usize;
        self.key.2 + self.entries.get(index).map_or(self.bytes.len() as u64, |entry| u64::from(entry.1))
    }

    /// The entry with this ordinal, which must be here and whole: its ID, and where its body is in [`bytes`](Block::bytes).
    pub(crate) fn entry(&self, ordinal: u64) -> (Id, Range<usize>) {
        let index = (ordinal - self.first_ordinal) as usize;
        let (id, start) = self.entries[index];
        let end = self.entries.get(index + 1).map_or(self.bytes.len(), |next| next.1 as usize);
        (id, start as usize + HEADER_LEN..end)
    }

    pub(crate) fn bytes(&self) -> &Arc<Vec<u8>> {
        &self.bytes
    }

    /// The ID of the entry with this ordinal, which must be here; of a damaged one the greatest it can have.
    pub(crate) fn id(&self, ordinal: u64) -> Id {
        self.entries[(ordinal - self.first_ordinal) as usize].0
    }

    fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<(Id, u32)>()
    }
}

/// The blocks used last, up to a number of bytes.
#[derive(Debug)]
pub(crate) struct BlockCache {
    bytes_max: usize,
    cached: Mutex<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    blocks: HashMap<Key, (Arc<Block>, u64)>,
    bytes: usize,
    time: u64,
}

impl BlockCache {
    pub(crate) fn new(bytes_max: usize) -> BlockCache {
        BlockCache { bytes_max, cached: Mutex::default() }
    }

    pub(crate) fn get(&self, key: Key) -> Option<Arc<Block>> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        cached.time += 1;
        let time = cached.time;
        let (block, used) = cached.blocks.get_mut(&key)?;
        *used = time;
        Some(Arc::clone(block))
    }

    pub(crate) fn put(&self, block: &Arc<Block>) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        cached.time += 1;
        let time = cached.time;
        if let Some((old, _)) = cached.blocks.insert(block.key(), (Arc::clone(block), time)) {
            cached.bytes -= old.size();
        }
        cached.bytes += block.size();
        // A block larger than the whole cache stays until the next one comes: somebody is about to read it.
        while cached.bytes > self.bytes_max && cached.blocks.len() > 1 {
            let oldest = cached.blocks.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            if let Some((old, _)) = oldest.and_then(|key| cached.blocks.remove(&key)) {
                cached.bytes -= old.size();
            }
        }
    }

    /// Forgets the blocks of a stream that is deleted.
    pub(crate) fn forget(&self, stream: u64) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        cached.blocks.retain(|key, _| key.0 != stream);
        cached.bytes = cached.blocks.values().map(|(block, _)| block.size()).sum();
    }
}
