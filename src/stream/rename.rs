//! Another name for a stream (`RENAME`, `RENAMENX`): its number, files, groups and what is pending stay.
//!
//! The one record deletes the stream that had the name, too. The gate is taken alone: of everything else that was planned
//! for either name, all is before the record or after it.

use std::sync::Arc;

use super::Stream;
use super::catalog::check_name;
use super::cell::{Inner, StreamCell};
use super::core::Core;
use super::work::Work;
use crate::error::{Error, Result};
use crate::options::Durability;
use crate::state::Change;
use crate::state::change::encode_change;
use crate::sync::MutexGuard;

/// What becomes of a stream that has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Replace,
    Keep,
}

impl Stream {
    /// Gives the stream another name (`RENAME`): everything in it and in its groups stays, and so do those who add to it
    /// and read from it by the new name. A stream that has the name is deleted in the same stroke. With its own name
    /// nothing changes.
    ///
    /// This handle goes by the old name: it finds nothing, until there is a stream of that name again. Whoever waits in a
    /// group of this stream is told that it is gone; whoever waits in a group of the one that goes waits in this one's group of
    /// the same name, if there is one.
    ///
    /// ```
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// let id = orders.add([("sku", "A1")])?;
    /// orders.rename_to("orders-2025")?;
    /// assert!(!orders.exists());
    /// assert_eq!(broker.stream("orders-2025")?.range(..).read()?[0].id, id);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](crate::ErrorKind::NoSuchStream); [`InvalidName`](crate::ErrorKind::InvalidName); if it cannot be
    /// written.
    pub fn rename_to(&self, name: &str) -> Result<()> {
        self.rename(name, Existing::Replace).map(drop)
    }

    /// What [`rename_to`](Stream::rename_to) does, unless there is a stream with the name (`RENAMENX`): returns whether it was
    /// done.
    ///
    /// ```
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let (orders, refunds) = (broker.stream("orders")?, broker.stream("refunds")?);
    /// orders.add([("sku", "A1")])?;
    /// refunds.add([("sku", "B7")])?;
    /// assert!(!orders.rename_to_new("refunds")?);
    /// assert!(orders.rename_to_new("sales")?);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`rename_to`](Stream::rename_to).
    pub fn rename_to_new(&self, name: &str) -> Result<bool> {
        self.rename(name, Existing::Keep)
    }

    fn rename(&self, name: &str, existing: Existing) -> Result<bool> {
        check_name("stream", name)?;
        self.core().rename(self.name(), &name.into(), existing, self.core().options.durability)
    }
}

impl Core {
    /// Renames a stream; `false` if there is one with the name that is to be kept.
    fn rename(&self, from: &str, to: &Arc<str>, existing: Existing, level: Durability) -> Result<bool> {
        let synced = level == Durability::Always;
        let lsn = loop {
            let gate = self.gate_alone();
            self.check_open()?;
            let mut catalog = self.catalog_mut();
            let Some(cell) = catalog.streams.get(from).map(Arc::clone) else {
                return Err(Error::no_such_stream(from));
            };
            let target = catalog.streams.get(to).map(Arc::clone);
            if *cell.name == **to || target.is_some() && existing == Existing::Keep {
                let lsn = self.found_done(self.until(level))?;
                drop((catalog, gate));
                self.meet(lsn, level)?;
                return Ok(existing == Existing::Replace);
            }
            let (mut stream, mut replaced) = lock_both(&cell, target.as_deref());
            let renamed = Change::Rename { name: to.to_string() };
            let encode = |out: &mut Vec<u8>| {
                target.iter().for_each(|target| encode_change(target.number, &Change::DeleteStream, out));
                encode_change(cell.number, &renamed, out);
            };
            let Some(lsn) = self.append(!synced, encode)? else {
                let mut record = Vec::new();
                encode(&mut record);
                drop((stream, replaced, catalog, gate));
                self.rotate(record.len() as u64, false)?;
                continue;
            };
            self.watches.touch(from);
            self.watches.touch(to);
            self.hide(&cell, &mut stream, true);
            stream.state.apply(&renamed);
            cell.set_gone(&mut stream);
            let mut woken = stream.wake_all();
            drop(stream);
            let renamed = Arc::new(cell.under(to));
            if let (Some(target), Some(replaced)) = (&target, &mut replaced) {
                target.set_heir(&renamed);
                woken.extend(self.bury(target, replaced));
                catalog.deleted.push(Arc::clone(target));
                self.work.want(Work::CHECKPOINT);
            }
            drop(replaced);
            catalog.remove(&cell.name);
            catalog.insert(to, renamed);
            drop((catalog, gate));
            self.wake(woken);
            self.name_appeared(to);
            break lsn;
        };
        self.meet(lsn, level)?;
        Ok(true)
    }
}

/// Locks two streams, in the order of their numbers.
pub(super) fn lock_both<'a>(
    one: &'a StreamCell,
    other: Option<&'a StreamCell>,
) -> (MutexGuard<'a, Inner>, Option<MutexGuard<'a, Inner>>) {
    match other {
        Some(other) if other.number < one.number => {
            let other = other.lock();
            (one.lock(), Some(other))
        }
        other => (one.lock(), other.map(StreamCell::lock)),
    }
}
