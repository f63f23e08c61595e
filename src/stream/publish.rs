//! Publication: entries are seen once their record is as durable as it is to be, by whoever syncs for all.
//!
//! What one record added to several streams while a thread was alone is seen in all of them at once: who publishes that
//! holds all their locks, in the order of their numbers. Knows records by their number only.

use std::sync::Arc;
use std::task::Waker;

use super::cell::{self, Inner, Reached, StreamCell, Until};
use super::core::Core;
use super::work::Work;
use crate::error::Result;
use crate::journal::Lsn;
use crate::options::Sabotage;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// Streams with entries that wait to be seen.
#[derive(Debug, Default)]
pub(super) struct Unpublished {
    listed: Mutex<Listed>,
    /// The turn to publish: what is undivided is not to be met half done by another.
    turn: Mutex<()>,
    /// The last record that is written, and published if it waited only for that.
    shown: AtomicU64,
}

#[derive(Debug, Default)]
struct Listed {
    cells: Vec<Arc<StreamCell>>,
    /// The records that are to be seen in several streams at once.
    undivided: Vec<Lsn>,
}

impl Unpublished {
    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Publishes the change just made, or has it published when it is synced. Returns whom to wake.
    pub(super) fn note_news(&self, cell: &Arc<StreamCell>, stream: &mut Inner, lsn: Lsn, until: Until) -> Vec<Waker> {
        let until = if until == Until::Synced { self.until_synced() } else { until };
        if until == Until::Now && !stream.waits_to_be_seen() {
            return self.publish_now(stream);
        }
        let seen = stream.newest();
        stream.unpublished.push_back(cell::Unpublished { lsn, until, undivided: false, seen });
        // On the list before looking how far the journal is: whoever syncs or writes says so, and then takes the list.
        if until != Until::Now && !std::mem::replace(&mut stream.listed, true) {
            self.unpublished.listed().cells.push(Arc::clone(cell));
        }
        self.publish_stream(stream, self.reached(self.journal.synced_lsn()), false)
    }

    /// What is to be synced is seen no sooner.
    fn until_synced(&self) -> Until {
        if self.options.breaks(Sabotage::PublishBeforeSync) { Until::Now } else { Until::Synced }
    }

    fn reached(&self, synced: Lsn) -> Reached {
        Reached { written: self.journal.written_lsn(), synced }
    }

    /// Hands what is recorded up to `lsn` to the operating system, and publishes what waits for that: of several calls that are
    /// made together the first does it for all.
    ///
    /// # Errors
    ///
    /// As [`write_all`](crate::journal::Journal::write_all).
    pub(crate) fn write_to(&self, lsn: Lsn) -> Result<()> {
        if self.shown_lsn() < lsn {
            self.journal.write_all()?;
            self.publish(self.journal.synced_lsn());
        }
        Ok(())
    }

    /// The last record that is written, and published if it waited only for that.
    pub(crate) fn shown_lsn(&self) -> Lsn {
        self.unpublished.shown.load(Ordering::Acquire)
    }

    /// Publishes all there is, where nothing waits.
    fn publish_now(&self, stream: &mut Inner) -> Vec<Waker> {
        let before = stream.visible;
        stream.show_all();
        let woken = stream.shown(before);
        self.want_dropped_unlinked(stream);
        woken
    }

    fn publish_stream(&self, stream: &mut Inner, reached: Reached, whole: bool) -> Vec<Waker> {
        let woken = stream.publish(reached, whole);
        self.want_dropped_unlinked(stream);
        woken
    }

    fn want_dropped_unlinked(&self, stream: &Inner) {
        if stream.state.log.has_dropped() {
            self.work.want(Work::CHECKPOINT);
        }
    }

    /// Publishes what is as far as it must be by now, in all streams.
    pub(super) fn publish(&self, synced: Lsn) {
        let _turn = self.unpublished.turn();
        let reached = self.reached(synced);
        let (cells, whole) = {
            let mut listed = self.unpublished.listed();
            let before = listed.undivided.len();
            listed.undivided.retain(|&lsn| lsn > synced);
            (std::mem::take(&mut listed.cells), listed.undivided.len() < before)
        };
        if whole {
            let mut cells = cells;
            cells.sort_unstable_by_key(|cell| cell.number);
            let mut streams: Vec<_> = cells.iter().map(|cell| cell.lock()).collect();
            let woken = self.publish_all(&cells, &mut streams, reached);
            drop(streams);
            self.unpublished.shown.fetch_max(reached.written, Ordering::Release);
            woken.into_iter().for_each(Waker::wake);
            return;
        }
        for cell in cells {
            let mut stream = cell.lock();
            let woken = self.publish_stream(&mut stream, reached, false);
            stream.listed = stream.waits_to_be_seen();
            let again = stream.listed;
            drop(stream);
            woken.into_iter().for_each(Waker::wake);
            if again {
                self.unpublished.listed().cells.push(cell);
            }
        }
        self.unpublished.shown.fetch_max(reached.written, Ordering::Release);
    }

    /// The streams with entries that wait for a sync to be seen.
    pub(super) fn unpublished_cells(&self) -> Vec<Arc<StreamCell>> {
        // Whoever publishes has taken them off the list meanwhile.
        let _turn = self.unpublished.turn();
        self.unpublished.listed().cells.clone()
    }

    fn publish_all(
        &self,
        cells: &[Arc<StreamCell>],
        streams: &mut [MutexGuard<'_, Inner>],
        reached: Reached,
    ) -> Vec<Waker> {
        let mut woken = Vec::new();
        for (cell, stream) in cells.iter().zip(streams) {
            woken.extend(self.publish_stream(stream, reached, true));
            stream.listed = stream.waits_to_be_seen();
            if stream.listed {
                self.unpublished.listed().cells.push(Arc::clone(cell));
            }
        }
        woken
    }

    /// Ends the hiding of what a thread that is alone did to these streams with the record `lsn`: all of it is seen at one
    /// moment, now or when it is synced. Nobody else is in the gate. Returns whom to wake.
    pub(super) fn uncover(&self, touched: &[Arc<StreamCell>], lsn: Lsn, synced: bool) -> Vec<Waker> {
        let _turn = self.unpublished.turn();
        // Those too who wait already: something undivided may be among what they wait for.
        let mut cells = std::mem::take(&mut self.unpublished.listed().cells);
        cells.extend(touched.iter().map(Arc::clone));
        cells.sort_unstable_by_key(|cell| cell.number);
        cells.dedup_by_key(|cell| cell.number);
        let mut streams: Vec<_> = cells.iter().map(|cell| cell.lock()).collect();
        let mut woken = Vec::new();
        let mut news = Vec::new();
        for (index, stream) in streams.iter_mut().enumerate().filter(|(_, stream)| stream.hidden.is_some()) {
            woken.extend(stream.uncover());
            if stream.has_news() && !stream.deleted {
                news.push(index);
            }
        }
        let until = if synced { self.until_synced() } else { Until::Now };
        let undivided = until == Until::Synced && news.len() > 1;
        for index in news {
            let seen = streams[index].newest();
            streams[index].unpublished.push_back(cell::Unpublished { lsn, until, undivided, seen });
        }
        if undivided {
            self.unpublished.listed().undivided.push(lsn);
        }
        // Whoever syncs after this look has to wait for the turn, and finds them on the list.
        woken.extend(self.publish_all(&cells, &mut streams, self.reached(self.journal.synced_lsn())));
        woken
    }
}
