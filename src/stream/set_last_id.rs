//! Setting a stream's last ID and counters (`XSETID`).
//!
//! A last ID that lies before the last entry of the log, deleted or trimmed since, would have the log's IDs go back. The
//! stream is then made anew of what is in it, under another number.

use super::Stream;
use super::core::{Plan, found};
use super::rename::Existing;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::log::Lookup;
use crate::log::stream_log::Blocks;
use crate::state::adopted::Adopted;
use crate::state::{Change, StreamState};

impl Stream {
    /// Begins to set the last ID: IDs that are generated follow it, and others must be greater. It can be set back as far as
    /// to the last entry that is there.
    ///
    /// ```
    /// use streamlog::Id;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// orders.entry([("sku", "A1")]).id(Id::new(5, 1)).add()?;
    /// orders.set_last_id(Id::new(9, 0)).entries_added(100).set()?;
    /// assert!(orders.entry([("sku", "B7")]).id(Id::new(8, 0)).add().is_err());
    /// assert_eq!(orders.info()?.entries_added, 100);
    ///
    /// orders.set_last_id(Id::new(5, 1)).set()?;
    /// orders.entry([("sku", "B7")]).id(Id::new(8, 0)).add()?;
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    pub fn set_last_id(&self, id: Id) -> SetLastId<'_> {
        SetLastId { stream: self, id, entries_added: None, max_deleted_id: Id::MIN }
    }
}

/// A last ID about to be set: [`Stream::set_last_id`].
#[derive(Debug)]
#[must_use = "nothing is set before `set` is called"]
pub struct SetLastId<'a> {
    stream: &'a Stream,
    id: Id,
    entries_added: Option<u64>,
    /// `0-0` if not said.
    max_deleted_id: Id,
}

/// What is to be set, as found out under the stream's lock.
#[derive(Debug, Clone, Copy)]
struct Last {
    id: Id,
    entries_added: u64,
    max_deleted_id: Id,
}

impl SetLastId<'_> {
    /// How many entries count as ever added (`ENTRIESADDED`); as before if not said.
    pub fn entries_added(mut self, entries: u64) -> Self {
        self.entries_added = Some(entries);
        self
    }

    /// The greatest ID that counts as deleted from the middle (`MAXDELETEDID`); as before if not said, or `0-0`.
    pub fn max_deleted_id(mut self, id: Id) -> Self {
        self.max_deleted_id = id;
        self
    }

    /// Sets it.
    ///
    /// Where entries with greater IDs than this were deleted or trimmed, the stream is made anew of what is in it, as
    /// [`copy_to`](Stream::copy_to) copies.
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](ErrorKind::NoSuchStream); [`IdTooSmall`](ErrorKind::IdTooSmall) for an ID before the last entry, before
    /// the greatest deleted ID or the one said here; [`InvalidArgument`](ErrorKind::InvalidArgument) for fewer entries than there
    /// are; if it cannot be written. Where the stream is made anew, as [`copy_to`](Stream::copy_to) too.
    pub fn set(self) -> Result<()> {
        if self.id < self.max_deleted_id {
            return Err(too_small("the provided max_deleted_entry_id"));
        }
        let durability = self.stream.core().options.durability;
        let set = self.stream.change(durability, |inner, blocks| {
            let top = found!(inner.state.top_id(blocks));
            let Last { id: last_id, entries_added, max_deleted_id } = self.checked(&inner.state, top)?;
            if last_id < inner.state.log.last_id() {
                return Ok(Plan::Nothing(false));
            }
            Ok(Plan::change(Change::SetLast { last_id, entries_added, max_deleted_id }, true))
        })?;
        if set { Ok(()) } else { self.make_anew() }
    }

    fn make_anew(&self) -> Result<()> {
        let adopt = |state: &StreamState, top: Option<Id>| {
            let Last { id: last_id, entries_added, max_deleted_id } = self.checked(state, top)?;
            let before = Adopted::anew(state);
            let trimmed_to = before.trimmed_to.min(last_id);
            let holes_to = before.holes_to.max(before.last_id);
            Ok(Adopted { last_id, entries_added, max_deleted_id, holes_to, trimmed_to, ..before })
        };
        let stream = self.stream;
        stream.with_cell(|cell| stream.core().copy(cell, &cell.name, Existing::Replace, adopt)).map(drop)
    }

    /// What is to be set, if it can be: the last entry that is there has the ID `top`.
    fn checked(&self, state: &StreamState, top: Option<Id>) -> Result<Last> {
        if self.id < state.max_deleted_id {
            return Err(too_small("current max_deleted_entry_id"));
        }
        if top.is_some_and(|top| self.id < top) {
            return Err(too_small("the target stream top item"));
        }
        let entries_added = self.entries_added.unwrap_or(state.entries_added);
        if self.entries_added.is_some() && entries_added < state.length {
            let text = "The entries_added specified in XSETID is smaller than the target stream length";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let max_deleted_id = if self.max_deleted_id == Id::MIN { state.max_deleted_id } else { self.max_deleted_id };
        Ok(Last { id: self.id, entries_added, max_deleted_id })
    }
}

fn too_small(than: &str) -> Error {
    Error::new(ErrorKind::IdTooSmall, format!("The ID specified in XSETID is smaller than {than}"))
}

impl StreamState {
    /// The ID of the last entry that is there.
    fn top_id(&self, blocks: Blocks<'_>) -> Lookup<Option<Id>> {
        let last = self.tombstones.last_live(self.log.next_ordinal());
        match last.filter(|&last| last >= self.front.ordinal) {
            Some(last) => self.log.page(last, blocks).map(|page| Some(page.id(last))),
            None => Lookup::Found(None),
        }
    }
}
