//! The commands that have options, each as what it says. Words only: nothing here reads, writes or runs them.

use std::ops::Bound;
use std::time::Duration;

use super::text::Family;
use crate::error::{Error, ErrorKind};
use crate::id::{Id, IdSpec};
use crate::idempotency::Idempotent;
use crate::stream::{GroupStart, StartAt};
use crate::trim::Trim;

/// `XADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XAdd {
    /// The stream.
    pub key: String,
    /// Does not create the stream (`NOMKSTREAM`).
    pub no_make_stream: bool,
    /// Who adds, if two adds can be one (`IDMP`, `IDMPAUTO`).
    pub idempotent: Option<Idempotent>,
    /// What goes in the same stroke (`MAXLEN`, `MINID`).
    pub trim: Option<Trim>,
    /// The entry's ID.
    pub id: IdSpec,
    /// The entry's fields and their values.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// `SCAN`.
///
/// Who goes on with the cursor that each reply begins with, until that is 0, has met every name that was there all the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// 0 to begin, then what the last reply said.
    pub cursor: u64,
    /// Only names that this matches (`MATCH`).
    pub pattern: Option<Vec<u8>>,
    /// About how many names are looked at (`COUNT`); 10 if not said.
    pub count: Option<u64>,
    /// Only names of what is this (`TYPE`): there is nothing but `stream`.
    pub of_type: Option<Vec<u8>>,
}

/// How `FLUSHDB` and `FLUSHALL` are to delete: here it is all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// It is not said.
    Unsaid,
    /// `ASYNC`.
    Async,
    /// `SYNC`.
    Sync,
}

/// What a consumer says of an entry that it gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NackMode {
    /// As if it had not been delivered (`SILENT`).
    Silent,
    /// It was delivered and failed (`FAIL`).
    Fail,
    /// It is not to be tried again (`FATAL`).
    Fatal,
}

/// `XNACK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XNack {
    /// The stream.
    pub key: String,
    /// The group.
    pub group: String,
    /// What becomes of the count of deliveries.
    pub mode: NackMode,
    /// The entries.
    pub ids: Vec<Id>,
    /// The count of deliveries, whatever the mode says (`RETRYCOUNT`).
    pub retry_count: Option<u64>,
    /// Also entries that are pending with nobody (`FORCE`).
    pub force: bool,
}

/// `XRANGE` and `XREVRANGE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XRange {
    /// The stream.
    pub key: String,
    /// The smallest ID.
    pub first: Bound<Id>,
    /// The greatest ID.
    pub last: Bound<Id>,
    /// How many entries at most (`COUNT`); with 0 Redis answers null.
    pub count: Option<u64>,
}

/// How long a read waits for entries (`BLOCK`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wait {
    /// It does not.
    #[default]
    No,
    /// So long at most.
    AtMost(Duration),
    /// For ever (`BLOCK 0`).
    Forever,
}

/// How much [`XRead`] and [`XReadGroup`] read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadLimits {
    /// How many entries of each stream at most (`COUNT`); 0 for any number.
    pub count: Option<u64>,
    /// How many entries in all (`MAXCOUNT` of Redis 8.10, from its documentation).
    pub max_count: Option<u64>,
    /// How many bytes of entries in all (`MAXSIZE` of Redis 8.10, from its documentation); the first comes in any case.
    pub max_size: Option<u64>,
}

/// `XREAD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XRead {
    /// How much it reads.
    pub limits: ReadLimits,
    /// How long to wait if there are none (`BLOCK`).
    pub wait: Wait,
    /// The streams, and where to begin in each.
    pub streams: Vec<(String, StartAt)>,
}

/// `XREADGROUP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XReadGroup {
    /// The group.
    pub group: String,
    /// The consumer.
    pub consumer: String,
    /// How much it reads.
    pub limits: ReadLimits,
    /// How long to wait if there are none (`BLOCK`).
    pub wait: Wait,
    /// Also what has been pending for so long with anybody (`CLAIM`).
    pub claim: Option<Duration>,
    /// Nothing becomes pending (`NOACK`).
    pub no_ack: bool,
    /// The streams, and what to read of each.
    pub streams: Vec<(String, GroupStart)>,
}

