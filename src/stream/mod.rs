//! Redis Streams, on one broker: the handles that users hold, and the semantics behind them.
//!
//! [`Stream`] adds, reads, trims and deletes; [`Group`] and [`Consumer`] deliver. Each method's rule is the Redis
//! command's that it names. Everything is planned under its stream's lock, or those of several in [`together`], and written on the
//! one path of [`core`].
//!
//! This layer does not know how a broker is opened or closed, nor what checkpoints do.

mod add;
pub(crate) mod adjustable;
mod again;
mod alone;
mod blocking;
mod bounds;
pub(crate) mod catalog;
pub(crate) mod cell;
mod claim;
pub(crate) mod collect;
pub(crate) mod consumer;
mod copy;
pub(crate) mod core;
mod delayed;
mod delete;
mod deliver;
mod due;
mod fetch;
#[cfg(feature = "tokio")]
mod futures;
mod group;
mod history;
mod info;
pub(crate) mod kept;
mod limits;
mod message;
mod nack;
pub(crate) mod owed;
mod pending;
mod publish;
mod range;
mod read;
mod read_group;
mod remember;
mod remove;
mod rename;
mod schedule;
mod set_last_id;
#[cfg(feature = "tokio")]
pub(crate) mod settle;
mod together;
mod trim;
pub(crate) mod waiting;
pub(crate) mod watch;
pub(crate) mod work;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

pub use self::add::{Batch, NewEntry};
use self::catalog::check_name;
use self::cell::StreamCell;
pub use self::claim::{AutoClaim, AutoClaimed, AutoClaimedIds, Claim};
pub use self::consumer::Consumer;
use self::core::Core;
pub use self::delayed::{Delayed, DelayedId, NewDelayed};
pub use self::fetch::Fetch;
pub use self::group::{Group, NewGroup, StartAt};
pub use self::history::History;
pub use self::info::{ConsumerInfo, GroupInfo, ProducersInfo, StreamInfo};
pub use self::message::{Message, Messages};
pub use self::nack::Nack;
pub use self::pending::{PendingEntry, PendingRange, PendingSummary};
pub use self::range::{Range, Scan};
pub use self::read::{Read, ReadStreams};
pub use self::read_group::{GroupStart, ReadGroup, ReadNew};
pub use self::set_last_id::SetLastId;
use crate::error::{Error, ErrorKind, Result};
use crate::idempotency::Idempotency;
use crate::log::Lookup;
use crate::log::stream_log::Blocks;
use crate::options::Durability;
use crate::state::change::{Bodies, Change};
use crate::stream::core::Plan;
use crate::trim::Retention;

/// No entries: what a change without any is committed with.
static NO_BODIES: Bodies = Bodies { bytes: Vec::new(), ends: Vec::new() };

/// A stream of a broker, by its name: an append-only log of entries. Cheap to clone, to be used by many threads.
///
/// The stream itself begins with its first entry, its first group or [`create`](Stream::create), and may be deleted and
/// begun again under the same handle.
#[derive(Clone)]
pub struct Stream {
    shared: Arc<Shared>,
}

struct Shared {
    core: Arc<Core>,
    name: Arc<str>,
    /// Keeps the broker open as long as there are handles.
    #[expect(dead_code, reason = "held, not used")]
    open: Arc<dyn Send + Sync>,
    /// The stream that had the name when it was first looked up.
    cell: OnceLock<Arc<StreamCell>>,
}

impl Stream {
    pub(crate) fn new(core: &Arc<Core>, open: Arc<dyn Send + Sync>, name: &str) -> Result<Stream> {
        check_name("stream", name)?;
        let shared = Shared { core: Arc::clone(core), name: name.into(), open, cell: OnceLock::new() };
        Ok(Stream { shared: Arc::new(shared) })
    }

