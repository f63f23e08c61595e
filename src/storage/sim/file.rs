//! One simulated file: what it shows, what would survive, and what was done between.
//!
//! A file has an identity of its own; names belong to `tree`. Its live image is what reads see. Its durable image is
//! what the platter holds. The pending operations lead from the one to the other: a sync applies them all, a power
//! loss some.

use std::collections::BTreeSet;

use super::{Survival, extents::Extents, random::Random};
use crate::storage::memory::{Pages, is_zero};

/// Small, for copies of images share pages until either is written.
pub(super) const PAGE_LEN: usize = 4096;

/// What a disk writes whole or not at all.
const SECTOR_LEN: u64 = 512;

/// A file's bytes, and the room they take.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    bytes: Pages<PAGE_LEN>,
    allocated: Extents,
}

/// A change to a file that no sync has made durable.
#[derive(Debug)]
enum FileOp {
    Write {
        offset: u64,
        data: Vec<u8>,
    },
    /// A write of zeros: preallocation writes megabytes of them, not to be kept.
    Zeros {
        offset: u64,
        len: u64,
    },
    SetLen(u64),
}

impl FileOp {
    /// The range of a write.
    fn range(&self) -> Option<(u64, u64)> {
        match self {
            FileOp::Write { offset, data } => Some((*offset, offset + data.len() as u64)),
            FileOp::Zeros { offset, len } => Some((*offset, offset + len)),
            FileOp::SetLen(_) => None,
        }
    }
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.bytes.len()
    }

    pub(super) fn read_at(&self, buf: &mut [u8], offset: u64) -> usize {
        self.bytes.read_at(buf, offset)
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len() as usize];
        self.read_at(&mut bytes, 0);
        bytes
    }

    pub(super) fn allocated_bytes(&self) -> u64 {
        self.allocated.total() * PAGE_LEN as u64
    }

    fn apply(&mut self, op: &FileOp) {
        match op {
            FileOp::SetLen(len) => {
                self.bytes.set_len(*len);
                self.allocated.truncate(len.div_ceil(PAGE_LEN as u64));
            }
            FileOp::Write { .. } | FileOp::Zeros { .. } => {
                if let Some((start, end)) = op.range() {
                    self.apply_part(op, start, end);
                }
            }
        }
    }

    fn apply_all(&mut self, ops: &[FileOp]) {
        for op in ops {
            self.apply(op);
        }
    }

    /// Applies what a write does from `start` to `end`, which lie in its range.
    fn apply_part(&mut self, op: &FileOp, start: u64, end: u64) {
        match op {
            FileOp::Write { offset, data } => {
                let part = &data[(start - offset) as usize..(end - offset) as usize];
                self.bytes.write_at(part, start);
            }
            FileOp::Zeros { .. } => {
                self.bytes.zero(start..end);
                self.extend(end);
            }
            FileOp::SetLen(_) => return,
        }
        self.allocated.insert(start / PAGE_LEN as u64..end.div_ceil(PAGE_LEN as u64));
    }

    fn extend(&mut self, len: u64) {
        self.bytes.set_len(self.len().max(len));
    }

    /// Applies what survives if every sector is, on its own, as it was at some moment.
    ///
    /// So a sector that lost a write has lost the later ones too: the page cache writes a sector whole, and a sector
    /// with the later bytes and without the earlier ones never was in it.
    fn apply_sectors(&mut self, ops: &[FileOp], random: &mut Random) {
        let mut stale = BTreeSet::new();
        for op in ops {
            let Some((start, end)) = op.range() else {
                if random.coin() {
                    self.apply(op);
                }
                continue;
            };
            // The length is metadata: it may survive where the bytes do not, which then are zeros.
            if random.coin() {
                self.extend(end);
            }
            let keep_of_four = random.below(5);
            for sector in self.sectors(op, start, end) {
                if stale.contains(&sector) || random.below(4) >= keep_of_four {
                    stale.insert(sector);
                } else {
                    let from = start.max(sector * SECTOR_LEN);
                    self.apply_part(op, from, end.min((sector + 1) * SECTOR_LEN));
                }
            }
        }
    }

    /// The sectors in which a write makes a difference.
    fn sectors(&self, op: &FileOp, start: u64, end: u64) -> Vec<u64> {
        let all = start / SECTOR_LEN..end.div_ceil(SECTOR_LEN);
        if matches!(op, FileOp::Write { .. }) {
            return all.collect();
        }
        // Zeros over zeros change nothing, and are thousands of sectors.
        let per_page = PAGE_LEN as u64 / SECTOR_LEN;
        self.bytes
            .pages_in(start..end)
            .flat_map(|page| page * per_page..(page + 1) * per_page)
            .filter(|sector| all.contains(sector))
            .collect()
    }

    /// Damages one bit; false if it lies past the end.
    pub(super) fn flip(&mut self, bit: u64) -> bool {
        let offset = bit / 8;
        let mut byte = [0];
        if self.bytes.read_at(&mut byte, offset) == 0 {
            return false;
        }
        self.bytes.write_at(&[byte[0] ^ (1 << (bit % 8))], offset);
        true
    }
}

