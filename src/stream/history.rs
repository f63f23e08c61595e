//! Reading what is pending with a consumer, which it gets once more (`XREADGROUP` with an ID).

use std::ops::Bound;
use std::sync::Arc;

use super::cell::StreamCell;
use super::collect::Collector;
use super::consumer::{Asking, Member};
use super::core::{Plan, found};
use super::deliver::Asked;
use super::limits::{Left, Limits};
use super::message::Delivery;
use super::{Consumer, GroupStart, Messages};
use crate::error::Result;
use crate::id::Id;
use crate::state::Change;

/// A read of one's own pending entries: [`Consumer::history`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `read` is called"]
pub struct History {
    consumer: Consumer,
    after: Id,
    count: usize,
}

impl History {
    pub(super) fn new(consumer: &Consumer, after: Id) -> History {
        History { consumer: consumer.clone(), after, count: usize::MAX }
    }

    /// At most this many entries.
    pub fn count(mut self, entries: usize) -> History {
        self.count = entries;
        self
    }

    /// The entries, each counted as delivered once more. Those that were deleted or trimmed are in
    /// [`Messages::deleted`], and stay pending until acknowledged.
    ///
    /// # Errors
    ///
    /// As [`ReadNew::next`](super::ReadNew::next).
    pub fn read(self) -> Result<Messages> {
        let asked = Asked { limits: Limits::each(self.count), ..Asked::default() };
        asked.one(self.consumer.member(), GroupStart::PendingAfter(self.after), || Ok(None))
    }
}

/// What [`Member::redeliver`] is to do with what it meets.
pub(super) struct Redelivery<F> {
    /// Only what is pending after this ID, and `wanted` by its stamp.
    pub(super) after: Id,
    pub(super) wanted: F,
    /// Whether what was deleted is pending no longer.
    pub(super) forget_deleted: bool,
}

impl Member {
    /// Delivers again what is pending with this consumer. Also returns after which ID to go on: `None` if that was all.
    pub(super) fn redeliver(
        &self,
        cell: &Arc<StreamCell>,
        redelivery: &Redelivery<impl Fn(u32) -> bool>,
        left: &mut Left,
    ) -> Result<(Messages, Option<Id>)> {
        let (found, deliveries, deleted, last) = self.change_in(cell, |inner, asking, blocks, changes| {
            let Asking { group, consumer, now_ms } = asking;
            let mut found = Collector::default().with_room(left.room());
            let mut deliveries = Vec::new();
            let mut deleted = Vec::new();
            let mut last = None;
            let state = &inner.state.groups[&group];
            let pending = state.consumers.get(&consumer).map(|consumer| &consumer.pending);
            let after = (Bound::Excluded(redelivery.after), Bound::Unbounded);
            for id in pending.into_iter().flat_map(|pending| pending.range(after)) {
                if deliveries.len() + deleted.len() >= left.count() {
                    break;
                }
                let row = &state.pending[&id];
                if (redelivery.wanted)(row.stamp) {
                    match found!(inner.collect_one(id, blocks, &mut found))? {
                        Some(_) => deliveries.push(Delivery::again(row, now_ms)),
                        None if found.is_over() => break,
                        None => deleted.push(id),
                    }
                }
                last = Some(id);
            }
            let ids: Vec<_> = found.ids().zip(&deliveries).map(|(id, delivery)| (id, delivery.deliveries)).collect();
            if !ids.is_empty() {
                changes.push(Change::Redeliver { group, consumer, now_ms, ids });
            }
            if redelivery.forget_deleted && !deleted.is_empty() {
                changes.push(Change::Ack { group, ids: deleted.clone() });
            }
            Ok(Plan::of(std::mem::take(changes), (found, deliveries, deleted, last)))
        })?;
        left.take(deliveries.len() + deleted.len(), found.room());
        Ok((Messages::new(&self.group, found.finish()?, deliveries, deleted), last))
    }
}
