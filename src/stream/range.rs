//! Reading entries by ID, in either direction, without a group (`XRANGE`, `XREVRANGE`).

use super::Stream;
use super::collect::{Collector, Run};
use super::limits::Room;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Id, inclusive};
use crate::log::Lookup;
use std::ops::RangeBounds;

/// How many entries a scan takes at a time, at most.
const SCAN_COUNT: usize = 1024;

impl Stream {
    /// The entries whose IDs lie in `range`, first to last (`XRANGE`), or last to first with [`Range::rev`]
    /// (`XREVRANGE`). A stream that does not exist has none.
    ///
    /// ```
    /// use streamlog::Id;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// for seq in 1..=5 {
    ///     orders.entry([("n", seq.to_string())]).id(Id::new(1, seq)).add()?;
    /// }
    /// let ids = |entries: Vec<streamlog::Entry>| entries.iter().map(|entry| entry.id.seq).collect::<Vec<_>>();
    /// assert_eq!(ids(orders.range(..).read()?), [1, 2, 3, 4, 5]);
    /// assert_eq!(ids(orders.range(Id::new(1, 2)..Id::new(1, 4)).read()?), [2, 3]);
    /// assert_eq!(ids(orders.range(..).rev().count(2).read()?), [5, 4]);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    pub fn range(&self, range: impl RangeBounds<Id>) -> Range {
        Range { stream: self.clone(), bounds: inclusive(&range), backwards: false, count: None, bytes_max: None }
    }

    /// The entry with this ID, if it is there.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](ErrorKind::Corrupt); what the system says.
    pub fn get(&self, id: Id) -> Result<Option<Entry>> {
        Ok(self.range(id..=id).read()?.pop())
    }

    /// How many entries there are (`XLEN`): 0 for a stream that does not exist.
    ///
    /// # Errors
    ///
    /// [`Closed`](ErrorKind::Closed).
    pub fn len(&self) -> Result<u64> {
        self.read_or(0, |inner, _| Ok(Lookup::Found(inner.visible_len())))
    }

    /// Whether there are no entries.
    ///
    /// # Errors
    ///
    /// As [`len`](Stream::len).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads the stream, or returns `missing` if there is none.
    pub(super) fn read_or<T>(
        &self,
        missing: T,
        read: impl FnMut(&mut super::cell::Inner, crate::log::stream_log::Blocks<'_>) -> Result<Lookup<T>>,
    ) -> Result<T> {
        self.core().check_open()?;
        match self.view(read) {
            Err(error) if error.kind() == ErrorKind::NoSuchStream => Ok(missing),
            other => other,
        }
    }
}

/// A range of a stream: [`Stream::range`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `read` or `iter` is called"]
pub struct Range {
    stream: Stream,
    bounds: Option<(Id, Id)>,
    backwards: bool,
    count: Option<usize>,
    bytes_max: Option<u64>,
}

impl Range {
    /// From the last to the first.
    pub fn rev(mut self) -> Range {
        self.backwards = !self.backwards;
        self
    }

    /// At most this many entries.
    pub fn count(mut self, entries: usize) -> Range {
        self.count = Some(entries);
        self
    }

    /// Refuses to read more than so many bytes of entries into memory.
    pub(crate) fn bytes_max(self, bytes_max: Option<u64>) -> Range {
        Range { bytes_max, ..self }
    }