    /// The stream's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    fn core(&self) -> &Core {
        &self.shared.core
    }

    /// The stream that has the name now.
    fn found(&self) -> Option<Cow<'_, Arc<StreamCell>>> {
        match self.shared.cell.get() {
            Some(cell) if !cell.is_gone() => Some(Cow::Borrowed(cell)),
            _ => {
                let found = self.core().find(self.name())?;
                drop(self.shared.cell.set(Arc::clone(&found)));
                Some(Cow::Owned(found))
            }
        }
    }

    fn cell(&self) -> Result<Cow<'_, Arc<StreamCell>>> {
        self.found().ok_or_else(|| match self.core().check_open() {
            Ok(()) => Error::no_such_stream(self.name()),
            Err(closed) => closed,
        })
    }

    fn cell_or_created(&self) -> Result<Cow<'_, Arc<StreamCell>>> {
        match self.found() {
            Some(cell) => Ok(cell),
            None => self.core().find_or_create(&self.shared.name).map(Cow::Owned),
        }
    }

    /// Whether there is such a stream (`EXISTS`). An empty one, trimmed or made for a group, is there.
    pub fn exists(&self) -> bool {
        self.found().is_some()
    }

    /// Creates the stream, empty, if there is none; returns whether there was none.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn create(&self) -> Result<bool> {
        let created = self.found().is_none();
        self.cell_or_created()?;
        self.wait_for_writes()?;
        Ok(created)
    }

    /// Deletes the stream with its entries and groups (`DEL`); returns whether there was one. Whoever waits for its
    /// entries in a group is told that it is gone; whoever does without a group waits on, for one of its name.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn delete_stream(&self) -> Result<bool> {
        self.core().delete_stream(self.name(), self.core().options.durability)
    }

    /// Sets what the stream keeps of itself, instead of what was set before; creates the stream if there is none.
    /// [`Retention::default`] keeps everything.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn set_retention(&self, retention: Retention) -> Result<()> {
        self.commit_created(self.core().options.durability, &NO_BODIES, |inner, _| {
            Ok(if inner.state.retention == retention {
                Plan::Nothing(())
            } else {
                Plan::change(Change::SetRetention(retention), ())
            })
        })?;
        self.core().work.want(work::Work::TRIM);
        Ok(())
    }

    /// What was set with [`set_retention`](Stream::set_retention).
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](crate::ErrorKind::NoSuchStream).
    pub fn retention(&self) -> Result<Retention> {
        self.view(|inner, _| Ok(Lookup::Found(inner.state.retention)))
    }

    /// Sets for how long, and how many of each producer, the IDs of [idempotent](NewEntry::idempotent) adds are remembered
    /// (`XCFGSET`). Other settings than before forget all that was remembered.
    ///
    /// ```
    /// use streamlog::Idempotency;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// orders.create()?;
    /// orders.set_idempotency(Idempotency::default().seconds(3600)?.ids(1000)?)?;
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](crate::ErrorKind::NoSuchStream); if it cannot be written.
    pub fn set_idempotency(&self, settings: Idempotency) -> Result<()> {
        self.change(self.core().options.durability, |inner, _| {
            let same = inner.state.producers.settings() == settings;
            Ok(if same { Plan::Nothing(()) } else { Plan::change(Change::SetIdempotency(settings), ()) })
        })
    }

    /// What was set with [`set_idempotency`](Stream::set_idempotency).
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](crate::ErrorKind::NoSuchStream).
    pub fn idempotency(&self) -> Result<Idempotency> {
        self.view(|inner, _| Ok(Lookup::Found(inner.state.producers.settings())))
    }

    /// Changes the stream, which must be there.
    fn change<T>(
        &self,
        level: Durability,
        mut plan: impl FnMut(&mut cell::Inner, Blocks<'_>) -> Result<Plan<T>>,
    ) -> Result<T> {
        self.with_cell(|cell| self.core().commit(cell, level, &NO_BODIES, &mut plan))
    }

    /// Reads the stream, which must be there: as it is under one lock, or if the name passes to another meanwhile, that one.
    fn view<T>(&self, mut read: impl FnMut(&mut cell::Inner, Blocks<'_>) -> Result<Lookup<T>>) -> Result<T> {
        self.with_cell(|cell| self.core().read(cell, &mut read))
    }

    /// Calls `work` with the stream that has the name, once more if that loses it meanwhile: another may have got it.
    fn with_cell<T>(&self, mut work: impl FnMut(&Arc<StreamCell>) -> Result<T>) -> Result<T> {
        loop {
            let cell = self.cell()?;
            match work(&cell) {
                Err(error) if error.kind() == ErrorKind::NoSuchStream && cell.is_gone() => {}
                done => return done,
            }
        }
    }

    /// Changes the stream, created if there is none.
    fn commit_created<T>(
        &self,
        level: Durability,
        bodies: &Bodies,
        mut plan: impl FnMut(&mut cell::Inner, Blocks<'_>) -> Result<Plan<T>>,
    ) -> Result<T> {
        loop {
            let Some(cell) = self.found() else {
                match self.core().commit_new(&self.shared.name, level, bodies, &mut plan)? {
                    Some(value) => return Ok(value),
                    None => continue,
                }
            };
            match self.core().commit(&cell, level, bodies, &mut plan) {
                // Gone between the look-up and the lock: the next round finds another, or creates one.
                Err(error) if error.kind() == ErrorKind::NoSuchStream => {}
                other => return other,
            }
        }
    }

    /// Waits as a write does, for everything recorded so far.
    fn wait_for_writes(&self) -> Result<()> {
        match self.core().options.durability {
            level @ Durability::Always => self.core().meet(self.core().journal.last_lsn(), level),
            Durability::Interval(_) | Durability::Os => Ok(()),
        }
    }
}

/// For tests.
#[cfg(any(test, feature = "simulation"))]
impl Stream {
    /// How many calls wait for this stream's entries, in groups and without, or for a stream of this name.
    pub fn waiting(&self) -> usize {
        self.found().map_or(0, |cell| cell.lock().waiting.len()) + self.core().absent.len(self.name())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("name", &self.name()).finish_non_exhaustive()
    }
}
