//! Publication: entries are seen once their record is as durable as it is to be, by whoever syncs for all.
//!
//! What one record added to several streams while a thread was alone is seen in all of them at once: who publishes that
//! holds all their locks, in the order of their numbers. Knows records by their number only.

use std::sync::Arc;
use std::task::Waker;

use super::cell::{self, Inner, StreamCell};
use super::core::Core;
use super::work::Work;
use crate::journal::Lsn;
use crate::options::Sabotage;
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// Streams with entries that wait for a sync to be seen.
#[derive(Debug, Default)]
pub(super) struct Unpublished {
    listed: Mutex<Listed>,
    /// The turn to publish: what is undivided is not to be met half done by another.
    turn: Mutex<()>,
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
    pub(super) fn note_news(&self, cell: &Arc<StreamCell>, stream: &mut Inner, lsn: Lsn, synced: bool) -> Vec<Waker> {
        let synced = self.is_unseen_until(synced);
        let seen = stream.newest();
        stream.unpublished.push_back(cell::Unpublished { lsn, synced, undivided: false, seen });
        // On the list before looking what is synced: whoever syncs says what is, and then takes the list.
        if synced && !std::mem::replace(&mut stream.listed, true) {
            self.unpublished.listed().cells.push(Arc::clone(cell));
        }
        self.publish_stream(stream, self.journal.synced_lsn(), false)
    }

    /// Whether what is to be `synced` is seen no sooner.
    fn is_unseen_until(&self, synced: bool) -> bool {
        synced && !self.options.breaks(Sabotage::PublishBeforeSync)
    }

    fn publish_stream(&self, stream: &mut Inner, synced: Lsn, whole: bool) -> Vec<Waker> {
        let woken = stream.publish(synced, whole);
        if stream.state.log.has_dropped() {
            self.work.want(Work::CHECKPOINT);
        }
        woken
    }

    /// Publishes what is durable by now, in all streams.
    pub(super) fn publish(&self, synced: Lsn) {
        let _turn = self.unpublished.turn();
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
            let woken = self.publish_all(&cells, &mut streams, synced);
            drop(streams);
            woken.into_iter().for_each(Waker::wake);
            return;
        }
        for cell in cells {
            let mut stream = cell.lock();
            let woken = self.publish_stream(&mut stream, synced, false);
            stream.listed = stream.waits_to_be_seen();
            let again = stream.listed;
            drop(stream);
            woken.into_iter().for_each(Waker::wake);
            if again {
                self.unpublished.listed().cells.push(cell);
            }
        }
    }

    fn publish_all(&self, cells: &[Arc<StreamCell>], streams: &mut [MutexGuard<'_, Inner>], synced: Lsn) -> Vec<Waker> {
        let mut woken = Vec::new();
        for (cell, stream) in cells.iter().zip(streams) {
            woken.extend(self.publish_stream(stream, synced, true));
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
        let synced = self.is_unseen_until(synced);
        let undivided = synced && news.len() > 1;
        for index in news {
            let seen = streams[index].newest();
            streams[index].unpublished.push_back(cell::Unpublished { lsn, synced, undivided, seen });
        }
        if undivided {
            self.unpublished.listed().undivided.push(lsn);
        }
        // Whoever syncs after this look has to wait for the turn, and finds them on the list.
        woken.extend(self.publish_all(&cells, &mut streams, self.journal.synced_lsn()));
        woken
    }
}
