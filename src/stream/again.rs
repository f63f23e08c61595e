//! What is to be delivered again though nobody asks for it by its ID: what was released, and what has been idle for too long;
//! when it falls due, and to whom of those who wait.
//!
//! Knows what is pending and what others in the queue want. Does not know who sleeps, nor how anybody is woken.

use super::cell::Inner;
use super::collect::Collector;
use super::consumer::Asking;
use super::message::Delivery;
use crate::error::Result;
use crate::id::Id;
use crate::log::Lookup;
use crate::log::stream_log::Blocks;
use crate::state::group::NOBODY;
use crate::state::{Group, Pending};

/// How long at most one sleeps who waits for something to fall due: the time of day may jump, and one before in the queue may
/// leave without taking it.
pub(super) const NAP_MS_MAX: u64 = 1000;

/// What somebody wants of what is pending, besides what was released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Again {
    /// What was delivered at least so long ago.
    pub(crate) min_idle_ms: Option<u64>,
    /// But not to this consumer; to any but [`NOBODY`], who has no such entries.
    pub(crate) except: u32,
}

impl Again {
    /// Whether what is in the stream no more is to stay pending, as Redis has it; otherwise it is dropped when it is met.
    pub(super) fn keeps_gone(&self) -> bool {
        self.except == NOBODY
    }

    /// From when on it wants what is pending so; `None` for never.
    pub(crate) fn due_ms(&self, row: &Pending) -> Option<u64> {
        if row.gone && self.keeps_gone() {
            return None;
        }
        if row.is_released() {
            return Some(row.delivered_ms);
        }
        let min_idle_ms = self.min_idle_ms.filter(|_| row.consumer != self.except)?;
        // No time at all has passed even if the clock has gone back since.
        Some(if min_idle_ms == 0 { 0 } else { row.delivered_ms.saturating_add(min_idle_ms) })
    }

    fn wants(&self, row: &Pending, now_ms: u64) -> bool {
        self.due_ms(row).is_some_and(|due_ms| due_ms <= now_ms)
    }

    /// When somebody who wants this, and has those before him in the queue, is to look for it unless woken before: `None` if
    /// there is nothing that could fall due.
    pub(super) fn looks_ms(&self, group: &Group, before: &[Again], now_ms: u64) -> Option<u64> {
        // The first in the queue sees to what is released, and wakes the next when it leaves.
        let first = |due: crate::state::group::Due| self.due_ms(&group.pending[&due.id]);
        let released = group.released().find_map(first).filter(|_| before.is_empty());
        let owned = self.min_idle_ms.and_then(|_| {
            let others = group.owned_by_time().map(|due| &group.pending[&due.id]);
            let (row, due_ms) = others.into_iter().find_map(|row| Some((row, self.due_ms(row)?)))?;
            let taken = before.iter().any(|other| other.wants(row, due_ms.max(now_ms)));
            Some(if taken { due_ms.max(now_ms.saturating_add(NAP_MS_MAX)) } else { due_ms })
        });
        [released, owned].into_iter().flatten().min()
    }
}

/// What was found to be due.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// With the counts of deliveries they get.
    pub(super) ids: Vec<(Id, u32)>,
    pub(super) deliveries: Vec<Delivery>,
    /// What was due and is in the stream no more.
    pub(super) deleted: Vec<Id>,
}

impl Inner {
    /// Collects up to `count` of what is due and wanted, and not by those before in the queue: first what was released,
    /// then what was delivered longest ago. The group is [ordered](Group::order_by_time) if `again` needs that.
    pub(super) fn collect_due(
        &self,
        asking: Asking,
        again: Again,
        before: &[Again],
        count: usize,
        blocks: Blocks<'_>,
        out: &mut Collector,
    ) -> Lookup<Result<Due>> {
        let mut due = Due::default();
        // What is pending of an empty stream is gone, and stays as it is.
        if self.state.length == 0 {
            return Lookup::Found(Ok(due));
        }
        let state = &self.state.groups[&asking.group];
        let is_due = |row: &crate::state::group::Due| state.pending[&row.id].is_due(asking.now_ms, again.min_idle_ms());
        let owned = again.min_idle_ms.into_iter().flat_map(|_| state.owned_by_time());
        for row in state.released().take_while(is_due).chain(owned.take_while(is_due)) {
            if due.ids.len() >= count {
                break;
            }
            let pending = &state.pending[&row.id];
            if pending.consumer == again.except && !pending.is_released()
                || pending.gone && again.keeps_gone()
                || before.iter().any(|other| other.wants(pending, asking.now_ms))
            {
                continue;
            }
            match self.collect_one(row.id, blocks, out) {
                Lookup::Found(Ok(Some(_))) => {
                    let delivery = Delivery::again(pending, asking.now_ms);
                    due.ids.push((row.id, delivery.deliveries));
                    due.deliveries.push(delivery);
                }
                // What is damaged, or too much, is not deleted.
                Lookup::Found(Ok(None)) if out.is_over() => break,
                Lookup::Found(Ok(None)) => due.deleted.push(row.id),
                Lookup::Found(Err(error)) => return Lookup::Found(Err(error)),
                Lookup::Load(segment, at) => return Lookup::Load(segment, at),
            }
        }
        Lookup::Found(Ok(due))
    }
}

impl Again {
    fn min_idle_ms(&self) -> u64 {
        self.min_idle_ms.unwrap_or(u64::MAX)
    }
}
