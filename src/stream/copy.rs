//! A copy of a stream, under another name or its own (`COPY`): entries that are there, groups, consumers, what is pending,
//! counters and settings, in one record.
//!
//! Most of the entries are gathered before any lock is held for long; what came meanwhile is under the source's lock, at the
//! moment that is copied. Nobody sees the copy, nor that what it replaces is gone, before it is as durable as it is to be.

use std::sync::Arc;

use super::Stream;
use super::catalog::check_name;
use super::cell::{Inner, StreamCell};
use super::core::Core;
use super::rename::Existing;
use super::work::Work;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::log::stream_log::Blocks;
use crate::log::{Lookup, Page};
use crate::options::{Durability, RECORD_BYTES_MAX};
use crate::state::StreamState;
use crate::state::adopted::Adopted;
use crate::state::change::{Added, Bodies, Change, encode_added, encode_change};

/// About this much is gathered while the source is locked.
const STEP_BYTES: usize = 1 << 20;

/// What stands beside an entry's body in a record: its ID and a length, at most.
const BESIDE_BYTES: usize = 32;

impl Stream {
    /// Makes another stream a copy of this one (`COPY … REPLACE`): the entries that are there, the groups with their consumers
    /// and what is pending with them since when, the last ID, counters, retention and producers. A stream that has the name
    /// is deleted in the same stroke. The copy is this stream as it was at one moment of the call; it is there whole or not
    /// at all, and nobody sees a part of it.
    ///
    /// It takes a few times the stream's size in memory, and writers wait while it is written. For large streams
    /// [`Broker::backup_to`](crate::Broker::backup_to) copies files.
    ///
    /// ```
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// let billing = orders.group("billing").from_start().create()?;
    /// orders.add([("sku", "A1")])?;
    /// billing.consumer("worker-1").read_new().next()?;
    /// orders.copy_to("experiment")?;
    ///
    /// let experiment = broker.stream("experiment")?;
    /// assert_eq!(experiment.range(..).read()?, orders.range(..).read()?);
    /// let copy = experiment.group("billing").existing()?;
    /// copy.ack(&[orders.info()?.last_id])?;
    /// assert_eq!((copy.pending()?.count, billing.pending()?.count), (0, 1));
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](ErrorKind::NoSuchStream); [`InvalidName`](ErrorKind::InvalidName);
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a copy onto itself; [`TooLarge`](ErrorKind::TooLarge) if the entries
    /// do not fit one record, of [`RECORD_BYTES_MAX`] bytes; if it cannot be written.
    pub fn copy_to(&self, name: &str) -> Result<()> {
        self.copy(name, Existing::Replace).map(drop)
    }

    /// What [`copy_to`](Stream::copy_to) does, unless there is a stream with the name (`COPY`): returns whether it was done.
    ///
    /// ```
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// orders.add([("sku", "A1")])?;
    /// assert!(orders.copy_to_new("experiment")?);
    /// assert!(!orders.copy_to_new("experiment")?);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`copy_to`](Stream::copy_to).
    pub fn copy_to_new(&self, name: &str) -> Result<bool> {
        self.copy(name, Existing::Keep)
    }

    fn copy(&self, name: &str, existing: Existing) -> Result<bool> {
        check_name("stream", name)?;
        if name == self.name() {
            return Err(Error::new(ErrorKind::InvalidArgument, "source and destination objects are the same"));
        }
        let name = name.into();
        self.with_cell(|cell| self.core().copy(cell, &name, existing, |state, _| Ok(Adopted::of(state))))
    }
}

