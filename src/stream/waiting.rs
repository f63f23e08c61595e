//! Who waits for a stream's next entries: a queue of tickets for each group, and everybody who reads without one; and who
//! waits for a name that no stream has.
//!
//! In a group it is first come, first served: new entries wake the first in the queue, and whoever took its share
//! wakes the next. Nobody takes entries past the queue. What is to be delivered again is taken in the order of the queue too,
//! by those in it who want it. Waiters are told only that it is worth looking; what they get
//! they take under the stream's lock, so a wait given up loses nothing.
//!
//! Knows no clock and no entries: when what is pending falls due is worked out by whoever waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::Waker;

use super::again::Again;
use crate::state::Pending;
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// Which queue one waits in: a group's, or that of plain readers.
pub(crate) type Queue = Option<u32>;

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    next_ticket: u64,
    queues: HashMap<Queue, BTreeMap<u64, Waiter>>,
}

/// One who waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) waker: Waker,
    /// What it wants besides new entries.
    pub(crate) again: Option<Again>,
    /// When it looks again, if it is not woken before; in milliseconds since the Unix epoch.
    pub(crate) looks_ms: u64,
}

/// What of a group's pending entries is new to those who wait for such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// They are with nobody.
    Released,
    /// They were delivered to a consumer at this time.
    Delivered { consumer: u32, ms: u64 },
}

impl Waiting {
    fn before(&self, queue: Queue, ticket: Option<u64>) -> impl Iterator<Item = &Waiter> {
        let waiting = self.queues.get(&queue).into_iter().flatten();
        waiting.take_while(move |(other, _)| Some(**other) != ticket).map(|(_, waiter)| waiter)
    }

    /// Whether it is the turn of the one with this ticket, or of one without: whether nobody is before.
    pub(crate) fn is_turn(&self, queue: Queue, ticket: Option<u64>) -> bool {
        queue.is_none() || self.before(queue, ticket).next().is_none()
    }

    /// What those before the one with this ticket want of what is pending.
    pub(crate) fn wanted_before(&self, queue: Queue, ticket: Option<u64>) -> Vec<Again> {
        self.before(queue, ticket).filter_map(|waiter| waiter.again).collect()
    }

    /// Joins the queue, or keeps the place in it.
    pub(crate) fn wait(&mut self, queue: Queue, ticket: &mut Option<u64>, waiter: Waiter) {
        let ticket = *ticket.get_or_insert_with(|| {
            self.next_ticket += 1;
            self.next_ticket
        });
        self.queues.entry(queue).or_default().insert(ticket, waiter);
    }

    /// Leaves the queue, and wakes the next in it: there may be something left. Where something was `released`, that
    /// concerns the next who wants such.
    pub(crate) fn leave(&mut self, queue: Queue, ticket: u64, released: bool) {
        let Some(waiting) = self.queues.get_mut(&queue) else { return };
        waiting.remove(&ticket);
        let Some((_, first)) = waiting.first_key_value() else {
            self.queues.remove(&queue);
            return;
        };
        if queue.is_some() {
            first.waker.wake_by_ref();
            if released && first.again.is_none() {
                waiting.values().find(|waiter| waiter.again.is_some()).inspect(|waiter| waiter.waker.wake_by_ref());
            }
        }
    }

    /// Whom new entries concern: every plain reader, and the first of each group.
    pub(crate) fn wake_for_new(&self) -> Vec<Waker> {
        let mut woken = Vec::new();
        for (queue, waiting) in &self.queues {
            let many = if queue.is_some() { 1 } else { waiting.len() };
            woken.extend(waiting.values().take(many).map(|waiter| waiter.waker.clone()));
        }
        woken
    }

    /// Whom these rows of a group concern: the first who takes what is released; everybody for whom the others fall due
    /// before it looks again.
    pub(crate) fn wake_for_rows(&self, group: u32, rows: Rows) -> Vec<Waker> {
        let Some(waiting) = self.queues.get(&Some(group)) else { return Vec::new() };
        let concerned = waiting.values().filter(|waiter| match (waiter.again, rows) {
            (None, _) => false,
            (Some(_), Rows::Released) => true,
            (Some(again), Rows::Delivered { consumer, ms }) => {
                again.due_ms(&Pending::new(consumer, ms, 0)).is_some_and(|due_ms| due_ms < waiter.looks_ms)
            }
        });
        let many = if rows == Rows::Released { 1 } else { usize::MAX };
        concerned.take(many).map(|waiter| waiter.waker.clone()).collect()
    }

    /// How many wait.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn len(&self) -> usize {
        self.queues.values().map(BTreeMap::len).sum()
    }

    /// Everybody.
    pub(crate) fn all(&self) -> Vec<Waker> {
        self.queues.values().flat_map(BTreeMap::values).map(|waiter| waiter.waker.clone()).collect()
    }
}

/// Who waits for streams that are not there, by their names.
#[derive(Debug, Default)]
pub(crate) struct Absent {
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    next_ticket: u64,
    waiting: HashMap<Arc<str>, BTreeMap<u64, Waker>>,
}

impl Absent {
    fn lock(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the name, or goes on waiting. The caller looks for the stream after this: what appeared before wakes nobody.
    pub(crate) fn wait(&self, name: &Arc<str>, ticket: &mut Option<u64>, waker: &Waker) {
        let mut names = self.lock();
        let ticket = *ticket.get_or_insert_with(|| {
            names.next_ticket += 1;
            names.next_ticket
        });
        names.waiting.entry(Arc::clone(name)).or_default().insert(ticket, waker.clone());
    }

    pub(crate) fn leave(&self, name: &str, ticket: u64) {
        let mut names = self.lock();
        if let Some(waiting) = names.waiting.get_mut(name) {
            waiting.remove(&ticket);
            if waiting.is_empty() {
                names.waiting.remove(name);
            }
        }
    }

    /// Wakes all who wait for the name.
    pub(crate) fn wake(&self, name: &str) {
        let woken: Vec<_> = self.lock().waiting.get(name).into_iter().flat_map(BTreeMap::values).cloned().collect();
        woken.into_iter().for_each(Waker::wake);
    }

    /// Wakes everybody.
    pub(crate) fn wake_all(&self) {
        let woken: Vec<_> = self.lock().waiting.values().flat_map(BTreeMap::values).cloned().collect();
        woken.into_iter().for_each(Waker::wake);
    }

    /// How many wait for the name.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn len(&self, name: &str) -> usize {
        self.lock().waiting.get(name).map_or(0, BTreeMap::len)
    }
}
