//! Adding entries: one, or a batch that is there whole or not at all (`XADD`).

use std::cell::Cell;

use super::Stream;
use super::core::{Ids, Plan, found};
use crate::entry::{IntoFields, encode_body};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Id, IdSpec};
use crate::options::Durability;
use crate::state::change::{Added, Bodies};
use crate::trim::Trim;

thread_local! {
    /// Where a thread's next entries are encoded, before any lock is taken.
    static SCRATCH: Cell<Bodies> = const { Cell::new(Bodies { bytes: Vec::new(), ends: Vec::new() }) };
}

/// A batch larger than this does not keep its memory for the thread's next.
const SCRATCH_BYTES_MAX: usize = 1 << 20;

fn with_scratch<T>(f: impl FnOnce(&mut Bodies) -> T) -> T {
    let mut bodies = SCRATCH.take();
    bodies.clear();
    let value = f(&mut bodies);
    if bodies.bytes.capacity() <= SCRATCH_BYTES_MAX {
        SCRATCH.set(bodies);
    }
    value
}

impl Stream {
    /// Adds an entry and returns its ID, once the entry is as durable as the broker's
    /// [`durability`](crate::Builder::durability) says. Creates the stream if there is none (`XADD key * …`).
    ///
    /// ```
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// let first = orders.add([("sku", "A1"), ("qty", "2")])?;
    /// let second = orders.add([("sku", "B7"), ("qty", "1")])?;
    /// assert!(first < second);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TooLarge`](crate::ErrorKind::TooLarge) and [`InvalidArgument`](crate::ErrorKind::InvalidArgument) (no fields) before anything is
    /// written. After another error the entry may be there once the broker is opened again.
    pub fn add(&self, fields: impl IntoFields) -> Result<Id> {
        self.add_with(fields, IdSpec::Auto, None, self.core().options.durability)
    }

    /// Begins an entry with an ID of its own, a trim or another durability.
    ///
    /// ```
    /// use streamlog::{Durability, Id, IdSpec, Trim};
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// let id = orders.entry([("sku", "A1")]).id(Id::new(5, 1)).add()?;
    /// let next = orders.entry([("sku", "B7")]).id(IdSpec::AutoSeq(5)).add()?;
    /// assert_eq!(next, Id::new(5, 2));
    /// orders.entry([("sku", "C3")]).trim(Trim::max_len(1000)).durability(Durability::Os).add()?;
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    pub fn entry<F: IntoFields>(&self, fields: F) -> NewEntry<'_, F> {
        NewEntry { stream: self, fields, id: IdSpec::Auto, trim: None, durability: self.core().options.durability }
    }

    /// Adds several entries as one: after a crash they are all there or none, and no reader sees some without the
    /// others. Returns their IDs, in order.
    ///
    /// ```
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// let ids = orders.add_batch([[("sku", "A1")], [("sku", "B7")]])?;
    /// assert_eq!(ids.len(), 2);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`add`](Stream::add); nothing is added.
    pub fn add_batch<I>(&self, entries: I) -> Result<Vec<Id>>
    where
        I: IntoIterator<Item: IntoFields>,
    {
        let mut batch = self.batch();
        for fields in entries {
            batch.push(fields)?;
        }
        batch.add()
    }

    /// Begins a batch to which entries are pushed one by one.
    ///
    /// ```
    /// use streamlog::Id;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let orders = broker.stream("orders")?;
    /// let mut batch = orders.batch();
    /// batch.push([("sku", "A1")])?;
    /// batch.push_with_id(Id::MAX, [("sku", "last")])?;
    /// assert_eq!(batch.add()?.len(), 2);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    pub fn batch(&self) -> Batch<'_> {
        let durability = self.core().options.durability;
        Batch { stream: self, bodies: Bodies::default(), ids: Vec::new(), trim: None, durability }
    }

    fn add_with(&self, fields: impl IntoFields, id: IdSpec, trim: Option<Trim>, durability: Durability) -> Result<Id> {
        with_scratch(|bodies| {
            encode_body(fields, self.core().options.max_entry_bytes, &mut bodies.bytes)?;
            bodies.end_body();
            let ids = self.add_bodies(&[id], bodies, trim, durability)?;
            match ids {
                Ids::One([id]) => Ok(id),
                Ids::None | Ids::Many(_) => unreachable!("one entry has one ID"),
            }
        })
    }

    fn add_bodies(&self, specs: &[IdSpec], bodies: &Bodies, trim: Option<Trim>, durability: Durability) -> Result<Ids> {
        if specs.contains(&IdSpec::Exact(Id::MIN)) {
            // Whatever else is wrong with the others.
            IdSpec::Exact(Id::MIN).assign(Id::MIN, 0)?;
        }
        self.commit_created(durability, bodies, |inner, blocks| {
            let now_ms = self.core().clock.now_ms();
            let ids = assign(specs, inner.state.last_id, now_ms)?;
            let added = Added { ids: ids.as_slice(), bodies };
            let mut changes = Vec::new();
            if let Some(trim) = trim {
                changes.extend(found!(inner.state.plan_trim(trim, now_ms, Some(added), blocks)));
            }
            Ok(Plan::Write { value: ids.clone(), ids, changes })
        })
    }
}

