//! The words of the model test: what can be asked of a broker, and what it can answer. Redis's are those of
//! [`streamlog::command`]; here is what it has not.

use streamlog::command::{Command, Reply, XNack};
use streamlog::{ErrorKind, Id, IdSpec, StartAt, Trim};

/// Names and values, in order.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// One call, with all it is given.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Redis(Command),
    /// These as one (`MULTI`, `EXEC`).
    All(Vec<Command>),
    Own(Own),
}

/// What Redis has no words for.
#[derive(Debug, Clone)]
pub(crate) enum Own {
    /// The clock now shows this: it may have gone back.
    SetClock(u64),
    ApplyRetention,
    /// Until nothing is due any more.
    AddDue,
    Create(String),
    AddBatch {
        stream: String,
        entries: Vec<(IdSpec, Fields)>,
        trim: Option<Trim>,
    },
    SetRetention(String, Retention),
    Delay {
        stream: String,
        due_ms: u64,
        fields: Fields,
    },
    /// By the ID that scheduling it returned.
    Cancel(String, Id),
    /// Creates a group that there need not be.
    Ensure {
        names: [String; 2],
        start: StartAt,
    },
    Nack {
        nack: XNack,
        delay_ms: u64,
    },
    /// By the consumer's one handle, which is made when it first fetches.
    Fetch {
        names: [String; 3],
        count: usize,
        claim_idle_ms: Option<u64>,
    },
    /// A read of one stream, or a claim, by handles, which tell more than Redis does.
    ByHandle(Command),
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
    /// The reply, or the text of the error.
    Redis(Result<Reply, String>),
    All(Vec<Result<Reply, String>>),
    Error(ErrorKind),
    Done,
    Flag(bool),
    Count(u64),
    Ids(Vec<Id>),
    /// The ID on the schedule.
    Scheduled(Id),
    /// And where a scan is to go on.
    Messages(Delivered, Id),
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
