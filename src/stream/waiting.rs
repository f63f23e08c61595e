//! Who waits for a stream's next entries: a queue of tickets for each group, and everybody who reads without one.
//!
//! In a group it is first come, first served: new entries wake the first in the queue, and whoever took its share
//! wakes the next. Nobody takes entries past the queue. Waiters are told only that it is worth looking; what they get
//! they take under the stream's lock, so a wait given up loses nothing.

use std::collections::{BTreeMap, HashMap};
use std::task::Waker;

/// Which queue one waits in: a group's, or that of plain readers.
pub(crate) type Queue = Option<u32>;

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    next_ticket: u64,
    queues: HashMap<Queue, BTreeMap<u64, Waker>>,
}

impl Waiting {
    /// Whether it is the turn of the one with this ticket, or of one without: whether nobody is before.
    pub(crate) fn is_turn(&self, queue: Queue, ticket: Option<u64>) -> bool {
        let first = self.queues.get(&queue).and_then(|queue| queue.first_key_value()).map(|(&ticket, _)| ticket);
        queue.is_none() || first.is_none() || first == ticket
    }

    /// Joins the queue, or keeps the place in it; `waker` is what to wake.
    pub(crate) fn wait(&mut self, queue: Queue, ticket: &mut Option<u64>, waker: &Waker) {
        let ticket = *ticket.get_or_insert_with(|| {
            self.next_ticket += 1;
            self.next_ticket
        });
        self.queues.entry(queue).or_default().insert(ticket, waker.clone());
    }

    /// Leaves the queue, and wakes the next in it: there may be something left.
    pub(crate) fn leave(&mut self, queue: Queue, ticket: u64) {
        if let Some(waiting) = self.queues.get_mut(&queue) {
            waiting.remove(&ticket);
            match waiting.first_key_value() {
                Some((_, next)) if queue.is_some() => next.wake_by_ref(),
                Some(_) => {}
                None => drop(self.queues.remove(&queue)),
            }
        }
    }

    /// Whom new entries concern: every plain reader, and the first of each group.
    pub(crate) fn wake_for_new(&self) -> Vec<Waker> {
        let mut woken = Vec::new();
        for (queue, waiting) in &self.queues {
            let many = if queue.is_some() { 1 } else { waiting.len() };
            woken.extend(waiting.values().take(many).cloned());
        }
        woken
    }

    /// How many wait.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn len(&self) -> usize {
        self.queues.values().map(BTreeMap::len).sum()
    }

    /// Everybody.
    pub(crate) fn all(&self) -> Vec<Waker> {
        self.queues.values().flat_map(BTreeMap::values).cloned().collect()
    }
}
