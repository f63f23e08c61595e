//! Redis Streams in your process, on your disk: streams, consumer groups, pending entries, claims and retention in a
//! directory, that outlive a restart, a `kill -9` and a power cut. No server to run.
//!
//! ```
//! use std::time::Duration;
//! use streamlog::Broker;
//!
//! fn main() -> streamlog::Result<()> {
//! #   let directory = tempfile::tempdir().unwrap();
//! #   std::env::set_current_dir(&directory).unwrap();
//!     let broker = Broker::open("./data")?; // a directory of its own, made if it is not there
//!     let orders = broker.stream("orders")?;
//!     let billing = orders.group("billing").from_start().ensure()?;
//!
//!     // A producer.
//!     orders.add([("sku", "A1"), ("qty", "2")])?; // on the disk when it returns
//!
//!     // A worker. What it was given and had not acknowledged before a crash, it is given again.
//!     let worker = billing.consumer("worker-1");
//!     let batch = worker.fetch().count(100).block(Duration::from_secs(1)).next()?;
//! #   assert_eq!(batch.len(), 1);
//!     for message in &batch {
//!         println!("{}: {} of {}", message.id(), message.text("qty")?, message.text("sku")?);
//!     }
//!     batch.ack_all()?; // one sync for all of them; `message.ack()` for one
//! #   assert_eq!(billing.pending()?.count, 0);
//!
//!     broker.close()
//! }
//! ```
//!
//! # Where to find what
//!
//! | To … | see | Redis |
//! |---|---|---|
//! | open a directory, set sizes and durability | [`Broker`], [`Builder`], [`Durability`] | |
//! | add entries | [`Stream::add`], [`Stream::add_batch`], [`Stream::entry`] | `XADD` |
//! | add an entry later | [`NewEntry::delay`], [`NewEntry::at`], [`Stream::delayed`], [`Stream::cancel_delayed`] | |
//! | read by ID, or wait for what comes | [`Stream::range`], [`Stream::read`]; of several streams [`Broker::read`] | `XRANGE`, `XREVRANGE`, `XREAD` |
//! | make, move and destroy groups | [`Stream::group`], [`Group`] | `XGROUP` |
//! | work through a stream | [`Consumer::fetch`]; the plain reads are [`Consumer::read_new`] and [`Consumer::history`]; of several streams [`Broker::read_group`] | `XREADGROUP` |
//! | add once, though a producer tries again | [`NewEntry::idempotent`], [`Stream::set_idempotency`] | `XADD … IDMP`, `XCFGSET` |
//! | acknowledge | [`Messages::ack_all`], [`Message::ack`], [`Group::ack`], [`Group::ack_and_delete`] | `XACK`, `XACKDEL` |
//! | give back, now or for later | [`Message::nack`], [`Message::nack_after`], [`Group::nack`] | `XNACK` |
//! | take over from the dead | [`Fetch::claim_idle`], [`ReadNew::claim_idle`], [`Consumer::auto_claim`], [`Consumer::claim`] | `XAUTOCLAIM`, `XCLAIM` |
//! | see what is stuck | [`Group::pending`], [`Group::pending_range`] | `XPENDING` |
//! | keep a stream small | [`Stream::set_retention`], [`Stream::trim`], [`Stream::delete`], [`Stream::remove`] | `XTRIM`, `XDEL`, `XDELEX` |
//! | know whether a directory is whole, and make the best of one that is not | [`check`], [`repair`] | |
//! | give a stream another name, or copy it | [`Stream::rename_to`], [`Stream::copy_to`] | `RENAME`, `RENAMENX`, `COPY` |
//! | set the last ID and counters | [`Stream::set_last_id`] | `XSETID` |
//! | look | [`Stream::info`], [`Stream::groups`], [`Group::consumers`] | `XINFO` |
//! | copy a directory that is in use | [`Broker::backup_to`] | `BGSAVE` |
//! | run a command of Redis, word by word | [`command`], [`Broker::execute`] | all of them |
//! | test without a disk | [`Broker::in_memory`] | |
//!
//! # Guarantees
//!
//! - **What returned stays**, as far as its [`Durability`] says: after `kill -9` at every level, after power loss under
//!   [`Durability::Always`], the default.
//! - **One prefix.** After a crash the whole directory, all streams and groups together, is what it was after some number
//!   of its changes, and nothing durable is missing from them. A batch is there whole or not at all.
//! - **At least once.** Every entry of a group is acknowledged, pending with somebody, or still to be delivered. A crash
//!   between work and acknowledgement means that it is delivered again. Deliveries wait for no sync, so a power cut may
//!   forget one.
//! - **IDs only grow**, whatever the clock does and whatever is deleted, unless somebody sets the last one back
//!   ([`Stream::set_last_id`]).
//! - **Bytes are right or an error**: what is damaged gives [`ErrorKind::Corrupt`] with its [`Place`]; only what follows
//!   the last synced record of a directory that was not closed may be taken for the torn end of a write.
//! - **A broker that failed to write stops writing**, until it is opened again: [`ErrorKind::WritesStopped`]. Where only room
//!   is missing, on the disk or for open files, it stops adding until there is some.
//!
//! The README has the tests behind these, the limits, and what is not there yet.
//!
//! # Futures
//!
//! With the feature `tokio` every call that waits for the disk or for entries has a namesake that ends in `_async`:
//! [`Stream::add_async`], [`Group::ack_async`], [`Fetch::next_async`], [`Broker::sync_async`], [`Broker::execute_async`] and more.
//!
//! - **They hold no thread.** A thousand adds wait for one sync, that a thread of the broker's makes; a thousand reads wait for
//!   entries, in the same queues as threads do, first come, first served.
//! - **Dropped, they lose nothing.** An add or an acknowledgement is made by the first poll, and dropped later it is made all the
//!   same: only nobody knows how durable it is. A read takes what it delivers in the poll that returns it; dropped before,
//!   the next in the queue gets it.
//! - **They are `Send`** and run on any executor, but for reads with a timeout, or that look for what falls due
//!   ([`Fetch::claim_idle`], entries given back for later): those need the timer of a tokio runtime.
//! - What does not wait is short, and done in the poll: a record handed to the operating system, a block read from a segment.
//!   Where writers are held back, since the disk is full or slower than they are, a poll waits as a thread would.
//!
//! # The map of the source
//!
//! Arrows point down and never back; each module's first lines say what it is, what it knows, and what it does not.
//!
//! ```text
//! id, name, entry, error, options, trim, idempotency, clock, codec, sync, wait     words that everyone shares
//!         ↓
//! storage      the seam under everything: disk, memory, and the simulated disk of the crash tests
//!         ↓
//! log          frames; segments, their index and readers. Knows nothing of streams or groups
//!         ↓
//! journal      records in, one sync for all who wait, where the log ends after a crash
//!         ↓
//! state        streams, groups, pending entries in memory; changes and the one `apply`; the tables in redb
//!         ↓
//! stream       the semantics: what `Stream`, `Group` and `Consumer` do; waiting
//!         ↓
//! broker       many streams in a directory: opening, checkpoints, background work, closing
//!         ↓
//! command      Redis's commands as values: read, written, run on the handles, refused in Redis's words
//!         ↓
//! upkeep       a directory that is not open: checking and repairing it
//!         ↓
//! bin/streamlog   the program, on the public interface alone
//! ```
//!
//! **One write path**: a call plans against the state in memory, appends one record of *outcomes* to the journal, and
//! applies it with the function that replay uses too; then it waits for the sync if its durability asks for that.
//! Segments and redb are filled from there behind its back, and are never ahead of the journal.

