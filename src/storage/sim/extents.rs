//! Which pages of a file have room on the disk: page numbers as merged ranges.
//!
//! Apart from the bytes, because zeros that were written have room too. That is what preallocation is for, and a
//! simulated full disk must not refuse a write into it.

use std::{collections::BTreeMap, ops::Range};

/// A set of page numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Extents {
    /// First page to the page past the last; ranges neither touch nor overlap.
    ranges: BTreeMap<u64, u64>,
}

impl Extents {
    pub(super) fn total(&self) -> u64 {
        self.ranges.iter().map(|(start, end)| end - start).sum()
    }

    pub(super) fn insert(&mut self, mut pages: Range<u64>) {
        if pages.is_empty() {
            return;
        }
        if let Some((&start, &end)) = self.ranges.range(..=pages.start).next_back()
            && end >= pages.start
        {
            if end >= pages.end {
                return;
            }
            pages.start = start;
        }
        while let Some((&start, &end)) = self.ranges.range(pages.start..=pages.end).next() {
            self.ranges.remove(&start);
            pages.end = pages.end.max(end);
        }
        self.ranges.insert(pages.start, pages.end);
    }

    /// Removes `first` and all above it.
    pub(super) fn truncate(&mut self, first: u64) {
        self.ranges.split_off(&first);
        if let Some((_, end)) = self.ranges.iter_mut().next_back() {
            *end = first.min(*end);
        }
    }

    /// The longest start of `pages` that lacks no more than `budget` pages.
    pub(super) fn affordable(&self, pages: Range<u64>, mut budget: u64) -> Range<u64> {
        let mut at = pages.start;
        while at < pages.end {
            let has = self.ranges.range(..=at).next_back().map_or(0, |(_, end)| *end);
            if has > at {
                at = has;
                continue;
            }
            let gap_end = self.ranges.range(at..).next().map_or(pages.end, |(start, _)| *start);
            let gap = gap_end.min(pages.end) - at;
            if gap > budget {
                return pages.start..at + budget;
            }
            budget -= gap;
            at += gap;
        }
        pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_whatever_their_order_and_overlap() {
        let mut extents = Extents::default();
        for pages in [4..6, 0..1, 8..9, 5..8, 1..2, 3..3] {
            extents.insert(pages);
        }
        assert_eq!(extents.ranges, BTreeMap::from([(0, 2), (4, 9)]));
        assert_eq!(extents.total(), 7);
        extents.truncate(5);
        assert_eq!(extents.ranges, BTreeMap::from([(0, 2), (4, 5)]));
        extents.truncate(0);
        assert_eq!(extents.total(), 0);
    }

    #[test]
    fn only_pages_without_room_cost() {
        let mut extents = Extents::default();
        extents.insert(0..4);
        extents.insert(6..8);
        assert_eq!(extents.affordable(1..4, 0), 1..4);
        assert_eq!(extents.affordable(2..12, 0), 2..4);
        assert_eq!(extents.affordable(2..12, 2), 2..8);
        assert_eq!(extents.affordable(2..12, 5), 2..11);
        assert_eq!(extents.affordable(2..12, 6), 2..12);
    }
}
