//! Takes entries off a stream's log, under its lock: in either direction, the live ones only, as many as asked.

use std::ops::Range;
use std::sync::Arc;

use super::cell::Inner;
use super::limits::Room;
use crate::entry::{Entry, Fields};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::log::stream_log::Blocks;
use crate::log::{Block, Lookup, Page};

/// Entries on their way to a caller. Those in blocks share the block's bytes; those in the tail are copied, together.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    found: Vec<(Id, Place)>,
    copied: Vec<u8>,
    room: Room,
    /// Whether there was an entry that had no room: nothing is taken after it.
    is_full: bool,
    /// The damage that was met: nothing is taken after it.
    damage: Option<Error>,
    /// Whether what comes before damage is to be had without it.
    until_damage: bool,
}

#[derive(Debug)]
enum Place {
    Shared(Arc<Vec<u8>>, Range<usize>),
    Copied(Range<usize>),
}

impl Collector {
    /// One that stops before damage, unless that comes first: for whoever asks again for what follows.
    pub(crate) fn until_damage() -> Collector {
        Collector { until_damage: true, ..Collector::default() }
    }

    /// With only so much room.
    pub(crate) fn with_room(self, room: Room) -> Collector {
        Collector { room, ..self }
    }

    /// What room is left.
    pub(crate) fn room(&self) -> Room {
        self.room
    }