mod broker;
mod clock;
mod codec;
pub mod command;
mod entry;
mod error;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod fuzzing;
mod id;
mod idempotency;
mod journal;
mod log;
mod name;
mod options;
#[cfg(feature = "resp")]
pub mod resp;
mod state;
#[cfg_attr(not(feature = "simulation"), allow(unreachable_pub, reason = "a simulation reaches the seam"))]
mod storage;
mod stream;
mod sync;
mod trim;
mod upkeep;
mod wait;

pub use broker::{Backup, Broker, Builder};
pub use clock::Clock;
#[cfg(feature = "simulation")]
pub use clock::ManualClock;
pub use entry::{DATA_FIELD, Entry, FieldSink, Fields, FieldsIter, IntoFields};
pub use error::{Error, ErrorKind, Place, Result};
pub use id::{Id, IdSpec};
pub use idempotency::{Idempotency, Idempotent};
#[cfg(feature = "simulation")]
pub use options::Sabotage;
pub use options::{Durability, NAME_BYTES_MAX, RECORD_BYTES_MAX};
#[cfg(feature = "simulation")]
pub use storage::{File, Lock, Storage, sim};
pub use stream::{
    AutoClaim, AutoClaimed, AutoClaimedIds, Batch, Claim, Consumer, ConsumerInfo, Delayed, DelayedId, Fetch, Group,
    GroupInfo, GroupStart, History, Message, Messages, Nack, NewDelayed, NewEntry, NewGroup, PendingEntry,
    PendingRange, PendingSummary, ProducersInfo, Range, Read, ReadGroup, ReadNew, ReadStreams, Scan, SetLastId,
    StartAt, Stream, StreamInfo,
};
pub use trim::{References, Removal, Retention, Trim};
pub use upkeep::{
    Figures, Loss, Problem, Progress, Repair, Report, Warning, check, check_with, plan_repair, repair, repair_with,
};
#[cfg(feature = "simulation")]
pub use upkeep::{check_on, repair_on};
