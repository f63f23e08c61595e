//! Waiting for entries: the loop that every blocking read runs, and reading after an ID without a group (`XREAD`).

use std::sync::Arc;
use std::time::Duration;

use super::cell::{Inner, StreamCell};
use super::collect::Collector;
use super::core::Core;
use super::waiting::Queue;
use super::{StartAt, Stream};
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::log::Lookup;
use crate::wait::Sleeper;

/// How long to wait for entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Block {
    #[default]
    No,
    For(Duration),
    Forever,
}

/// A place in a stream's queue; left when dropped.
pub(super) struct Place {
    cell: Arc<StreamCell>,
    queue: Queue,
    ticket: Option<u64>,
}

impl Place {
    pub(super) fn cell(&self) -> &StreamCell {
        &self.cell
    }

    /// Whether this is the queue of the group with this number: of the one waited in, not of one made since by its name.
    pub(super) fn is_in(&self, group: u32) -> bool {
        self.queue == Some(group)
    }

    /// Whether nobody is before.
    pub(super) fn is_turn(&self, inner: &Inner) -> bool {
        inner.waiting.is_turn(self.queue, self.ticket)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut inner = self.cell.lock();
            inner.news += 1;
            inner.waiting.leave(self.queue, ticket);
        }
    }
}

impl Core {
    /// Calls `attempt` until it gives something, or the time is over. Between attempts the caller is in the stream's
    /// queue, and sleeps if there was no news since the number that `attempt` put into its second argument under the
    /// stream's lock. With `retry` it tries again after that time in any case.
    pub(super) fn wait_for<T>(
        &self,
        cell: &Arc<StreamCell>,
        queue: Queue,
        block: Block,
        mut attempt: impl FnMut(&Place, &mut u64) -> Result<Option<T>>,
        retry: Option<Duration>,
    ) -> Result<Option<T>> {
        let deadline = match block {
            Block::For(timeout) => Some(self.clock.monotonic().saturating_add(timeout)),
            Block::No | Block::Forever => None,
        };
        let mut place = Place { cell: Arc::clone(cell), queue, ticket: None };
        let mut news = 0;
        Sleeper::with(|sleeper| {
            loop {
                while place.cell.is_gone() {
                    let Some(heir) = place.cell.heir() else {
                        // There may be another stream with the name by now, in which nobody waits.
                        return Err(Error::no_such_stream(&place.cell.name));
                    };
                    place = Place { cell: Arc::clone(heir), queue, ticket: None };
                }
                match attempt(&place, &mut news) {
                    Ok(None) => {}
                    Err(error) if error.kind() == ErrorKind::NoSuchStream && place.cell.is_gone() => continue,
                    done => return done,
                }
                if block == Block::No {
                    return Ok(None);
                }
                let left = deadline.map(|deadline| deadline.saturating_sub(self.clock.monotonic()));
                if left == Some(Duration::ZERO) {
                    return Ok(None);
                }
                {
                    let mut inner = place.cell.lock();
                    if place.cell.is_gone() {
                        continue;
                    }
                    inner.waiting.wait(queue, &mut place.ticket, sleeper.waker());
                    // What came between the attempt and this wakes nobody.
                    if inner.news != news {
                        continue;
                    }
                }
                let nap = [left, retry].into_iter().flatten().min();
                sleeper.sleep(nap.map(|left| self.clock.nap(left)));
            }
        })
    }
}

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
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    pub fn read(&self, after: impl Into<StartAt>) -> Read {
        let after = match after.into() {
            StartAt::Start => Id::MIN,
            StartAt::After(id) => id,
            StartAt::End => self.found().map_or(Id::MIN, |cell| cell.lock().visible_last_id),
        };
        Read { stream: self.clone(), after, count: usize::MAX, block: Block::No }
    }
}

/// A read after an ID: [`Stream::read`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `next` is called"]
pub struct Read {
    stream: Stream,
    after: Id,
    count: usize,
    block: Block,
}

impl Read {
    /// At most this many entries.
    pub fn count(mut self, entries: usize) -> Read {
        self.count = entries;
        self
    }

    /// Waits up to this long for the first entry. If not said, the read does not wait.
    pub fn block(mut self, timeout: Duration) -> Read {
        self.block = Block::For(timeout);
        self
    }

    /// Waits for ever for the first entry.
    pub fn block_forever(mut self) -> Read {
        self.block = Block::Forever;
        self
    }

    /// The entries after the ID; none if the time is over. To read on, begin a new read after the last one's ID.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed); [`NoSuchStream`](crate::ErrorKind::NoSuchStream) if the stream is deleted
    /// while this waits; [`Corrupt`](crate::ErrorKind::Corrupt); what the system says.
    pub fn next(self) -> Result<Vec<Entry>> {
        let Read { stream, after, count, block } = self;
        let core = stream.core();
        core.check_open()?;
        let Some(first) = after.next().filter(|_| count > 0) else { return Ok(Vec::new()) };
        let cell = match (stream.found(), block) {
            (Some(cell), _) => cell,
            (None, Block::No) => return Ok(Vec::new()),
            // What does not exist cannot be waited for; an empty stream can.
            (None, _) => stream.cell_or_created()?,
        };
        let attempt = |place: &Place, news: &mut u64| {
            let mut found = Collector::until_damage();
            let mut left = None;
            core.read(place.cell(), |inner, blocks| {
                *news = inner.news;
                let ordinals = match &mut left {
                    Some(left) => left,
                    None => match inner.visible_ordinals(first, Id::MAX, blocks) {
                        Lookup::Found(ordinals) => left.insert(ordinals),
                        Lookup::Load(segment, at) => return Ok(Lookup::Load(segment, at)),
                    },
                };
                Ok(inner.collect(ordinals, false, count, blocks, &mut found))
            })?;
            let entries = found.finish()?;
            Ok(if entries.is_empty() { None } else { Some(entries) })
        };
        Ok(core.wait_for(&cell, None, block, attempt, None)?.unwrap_or_default())
    }
}