/// `XPENDING` with a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XPendingRange {
    /// The stream.
    pub key: String,
    /// The group.
    pub group: String,
    /// Only what was last delivered so long ago (`IDLE`).
    pub idle: Duration,
    /// The smallest ID.
    pub first: Bound<Id>,
    /// The greatest ID.
    pub last: Bound<Id>,
    /// How many at most.
    pub count: u64,
    /// Only what is pending with this consumer.
    pub consumer: Option<String>,
}

/// When a claimed entry counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// So long ago (`IDLE`); longer than there is time is now.
    Ago(Duration),
    /// At this time, in milliseconds since the Unix epoch (`TIME`); a time to come is now.
    AtMs(u64),
}

/// `XCLAIM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XClaim {
    /// The stream.
    pub key: String,
    /// The group.
    pub group: String,
    /// Who takes over.
    pub consumer: String,
    /// Only what was last delivered so long ago.
    pub min_idle: Duration,
    /// The entries.
    pub ids: Vec<Id>,
    /// When they count as delivered; now if not said.
    pub delivered: Option<Delivered>,
    /// Their count of deliveries (`RETRYCOUNT`).
    pub retry_count: Option<u64>,
    /// Also entries that are pending with nobody (`FORCE`).
    pub force: bool,
    /// Answers IDs only, and does not count a delivery (`JUSTID`).
    pub just_ids: bool,
    /// Moves the group's cursor forward to this ID (`LASTID`).
    pub last_id: Option<Id>,
}

/// `XAUTOCLAIM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XAutoClaim {
    /// The stream.
    pub key: String,
    /// The group.
    pub group: String,
    /// Who takes over.
    pub consumer: String,
    /// Only what was last delivered so long ago.
    pub min_idle: Duration,
    /// The first pending ID to look at.
    pub start: Id,
    /// How many at most (`COUNT`); 100 if not said.
    pub count: u64,
    /// Answers IDs only, and does not count a delivery (`JUSTID`).
    pub just_ids: bool,
}

/// `XGROUP CREATE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XGroupCreate {
    /// The stream.
    pub key: String,
    /// The group.
    pub group: String,
    /// Where it begins.
    pub start: StartAt,
    /// Creates the stream if there is none (`MKSTREAM`).
    pub make_stream: bool,
    /// How many entries count as read (`ENTRIESREAD`).
    pub entries_read: Option<u64>,
}

/// `XGROUP SETID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XGroupSetId {
    /// The stream.
    pub key: String,
    /// The group.
    pub group: String,
    /// Where it is to go on.
    pub to: StartAt,
    /// How many entries count as read (`ENTRIESREAD`).
    pub entries_read: Option<u64>,
}

/// `XSETID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XSetId {
    /// The stream.
    pub key: String,
    /// The last ID.
    pub last_id: Id,
    /// How many entries were ever added (`ENTRIESADDED`).
    pub entries_added: Option<u64>,
    /// The greatest ID ever deleted (`MAXDELETEDID`).
    pub max_deleted_id: Option<Id>,
}

/// `XCFGSET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XCfgSet {
    /// The stream.
    pub key: String,
    /// For how many seconds an ID is remembered (`IDMP-DURATION`).
    pub seconds: Option<u32>,
    /// How many IDs of each producer are remembered (`IDMP-MAXSIZE`).
    pub ids: Option<u32>,
}

/// A command with a mistake that is told only if the streams and groups are there that Redis looks for first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistaken {
    pub(super) args: Vec<Vec<u8>>,
    pub(super) family: Family,
    /// The streams that must be there, with their groups where those must be, too.
    pub(super) looks: Vec<(String, Option<String>)>,
    pub(super) kind: ErrorKind,
    pub(super) message: String,
}

impl Mistaken {
    /// The mistake, if everything that Redis looks for first is there.
    pub fn error(&self) -> Error {
        Error::new(self.kind, self.message.clone())
    }
}
