//! The sparse index of a segment: where every 64 KiB of it begin. Finds the one block that can hold an ID or ordinal.

use serde::{Deserialize, Serialize};

use crate::id::Id;

/// A block is closed when it has this many bytes: what a look-up reads, and what a scan reads at a time.
pub(crate) const BLOCK_BYTES: u64 = 64 << 10;

/// One block: where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexEntry {
    /// The block's first entry.
    pub(crate) id: Id,
    pub(crate) ordinal: u64,
    /// The offset of its frame in the file.
    pub(crate) offset: u64,
}

/// The blocks of a segment, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    blocks: Vec<IndexEntry>,
}

impl Index {
    /// Notes the entry whose frame begins at `offset`: the next after the last one noted.
    pub(crate) fn note(&mut self, id: Id, ordinal: u64, offset: u64) {
        if self.blocks.last().is_none_or(|block| offset - block.offset >= BLOCK_BYTES) {
            self.blocks.push(IndexEntry { id, ordinal, offset });
        }
    }

    /// The offset from which on the next entry noted begins a block.
    pub(crate) fn next_block(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.offset + BLOCK_BYTES)
    }

    /// Forgets the blocks that begin at `end` or after it.
    pub(crate) fn cut_back(&mut self, end: u64) {
        self.blocks.truncate(self.blocks.partition_point(|block| block.offset < end));
    }

    /// The block that holds the first entry with an ID of at least `id`, or else the block before it.
    pub(crate) fn block_of_id(&self, id: Id) -> Option<usize> {
        self.blocks.partition_point(|block| block.id <= id).checked_sub(1).or((!self.blocks.is_empty()).then_some(0))
    }

    /// The block that holds the entry with this ordinal, if the segment does.
    pub(crate) fn block_of_ordinal(&self, ordinal: u64) -> Option<usize> {
        self.blocks.partition_point(|block| block.ordinal <= ordinal).checked_sub(1)
    }

    /// The block that holds the frame at this offset, or the first that begins after it.
    pub(crate) fn block_of_offset(&self, offset: u64) -> Option<usize> {
        self.blocks.partition_point(|block| block.offset <= offset).checked_sub(1)
    }

    /// The block that begins at this offset, and the next.
    pub(crate) fn block_at(&self, offset: u64) -> Option<(IndexEntry, Option<IndexEntry>)> {
        let number = self.block_of_offset(offset)?;
        Some((self.blocks[number], self.blocks.get(number + 1).copied()))
    }

    /// The block whose first frame is at this offset.
    pub(crate) fn at_offset(&self, offset: u64) -> Option<IndexEntry> {
        let number = self.blocks.binary_search_by_key(&offset, |block| block.offset).ok()?;
        Some(self.blocks[number])
    }

    /// A block's beginning, and where it ends in a segment whose frames end at `end`.
    pub(crate) fn block(&self, number: usize, end: u64) -> (IndexEntry, u64) {
        (self.blocks[number], self.blocks.get(number + 1).map_or(end, |next| next.offset.min(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut index = Index::default();
        for (n, offset) in [(0, 100), (1, 99 + BLOCK_BYTES), (2, 100 + BLOCK_BYTES), (3, 100 + 2 * BLOCK_BYTES)] {
            index.note(Id::new(10 + n, 0), 5 + n, offset);
        }
        index
    }

    #[test]
    fn a_block_is_closed_when_it_is_full_and_found_by_what_it_begins_with() {
        let index = index();
        assert_eq!(index.blocks.iter().map(|block| block.ordinal).collect::<Vec<_>>(), [5, 7, 8]);
        let ids = [9, 10, 11, 12, 13, 14].map(|ms| index.block_of_id(Id::new(ms, 0)));
        assert_eq!(ids, [0, 0, 0, 1, 2, 2].map(Some));
        let ordinals = [4, 5, 6, 7, 8, 9].map(|ordinal| index.block_of_ordinal(ordinal));
        assert_eq!(ordinals, [None, Some(0), Some(0), Some(1), Some(2), Some(2)]);
        let second = 100 + BLOCK_BYTES;
        let offsets = [99, 100, second - 1, second, second + 1].map(|offset| index.block_of_offset(offset));
        assert_eq!(offsets, [None, Some(0), Some(0), Some(1), Some(1)]);
        assert_eq!(index.block(0, u64::MAX).1, second);
        assert_eq!(index.block(0, second - 1).1, second - 1, "no further than the segment goes");
    }

    #[test]
    fn an_index_cut_back_knows_no_block_that_begins_at_the_end_or_after_it() {
        let second = 100 + BLOCK_BYTES;
        for (end, blocks) in [(100, 0), (101, 1), (second, 1), (second + 1, 2), (u64::MAX, 3)] {
            let mut index = index();
            index.cut_back(end);
            assert_eq!(index.blocks.len(), blocks, "{end}");
        }
    }
}
