//! The tail: entries not yet in a segment, in memory, laid out as the frames they will be. Knows no files.

use super::frame;
use crate::id::Id;

/// Consecutive entries of a stream.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    first_ordinal: u64,
    /// The bytes of all frames the stream got before this chunk.
    base_bytes: u64,
    /// Frames without their checksums: the salt is that of the segment they go to.
    frames: Vec<u8>,
    /// Each entry's ID and where its frame begins.
    entries: Vec<(Id, u32)>,
}

impl Chunk {
    /// An empty chunk behind `ordinal` entries with frames of `base_bytes` in all.
    pub(crate) fn starting_at(ordinal: u64, base_bytes: u64) -> Chunk {
        Chunk { first_ordinal: ordinal, base_bytes, ..Chunk::default() }
    }

    pub(crate) fn push(&mut self, id: Id, body: &[u8]) {
        let start = frame::begin(id.to_bytes(), 0, &mut self.frames);
        self.frames.extend_from_slice(body);
        frame::close(start, &mut self.frames);
        self.entries.push((id, start as u32));
    }

    /// The bytes that this chunk holds in memory, nearly.
    pub(crate) fn bytes(&self) -> usize {
        self.frames.len() + self.entries.len() * size_of::<(Id, u32)>()
    }

    /// The bytes of all the stream's frames before `ordinal`, which is in this chunk or the next after it.
    pub(crate) fn bytes_before(&self, ordinal: u64) -> u64 {
        let index = (ordinal - self.first_ordinal) as usize;
        self.base_bytes + self.entries.get(index).map_or(self.frames.len() as u64, |&(_, start)| u64::from(start))
    }

    /// The first ordinal whose frame begins at `byte` of the stream's frames or after it.
    pub(crate) fn ordinal_of_byte(&self, byte: u64) -> u64 {
        self.first_ordinal
            + self.entries.partition_point(|&(_, start)| self.base_bytes + u64::from(start) < byte) as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn first_ordinal(&self) -> u64 {
        self.first_ordinal
    }

    pub(crate) fn next_ordinal(&self) -> u64 {
        self.first_ordinal + self.entries.len() as u64
    }

    /// The ordinal of the first entry whose ID is at least `id`; of the next entry if there is none.
    pub(crate) fn ordinal_of(&self, id: Id) -> u64 {
        self.first_ordinal + self.entries.partition_point(|entry| entry.0 < id) as u64
    }

    pub(crate) fn id_at(&self, ordinal: u64) -> Option<Id> {
        let index = ordinal.checked_sub(self.first_ordinal)?;
        self.entries.get(usize::try_from(index).ok()?).map(|entry| entry.0)
    }

    /// The frame of the entry with this ordinal, which must be here.
    pub(crate) fn frame(&self, ordinal: u64) -> (Id, &[u8]) {
        let index = (ordinal - self.first_ordinal) as usize;
        let (id, start) = self.entries[index];
        let end = self.entries.get(index + 1).map_or(self.frames.len(), |next| next.1 as usize);
        (id, &self.frames[start as usize..end])
    }

    /// The body of the entry with this ordinal, which must be here.
    pub(crate) fn body(&self, ordinal: u64) -> (Id, &[u8]) {
        let (id, frame) = self.frame(ordinal);
        (id, &frame[frame::HEADER_LEN..])
    }
}
