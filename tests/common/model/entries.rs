//! Redis's commands on the model that read entries.

use std::ops::{Bound, RangeBounds};

use streamlog::command::{Reply, XRange, XRead, XReadGroup};
use streamlog::{GroupStart, Id};

use super::Model;
use super::commands::Answer;
use super::info::{bulk, count, id_of};
use crate::common::operation::{Delivered, Fields};

pub(super) fn fields_of(fields: &Fields) -> Reply {
    Reply::Array(fields.iter().flat_map(|(name, value)| [bulk(name), bulk(value)]).collect())
}

pub(super) fn entry(id: Id, fields: &Fields) -> Reply {
    Reply::Array(vec![id_of(id), fields_of(fields)])
}

/// What is read of several streams.
fn pairs(pairs: Vec<(Reply, Reply)>) -> Reply {
    if pairs.is_empty() { Reply::NullArray } else { Reply::Pairs(pairs) }
}

fn at_most(count: Option<u64>) -> usize {
    count.map_or(usize::MAX, |count| usize::try_from(count).unwrap())
}

impl Delivered {
    pub(super) fn ids(&self) -> Vec<Id> {
        self.messages.iter().map(|(id, ..)| *id).collect()
    }

    pub(super) fn entries(&self) -> Reply {
        Reply::Array(self.messages.iter().map(|(id, _, _, fields)| entry(*id, fields)).collect())
    }

    /// With those that are gone, which have no fields.
    fn with_deleted(&self) -> Reply {
        let there = self.messages.iter().map(|(id, _, _, fields)| (*id, entry(*id, fields)));
        let gone = self.deleted.iter().map(|id| (*id, Reply::Array(vec![id_of(*id), Reply::NullArray])));
        let mut all: Vec<_> = there.chain(gone).collect();
        all.sort_by_key(|(id, _)| *id);
        Reply::Array(all.into_iter().map(|(_, entry)| entry).collect())
    }

    /// With how long each had been idle, and how often it had been delivered.
    fn claimed(&self) -> Reply {
        let message = |(id, _, (deliveries, idle_ms), fields): &(_, _, (u32, u64), _)| {
            Reply::Array(vec![id_of(*id), fields_of(fields), count(*idle_ms), Reply::Int((*deliveries).into())])
        };
        Reply::Array(self.messages.iter().map(message).collect())
    }
}

impl Model {
    pub(super) fn range(&self, range: &XRange, backwards: bool) -> Reply {
        let Some(stream) = self.streams.get(&range.key) else { return Reply::Array(Vec::new()) };
        if range.count == Some(0) {
            return Reply::NullArray;
        }
        let bounds = (range.first, range.last);
        let mut found: Vec<_> = stream.entries.iter().filter(|(id, _)| bounds.contains(id)).collect();
        if backwards {
            found.reverse();
        }
        Reply::Array(found.into_iter().take(at_most(range.count)).map(|(id, fields)| entry(*id, fields)).collect())
    }

    pub(super) fn xread(&self, read: &XRead) -> Reply {
        let mut left = at_most(read.limits.max_count);
        let mut found = Vec::new();
        for (key, start) in &read.streams {
            let Some(stream) = self.streams.get(key) else { continue };
            let after = (Bound::Excluded(stream.resolve(*start)), Bound::Unbounded);
            let entries = stream.entries.iter().filter(|(id, _)| after.contains(id));
            let entries = entries.take(left.min(at_most(read.limits.count)));
            let entries: Vec<_> = entries.map(|(id, fields)| entry(*id, fields)).collect();
            left -= entries.len();
            if !entries.is_empty() {
                found.push((bulk(key), Reply::Array(entries)));
            }
        }
        pairs(found)
    }

    /// All groups must be there. Of the streams after one whose history is read nothing is claimed.
    pub(super) fn xreadgroup(&mut self, read: &XReadGroup) -> Answer {
        if let Some((key, _)) = read.streams.iter().find(|(key, _)| self.group(key, &read.group).is_err()) {
            let group = &read.group;
            let text = format!("No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option");
            return Err(format!("NOGROUP {text}"));
        }
        let mut left = at_most(read.limits.max_count);
        let mut claim = read.claim;
        let mut found = Vec::new();
        for (key, start) in &read.streams {
            if left == 0 {
                break;
            }
            if *start != GroupStart::New {
                claim = None;
            }
            let delivered = self.read_group(read, key, *start, claim, left).expect("all groups are there");
            let entries = if claim.is_some() { delivered.claimed() } else { delivered.with_deleted() };
            left -= delivered.messages.len();
            if *start != GroupStart::New {
                left -= delivered.deleted.len();
            } else if delivered.messages.is_empty() {
                continue;
            }
            found.push((bulk(key), entries));
        }
        Ok(pairs(found))
    }
}
