//! Commands that read entries: by ID, after an ID, and for a consumer.

use super::at_most;
use crate::broker::Broker;
use crate::clock::millis;
use crate::command::{ReadLimits, Reply, Wait, XRange, XRead, XReadGroup};
use crate::entry::Entry;
use crate::error::Result;
use crate::stream::{Message, Messages, ReadGroup, ReadStreams};

impl Broker {
    /// Entries of so many bytes at most, if that is said: more are an error.
    pub(super) fn xrange(&self, range: &XRange, backwards: bool, bytes_max: Option<u64>) -> Result<Reply> {
        let stream = self.stream(&range.key)?;
        // Looked for first: of a stream that is not there even nothing is an empty array.
        if range.count == Some(0) && stream.exists() {
            return Ok(Reply::NullArray);
        }
        let read = stream.range((range.first, range.last)).count(at_most(range.count)).bytes_max(bytes_max);
        let entries = if backwards { read.rev() } else { read }.read()?;
        Ok(self::entries(&entries))
    }

    pub(super) fn xread(&self, read: &XRead) -> Result<Reply> {
        self.ask(read)?.next().map(found)
    }

    /// [`xread`](Broker::xread) as a future.
    #[cfg(feature = "tokio")]
    pub(super) async fn xread_async(&self, read: &XRead) -> Result<Reply> {
        self.ask(read)?.next_async().await.map(found)
    }

    fn ask(&self, read: &XRead) -> Result<ReadStreams> {
        let ReadLimits { count, max_count, max_size } = read.limits;
        let mut ask = self.read(read.streams.iter().map(|(key, from)| (key, *from)))?;
        ask = ask.count(at_most(count.filter(|&count| count > 0))).max_count(at_most(max_count));
        if let Some(bytes) = max_size {
            ask = ask.max_bytes(bytes);
        }
        Ok(match read.wait {
            Wait::No => ask,
            Wait::AtMost(time) => ask.block(time),
            Wait::Forever => ask.block_forever(),
        })
    }

    pub(super) fn xreadgroup(&self, read: &XReadGroup) -> Result<Reply> {
        self.ask_group(read)?.next().map(delivered)
    }

    /// [`xreadgroup`](Broker::xreadgroup) as a future.
    #[cfg(feature = "tokio")]
    pub(super) async fn xreadgroup_async(&self, read: &XReadGroup) -> Result<Reply> {
        self.ask_group(read)?.next_async().await.map(delivered)
    }

    fn ask_group(&self, read: &XReadGroup) -> Result<ReadGroup> {
        let streams = read.streams.iter().map(|(key, from)| (key, *from));
        let ReadLimits { count, max_count, max_size } = read.limits;
        let mut ask = self.read_group(&read.group, &read.consumer, streams)?;
        ask = ask.count(at_most(count.filter(|&count| count > 0))).max_count(at_most(max_count));
        if let Some(bytes) = max_size {
            ask = ask.max_bytes(bytes);
        }
        ask = match read.wait {
            Wait::No => ask,
            Wait::AtMost(time) => ask.block(time),
            Wait::Forever => ask.block_forever(),
        };
        if let Some(min_idle) = read.claim {
            ask = ask.claim_idle(min_idle);
        }
        Ok(if read.no_ack { ask.no_ack() } else { ask })
    }
}

fn found(found: Vec<(String, Vec<Entry>)>) -> Reply {
    pairs_or_null(found.into_iter().map(|(key, found)| (Reply::bulk(key), entries(&found))).collect())
}

fn delivered(found: Vec<(String, Messages)>) -> Reply {
    let pairs = found.into_iter().map(|(key, messages)| {
        // Of what is named after a history nothing is claimed, and nothing told of that.
        let entries = if messages.claimed {
            Reply::Array(messages.iter().map(claimed_entry).collect())
        } else {
            let gone = |id| Reply::Array(vec![Reply::id(id), Reply::NullArray]);
            let all = messages.with_deleted();
            Reply::Array(
                all.map(|(id, message)| message.map_or_else(|| gone(id), |there| entry(there.entry()))).collect(),
            )
        };
        (Reply::bulk(&key), entries)
    });
    pairs_or_null(pairs.collect())
}

/// An entry with how long it was idle, and how often it had been delivered before.
fn claimed_entry(message: &Message) -> Reply {
    let (idle, deliveries) = (Reply::count(millis(message.idle_before())), message.deliveries_before());
    let (id, fields) = (Reply::id(message.id()), Reply::fields(message.entry().fields()));
    Reply::Array(vec![id, fields, idle, Reply::Int(deliveries.into())])
}

fn pairs_or_null(pairs: Vec<(Reply, Reply)>) -> Reply {
    if pairs.is_empty() { Reply::NullArray } else { Reply::Pairs(pairs) }
}

pub(super) fn entry(entry: &Entry) -> Reply {
    Reply::entry(entry.id, entry.fields())
}

pub(super) fn entries(entries: &[Entry]) -> Reply {
    Reply::Array(entries.iter().map(entry).collect())
}
