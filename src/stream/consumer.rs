//! Consumers: whoever asks of a group by a name. What they ask is in the modules of the reads and claims.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::catalog::check_name;
use super::cell::{Inner, StreamCell};
use super::core::{Ids, Plan};
use super::history::{History, Redelivery};
use super::limits::Limits;
use super::{AutoClaim, Claim, Fetch, Group, Messages, ReadNew};
use crate::error::Result;
use crate::id::Id;
use crate::log::stream_log::Blocks;
use crate::options::Durability;
use crate::state::Change;
use crate::sync::atomic::Ordering;
use crate::sync::{Mutex, PoisonError};

/// Deliveries are recorded before they are returned, and wait for no sync: the acknowledgement's covers them.
pub(super) const DELIVERY: Durability = Durability::Os;

/// A consumer of a group, by its name. Clones share their place in what was pending before; two handles made
/// separately with the same name are one consumer that works twice.
#[derive(Clone)]
pub struct Consumer {
    member: Member,
    /// Tells what was delivered before this handle was made.
    session: u32,
    /// What was pending with it before this handle was made was delivered again up to this ID; `None` once all was.
    own: Arc<Mutex<Option<Id>>>,
}

/// A consumer by its name: what asks of a group.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(super) group: Group,
    name: Arc<str>,
}

impl Consumer {
    pub(super) fn new(group: Group, name: &str) -> Consumer {
        let session = group.stream().core().sessions.fetch_add(1, Ordering::Relaxed) + 1;
        Consumer::of_session(group, name, session)
    }

    /// One that is not to [`fetch`](Consumer::fetch), and so can do without a session of its own: they are 32 bits, and a server
    /// makes one for each command.
    pub(crate) fn without_session(group: Group, name: &str) -> Consumer {
        let session = group.stream().core().sessions.load(Ordering::Relaxed);
        Consumer::of_session(group, name, session)
    }

    fn of_session(group: Group, name: &str, session: u32) -> Consumer {
        Consumer { member: Member::new(group, name), session, own: Arc::new(Mutex::new(Some(Id::MIN))) }
    }

    /// The consumer's name.
    pub fn name(&self) -> &str {
        &self.member.name
    }

    /// The consumer's group.
    pub fn group(&self) -> &Group {
        &self.member.group
    }

    pub(super) fn member(&self) -> &Member {
        &self.member
    }

    /// What a worker wants next: first what was pending with this consumer before this handle was made (each once,
    /// after a crash or a restart), then what was [given back](Group::nack) and is ready, then, with
    /// [`Fetch::claim_idle`], what has been idle too long with others, what was delivered longest ago first, then new
    /// entries.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let orders = broker.stream("orders")?;
    /// # orders.add([("sku", "A1")])?;
    /// let worker = orders.group("billing").from_start().ensure()?.consumer("worker-1");
    /// let batch = worker.fetch().count(100).block(Duration::from_secs(1)).next()?;
    /// for message in &batch {
    ///     println!("{} {}", message.id(), message.text("sku")?);
    /// }
    /// batch.ack_all()?;
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    pub fn fetch(&self) -> Fetch {
        Fetch::new(self)
    }

    /// New entries only: those after the group's cursor (`XREADGROUP … >`).
    pub fn read_new(&self) -> ReadNew {
        ReadNew::new(self)
    }

    /// What is pending with this consumer, after an ID, delivered to it again (`XREADGROUP` with an ID).
    pub fn history(&self, after: Id) -> History {
        History::new(self, after)
    }

    /// Takes over these entries from whoever they are pending with (`XCLAIM`).
    pub fn claim(&self, ids: &[Id]) -> Claim {
        Claim::new(self, ids)
    }

    /// Takes over what has been idle for long enough (`XAUTOCLAIM`).
    pub fn auto_claim(&self, min_idle: Duration) -> AutoClaim {
        AutoClaim::new(self, min_idle)
    }

    /// [`Member::change_in`] the stream there is.
    pub(super) fn change<T>(
        &self,
        mut plan: impl FnMut(&mut Inner, Asking, Blocks<'_>, &mut Vec<Change>) -> Result<Plan<T>>,
    ) -> Result<T> {
        let changed = self.group().stream().with_cell(|cell| self.member.change_in(cell, &mut plan));
        changed.map_err(|error| self.group().error(error))
    }

    /// What was pending with this consumer before this handle was made.
    pub(super) fn own(&self, count: usize) -> Result<Option<Messages>> {
        loop {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(after) = *own else { return Ok(None) };
            let wanted = |stamp| stamp < self.session;
            let redelivery = Redelivery { after, wanted, forget_deleted: true };
            let redelivered = self
                .group()
                .stream()
                .with_cell(|cell| self.member.redeliver(cell, &redelivery, &mut Limits::each(count).left()));
            let (messages, last) = redelivered.map_err(|error| self.group().error(error))?;
            *own = last;
            if !messages.is_empty() {
                return Ok(Some(messages));
            }
        }
    }
}

impl Member {
    pub(crate) fn new(group: Group, name: &str) -> Member {
        Member { group, name: name.into() }
    }

    /// Plans for this consumer: calls `plan` with the numbers of its group and itself and the changes so far, which
    /// create it if need be. What `plan` adds is recorded; whatever it is, the consumer was seen.
    pub(super) fn change_in<T>(
        &self,
        cell: &Arc<StreamCell>,
        mut plan: impl FnMut(&mut Inner, Asking, Blocks<'_>, &mut Vec<Change>) -> Result<Plan<T>>,
    ) -> Result<T> {
        check_name("consumer", &self.name)?;
        let core = self.group.stream().core();
        self.group.change_in(cell, DELIVERY, |inner, group, blocks| {
            let now_ms = core.clock.now_ms();
            let mut changes = Vec::new();
            let state = inner.state.groups.get_mut(&group).expect("the group was looked up under this lock");
            state.stamp = core.sessions.load(Ordering::Relaxed);
            let consumer = state.consumer_or_created(group, &self.name, now_ms, &mut changes);
            let planned = plan(inner, Asking { group, consumer, now_ms }, blocks, &mut changes)?;
            // Not every change says that it was asked for: acknowledging what was deleted does not.
            inner.state.touch(group, consumer, now_ms);
            Ok(match planned {
                Plan::Nothing(value) if !changes.is_empty() => Plan::Write { ids: Ids::None, changes, value },
                other => other,
            })
        })
    }
}

/// Who asks, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    pub(super) group: u32,
    pub(super) consumer: u32,
    pub(super) now_ms: u64,
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("stream", &self.group().stream().name())
            .field("group", &self.group().name())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
