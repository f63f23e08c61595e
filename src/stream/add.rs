//! Adding entries (`XADD`): one, also once only, or a batch that is there whole or not at all.

use std::cell::Cell;

use super::Stream;
use super::cell::Inner;
use super::core::{Ids, Plan, found};
use crate::entry::{FieldsIter, IntoFields, encode_body};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Id, IdSpec};
use crate::idempotency::Idempotent;
use crate::log::stream_log::Blocks;
use crate::options::Durability;
use crate::state::change::{Added, Bodies, Change};
use crate::trim::Trim;

thread_local! {
    /// Where a thread's next entries are encoded, before any lock is taken.
    static SCRATCH: Cell<Bodies> = const { Cell::new(Bodies { bytes: Vec::new(), ends: Vec::new() }) };
}

/// A batch larger than this does not keep its memory for the thread's next.
const SCRATCH_BYTES_MAX: usize = 1 << 20;

/// Bodies in the thread's memory for them, which it gets back in the end.
#[derive(Debug)]
struct Scratch {
    bodies: Bodies,
}

impl Scratch {
    fn take() -> Scratch {
        let mut bodies = SCRATCH.take();
        bodies.clear();
        Scratch { bodies }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.bodies.bytes.capacity() <= SCRATCH_BYTES_MAX {
            // Nobody's, if the thread is at its end.
            let _ = SCRATCH.try_with(|scratch| scratch.set(std::mem::take(&mut self.bodies)));
        }
    }
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
        self.add_with(fields, IdSpec::Auto, &How::plain(self))
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
        NewEntry { stream: self, fields, id: IdSpec::Auto, how: How::plain(self) }
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
        Batch { stream: self, scratch: Scratch::take(), ids: Vec::new(), how: How::plain(self) }
    }

    fn add_with(&self, fields: impl IntoFields, id: IdSpec, how: &How) -> Result<Id> {
        let mut scratch = Scratch::take();
        let bodies = &mut scratch.bodies;
        encode_body(fields, self.core().options.max_entry_bytes, &mut bodies.bytes)?;
        bodies.end_body();
        match self.add_bodies(&[id], bodies, how)? {
            Ids::One([id]) => Ok(id),
            Ids::None | Ids::Many(_) => unreachable!("one entry has one ID"),
        }
    }

    fn add_bodies(&self, specs: &[IdSpec], bodies: &Bodies, how: &How) -> Result<Ids> {
        if specs.contains(&IdSpec::Exact(Id::MIN)) {
            // Whatever else is wrong with the others.
            IdSpec::Exact(Id::MIN).assign(Id::MIN, 0)?;
        }
        let once = how.idempotent.as_ref().map(|once| once.of(specs, bodies)).transpose()?;
        let mut plan = |inner: &mut Inner, blocks: Blocks<'_>| {
            let now_ms = self.core().clock.now_ms();
            if let Some((producer, id)) = &once
                && let Some(entry) = inner.state.producers.find(producer, id, now_ms)
            {
                inner.state.count_duplicate();
                return Ok(Plan::Nothing(Ids::One([entry])));
            }
            let ids = assign(specs, inner.state.last_id, now_ms)?;
            let added = Added { ids: ids.as_slice(), bodies };
            let mut changes = Vec::new();
            if let Some(trim) = how.trim {
                let nodes = self.core().adjustable.node_entries();
                let trimmed = found!(inner.state.plan_trim(trim, nodes, now_ms, Some(added), blocks));
                changes.extend(trimmed.into_iter().flat_map(|trimmed| trimmed.changes));
            }
            if let (Some((producer, id)), &[entry]) = (&once, ids.as_slice()) {
                let (producer, id) = (producer.to_vec(), id.clone());
                changes.push(Change::Produced { producer, id, entry, now_ms });
            }
            Ok(Plan::Write { value: ids.clone(), ids, changes })
        };
        if how.create {
            self.commit_created(how.durability, bodies, plan)
        } else {
            self.with_cell(|cell| self.core().commit(cell, how.durability, bodies, &mut plan))
        }
    }
}

/// What is asked of an add, besides its entries.
#[derive(Debug)]
struct How {
    trim: Option<Trim>,
    durability: Durability,
    /// Whether a stream that is not there is made.
    create: bool,
    idempotent: Option<Idempotent>,
}

impl How {
    fn plain(stream: &Stream) -> How {
        How { trim: None, durability: stream.core().options.durability, create: true, idempotent: None }
    }
}

