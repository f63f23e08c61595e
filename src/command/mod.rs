//! Redis's stream commands as values: one [`Command`] for what is asked, one [`Reply`] for what is answered, and the texts of
//! what is refused.
//!
//! ```
//! use streamlog::Broker;
//! use streamlog::command::{Command, Reply};
//!
//! let broker = Broker::in_memory()?;
//! let add = Command::parse(&["XADD", "orders", "5-1", "sku", "A1"])?;
//! assert_eq!(broker.execute(&add)?, Reply::bulk("5-1"));
//!
//! let again = broker.execute(&add).unwrap_err();
//! let text = "ERR The ID specified in XADD is equal or smaller than the target stream top item";
//! assert_eq!(add.error_text(&again), text);
//! # Ok::<(), streamlog::Error>(())
//! ```
//!
//! It knows the words and the order of Redis 8.6.3's commands, and sits above the broker, whose handles do the work. It does
//! **not** know how words travel: no sockets, no protocol, no connection. `parse` reads arguments, `arguments` writes them,
//! `execute` calls the handles, `text` says what is wrong, `help` holds two pages.

mod arguments;
mod execute;
pub(crate) mod glob;
mod help;
mod parse;
mod reply;
mod text;
mod words;

pub use self::reply::Reply;
pub use self::text::parse_error_text;
pub use self::words::{
    Delivered, Flush, Mistaken, NackMode, ReadLimits, Scan, Wait, XAdd, XAutoClaim, XCfgSet, XClaim, XGroupCreate,
    XGroupSetId, XNack, XPendingRange, XRange, XRead, XReadGroup, XSetId,
};
use crate::error::Result;
use crate::id::Id;
use crate::trim::{References, Trim};

