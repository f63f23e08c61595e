//! The log of one stream as its lock guards it: which entries are where, without reading any file.
//!
//! A look-up that needs a block not in memory says which ([`Lookup::Load`]); the caller lets go of the stream's lock,
//! loads it, and asks again holding it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::block::{Block, BlockCache};
use super::frame::HEADER_LEN;
use super::segment::{At, Position, Segment};
use super::tail::Chunk;
use crate::id::Id;

#[derive(Debug)]
pub(crate) struct StreamLog {
    /// Entries before this one are forgotten.
    first_ordinal: u64,
    segments: VecDeque<Segment>,
    /// On its way to the segments, or waiting for another try.
    flushing: Option<Arc<Chunk>>,
    tail: Chunk,
    /// While a journal is replayed whose entries the segments have already: the next one's ordinal, and the bytes of all
    /// frames before it.
    behind: Option<(u64, u64)>,
    /// The last entry's ID, forgotten or not; `0-0` if there was none.
    last_id: Id,
    /// First IDs of the segments that were dropped and whose files are to be removed.
    dropped: Vec<Id>,
}

/// What a flush writes: the entries, from which ordinal on, and the segment to continue.
pub(crate) type Flush = (Arc<Chunk>, u64, Option<Segment>);

/// The answer to a look-up.
#[derive(Debug)]
pub(crate) enum Lookup<T> {
    Found(T),
    /// This block must be loaded first.
    Load(Segment, At),
}

impl<T> Lookup<T> {
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Lookup::Found(value) => Lookup::Found(f(value)),
            Lookup::Load(segment, at) => Lookup::Load(segment, at),
        }
    }
}

/// Consecutive entries in memory.
#[derive(Debug)]
pub(crate) enum Page<'a> {
    Block(Arc<Block>),
    Chunk(&'a Chunk),
}

/// What look-ups may use: the cache, and blocks the caller loaded for this very look-up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks<'a> {
    pub(crate) cache: &'a BlockCache,
    pub(crate) held: &'a [Arc<Block>],
}

impl Page<'_> {
    pub(crate) fn first_ordinal(&self) -> u64 {
        match self {
            Page::Block(block) => block.first_ordinal(),
            Page::Chunk(chunk) => chunk.first_ordinal(),
        }
    }

    pub(crate) fn next_ordinal(&self) -> u64 {
        match self {
            Page::Block(block) => block.next_ordinal(),
            Page::Chunk(chunk) => chunk.next_ordinal(),
        }
    }

    /// The ID of an entry that is here; of a damaged one the greatest it can have.
    pub(crate) fn id(&self, ordinal: u64) -> Id {
        match self {
            Page::Block(block) => block.id(ordinal),
            Page::Chunk(chunk) => chunk.frame(ordinal).0,
        }
    }
}

impl StreamLog {
    /// The log behind these segments; the next entry will be `next_ordinal`, behind `next_bytes` bytes of frames, the last
    /// of them with the ID `last_id`. Segments
    /// that have it, and more, are to get what they have appended once more, and then [`cut_back`](Self::cut_back).
    pub(crate) fn new(
        stream: u64,
        positions: impl IntoIterator<Item = Position>,
        first_ordinal: u64,
        next_ordinal: u64,
        next_bytes: u64,
        last_id: Id,
    ) -> StreamLog {
        let segments: VecDeque<_> = positions.into_iter().map(|position| Segment::new(stream, position)).collect();
        let next = (next_ordinal, next_bytes);
        let end = segments.back().map(|last| (last.position.next_ordinal, last.bytes_until()));
        let (tail, behind) = match end.filter(|end| end.0 > next_ordinal) {
            Some(end) => (end, Some(next)),
            None => (next, None),
        };
        let tail = Chunk::starting_at(tail.0, tail.1);
        StreamLog { first_ordinal, segments, flushing: None, tail, behind, last_id, dropped: Vec::new() }
    }

