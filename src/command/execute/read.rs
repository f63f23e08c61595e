//! Commands that read entries: by ID, after an ID, and for a consumer.

use std::collections::BTreeMap;

use super::at_most;
use crate::broker::Broker;
use crate::command::{ReadFrom, ReadGroupFrom, Reply, XRange, XRead, XReadGroup};
use crate::entry::Entry;
use crate::error::Result;
use crate::id::Id;
use crate::stream::{Consumer, Messages, StartAt};

impl Broker {
    pub(super) fn xrange(&self, range: &XRange, backwards: bool) -> Result<Reply> {
        let stream = self.stream(&range.key)?;
        // Looked for first: of a stream that is not there even nothing is an empty array.
        if range.count == Some(0) && stream.exists() {
            return Ok(Reply::NullArray);
        }
        let read = stream.range((range.first, range.last)).count(at_most(range.count));
        let entries = if backwards { read.rev() } else { read }.read()?;
        Ok(self::entries(&entries))
    }

    pub(super) fn xread(&self, read: &XRead) -> Result<Reply> {
        let mut found = Vec::new();
        for (key, from) in &read.streams {
            let stream = self.stream(key)?;
            let entries = match from {
                ReadFrom::After(id) => stream.read(*id).count(at_most(read.count)).next()?,
                ReadFrom::End => stream.read(StartAt::End).count(at_most(read.count)).next()?,
                ReadFrom::Last => stream.range(..).rev().count(1).read()?,
            };
            if !entries.is_empty() {
                found.push((Reply::bulk(key), self::entries(&entries)));
            }
        }
        Ok(pairs(found))
    }

    pub(super) fn xreadgroup(&self, read: &XReadGroup) -> Result<Reply> {
        let consumers = read.streams.iter().map(|(key, _)| self.consumer(key, &read.group, &read.consumer));
        let consumers = consumers.collect::<Result<Vec<_>>>()?;
        let mut found = Vec::new();
        for ((key, from), consumer) in read.streams.iter().zip(consumers) {
            let entries = match from {
                ReadGroupFrom::After(id) => Some(history(&consumer, *id, read)?),
                ReadGroupFrom::New => new(&consumer, read)?,
            };
            found.extend(entries.map(|entries| (Reply::bulk(key), entries)));
        }
        Ok(pairs(found))
    }
}

/// What is pending with the consumer, in order; of what was deleted only the ID.
fn history(consumer: &Consumer, after: Id, read: &XReadGroup) -> Result<Reply> {
    let messages = consumer.history(after).count(at_most(read.count)).read()?;
    let gone = messages.deleted().iter().map(|&id| (id, Reply::Array(vec![Reply::id(id), Reply::NullArray])));
    let there = messages.iter().map(|message| (message.id(), entry(message.entry())));
    let entries: BTreeMap<Id, Reply> = gone.chain(there).collect();
    Ok(Reply::Array(entries.into_values().collect()))
}

fn new(consumer: &Consumer, read: &XReadGroup) -> Result<Option<Reply>> {
    let ask = consumer.read_new().count(at_most(read.count));
    let messages: Messages = if read.no_ack { ask.no_ack() } else { ask }.next()?;
    let entries: Vec<Reply> = messages.iter().map(|message| entry(message.entry())).collect();
    Ok((!entries.is_empty()).then_some(Reply::Array(entries)))
}

fn pairs(pairs: Vec<(Reply, Reply)>) -> Reply {
    if pairs.is_empty() { Reply::NullArray } else { Reply::Pairs(pairs) }
}

pub(super) fn entry(entry: &Entry) -> Reply {
    Reply::entry(entry.id, entry.fields())
}

pub(super) fn entries(entries: &[Entry]) -> Reply {
    Reply::Array(entries.iter().map(entry).collect())
}
