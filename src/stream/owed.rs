//! What calls owe to the disk: the record that must be durable before anybody is told what they returned.
//!
//! A call under [`Durability::Always`](crate::Durability) waits for that itself, unless its thread said that somebody else
//! will: then it notes the record here, and what it wrote is seen by others once that is synced, as ever. Knows no sync.

use std::cell::Cell;

use crate::journal::Lsn;
use crate::sync;

sync::thread_local! {
    /// What this thread's calls owe, if they are not to wait themselves.
    static OWED: Cell<Option<Owed>> = const { Cell::new(None) };
}

/// What calls owe to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "what is owed is to be waited for before anybody is told"]
pub(crate) struct Owed {
    /// The last record to be synced.
    pub(crate) synced: Lsn,
    /// The last record to be handed to the operating system.
    pub(crate) written: Lsn,
}

impl Owed {
    #[cfg(any(test, feature = "tokio"))]
    pub(crate) const NOTHING: Owed = Owed { synced: 0, written: 0 };

    /// What covers both.
    pub(crate) fn max(self, other: Owed) -> Owed {
        Owed { synced: self.synced.max(other.synced), written: self.written.max(other.written) }
    }
}

/// Calls `work`, whose calls wait for no sync; returns what it returned and what they owe. Not to be nested.
#[cfg(any(test, feature = "tokio"))]
pub(crate) fn owing<T>(work: impl FnOnce() -> T) -> (T, Owed) {
    /// Whoever panics owes nothing, and the thread's next calls wait again.
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            OWED.with(|owed| owed.set(None));
        }
    }
    let before = OWED.with(|owed| owed.replace(Some(Owed::NOTHING)));
    debug_assert_eq!(before, None);
    let ends = Ends;
    let value = work();
    let owed = OWED.with(Cell::get).unwrap_or_default();
    drop(ends);
    (value, owed)
}

/// Whether somebody else will wait for what this thread's calls owe.
pub(super) fn is_owing() -> bool {
    OWED.with(|owed| owed.get().is_some())
}

/// Notes that the record `lsn` must be durable; `false` if whoever calls is to wait for it.
pub(super) fn note(lsn: Lsn) -> bool {
    add(Owed { synced: lsn, written: 0 })
}

/// Notes that the record `lsn` must be handed to the operating system, if whoever calls has not done that himself.
pub(super) fn note_written(lsn: Lsn) {
    add(Owed { synced: 0, written: lsn });
}

fn add(more: Owed) -> bool {
    OWED.with(|owes| {
        let Some(owed) = owes.get() else { return false };
        owes.set(Some(owed.max(more)));
        true
    })
}
