//! Which entries in the middle of a stream were deleted: bitmaps over ordinals. Knows no IDs and no segments.

use std::collections::{BTreeMap, BTreeSet};

/// Ordinals are counted in groups of this many, each with a bitmap if anything in it was deleted.
const GROUP: u64 = 1024;
const WORDS: usize = (GROUP / 64) as usize;

/// The bitmap of one group of ordinals.
pub(crate) type Bits = [u64; WORDS];

#[derive(Debug, Clone, Default)]
pub(crate) struct Tombstones {
    groups: BTreeMap<u64, Box<Bits>>,
    /// Groups that changed since the last checkpoint.
    dirty: BTreeSet<u64>,
}

fn place(ordinal: u64) -> (u64, usize, u64) {
    (ordinal / GROUP, (ordinal % GROUP / 64) as usize, 1 << (ordinal % 64))
}

impl Tombstones {
    pub(crate) fn insert(&mut self, ordinal: u64) {
        let (group, word, bit) = place(ordinal);
        self.groups.entry(group).or_default()[word] |= bit;
        self.dirty.insert(group);
    }

    pub(crate) fn contains(&self, ordinal: u64) -> bool {
        let (group, word, bit) = place(ordinal);
        self.groups.get(&group).is_some_and(|bits| bits[word] & bit != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The ordinal after the last one that is deleted.
    pub(crate) fn end(&self) -> Option<u64> {
        let (&group, bits) = self.groups.last_key_value()?;
        let (word, bits) = bits.iter().enumerate().rev().find(|(_, bits)| **bits != 0)?;
        Some(group * GROUP + word as u64 * 64 + u64::from(64 - bits.leading_zeros()))
    }

    /// Forgets the ordinals before `ordinal`.
    pub(crate) fn forget_before(&mut self, ordinal: u64) {
        if self.groups.is_empty() {
            return;
        }
        let (group, word, bit) = place(ordinal);
        while let Some(first) = self.groups.first_entry().filter(|entry| *entry.key() < group) {
            self.dirty.insert(*first.key());
            first.remove();
        }
        if let Some(bits) = self.groups.get_mut(&group) {
            bits[..word].fill(0);
            bits[word] &= !(bit - 1);
            if **bits == [0; WORDS] {
                self.groups.remove(&group);
            }
            self.dirty.insert(group);
        }
    }

    /// How many of the ordinals in `from..to` are deleted.
    pub(crate) fn count(&self, from: u64, to: u64) -> u64 {
        if self.groups.is_empty() || from >= to {
            return 0;
        }
        let ranges = self.groups.range(from / GROUP..=(to - 1) / GROUP);
        ranges.map(|(&group, bits)| count_in(bits, from.saturating_sub(group * GROUP), to - group * GROUP)).sum()
    }

    /// The first ordinal at or after `from` that is not deleted.
    pub(crate) fn first_live(&self, mut from: u64) -> u64 {
        loop {
            let (group, word, _) = place(from);
            let Some(bits) = self.groups.get(&group) else { return from };
            let dead = u64::from((bits[word] >> (from % 64)).trailing_ones());
            from += dead;
            if dead == 0 || !from.is_multiple_of(64) {
                return from;
            }
        }
    }

    /// The last ordinal before `to` that is not deleted, if there is one.
    pub(crate) fn last_live(&self, mut to: u64) -> Option<u64> {
        loop {
            let last = to.checked_sub(1)?;
            let (group, word, _) = place(last);
            let Some(bits) = self.groups.get(&group) else { return Some(last) };
            let dead = u64::from((bits[word] << (63 - last % 64)).leading_ones());
            to -= dead;
            if dead == 0 || !to.is_multiple_of(64) {
                return to.checked_sub(1);
            }
        }
    }

    /// The ordinal before which exactly `live` ordinals from `from` on are not deleted.
    pub(crate) fn skip_live(&self, from: u64, mut live: u64) -> u64 {
        let mut at = from;
        while live > 0 {
            let step = live - self.count(at, at + live).min(live);
            let next = at + live;
            live -= step;
            at = next;
        }
        at
    }

    /// Has the next [`take_dirty`](Self::take_dirty) return these groups.
    pub(crate) fn mark(&mut self, groups: impl Iterator<Item = u64>) {
        self.dirty.extend(groups);
    }

    /// Has the next [`take_dirty`](Self::take_dirty) return every group.
    pub(crate) fn mark_all(&mut self) {
        self.dirty.extend(self.groups.keys());
    }

    /// What is deleted, as runs: how many ordinals after the end of the run before it each begins, and its length.
    pub(crate) fn runs(&self) -> Vec<(u64, u64)> {
        let mut runs = Vec::new();
        let (mut end, mut open) = (0, None);
        for (&group, bits) in &self.groups {
            let set = (0..GROUP).filter(|bit| bits[(bit / 64) as usize] & (1 << (bit % 64)) != 0);
            for ordinal in set.map(|bit| group * GROUP + bit) {
                match &mut open {
                    Some((first, len)) if *first + *len == ordinal => *len += 1,
                    open => {
                        if let Some((first, len)) = open.replace((ordinal, 1)) {
                            runs.push((first - end, len));
                            end = first + len;
                        }
                    }
                }
            }
        }
        runs.extend(open.map(|(first, len)| (first - end, len)));
        runs
    }

    /// Loads what [`runs`](Self::runs) said of ordinals before `next`; `false` if they do not fit in there.
    pub(crate) fn load_runs(&mut self, runs: &[(u64, u64)], next: u64) -> bool {
        let mut end = 0_u64;
        for &(gap, len) in runs {
            let Some(first) = end.checked_add(gap) else { return false };
            match first.checked_add(len) {
                Some(after) if after <= next => end = after,
                _ => return false,
            }
            (first..end).for_each(|ordinal| self.insert(ordinal));
        }
        true
    }

    pub(crate) fn load(&mut self, group: u64, bits: Bits) {
        self.groups.insert(group, Box::new(bits));
    }

    /// The groups that changed since this was last asked, each with its bitmap if it has one.
    pub(crate) fn take_dirty(&mut self) -> Vec<(u64, Option<Bits>)> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().map(|group| (group, self.groups.get(&group).map(|bits| **bits))).collect()
    }
}

/// The bits set in the positions `from..to` of a bitmap; `to` may lie beyond it.
fn count_in(bits: &Bits, from: u64, to: u64) -> u64 {
    let mut count = 0;
    for (word, bits) in bits.iter().enumerate() {
        let start = word as u64 * 64;
        let mask = |until: u64| match until.saturating_sub(start) {
            64.. => u64::MAX,
            bits => (1 << bits) - 1,
        };
        count += u64::from((bits & mask(to) & !mask(from)).count_ones());
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bitmaps_agree_with_a_set_of_ordinals(
            scattered in proptest::collection::btree_set(0u64..5000, 0..200),
            run in 0u64..5000, run_len in 0u64..2500,
            cut in 0u64..5000, from in 0u64..5000, live in 0u64..3000,
        ) {
            let dead: BTreeSet<u64> = scattered.into_iter().chain(run..run + run_len).collect();
            let mut tombstones = Tombstones::default();
            dead.iter().for_each(|&ordinal| tombstones.insert(ordinal));
            tombstones.forget_before(cut);
            let dead: BTreeSet<u64> = dead.into_iter().filter(|&ordinal| ordinal >= cut).collect();
            prop_assert!((0..8000).all(|ordinal| tombstones.contains(ordinal) == dead.contains(&ordinal)));
            prop_assert_eq!(tombstones.end(), dead.last().map(|last| last + 1));
            let last = (0..from).rev().find(|ordinal| !dead.contains(ordinal));
            prop_assert_eq!(tombstones.last_live(from), last);
            let first = (from..20_000).find(|ordinal| !dead.contains(ordinal));
            prop_assert_eq!(Some(tombstones.first_live(from)), first);
            let to = from + live;
            prop_assert_eq!(tombstones.count(from, to), dead.range(from..to).count() as u64);
            let mut expected = from;
            let mut left = live;
            while left > 0 {
                left -= u64::from(!dead.contains(&expected));
                expected += 1;
            }
            prop_assert_eq!(tombstones.skip_live(from, live), expected);
            prop_assert_eq!(tombstones.is_empty(), dead.is_empty());
            let runs = tombstones.runs();
            prop_assert_eq!(runs.iter().map(|run| run.1).sum::<u64>(), dead.len() as u64);
            let next = dead.last().map_or(0, |last| last + 1);
            let mut loaded = Tombstones::default();
            prop_assert!(loaded.load_runs(&runs, next));
            prop_assert!((0..8000).all(|ordinal| loaded.contains(ordinal) == dead.contains(&ordinal)));
            prop_assert!(runs.is_empty() || !Tombstones::default().load_runs(&runs, next - 1));
            prop_assert!(!Tombstones::default().load_runs(&[(1, u64::MAX)], u64::MAX));
        }
    }
}
