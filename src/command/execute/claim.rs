//! Commands about pending entries: acknowledged, given back, looked at, taken over.

use std::time::Duration;

use super::{at_most, or};
use crate::broker::Broker;
use crate::clock::millis;
use crate::command::execute::read::entry;
use crate::command::{Delivered, NackMode, Reply, XAutoClaim, XClaim, XNack, XPendingRange};
use crate::error::{ErrorKind, Result};
use crate::id::Id;
use crate::stream::{Messages, PendingEntry};

impl Broker {
    pub(super) fn xack(&self, key: &str, group: &str, ids: &[Id]) -> Result<Reply> {
        let acked = self.group(key, group).and_then(|group| group.ack(ids));
        or(acked.map(Reply::count), ErrorKind::NoSuchGroup, Reply::Int(0))
    }

    pub(super) fn xnack(&self, nack: &XNack) -> Result<Reply> {
        let mut run = self.group(&nack.key, &nack.group)?.nack(&nack.ids);
        run = match nack.mode {
            NackMode::Silent => run.silent(),
            NackMode::Fail => run,
            NackMode::Fatal => run.fatal(),
        };
        if let Some(count) = nack.retry_count {
            run = run.deliveries(deliveries(count));
        }
        if nack.force { run.force() } else { run }.run().map(Reply::count)
    }

    pub(super) fn xpending(&self, key: &str, group: &str) -> Result<Reply> {
        let summary = self.group(key, group)?.pending()?;
        let Some((first, last)) = summary.ids else {
            return Ok(Reply::Array(vec![Reply::Int(0), Reply::Null, Reply::Null, Reply::NullArray]));
        };
        let consumers = summary.consumers.iter().map(|(name, count)| {
            // A text, for Redis says so.
            Reply::Array(vec![Reply::bulk(name), Reply::bulk(count.to_string())])
        });
        let consumers = Reply::Array(consumers.collect());
        Ok(Reply::Array(vec![Reply::count(summary.count), Reply::id(first), Reply::id(last), consumers]))
    }

    pub(super) fn xpending_range(&self, range: &XPendingRange) -> Result<Reply> {
        let group = self.group(&range.key, &range.group)?;
        let mut read = group.pending_range((range.first, range.last)).idle(range.idle);
        read = read.count(at_most(Some(range.count)));
        if let Some(consumer) = &range.consumer {
            read = read.consumer(consumer);
        }
        let row = |row: PendingEntry| {
            let idle = if row.released { Reply::Int(-1) } else { Reply::count(millis(row.idle)) };
            Reply::Array(vec![Reply::id(row.id), Reply::bulk(row.consumer), idle, Reply::Int(row.deliveries.into())])
        };
        Ok(Reply::Array(read.read()?.into_iter().map(row).collect()))
    }

    pub(super) fn xclaim(&self, claim: &XClaim) -> Result<Reply> {
        let consumer = self.consumer(&claim.key, &claim.group, &claim.consumer)?;
        let mut run = consumer.claim(&claim.ids).min_idle(claim.min_idle);
        if let Some(delivered) = claim.delivered {
            run = match delivered {
                Delivered::AtMs(ms) => run.delivered_at_ms(ms),
                Delivered::Ago(idle) if millis(idle) > self.now_ms() => run.idle(Duration::ZERO),
                Delivered::Ago(idle) => run.idle(idle),
            };
        }
        if let Some(count) = claim.retry_count {
            run = run.deliveries(deliveries(count));
        }
        if let Some(id) = claim.last_id {
            run = run.last_id(id);
        }
        run = if claim.force { run.force() } else { run };
        if claim.just_ids { run.just_ids().map(Reply::ids) } else { run.run().map(|messages| entries(&messages)) }
    }

    pub(super) fn xautoclaim(&self, claim: &XAutoClaim) -> Result<Reply> {
        let consumer = self.consumer(&claim.key, &claim.group, &claim.consumer)?;
        let run = consumer.auto_claim(claim.min_idle).start(claim.start).count(at_most(Some(claim.count)));
        let (next, found, deleted) = if claim.just_ids {
            let claimed = run.just_ids()?;
            (claimed.next, Reply::ids(claimed.ids), claimed.deleted)
        } else {
            let claimed = run.run()?;
            (claimed.next, entries(&claimed.messages), claimed.messages.deleted().to_vec())
        };
        Ok(Reply::Array(vec![Reply::id(next), found, Reply::ids(deleted)]))
    }
}

/// A count of deliveries: here it ends earlier than in Redis.
fn deliveries(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn entries(messages: &Messages) -> Reply {
    Reply::Array(messages.iter().map(|message| entry(message.entry())).collect())
}