    pub(crate) fn append(&mut self, id: Id, body: &[u8]) {
        self.last_id = id;
        let Some((ordinal, bytes)) = &mut self.behind else { return self.tail.push(id, body) };
        (*ordinal, *bytes) = (*ordinal + 1, *bytes + (HEADER_LEN + body.len()) as u64);
        if self.behind == Some((self.tail.next_ordinal(), self.tail.bytes_before(self.tail.next_ordinal()))) {
            self.behind = None;
        }
    }

    /// Gives up the entries that the segments have and that were not appended once more. `false` if the segments have
    /// others than were appended.
    pub(crate) fn cut_back(&mut self) -> bool {
        let Some((ordinal, bytes)) = self.behind.take() else { return true };
        if ordinal > self.tail.next_ordinal() {
            return false;
        }
        while self.segments.back().is_some_and(|last| last.position.first_ordinal >= ordinal) {
            self.segments.pop_back();
        }
        if let Some(Segment { position, .. }) = self.segments.back_mut() {
            let end = position.begin + bytes.saturating_sub(position.base_bytes);
            if position.hollow || end > position.end {
                return false;
            }
            if end < position.end {
                *position =
                    Position { end, next_ordinal: ordinal, last_id: self.last_id, sealed: false, ..position.clone() };
            }
        }
        self.tail = Chunk::starting_at(ordinal, bytes);
        true
    }

    /// Takes these segments for those there were, in a repair.
    pub(crate) fn mend(&mut self, stream: u64, positions: Vec<Position>) {
        self.segments = positions.into_iter().map(|position| Segment::new(stream, position)).collect();
        let last_ids = self.segments.iter().map(|segment| segment.position.last_id);
        self.last_id = last_ids.fold(self.last_id, Id::max);
    }

    /// The last entry's ID, forgotten or not; `0-0` if there was none. Those to come are greater.
    pub(crate) fn last_id(&self) -> Id {
        self.last_id
    }

    /// The first ordinal that is not forgotten.
    pub(crate) fn first_ordinal(&self) -> u64 {
        self.first_ordinal
    }

    /// Whether segments were dropped whose files are still there.
    pub(crate) fn has_dropped(&self) -> bool {
        !self.dropped.is_empty()
    }

    pub(crate) fn next_ordinal(&self) -> u64 {
        self.behind.map_or(self.tail.next_ordinal(), |next| next.0)
    }

    /// The bytes of all frames the stream got.
    pub(crate) fn next_bytes(&self) -> u64 {
        self.behind.map_or(self.tail.bytes_before(self.tail.next_ordinal()), |next| next.1)
    }

    /// The entries in memory, of a log that nothing flushes.
    pub(crate) fn tail(&self) -> &Chunk {
        &self.tail
    }