impl Core {
    /// Makes a new stream named `name` of the entries of another, and of what `adopt` makes of it and its last entry's ID at the
    /// same moment; `false`, and nothing is done, if there is a stream with the name that is to be kept.
    ///
    /// # Errors
    ///
    /// What `adopt` says; `NoSuchStream`; `TooLarge`; `Closed`; `WritesStopped`; what the system says; `Corrupt`.
    pub(super) fn copy(
        &self,
        source: &Arc<StreamCell>,
        name: &Arc<str>,
        existing: Existing,
        adopt: impl Fn(&StreamState, Option<Id>) -> Result<Adopted>,
    ) -> Result<bool> {
        let level = self.options.durability;
        let synced = level == Durability::Always;
        let mut gathered = Gathered::of_at_most(RECORD_BYTES_MAX);
        let mut held = Vec::new();
        while !self.read(source, |inner, blocks| inner.gather(&mut gathered, STEP_BYTES, blocks))? {}
        loop {
            let gate = self.gate_alone();
            self.check_open()?;
            let mut catalog = self.catalog_mut();
            let target = catalog.streams.get(name).map(Arc::clone);
            if target.is_some() && existing == Existing::Keep {
                let lsn = self.found_done(self.until(level))?;
                drop((catalog, gate));
                self.meet(lsn, level)?;
                return Ok(false);
            }
            // Nobody else changes a stream: its lock is for those who read and flush.
            let stream = source.lock();
            if source.is_gone() {
                return Err(Error::no_such_stream(&source.name));
            }
            if let Lookup::Load(segment, at) =
                stream.gather(&mut gathered, usize::MAX, Blocks { cache: &self.cache, held: &held })?
            {
                drop((stream, catalog, gate));
                held.extend(self.load(source, &segment, at)?);
                continue;
            }
            gathered.keep_live(&stream.state);
            let adopted = adopt(&stream.state, gathered.ids.last().copied())?;
            // Entries that nobody may see yet must not be seen in the copy.
            let synced = synced || stream.waits_to_be_seen();
            drop(stream);
            if !gathered.ids.is_empty() && self.is_short_of_room() {
                drop((catalog, gate));
                self.make_room()?;
                continue;
            }
            let (mut state, created) =
                self.new_stream(&catalog, name, target.as_deref().filter(|target| target.number == source.number));
            let added = Added { ids: &gathered.ids, bodies: &gathered.bodies };
            let adopted = Change::Adopt(Box::new(adopted));
            let encode = |out: &mut Vec<u8>| {
                target.iter().for_each(|target| encode_change(target.number, &Change::DeleteStream, out));
                encode_change(state.number, &created, out);
                if !added.ids.is_empty() {
                    encode_added(state.number, added, out);
                }
                encode_change(state.number, &adopted, out);
            };
            let Some(lsn) = self.append(!synced, encode)? else {
                let mut record = Vec::new();
                encode(&mut record);
                drop((catalog, gate));
                self.rotate(record.len() as u64, !added.ids.is_empty())?;
                continue;
            };
            for (&id, body) in added.ids.iter().zip(added.bodies.iter()) {
                state.apply_entry(id, body);
            }
            state.apply(&adopted);
            state.stamp_as(&source.lock().state);
            // Whoever is alone waits at the end, and is alone so long.
            if synced && !self.keep_secret() {
                self.sync_to(lsn)?;
            }
            let copy = Arc::new(StreamCell::new(self.directory, state));
            let tail_bytes = self.count_tail(&mut copy.lock());
            self.hide(&copy, &mut copy.lock(), true);
            let mut woken = Vec::new();
            let anew = target.as_ref().is_some_and(|target| Arc::ptr_eq(target, source));
            if !anew {
                self.watches.touch(name);
            }
            if let Some(target) = target {
                target.set_heir(&copy);
                woken = self.bury(&target, &mut target.lock());
                catalog.deleted.push(target);
                self.work.want(Work::CHECKPOINT);
            }
            catalog.next_stream += 1;
            catalog.insert(name, Arc::clone(&copy));
            drop((catalog, gate));
            self.wake(woken);
            self.name_appeared(name);
            self.keep_within_bounds(&copy, tail_bytes);
            self.meet(lsn, level)?;
            return Ok(true);
        }
    }
}

/// Live entries of a stream, on their way to a record.
#[derive(Debug)]
struct Gathered {
    /// How large the record may be.
    bytes_max: usize,
    /// The first ordinal that was not looked at.
    next: u64,
    ordinals: Vec<u64>,
    ids: Vec<Id>,
    bodies: Bodies,
}

impl Gathered {
    fn of_at_most(bytes_max: usize) -> Gathered {
        Gathered { bytes_max, next: 0, ordinals: Vec::new(), ids: Vec::new(), bodies: Bodies::default() }
    }

