//! What can be set: durability, sizes and limits. Every default is here, with its reason.

use std::time::Duration;

/// What a write that returned survives, besides the end of the process. A call that returned survives `kill -9` at
/// every level; each level recovers to one clean prefix of history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Power loss: synced to the disk before the call returns, one sync for all who wait.
    #[default]
    Always,
    /// Power loss, but for about the last interval: a background thread syncs as often as the shortest interval
    /// that was asked for, a millisecond at least.
    Interval(Duration),
    /// Power loss, as far as the operating system had written it out.
    Os,
}

/// Names of streams, groups and consumers are at most this many bytes: a name is kept in memory and in each segment's
/// header.
pub const NAME_BYTES_MAX: usize = 1024;

/// The largest value of [`Builder::max_entry_bytes`](crate::Builder::max_entry_bytes) and
/// [`Builder::max_batch_bytes`](crate::Builder::max_batch_bytes): lengths are 32 bits on disk, and a batch is one
/// frame that a reader takes into memory whole.
pub const RECORD_BYTES_MAX: usize = 512 << 20;

/// What a [`Builder`](crate::Builder) sets.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// For adds, trims, deletes, streams, groups and settings.
    pub durability: Durability,
    /// For acks; `None`: as `durability`.
    pub ack_durability: Option<Durability>,
    /// Entries held in memory before they go to segments, all streams together. A consumer that keeps up reads
    /// them from there.
    pub tail_bytes: usize,
    /// A segment is closed when it is this large: the unit in which trimming frees the disk.
    pub segment_bytes: u64,
    /// A segment is closed when its first entry is this old, so that retention by age can drop it.
    pub segment_age: Duration,
    /// The size journal files are preallocated with: an append cannot fail half-way for want of space.
    pub journal_file_bytes: u64,
    /// This much journal starts a checkpoint: what opening after a crash has to read.
    pub checkpoint_bytes: u64,
    /// This much journal makes writers wait for a checkpoint: the bound where the disk cannot keep up.
    pub journal_bytes_max: u64,
    pub max_entry_bytes: usize,
    pub max_batch_bytes: usize,
    /// Blocks of segments kept for readers that are behind, all streams together.
    pub cache_bytes: usize,
    /// Open segment files, all streams together.
    pub open_files_max: usize,
    /// How often retention is applied where no segment rolls.
    pub retention_interval: Duration,
    /// Whether threads do the background work; if not, somebody calls the steps.
    pub background: bool,
    /// A rule to be broken, for tests that must notice.
    pub sabotage: Option<Sabotage>,
}

/// A rule of the engine's own that a test can have broken: those that no disk can break by lying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(any(test, feature = "simulation")), allow(dead_code, unreachable_pub, reason = "nobody breaks it"))]
pub enum Sabotage {
    /// redb is committed before the journal is synced as far as it reaches.
    CheckpointBeforeJournal,
    /// What was replayed is published before a checkpoint has made it durable.
    PublishBeforeCheckpoint,
    /// Adds are published before they are synced.
    PublishBeforeSync,
    /// Replay does not ask what a stream's rows in redb have already.
    ReplayTwice,
    /// The next LSN follows the journal's end, though redb may know of more.
    NumberFromJournal,
    /// The journal's files past its end stay when a new one is begun.
    KeepBeyond,
    /// Calls that are to be one record are a record each.
    RecordEach,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            durability: Durability::Always,
            ack_durability: None,
            tail_bytes: 16 << 20,
            segment_bytes: 64 << 20,
            segment_age: Duration::from_secs(3600),
            journal_file_bytes: 8 << 20,
            checkpoint_bytes: 32 << 20,
            journal_bytes_max: 1 << 30,
            max_entry_bytes: 16 << 20,
            max_batch_bytes: 64 << 20,
            cache_bytes: 4 << 20,
            open_files_max: 128,
            retention_interval: Duration::from_secs(1),
            background: true,
            sabotage: None,
        }
    }
}

impl Options {
    /// Whether this rule is to be broken.
    pub(crate) fn breaks(&self, rule: Sabotage) -> bool {
        cfg!(any(test, feature = "simulation")) && self.sabotage == Some(rule)
    }

    pub(crate) fn ack_durability(&self) -> Durability {
        self.ack_durability.unwrap_or(self.durability)
    }
}