    /// Gives up what was collected; there is so much room then.
    pub(crate) fn clear(&mut self, room: Room) {
        *self = Collector { until_damage: self.until_damage, room, ..Collector::default() };
    }

    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether damage was met, be it after what was taken.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damage.is_some()
    }

    /// Whether there was no room for all.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether nothing more is taken: there was damage, or no room for the next.
    pub(crate) fn is_over(&self) -> bool {
        self.is_damaged() || self.is_full
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        let left = match self.room.bytes {
            None => None,
            Some(left) => match left.checked_sub(bytes as u64) {
                Some(left) => Some(left),
                None if self.room.first => Some(0),
                None => {
                    self.is_full = true;
                    return false;
                }
            },
        };
        self.room = Room { bytes: left, first: false };
        true
    }

    /// # Errors
    ///
    /// The damage that was met.
    pub(crate) fn check(&self) -> Result<()> {
        self.damage.as_ref().filter(|_| !self.until_damage || self.found.is_empty()).map_or(Ok(()), |e| Err(e.again()))
    }

    fn take(&mut self, page: &Page<'_>, ordinal: u64, stream: &str) {
        match page {
            Page::Block(block) => {
                if let Some(error) = block.damage(ordinal) {
                    self.damage = Some(error.again().in_stream(stream));
                    return;
                }
                let (id, range) = block.entry(ordinal);
                if !self.has_room(range.len()) {
                    return;
                }
                self.found.push((id, Place::Shared(Arc::clone(block.bytes()), range)));
            }
            Page::Chunk(chunk) => {
                let (id, body) = chunk.body(ordinal);
                if !self.has_room(body.len()) {
                    return;
                }
                let start = self.copied.len();
                self.copied.extend_from_slice(body);
                self.found.push((id, Place::Copied(start..self.copied.len())));
            }
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = Id> {
        self.found.iter().map(|(id, _)| *id)
    }

    /// The entries.
    ///
    /// # Errors
    ///
    /// `Corrupt` if one is damaged, or not laid out as an entry is though its checksum matched.
    pub(crate) fn finish(self) -> Result<Vec<Entry>> {
        self.check()?;
        let copied = Arc::new(self.copied);
        let entry = |(id, place)| match place {
            Place::Shared(bytes, range) => entry(id, &bytes, range),
            Place::Copied(range) => entry(id, &copied, range),
        };
        self.found.into_iter().map(entry).collect()
    }
}

/// Entries side by side in one block, all of them whole and alive: made when they are asked for.
#[derive(Debug)]
pub(crate) struct Run {
    block: Arc<Block>,
    ordinals: Range<u64>,
    backwards: bool,
}

impl Run {
    pub(crate) fn len(&self) -> usize {
        (self.ordinals.end - self.ordinals.start) as usize
    }

    /// The ID of the entry that comes last; there is one.
    pub(crate) fn last_id(&self) -> Id {
        self.block.id(if self.backwards { self.ordinals.start } else { self.ordinals.end - 1 })
    }

    /// The next entry.
    ///
    /// # Errors
    ///
    /// `Corrupt` if it is not laid out as an entry is though its checksum matched.
    pub(crate) fn next(&mut self) -> Option<Result<Entry>> {
        let ordinal = if self.backwards { self.ordinals.next_back() } else { self.ordinals.next() }?;
        let (id, range) = self.block.entry(ordinal);
        Some(entry(id, self.block.bytes(), range))
    }
}

/// # Errors
///
/// `Corrupt` if it is not laid out as an entry is though its checksum matched.
#[inline]
fn entry(id: Id, buffer: &Arc<Vec<u8>>, body: Range<usize>) -> Result<Entry> {
    let bad = || Error::new(ErrorKind::Corrupt, format!("the entry {id} is not laid out as an entry is"));
    Ok(Entry::new(id, Fields::in_buffer(buffer, body).ok_or_else(bad)?))
}

impl Inner {
    /// The ordinals, of IDs from `first` to `last`, that a reader may see.
    pub(crate) fn visible_ordinals(&self, first: Id, last: Id, blocks: Blocks<'_>) -> Lookup<Range<u64>> {
        let begin = self.visible_front.ordinal;
        self.all_ordinals(first, last, blocks).map(|found| found.start.max(begin)..found.end.max(begin))
    }

    /// The ordinals, of IDs from `first` to `last`, of what may be seen and was not trimmed since: for changes, which build
    /// on what was recorded.
    pub(crate) fn ordinals(&self, first: Id, last: Id, blocks: Blocks<'_>) -> Lookup<Range<u64>> {
        let begin = self.state.front.ordinal;
        self.all_ordinals(first, last, blocks).map(|found| found.start.max(begin)..found.end.max(begin))
    }

    fn all_ordinals(&self, first: Id, last: Id, blocks: Blocks<'_>) -> Lookup<Range<u64>> {
        let log = &self.state.log;
        let start = match log.ordinal_of(first, blocks) {
            Lookup::Found(ordinal) => ordinal,
            Lookup::Load(segment, at) => return Lookup::Load(segment, at),
        };
        let end = match last.next().filter(|&next| next <= self.state.last_id) {
            Some(next) => log.ordinal_before(next, blocks),
            None => Lookup::Found(log.next_ordinal()),
        };
        end.map(|end| start..end.min(self.visible).max(start))
    }

    /// The last ID that may be seen and is of an entry; `0-0` if there is none.
    pub(crate) fn last_live_id(&self, blocks: Blocks<'_>) -> Lookup<Id> {
        let begin = self.visible_front.ordinal.max(self.state.log.first_ordinal());
        let Some(last) = self.state.tombstones.last_live(self.visible).filter(|&last| last >= begin) else {
            return Lookup::Found(Id::MIN);
        };
        self.state.log.page(last, blocks).map(|page| page.id(last))
    }

    /// Collects live entries of `ordinals` until there are `count`, from the front or the back. On `Load`, `ordinals` is
    /// what is left.
    pub(crate) fn collect(
        &self,
        ordinals: &mut Range<u64>,
        backwards: bool,
        count: usize,
        blocks: Blocks<'_>,
        out: &mut Collector,
    ) -> Lookup<()> {
        // What was forgotten since the ordinals were found is gone.
        ordinals.start = ordinals.start.max(self.state.log.first_ordinal());
        while out.len() < count && !out.is_over() {
            let tombstones = &self.state.tombstones;
            if backwards {
                ordinals.end = tombstones.last_live(ordinals.end).map_or(0, |last| last + 1);
            } else {
                ordinals.start = tombstones.first_live(ordinals.start);
            }
            if ordinals.is_empty() {
                break;
            }
            let next = if backwards { ordinals.end - 1 } else { ordinals.start };
            let page = match self.state.log.page(next, blocks) {
                Lookup::Found(page) => page,
                Lookup::Load(segment, at) => return Lookup::Load(segment, at),
            };
            if backwards {
                let first = page.first_ordinal().max(ordinals.start);
                while ordinals.end > first && out.len() < count && !out.is_over() {
                    ordinals.end -= 1;
                    if !self.state.tombstones.contains(ordinals.end) {
                        out.take(&page, ordinals.end, &self.state.name);
                    }
                }
            } else {
                let end = page.next_ordinal().min(ordinals.end);
                while ordinals.start < end && out.len() < count && !out.is_over() {
                    if !self.state.tombstones.contains(ordinals.start) {
                        out.take(&page, ordinals.start, &self.state.name);
                    }
                    ordinals.start += 1;
                }
            }
        }
        Lookup::Found(())
    }

    /// The first or last of `ordinals`, and those beside it up to `count`, if they are in a block, whole and alive.
    pub(crate) fn run(
        &self,
        ordinals: Range<u64>,
        backwards: bool,
        count: usize,
        blocks: Blocks<'_>,
    ) -> Lookup<Option<Run>> {
        // What is dead at the edge may be in no file any more.
        let tombstones = &self.state.tombstones;
        let begin = ordinals.start.max(self.state.log.first_ordinal());
        let ordinals = if backwards {
            begin..tombstones.last_live(ordinals.end).map_or(0, |last| last + 1)
        } else {
            tombstones.first_live(begin)..ordinals.end
        };
        if ordinals.is_empty() {
            return Lookup::Found(None);
        }
        let next = if backwards { ordinals.end - 1 } else { ordinals.start };
        self.state.log.page(next, blocks).map(|page| {
            let Page::Block(block) = page else { return None };
            let mut run = ordinals.start.max(block.first_ordinal())..ordinals.end.min(block.next_ordinal());
            if backwards {
                run.start = run.start.max(run.end.saturating_sub(count as u64));
            } else {
                run.end = run.end.min(run.start.saturating_add(count as u64));
            }
            let all_there = block.is_whole() && tombstones.count(run.start, run.end) == 0;
            (all_there && !run.is_empty()).then_some(Run { block, ordinals: run, backwards })
        })
    }

    /// Collects the entry with this ID, if it is there; returns its ordinal, or the damage that may be it.
    pub(crate) fn collect_one(&self, id: Id, blocks: Blocks<'_>, out: &mut Collector) -> Lookup<Result<Option<u64>>> {
        let ordinals = match self.ordinals(id, id, blocks) {
            Lookup::Found(ordinals) => ordinals,
            Lookup::Load(segment, at) => return Lookup::Load(segment, at),
        };
        let ordinal = ordinals.start;
        let before = out.len();
        self.collect(&mut ordinals.clone(), false, before + 1, blocks, out)
            .map(|()| out.check().map(|()| (out.len() > before).then_some(ordinal)))
    }
}
