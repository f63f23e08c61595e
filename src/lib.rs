//! draft

mod broker;
mod clock;
mod codec;
mod entry;
mod error;
mod id;
mod journal;
mod log;
mod options;
mod state;
#[cfg_attr(not(feature = "simulation"), allow(unreachable_pub, reason = "a simulation reaches the seam"))]
mod storage;
mod stream;
mod trim;
mod wait;

pub use broker::{Broker, Builder};
pub use clock::Clock;
#[cfg(feature = "simulation")]
pub use clock::ManualClock;
pub use entry::{DATA_FIELD, Entry, FieldSink, Fields, FieldsIter, IntoFields};
pub use error::{Error, ErrorKind, Place, Result};
pub use id::{Id, IdSpec};
pub use options::{Durability, NAME_BYTES_MAX, RECORD_BYTES_MAX};
#[cfg(feature = "simulation")]
pub use storage::{File, Lock, Storage, sim};
pub use stream::{
    AutoClaim, AutoClaimed, Batch, Claim, Consumer, ConsumerInfo, Fetch, Group, GroupInfo, History, Message, Messages,
    NewEntry, NewGroup, PendingEntry, PendingRange, PendingSummary, Range, Read, ReadNew, Scan, StartAt, Stream,
    StreamInfo,
};
pub use trim::{Retention, Trim};
