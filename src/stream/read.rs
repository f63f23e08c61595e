//! Reading on after IDs without a group, of one stream or of several at once (`XREAD`).

use std::time::Duration;

use super::blocking::{Block, Place, Tried, Wait};
use super::collect::Collector;
use super::limits::{Left, Limits};
use super::{StartAt, Stream};
use crate::entry::Entry;
use crate::error::{ErrorKind, Result};
use crate::id::Id;
use crate::log::Lookup;

/// What there is of several streams, by their numbers.
type Found = Vec<(usize, Vec<Entry>)>;

impl Stream {
    /// Reads on after an ID, waiting for entries if asked to (`XREAD`). [`StartAt::End`] is resolved now: the entries
    /// added from this call on.
    ///
    /// ```
    /// use streamlog::StartAt;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// let mut after = orders.add([("sku", "A1")])?;
    /// orders.add([("sku", "B7")])?;
    /// for entry in orders.read(after).count(10).next()? {
    ///     after = entry.id;
    /// }
    /// assert!(orders.read(after).next()?.is_empty());
    /// assert_eq!(orders.read(StartAt::Last).next()?[0].id, after);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    pub fn read(&self, after: impl Into<StartAt>) -> Read {
        Read { streams: ReadStreams::new(vec![self.read_from(after.into())]) }
    }

    /// With the end resolved.
    pub(crate) fn read_from(&self, start: StartAt) -> (Stream, StartAt) {
        let start = match start {
            StartAt::End => {
                StartAt::After(self.found().map_or(Id::MIN, |cell| self.core().lock_whole(&cell).visible_last_id))
            }
            start => start,
        };
        (self.clone(), start)
    }
}

/// A read after an ID: [`Stream::read`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `next` is called"]
pub struct Read {
    streams: ReadStreams,
}

impl Read {
    /// At most this many entries.
    pub fn count(self, entries: usize) -> Read {
        Read { streams: self.streams.count(entries) }
    }

    /// Waits up to this long for the first entry. If not said, the read does not wait.
    pub fn block(self, timeout: Duration) -> Read {
        Read { streams: self.streams.block(timeout) }
    }

    /// Waits for ever for the first entry.
    pub fn block_forever(self) -> Read {
        Read { streams: self.streams.block_forever() }
    }

    /// The entries after the ID; none if the time is over. To read on, begin a new read after the last one's ID.
    ///
    /// What waits for a stream that is not there, or that is deleted meanwhile, waits for one of its name.
    ///
    /// # Errors
    ///
    /// As [`ReadStreams::next`].
    pub fn next(self) -> Result<Vec<Entry>> {
        let got = self.streams.wait()?.on_thread()?;
        Ok(only(got))
    }

    /// [`next`](Read::next) as a future.
    #[cfg(feature = "tokio")]
    pub(super) async fn found(&self) -> Result<Vec<Entry>> {
        let got = self.streams.wait()?.on_runtime().await?;
        Ok(only(got))
    }
}

/// A read of several streams, each after an ID: [`Broker::read`](crate::Broker::read).
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `next` is called"]
pub struct ReadStreams {
    streams: Vec<(Stream, StartAt)>,
    limits: Limits,
    block: Block,
}

impl ReadStreams {
    pub(crate) fn new(streams: Vec<(Stream, StartAt)>) -> ReadStreams {
        ReadStreams { streams, limits: Limits::each(usize::MAX), block: Block::No }
    }

    /// At most this many entries of each stream (`COUNT`).
    pub fn count(mut self, entries: usize) -> ReadStreams {
        self.limits.count = entries;
        self
    }

    /// At most this many entries in all: the streams that come too late in the list are left out (`MAXCOUNT` of Redis
    /// 8.10, from its documentation).
    pub fn max_count(mut self, entries: usize) -> ReadStreams {
        self.limits.max_count = entries;
        self
    }

    /// Stops before an entry with which all of them would be larger than this, if it is not the first of all (`MAXSIZE` of Redis
    /// 8.10, from its documentation). In bytes: those of names and values, and a few for each.
    pub fn max_bytes(mut self, bytes: u64) -> ReadStreams {
        self.limits.max_bytes = Some(bytes);
        self
    }

    /// Waits up to this long for the first entry of any of the streams. If not said, the read does not wait.
    pub fn block(mut self, timeout: Duration) -> ReadStreams {
        self.block = Block::For(timeout);
        self
    }

