//! Redis's commands on the model that change nothing: what can be told of streams, groups and consumers.

use std::ops::RangeBounds;

use streamlog::Id;
use streamlog::command::{Command, Reply, XPendingRange};

use super::commands::{Answer, no_group, no_key_or_group};
use super::entries::entry;
use super::{Group, Model, Stream, millis};

pub(super) fn bulk(bytes: impl AsRef<[u8]>) -> Reply {
    Reply::Bulk(bytes.as_ref().to_vec())
}

pub(super) fn count(count: u64) -> Reply {
    Reply::Int(i64::try_from(count).unwrap())
}

pub(super) fn id_of(id: Id) -> Reply {
    bulk(format!("{}-{}", id.ms, id.seq))
}

pub(super) fn ids_of(ids: Vec<Id>) -> Reply {
    Reply::Array(ids.into_iter().map(id_of).collect())
}

fn map<const LEN: usize>(pairs: [(&str, Reply); LEN]) -> Vec<(Reply, Reply)> {
    pairs.map(|(name, value)| (bulk(name), value)).into()
}

/// Or null.
fn known(number: Option<u64>) -> Reply {
    number.map_or(Reply::Null, count)
}

impl Model {
    pub(super) fn look(&mut self, command: &Command) -> Answer {
        let now_ms = self.now_ms;
        match command {
            Command::XLen { key } => Ok(count(self.streams.get(key).map_or(0, |stream| stream.entries.len() as u64))),
            Command::XRange(range) => Ok(self.range(range, false)),
            Command::XRevRange(range) => Ok(self.range(range, true)),
            Command::XRead(read) => Ok(self.xread(read)),
            Command::XPending { key, group } => {
                self.group(key, group).map(|group| group.summary()).map_err(|_| no_key_or_group(key, group))
            }
            Command::XPendingRange(range) => {
                let group = self.group(&range.key, &range.group);
                let group = group.map_err(|_| no_key_or_group(&range.key, &range.group))?;
                Ok(group.pending_range(range, now_ms))
            }
            Command::XInfoStream { key } => Ok(self.stream(key)?.info(now_ms)),
            Command::XInfoStreamFull { key, count } => {
                let most = if *count == 0 { usize::MAX } else { usize::try_from(*count).unwrap() };
                Ok(self.stream(key)?.full(now_ms, most))
            }
            Command::XInfoGroups { key } => {
                let stream = self.stream(key)?;
                Ok(Reply::Array(stream.groups.iter().map(|(name, group)| group.info(name, stream)).collect()))
            }
            Command::XInfoConsumers { key, group } => {
                let found = self.stream(key)?.groups.get(group);
                found.map(|group| group.consumers_info(now_ms)).ok_or_else(|| no_group(key, group))
            }
            Command::Exists { keys } => {
                Ok(count(keys.iter().filter(|key| self.streams.contains_key(*key)).count() as u64))
            }
            Command::Type { key } => Ok(Reply::Status(if self.streams.contains_key(key) { "stream" } else { "none" })),
            other => unreachable!("{other:?} is not asked for"),
        }
    }
}

impl Stream {
    /// What is told with and without `FULL`.
    fn about(&self, now_ms: u64) -> Vec<(Reply, Reply)> {
        let (producers, ids) = self.producers.tracked(now_ms);
        map([
            ("length", count(self.entries.len() as u64)),
            ("last-generated-id", id_of(self.last_id)),
            ("max-deleted-entry-id", id_of(self.max_deleted_id)),
            ("entries-added", count(self.entries_added)),
            ("recorded-first-entry-id", id_of(self.first_id().unwrap_or(Id::MIN))),
            ("idmp-duration", count(self.producers.seconds.into())),
            ("idmp-maxsize", count(self.producers.ids_max.into())),
            ("pids-tracked", count(producers)),
            ("iids-tracked", count(ids)),
            ("iids-added", count(self.producers.added)),
        ])
    }

    fn info(&self, now_ms: u64) -> Reply {
        let mut entries = self.entries.iter().map(|(id, fields)| entry(*id, fields));
        let first = entries.next().unwrap_or(Reply::Null);
        let last = entries.next_back().unwrap_or(first.clone());
        let groups = count(self.groups.len() as u64);
        Reply::Map(
            [self.about(now_ms), map([("groups", groups), ("first-entry", first), ("last-entry", last)])].concat(),
        )
    }

