//! The journal's records, applied one after the other to what redb had, or to what was rebuilt in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::rebuild::Redeliver;
use crate::error::{Error, Result};
use crate::journal::{Lsn, file};
use crate::log::StreamLog;
use crate::log::header::Identity;
use crate::state::StreamState;
use crate::state::change::{Change, Recorded, decode};
use crate::state::tables::{Loaded, Meta};
use crate::stream::catalog::Catalog;
use crate::stream::cell::StreamCell;

/// The state, as records are applied to it.
pub(crate) struct Replay {
    pub(crate) meta: Meta,
    pub(crate) streams: BTreeMap<u64, Loaded>,
    deleted: Vec<StreamState>,
    /// The streams that had segments before the replay.
    with_segments: BTreeSet<u64>,
    /// Streams that a record of this replay deleted: no later record may name them.
    gone: BTreeSet<u64>,
    pub(crate) next_stream: u64,
    /// What is to be delivered again, if redb was lost.
    pub(crate) redeliver: Option<Redeliver>,
    /// Breaks a rule: `Sabotage::ReplayTwice`.
    pub(crate) twice: bool,
}

impl Replay {
    pub(crate) fn new(meta: Meta, streams: BTreeMap<u64, Loaded>) -> Replay {
        // Those too that are dropped and still named by redb: their files go when it no longer names them.
        let has_segments = |log: &StreamLog| log.segments().next().is_some() || log.has_dropped();
        let with_segments = |(number, loaded): (&u64, &Loaded)| has_segments(&loaded.state.log).then_some(*number);
        Replay {
            next_stream: meta.next_stream,
            meta,
            with_segments: streams.iter().filter_map(with_segments).collect(),
            streams,
            deleted: Vec::new(),
            gone: BTreeSet::new(),
            redeliver: None,
            twice: false,
        }
    }

    pub(crate) fn apply(&mut self, lsn: Lsn, record: &[u8]) -> Result<()> {
        let damaged =
            |what: &dyn std::fmt::Display| Error::corrupt(file::JOURNAL, 0, format_args!("record {lsn}: {what}"));
        for (number, change) in decode(record).map_err(|error| damaged(&error))? {
            let covered = lsn <= self.meta.catalog;
            if let Recorded::Change(Change::CreateStream { name, incarnation }) = &change {
                // One that redb covers and does not have was deleted again.
                if !covered {
                    let state = StreamState::new(number, name.as_str().into(), *incarnation);
                    self.streams.insert(number, Loaded { state, covered: 0 });
                    self.next_stream = self.next_stream.max(number + 1);
                }
                continue;
            }
            let Some(Loaded { state, covered: stream_covered }) = self.streams.get_mut(&number) else {
                if covered && !self.gone.contains(&number) {
                    continue;
                }
                return Err(damaged(&format_args!("it is about stream {number}, which there is not")));
            };
            if lsn <= *stream_covered && !self.twice {
                continue;
            }
            match change {
                Recorded::Added(entries) => {
                    entries.for_each(|(id, body)| state.apply_entry(id, body));
                    state.forget_before(state.front.ordinal);
                }
                Recorded::Change(Change::DeleteStream) => {
                    self.gone.insert(number);
                    self.deleted.extend(self.streams.remove(&number).map(|loaded| loaded.state));
                }
                Recorded::Change(change) => {
                    if let Some(redeliver) = &mut self.redeliver {
                        redeliver.apply(state, change);
                    } else {
                        state.apply(&change);
                    }
                    state.forget_before(state.front.ordinal);
                }
            }
        }
        Ok(())
    }

    /// The streams that had segments before the replay, and the catalog.
    pub(crate) fn into_catalog(self, directory: Identity) -> (BTreeSet<u64>, Catalog) {
        let cell = |state: StreamState| Arc::new(StreamCell::new(directory, state));
        let streams: BTreeMap<_, _> =
            self.streams.into_values().map(|Loaded { state, .. }| (Arc::clone(&state.name), cell(state))).collect();
        let deleted = self.deleted.into_iter().map(cell).collect();
        (self.with_segments, Catalog::new(streams, self.next_stream, deleted))
    }
}