/// One command: what was asked, with every argument understood.
///
/// Names of streams, groups and consumers are texts here, where Redis takes any bytes.
///
/// ```
/// use streamlog::command::Command;
///
/// let command = Command::parse(&["xlen", "orders"])?;
/// assert_eq!(command, Command::XLen { key: "orders".to_owned() });
/// assert_eq!(command.to_args(), [b"XLEN".to_vec(), b"orders".to_vec()]);
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are the arguments of the command that each variant names")]
pub enum Command {
    /// `XADD`: adds an entry.
    XAdd(XAdd),
    /// `XTRIM`: removes entries from the beginning.
    XTrim { key: String, trim: Trim },
    /// `XDEL`: deletes entries.
    XDel { key: String, ids: Vec<Id> },
    /// `XDELEX`: deletes entries and says what became of each.
    XDelEx { key: String, references: References, ids: Vec<Id> },
    /// `XACK`: acknowledges entries.
    XAck { key: String, group: String, ids: Vec<Id> },
    /// `XACKDEL`: acknowledges entries, deletes them, and says what became of each.
    XAckDel { key: String, group: String, references: References, ids: Vec<Id> },
    /// `XNACK`: gives pending entries back, for whoever claims them.
    XNack(XNack),
    /// `XLEN`: how many entries there are.
    XLen { key: String },
    /// `XRANGE`: entries by ID.
    XRange(XRange),
    /// `XREVRANGE`: the same, from the last to the first.
    XRevRange(XRange),
    /// `XREAD`: entries after an ID, of several streams.
    XRead(XRead),
    /// `XREADGROUP`: entries for a consumer, of several streams.
    XReadGroup(XReadGroup),
    /// `XPENDING` in short.
    XPending { key: String, group: String },
    /// `XPENDING` one by one.
    XPendingRange(XPendingRange),
    /// `XCLAIM`: takes entries over.
    XClaim(XClaim),
    /// `XAUTOCLAIM`: takes over what is idle.
    XAutoClaim(XAutoClaim),
    /// `XGROUP CREATE`.
    XGroupCreate(XGroupCreate),
    /// `XGROUP SETID`.
    XGroupSetId(XGroupSetId),
    /// `XGROUP DESTROY`.
    XGroupDestroy { key: String, group: String },
    /// `XGROUP CREATECONSUMER`.
    XGroupCreateConsumer { key: String, group: String, consumer: String },
    /// `XGROUP DELCONSUMER`.
    XGroupDelConsumer { key: String, group: String, consumer: String },
    /// `XGROUP HELP`.
    XGroupHelp,
    /// `XINFO STREAM`.
    XInfoStream { key: String },
    /// `XINFO STREAM … FULL`: with the first `count` entries and pending entries; 0 for all.
    XInfoStreamFull { key: String, count: u64 },
    /// `XINFO GROUPS`.
    XInfoGroups { key: String },
    /// `XINFO CONSUMERS`.
    XInfoConsumers { key: String, group: String },
    /// `XINFO HELP`.
    XInfoHelp,
    /// `XSETID`: sets the last ID and the counters.
    XSetId(XSetId),
    /// `XCFGSET`: sets what is remembered of idempotent producers.
    XCfgSet(XCfgSet),
    /// `XIDMPRECORD`: remembers an entry as what an idempotent add became.
    XIdmpRecord { key: String, producer: Vec<u8>, id: Vec<u8>, entry: Id },
    /// `DEL`: deletes streams.
    Del { keys: Vec<String> },
    /// `UNLINK`: deletes streams.
    Unlink { keys: Vec<String> },
    /// `EXISTS`: how many of these there are.
    Exists { keys: Vec<String> },
    /// `TYPE`: `stream` or `none`.
    Type { key: String },
    /// `RENAME`: gives a stream another name, whatever had it.
    Rename { key: String, to: String },
    /// `RENAMENX`: gives a stream another name that nothing has.
    RenameNx { key: String, to: String },
    /// `COPY`: copies a stream; with `replace` whatever has the name.
    Copy { source: String, destination: String, replace: bool },
    /// `KEYS`: the names that a pattern matches.
    Keys { pattern: Vec<u8> },
    /// `SCAN`: names, some at a time.
    Scan(Scan),
    /// `DBSIZE`: how many streams there are.
    DbSize,
    /// `FLUSHDB`: deletes all streams.
    FlushDb(Flush),
    /// `FLUSHALL`: deletes all streams.
    FlushAll(Flush),
    /// A command with a mistake that Redis finds only after it has looked for the stream or the group.
    Mistaken(Mistaken),
}

/// What Redis says of a command that it does not know.
#[cfg(feature = "resp")]
pub(crate) fn unknown_command(args: &[&[u8]]) -> String {
    parse_error_text(&parse::unknown(args))
}

impl Command {
    /// Reads a command from its arguments, the name first, as Redis 8.6.3 does: options in any case, the same checks in the
    /// same order.
    ///
    /// A mistake after the point at which Redis looks for the key gives [`Command::Mistaken`], since it is only told if the key is
    /// there.
    ///
    /// ```
    /// use streamlog::command::{Command, parse_error_text};
    ///
    /// let error = Command::parse(&["XADD", "orders", "*", "sku"]).unwrap_err();
    /// assert_eq!(parse_error_text(&error), "ERR wrong number of arguments for 'xadd' command");
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidId`](crate::ErrorKind::InvalidId) for what is no ID, [`InvalidName`](crate::ErrorKind::InvalidName) for a name
    /// that is not UTF-8, [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for the rest; the text is Redis's without `ERR`.
    pub fn parse(args: &[impl AsRef<[u8]>]) -> Result<Command> {
        let args: Vec<&[u8]> = args.iter().map(AsRef::as_ref).collect();
        Command::of(&args)
    }

    /// What [`parse`](Command::parse) does.
    pub(crate) fn of(args: &[&[u8]]) -> Result<Command> {
        parse::command(args)
    }

    /// The arguments that [`parse`](Command::parse) reads as this command.
    ///
    /// What a [`Trim`] says that Redis has no words for (ages, bytes, only what is acknowledged) becomes words that it refuses.
    pub fn to_args(&self) -> Vec<Vec<u8>> {
        arguments::of(self)
    }
}
