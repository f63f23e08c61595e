//! Which streams there are: found, created and deleted by name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Waker;

use super::NO_BODIES;
use super::cell::{Inner, StreamCell};
use super::core::{Core, Ids, Made, Part, Plan};
use super::work::Work;
use crate::error::{Error, ErrorKind, Result};
use crate::log::stream_log::Blocks;
use crate::name;
use crate::options::{Durability, NAME_BYTES_MAX};
use crate::state::StreamState;
use crate::state::change::{Added, Bodies, Change, encode_change};
use crate::sync::{PoisonError, RwLockReadGuard, RwLockWriteGuard};

/// Which streams there are.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// In the order of their names: a simulation must meet them in the same order each time.
    pub(crate) streams: BTreeMap<Arc<str>, Arc<StreamCell>>,
    /// The names of users' streams, in the order of their [places](name::place).
    places: BTreeSet<(u64, Arc<str>)>,
    pub(crate) next_stream: u64,
    /// Deleted since the last checkpoint.
    pub(crate) deleted: Vec<Arc<StreamCell>>,
    /// A thread that is alone is in the middle of it: no other looks.
    pub(crate) changing: bool,
}

impl Catalog {
    pub(crate) fn new(
        streams: BTreeMap<Arc<str>, Arc<StreamCell>>,
        next_stream: u64,
        deleted: Vec<Arc<StreamCell>>,
    ) -> Catalog {
        let places = streams.keys().filter_map(place).collect();
        Catalog { streams, places, next_stream, deleted, changing: false }
    }

    pub(super) fn insert(&mut self, name: &Arc<str>, cell: Arc<StreamCell>) {
        self.places.extend(place(name));
        self.streams.insert(Arc::clone(name), cell);
    }

    pub(super) fn remove(&mut self, name: &Arc<str>) {
        if let Some(place) = place(name) {
            self.places.remove(&place);
        }
        self.streams.remove(name);
    }

    /// How many streams users have.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The names of users' streams from this place on, at least so many if there are: none has the place of one that is left
    /// out. And the place of the first that is.
    pub(crate) fn scan(&self, from: u64, count: usize) -> (Vec<Arc<str>>, Option<u64>) {
        let mut names = Vec::new();
        let mut last = None;
        for (place, name) in self.places.range((from, Arc::from(""))..) {
            if names.len() >= count && last != Some(place) {
                return (names, Some(*place));
            }
            names.push(Arc::clone(name));
            last = Some(place);
        }
        (names, None)
    }
}

fn place(name: &Arc<str>) -> Option<(u64, Arc<str>)> {
    (!name::is_reserved(name)).then(|| (name::place(name), Arc::clone(name)))
}

