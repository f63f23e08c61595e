//! Running commands on a broker: each becomes a call of the handles that everybody uses, and its outcome a [`Reply`].
//!
//! `write` changes a stream, `read` reads entries, `claim` is about pending entries, `group` about groups, `info` looks, `names`
//! is about streams as a whole.
//! Knows no lock, no record and no text of an error.

mod claim;
mod group;
mod info;
mod names;
mod read;
mod write;

use super::text::Family;
use super::{Command, Mistaken, Reply, help};
use crate::broker::Broker;
use crate::error::{Error, ErrorKind, Result};
use crate::idempotency::Idempotent;
use crate::stream::{Consumer, Group};

impl Broker {
    /// Runs a command, and answers as Redis does. A read that blocks, blocks the thread.
    ///
    /// ```
    /// use streamlog::Broker;
    /// use streamlog::command::{Command, Reply};
    ///
    /// let broker = Broker::in_memory()?;
    /// for words in ["XADD orders 5-1 sku A1", "XADD orders 5-2 sku B7", "XTRIM orders MAXLEN 1"] {
    ///     let words: Vec<&str> = words.split(' ').collect();
    ///     broker.execute(&Command::parse(&words)?)?;
    /// }
    /// assert_eq!(broker.execute(&Command::parse(&["XLEN", "orders"])?)?, Reply::Int(1));
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where Redis answers with an error; [`Command::error_text`] has its words. What a call of the handles says: `Closed`,
    /// `WritesStopped`, `InvalidName`, and what the system says.
    pub fn execute(&self, command: &Command) -> Result<Reply> {
        match command {
            Command::XAdd(add) => self.xadd(add),
            Command::XTrim { key, trim } => self.on(key, Reply::Int(0), |stream| stream.trim(*trim).map(Reply::count)),
            Command::XDel { key, ids } => self.on(key, Reply::Int(0), |stream| stream.delete(ids).map(Reply::count)),
            Command::XDelEx { key, references, ids } => self.xdelex(key, *references, ids),
            Command::XSetId(set) => self.xsetid(set),
            Command::XCfgSet(set) => self.xcfgset(set),
            Command::XIdmpRecord { key, producer, id, entry } => {
                let add = Idempotent::new(producer, id);
                self.stream(key)?.remember_add(*entry, &add).map(|_| Reply::OK)
            }
            Command::Del { keys } | Command::Unlink { keys } => self.del(keys),
            Command::FlushDb(_) | Command::FlushAll(_) => self.flush(),
            Command::Exists { keys } => self.exists(keys),
            Command::Keys { pattern } => self.keys(pattern),
            Command::Scan(scan) => self.scan(scan),
            Command::DbSize => self.stream_count().map(|count| Reply::count(count as u64)),
            Command::Type { key } => Ok(Reply::Status(if self.stream(key)?.exists() { "stream" } else { "none" })),
            Command::Rename { key, to } => self.rename(key, to),
            Command::RenameNx { key, to } => self.rename_nx(key, to),
            Command::Copy { source, destination, replace } => self.copy(source, destination, *replace),

            Command::XLen { key } => self.stream(key)?.len().map(Reply::count),
            Command::XRange(range) => self.xrange(range, false, None),
            Command::XRevRange(range) => self.xrange(range, true, None),
            Command::XRead(read) => self.xread(read),
            Command::XReadGroup(read) => self.xreadgroup(read),

            Command::XAck { key, group, ids } => self.xack(key, group, ids),
            Command::XAckDel { key, group, references, ids } => self.xackdel(key, group, *references, ids),
            Command::XNack(nack) => self.xnack(nack),
            Command::XPending { key, group } => self.xpending(key, group),
            Command::XPendingRange(range) => self.xpending_range(range),
            Command::XClaim(claim) => self.xclaim(claim),
            Command::XAutoClaim(claim) => self.xautoclaim(claim),

            Command::XGroupCreate(create) => self.xgroup_create(create),
            Command::XGroupSetId(set) => self.xgroup_setid(set),
            Command::XGroupDestroy { key, group } => self.xgroup_destroy(key, group),
            Command::XGroupCreateConsumer { key, group, consumer } => {
                self.group_of_stream(key, group)?.create_consumer(consumer).map(Reply::flag)
            }
            Command::XGroupDelConsumer { key, group, consumer } => {
                self.group_of_stream(key, group)?.delete_consumer(consumer).map(Reply::count)
            }
            Command::XGroupHelp => Ok(page(help::XGROUP)),

            Command::XInfoStream { key } => self.xinfo_stream(key),
            Command::XInfoStreamFull { key, count } => self.xinfo_stream_full(key, *count),
            Command::XInfoGroups { key } => self.xinfo_groups(key),
            Command::XInfoConsumers { key, group } => self.xinfo_consumers(key, group),
            Command::XInfoHelp => Ok(page(help::XINFO)),

            Command::Mistaken(mistaken) => self.mistaken(mistaken),
        }
    }

