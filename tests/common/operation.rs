//! The words of the model test: what can be asked of a broker, and what it can answer.

use std::ops::Bound;

use streamlog::{ErrorKind, Id, IdSpec, References, Removal, StartAt};

/// Names and values, in order.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;
pub(crate) type Bounds = (Bound<Id>, Bound<Id>);

/// One call, with all it is given.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// The clock now shows this: it may have gone back.
    SetClock(u64),
    ApplyRetention,
    /// Until nothing is due any more.
    AddDue,
    On(String, OnStream),
    /// On the group of a stream.
    In([String; 2], InGroup),
    /// By the consumer of a group of a stream.
    By([String; 3], ByConsumer),
}

#[derive(Debug, Clone)]
pub(crate) enum OnStream {
    Create,
    DeleteStream,
    Add {
        id: IdSpec,
        fields: Fields,
        trim: Option<Trim>,
    },
    /// With an automatic ID, to a stream that must be there.
    AddOnce {
        producer: String,
        id: Option<String>,
        fields: Fields,
        trim: Option<Trim>,
    },
    AddBatch {
        entries: Vec<(IdSpec, Fields)>,
        trim: Option<Trim>,
    },
    /// Seconds and IDs.
    SetIdempotency(u32, u32),
    Delay {
        due_ms: u64,
        fields: Fields,
    },
    /// By the ID that scheduling it returned.
    Cancel(Id),
    Delete(Vec<Id>),
    Remove(Vec<Id>, References),
    Trim(Trim),
    SetRetention(Retention),
    /// To this name, and over what has it or not.
    Rename(String, bool),
    Copy(String, bool),
    SetLast {
        id: Id,
        entries_added: Option<u64>,
        max_deleted_id: Id,
    },
    Range {
        bounds: Bounds,
        backwards: bool,
        count: Option<usize>,
    },
    Read {
        after: StartAt,
        count: Option<usize>,
    },
}

#[derive(Debug, Clone)]
pub(crate) enum InGroup {
    Create { start: StartAt, entries_read: Option<u64> },
    Ensure { start: StartAt },
    Destroy,
    SetCursor(StartAt, Option<u64>),
    CreateConsumer(String),
    DeleteConsumer(String),
    Ack(Vec<Id>),
    AckAndDelete(Vec<Id>, References),
    Nack { ids: Vec<Id>, how: HowToNack },
    PendingRange { bounds: Bounds, idle_ms: u64, consumer: Option<String>, count: Option<usize> },
}

#[derive(Debug, Clone)]
pub(crate) enum ByConsumer {
    ReadNew {
        count: usize,
        no_ack: bool,
        claim_idle_ms: Option<u64>,
    },
    History {
        after: Id,
        count: Option<usize>,
    },
    /// By the consumer's one handle, which is made when it first fetches.
    Fetch {
        count: usize,
        claim_idle_ms: Option<u64>,
    },
    Claim {
        ids: Vec<Id>,
        min_idle_ms: u64,
        how: HowToClaim,
    },
    AutoClaim {
        min_idle_ms: u64,
        start: Id,
        count: usize,
        just_ids: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    Silent,
    Fail,
    Fatal,
}

#[derive(Debug, Clone)]
pub(crate) struct HowToNack {
    pub(crate) verdict: Verdict,
    pub(crate) deliveries: Option<u32>,
    pub(crate) delay_ms: u64,
    pub(crate) force: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct HowToClaim {
    pub(crate) force: bool,
    pub(crate) idle_ms: Option<u64>,
    pub(crate) at_ms: Option<u64>,
    pub(crate) deliveries: Option<u32>,
    pub(crate) last_id: Option<Id>,
    pub(crate) just_ids: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trim {
    pub(crate) limit: Limit,
    pub(crate) only_acknowledged: bool,
    pub(crate) references: References,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Limit {
    Len(u64),
    MinId(Id),
    AgeMs(u64),
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Retention {
    pub(crate) max_len: Option<u64>,
    pub(crate) max_age_ms: Option<u64>,
    pub(crate) acknowledged: bool,
    pub(crate) only_acknowledged: bool,
}

/// What a call returns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Done,
    Error(ErrorKind),
    Flag(bool),
    /// The ID on the schedule.
    Scheduled(Id),
    Count(u64),
    Ids(Vec<Id>),
    Removed(Vec<Removal>),
    Entries(Vec<(Id, Fields)>),
    Messages(Delivered),
    AutoClaimed(Delivered, Id),
    /// IDs, those that were deleted, where to go on.
    AutoClaimedIds(Vec<Id>, Vec<Id>, Id),
    /// ID, consumer, idle time in milliseconds, deliveries.
    Pending(Vec<(Id, String, u64, u32)>),
}

/// Deliveries, and idle time in milliseconds.
pub(crate) type Before = (u32, u64);

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Delivered {
    /// ID, deliveries, how it stood before, fields.
    pub(crate) messages: Vec<(Id, u32, Before, Fields)>,
    /// What was pending, and has no entry any more.
    pub(crate) deleted: Vec<Id>,
}
