//! One stream as its handles share it: its state behind a lock, and what of it may be seen.
//!
//! A cell is a stream under one of its names. Renamed, it is in another cell from then on, and this one is as if the stream
//! were deleted: so whoever found it by its name acts on nothing that no longer has that name.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use super::waiting::{Rows, Waiting};
use crate::id::Id;
use crate::journal::Lsn;
use crate::log::SegmentWriter;
use crate::log::header::Identity;
use crate::log::writer::Owner;
use crate::state::change::Front;
use crate::state::{Change, StreamState};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// One stream under one name, shared by its handles.
#[derive(Debug)]
pub(crate) struct StreamCell {
    pub(crate) number: u64,
    pub(crate) incarnation: u64,
    pub(crate) name: Arc<str>,
    stream: Arc<Locked>,
    /// The stream was deleted, or has another name. The truth under the stream's lock, and a hint outside.
    gone: AtomicBool,
    /// The stream that took this one's place in one stroke, if that is why it is gone: who waits here waits there.
    heir: OnceLock<Arc<StreamCell>>,
}

/// What all cells of one stream share.
#[derive(Debug)]
struct Locked {
    writer: Mutex<SegmentWriter>,
    inner: Mutex<Inner>,
}

/// A stream's state, and what of it may be seen.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) state: StreamState,
    /// The stream was deleted, under whatever name.
    pub(crate) deleted: bool,
    /// Entries before this ordinal may be seen.
    pub(crate) visible: u64,
    /// The last ID that may be seen.
    pub(crate) visible_last_id: Id,
    /// How many entries were ever added, or said to be, for whoever looks.
    pub(crate) visible_entries_added: u64,
    /// Where the stream begins for whoever looks: a trim is seen when the add that it belongs to is.
    pub(crate) visible_front: Front,
    /// Changes that wait for their level, in order.
    pub(super) unpublished: VecDeque<Unpublished>,
    /// What all others see, as long as a thread that is alone is changing the stream: it sees all of it itself.
    pub(super) hidden: Option<Box<Hidden>>,
    /// Whether the stream is in [`Core::unpublished`].
    pub(super) listed: bool,
    pub(crate) waiting: Waiting,
    /// Counts the events that may give a waiter something: who saw none since its last try can sleep.
    pub(crate) news: u64,
    /// What of the tail is counted in [`Core::tail_bytes`].
    pub(super) counted: usize,
}

/// What must be done with a record before others see what it added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Nothing more.
    Now,
    /// It is handed to the operating system.
    Written,
    Synced,
}

/// How far the journal is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reached {
    pub(super) written: Lsn,
    pub(super) synced: Lsn,
}

impl Reached {
    fn covers(self, next: &Unpublished) -> bool {
        match next.until {
            Until::Now => true,
            Until::Written => next.lsn <= self.written,
            Until::Synced => next.lsn <= self.synced,
        }
    }
}

#[derive(Debug)]
pub(super) struct Unpublished {
    pub(super) lsn: Lsn,
    pub(super) until: Until,
    /// Whether its record added to other streams too, and is to be seen in all of them at once.
    pub(super) undivided: bool,
    pub(super) seen: Seen,
}

/// What of a stream may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    visible: u64,
    last_id: Id,
    entries_added: u64,
    front: Front,
}

/// What others see of a stream that a thread which is alone is changing.
#[derive(Debug)]
pub(super) struct Hidden {
    seen: Seen,
    unpublished: VecDeque<Unpublished>,
    /// Whether something was published meanwhile.
    published: bool,
}

impl StreamCell {
    pub(crate) fn new(directory: Identity, state: StreamState) -> StreamCell {
        let owner =
            Owner { directory, stream: state.number, incarnation: state.incarnation, name: Arc::clone(&state.name) };
        StreamCell {
            number: state.number,
            incarnation: state.incarnation,
            name: Arc::clone(&state.name),
            gone: AtomicBool::new(false),
            heir: OnceLock::new(),
            stream: Arc::new(Locked {
                writer: Mutex::new(SegmentWriter::new(owner)),
                inner: Mutex::new(Inner {
                    visible: state.log.next_ordinal(),
                    visible_last_id: state.last_id,
                    visible_entries_added: state.entries_added,
                    visible_front: state.front,
                    state,
                    deleted: false,
                    unpublished: VecDeque::new(),
                    hidden: None,
                    listed: false,
                    waiting: Waiting::default(),
                    news: 0,
                    counted: 0,
                }),
            }),
        }
    }

