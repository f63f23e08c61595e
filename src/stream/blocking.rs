//! Waiting for something in several places at once: the loop that every blocking read runs.
//!
//! Whoever waits stands in the queue of each of its streams, or waits for a name that no stream has, and tries all of them
//! each time it is woken. It knows no entries: what is taken, and from where, is the caller's to try.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::Stream;
use super::again::{Again, NAP_MS_MAX};
use super::cell::{Inner, StreamCell};
use super::core::Core;
use super::waiting::{Queue, Waiter};
use crate::error::{Error, ErrorKind, Result};
use crate::wait::Sleeper;

/// How long to wait for entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Block {
    #[default]
    No,
    For(Duration),
    Forever,
}

/// A place in a stream's queue, or among those who wait for its name; left when dropped.
pub(super) struct Place<'a> {
    stream: &'a Stream,
    /// The stream that has the name, and the queue; `None` if none had it.
    spot: Option<(Arc<StreamCell>, Queue)>,
    ticket: Option<u64>,
    /// What [`Inner::news`] was at the last look.
    pub(super) news: u64,
    /// What is wanted of what is pending.
    pub(super) again: Option<Again>,
}

/// Where a look into a place of waiting leaves one.
enum Joined {
    /// There may be something by now.
    News,
    /// Nothing: until woken, or until this time of day.
    Waits(Option<u64>),
}

