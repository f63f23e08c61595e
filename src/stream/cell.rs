//! One stream as its handles share it: its state behind a lock, and what of it may be seen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use super::waiting::Waiting;
use crate::id::Id;
use crate::journal::Lsn;
use crate::log::SegmentWriter;
use crate::log::header::Identity;
use crate::log::writer::Owner;
use crate::state::StreamState;
use crate::state::change::Front;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// One stream, shared by its handles.
#[derive(Debug)]
pub(crate) struct StreamCell {
    pub(crate) number: u64,
    pub(crate) incarnation: u64,
    pub(crate) name: Arc<str>,
    pub(crate) writer: Mutex<SegmentWriter>,
    stream: Mutex<Inner>,
    /// The stream was deleted. A hint outside its lock; [`Inner::deleted`] is the truth.
    pub(super) deleted: AtomicBool,
}

/// A stream's state, and what of it may be seen.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) state: StreamState,
    pub(crate) deleted: bool,
    /// Entries before this ordinal may be seen.
    pub(crate) visible: u64,
    /// The last ID that may be seen.
    pub(crate) visible_last_id: Id,
    /// Where the stream begins for whoever looks: a trim is seen when the add that it belongs to is.
    pub(crate) visible_front: Front,
    /// Changes that wait for their level, in order.
    pub(super) unpublished: VecDeque<Unpublished>,
    /// Whether the stream is in [`Core::unpublished`].
    pub(super) listed: bool,
    pub(crate) waiting: Waiting,
    /// Counts the events that may give a waiter something: who saw none since its last try can sleep.
    pub(crate) news: u64,
    /// What of the tail is counted in [`Core::tail_bytes`].
    pub(super) counted: usize,
}

#[derive(Debug)]
pub(super) struct Unpublished {
    pub(super) lsn: Lsn,
    pub(super) synced: bool,
    pub(super) visible: u64,
    pub(super) last_id: Id,
    pub(super) front: Front,
}

impl StreamCell {
    pub(crate) fn new(directory: Identity, state: StreamState) -> StreamCell {
        let owner =
            Owner { directory, stream: state.number, incarnation: state.incarnation, name: state.name.to_string() };
        StreamCell {
            number: state.number,
            incarnation: state.incarnation,
            name: Arc::clone(&state.name),
            writer: Mutex::new(SegmentWriter::new(owner)),
            deleted: AtomicBool::new(false),
            stream: Mutex::new(Inner {
                visible: state.log.next_ordinal(),
                visible_last_id: state.last_id,
                visible_front: state.front,
                state,
                deleted: false,
                unpublished: VecDeque::new(),
                listed: false,
                waiting: Waiting::default(),
                news: 0,
                counted: 0,
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock_writer(&self) -> MutexGuard<'_, SegmentWriter> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }
}

impl Inner {
    /// How many entries were added that nobody may see yet.
    pub(crate) fn unseen(&self) -> u64 {
        self.state.log.next_ordinal() - self.visible
    }

    /// How many entries may be seen.
    pub(crate) fn visible_len(&self) -> u64 {
        if self.unpublished.is_empty() {
            return self.state.length;
        }
        let from = self.visible_front.ordinal;
        self.visible - from - self.state.tombstones.count(from, self.visible)
    }

    /// Whether entries were added, or the front moved, since this was last noted.
    pub(super) fn has_news(&self) -> bool {
        let noted = self.unpublished.back();
        let (next, front) = noted.map_or((self.visible, self.visible_front), |noted| (noted.visible, noted.front));
        next != self.state.log.next_ordinal() || front != self.state.front
    }

    /// Lets everything be seen whose level is met, given what is synced; returns whom to wake.
    pub(super) fn publish(&mut self, synced: Lsn) -> Vec<Waker> {
        let before = self.visible;
        while let Some(next) = self.unpublished.front().filter(|next| !next.synced || next.lsn <= synced) {
            (self.visible, self.visible_last_id, self.visible_front) = (next.visible, next.last_id, next.front);
            self.unpublished.pop_front();
        }
        if self.visible_front.ordinal > self.state.log.first_ordinal() {
            self.state.forget_before(self.visible_front.ordinal);
        }
        if self.visible == before { Vec::new() } else { self.wake_for_new() }
    }

    /// Notes that there may be something for those who wait; returns whom to wake.
    pub(crate) fn wake_for_new(&mut self) -> Vec<Waker> {
        self.news += 1;
        self.waiting.wake_for_new()
    }

    /// Notes that nobody can go on as before; returns whom to wake.
    pub(crate) fn wake_all(&mut self) -> Vec<Waker> {
        self.news += 1;
        self.waiting.all()
    }
}