/// One file, whatever its names.
#[derive(Debug, Default)]
pub(super) struct Inode {
    /// The last name it was known by: what faults are aimed with.
    pub(super) path: String,
    pub(super) live: Image,
    pub(super) durable: Image,
    pending: Vec<FileOp>,
    /// How many of the pending changes each sync that was put off is to make durable. They go in order: of the changes
    /// after one nothing is durable before all those before it are.
    put_off: Vec<usize>,
    /// Whether a failed sync dropped changes that the live image still shows.
    forgotten: bool,
}

impl Inode {
    pub(super) fn new(path: &str) -> Inode {
        Inode { path: path.to_owned(), ..Inode::default() }
    }

    pub(super) fn write(&mut self, buf: &[u8], offset: u64) {
        // A header before a preallocated rest is the usual large write.
        let zeros: usize = buf.rchunks(PAGE_LEN).take_while(|chunk| is_zero(chunk)).map(<[u8]>::len).sum();
        let (data, rest) = buf.split_at(buf.len() - zeros);
        if !data.is_empty() {
            self.change(FileOp::Write { offset, data: data.to_vec() });
        }
        if !rest.is_empty() {
            self.change(FileOp::Zeros { offset: offset + data.len() as u64, len: rest.len() as u64 });
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len != self.live.len() {
            self.change(FileOp::SetLen(len));
        }
    }

    fn change(&mut self, op: FileOp) {
        self.live.apply(&op);
        self.pending.push(op);
    }

    pub(super) fn sync(&mut self) {
        self.sync_first(self.pending.len());
    }

    fn sync_first(&mut self, changes: usize) {
        for op in self.pending.drain(..changes) {
            self.durable.apply(&op);
        }
        self.put_off.retain_mut(|put_off| {
            *put_off = put_off.saturating_sub(changes);
            *put_off > 0
        });
    }

    /// A sync that is to be done later.
    pub(super) fn put_off_sync(&mut self) {
        self.put_off.push(self.pending.len());
    }

    /// Does the syncs that were put off.
    pub(super) fn catch_up(&mut self) {
        self.sync_first(self.put_off.last().copied().unwrap_or(0));
    }

    /// A sync that the crash cut off: some pages had reached the disk.
    pub(super) fn sync_torn(&mut self, random: &mut Random) {
        let done = random.cut(self.pending.len() as u64) as usize;
        self.sync_first(done);
    }

    /// A sync that failed as Linux has it: the pages are marked clean all the same, so no later sync writes them.
    pub(super) fn fail_sync(&mut self) {
        self.forgotten |= !self.pending.is_empty();
        self.pending.clear();
        self.put_off.clear();
    }

    /// How much of a write of `len` bytes at `offset` fits if `free` bytes are to be had.
    pub(super) fn affordable(&self, offset: u64, len: u64, free: u64) -> u64 {
        let size = PAGE_LEN as u64;
        let pages = offset / size..(offset + len).div_ceil(size);
        let end = self.live.allocated.affordable(pages, free / size).end;
        end.saturating_mul(size).min(offset + len).saturating_sub(offset)
    }

    /// Replaces the bytes, on the platter too.
    pub(super) fn replace(&mut self, bytes: &[u8]) {
        let path = std::mem::take(&mut self.path);
        *self = Inode::new(&path);
        self.write(bytes, 0);
        self.sync();
    }

    /// Does the first of the syncs that were put off, and forgets what was to come after the next.
    fn settle_put_off(&mut self, survival: Survival, random: &mut Random) {
        let put_off = std::mem::take(&mut self.put_off);
        if put_off.is_empty() || matches!(survival, Survival::Kill | Survival::All | Survival::Nothing) {
            return;
        }
        let done = random.below(put_off.len() as u64 + 1) as usize;
        if let Some(&next) = put_off.get(done) {
            self.pending.truncate(next);
            self.forgotten = true;
        }
        self.sync_first(done.checked_sub(1).map_or(0, |last| put_off[last]));
    }

    /// After a crash: what survived becomes both the live and the durable image.
    pub(super) fn settle(&mut self, survival: Survival, random: &mut Random) {
        self.settle_put_off(survival, random);
        let pending = std::mem::take(&mut self.pending);
        let forgotten = std::mem::take(&mut self.forgotten);
        if pending.is_empty() && !forgotten {
            return;
        }
        match survival {
            Survival::Kill | Survival::All => {
                self.durable = self.live.clone();
                return;
            }
            Survival::Nothing => {}
            Survival::Prefix(_) => {
                let kept = random.below(pending.len() as u64 + 1) as usize;
                self.durable.apply_all(&pending[..kept]);
            }
            Survival::Sectors(_) => self.durable.apply_sectors(&pending, random),
            Survival::Torn(_) => {
                let kept = random.below(pending.len() as u64 + 1) as usize;
                if let Some((last, whole)) = pending[..kept].split_last() {
                    self.durable.apply_all(whole);
                    match last.range() {
                        Some((start, end)) => {
                            let cut = start + random.below(end - start + 1);
                            self.durable.apply_part(last, start, cut);
                        }
                        None => self.durable.apply(last),
                    }
                }
            }
        }
        self.live = self.durable.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn synced(bytes: &[u8]) -> Inode {
        let mut inode = Inode::default();
        inode.write(bytes, 0);
        inode.sync();
        inode
    }

    #[test]
    fn a_sector_never_has_a_later_write_without_an_earlier_one() {
        let mut seen = BTreeSet::new();
        for seed in 0..300 {
            let mut inode = synced(&[1; 1024]);
            inode.write(&[2; 10], 0);
            inode.write(&[3; 10], 10);
            inode.write(&[4; 10], 600);
            inode.settle(Survival::Sectors(seed), &mut Random::new(seed));
            let bytes = inode.live.to_vec();
            seen.insert((bytes[0], bytes[10], bytes[600]));
        }
        let expected = [(1, 1), (2, 1), (2, 3)].into_iter().flat_map(|(a, b)| [(a, b, 1), (a, b, 4)]);
        assert_eq!(seen, expected.collect());
    }

    #[test]
    fn a_length_may_survive_without_its_data_and_data_without_what_lay_before() {
        let (mut hollow, mut gap) = (false, false);
        for seed in 0..300 {
            let mut inode = Inode::default();
            inode.write(&[7; 2048], 0);
            inode.settle(Survival::Sectors(seed), &mut Random::new(seed));
            let bytes = inode.live.to_vec();
            hollow |= bytes.len() == 2048 && is_zero(&bytes);
            gap |= bytes.len() == 2048 && is_zero(&bytes[..512]) && bytes[2047] == 7;
        }
        assert!(hollow && gap);
    }

    #[test]
    fn a_torn_write_is_cut_at_any_byte_and_those_before_it_are_whole() {
        let mut lens = BTreeSet::new();
        for seed in 0..500 {
            let mut inode = synced(&[1; 4]);
            inode.write(&[2; 4], 4);
            inode.write(&[3; 4], 8);
            inode.settle(Survival::Torn(seed), &mut Random::new(seed));
            let bytes = inode.live.to_vec();
            assert_eq!(bytes, [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3][..bytes.len()]);
            lens.insert(bytes.len());
        }
        assert_eq!(lens, (4..=12).collect());
    }

    #[test]
    fn zeros_over_durable_data_may_be_lost_sector_by_sector() {
        let mut zeroed = BTreeSet::new();
        for seed in 0..300 {
            let mut inode = synced(&[1; 8192]);
            inode.write(&[0; 8192], 0);
            inode.settle(Survival::Sectors(seed), &mut Random::new(seed));
            assert_eq!(inode.live.len(), 8192);
            let sectors = inode.live.to_vec();
            zeroed.insert(sectors.chunks(512).filter(|sector| is_zero(sector)).count());
        }
        assert!(zeroed.len() > 8, "{zeroed:?}");
    }

    #[test]
    fn megabytes_of_zeros_cost_no_memory_but_have_room_on_the_disk() {
        let mut inode = Inode::default();
        let mut bytes = vec![0; 8 << 20];
        bytes[..8].fill(9);
        inode.write(&bytes, 0);
        assert_eq!(inode.live.bytes.allocated(), 1);
        assert_eq!(inode.live.allocated_bytes(), 8 << 20);
        assert_eq!(inode.affordable(1 << 20, 100, 0), 100);
        assert_eq!(inode.affordable((8 << 20) - 10, 5000, 0), 10);
        assert_eq!(inode.affordable(8 << 20, 5000, 4096), 4096);
    }

    #[test]
    fn what_a_failed_sync_forgot_shows_until_the_power_goes() {
        let mut inode = synced(b"old");
        inode.write(b"new", 0);
        inode.fail_sync();
        inode.write(b"!", 3);
        inode.sync();
        assert_eq!(inode.live.to_vec(), b"new!");
        inode.settle(Survival::Nothing, &mut Random::new(0));
        assert_eq!(inode.live.to_vec(), b"old!");
    }
}
