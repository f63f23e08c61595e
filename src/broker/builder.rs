//! How a broker is opened with other options than the defaults.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Broker, open};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
#[cfg(any(test, feature = "simulation"))]
use crate::options::Sabotage;
use crate::options::{Durability, Options, RECORD_BYTES_MAX};
use crate::storage::{Disk, Memory, Storage};

/// A broker about to be opened: [`Broker::builder`].
///
/// ```
/// use std::time::Duration;
/// use streamlog::{Broker, Durability};
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("data");
/// let broker = Broker::builder()
///     .durability(Durability::Interval(Duration::from_millis(100)))
///     .segment_bytes(16 << 20)
///     .open(&path)?;
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is opened before `open` is called"]
pub struct Builder {
    options: Options,
    clock: Option<Arc<dyn Clock>>,
}

impl Builder {
    /// What a write survives before its call returns: adds, trims, deletes, streams, groups and settings.
    /// [`Durability::Always`] if not said.
    pub fn durability(mut self, durability: Durability) -> Builder {
        self.options.durability = durability;
        self
    }

    /// What an acknowledgement survives before its call returns; as [`durability`](Builder::durability) if not said.
    /// One that is lost to a power cut costs a redelivery.
    pub fn ack_durability(mut self, durability: Durability) -> Builder {
        self.options.ack_durability = Some(durability);
        self
    }

    /// Entries held in memory before they go to segments, in bytes, all streams together: 16 MiB if not said. Consumers
    /// that keep up within this never touch the disk.
    pub fn tail_bytes(mut self, bytes: usize) -> Builder {
        self.options.tail_bytes = bytes;
        self
    }

    /// The size at which a segment is closed, in bytes: 64 MiB if not said. Trimming frees the disk by whole segments.
    pub fn segment_bytes(mut self, bytes: u64) -> Builder {
        self.options.segment_bytes = bytes;
        self
    }

    /// The age at which a segment is closed: an hour if not said. Retention by age drops whole segments.
    pub fn segment_age(mut self, age: Duration) -> Builder {
        self.options.segment_age = age;
        self
    }

    /// The size of the journal's files, in bytes: 8 MiB if not said. They are preallocated, and kept for use again: as many as
    /// [`checkpoint_bytes`](Builder::checkpoint_bytes) fill and two more, and after a burst up to eight times as many, until a
    /// checkpoint that gives up fewer.
    pub fn journal_file_bytes(mut self, bytes: u64) -> Builder {
        self.options.journal_file_bytes = bytes;
        self
    }

    /// How much journal starts a checkpoint, in bytes: 32 MiB if not said. That is what opening reads after a crash.
    pub fn checkpoint_bytes(mut self, bytes: u64) -> Builder {
        self.options.checkpoint_bytes = bytes;
        self
    }

    /// How much journal makes writers wait for a checkpoint, in bytes: 1 GiB if not said.
    pub fn journal_bytes_max(mut self, bytes: u64) -> Builder {
        self.options.journal_bytes_max = bytes;
        self
    }

    /// The largest entry, in bytes of all its fields together: 16 MiB if not said.
    pub fn max_entry_bytes(mut self, bytes: usize) -> Builder {
        self.options.max_entry_bytes = bytes;
        self
    }

    /// The largest batch, in bytes: 64 MiB if not said.
    pub fn max_batch_bytes(mut self, bytes: usize) -> Builder {
        self.options.max_batch_bytes = bytes;
        self
    }

    /// Memory for readers that are behind, in bytes, all streams together: 4 MiB if not said.
    pub fn cache_bytes(mut self, bytes: usize) -> Builder {
        self.options.cache_bytes = bytes;
        self
    }

    /// How many segment files are kept open, all streams together: 128 if not said.
    pub fn open_files_max(mut self, files: usize) -> Builder {
        self.options.open_files_max = files;
        self
    }

    /// Opens the broker in a directory, or begins one in a directory that is new or empty.
    ///
    /// # Errors
    ///
    /// As [`Broker::open`]; [`InvalidArgument`](ErrorKind::InvalidArgument) if an option makes no sense.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Broker> {
        let path = path.as_ref();
        let disk = Disk::open(path).map_err(|error| Error::io(format_args!("opening {}", path.display()), error))?;
        self.open_storage(Arc::new(disk))
    }

    /// The same engine on memory: see [`Broker::in_memory`].
    ///
    /// # Errors
    ///
    /// As [`Broker::in_memory`]; [`InvalidArgument`](ErrorKind::InvalidArgument) if an option makes no sense.
    pub fn open_in_memory(self) -> Result<Broker> {
        self.open_storage(Arc::new(Memory::default()))
    }

    pub(super) fn open_storage(self, storage: Arc<dyn Storage>) -> Result<Broker> {
        self.check()?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let (core, lock) = open::open(storage, clock, self.options)?;
        Broker::start(core, lock)
    }

    fn check(&self) -> Result<()> {
        let Options { max_entry_bytes, max_batch_bytes, segment_bytes, journal_file_bytes, .. } = self.options;
        let too_large = [("max_entry_bytes", max_entry_bytes), ("max_batch_bytes", max_batch_bytes)];
        if let Some((name, value)) = too_large.into_iter().find(|&(_, value)| value > RECORD_BYTES_MAX || value == 0) {
            let text = format!("{name} is 1 to {RECORD_BYTES_MAX}, not {value}");
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let zero = [("segment_bytes", segment_bytes), ("journal_file_bytes", journal_file_bytes)];
        if let Some((name, _)) = zero.into_iter().find(|&(_, value)| value == 0) {
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{name} must not be 0")));
        }
        Ok(())
    }
}

/// For simulations.
#[cfg(any(test, feature = "simulation"))]
impl Builder {
    /// Takes the time from `clock`.
    pub fn clock(mut self, clock: impl Clock) -> Builder {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Whether threads do the background work; if not, its steps are to be called.
    pub fn background(mut self, threads: bool) -> Builder {
        self.options.background = threads;
        self
    }

    /// Breaks a rule, for tests that must notice.
    pub fn sabotage(mut self, rule: Option<Sabotage>) -> Builder {
        self.options.sabotage = rule;
        self
    }

    /// Opens what `storage` holds.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`].
    pub fn open_on(self, storage: Arc<dyn Storage>) -> Result<Broker> {
        self.open_storage(storage)
    }
}