    /// [`execute`](Broker::execute) as a [future](crate#futures): it waits for entries, and for the disk, without a thread.
    ///
    /// ```
    /// use streamlog::Broker;
    /// use streamlog::command::{Command, Reply};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> streamlog::Result<()> {
    /// let broker = Broker::in_memory()?;
    /// let read = Command::parse(&["XREAD", "BLOCK", "0", "STREAMS", "orders", "$"])?;
    /// let add = Command::parse(&["XADD", "orders", "5-1", "sku", "A1"])?;
    /// let (found, added) = tokio::join!(broker.execute_async(&read), broker.execute_async(&add));
    /// assert_eq!(added?, Reply::bulk("5-1"));
    /// assert!(matches!(found?, Reply::Pairs(streams) if streams.len() == 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Broker::execute).
    #[cfg(feature = "tokio")]
    pub async fn execute_async(&self, command: &Command) -> Result<Reply> {
        match command {
            Command::XRead(read) => self.xread_async(read).await,
            Command::XReadGroup(read) => self.xreadgroup_async(read).await,
            command => self.settled(|| self.execute(command)).await,
        }
    }

    /// [`execute`](Broker::execute) where the reply must fit into memory: a range of entries of more bytes than this is an error.
    ///
    /// # Errors
    ///
    /// As [`execute`](Broker::execute).
    #[cfg(feature = "resp")]
    pub(crate) fn execute_within(&self, command: &Command, bytes_max: usize) -> Result<Reply> {
        match command {
            Command::XRange(range) => self.xrange(range, false, Some(bytes_max as u64)),
            Command::XRevRange(range) => self.xrange(range, true, Some(bytes_max as u64)),
            command => self.execute(command),
        }
    }

    /// Says what is wrong, as Redis finds it: first that a stream or a group is not there.
    fn mistaken(&self, mistaken: &Mistaken) -> Result<Reply> {
        let look = |(key, group): &(String, Option<String>)| match (group, mistaken.family) {
            (Some(group), Family::Group) => self.group_of_stream(key, group).map(drop),
            (Some(group), _) => self.group(key, group).map(drop),
            (None, _) if self.stream(key)?.exists() => Ok(()),
            (None, _) => Err(Error::no_such_stream(key)),
        };
        match mistaken.looks.iter().try_for_each(look) {
            Ok(()) => Err(mistaken.error()),
            Err(error) => match (error.kind(), mistaken.family) {
                (ErrorKind::NoSuchStream | ErrorKind::NoSuchGroup, Family::Entries) => Ok(Reply::Int(0)),
                (ErrorKind::NoSuchStream | ErrorKind::NoSuchGroup, Family::EachEntry(ids)) => {
                    Ok(write::nothing_of(ids))
                }
                _ => Err(error),
            },
        }
    }

    /// Does something with a stream, or answers `missing` if there is none.
    fn on(
        &self,
        key: &str,
        missing: Reply,
        run: impl FnOnce(&crate::stream::Stream) -> Result<Reply>,
    ) -> Result<Reply> {
        or(run(&self.stream(key)?), ErrorKind::NoSuchStream, missing)
    }

    /// A group that must be there, on a stream that need not be: `NoSuchGroup` in either case.
    fn group(&self, key: &str, group: &str) -> Result<Group> {
        self.stream(key)?.group(group).existing()
    }

    /// A group that must be there, on a stream that must be: `NoSuchStream` comes first.
    fn group_of_stream(&self, key: &str, group: &str) -> Result<Group> {
        let stream = self.stream(key)?;
        if stream.exists() { stream.group(group).existing() } else { Err(Error::no_such_stream(key)) }
    }

    fn consumer(&self, key: &str, group: &str, consumer: &str) -> Result<Consumer> {
        Ok(Consumer::without_session(self.group(key, group)?, consumer))
    }
}

/// The reply, or another one where the error is of this kind.
fn or(reply: Result<Reply>, kind: ErrorKind, instead: Reply) -> Result<Reply> {
    match reply {
        Err(error) if error.kind() == kind => Ok(instead),
        reply => reply,
    }
}

fn page(lines: &[&'static str]) -> Reply {
    Reply::Array(lines.iter().map(|line| Reply::Status(line)).collect())
}

/// How many, for a call of the handles.
fn at_most(count: Option<u64>) -> usize {
    count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX))
}