    /// The same stream under another name.
    pub(super) fn under(&self, name: &Arc<str>) -> StreamCell {
        let (name, stream) = (Arc::clone(name), Arc::clone(&self.stream));
        let (number, incarnation, gone) = (self.number, self.incarnation, AtomicBool::new(false));
        StreamCell { number, incarnation, name, stream, gone, heir: OnceLock::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.stream.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock_writer(&self) -> MutexGuard<'_, SegmentWriter> {
        self.stream.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no stream is to be found here any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// The stream that took this one's place in one stroke, by the time that this is gone and nobody is alone.
    pub(super) fn heir(&self) -> Option<&Arc<StreamCell>> {
        self.heir.get()
    }

    /// Notes of which stream those who wait here wait from now on. Before this is gone, or before others may look.
    pub(super) fn set_heir(&self, heir: &Arc<StreamCell>) {
        drop(self.heir.set(Arc::clone(heir)));
    }

    /// Notes that this name is not the stream's any more; `_stream` is its lock.
    pub(super) fn set_gone(&self, _stream: &mut Inner) {
        self.gone.store(true, Ordering::Release);
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

    /// Whether a thread that is alone did something to the stream, still there, that others see only when it is published.
    pub(super) fn hides_news(&self) -> bool {
        let Some(hidden) = &self.hidden else { return false };
        !self.deleted && hidden.unpublished.back().map_or(hidden.seen, |noted| noted.seen) != self.newest()
    }

    /// Whether there is something that others may not see yet.
    pub(super) fn waits_to_be_seen(&self) -> bool {
        !self.hidden.as_ref().map_or(&self.unpublished, |hidden| &hidden.unpublished).is_empty()
    }

    /// Whether one of the changes that wait to be seen waits for a sync.
    pub(super) fn waits_for_sync(&self) -> bool {
        self.hidden
            .as_ref()
            .map_or(&self.unpublished, |hidden| &hidden.unpublished)
            .iter()
            .any(|next| next.until == Until::Synced)
    }

    /// Whether entries were added, the front moved, or the last ID was set, since this was last noted.
    pub(super) fn has_news(&self) -> bool {
        self.unpublished.back().map_or(self.seen(), |noted| noted.seen) != self.newest()
    }

    fn seen(&self) -> Seen {
        let (visible, last_id, front) = (self.visible, self.visible_last_id, self.visible_front);
        Seen { visible, last_id, entries_added: self.visible_entries_added, front }
    }

    /// What there will be to see once everything is published.
    pub(super) fn newest(&self) -> Seen {
        let state = &self.state;
        let (visible, last_id, front) = (state.log.next_ordinal(), state.last_id, state.front);
        Seen { visible, last_id, entries_added: state.entries_added, front }
    }

    fn show(&mut self, seen: Seen) {
        (self.visible, self.visible_last_id, self.visible_front) = (seen.visible, seen.last_id, seen.front);
        self.visible_entries_added = seen.entries_added;
    }

    /// Begins to keep from all others what a thread that is alone does; `false` if that has begun already.
    pub(super) fn hide(&mut self) -> bool {
        let begins = self.hidden.is_none();
        if begins {
            let unpublished = std::mem::take(&mut self.unpublished);
            self.hidden = Some(Box::new(Hidden { seen: self.seen(), unpublished, published: false }));
        }
        begins
    }

    /// Shows everything to the thread that is alone.
    pub(super) fn show_all(&mut self) {
        self.show(self.newest());
    }

    /// Ends what [`hide`](Inner::hide) began: what was done is to be published. Returns whom to wake.
    pub(super) fn uncover(&mut self) -> Vec<Waker> {
        let Some(hidden) = self.hidden.take() else { return Vec::new() };
        self.show(hidden.seen);
        self.unpublished = hidden.unpublished;
        if hidden.published { self.wake_for_new() } else { Vec::new() }
    }

    /// Lets everything be seen whose level is met, given what is done by now; returns whom to wake. What is undivided is left to
    /// those who publish the `whole` of it.
    pub(super) fn publish(&mut self, reached: Reached, whole: bool) -> Vec<Waker> {
        let unpublished = self.hidden.as_mut().map_or(&mut self.unpublished, |hidden| &mut hidden.unpublished);
        let may = |next: &Unpublished| reached.covers(next) && (whole || !next.undivided);
        let mut last = None;
        while unpublished.front().is_some_and(may) {
            last = unpublished.pop_front();
        }
        if let Some(hidden) = &mut self.hidden {
            // Others look when it is over, and they are woken then.
            if let Some(last) = last {
                (hidden.seen, hidden.published) = (last.seen, true);
            }
            return Vec::new();
        }
        let before = self.visible;
        if let Some(last) = last {
            self.show(last.seen);
        }
        self.shown(before)
    }

    /// Forgets what nobody sees any more, now that something else may be seen than before; returns whom to wake.
    pub(super) fn shown(&mut self, before: u64) -> Vec<Waker> {
        if self.visible_front.ordinal > self.state.log.first_ordinal() {
            self.state.forget_before(self.visible_front.ordinal);
        }
        if self.visible == before { Vec::new() } else { self.wake_for_new() }
    }

    /// Whom a change just made may give something to do.
    pub(super) fn wake_for(&mut self, change: &Change) -> Vec<Waker> {
        let (group, rows) = match *change {
            // Going back makes old entries new.
            Change::SetCursor { .. } => return self.wake_for_new(),
            Change::DestroyGroup { .. } => return self.wake_all(),
            Change::Release { group, .. } => (group, Rows::Released),
            Change::Deliver { group, consumer, now_ms, ref ids, .. } if !ids.is_empty() => {
                (group, Rows::Delivered { consumer, ms: now_ms })
            }
            Change::Assign { group, consumer, delivered_ms, .. } => {
                (group, Rows::Delivered { consumer, ms: delivered_ms })
            }
            Change::Redeliver { group, consumer, now_ms, .. } => (group, Rows::Delivered { consumer, ms: now_ms }),
            _ => return Vec::new(),
        };
        self.waiting.wake_for_rows(group, rows)
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