    /// The bytes in memory that a flush would free.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.tail.bytes()
    }

    /// Whether entries are on their way to the segments, or a flush of them has failed.
    pub(crate) fn is_flushing(&self) -> bool {
        self.flushing.is_some()
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter()
    }

    /// The bytes of the segments' files, but for headers and footers.
    pub(crate) fn segment_bytes(&self) -> u64 {
        let there = self.segments.iter().filter(|segment| !segment.position.hollow);
        there.map(|segment| segment.position.end).sum()
    }

    /// The chunks in memory, oldest first.
    fn chunks(&self) -> impl DoubleEndedIterator<Item = &Chunk> {
        self.flushing.as_deref().into_iter().chain([&self.tail])
    }

    /// The entries around `ordinal`, which must not be forgotten and be before [`next_ordinal`](Self::next_ordinal).
    pub(crate) fn page(&self, ordinal: u64, blocks: Blocks<'_>) -> Lookup<Page<'_>> {
        match self.chunks().find(|chunk| (chunk.first_ordinal()..chunk.next_ordinal()).contains(&ordinal)) {
            Some(chunk) => Lookup::Found(Page::Chunk(chunk)),
            None => {
                let number = self.segments.partition_point(|segment| segment.position.next_ordinal <= ordinal);
                block(&self.segments[number], At::Ordinal(ordinal), blocks).map(Page::Block)
            }
        }
    }

    /// The ordinal of the first entry with at least this ID; that of the next entry if there is none. A damaged one that may
    /// have it counts.
    pub(crate) fn ordinal_of(&self, id: Id, blocks: Blocks<'_>) -> Lookup<u64> {
        self.look_up(id, blocks, Block::ordinal_of)
    }

    /// The ordinal after the last entry with a smaller ID; damaged ones that may have one count.
    pub(crate) fn ordinal_before(&self, id: Id, blocks: Blocks<'_>) -> Lookup<u64> {
        self.look_up(id, blocks, Block::ordinal_before)
    }

    fn look_up(&self, id: Id, blocks: Blocks<'_>, in_block: impl Fn(&Block, Id) -> u64) -> Lookup<u64> {
        let starts_by = |chunk: &&Chunk| chunk.id_at(chunk.first_ordinal()).is_some_and(|first| first <= id);
        if let Some(chunk) = self.chunks().rev().find(starts_by) {
            return Lookup::Found(chunk.ordinal_of(id).max(self.first_ordinal));
        }
        let number = self.segments.partition_point(|segment| segment.position.last_id < id);
        match self.segments.get(number) {
            None => Lookup::Found(self.in_memory_from().max(self.first_ordinal)),
            Some(segment) if id <= segment.position.first_id => {
                Lookup::Found(segment.position.first_ordinal.max(self.first_ordinal))
            }
            // None of its entries is there: the next one that may be comes after it.
            Some(segment) if segment.position.hollow => Lookup::Found(segment.position.next_ordinal),
            Some(segment) => {
                block(segment, At::Id(id), blocks).map(|block| in_block(&block, id).max(self.first_ordinal))
            }
        }
    }

    /// The first ordinal whose frame begins at this byte of all the stream's frames or after it.
    pub(crate) fn ordinal_of_byte(&self, byte: u64, blocks: Blocks<'_>) -> Lookup<u64> {
        let memory = self.chunks().rev().find(|chunk| chunk.bytes_before(chunk.first_ordinal()) <= byte);
        if let Some(chunk) = memory {
            return Lookup::Found(chunk.ordinal_of_byte(byte));
        }
        let number = self.segments.partition_point(|segment| segment.bytes_until() <= byte);
        match self.segments.get(number) {
            None => Lookup::Found(self.in_memory_from()),
            Some(segment) if segment.position.hollow => Lookup::Found(segment.position.next_ordinal),
            Some(segment) => block(segment, At::Byte(byte), blocks).map(|block| {
                let Position { begin, base_bytes, .. } = segment.position;
                block.ordinal_of_offset(begin + byte.saturating_sub(base_bytes))
            }),
        }
    }

    /// The bytes of all frames before `ordinal`.
    pub(crate) fn bytes_before(&self, ordinal: u64, blocks: Blocks<'_>) -> Lookup<u64> {
        if let Some(chunk) = self.chunks().rev().find(|chunk| chunk.first_ordinal() <= ordinal) {
            return Lookup::Found(chunk.bytes_before(ordinal));
        }
        let number = self.segments.partition_point(|segment| segment.position.next_ordinal <= ordinal);
        let segment = &self.segments[number];
        let Position { begin, base_bytes, first_ordinal, .. } = segment.position;
        if ordinal <= first_ordinal {
            return Lookup::Found(base_bytes);
        }
        block(segment, At::Ordinal(ordinal), blocks).map(|block| base_bytes + block.offset(ordinal) - begin)
    }

    /// The first ordinal that is in memory, or would be.
    fn in_memory_from(&self) -> u64 {
        self.flushing.as_ref().map_or(self.tail.first_ordinal(), |chunk| chunk.first_ordinal())
    }

    /// Forgets the entries before `ordinal`: whole segments are dropped, memory is given back.
    pub(crate) fn forget_before(&mut self, ordinal: u64) {
        self.first_ordinal = ordinal;
        while self.segments.front().is_some_and(|segment| segment.position.next_ordinal <= ordinal) {
            self.dropped.extend(self.segments.pop_front().map(|segment| segment.position.first_id));
        }
        if self.tail.next_ordinal() <= ordinal && !self.tail.is_empty() {
            self.tail = Chunk::starting_at(self.tail.next_ordinal(), self.next_bytes());
        }
    }

    /// Takes the tail for writing it to segments. What a flush before could not write comes first, and then the tail.
    /// `None` if there is nothing to write.
    pub(crate) fn begin_flush(&mut self) -> Option<Flush> {
        let chunk = match &self.flushing {
            Some(waiting) => Arc::clone(waiting),
            None if self.tail.is_empty() => return None,
            None => {
                let next = Chunk::starting_at(self.tail.next_ordinal(), self.next_bytes());
                Arc::new(std::mem::replace(&mut self.tail, next))
            }
        };
        self.flushing = Some(Arc::clone(&chunk));
        let from = chunk.first_ordinal().max(self.first_ordinal);
        Some((chunk, from, self.segments.back().cloned()))
    }

    /// Takes note of what a flush wrote.
    pub(crate) fn end_flush(&mut self, written: Vec<Segment>) {
        self.flushing = None;
        for segment in written {
            let first_id = segment.position.first_id;
            // A trim may have dropped it while it was written to.
            self.dropped.retain(|&dropped| dropped != first_id);
            if segment.position.next_ordinal <= self.first_ordinal {
                self.dropped.push(first_id);
            } else if self.segments.back().is_some_and(|last| last.position.first_id == first_id) {
                self.segments.pop_back();
                self.segments.push_back(segment);
            } else {
                self.segments.push_back(segment);
            }
        }
    }

    /// Makes hollow the sealed segments whose entries are all gone, by `dead`, which counts those in a range of ordinals;
    /// returns their first IDs. Segments at the front are dropped instead.
    pub(crate) fn hollow_out(&mut self, dead: impl Fn(u64, u64) -> u64) -> Vec<Id> {
        let mut hollowed = Vec::new();
        for Segment { position, .. } in &mut self.segments {
            let (from, to) = (position.first_ordinal, position.next_ordinal);
            if position.sealed && !position.hollow && dead(from, to) == to - from {
                position.hollow = true;
                hollowed.push(position.first_id);
            }
        }
        hollowed
    }

    /// Takes back what was said to be given up, by first IDs: segments dropped, and others made hollow.
    pub(crate) fn put_back(&mut self, dropped: Vec<Id>, hollowed: &[Id]) {
        self.dropped.extend(dropped);
        for Segment { position, .. } in &mut self.segments {
            position.hollow &= !hollowed.contains(&position.first_id);
        }
    }

    /// The segments dropped since this was last asked.
    pub(crate) fn take_dropped(&mut self) -> Vec<Id> {
        std::mem::take(&mut self.dropped)
    }
}

