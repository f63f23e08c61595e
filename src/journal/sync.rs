//! Group commit: of all who wait for their records to be durable, one syncs for all whose bytes the sync covers.
//! A failure reaches every waiter, and there is no second try: after a failed sync nothing is known of the disk.
//!
//! Threads and futures wait in one list. Some of them may sync themselves: at the end of a sync that did not cover them they
//! are woken, and the first to look leads the next. The others are woken when they are covered, and have somebody who leads for
//! them, of whom nothing is known here.

use std::collections::BTreeMap;
use std::task::Waker;

use super::file::JOURNAL;
use super::{Filled, Journal, Lsn};
use crate::error::{Error, Result};
use crate::sync::atomic::Ordering;
use crate::sync::{MutexGuard, PoisonError};
use crate::wait::Sleeper;

#[derive(Debug, Default)]
pub(super) struct SyncState {
    /// Whether somebody is syncing.
    leading: bool,
    next_ticket: u64,
    /// The last record that somebody waited for who does not lead. It is synced also if he waits no longer: others see it then.
    asked: Lsn,
    waiting: BTreeMap<u64, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    lsn: Lsn,
    waker: Waker,
    leads: bool,
}

/// One who waits for a record to be durable.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) lsn: Lsn,
    /// Whether it may sync for all.
    pub(crate) leads: bool,
    ticket: Option<u64>,
}

/// Where a look leaves one who waits.
pub(crate) enum Look<'a> {
    /// The record is durable, and published.
    Settled,
    /// Until woken.
    Waits,
    /// It is this one's turn to sync.
    Leads(Turn<'a>),
}

impl Wait {
    pub(crate) fn new(lsn: Lsn, leads: bool) -> Wait {
        Wait { lsn, leads, ticket: None }
    }
}

impl Journal {
    fn sync_state(&self) -> MutexGuard<'_, SyncState> {
        self.sync.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the record `lsn` is durable. Whoever syncs calls `publish` with the LSN that became durable
    /// before anybody is told.
    ///
    /// # Errors
    ///
    /// What the sync that would have covered the record failed with.
    pub(crate) fn wait_synced(&self, lsn: Lsn, publish: impl Fn(Lsn)) -> Result<()> {
        self.wait_turn(lsn, |turn| turn.sync(&publish))
    }

    /// Returns when the records after `floor` up to `lsn` are in files that are durable, for a checkpoint that has made durable elsewhere
    /// what those before did: files that hold nothing else are left out, and before it has [said so](Self::note_durable) nothing
    /// counts as durable that came after them.
    ///
    /// # Errors
    ///
    /// What the sync failed with.
    pub(crate) fn sync_between(&self, floor: Lsn, lsn: Lsn, publish: impl Fn(Lsn)) -> Result<()> {
        self.wait_turn(lsn, |turn| turn.sync_between(floor, lsn, &publish))
    }

    fn wait_turn(&self, lsn: Lsn, sync: impl Fn(Turn<'_>) -> Result<()>) -> Result<()> {
        let mut wait = Wait::new(lsn, true);
        Sleeper::with(|sleeper| {
            loop {
                match self.look(&mut wait, sleeper.waker())? {
                    Look::Settled => return Ok(()),
                    Look::Waits => sleeper.sleep(None),
                    Look::Leads(turn) => return sync(turn),
                }
            }
        })
    }

    /// Notes that everything up to `lsn` is durable: redb has what came up to `floor`, and the journal the rest.
    pub(crate) fn note_durable(&self, floor: Lsn, lsn: Lsn) {
        self.append().unsynced.retain(|file| file.last_lsn > floor);
        self.synced.fetch_max(lsn, Ordering::Release);
    }

    /// Looks how the one who waits stands; one who is to go on waiting is in the list when this returns. Who gives up
    /// [leaves](Self::leave) it.
    ///
    /// # Errors
    ///
    /// What the sync that would have covered the record failed with.
    pub(crate) fn look(&self, wait: &mut Wait, waker: &Waker) -> Result<Look<'_>> {
        // Whoever settled it takes it off the list.
        if self.settled() >= wait.lsn {
            wait.ticket = None;
            return Ok(Look::Settled);
        }
        let mut state = self.sync_state();
        // Under the lock, for whoever finishes a sync, or fails, takes it before waking the waiters.
        if self.settled() >= wait.lsn {
            wait.ticket = None;
            return Ok(Look::Settled);
        }
        if let Err(error) = self.check() {
            wait.ticket = None;
            return Err(error);
        }
        if wait.leads && !state.leading {
            state.leading = true;
            wait.ticket.take().inspect(|ticket| drop(state.waiting.remove(ticket)));
            return Ok(Look::Leads(Turn { journal: self }));
        }
        if !wait.leads {
            state.asked = state.asked.max(wait.lsn);
        }
        let ticket = *wait.ticket.get_or_insert_with(|| {
            state.next_ticket += 1;
            state.next_ticket
        });
        state.waiting.insert(ticket, Waiter { lsn: wait.lsn, waker: waker.clone(), leads: wait.leads });
        Ok(Look::Waits)
    }

