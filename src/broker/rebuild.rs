//! Redb lost or damaged: its state again, from the snapshot that a journal file begins with, the files of the segments,
//! and the journal's records since.
//!
//! A journal file's snapshot says nothing of consumers, and of what was pending only the oldest ID: each group goes back
//! to before that, and what it had since is delivered again. Streams, groups and entries are all there, or it is damage.
//!
//! The snapshot does not know how far segments were written since, or which began since; their files say that. What they
//! have and the journal adds once more is not written again ([`StreamLog::new`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::Range;

use super::replay::Replay;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::journal::{self, Lsn, Recovery};
use crate::log::Position;
use crate::log::files::{parse_segment_name, segment_path, stream_dir};
use crate::log::header::Identity;
use crate::log::survey::{Stop, Survey, read_header};
use crate::state::StreamState;
use crate::state::change::Change;
use crate::state::delta::StreamRow;
use crate::state::snapshot::{Snapshot, StreamSnapshot};
use crate::state::tables::{Loaded, Meta};
use crate::storage::Storage;

/// Rebuilds the state and replays the journal on it. `lost` is what is wrong with redb.
///
/// # Errors
///
/// `Corrupt` if the journal or the segments do not have everything; what the system says.
pub(super) fn rebuild(storage: &dyn Storage, directory: Identity, lost: &Error) -> Result<(Replay, Recovery)> {
    let files = journal::files(storage)?;
    let mut reason = None;
    // From the oldest file: those before the last checkpoint may have come back after they were removed, and not all of
    // them. Each later one suffices if the segments have all that came before it.
    for first_lsn in files {
        match from_file(storage, directory, first_lsn) {
            Err(error) if error.kind() == ErrorKind::Corrupt => reason = reason.or(Some(error)),
            rebuilt => return rebuilt,
        }
    }
    let reason = reason.map_or_else(|| "the journal has no file".to_owned(), |reason| reason.to_string());
    Err(lost.beyond_rebuilding(&reason))
}

fn from_file(storage: &dyn Storage, directory: Identity, first_lsn: Lsn) -> Result<(Replay, Recovery)> {
    let damaged =
        |what: &dyn Display| Error::corrupt(journal::file::path(first_lsn), 0, format_args!("its snapshot: {what}"));
    let snapshot = journal::snapshot(storage, directory, first_lsn)?;
    let snapshot = Snapshot::decode(&snapshot).map_err(|error| damaged(&error))?;
    let floor = first_lsn - 1;
    let meta = Meta { floor, covered: floor, catalog: floor, next_stream: snapshot.next_stream, journal: true };
    let mut streams = BTreeMap::new();
    let mut claims = BTreeMap::new();
    let mut redeliver = Redeliver::default();
    for StreamSnapshot { number, row, groups, tombstones } in snapshot.streams {
        let segments = Segments::find(storage, directory, number, row.segments, row.front.ordinal, row.next_ordinal)?;
        let row = StreamRow { segments: segments.positions, ..row };
        let next_ordinal = row.next_ordinal;
        let mut state = StreamState::from_row(number, row);
        if !state.tombstones.load_runs(&tombstones, next_ordinal) {
            return Err(damaged(&"it has deletions of no entries"));
        }
        for group in groups {
            state.load_group(group.number, group.row);
            if let Some(oldest) = group.oldest_pending {
                redeliver.from((number, group.number), oldest);
            }
        }
        state.mark_all();
        claims.insert(number, (segments.holes, segments.hollowed));
        streams.insert(number, Loaded { state, covered: floor });
    }
    let mut replay = Replay::new(meta, streams);
    replay.redeliver = Some(redeliver);
    let recovery = journal::recover(storage, directory, floor, floor, |lsn, record| replay.apply(lsn, record))?;
    let redeliver = replay.redeliver.take().unwrap_or_default();
    for (number, Loaded { state, .. }) in &mut replay.streams {
        let front = state.front.ordinal;
        let trimmed = |hole: &Range<u64>| hole.end <= front;
        let deleted = |hollow: &Range<u64>| {
            let from = hollow.start.max(front);
            trimmed(hollow) || state.tombstones.count(from, hollow.end) == hollow.end - from
        };
        let true_claims = claims
            .get(number)
            .is_none_or(|(holes, hollowed)| holes.iter().all(trimmed) && hollowed.iter().all(deleted));
        if !true_claims || !state.log.cut_back(state.last_id) {
            let what = format_args!("entries of the stream `{}` are missing", state.name);
            return Err(Error::corrupt(stream_dir(*number), 0, what).in_stream(&state.name));
        }
        redeliver.set_back(state);
    }
    Ok((replay, recovery))
}

/// What each group is to be delivered again: everything from an ID on.
#[derive(Debug, Default)]
pub(super) struct Redeliver {
    groups: BTreeMap<(u64, u32), Id>,
}

impl Redeliver {
    fn from(&mut self, group: (u64, u32), id: Id) {
        self.groups.entry(group).and_modify(|from| *from = id.min(*from)).or_insert(id);
    }

