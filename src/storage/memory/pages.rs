//! A file's bytes as pages, of which those that hold only zeros take no room.
//!
//! Pages are shared between clones until one of them writes: copying a file costs its map, not its bytes. Knows
//! nothing of durability or names.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// Bytes of a file in pages of `SIZE`.
#[derive(Clone, Debug, Default)]
pub(in crate::storage) struct Pages<const SIZE: usize> {
    /// By page number; a page that is not here holds zeros. Beyond `len` every byte is zero, so that growing needs
    /// no work.
    pages: BTreeMap<u64, Arc<[u8]>>,
    len: u64,
}

/// The part of one page that a range of the file covers.
struct Piece {
    page: u64,
    /// Within the page.
    start: usize,
    len: usize,
}

impl<const SIZE: usize> Pages<SIZE> {
    /// The file's length in bytes.
    pub(in crate::storage) fn len(&self) -> u64 {
        self.len
    }

    /// How many pages take room.
    #[cfg(test)]
    pub(in crate::storage) fn allocated(&self) -> usize {
        self.pages.len()
    }

    /// Reads what there is of `buf.len()` bytes at `offset`.
    pub(in crate::storage) fn read_at(&self, buf: &mut [u8], offset: u64) -> usize {
        let available = self.len.saturating_sub(offset);
        let wanted = buf.len().min(usize::try_from(available).unwrap_or(usize::MAX));
        let mut rest = &mut buf[..wanted];
        for piece in pieces::<SIZE>(offset, wanted as u64) {
            let (part, after) = rest.split_at_mut(piece.len);
            match self.pages.get(&piece.page) {
                Some(page) => part.copy_from_slice(&page[piece.start..piece.start + piece.len]),
                None => part.fill(0),
            }
            rest = after;
        }
        wanted
    }

    /// Writes `buf` at `offset`; the caller has checked that the end is a `u64`.
    pub(in crate::storage) fn write_at(&mut self, buf: &[u8], offset: u64) {
        let mut rest = buf;
        for piece in pieces::<SIZE>(offset, buf.len() as u64) {
            let (part, after) = rest.split_at(piece.len);
            rest = after;
            if is_zero(part) {
                self.zero_piece(&piece);
            } else if part.len() == SIZE {
                self.pages.insert(piece.page, Arc::from(part));
            } else {
                let page = self.pages.entry(piece.page).or_insert_with(|| Arc::from(vec![0; SIZE]));
                Arc::make_mut(page)[piece.start..piece.start + piece.len].copy_from_slice(part);
            }
        }
        // An empty write extends nothing, as `pwrite` has it.
        if !buf.is_empty() {
            self.len = self.len.max(offset + buf.len() as u64);
        }
    }

    /// Cuts the file, or extends it with zeros.
    pub(in crate::storage) fn set_len(&mut self, len: u64) {
        if len < self.len {
            // To the end of the last page, so that it is freed whole.
            self.zero(len..u64::MAX);
        }
        self.len = len;
    }

    /// Makes a range zero without changing the length.
    pub(in crate::storage) fn zero(&mut self, range: Range<u64>) {
        let size = SIZE as u64;
        // Only pages that exist need work: a range may be gigabytes of nothing.
        let pages: Vec<u64> = self.pages_in(range.clone()).collect();
        for page in pages {
            let start = range.start.max(page * size);
            let end = range.end.min(page.saturating_add(1).saturating_mul(size));
            self.zero_piece(&Piece { page, start: (start - page * size) as usize, len: (end - start) as usize });
        }
    }

    /// The pages that take room and lie, in part at least, in a range.
    pub(in crate::storage) fn pages_in(&self, range: Range<u64>) -> impl Iterator<Item = u64> {
        let size = SIZE as u64;
        let pages = range.start / size..range.end.div_ceil(size);
        self.pages.range(pages).map(|(page, _)| *page)
    }

    fn zero_piece(&mut self, piece: &Piece) {
        if piece.len == SIZE {
            self.pages.remove(&piece.page);
        } else if let Some(page) = self.pages.get_mut(&piece.page) {
            Arc::make_mut(page)[piece.start..piece.start + piece.len].fill(0);
        }
    }
}

/// The pieces of `len` bytes at `offset`, in order.
fn pieces<const SIZE: usize>(offset: u64, len: u64) -> impl Iterator<Item = Piece> {
    let size = SIZE as u64;
    let end = offset + len;
    let mut at = offset;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let page = at / size;
        let start = at % size;
        let len = (size - start).min(end - at);
        at += len;
        Some(Piece { page, start: start as usize, len: len as usize })
    })
}

/// Whether every byte is zero: a comparison of blocks, for preallocation asks it of megabytes.
pub(in crate::storage) fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(pages: &Pages<16>) -> Vec<u8> {
        let mut buf = vec![0xff; pages.len() as usize];
        assert_eq!(pages.read_at(&mut buf, 0), buf.len());
        buf
    }

    #[test]
    fn writes_across_pages_read_back_with_zeros_between() {
        let mut pages = Pages::<16>::default();
        pages.write_at(&[7; 20], 30);
        let mut expected = vec![0; 30];
        expected.extend([7; 20]);
        assert_eq!(bytes(&pages), expected);
        assert_eq!(pages.allocated(), 3);
    }

    #[test]
    fn what_a_cut_removed_does_not_return_when_the_file_grows() {
        let mut pages = Pages::<16>::default();
        pages.write_at(&[7; 40], 0);
        pages.set_len(20);
        pages.set_len(40);
        let mut expected = vec![7; 20];
        expected.resize(40, 0);
        assert_eq!(bytes(&pages), expected);
        assert_eq!(pages.allocated(), 2);
    }

    #[test]
    fn zeros_over_data_free_the_pages_they_cover() {
        let mut pages = Pages::<16>::default();
        pages.write_at(&[7; 48], 0);
        pages.write_at(&[0; 40], 4);
        assert_eq!(pages.allocated(), 2);
        assert_eq!(bytes(&pages)[..4], [7; 4]);
        assert!(is_zero(&bytes(&pages)[4..44]));
        assert_eq!(bytes(&pages)[44..], [7; 4]);
    }

    #[test]
    fn a_clone_keeps_its_bytes_when_the_original_is_written() {
        let mut pages = Pages::<16>::default();
        pages.write_at(&[7; 20], 0);
        let clone = pages.clone();
        pages.write_at(&[8; 20], 0);
        assert_eq!(bytes(&clone), [7; 20]);
    }

    #[test]
    fn a_read_at_or_past_the_end_is_short() {
        let mut pages = Pages::<16>::default();
        pages.write_at(&[7; 20], 0);
        assert_eq!(pages.read_at(&mut [0; 10], 15), 5);
        assert_eq!(pages.read_at(&mut [0; 10], 20), 0);
        assert_eq!(pages.read_at(&mut [0; 10], u64::MAX), 0);
    }
}