    /// Takes one who waits no longer off the list.
    #[cfg(feature = "tokio")]
    pub(crate) fn leave(&self, wait: &mut Wait) {
        let Some(ticket) = wait.ticket.take() else { return };
        let waiter = self.sync_state().waiting.remove(&ticket);
        // Not under the lock: a waker's end is its executor's code.
        drop(waiter);
    }

    /// The last record that somebody who does not lead has asked for, if it is not durable yet.
    pub(crate) fn asked(&self) -> Option<Lsn> {
        let asked = self.sync_state().asked;
        (asked > self.settled()).then_some(asked)
    }

    /// How many wait.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn waiting(&self) -> usize {
        self.sync_state().waiting.len()
    }

    /// The last record that is durable and published.
    pub(crate) fn settled(&self) -> Lsn {
        self.settled.load(Ordering::Acquire)
    }

    /// Syncs in order: nothing in a file counts as durable before all that came before it is, and before it has its name.
    pub(super) fn sync_files(&self, files: &[Filled], is_named: bool) -> Result<()> {
        let Some((last, older)) = files.split_last() else { return Ok(()) };
        let failed = |error| self.fail(Error::io("syncing the journal", error));
        older.iter().try_for_each(|older| older.file.sync()).map_err(failed)?;
        if !is_named {
            self.storage.sync_dir(JOURNAL).map_err(failed)?;
        }
        last.file.sync().map_err(failed)
    }

    /// Syncs the files that hold records after `floor` up to `lsn`, and returns the last record of them; it counts as durable if no other
    /// file comes before them.
    fn sync_once(&self, floor: Lsn, lsn: Lsn) -> Result<Lsn> {
        let (mut files, begun, is_named) = {
            let mut append = self.append();
            self.check()?;
            self.write_out(&mut append)?;
            (append.unsynced(), append.begun, append.begun == append.begun_synced)
        };
        let needed = 1 + files.iter().position(|file| file.last_lsn >= lsn).unwrap_or(files.len() - 1);
        files.truncate(needed);
        let left_out = files.partition_point(|file| file.last_lsn <= floor).min(needed - 1);
        let last = files[needed - 1].last_lsn;
        files.drain(..left_out);
        self.sync_files(&files, is_named)?;
        let mut append = self.append();
        append.begun_synced = begun;
        // Not one that more was written to meanwhile.
        append.unsynced.retain(|file| !files.contains(file));
        drop(append);
        if left_out == 0 {
            self.synced.fetch_max(last, Ordering::Release);
        }
        Ok(last)
    }

    /// Wakes everybody, to meet the failure.
    pub(super) fn wake_failed(&self) {
        let waiting = std::mem::take(&mut self.sync_state().waiting);
        waiting.into_values().for_each(|waiter| waiter.waker.wake());
    }
}

/// The turn of the one who syncs; ends when dropped, be it by a panic: the others must not wait for ever.
pub(crate) struct Turn<'a> {
    journal: &'a Journal,
}

impl Turn<'_> {
    /// Syncs for all, and has `publish` called with the LSN that became durable before anybody is told.
    ///
    /// # Errors
    ///
    /// What the sync failed with.
    pub(crate) fn sync(self, publish: impl Fn(Lsn)) -> Result<()> {
        self.sync_between(0, Lsn::MAX, publish)
    }

    fn sync_between(self, floor: Lsn, lsn: Lsn, publish: impl Fn(Lsn)) -> Result<()> {
        let last = self.journal.sync_once(floor, lsn)?;
        if self.journal.synced_lsn() >= last {
            publish(last);
            self.journal.settled.fetch_max(last, Ordering::Release);
        }
        Ok(())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut woken = Vec::new();
        {
            let mut state = self.journal.sync_state();
            state.leading = false;
            let settled = self.journal.settled();
            state.waiting.retain(|_, waiter| {
                let stays = !waiter.leads && waiter.lsn > settled;
                if !stays {
                    woken.push(waiter.waker.clone());
                }
                stays
            });
        }
        woken.into_iter().for_each(Waker::wake);
    }
}