    /// Waits for ever for the first entry of any of the streams.
    pub fn block_forever(mut self) -> ReadStreams {
        self.block = Block::Forever;
        self
    }

    /// Of each stream that has any, in the order given, its name and the entries after its ID; nothing if the time is over.
    ///
    /// What waits for a stream that is not there, or that is deleted meanwhile, waits for one of its name.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed); [`Corrupt`](crate::ErrorKind::Corrupt), where nothing comes before the damage; what
    /// the system says.
    pub fn next(self) -> Result<Vec<(String, Vec<Entry>)>> {
        let got = self.wait()?.on_thread()?;
        Ok(self.named(got))
    }

    /// [`next`](ReadStreams::next) as a future.
    #[cfg(feature = "tokio")]
    pub(super) async fn found(&self) -> Result<Vec<(String, Vec<Entry>)>> {
        let got = self.wait()?.on_runtime().await?;
        Ok(self.named(got))
    }

    fn named(&self, found: Option<Found>) -> Vec<(String, Vec<Entry>)> {
        let name = |index: usize| self.streams[index].0.name().to_owned();
        found.into_iter().flatten().map(|(index, entries)| (name(index), entries)).collect()
    }

    /// Waits for what there is of each stream, by its number.
    fn wait<'a>(&'a self) -> Result<Wait<'a, impl FnMut(&mut [Place<'a>]) -> Tried<Found>>> {
        self.streams.first().map_or(Ok(()), |(stream, _)| stream.core().check_open())?;
        // Nobody waits where nothing is looked for: nothing comes after the last ID of all.
        let asked = self.streams.iter().map(|(_, start)| *start).enumerate();
        let asked: Vec<_> = asked.filter(|(_, start)| *start != StartAt::After(Id::MAX)).collect();
        let nothing = self.limits.is_nothing() || asked.is_empty();
        let block = if nothing { Block::No } else { self.block };
        let places = asked.iter().map(|(index, _)| Place::by_name(&self.streams[*index].0)).collect();
        let attempt = move |places: &mut [Place<'a>]| {
            let mut left = self.limits.left();
            let mut got = Vec::new();
            for (place, (index, start)) in places.iter_mut().zip(&asked) {
                if left.is_over() {
                    break;
                }
                match place.read(*start, &mut left) {
                    Ok(entries) if entries.is_empty() => {}
                    Ok(entries) => got.push((*index, entries)),
                    Err(error) if got.is_empty() => return Err(error),
                    // The next read meets it.
                    Err(_) => break,
                }
            }
            Ok(if got.is_empty() { None } else { Some(got) })
        };
        Ok(Wait::new(block, places, attempt))
    }
}

fn only(found: Option<Found>) -> Vec<Entry> {
    found.and_then(|mut found| found.pop()).map(|(_, entries)| entries).unwrap_or_default()
}

impl Place<'_> {
    /// The entries there are from here on, as far as there is room for them. Which is the last is seen at each look.
    fn read(&mut self, start: StartAt, left: &mut Left) -> Result<Vec<Entry>> {
        let Some(cell) = self.find() else {
            self.core().check_open()?;
            return Ok(Vec::new());
        };
        let mut found = Collector::until_damage().with_room(left.room());
        let mut ordinals = None;
        let read = self.core().read(&cell, |inner, blocks| {
            self.news = inner.news;
            let ordinals = match &mut ordinals {
                Some(ordinals) => ordinals,
                None => {
                    let from = match start.resolve(inner, blocks) {
                        Lookup::Found(after) => {
                            inner.visible_ordinals(after.next().unwrap_or(Id::MAX), Id::MAX, blocks)
                        }
                        Lookup::Load(segment, at) => Lookup::Load(segment, at),
                    };
                    match from {
                        Lookup::Found(found) => ordinals.insert(found),
                        Lookup::Load(segment, at) => return Ok(Lookup::Load(segment, at)),
                    }
                }
            };
            Ok(inner.collect(ordinals, false, left.count(), blocks, &mut found))
        });
        match read {
            // Deleted just now: there may be another by that name at the next look.
            Err(error) if error.kind() == ErrorKind::NoSuchStream => return Ok(Vec::new()),
            read => read?,
        }
        let room = found.room();
        let entries = found.finish()?;
        left.take(entries.len(), room);
        Ok(entries)
    }
}