fn assign(specs: &[IdSpec], mut last: Id, now_ms: u64) -> Result<Ids> {
    if let [spec] = specs {
        return Ok(Ids::One([spec.assign(last, now_ms)?]));
    }
    let mut ids = Vec::with_capacity(specs.len());
    for spec in specs {
        last = spec.assign(last, now_ms)?;
        ids.push(last);
    }
    Ok(Ids::Many(ids))
}

/// An entry about to be added: [`Stream::entry`].
#[derive(Debug)]
#[must_use = "nothing is added before `add` is called"]
pub struct NewEntry<'a, F> {
    stream: &'a Stream,
    fields: F,
    id: IdSpec,
    trim: Option<Trim>,
    durability: Durability,
}

impl<'a, F: IntoFields> NewEntry<'a, F> {
    /// The entry's ID; [`IdSpec::Auto`] if not said.
    pub fn id(mut self, id: impl Into<IdSpec>) -> Self {
        self.id = id.into();
        self
    }

    /// Trims the stream in the same stroke (`XADD … MAXLEN …`), the new entry counted.
    pub fn trim(mut self, trim: Trim) -> Self {
        self.trim = Some(trim);
        self
    }

    /// What the entry must survive before [`add`](NewEntry::add) returns; the broker's durability if not said.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The entry's stream, its fields and its durability, of an entry that gets its ID later.
    pub(super) fn into_plain(self) -> Result<(&'a Stream, F, Durability)> {
        let NewEntry { stream, fields, id, trim, durability } = self;
        if id != IdSpec::Auto || trim.is_some() {
            let text = "an entry that is added later gets its ID then, and trims nothing";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        Ok((stream, fields, durability))
    }

    /// Adds the entry and returns its ID.
    ///
    /// # Errors
    ///
    /// As [`Stream::add`]; [`IdTooSmall`](crate::ErrorKind::IdTooSmall), [`IdsExhausted`](crate::ErrorKind::IdsExhausted) and
    /// [`InvalidId`](crate::ErrorKind::InvalidId) (`0-0`).
    pub fn add(self) -> Result<Id> {
        self.stream.add_with(self.fields, self.id, self.trim, self.durability)
    }
}

/// Entries about to be added together: [`Stream::batch`].
#[derive(Debug)]
#[must_use = "nothing is added before `add` is called"]
pub struct Batch<'a> {
    stream: &'a Stream,
    bodies: Bodies,
    ids: Vec<IdSpec>,
    trim: Option<Trim>,
    durability: Durability,
}

impl Batch<'_> {
    /// Takes an entry into the batch.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](crate::ErrorKind::TooLarge) if the entry or with it the batch is over its limit, and
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it has no fields; the batch stays as it was.
    pub fn push(&mut self, fields: impl IntoFields) -> Result<()> {
        self.push_with_id(IdSpec::Auto, fields)
    }

    /// Takes an entry with an ID of its own into the batch.
    ///
    /// # Errors
    ///
    /// As [`push`](Batch::push).
    pub fn push_with_id(&mut self, id: impl Into<IdSpec>, fields: impl IntoFields) -> Result<()> {
        let options = &self.stream.core().options;
        let id = id.into();
        let start = self.bodies.ends.last().copied().unwrap_or(0);
        // What a panic in the fields before left.
        self.bodies.bytes.truncate(start);
        encode_body(fields, options.max_entry_bytes, &mut self.bodies.bytes)?;
        // An ID and a length stand beside each body.
        let bytes = self.bodies.bytes.len() + (self.bodies.len() + 1) * 32;
        if bytes > options.max_batch_bytes {
            self.bodies.bytes.truncate(start);
            return Err(Error::too_large("a batch", bytes, options.max_batch_bytes));
        }
        self.bodies.end_body();
        self.ids.push(id);
        Ok(())
    }

    /// How many entries were pushed.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Trims the stream in the same stroke, the new entries counted.
    pub fn trim(mut self, trim: Trim) -> Self {
        self.trim = Some(trim);
        self
    }

    /// What the entries must survive before [`add`](Batch::add) returns; the broker's durability if not said.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Adds all the entries and returns their IDs, in order. An empty batch adds nothing.
    ///
    /// # Errors
    ///
    /// As [`NewEntry::add`]; nothing is added.
    pub fn add(self) -> Result<Vec<Id>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        match self.stream.add_bodies(&self.ids, &self.bodies, self.trim, self.durability)? {
            Ids::Many(ids) => Ok(ids),
            Ids::One([id]) => Ok(vec![id]),
            Ids::None => Ok(Vec::new()),
        }
    }
}
