//! What the engine's threads meet on: the standard library's locks, atomics and threads, or under `--cfg shuttle` those
//! of shuttle, which runs a test's threads one at a time in an order of its own choice (`tests/shuttle`).
//!
//! What gives way to nobody while it is held stays the standard library's: the locks of a storage, the clock's.

pub(crate) use std::sync::PoisonError;
use std::time::Duration;

#[cfg(not(shuttle))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic},
    thread, thread_local,
};

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic},
    thread, thread_local,
};

/// Waits on `bell` until it rings or `timeout` has passed, or for no reason; `guard` is of `mutex`.
#[cfg(not(shuttle))]
pub(crate) fn wait_timeout<'a, T>(
    bell: &Condvar,
    _mutex: &'a Mutex<T>,
    guard: MutexGuard<'a, T>,
    timeout: Duration,
) -> MutexGuard<'a, T> {
    bell.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner).0
}

/// Shuttle knows no time, and its own `wait_timeout` never returns for it: here the time is always over at once, for
/// others had their turn.
#[cfg(shuttle)]
pub(crate) fn wait_timeout<'a, T>(
    _bell: &Condvar,
    mutex: &'a Mutex<T>,
    guard: MutexGuard<'a, T>,
    _timeout: Duration,
) -> MutexGuard<'a, T> {
    drop(guard);
    thread::yield_now();
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
