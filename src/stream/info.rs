//! What can be told of a stream, its groups and their consumers (`XINFO`).

use std::time::Duration;

use super::cell::Inner;
use super::{Group, Stream};
use crate::error::Result;
use crate::id::Id;
use crate::idempotency::Idempotency;
use crate::log::Lookup;
use crate::trim::Retention;

/// What can be told of a stream: [`Stream::info`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// How many entries there are.
    pub length: u64,
    /// The first entry's ID, if there is one.
    pub first_id: Option<Id>,
    /// The last ID added or [set](Stream::set_last_id), whether or not its entry is still there; `0-0` for a stream that had
    /// none.
    pub last_id: Id,
    /// How many entries were ever added, or were [said](super::SetLastId::entries_added) to be.
    pub entries_added: u64,
    /// The greatest ID ever deleted from the middle, or [said](super::SetLastId::max_deleted_id) to be; `0-0` if none.
    pub max_deleted_id: Id,
    /// The last ID trimmed; `0-0` if none.
    pub trimmed_to: Id,
    /// The bytes that the entries take in the log, those deleted from between them included.
    pub bytes: u64,
    /// How many groups there are.
    pub groups: usize,
    /// How many segments there are on disk.
    pub segments: usize,
    /// The bytes that the segments' entries take on disk, trimmed ones of the first segment included.
    pub disk_bytes: u64,
    /// What the stream keeps of itself.
    pub retention: Retention,
    /// What it remembers of idempotent producers.
    pub producers: ProducersInfo,
}

/// What can be told of a stream's idempotent producers: [`StreamInfo::producers`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducersInfo {
    /// For how long, and how many of each, IDs are remembered.
    pub settings: Idempotency,
    /// How many producers have IDs that are remembered.
    pub producers: u64,
    /// How many IDs are remembered, of all of them.
    pub ids: u64,
    /// How many entries were ever added with an ID.
    pub added: u64,
    /// How many adds were ever found to be made before. A crash may forget the latest of them.
    pub duplicates: u64,
}

/// What can be told of a group: [`Group::info`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupInfo {
    /// The group's name.
    pub name: String,
    /// How many consumers it has.
    pub consumers: usize,
    /// How many entries are pending.
    pub pending: u64,
    /// The last ID delivered.
    pub last_delivered_id: Id,
    /// How many of the stream's entries were ever delivered, where that can be told.
    pub entries_read: Option<u64>,
    /// How many entries are still to be delivered, where that can be told.
    pub lag: Option<u64>,
    /// The same as Redis tells it: below 0 where more counts as read than was ever added.
    pub(crate) signed_lag: Option<i64>,
}

/// What can be told of a consumer: [`Group::consumers`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerInfo {
    /// The consumer's name.
    pub name: String,
    /// How many entries are pending with it.
    pub pending: u64,
    /// How long ago it last asked for anything.
    pub idle: Duration,
    /// How long ago it last got anything; `None` if it never did.
    pub inactive: Option<Duration>,
    /// When it last asked for anything, in milliseconds since the Unix epoch.
    pub seen_ms: u64,
    /// When it last got anything; `None` if it never did.
    pub active_ms: Option<u64>,
}

impl Stream {
    /// What can be told of the stream (`XINFO STREAM`).
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](crate::ErrorKind::NoSuchStream).
    pub fn info(&self) -> Result<StreamInfo> {
        let now_ms = self.core().clock.now_ms();
        self.view(|inner, _| {
            let state = &inner.state;
            let (producers, ids) = state.producers.tracked(now_ms);
            let length = inner.visible_len();
            Ok(Lookup::Found(StreamInfo {
                length,
                first_id: (length > 0).then_some(inner.visible_front.id),
                last_id: inner.visible_last_id,
                entries_added: inner.visible_entries_added,
                max_deleted_id: state.max_deleted_id,
                trimmed_to: state.trimmed_to,
                bytes: state.log.next_bytes() - inner.visible_front.bytes,
                groups: state.groups.len(),
                segments: state.log.segments().count(),
                disk_bytes: state.log.segment_bytes(),
                retention: state.retention,
                producers: ProducersInfo {
                    settings: state.producers.settings(),
                    producers,
                    ids,
                    added: state.producers.added,
                    duplicates: state.producers.duplicates,
                },
            }))
        })
    }

    /// What can be told of each group, by name (`XINFO GROUPS`).
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](crate::ErrorKind::NoSuchStream).
    pub fn groups(&self) -> Result<Vec<GroupInfo>> {
        self.view(|inner, _| {
            let mut groups: Vec<_> = inner.state.groups.values().map(|group| inner.group_info(group)).collect();
            groups.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            Ok(Lookup::Found(groups))
        })
    }
}

impl Inner {
    fn group_info(&self, group: &crate::state::Group) -> GroupInfo {
        let unseen = i64::try_from(self.unseen()).unwrap_or(i64::MAX);
        let seen = |lag: i64| if lag > 0 { lag.saturating_sub(unseen).max(0) } else { lag };
        let signed_lag = self.state.lag(group).map(seen);
        GroupInfo {
            name: group.name.to_string(),
            consumers: group.consumers.len(),
            pending: group.pending.len() as u64,
            last_delivered_id: group.cursor,
            entries_read: group.entries_read,
            lag: signed_lag.map(|lag| u64::try_from(lag).unwrap_or(0)),
            signed_lag,
        }
    }
}

impl Group {
    /// What can be told of the group (one of `XINFO GROUPS`).
    ///
    /// # Errors
    ///
    /// [`NoSuchGroup`](crate::ErrorKind::NoSuchGroup).
    pub fn info(&self) -> Result<GroupInfo> {
        self.read(|inner, group| Ok(inner.group_info(group)))
    }

    /// What can be told of each consumer, by name (`XINFO CONSUMERS`).
    ///
    /// # Errors
    ///
    /// [`NoSuchGroup`](crate::ErrorKind::NoSuchGroup).
    pub fn consumers(&self) -> Result<Vec<ConsumerInfo>> {
        let now_ms = self.stream().core().clock.now_ms();
        self.read(|_, group| {
            let since = |ms: u64| Duration::from_millis(now_ms.saturating_sub(ms));
            let info = |consumer: &crate::state::Consumer| ConsumerInfo {
                name: consumer.name.to_string(),
                pending: consumer.pending.len() as u64,
                idle: since(consumer.seen_ms),
                inactive: consumer.active_ms.map(since),
                seen_ms: consumer.seen_ms,
                active_ms: consumer.active_ms,
            };
            let mut consumers: Vec<_> = group.consumers.values().map(info).collect();
            consumers.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            Ok(consumers)
        })
    }
}
