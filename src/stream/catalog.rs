//! Which streams there are: found, created and deleted by name.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard};
use std::task::Waker;

use super::cell::StreamCell;
use super::core::Core;
use super::work::Work;
use crate::error::{Error, ErrorKind, Result};
use crate::options::{Durability, NAME_BYTES_MAX};
use crate::state::StreamState;
use crate::state::change::{Change, encode_change};

/// Which streams there are.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// In the order of their names: a simulation must meet them in the same order each time.
    pub(crate) streams: BTreeMap<Arc<str>, Arc<StreamCell>>,
    pub(crate) next_stream: u64,
    /// Deleted since the last checkpoint.
    pub(crate) deleted: Vec<Arc<StreamCell>>,
}

impl Core {
    pub(crate) fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn catalog_mut(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every stream, by name.
    pub(crate) fn cells(&self) -> Vec<Arc<StreamCell>> {
        self.catalog().streams.values().map(Arc::clone).collect()
    }

    /// The stream with this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<StreamCell>> {
        self.catalog().streams.get(name).map(Arc::clone)
    }

    /// The stream with this name, created if there is none. The caller waits for what it records after.
    ///
    /// # Errors
    ///
    /// `Closed`; `WritesStopped`; what the system says.
    pub(crate) fn find_or_create(&self, name: &Arc<str>) -> Result<Arc<StreamCell>> {
        loop {
            if let Some(cell) = self.find(name) {
                return Ok(cell);
            }
            let gate = self.gate();
            self.check_open()?;
            let mut catalog = self.catalog_mut();
            if let Some(cell) = catalog.streams.get(name) {
                return Ok(Arc::clone(cell));
            }
            let number = catalog.next_stream;
            let incarnation =
                u64::from_le_bytes(self.storage.random()[..8].try_into().expect("eight of sixteen bytes"));
            let change = Change::CreateStream { name: name.to_string(), incarnation };
            let encode = |out: &mut Vec<u8>| encode_change(number, &change, out);
            if self.journal.append_record(true, encode)?.is_none() {
                drop((catalog, gate));
                self.rotate((name.len() + 64) as u64)?;
                continue;
            }
            let state = StreamState::new(number, Arc::clone(name), incarnation);
            let cell = Arc::new(StreamCell::new(self.directory, state));
            catalog.next_stream += 1;
            catalog.streams.insert(Arc::clone(name), Arc::clone(&cell));
            return Ok(cell);
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
            let Some(lsn) = self.journal.append_record(true, encode)? else {
                drop((stream, catalog, gate));
                self.rotate(64)?;
                continue;
            };
            stream.deleted = true;
            cell.deleted.store(true, Ordering::Release);
            self.count_tail(&mut stream);
            let waiting = stream.wake_all();
            drop(stream);
            catalog.streams.remove(name);
            catalog.deleted.push(Arc::clone(&cell));
            drop((catalog, gate));
            waiting.into_iter().for_each(Waker::wake);
            self.work.want(Work::CHECKPOINT);
            break Some(lsn);
        };
        if level == Durability::Always {
            self.sync_to(lsn.unwrap_or_else(|| self.journal.last_lsn()))?;
        }
        Ok(lsn.is_some())
    }
}

/// Checks the name of a stream, group or consumer.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let text = format!("the name of a {what} has 1 to {NAME_BYTES_MAX} bytes, not {}", name.len());
        return Err(Error::new(ErrorKind::InvalidName, text));
    }
    Ok(())
}