fn block(segment: &Segment, at: At, blocks: Blocks<'_>) -> Lookup<Arc<Block>> {
    match segment.cached(at, blocks.cache, blocks.held) {
        Some(block) => Lookup::Found(block),
        None => Lookup::Load(segment.clone(), at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries `from..next`, with frames of 100 bytes.
    fn segment(from: u64, next: u64, sealed: bool) -> Position {
        Position {
            identity: [7; 16],
            first_id: id(from),
            last_id: id(next - 1),
            first_ordinal: from,
            next_ordinal: next,
            base_bytes: from * 100,
            begin: 60,
            end: 60 + (next - from) * 100,
            created_ms: 1,
            sealed,
            hollow: false,
        }
    }

    fn id(ordinal: u64) -> Id {
        Id::new(ordinal + 1, 0)
    }

    /// A log whose segments have eight entries, of which it knew two; it gets those up to `next`, with bodies of
    /// `body_bytes`, and is cut back.
    fn cut_back(next: u64, body_bytes: usize) -> (StreamLog, bool) {
        let segments = [segment(0, 3, true), segment(3, 6, true), segment(6, 8, false)];
        let mut log = StreamLog::new(1, segments, 0, 2, 200, id(1));
        (2..next).for_each(|ordinal| log.append(id(ordinal), &vec![7; body_bytes]));
        let cut = log.cut_back();
        (log, cut)
    }

    #[test]
    fn a_log_cut_back_has_what_was_appended_once_more_and_nothing_else() {
        for next in 2..=10 {
            let (log, cut) = cut_back(next, 75);
            assert!(cut, "{next}");
            assert_eq!((log.next_ordinal(), log.next_bytes()), (next, next * 100), "{next}");
            let left: Vec<_> = log.segments().map(|segment| segment.position.clone()).collect();
            let expected = match next {
                2 => vec![segment(0, 2, false)],
                3 => vec![segment(0, 3, true)],
                4 | 5 => vec![segment(0, 3, true), segment(3, next, false)],
                6 => vec![segment(0, 3, true), segment(3, 6, true)],
                7 => vec![segment(0, 3, true), segment(3, 6, true), segment(6, 7, false)],
                _ => vec![segment(0, 3, true), segment(3, 6, true), segment(6, 8, false)],
            };
            assert_eq!(left, expected, "{next}");
            assert_eq!(log.tail_bytes() > 0, next > 8, "only what no segment has is in memory: {next}");
        }
    }

    #[test]
    fn segments_that_have_other_entries_than_were_appended_once_more_are_damage() {
        assert!(!cut_back(3, 80).1, "the segment ends before what it must have");
        assert!(!cut_back(9, 80).1, "more entries than there are, and more bytes");
        assert!(!cut_back(9, 60).1, "more entries than there are, in fewer bytes");
        let hollow = Position { hollow: true, ..segment(0, 3, true) };
        let mut log = StreamLog::new(1, [hollow], 0, 2, 200, id(1));
        assert!(!log.cut_back(), "an entry that is to be there");
    }

    #[test]
    fn a_segment_is_dropped_with_its_last_entry_and_no_sooner() {
        let mut log = StreamLog::new(1, [segment(0, 3, true), segment(3, 6, false)], 0, 6, 600, id(5));
        for (ordinal, dropped) in [(2, vec![]), (3, vec![id(0)]), (5, vec![]), (6, vec![id(3)])] {
            log.forget_before(ordinal);
            assert_eq!(log.take_dropped(), dropped, "{ordinal}");
        }
    }

    /// A trim that comes while a segment is written, of all that is written to it.
    #[test]
    fn a_segment_that_was_trimmed_while_it_was_written_is_dropped_once() {
        let mut log = StreamLog::new(1, [segment(0, 3, false)], 0, 3, 300, id(2));
        (3..6).for_each(|ordinal| log.append(id(ordinal), &[7; 75]));
        let (_, from, last) = log.begin_flush().unwrap();
        assert_eq!((from, last.unwrap().position), (3, segment(0, 3, false)));
        log.forget_before(6);
        log.end_flush(vec![Segment::new(1, segment(0, 5, true)), Segment::new(1, segment(5, 6, false))]);
        assert_eq!(log.segments().count(), 0);
        assert_eq!(log.take_dropped(), [id(0), id(5)]);
    }

    #[test]
    fn only_a_sealed_segment_is_made_hollow_and_only_when_all_of_it_is_dead() {
        let mut log =
            StreamLog::new(1, [segment(0, 3, true), segment(3, 6, true), segment(6, 8, false)], 0, 8, 800, id(7));
        // Everything but the first entry.
        let dead = |from: u64, to: u64| to - from - u64::from(from == 0);
        assert_eq!(log.hollow_out(dead), [id(3)]);
        assert_eq!(log.hollow_out(dead), [], "once");
        log.put_back(Vec::new(), &[id(3)]);
        assert_eq!(log.hollow_out(dead), [id(3)]);
    }
}