impl Core {
    pub(crate) fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        loop {
            let catalog = self.catalog.read().unwrap_or_else(PoisonError::into_inner);
            if !catalog.changing || self.is_alone() {
                return catalog;
            }
            drop(catalog);
            drop(self.gate());
        }
    }

    /// The catalog, to be changed; the caller is in the gate.
    pub(crate) fn catalog_mut(&self) -> RwLockWriteGuard<'_, Catalog> {
        let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        catalog.changing = self.is_alone();
        catalog
    }

    /// Every stream, by name.
    pub(crate) fn cells(&self) -> Vec<Arc<StreamCell>> {
        self.catalog().streams.values().map(Arc::clone).collect()
    }

    /// The stream with this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<StreamCell>> {
        self.catalog().streams.get(name).map(Arc::clone)
    }

    /// The stream with this name, created empty if there is none. The caller waits for what it records after.
    ///
    /// # Errors
    ///
    /// `Closed`; `WritesStopped`; what the system says.
    pub(crate) fn find_or_create(&self, name: &Arc<str>) -> Result<Arc<StreamCell>> {
        loop {
            if let Some(cell) = self.find(name) {
                return Ok(cell);
            }
            self.commit_new(name, Durability::Os, &NO_BODIES, |_, _| Ok(Plan::Nothing(())))?;
        }
    }

    /// Creates a stream and makes its first change, in one record; `None`, and nothing is done, if there is one with this
    /// name. Returns when `level` is met.
    ///
    /// # Errors
    ///
    /// What `plan` says, and then there is no stream; `Closed`; `WritesStopped`; what the system says.
    pub(crate) fn commit_new<T>(
        &self,
        name: &Arc<str>,
        level: Durability,
        bodies: &Bodies,
        mut plan: impl FnMut(&mut Inner, Blocks<'_>) -> Result<Plan<T>>,
    ) -> Result<Option<T>> {
        loop {
            let gate = self.gate();
            self.check_open()?;
            let mut catalog = self.catalog_mut();
            if catalog.streams.contains_key(name) {
                return Ok(None);
            }
            let (mut state, created) = self.new_stream(&catalog, name, None);
            let settings = self.adjustable.first_change();
            settings.iter().for_each(|change| state.apply(change));
            let cell = Arc::new(StreamCell::new(self.directory, state));
            let mut inner = cell.lock();
            let (ids, mut changes, value) = match plan(&mut inner, Blocks { cache: &self.cache, held: &[] })? {
                Plan::Write { ids, changes, value } => (ids, changes, value),
                Plan::Nothing(value) => (Ids::None, Vec::new(), value),
                Plan::Load(..) => unreachable!("a stream that is not there yet has no segments"),
            };
            changes.splice(0..0, settings);
            let adds = !ids.as_slice().is_empty();
            if adds && self.is_short_of_room() {
                drop(inner);
                drop((catalog, gate));
                self.make_room()?;
                continue;
            }
            let added = Added { ids: ids.as_slice(), bodies };
            let part = Part { cell: &cell, stream: &mut inner, created: Some(&created), added, changes: &changes };
            match self.make(self.until(level), &mut [part])? {
                Made::Done { lsn, woken, tail_bytes } => {
                    drop(inner);
                    catalog.next_stream += 1;
                    catalog.insert(name, Arc::clone(&cell));
                    drop((catalog, gate));
                    self.wake(woken);
                    self.name_appeared(name);
                    self.keep_within_bounds(&cell, tail_bytes);
                    self.meet(lsn, level)?;
                    return Ok(Some(value));
                }
                Made::NoRoom(bytes) => {
                    drop(inner);
                    drop((catalog, gate));
                    self.rotate(bytes, adds)?;
                }
            }
        }
    }

    /// Tells those who wait for a stream of this name that there is one in the catalog.
    pub(crate) fn name_appeared(&self, name: &str) {
        if !self.appears_alone(name) {
            self.absent.wake(name);
        }
    }

    /// Deletes a stream; `false` if there is none.
    ///
    /// # Errors
    ///
    /// `Closed`; `WritesStopped`; what the system says.
    pub(crate) fn delete_stream(&self, name: &str, level: Durability) -> Result<bool> {
        let lsn = loop {
            let gate = self.gate();
            self.check_open()?;
            let mut catalog = self.catalog_mut();
            let Some(cell) = catalog.streams.get(name).map(Arc::clone) else {
                break None;
            };
            let mut stream = cell.lock();
            let encode = |out: &mut Vec<u8>| encode_change(cell.number, &Change::DeleteStream, out);
            let Some(lsn) = self.append(true, encode)? else {
                drop((stream, catalog, gate));
                self.rotate(64, false)?;
                continue;
            };
            self.watches.touch(name);
            let waiting = self.bury(&cell, &mut stream);
            drop(stream);
            catalog.remove(&cell.name);
            catalog.deleted.push(Arc::clone(&cell));
            drop((catalog, gate));
            self.wake(waiting);
            self.work.want(Work::CHECKPOINT);
            break Some(lsn);
        };
        self.meet(lsn.unwrap_or_else(|| self.journal.last_lsn()), level)?;
        Ok(lsn.is_some())
    }

    /// Notes that a stream is deleted; returns whom to wake. The caller takes it out of the catalog.
    pub(super) fn bury(&self, cell: &Arc<StreamCell>, stream: &mut Inner) -> Vec<Waker> {
        self.hide(cell, stream, true);
        self.bury_alone(cell);
        stream.deleted = true;
        cell.set_gone(stream);
        self.count_tail(stream);
        stream.wake_all()
    }

    /// A stream to be created next, and the change that does it. One that another is made `anew` of keeps its incarnation.
    pub(super) fn new_stream(
        &self,
        catalog: &Catalog,
        name: &Arc<str>,
        anew: Option<&StreamCell>,
    ) -> (StreamState, Change) {
        let random = self.storage.random();
        let random = u64::from_le_bytes(random[..8].try_into().expect("eight of sixteen bytes"));
        let incarnation = anew.map_or(random, |anew| anew.incarnation);
        let created = Change::CreateStream { name: name.to_string(), incarnation };
        (StreamState::new(catalog.next_stream, Arc::clone(name), incarnation), created)
    }
}

/// Checks the name of a stream, group or consumer.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let text = format!("the name of a {what} has 1 to {NAME_BYTES_MAX} bytes, not {}", name.len());
        return Err(Error::new(ErrorKind::InvalidName, text));
    }
    if name::is_reserved(name) {
        let text =
            format!("the name of a {what} does not begin with {:?}: such names are the broker's own", name::RESERVED);
        return Err(Error::new(ErrorKind::InvalidName, text));
    }
    Ok(())
}
