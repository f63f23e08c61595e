//! Damage among frames: which of them are whole, and which ordinals are left to those that are not. Pure, as the frame is.
//!
//! A damaged entry keeps its place: its ID is known to lie between its neighbours', and nothing else of it is known.

use std::ops::Range;

use super::frame::{self, Frame, HEADER_LEN, Salt};
use crate::id::Id;

/// Consecutive entries that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    /// Which of the entries they are.
    pub(crate) entries: Range<usize>,
    /// The smallest ID that one of them can have.
    pub(crate) low: Id,
    /// Where the first of them begins.
    pub(crate) offset: u32,
}

/// Frames, whole and damaged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Salvaged {
    /// Each entry's ID and where its frame begins; for a damaged one the greatest ID that it can have, and where the damage
    /// begins.
    pub(crate) entries: Vec<(Id, u32)>,
    pub(crate) bad: Vec<Bad>,
}

/// Reads around the damage in `bytes`, which were the frames of `count` entries, with IDs from `low` to `high`. `None` if
/// the ordinals of the whole frames cannot be told.
pub(crate) fn salvage(bytes: &[u8], count: usize, salt: &Salt, low: Id, high: Id) -> Option<Salvaged> {
    // Whole frames, and between them gaps: each with how many frames it was, where its first frame's header tells.
    let mut whole: Vec<(Id, usize)> = Vec::new();
    let mut gaps: Vec<Gap> = Vec::new();
    let mut at = 0;
    let mut next_id = low;
    while at < bytes.len() {
        if let Some(id) = entry_at(bytes, at, salt, next_id, high) {
            whole.push((id, at));
            at += frame_len(bytes, at);
            next_id = id.next().unwrap_or(Id::MAX);
            continue;
        }
        let end = (at + 1..bytes.len()).find(|&end| entry_at(bytes, end, salt, next_id, high).is_some());
        let end = end.unwrap_or(bytes.len());
        let one = bytes.len() - at >= HEADER_LEN && at + frame_len(bytes, at) == end;
        gaps.push(Gap { before: whole.len(), at, frames: one.then_some(1) });
        at = end;
    }
    let missing = count.checked_sub(whole.len())?;
    let known = gaps.iter().filter_map(|gap| gap.frames).sum::<usize>();
    let unknown = gaps.iter().filter(|gap| gap.frames.is_none()).count();
    let left = missing.checked_sub(known)?;
    let each = match unknown {
        0 if left == 0 => 0,
        1 if left > 0 => left,
        _ if left == unknown && unknown > 0 => 1,
        _ => return None,
    };
    // Frames that moved leave no ID for what is missing: nobody who looks for that would meet the damage.
    Some(merge(&whole, &gaps, each, low, high)).filter(Salvaged::has_ids)
}

impl Salvaged {
    /// Whether each bad entry can have an ID.
    fn has_ids(&self) -> bool {
        self.bad.iter().all(|bad| self.entries[bad.entries.clone()].iter().all(|(high, _)| bad.low <= *high))
    }
}

struct Gap {
    /// How many whole frames come before it.
    before: usize,
    at: usize,
    frames: Option<usize>,
}

/// The entry whose frame begins at `at`, if there is one with an ID from `low` to `high`.
fn entry_at(bytes: &[u8], at: usize, salt: &Salt, low: Id, high: Id) -> Option<Id> {
    let head = bytes.get(at..)?.first_chunk::<HEADER_LEN>()?;
    // Before the checksum, which of any bytes is as many bytes as they claim.
    let id = Id::from_bytes(frame::key(head));
    if id < low || id > high || head[HEADER_LEN - 1] != 0 {
        return None;
    }
    Frame::decode(&bytes[at..], salt).is_ok().then_some(id)
}

/// The length that the header at `at` claims for its frame.
fn frame_len(bytes: &[u8], at: usize) -> usize {
    HEADER_LEN + bytes[at..].first_chunk().map_or(0, frame::body_len)
}

