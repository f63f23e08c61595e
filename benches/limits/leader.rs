//! The ideal group commit: what many threads want to be synced goes into one buffer, and the first of them who finds nobody at it
//! writes and syncs it for all. No checks, no format, no order to keep.
//!
//! Which of two ways is the better depends on how long a sync takes beside a switch of threads, so the better counts.

use std::sync::{Condvar, Mutex};
use std::thread;

use crate::raw::Ring;

/// When the leader takes the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// As soon as it leads.
    AtOnce,
    /// After the others had the processor once: those who return from the batch before come along with their next.
    AfterOthers,
}

pub(crate) struct Leader<'a> {
    ring: &'a Ring,
    takes: Takes,
    state: Mutex<State>,
    /// Who waits for a batch with an even number, and with an odd one: there are never more than two, the one being synced and the
    /// one being filled, and nobody is woken for the other's sake.
    woken: [Condvar; 2],
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    /// The memory of the batch before, for the next.
    spare: Vec<u8>,
    /// The number of the batch in `buffer`.
    filling: u64,
    /// How many batches are synced.
    synced: u64,
    is_led: bool,
}

impl<'a> Leader<'a> {
    pub(crate) fn new(ring: &'a Ring, takes: Takes) -> Leader<'a> {
        Leader { ring, takes, state: Mutex::default(), woken: Default::default() }
    }

    /// Adds to what the next sync covers, and does not wait for it.
    pub(crate) fn note(&self, bytes: &[u8]) {
        self.state.lock().expect("nobody panicked").buffer.extend_from_slice(bytes);
    }

    /// Returns when the bytes are synced.
    pub(crate) fn commit(&self, bytes: &[u8]) {
        let mut state = self.state.lock().expect("nobody panicked");
        state.buffer.extend_from_slice(bytes);
        let mine = state.filling;
        while state.synced <= mine {
            if state.is_led {
                state = self.woken[(mine % 2) as usize].wait(state).expect("nobody panicked");
                continue;
            }
            state.is_led = true;
            if self.takes == Takes::AfterOthers {
                drop(state);
                thread::yield_now();
                state = self.state.lock().expect("nobody panicked");
            }
            state.filling += 1;
            let spare = std::mem::take(&mut state.spare);
            let mut buffer = std::mem::replace(&mut state.buffer, spare);
            drop(state);
            let file = self.ring.write(&buffer);
            self.ring.sync(file);
            buffer.clear();
            state = self.state.lock().expect("nobody panicked");
            state.spare = buffer;
            state.is_led = false;
            state.synced = mine + 1;
            self.woken[(mine % 2) as usize].notify_all();
            // One of the next batch leads it.
            self.woken[((mine + 1) % 2) as usize].notify_one();
        }
    }
}
