//! Waiting: a thread as a [`Waker`], so that one kind of waiting list serves blocked threads and futures alike.
//! Knows nothing of what is waited for.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::sync::{self, Condvar, Mutex, PoisonError};

/// What a thread sleeps on. Not [`std::thread::park`]: its one token belongs to the user's code.
#[derive(Debug, Default)]
struct Parker {
    woken: Mutex<bool>,
    bell: Condvar,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_one();
    }
}

/// The calling thread, as something that can sleep and be woken.
#[derive(Debug)]
pub(crate) struct Sleeper {
    parker: Arc<Parker>,
    waker: Waker,
}

sync::thread_local! {
    static SLEEPER: Sleeper = Sleeper::new();
}

impl Sleeper {
    fn new() -> Sleeper {
        let parker = Arc::new(Parker::default());
        Sleeper { waker: Waker::from(Arc::clone(&parker)), parker }
    }

    /// Calls `f` with the calling thread's sleeper. A wake-up meant for an earlier use may end the first sleep early.
    pub(crate) fn with<T>(f: impl FnOnce(&Sleeper) -> T) -> T {
        let mut f = Some(f);
        match SLEEPER.try_with(|sleeper| f.take().map(|f| f(sleeper))) {
            Ok(Some(value)) => value,
            // The thread is ending and its own sleeper is gone.
            _ => (f.take().expect("called only once"))(&Sleeper::new()),
        }
    }

    /// What wakes this thread.
    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Sleeps until woken, or until `timeout` has passed in real time.
    pub(crate) fn sleep(&self, timeout: Option<Duration>) {
        let mut woken = self.parker.woken.lock().unwrap_or_else(PoisonError::into_inner);
        match timeout {
            None => {
                while !*woken {
                    woken = self.parker.bell.wait(woken).unwrap_or_else(PoisonError::into_inner);
                }
            }
            Some(timeout) if !*woken => {
                woken = sync::wait_timeout(&self.parker.bell, &self.parker.woken, woken, timeout);
            }
            Some(_) => {}
        }
        *woken = false;
    }
}
