//! Deleting entries from anywhere (`XDEL`, `XDELEX`), also as they are acknowledged (`XACKDEL`).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::cell::Inner;
use super::collect::Collector;
use super::core::{Plan, found};
use super::{Group, Stream};
use crate::error::Result;
use crate::id::Id;
use crate::log::Lookup;
use crate::log::stream_log::Blocks;
use crate::options::Durability;
use crate::state::{Change, StreamState};
use crate::trim::{References, Removal};

impl Stream {
    /// Deletes these entries wherever they are (`XDEL`); returns how many were there. What is pending of them stays
    /// pending until it is acknowledged or claimed.
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](crate::ErrorKind::NoSuchStream); if it cannot be written.
    pub fn delete(&self, ids: &[Id]) -> Result<u64> {
        let removed = self.remove(ids, References::Keep)?;
        Ok(removed.iter().filter(|&&removal| removal == Removal::Removed).count() as u64)
    }

    /// Deletes these entries wherever they are, with what is pending of them or only if nothing is, as `references` says
    /// (`XDELEX`). Returns what became of each.
    ///
    /// With [`References::Acknowledged`] an ID that is not there is [`Removal::Referenced`] if some group has not come so far.
    ///
    /// ```
    /// use streamlog::{References, Removal};
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// let id = orders.add([("sku", "A1")])?;
    /// let billing = orders.group("billing").from_start().ensure()?;
    /// assert_eq!(orders.remove(&[id], References::Acknowledged)?, [Removal::Referenced], "not delivered yet");
    /// assert_eq!(orders.remove(&[id], References::Delete)?, [Removal::Removed]);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](crate::ErrorKind::NoSuchStream); if it cannot be written.
    pub fn remove(&self, ids: &[Id], references: References) -> Result<Vec<Removal>> {
        self.change(self.core().options.durability, |inner, blocks| {
            let mut removing = Removing::default();
            let mut removals = Vec::with_capacity(ids.len());
            for &id in ids {
                removals.push(found!(removing.remove(inner, id, references, blocks))?);
            }
            let changes = found!(removing.changes(&inner.state, blocks));
            Ok(Plan::of(changes, removals))
        })
    }
}

impl Group {
    /// Acknowledges these entries and deletes them from the stream, with what other groups have pending of them or only if
    /// no group needs them still, as `references` says (`XACKDEL`). Returns what became of each; one that is not pending
    /// here is [`Removal::Missing`].
    ///
    /// ```
    /// use streamlog::{References, Removal};
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// let id = orders.add([("sku", "A1")])?;
    /// let billing = orders.group("billing").from_start().ensure()?;
    /// billing.consumer("worker-1").read_new().next()?;
    /// assert_eq!(billing.ack_and_delete(&[id], References::Acknowledged)?, [Removal::Removed]);
    /// assert_eq!(orders.len()?, 0);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSuchGroup`](crate::ErrorKind::NoSuchGroup); if it cannot be written.
    pub fn ack_and_delete(&self, ids: &[Id], references: References) -> Result<Vec<Removal>> {
        self.ack_and_delete_with(ids, references, self.stream().core().options.ack_durability())
    }

    /// [`ack_and_delete`](Group::ack_and_delete) with a durability of its own.
    ///
    /// # Errors
    ///
    /// As [`ack_and_delete`](Group::ack_and_delete).
    pub fn ack_and_delete_with(
        &self,
        ids: &[Id],
        references: References,
        durability: Durability,
    ) -> Result<Vec<Removal>> {
        self.change(durability, |inner, group, blocks| {
            let mut removing = Removing::default();
            let mut removals = Vec::with_capacity(ids.len());
            for &id in ids {
                let pending = inner.state.groups[&group].pending.contains_key(&id);
                if !pending || !removing.forget(group, id) {
                    removals.push(Removal::Missing);
                    continue;
                }
                let removal = found!(removing.remove(inner, id, references, blocks))?;
                // What was deleted before is gone as well.
                removals.push(if removal == Removal::Missing { Removal::Removed } else { removal });
            }
            let changes = found!(removing.changes(&inner.state, blocks));
            Ok(Plan::of(changes, removals))
        })
    }
}

/// What goes, as far as it is decided.
#[derive(Default)]
struct Removing {
    /// Each with its ordinal.
    entries: Vec<(Id, u64)>,
    ordinals: BTreeSet<u64>,
    /// What is pending no longer, by group.
    forgotten: BTreeMap<u32, Vec<Id>>,
    seen: HashSet<(u32, Id)>,
}

impl Removing {
    /// Takes an entry from a group's pending list; `false` if that was done already.
    fn forget(&mut self, group: u32, id: Id) -> bool {
        let new = self.seen.insert((group, id));
        if new {
            self.forgotten.entry(group).or_default().push(id);
        }
        new
    }

    fn is_referenced(&self, state: &StreamState, id: Id) -> bool {
        state.groups.iter().any(|(&number, group)| {
            id > group.cursor || group.pending.contains_key(&id) && !self.seen.contains(&(number, id))
        })
    }

    /// Decides on one entry.
    fn remove(&mut self, inner: &Inner, id: Id, references: References, blocks: Blocks<'_>) -> Lookup<Result<Removal>> {
        if references == References::Acknowledged && self.is_referenced(&inner.state, id) {
            return Lookup::Found(Ok(Removal::Referenced));
        }
        inner.collect_one(id, blocks, &mut Collector::default()).map(|found| {
            let found = found?;
            if references == References::Delete {
                // Also of an entry that went before, and left this.
                for (&group, state) in &inner.state.groups {
                    if state.pending.contains_key(&id) {
                        self.forget(group, id);
                    }
                }
            }
            let Some(ordinal) = found.filter(|ordinal| !self.ordinals.contains(ordinal)) else {
                return Ok(Removal::Missing);
            };
            self.ordinals.insert(ordinal);
            self.entries.push((id, ordinal));
            Ok(Removal::Removed)
        })
    }

    fn changes(self, state: &StreamState, blocks: Blocks<'_>) -> Lookup<Vec<Change>> {
        let mut changes = Vec::new();
        if !self.entries.is_empty() {
            let dead: Vec<u64> = self.ordinals.iter().copied().collect();
            match state.front_without(&dead, blocks) {
                Lookup::Found(front) => changes.push(Change::Delete { entries: self.entries, front }),
                Lookup::Load(segment, at) => return Lookup::Load(segment, at),
            }
        }
        changes.extend(self.forgotten.into_iter().map(|(group, ids)| Change::Ack { group, ids }));
        Lookup::Found(changes)
    }
}