impl Idempotent {
    /// The producer, and the ID that this add has with it.
    fn of(&self, specs: &[IdSpec], bodies: &Bodies) -> Result<(&[u8], Vec<u8>)> {
        self.check()?;
        if specs != [IdSpec::Auto] {
            let text = "IDMP/IDMPAUTO can be used only with auto-generated IDs";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let body = bodies.iter().next().unwrap_or_default();
        Ok((self.producer(), self.key(FieldsIter::over(body))))
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
    how: How,
}

impl<'a, F: IntoFields> NewEntry<'a, F> {
    #[cfg(feature = "tokio")]
    pub(super) fn stream(&self) -> &'a Stream {
        self.stream
    }

    /// The entry's ID; [`IdSpec::Auto`] if not said.
    pub fn id(mut self, id: impl Into<IdSpec>) -> Self {
        self.id = id.into();
        self
    }

    /// Trims the stream in the same stroke (`XADD … MAXLEN …`), the new entry counted.
    pub fn trim(mut self, trim: Trim) -> Self {
        self.how.trim = Some(trim);
        self
    }

    /// Adds nothing, and returns the ID of the first, if the same was added before (`IDMP`, `IDMPAUTO`): for a producer that
    /// cannot know whether an add that failed was made after all. The ID must be automatic. For how long, and how many of each
    /// producer, is remembered: [`Stream::set_idempotency`].
    pub fn idempotent(mut self, once: Idempotent) -> Self {
        self.how.idempotent = Some(once);
        self
    }

    /// Adds nothing to a stream that is not there: [`NoSuchStream`](ErrorKind::NoSuchStream) instead of a new one
    /// (`NOMKSTREAM`).
    pub fn existing_stream(mut self) -> Self {
        self.how.create = false;
        self
    }

    /// What the entry must survive before [`add`](NewEntry::add) returns; the broker's durability if not said.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.how.durability = durability;
        self
    }

    /// What is to be scheduled of an entry that gets its ID later.
    pub(super) fn into_later(self) -> Result<Later<'a, F>> {
        let NewEntry { stream, fields, id, how: How { trim, durability, create, idempotent } } = self;
        if id != IdSpec::Auto || trim.is_some() || idempotent.is_some() {
            let text = "an entry that is added later gets its ID then; it trims nothing, and is not idempotent";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        Ok(Later { stream, fields, durability, create })
    }

    /// Adds the entry and returns its ID.
    ///
    /// # Errors
    ///
    /// As [`Stream::add`]; [`IdTooSmall`](ErrorKind::IdTooSmall), [`IdsExhausted`](ErrorKind::IdsExhausted) and
    /// [`InvalidId`](ErrorKind::InvalidId) (`0-0`); [`InvalidArgument`](ErrorKind::InvalidArgument) for an
    /// [`idempotent`](NewEntry::idempotent) entry with an ID of its own, and for an empty ID of a producer or of an add.
    pub fn add(self) -> Result<Id> {
        self.stream.add_with(self.fields, self.id, &self.how)
    }
}

/// An entry that is to be scheduled.
pub(super) struct Later<'a, F> {
    pub(super) stream: &'a Stream,
    pub(super) fields: F,
    pub(super) durability: Durability,
    /// Whether a stream that is not there is made.
    pub(super) create: bool,
}

/// Entries about to be added together: [`Stream::batch`].
#[derive(Debug)]
#[must_use = "nothing is added before `add` is called"]
pub struct Batch<'a> {
    stream: &'a Stream,
    scratch: Scratch,
    ids: Vec<IdSpec>,
    how: How,
}

#[cfg(feature = "tokio")]
impl<'a> Batch<'a> {
    pub(super) fn stream(&self) -> &'a Stream {
        self.stream
    }
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
        let start = self.scratch.bodies.ends.last().copied().unwrap_or(0);
        // What a panic in the fields before left.
        self.scratch.bodies.bytes.truncate(start);
        encode_body(fields, options.max_entry_bytes, &mut self.scratch.bodies.bytes)?;
        // An ID and a length stand beside each body.
        let bytes = self.scratch.bodies.bytes.len() + (self.scratch.bodies.len() + 1) * 32;
        if bytes > options.max_batch_bytes {
            self.scratch.bodies.bytes.truncate(start);
            return Err(Error::too_large("a batch", bytes, options.max_batch_bytes));
        }
        self.scratch.bodies.end_body();
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
        self.how.trim = Some(trim);
        self
    }

    /// What the entries must survive before [`add`](Batch::add) returns; the broker's durability if not said.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.how.durability = durability;
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
        match self.stream.add_bodies(&self.ids, &self.scratch.bodies, &self.how)? {
            Ids::Many(ids) => Ok(ids),
            Ids::One([id]) => Ok(vec![id]),
            Ids::None => Ok(Vec::new()),
        }
    }
}
