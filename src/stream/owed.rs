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

/// What calls owe to the disk. The greater of two covers both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[must_use = "what is owed is to be waited for before anybody is told"]
pub(crate) struct Owed {
    pub(crate) lsn: Lsn,
}

impl Owed {
    pub(crate) const NOTHING: Owed = Owed { lsn: 0 };
}

/// Calls `work`, whose calls wait for no sync; returns what it returned and what they owe. Not to be nested.
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

/// Notes that the record `lsn` must be durable; `false` if whoever calls is to wait for it.
pub(super) fn note(lsn: Lsn) -> bool {
    OWED.with(|owes| {
        let Some(owed) = owes.get() else { return false };
        owes.set(Some(owed.max(Owed { lsn })));
        true
    })
}
