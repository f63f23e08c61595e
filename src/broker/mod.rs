//! The broker: many streams in one directory, opened and closed.

pub(crate) mod alone;
mod background;
mod backup;
mod builder;
mod checkpoint;
pub(crate) mod format;
mod open;
#[cfg(any(test, feature = "tokio"))]
mod owing;
pub(crate) mod rebuild;
pub(crate) mod replay;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use self::backup::Backup;
pub use self::builder::Builder;
use crate::clock::SystemClock;
use crate::error::{Error, Result};
use crate::journal::Lsn;
use crate::log::header::Identity;
use crate::name;
use crate::options::Options;
use crate::storage::{Lock, Memory, Storage};
use crate::stream::consumer::Member;
use crate::stream::core::Core;
#[cfg(feature = "tokio")]
use crate::stream::settle::Syncs;
use crate::stream::{GroupStart, ReadGroup, ReadStreams, StartAt, Stream};
#[cfg(feature = "resp")]
use crate::sync::atomic::Ordering;
use crate::sync::thread::JoinHandle;
use crate::sync::{Mutex, PoisonError};

/// A directory of streams, open. Cheap to clone, to be used by many threads; one process at a time.
///
/// It stays open as long as there is a handle to it or to one of its streams, or until [`close`](Broker::close).
#[derive(Clone)]
pub struct Broker {
    open: Arc<Open>,
}

/// How a broker stands.
#[cfg(feature = "resp")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vitals {
    /// Whether it has not stopped writing.
    pub(crate) writes: bool,
    /// The last record, and the last that is durable.
    pub(crate) last_lsn: Lsn,
    pub(crate) synced_lsn: Lsn,
    /// The journal since the last checkpoint.
    pub(crate) journal_bytes: u64,
    /// Entries that are in no segment yet.
    pub(crate) tail_bytes: usize,
}

/// What ends with the last handle.
struct Open {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<Box<dyn Lock>>>,
}

impl Broker {
    /// Opens the broker in a directory, or begins one in a directory that is new or empty.
    ///
    /// ```
    /// use streamlog::Broker;
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("data");
    /// let broker = Broker::open(&path)?;
    /// broker.stream("orders")?.add([("sku", "A1")])?;
    /// broker.close()?;
    ///
    /// let again = Broker::open(&path)?;
    /// assert_eq!(again.stream("orders")?.len()?, 1);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Locked`](crate::ErrorKind::Locked), [`ForeignDirectory`](crate::ErrorKind::ForeignDirectory),
    /// [`NewerFormat`](crate::ErrorKind::NewerFormat), [`Corrupt`](crate::ErrorKind::Corrupt); what the system says.
    pub fn open(path: impl AsRef<Path>) -> Result<Broker> {
        Broker::builder().open(path)
    }

    /// What [`open`](Broker::open) does, with other options.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The same engine on memory, for tests: gone with the last handle.
    ///
    /// # Errors
    ///
    /// If its thread cannot be started.
    pub fn in_memory() -> Result<Broker> {
        Broker::builder().open_storage(Arc::new(Memory::default()))
    }

    /// Opens what a repair made: [`open::mended`].
    pub(crate) fn open_mended(
        storage: Arc<dyn Storage>,
        lock: Box<dyn Lock>,
        directory: Identity,
        replay: replay::Replay,
        last_lsn: Lsn,
        journal: Vec<String>,
    ) -> Result<Broker> {
        let options = Options { background: false, ..Options::default() };
        let clock = Arc::new(SystemClock::new());
        Broker::start(open::mended(storage, clock, options, directory, replay, last_lsn, journal)?, lock)
    }

    fn start(core: Core, lock: Box<dyn Lock>) -> Result<Broker> {
        core.restore_schedule()?;
        let core = Arc::new(core);
        let threads = if core.options.background { background::start(&core)? } else { Vec::new() };
        let open = Open { core, threads: Mutex::new(threads), lock: Mutex::new(Some(lock)) };
        Ok(Broker { open: Arc::new(open) })
    }

    /// The stream with this name, whether or not there is one yet.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName).
    pub fn stream(&self, name: &str) -> Result<Stream> {
        let open: Arc<dyn Send + Sync> = Arc::clone(&self.open) as _;
        Stream::new(&self.open.core, open, name)
    }

    /// Reads on after IDs, of several streams at once, waiting for entries of any of them if asked to (`XREAD`).
    /// [`StartAt::End`] is resolved now: the entries added from this call on.
    ///
    /// ```
    /// use streamlog::StartAt;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let (orders, refunds) = (broker.stream("orders")?, broker.stream("refunds")?);
    /// orders.add_batch([[("sku", "A1")], [("sku", "B7")]])?;
    /// refunds.add([("sku", "C3")])?;
    /// let found = broker.read([("orders", StartAt::Start), ("refunds", StartAt::Start)])?.count(1).next()?;
    /// let found: Vec<_> = found.iter().map(|(name, entries)| (name.as_str(), entries.len())).collect();
    /// assert_eq!(found, [("orders", 1), ("refunds", 1)]);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName).
    pub fn read<N: AsRef<str>, S: Into<StartAt>>(
        &self,
        streams: impl IntoIterator<Item = (N, S)>,
    ) -> Result<ReadStreams> {
        let streams = streams.into_iter().map(|(name, start)| Ok(self.stream(name.as_ref())?.read_from(start.into())));
        Ok(ReadStreams::new(streams.collect::<Result<_>>()?))
    }