    /// Reads the entries into memory, all at once.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](ErrorKind::Corrupt), with the place; what the system says.
    pub fn read(self) -> Result<Vec<Entry>> {
        let found = self.read_into(Collector::default())?;
        if found.is_full() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the range is too large for one reply; COUNT takes less of it",
            ));
        }
        found.finish()
    }

    fn read_into(self, mut found: Collector) -> Result<Collector> {
        let count = self.count.unwrap_or(usize::MAX);
        let Some((first, last)) = self.bounds else { return Ok(found) };
        let (mut left, mut of) = (None, None);
        let room = Room { bytes: self.bytes_max, first: false };
        let backwards = self.backwards;
        found = found.with_room(room);
        self.stream.read_or((), |inner, blocks| {
            // Another stream may have got the name meanwhile: what was collected of the one before is not its.
            if of.replace(inner.state.number).is_some_and(|before| before != inner.state.number) {
                left = None;
                found.clear(room);
            }
            // Ordinals never change: what was collected before a block was loaded stays, and this goes on behind it.
            let ordinals = match &mut left {
                Some(left) => left,
                None => match inner.visible_ordinals(first, last, blocks) {
                    Lookup::Found(ordinals) => left.insert(ordinals),
                    Lookup::Load(segment, at) => return Ok(Lookup::Load(segment, at)),
                },
            };
            Ok(inner.collect(ordinals, backwards, count, blocks, &mut found))
        })?;
        Ok(found)
    }

    /// What comes first, up to `count` entries of one block; `None` where that is not in a block, or not all of it is there.
    fn run(&self, count: usize) -> Result<Option<Run>> {
        let Some((first, last)) = self.bounds else { return Ok(None) };
        self.stream.read_or(None, |inner, blocks| {
            let ordinals = match inner.visible_ordinals(first, last, blocks) {
                Lookup::Found(ordinals) => ordinals,
                Lookup::Load(segment, at) => return Ok(Lookup::Load(segment, at)),
            };
            Ok(inner.run(ordinals, self.backwards, count, blocks))
        })
    }

    /// The entries one by one, read from the disk as they are asked for: for ranges that do not fit into memory. Entries
    /// added meanwhile are met if they lie in the range.
    pub fn iter(self) -> Scan {
        Scan { range: self, ready: Ready::Collected(Vec::new().into_iter()), ended: false }
    }
}

impl IntoIterator for Range {
    type Item = Result<Entry>;
    type IntoIter = Scan;

    fn into_iter(self) -> Scan {
        self.iter()
    }
}

/// The entries of a range, one by one: [`Range::iter`]. Ends after an error; what comes before damage comes before that.
#[derive(Debug)]
pub struct Scan {
    range: Range,
    ready: Ready,
    ended: bool,
}

/// What a scan has at hand.
#[derive(Debug)]
enum Ready {
    Collected(std::vec::IntoIter<Entry>),
    /// All of a block that lies in the range, and whose entries are all there: the usual thing.
    Run(Run),
}

impl Iterator for Scan {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        loop {
            let next = match &mut self.ready {
                Ready::Run(run) => run.next(),
                Ready::Collected(entries) => entries.next().map(Ok),
            };
            match next {
                Some(Ok(entry)) => return Some(Ok(entry)),
                None if self.ended => return None,
                None => match self.take_more() {
                    Ok(ready) => self.ready = ready,
                    Err(error) => return Some(Err(self.end(error))),
                },
                Some(Err(error)) => return Some(Err(self.end(error))),
            }
        }
    }
}

impl Scan {
    fn end(&mut self, error: Error) -> Error {
        self.ended = true;
        self.ready = Ready::Collected(Vec::new().into_iter());
        error
    }

    fn take_more(&mut self) -> Result<Ready> {
        let count = self.range.count.unwrap_or(usize::MAX);
        if let Some(run) = self.range.run(count)? {
            self.go_on_behind(run.last_id(), run.len());
            return Ok(Ready::Run(run));
        }
        let count = count.min(SCAN_COUNT);
        let found = self.range.clone().count(count).read_into(Collector::until_damage())?;
        let damaged = found.is_damaged();
        let entries = found.finish()?;
        match entries.last() {
            Some(last) => self.go_on_behind(last.id, entries.len()),
            None => self.ended = true,
        }
        self.ended |= entries.len() < count && !damaged;
        Ok(Ready::Collected(entries.into_iter()))
    }

    /// Notes that so many entries were taken, the last of them this one.
    fn go_on_behind(&mut self, last_id: Id, taken: usize) {
        let Range { bounds, backwards, count, .. } = &mut self.range;
        if let Some(left) = count {
            *left -= taken;
        }
        *bounds = bounds.and_then(|(first, last)| {
            let (first, last) = if *backwards { (first, last_id.previous()?) } else { (last_id.next()?, last) };
            (first <= last).then_some((first, last))
        });
        self.ended = bounds.is_none() || *count == Some(0);
    }
}
