//! `XINFO`: what can be told of a stream, its groups and their consumers.
//!
//! What Redis tells of its radix tree is told as if there were one with full nodes: there is no tree.

use super::read::{entries, entry};
use super::{at_most, or};
use crate::broker::Broker;
use crate::clock::millis;
use crate::command::Reply;
use crate::error::{ErrorKind, Result};
use crate::id::Id;
use crate::stream::{ConsumerInfo, Group, GroupInfo, Stream, StreamInfo};

impl Broker {
    /// How many nodes the entries would fill: whoever adds until there are some must come to an end.
    fn nodes(&self, info: &StreamInfo) -> u64 {
        match self.adjustable().node_entries() {
            0 => u64::from(info.length > 0),
            entries => info.length.div_ceil(entries),
        }
    }

    pub(super) fn xinfo_stream(&self, key: &str) -> Result<Reply> {
        let stream = self.stream(key)?;
        let info = stream.info()?;
        let one = |backwards: bool| {
            let range = stream.range(..).count(1);
            let found = if backwards { range.rev() } else { range }.read()?;
            Ok(found.first().map_or(Reply::Null, entry))
        };
        let mut fields = about(&info, self.nodes(&info));
        fields.extend(named([
            ("groups", Reply::count(info.groups as u64)),
            ("first-entry", one(false)?),
            ("last-entry", one(true)?),
        ]));
        Ok(Reply::Map(fields))
    }

    pub(super) fn xinfo_stream_full(&self, key: &str, count: u64) -> Result<Reply> {
        let stream = self.stream(key)?;
        let info = stream.info()?;
        let limit = at_most(Some(count).filter(|&count| count > 0));
        let mut groups = Vec::new();
        for group in stream.groups()? {
            // One that is destroyed meanwhile is told of no more.
            let full = full_group(&stream, &group, limit);
            match or(full, ErrorKind::NoSuchGroup, Reply::Null)? {
                Reply::Null => {}
                full => groups.push(full),
            }
        }
        let mut fields = about(&info, self.nodes(&info));
        fields.extend(named([
            ("entries", entries(&stream.range(..).count(limit).read()?)),
            ("groups", Reply::Array(groups)),
        ]));
        Ok(Reply::Map(fields))
    }

    pub(super) fn xinfo_groups(&self, key: &str) -> Result<Reply> {
        let group = |group: GroupInfo| {
            Reply::map([
                ("name", Reply::bulk(&group.name)),
                ("consumers", Reply::count(group.consumers as u64)),
                ("pending", Reply::count(group.pending)),
                ("last-delivered-id", Reply::id(group.last_delivered_id)),
                ("entries-read", Reply::known(group.entries_read)),
                ("lag", lag(&group)),
            ])
        };
        Ok(Reply::Array(self.stream(key)?.groups()?.into_iter().map(group).collect()))
    }

    pub(super) fn xinfo_consumers(&self, key: &str, group: &str) -> Result<Reply> {
        let consumer = |consumer: ConsumerInfo| {
            Reply::map([
                ("name", Reply::bulk(consumer.name)),
                ("pending", Reply::count(consumer.pending)),
                ("idle", Reply::count(millis(consumer.idle))),
                ("inactive", consumer.inactive.map_or(Reply::Int(-1), |time| Reply::count(millis(time)))),
            ])
        };
        let consumers = self.group_of_stream(key, group)?.consumers()?;
        Ok(Reply::Array(consumers.into_iter().map(consumer).collect()))
    }
}

fn named<const LEN: usize>(pairs: [(&str, Reply); LEN]) -> [(Reply, Reply); LEN] {
    pairs.map(|(name, value)| (Reply::bulk(name), value))
}

fn lag(group: &GroupInfo) -> Reply {
    group.signed_lag.map_or(Reply::Null, Reply::Int)
}

/// The fields that `XINFO STREAM` has with and without `FULL`.
fn about(info: &StreamInfo, nodes: u64) -> Vec<(Reply, Reply)> {
    let producers = &info.producers;
    named([
        ("length", Reply::count(info.length)),
        ("radix-tree-keys", Reply::count(nodes)),
        ("radix-tree-nodes", Reply::count(nodes + 1)),
        ("last-generated-id", Reply::id(info.last_id)),
        ("max-deleted-entry-id", Reply::id(info.max_deleted_id)),
        ("entries-added", Reply::count(info.entries_added)),
        ("recorded-first-entry-id", Reply::id(info.first_id.unwrap_or(Id::MIN))),
        ("idmp-duration", Reply::count(producers.settings.duration().as_secs())),
        ("idmp-maxsize", Reply::count(producers.settings.ids_max().into())),
        ("pids-tracked", Reply::count(producers.producers)),
        ("iids-tracked", Reply::count(producers.ids)),
        ("iids-added", Reply::count(producers.added)),
        ("iids-duplicates", Reply::count(producers.duplicates)),
    ])
    .into()
}

fn full_group(stream: &Stream, info: &GroupInfo, limit: usize) -> Result<Reply> {
    let group = stream.group(&info.name).existing()?;
    let rows = group.pending_range(..).count(limit).read()?.into_iter().map(|row| {
        let (delivered, count) = (Reply::count(row.since_ms), Reply::Int(row.deliveries.into()));
        Reply::Array(vec![Reply::id(row.id), Reply::bulk(row.consumer), delivered, count])
    });
    let consumers = group.consumers()?.into_iter().map(|consumer| full_consumer(&group, &consumer, limit));
    Ok(Reply::map([
        ("name", Reply::bulk(&info.name)),
        ("last-delivered-id", Reply::id(info.last_delivered_id)),
        ("entries-read", Reply::known(info.entries_read)),
        ("lag", lag(info)),
        ("pel-count", Reply::count(info.pending)),
        ("pending", Reply::Array(rows.collect())),
        ("consumers", Reply::Array(consumers.collect::<Result<_>>()?)),
    ]))
}

fn full_consumer(group: &Group, consumer: &ConsumerInfo, limit: usize) -> Result<Reply> {
    let rows = group.pending_range(..).consumer(&consumer.name).count(limit).read()?.into_iter().map(|row| {
        Reply::Array(vec![Reply::id(row.id), Reply::count(row.since_ms), Reply::Int(row.deliveries.into())])
    });
    Ok(Reply::map([
        ("name", Reply::bulk(&consumer.name)),
        ("seen-time", Reply::count(consumer.seen_ms)),
        ("active-time", consumer.active_ms.map_or(Reply::Int(-1), Reply::count)),
        ("pel-count", Reply::count(consumer.pending)),
        ("pending", Reply::Array(rows.collect())),
    ]))
}