    /// Reads as a consumer of a group of this name that each of several streams has, waiting for entries of any of them if
    /// asked to (`XREADGROUP`): [new ones](GroupStart::New), or what is [pending](GroupStart::PendingAfter).
    ///
    /// ```
    /// use std::time::Duration;
    /// use streamlog::GroupStart;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// for name in ["orders", "refunds"] {
    ///     broker.stream(name)?.group("billing").ensure()?;
    /// }
    /// broker.stream("refunds")?.add([("sku", "C3")])?;
    /// let streams = [("orders", GroupStart::New), ("refunds", GroupStart::New)];
    /// let found = broker.read_group("billing", "worker-1", streams)?.block(Duration::from_secs(1)).next()?;
    /// for (name, messages) in &found {
    ///     println!("{} of {name}", messages.len());
    ///     messages.ack_all()?;
    /// }
    /// # assert_eq!(found[0].0, "refunds");
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName).
    pub fn read_group<N: AsRef<str>, S: Into<GroupStart>>(
        &self,
        group: &str,
        consumer: &str,
        streams: impl IntoIterator<Item = (N, S)>,
    ) -> Result<ReadGroup> {
        let streams = streams.into_iter().map(|(name, start)| {
            let group = self.stream(name.as_ref())?.named_group(group);
            Ok((Member::new(group, consumer), start.into()))
        });
        Ok(ReadGroup::new(streams.collect::<Result<_>>()?))
    }

    /// The names of all streams, sorted.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed).
    pub fn streams(&self) -> Result<Vec<String>> {
        self.open.core.check_open()?;
        let catalog = self.open.core.catalog();
        Ok(catalog.streams.keys().filter(|name| !name::is_reserved(name)).map(ToString::to_string).collect())
    }

    /// How many streams there are.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed).
    pub(crate) fn stream_count(&self) -> Result<usize> {
        self.open.core.check_open()?;
        Ok(self.open.core.catalog().len())
    }

    /// The names of about so many streams from a [place](name::place) on, and the place to go on from, if there are more: who goes
    /// on until there are none has met every stream that had its name all the time.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed).
    pub(crate) fn scan_streams(&self, from: u64, count: usize) -> Result<(Vec<Arc<str>>, Option<u64>)> {
        self.open.core.check_open()?;
        Ok(self.open.core.catalog().scan(from, count))
    }

    /// Milliseconds since the Unix epoch, by the clock of the broker.
    pub(crate) fn now_ms(&self) -> u64 {
        self.open.core.clock.now_ms()
    }

    /// How many files of segments it keeps open.
    #[cfg(feature = "resp")]
    pub(crate) fn open_files_max(&self) -> usize {
        self.open.core.options.open_files_max
    }

    /// How it was opened to write.
    #[cfg(feature = "resp")]
    pub(crate) fn durability(&self) -> crate::options::Durability {
        self.open.core.options.durability
    }

    /// How it stands.
    #[cfg(feature = "resp")]
    pub(crate) fn vitals(&self) -> Vitals {
        let core = &self.open.core;
        Vitals {
            writes: core.journal.check().is_ok(),
            last_lsn: core.journal.last_lsn(),
            synced_lsn: core.journal.synced_lsn(),
            journal_bytes: core.journal.appended_bytes().saturating_sub(core.checkpoint_done.load(Ordering::Acquire)),
            tail_bytes: core.tail_bytes(),
        }
    }

    /// What can be set while it is open.
    pub(crate) fn adjustable(&self) -> &crate::stream::adjustable::Adjustable {
        &self.open.core.adjustable
    }

    /// Makes everything that has returned so far survive power loss, whatever its durability.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed), [`WritesStopped`](crate::ErrorKind::WritesStopped); what the system says.
    pub fn sync(&self) -> Result<()> {
        self.open.core.check_open()?;
        self.open.core.sync()
    }

    /// [`sync`](Broker::sync) as a [future](crate#futures).
    ///
    /// ```
    /// use streamlog::Durability;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> streamlog::Result<()> {
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// for qty in 1..=1000 {
    ///     orders.entry([("qty", qty.to_string())]).durability(Durability::Os).add()?;
    /// }
    /// broker.sync_async().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`sync`](Broker::sync).
    #[cfg(feature = "tokio")]
    pub async fn sync_async(&self) -> Result<()> {
        let core = &self.open.core;
        core.check_open()?;
        core.settle(core.journal.last_lsn(), Syncs::Background).await
    }

    /// Copies the directory, while it is in use, to `path`, which must not exist or be empty; missing parents are made.
    ///
    /// The copy is a directory that [`open`](Broker::open) takes: the broker as it was at one moment of the call, so with
    /// everything that had returned before, whatever its durability. It is durable when this returns. Until it is whole
    /// it has the target's name with `.partial` behind it; one that fails is removed, one that a crash cut short stays
    /// under that name.
    ///
    /// Segments that are sealed are not copied but shared by hard links, if the file system has them and is the same:
    /// quick, and no protection against what happens to that disk. A directory that was opened from a backup never
    /// changes the one it was made from, nor the other way round. A backup has the UUID of the original, for it is the
    /// same directory at an earlier time.
    ///
    /// Everything goes on meanwhile, but for checkpoints: what is trimmed gives its space back later, and writers wait
    /// once the journal has grown by [`journal_bytes_max`](Builder::journal_bytes_max).
    ///
    /// ```
    /// use streamlog::Broker;
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let (path, target) = (directory.path().join("data"), directory.path().join("backups/monday"));
    /// let broker = Broker::open(&path)?;
    /// broker.stream("orders")?.add([("sku", "A1")])?;
    /// broker.backup_to(&target)?;
    /// broker.stream("orders")?.add([("sku", "B2")])?;
    ///
    /// let monday = Broker::open(&target)?;
    /// assert_eq!(monday.stream("orders")?.len()?, 1);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if something is at `path` already, or at its `.partial`;
    /// [`Closed`](crate::ErrorKind::Closed), [`WritesStopped`](crate::ErrorKind::WritesStopped),
    /// [`Corrupt`](crate::ErrorKind::Corrupt); what the system says. There is then nothing at `path`, unless only the
    /// last step failed, which makes its name durable.
    pub fn backup_to(&self, path: impl AsRef<Path>) -> Result<Backup> {
        self.open.core.check_open()?;
        self.open.core.backup(path.as_ref())
    }

    /// Closes the broker for all its handles: everything is made durable, waiting readers are woken with
    /// [`Closed`](crate::ErrorKind::Closed), and every later call gets that error. Returns what dropping the last handle
    /// could not say.
    ///
    /// # Errors
    ///
    /// What the system says. All that had returned is as durable as it was before; opening recovers it.
    pub fn close(self) -> Result<()> {
        self.open.close()
    }
}