fn merge(whole: &[(Id, usize)], gaps: &[Gap], each: usize, low: Id, high: Id) -> Salvaged {
    let mut salvaged = Salvaged { entries: Vec::new(), bad: Vec::new() };
    let mut from = 0;
    for gap in gaps {
        salvaged.entries.extend(whole[from..gap.before].iter().map(|&(id, at)| (id, at as u32)));
        from = gap.before;
        let frames = gap.frames.unwrap_or(each);
        let first = salvaged.entries.len();
        let smallest = whole[..from].last().and_then(|(id, _)| id.next()).unwrap_or(low);
        let greatest = whole.get(from).and_then(|(id, _)| id.previous()).unwrap_or(high);
        salvaged.entries.extend(std::iter::repeat_n((greatest, gap.at as u32), frames));
        salvaged.bad.push(Bad { entries: first..first + frames, low: smallest, offset: gap.at as u32 });
    }
    salvaged.entries.extend(whole[from..].iter().map(|&(id, at)| (id, at as u32)));
    salvaged
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &[u8] = b"identity";

    fn frames(count: u64) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let mut starts = Vec::new();
        for n in 1..=count {
            starts.push(bytes.len());
            let body = vec![n as u8; (n % 5) as usize * 7];
            frame::encode(
                &Salt::new(SALT),
                Frame { key: Id::new(n * 10, 0).to_bytes(), flags: 0, body: &body },
                &mut bytes,
            );
        }
        (bytes, starts)
    }

    fn run(bytes: &[u8], count: u64) -> Option<Salvaged> {
        salvage(bytes, count as usize, &Salt::new(SALT), Id::new(5, 0), Id::new(count * 10, 0))
    }

    #[test]
    fn whichever_bit_is_flipped_every_other_entry_keeps_its_place() {
        let (bytes, starts) = frames(9);
        let whole = run(&bytes, 9).unwrap();
        assert_eq!(whole.bad, []);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let bad = starts.partition_point(|&start| start <= bit / 8) - 1;
            let salvaged = run(&damaged, 9).unwrap();
            assert_eq!(salvaged.bad.len(), 1, "bit {bit}");
            assert_eq!(salvaged.bad[0].entries, bad..bad + 1, "bit {bit}");
            assert_eq!(salvaged.bad[0].offset as usize, starts[bad]);
            for n in (0..9).filter(|&n| n != bad) {
                assert_eq!(salvaged.entries[n], whole.entries[n], "bit {bit}");
            }
            let id = whole.entries[bad].0;
            assert!(salvaged.bad[0].low <= id && id <= salvaged.entries[bad].0, "bit {bit}: its ID is in there");
        }
    }

    #[test]
    fn what_was_overwritten_is_bounded_and_what_cannot_be_told_is_not_guessed() {
        let (bytes, starts) = frames(20);
        let zeroed = |ranges: &[(usize, usize)]| {
            let mut damaged = bytes.clone();
            ranges.iter().for_each(|&(from, to)| damaged[starts[from]..starts[to]].fill(0));
            run(&damaged, 20)
        };
        let bad = |salvaged: &Salvaged| -> Vec<(usize, usize)> {
            salvaged.bad.iter().map(|bad| (bad.entries.start, bad.entries.end)).collect()
        };
        for range in [(0, 3), (4, 5), (10, 19)] {
            let salvaged = zeroed(&[range]).unwrap();
            assert_eq!(bad(&salvaged), [range]);
            assert_eq!(salvaged.entries.len(), 20);
        }
        assert_eq!(bad(&zeroed(&[(2, 3), (7, 8)]).unwrap()), [(2, 3), (7, 8)]);
        assert_eq!(zeroed(&[(2, 5), (7, 8)]), None, "one of three and one, or two of two");
        assert_eq!(run(&bytes[..starts[19]], 20), None, "an entry is gone, and nothing tells where");
        assert_eq!(run(&bytes, 19), None);
    }

    /// The story: found by fuzzing. Where frames had moved forward by one, no ID was left for the one missing behind them, and
    /// a scan passed over the one that they took the place of without a word.
    #[test]
    fn of_frames_that_moved_nothing_can_be_told() {
        let (bytes, starts) = frames(9);
        let moved = [&bytes[starts[1]..], &vec![0; starts[1]]].concat();
        assert_eq!(run(&moved, 9), None);
    }
}
