//! Giving entries back without acknowledging them (`XNACK`), at once or for later.

use std::collections::BTreeMap;
use std::time::Duration;

use super::collect::Collector;
use super::core::{Plan, found};
use super::{Group, Message};
use crate::clock::millis;
use crate::error::Result;
use crate::id::Id;
use crate::options::Durability;
use crate::state::Change;

/// The count of deliveries of an entry that is given up: [`Nack::fatal`].
pub(crate) const DELIVERIES_MAX: u32 = u32::MAX;

/// What a consumer says of an entry that it gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    Silent,
    #[default]
    Fail,
    Fatal,
}

/// Entries about to be given back: [`Group::nack`].
#[derive(Debug, Clone)]
#[must_use = "nothing is given back before `run` is called"]
pub struct Nack {
    group: Group,
    ids: Vec<Id>,
    mode: Mode,
    deliveries: Option<u32>,
    delay: Duration,
    force: bool,
    durability: Durability,
}

impl Group {
    /// Gives these entries back, whoever has them: they stay pending, with nobody, and are delivered again, before what is
    /// new, to whoever fetches or claims (`XNACK` of Redis 8.8, from its documentation).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let orders = broker.stream("orders")?;
    /// # orders.add([("sku", "A1")])?;
    /// let billing = orders.group("billing").from_start().ensure()?;
    /// let batch = billing.consumer("worker-1").fetch().next()?;
    /// billing.nack(&batch.ids()).after(Duration::from_secs(30)).run()?; // tried again, not before
    /// let rescuer = billing.consumer("worker-2");
    /// assert!(rescuer.auto_claim(Duration::ZERO).run()?.messages.is_empty());
    /// billing.nack(&batch.ids()).run()?; // or now
    /// assert_eq!(rescuer.auto_claim(Duration::from_secs(60)).run()?.messages[0].deliveries(), 2);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    pub fn nack(&self, ids: &[Id]) -> Nack {
        Nack {
            group: self.clone(),
            ids: ids.to_vec(),
            mode: Mode::default(),
            deliveries: None,
            delay: Duration::ZERO,
            force: false,
            durability: self.stream().core().options.ack_durability(),
        }
    }
}

impl Message {
    /// Gives the entry back, to be delivered again at once; returns whether it was still pending. More can be said with
    /// [`Group::nack`].
    ///
    /// # Errors
    ///
    /// As [`Nack::run`].
    pub fn nack(&self) -> Result<bool> {
        self.nack_after(Duration::ZERO)
    }

    /// Gives the entry back, to be delivered again when this time has passed.
    ///
    /// # Errors
    ///
    /// As [`Nack::run`].
    pub fn nack_after(&self, delay: Duration) -> Result<bool> {
        Ok(self.group().nack(&[self.id()]).after(delay).run()? > 0)
    }
}

impl Nack {
    /// Counts the last delivery as if it had not been (`SILENT`): for a worker that goes down in good order. If nothing is
    /// said, the count stays (`FAIL`).
    pub fn silent(mut self) -> Nack {
        self.mode = Mode::Silent;
        self
    }

    /// Counts the deliveries as the most there can be, [`u32::MAX`] (`FATAL`): for an entry that nobody should try again.
    pub fn fatal(mut self) -> Nack {
        self.mode = Mode::Fatal;
        self
    }

    /// Sets the count of deliveries (`RETRYCOUNT`).
    pub fn deliveries(mut self, deliveries: u32) -> Nack {
        self.deliveries = Some(deliveries);
        self
    }

    /// Has them delivered again only when this time has passed, by the clock that IDs are made from. Only an explicit
    /// [claim](super::Consumer::claim) takes them before. Not in Redis.
    pub fn after(mut self, delay: Duration) -> Nack {
        self.delay = delay;
        self
    }

    /// Also takes entries that are not pending, if they are in the stream: counted as never delivered (`FORCE`).
    pub fn force(mut self) -> Nack {
        self.force = true;
        self
    }

    /// What this must survive before [`run`](Nack::run) returns; what acknowledgements do if not said.
    pub fn durability(mut self, durability: Durability) -> Nack {
        self.durability = durability;
        self
    }

    fn deliveries_after(&self, before: u32) -> u32 {
        self.deliveries.unwrap_or(match self.mode {
            Mode::Silent => before.saturating_sub(1),
            Mode::Fail => before,
            Mode::Fatal => DELIVERIES_MAX,
        })
    }

    /// Gives the entries back; returns how many. One given twice is counted twice.
    ///
    /// # Errors
    ///
    /// [`NoSuchGroup`](crate::ErrorKind::NoSuchGroup); if it cannot be written.
    pub fn run(self) -> Result<u64> {
        self.group.change(self.durability, |inner, group, blocks| {
            let now_ms = self.group.stream().core().clock.now_ms();
            let ready_ms = now_ms.saturating_add(millis(self.delay));
            let mut released: Vec<(Id, u32)> = Vec::new();
            // What the IDs before made of an entry.
            let mut counts: BTreeMap<Id, u32> = BTreeMap::new();
            for &id in &self.ids {
                let pending = inner.state.groups[&group].pending.get(&id).map(|row| row.deliveries);
                let deliveries = match counts.get(&id).copied().or(pending) {
                    Some(deliveries) => deliveries,
                    None if !self.force => continue,
                    None if found!(inner.collect_one(id, blocks, &mut Collector::default()))?.is_none() => continue,
                    None => 0,
                };
                let deliveries = self.deliveries_after(deliveries);
                counts.insert(id, deliveries);
                released.push((id, deliveries));
            }
            let count = released.len() as u64;
            let change = Change::Release { group, ready_ms, ids: released };
            Ok(Plan::of(if count > 0 { vec![change] } else { Vec::new() }, count))
        })
    }
}
