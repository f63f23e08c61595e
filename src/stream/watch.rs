//! Names that are watched (`WATCH`): what happens to a stream touches those who watch its name. Knows who watches, and not what
//! they do then. Costs a look at a number where nobody watches.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[cfg(any(test, feature = "resp"))]
use super::core::Core;
#[cfg(any(test, feature = "resp"))]
use crate::error::Result;
#[cfg(any(test, feature = "resp"))]
use crate::options::Durability;
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// Who watches.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    /// How many do: a hint, exact for those in the gate, for whoever begins to watch is alone in it.
    many: AtomicUsize,
    names: Mutex<HashMap<Arc<str>, Vec<Arc<AtomicBool>>>>,
}

/// A stream that is watched by its name, whether or not it is there; no longer when this is dropped.
pub(crate) struct Watch {
    name: Arc<str>,
    touched: Arc<AtomicBool>,
    watches: Arc<Watches>,
}

impl Watches {
    fn names(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Arc<AtomicBool>>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the stream of this name was changed, made or deleted. The caller is in the gate.
    pub(super) fn touch(&self, name: &str) {
        if self.many.load(Ordering::Relaxed) > 0 {
            self.names().get(name).into_iter().flatten().for_each(|touched| touched.store(true, Ordering::Release));
        }
    }

    #[cfg(any(test, feature = "resp"))]
    fn watch(self: &Arc<Self>, name: &Arc<str>) -> Watch {
        let touched = Arc::new(AtomicBool::new(false));
        self.names().entry(Arc::clone(name)).or_default().push(Arc::clone(&touched));
        self.many.fetch_add(1, Ordering::Relaxed);
        Watch { name: Arc::clone(name), touched, watches: Arc::clone(self) }
    }
}

impl Watch {
    /// Whether the stream was changed, made or deleted since.
    pub(crate) fn is_touched(&self) -> bool {
        self.touched.load(Ordering::Acquire)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut names = self.watches.names();
        if let Some(watching) = names.get_mut(&self.name) {
            watching.retain(|touched| !Arc::ptr_eq(touched, &self.touched));
            if watching.is_empty() {
                names.remove(&self.name);
            }
        }
        self.watches.many.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("name", &self.name).field("touched", &self.is_touched()).finish_non_exhaustive()
    }
}

#[cfg(any(test, feature = "resp"))]
impl Core {
    /// Watches the stream of this name from now on: whoever looks after this sees everything that did not touch the watch.
    ///
    /// # Errors
    ///
    /// `Closed`; what the sync failed with that has to come before.
    pub(crate) fn watch(&self, name: &Arc<str>) -> Result<Watch> {
        let (watch, unseen) = {
            // Alone: every change is made before this, or touches the watch.
            let _gate = self.gate_alone();
            self.check_open()?;
            let watch = self.watches.watch(name);
            (watch, self.find(name).is_some_and(|cell| cell.lock().waits_for_sync()))
        };
        if unseen {
            self.meet(self.journal.last_lsn(), Durability::Always)?;
        }
        Ok(watch)
    }
}