impl Open {
    fn close(&self) -> Result<()> {
        // Whoever else closes meanwhile waits here, and finds it done.
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        if !self.core.set_closed() {
            return Ok(());
        }
        self.core.stop_background();
        for thread in threads {
            thread.join().map_err(|_| Error::new(crate::ErrorKind::Io, "a background thread panicked"))?;
        }
        let closed = self.core.checkpoint().and_then(|()| self.core.close_tables());
        // The last mark says that redb can be opened in place.
        let closed = closed.and_then(|()| self.core.journal.close());
        self.core.stop_writing();
        lock.take();
        closed
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "closing failed: what had returned is as durable as it was");
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("storage", &self.open.core.storage).finish_non_exhaustive()
    }
}

/// Background work, step by step, for a broker built without threads.
#[cfg(any(test, feature = "simulation"))]
impl Broker {
    /// Writes tails to segments, if they hold much.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn flush_step(&self) -> Result<()> {
        self.open.core.flush_step()
    }

    /// Writes a stream's tail to its segments, however little it holds.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn flush_all(&self) -> Result<()> {
        self.open.core.cells().iter().try_for_each(|cell| self.open.core.flush(cell))
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn checkpoint(&self) -> Result<()> {
        self.open.core.checkpoint()
    }

    /// Applies retention.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn trim_step(&self) -> Result<()> {
        self.open.core.apply_retention()
    }

    /// Adds delayed entries that are due, up to a bound; returns how many it is done with.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn due_step(&self) -> Result<usize> {
        self.open.core.due_step()
    }

    /// How many delayed entries there are of all streams, those of deleted ones included, and in how many segments; `None` if
    /// there never were any.
    pub fn schedule_size(&self) -> Option<(u64, usize)> {
        let schedule = self.open.core.find(name::SCHEDULE)?;
        let state = &schedule.lock().state;
        Some((state.length, state.log.segments().count()))
    }

    /// Calls `work`, whose calls on this broker's handles are one, as commands are for
    /// [`execute_all`](Broker::execute_all).
    ///
    /// # Errors
    ///
    /// As [`execute_all`](Broker::execute_all).
    pub fn together<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        Ok(self.alone(&[], work)?.expect("nothing is watched"))
    }

    /// Makes a journal file ready.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn spare_step(&self) -> Result<bool> {
        self.open.core.journal.prepare_spare()
    }

    /// The bytes of all entries in memory that are in no segment yet, those that are being written not counted.
    pub fn tail_bytes(&self) -> usize {
        self.open.core.tail_bytes()
    }

    /// How many wait for a sync.
    pub fn waiting_for_sync(&self) -> usize {
        self.open.core.journal.waiting()
    }

    /// Drops the broker as a crash would: nothing is written any more, and the lock is let go.
    pub fn crash(self) {
        self.open.core.set_closed();
        self.open.core.stop_background();
        let threads = std::mem::take(&mut *self.open.threads.lock().unwrap_or_else(PoisonError::into_inner));
        threads.into_iter().for_each(|thread| drop(thread.join()));
        self.open.core.stop_writing();
        self.open.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
