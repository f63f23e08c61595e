//! Waiting for something in several places at once: what every blocking read does, on a thread or as a future.
//!
//! Whoever waits stands in the queue of each of its streams, or waits for a name that no stream has, and tries all of them
//! each time it is woken. It knows no entries: what is taken, and from where, is the caller's to try.

use std::borrow::Cow;
#[cfg(feature = "tokio")]
use std::future::poll_fn;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use super::Stream;
use super::again::{Again, NAP_MS_MAX};
use super::cell::{Inner, StreamCell};
use super::core::Core;
use super::waiting::{Queue, Waiter};
use crate::error::{Error, ErrorKind, Result};
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

/// A place in a stream's queue, or among those who wait for its name; left when dropped.
pub(super) struct Place<'a> {
    stream: &'a Stream,
    /// The stream that has the name, and the queue; `None` if none had it.
    spot: Option<(Arc<StreamCell>, Queue)>,
    /// The group in whose queue it is.
    group: Option<&'a str>,
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
        let spot = stream.found().map(|cell| (cell.into_owned(), None));
        Place { stream, spot, group: None, ticket: None, news: 0, again: None }
    }

    /// In the queue of a group of this stream, by its number and its name.
    pub(super) fn in_group(stream: &'a Stream, cell: Arc<StreamCell>, group: u32, name: &'a str) -> Place<'a> {
        Place { stream, spot: Some((cell, Some(group))), group: Some(name), ticket: None, news: 0, again: None }
    }

    pub(super) fn core(&self) -> &'a Core {
        self.stream.core()
    }

    /// The stream that has the name now: one that is made after another was deleted takes its place.
    pub(super) fn find(&mut self) -> Option<Arc<StreamCell>> {
        let found = self.stream.found().map(Cow::into_owned);
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

    /// The stream waited in, if it still has the name; of one that another took the place of in one stroke, that other, and in it
    /// the group of the same name.
    fn cell(&mut self) -> Result<Arc<StreamCell>> {
        loop {
            if self.spot.as_ref().is_some_and(|(cell, _)| cell.is_gone()) {
                // It may be so in the middle of what is not done yet.
                drop(self.core().catalog());
            }
            let heir = match &self.spot {
                Some((cell, _)) if !cell.is_gone() => return Ok(Arc::clone(cell)),
                Some((cell, _)) => cell.heir().map(Arc::clone),
                None => None,
            };
            // There may be another stream with the name by now, in which nobody waits.
            let Some(heir) = heir else { return Err(Error::no_such_stream(self.stream.name())) };
            self.leave();
            let queue = match self.group {
                None => Ok(None),
                Some(name) => self.core().read(&heir, |inner, _| inner.group(name).map(Some).map(Lookup::Found)),
            };
            let queue = match queue {
                // It has an heir of its own, or there is nothing to wait in.
                Err(error) if error.kind() == ErrorKind::NoSuchStream => None,
                queue => queue?,
            };
            self.spot = Some((heir, queue));
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

/// What an attempt gives, if there is something.
pub(super) type Tried<T> = Result<Option<T>>;

/// A wait in several places: what a blocked thread and a future drive alike. It leaves them when dropped.
#[must_use = "nothing is looked for before it is driven"]
pub(super) struct Wait<'a, F> {
    block: Block,
    /// By the broker's clock; set by the first look.
    deadline: Option<Duration>,
    places: Vec<Place<'a>>,
    attempt: F,
}

/// Where a look leaves one who waits.
enum Look<T> {
    /// The time is over if there is nothing.
    Over(Option<T>),
    /// Until woken, or until so much real time has passed.
    Sleeps(Option<Duration>),
}

impl<'a, T, F: FnMut(&mut [Place<'a>]) -> Tried<T>> Wait<'a, F> {
    /// Calls `attempt` until it gives something, or the time is over. Between attempts the caller waits in all the places,
    /// and sleeps if there was no news in any since the attempt looked there.
    pub(super) fn new(block: Block, places: Vec<Place<'a>>, attempt: F) -> Wait<'a, F> {
        Wait { block, deadline: None, places, attempt }
    }

    /// Tries until there is nothing to be had; `waker` is then in all the places.
    fn look(&mut self, waker: &Waker) -> Result<Look<T>> {
        // Where nothing is looked for there is nothing to come.
        let Some(clock) = self.places.first().map(|place| &*place.core().clock) else { return Ok(Look::Over(None)) };
        if let Block::For(timeout) = self.block {
            self.deadline.get_or_insert_with(|| clock.monotonic().saturating_add(timeout));
        }
        loop {
            if let Some(got) = (self.attempt)(&mut self.places)? {
                return Ok(Look::Over(Some(got)));
            }
            // Whoever is alone would wait for itself.
            if self.block == Block::No || self.places.first().is_some_and(|place| place.core().is_alone()) {
                return Ok(Look::Over(None));
            }
            let left = self.deadline.map(|deadline| deadline.saturating_sub(clock.monotonic()));
            if left == Some(Duration::ZERO) {
                return Ok(Look::Over(None));
            }
            if let Joined::Waits(looks_ms) = join(&mut self.places, waker) {
                let due = looks_ms.map(|ms| Duration::from_millis(ms.saturating_sub(clock.now_ms())));
                let nap = [left, due].into_iter().flatten().min();
                return Ok(Look::Sleeps(nap.map(|left| clock.nap(left))));
            }
        }
    }

    /// Waits on the calling thread.
    pub(super) fn on_thread(mut self) -> Result<Option<T>> {
        Sleeper::with(|sleeper| {
            loop {
                match self.look(sleeper.waker())? {
                    Look::Over(got) => return Ok(got),
                    Look::Sleeps(nap) => sleeper.sleep(nap),
                }
            }
        })
    }

    /// Waits as a future. What is delivered is delivered by the poll that returns it: dropped before, it has taken nothing.
    #[cfg(feature = "tokio")]
    pub(super) async fn on_runtime(mut self) -> Result<Option<T>> {
        let mut timer = None;
        poll_fn(|cx| {
            loop {
                match self.look(cx.waker()) {
                    Ok(Look::Over(got)) => return Poll::Ready(Ok(got)),
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok(Look::Sleeps(None)) => return Poll::Pending,
                    Ok(Look::Sleeps(Some(nap))) => {
                        let timer = timer.insert(Box::pin(tokio::time::sleep(nap)));
                        if timer.as_mut().poll(cx).is_pending() {
                            return Poll::Pending;
                        }
                    }
                }
            }
        })
        .await
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