impl<'a> Place<'a> {
    /// Among those who read the stream of this name without a group.
    pub(super) fn by_name(stream: &'a Stream) -> Place<'a> {
        let spot = stream.found().map(|cell| (cell, None));
        Place { stream, spot, ticket: None, news: 0, again: None }
    }

    /// In the queue of a group of this stream.
    pub(super) fn in_group(stream: &'a Stream, cell: Arc<StreamCell>, group: u32) -> Place<'a> {
        Place { stream, spot: Some((cell, Some(group))), ticket: None, news: 0, again: None }
    }

    pub(super) fn core(&self) -> &'a Core {
        self.stream.core()
    }

    /// The stream that has the name now: one that is made after another was deleted takes its place.
    pub(super) fn find(&mut self) -> Option<Arc<StreamCell>> {
        let found = self.stream.found();
        let is_same = match (&self.spot, &found) {
            (Some((cell, _)), Some(found)) => Arc::ptr_eq(cell, found),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            self.leave();
            self.spot = found.clone().map(|cell| (cell, None));
        }
        found
    }

    /// The stream waited in, if it still has the name; of one that was made anew the new one.
    fn cell(&mut self) -> Result<Arc<StreamCell>> {
        loop {
            if self.spot.as_ref().is_some_and(|(cell, _)| cell.is_gone()) {
                // It may be so in the middle of what is not done yet.
                drop(self.core().catalog());
            }
            let heir = match &self.spot {
                Some((cell, _)) if !cell.is_gone() => return Ok(Arc::clone(cell)),
                Some((cell, queue)) => cell.heir().map(|heir| (Arc::clone(heir), *queue)),
                None => None,
            };
            // There may be another stream with the name by now, in which nobody waits.
            let Some(heir) = heir else { return Err(Error::no_such_stream(self.stream.name())) };
            self.leave();
            self.spot = Some(heir);
        }
    }

    /// Calls `work` with the stream waited in, once more if it is made anew meanwhile.
    pub(super) fn with_cell<T>(&mut self, mut work: impl FnMut(&mut Self, &Arc<StreamCell>) -> Result<T>) -> Result<T> {
        loop {
            let cell = self.cell()?;
            match work(self, &cell) {
                Err(error) if error.kind() == ErrorKind::NoSuchStream && cell.heir().is_some() => {}
                done => return done,
            }
        }
    }

    /// Whether this is the queue of the group with this number: of the one waited in, not of one made since by its name.
    pub(super) fn is_in(&self, group: u32) -> bool {
        self.queue() == Some(group)
    }

    fn queue(&self) -> Queue {
        self.spot.as_ref().and_then(|(_, queue)| *queue)
    }

    /// Whether nobody is before.
    pub(super) fn is_turn(&self, inner: &Inner) -> bool {
        // Those who wait are served when a thread that is alone no longer is.
        self.core().is_alone() || inner.waiting.is_turn(self.queue(), self.ticket)
    }

    /// What those before want of what is pending.
    pub(super) fn wanted_before(&self, inner: &Inner) -> Vec<Again> {
        if self.core().is_alone() { Vec::new() } else { inner.waiting.wanted_before(self.queue(), self.ticket) }
    }

    /// Joins the queue, or keeps the place in it.
    fn join(&mut self, waker: &Waker) -> Joined {
        let core = self.core();
        let Some((cell, queue)) = &self.spot else {
            core.absent.wait(&self.stream.shared.name, &mut self.ticket, waker);
            // What came before this wakes nobody.
            let news = core.check_open().is_err() || self.stream.found().is_some();
            return if news { Joined::News } else { Joined::Waits(None) };
        };
        let mut inner = core.lock_whole(cell);
        if cell.is_gone() {
            return Joined::News;
        }
        let now_ms = core.clock.now_ms();
        // Of an empty stream nothing falls due.
        let group = queue.and_then(|group| inner.state.groups.get(&group)).filter(|_| inner.state.length > 0);
        let looks_ms = self.again.zip(group).and_then(|(again, group)| {
            let before = inner.waiting.wanted_before(*queue, self.ticket);
            again.looks_ms(group, &before, now_ms)
        });
        let looks_ms = looks_ms.map(|ms| ms.min(now_ms.saturating_add(NAP_MS_MAX)));
        let waiter = Waiter { waker: waker.clone(), again: self.again, looks_ms: looks_ms.unwrap_or(u64::MAX) };
        inner.waiting.wait(*queue, &mut self.ticket, waiter);
        // What came between the look and this wakes nobody.
        if inner.news != self.news || looks_ms.is_some_and(|ms| ms <= now_ms) {
            return Joined::News;
        }
        Joined::Waits(looks_ms)
    }

    fn leave(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let Some((cell, queue)) = &self.spot else {
            return self.core().absent.leave(self.stream.name(), ticket);
        };
        let mut inner = cell.lock();
        inner.news += 1;
        let group = queue.and_then(|group| inner.state.groups.get(&group));
        let released = group.is_some_and(|group| group.released().next().is_some());
        inner.waiting.leave(*queue, ticket, released);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Core {
    /// Calls `attempt` until it gives something, or the time is over. Between attempts the caller waits in all the places,
    /// and sleeps if there was no news in any since the attempt looked there.
    pub(super) fn wait_for<'a, T>(
        &self,
        block: Block,
        places: &mut [Place<'a>],
        mut attempt: impl FnMut(&mut [Place<'a>]) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let block = if self.is_alone() { Block::No } else { block };
        let deadline = match block {
            Block::For(timeout) => Some(self.clock.monotonic().saturating_add(timeout)),
            Block::No | Block::Forever => None,
        };
        Sleeper::with(|sleeper| {
            loop {
                if let Some(got) = attempt(places)? {
                    return Ok(Some(got));
                }
                if block == Block::No {
                    return Ok(None);
                }
                let left = deadline.map(|deadline| deadline.saturating_sub(self.clock.monotonic()));
                if left == Some(Duration::ZERO) {
                    return Ok(None);
                }
                if let Joined::Waits(looks_ms) = join(places, sleeper.waker()) {
                    let due = looks_ms.map(|ms| Duration::from_millis(ms.saturating_sub(self.clock.now_ms())));
                    let nap = [left, due].into_iter().flatten().min();
                    sleeper.sleep(nap.map(|left| self.clock.nap(left)));
                }
            }
        })
    }
}

/// Joins all the queues, whatever there is in one of them.
fn join(places: &mut [Place<'_>], waker: &Waker) -> Joined {
    let mut first = None;
    let mut news = false;
    for place in places {
        match place.join(waker) {
            Joined::News => news = true,
            Joined::Waits(looks_ms) => first = [first, looks_ms].into_iter().flatten().min(),
        }
    }
    if news { Joined::News } else { Joined::Waits(first) }
}