    /// With so many entries, and so many pending ones of each.
    fn full(&self, now_ms: u64, most: usize) -> Reply {
        let entries = self.entries.iter().take(most).map(|(id, fields)| entry(*id, fields)).collect();
        let groups = self.groups.iter().map(|(name, group)| group.full(name, self, most)).collect();
        let listed = map([("entries", Reply::Array(entries)), ("groups", Reply::Array(groups))]);
        Reply::Map([self.about(now_ms), listed].concat())
    }
}

impl Group {
    fn info(&self, name: &str, stream: &Stream) -> Reply {
        Reply::Map(map([
            ("name", bulk(name)),
            ("consumers", count(self.consumers.len() as u64)),
            ("pending", count(self.pending.len() as u64)),
            ("last-delivered-id", id_of(self.cursor)),
            ("entries-read", known(self.entries_read)),
            ("lag", stream.lag(self).map_or(Reply::Null, Reply::Int)),
        ]))
    }

    fn consumers_info(&self, now_ms: u64) -> Reply {
        let since = |ms| count(now_ms.saturating_sub(ms));
        let consumers = self.consumers.iter().map(|(name, consumer)| {
            Reply::Map(map([
                ("name", bulk(name)),
                ("pending", count(self.pending_with(name))),
                ("idle", since(consumer.seen_ms)),
                ("inactive", consumer.active_ms.map_or(Reply::Int(-1), since)),
            ]))
        });
        Reply::Array(consumers.collect())
    }

    fn full(&self, name: &str, stream: &Stream, most: usize) -> Reply {
        let rows = self.pending.iter().take(most).map(|(id, row)| {
            let (consumer, deliveries) = (bulk(&row.consumer), Reply::Int(row.deliveries.into()));
            Reply::Array(vec![id_of(*id), consumer, count(row.delivered_ms), deliveries])
        });
        let consumers = self.consumers.iter().map(|(name, consumer)| {
            let rows = self.pending.iter().filter(|(_, row)| row.consumer == *name).take(most).map(|(id, row)| {
                Reply::Array(vec![id_of(*id), count(row.delivered_ms), Reply::Int(row.deliveries.into())])
            });
            Reply::Map(map([
                ("name", bulk(name)),
                ("seen-time", count(consumer.seen_ms)),
                ("active-time", consumer.active_ms.map_or(Reply::Int(-1), count)),
                ("pel-count", count(self.pending_with(name))),
                ("pending", Reply::Array(rows.collect())),
            ]))
        });
        Reply::Map(map([
            ("name", bulk(name)),
            ("last-delivered-id", id_of(self.cursor)),
            ("entries-read", known(self.entries_read)),
            ("lag", stream.lag(self).map_or(Reply::Null, Reply::Int)),
            ("pel-count", count(self.pending.len() as u64)),
            ("pending", Reply::Array(rows.collect())),
            ("consumers", Reply::Array(consumers.collect())),
        ]))
    }

    fn summary(&self) -> Reply {
        let mut ids = self.pending.keys();
        let Some(&first) = ids.next() else {
            return Reply::Array(vec![Reply::Int(0), Reply::Null, Reply::Null, Reply::NullArray]);
        };
        let last = *ids.next_back().unwrap_or(&first);
        let with = self.consumers.keys().map(|name| (name, self.pending_with(name))).filter(|(_, count)| *count > 0);
        let with = with.map(|(name, count)| Reply::Array(vec![bulk(name), bulk(count.to_string())])).collect();
        let all = count(self.pending.len() as u64);
        Reply::Array(vec![all, id_of(first), id_of(last), Reply::Array(with)])
    }

    fn pending_range(&self, range: &XPendingRange, now_ms: u64) -> Reply {
        let (bounds, idle_ms) = ((range.first, range.last), millis(range.idle));
        let rows = self.pending.iter().filter(|(id, row)| {
            bounds.contains(*id)
                && (idle_ms == 0 || row.is_due(now_ms, idle_ms))
                && range.consumer.as_ref().is_none_or(|name| row.consumer == *name)
        });
        let row = |(id, row): (&Id, &super::group::Pending)| {
            let idle = if row.is_released() { Reply::Int(-1) } else { count(row.idle_ms(now_ms)) };
            Reply::Array(vec![id_of(*id), bulk(&row.consumer), idle, Reply::Int(row.deliveries.into())])
        };
        Reply::Array(rows.take(usize::try_from(range.count).unwrap()).map(row).collect())
    }
}