    fn push(&mut self, ordinal: u64, id: Id, body: &[u8]) -> Result<()> {
        self.ordinals.push(ordinal);
        self.ids.push(id);
        self.bodies.bytes.extend_from_slice(body);
        self.bodies.end_body();
        let bytes = self.bodies.bytes.len() + self.ids.len() * BESIDE_BYTES;
        if bytes > self.bytes_max {
            return Err(Error::too_large("a copy of a stream", bytes, self.bytes_max));
        }
        Ok(())
    }

    /// Gives up what was deleted or trimmed since it was gathered.
    fn keep_live(&mut self, state: &StreamState) {
        let is_live = |ordinal: u64| ordinal >= state.front.ordinal && !state.tombstones.contains(ordinal);
        if self.ordinals.iter().all(|&ordinal| is_live(ordinal)) {
            return;
        }
        let all = std::mem::replace(self, Gathered::of_at_most(self.bytes_max));
        self.next = all.next;
        let entries = all.ordinals.into_iter().zip(all.ids).zip(all.bodies.iter());
        for ((ordinal, id), body) in entries.filter(|((ordinal, _), _)| is_live(*ordinal)) {
            self.push(ordinal, id, body).expect("they are fewer than there were");
        }
    }
}

impl Inner {
    /// Gathers about `bytes` of the live entries that are left; returns whether none are.
    fn gather(&self, gathered: &mut Gathered, bytes: usize, blocks: Blocks<'_>) -> Result<Lookup<bool>> {
        let (log, tombstones) = (&self.state.log, &self.state.tombstones);
        let enough = gathered.bodies.bytes.len().saturating_add(bytes);
        loop {
            gathered.next = tombstones.first_live(gathered.next.max(self.state.front.ordinal));
            if gathered.next >= log.next_ordinal() {
                return Ok(Lookup::Found(true));
            }
            let page = match log.page(gathered.next, blocks) {
                Lookup::Found(page) => page,
                Lookup::Load(segment, at) => return Ok(Lookup::Load(segment, at)),
            };
            for ordinal in gathered.next..page.next_ordinal() {
                gathered.next = ordinal + 1;
                if tombstones.contains(ordinal) {
                    continue;
                }
                match &page {
                    Page::Block(block) => {
                        if let Some(error) = block.damage(ordinal) {
                            return Err(error.again().in_stream(&self.state.name));
                        }
                        let (id, range) = block.entry(ordinal);
                        gathered.push(ordinal, id, &block.bytes()[range])?;
                    }
                    Page::Chunk(chunk) => {
                        let (id, body) = chunk.body(ordinal);
                        gathered.push(ordinal, id, body)?;
                    }
                }
            }
            if gathered.bodies.bytes.len() >= enough {
                return Ok(Lookup::Found(false));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_a_record_is_refused_before_it_is_all_in_memory() {
        let mut gathered = Gathered::of_at_most(200);
        gathered.push(0, Id::new(1, 0), &[7; 100]).unwrap();
        gathered.push(1, Id::new(2, 0), &[7; 30]).unwrap();
        let refused = gathered.push(2, Id::new(3, 0), &[7; 10]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TooLarge);
        assert_eq!(refused.to_string(), "a copy of a stream of 236 bytes is over the limit of 200");
    }

    #[test]
    fn what_went_since_it_was_gathered_is_not_copied() {
        let mut state = StreamState::new(1, "orders".into(), 1);
        let mut gathered = Gathered::of_at_most(1000);
        for ordinal in 0..5 {
            state.apply_entry(Id::new(ordinal + 1, 0), &[ordinal as u8; 3]);
            gathered.push(ordinal, Id::new(ordinal + 1, 0), &[ordinal as u8; 3]).unwrap();
        }
        gathered.next = 5;
        gathered.keep_live(&state);
        assert_eq!(gathered.ids.len(), 5);
        state.tombstones.insert(3);
        state.front.ordinal = 1;
        gathered.keep_live(&state);
        assert_eq!((gathered.next, &gathered.ordinals[..]), (5, &[1, 2, 4][..]));
        assert_eq!(gathered.bodies.iter().collect::<Vec<_>>(), [[1; 3], [2; 3], [4; 3]]);
    }
}