    /// Makes a recorded change, as far as it can be made without the consumers that were there before the snapshot.
    pub(super) fn apply(&mut self, state: &mut StreamState, change: Change) {
        let unknown = |group: u32, consumer: u32| {
            state.groups.get(&group).is_some_and(|group| !group.consumers.contains_key(&consumer))
        };
        let change = match change {
            Change::Deliver { group, consumer, ids, cursor, entries_read, .. } if unknown(group, consumer) => {
                ids.iter().for_each(|&id| self.from((state.number, group), id));
                Change::SetCursor { group, cursor, entries_read }
            }
            Change::Assign { group, consumer, ids, .. } if unknown(group, consumer) => {
                ids.iter().for_each(|&(id, _)| self.from((state.number, group), id));
                return;
            }
            change => change,
        };
        state.apply(&change);
    }

    fn set_back(&self, state: &mut StreamState) {
        for (&(_, group), id) in self.groups.range((state.number, 0)..=(state.number, u32::MAX)) {
            let Some(group) = state.groups.get_mut(&group) else { continue };
            let before = id.previous().unwrap_or(Id::MIN);
            if before < group.cursor {
                (group.cursor, group.entries_read) = (before, None);
            }
        }
    }
}

/// The segments of one stream, as a snapshot and their files say.
#[derive(Default)]
struct Segments {
    positions: Vec<Position>,
    /// Ordinals that no segment has and the journal need not have: they must have been trimmed since.
    holes: Vec<Range<u64>>,
    /// Ordinals whose segment has none of them any more: they must have been deleted, or trimmed since.
    hollowed: Vec<Range<u64>>,
}

impl Segments {
    /// Looks for the entries from ordinal `front` on. Those from `next_ordinal` on are in the journal too.
    fn find(
        storage: &dyn Storage,
        directory: Identity,
        stream: u64,
        known: Vec<Position>,
        front: u64,
        next_ordinal: u64,
    ) -> Result<Segments> {
        let names = match storage.list(&stream_dir(stream)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|error| Error::io(format_args!("listing {}", stream_dir(stream)), error))?,
        };
        let there: BTreeSet<Id> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
        let mut known: BTreeMap<Id, Position> = known.into_iter().map(|known| (known.first_id, known)).collect();
        let first_ids: BTreeSet<Id> = there.iter().chain(known.keys()).copied().collect();
        let mut found = Segments::default();
        let mut end = front;
        for first_id in first_ids {
            let (position, predecessor) = match known.remove(&first_id) {
                Some(hollow) if hollow.hollow => (hollow, None),
                Some(_) if !there.contains(&first_id) => continue,
                Some(sealed) if sealed.sealed => (sealed, None),
                known => match survey(storage, directory, stream, first_id, known)? {
                    Some((position, predecessor)) => (position, predecessor),
                    // Never made durable, and what was to be in it is in the journal.
                    None => break,
                },
            };
            // All of them were deleted since, and the file before was cut to its header.
            let hollowed =
                |last: &&mut Position| predecessor == Some(last.first_id) && last.next_ordinal == last.first_ordinal;
            if let Some(last) = found.positions.last_mut().filter(hollowed) {
                (last.next_ordinal, last.sealed, last.hollow) = (position.first_ordinal, true, true);
                last.last_id = first_id.previous().unwrap_or(first_id);
                found.hollowed.push(last.first_ordinal..last.next_ordinal);
                end = position.first_ordinal;
            }
            if position.first_ordinal > end {
                if position.first_ordinal >= next_ordinal {
                    break;
                }
                found.holes.push(end..position.first_ordinal);
            } else if position.first_ordinal < end && !found.positions.is_empty() {
                break;
            }
            if let Some(last) = found.positions.last_mut() {
                last.sealed = true;
            }
            end = position.next_ordinal;
            found.positions.push(position);
        }
        // A file with no entry yet is made anew.
        found.positions.pop_if(|last| last.next_ordinal == last.first_ordinal);
        if end < next_ordinal {
            found.holes.push(end..next_ordinal);
        }
        Ok(found)
    }
}

/// How far a segment was written and what it says of its predecessor, going on from what is known of it; `None` if the
/// file is not that segment's.
fn survey(
    storage: &dyn Storage,
    directory: Identity,
    stream: u64,
    first_id: Id,
    known: Option<Position>,
) -> Result<Option<(Position, Option<Id>)>> {
    let path = segment_path(stream, first_id);
    let file = storage.open(&path).map_err(|error| Error::io(format_args!("opening {path}"), error))?;
    let (head, found) = match read_header(&*file, &path, directory) {
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(None),
        found => found?,
    };
    let mut position = known.unwrap_or_else(|| found.clone());
    if head.stream != stream || head.first_id != first_id || found.identity != position.identity {
        return Ok(None);
    }
    let stop = Survey::new(&*file, &path, &position)?.extend(&mut position, |_, _| {})?;
    position.sealed = matches!(stop, Stop::Footer(_));
    Ok(Some((position, head.predecessor)))
}
