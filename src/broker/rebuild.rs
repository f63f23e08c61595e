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
use crate::name;
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
pub(crate) fn rebuild(storage: &dyn Storage, directory: Identity, lost: &Error) -> Result<(Replay, Recovery)> {
    let files = journal::files(storage)?;
    let mut reason = None;
    let mut furthest: Option<(Replay, Recovery)> = None;
    // From the oldest file: those before the last checkpoint may have come back after they were removed, and not all of
    // them. Each later one suffices if the segments have all that came before it, and what lies in a gap only they have.
    for (number, &first_lsn) in files.iter().enumerate() {
        // Before the oldest there was a checkpoint; what a later one says of segments need not be durable.
        let segments = if number == 0 { Known::Durable } else { Known::Written };
        match from_file(storage, directory, first_lsn, segments).and_then(Rebuilt::whole) {
            Err(error) if error.kind() == ErrorKind::Corrupt => reason = reason.or(Some(error)),
            Err(error) => return Err(error),
            Ok(rebuilt) => {
                let last_lsn = rebuilt.1.last_lsn;
                if furthest.as_ref().is_none_or(|(_, recovery)| recovery.last_lsn < last_lsn) {
                    furthest = Some(rebuilt);
                }
                if files.last().is_none_or(|&newest| newest <= last_lsn + 1) {
                    break;
                }
            }
        }
    }
    if let Some(rebuilt) = furthest {
        return Ok(rebuilt);
    }
    let reason = reason.map_or_else(|| "the journal has no file".to_owned(), |reason| reason.to_string());
    Err(lost.beyond_rebuilding(&reason))
}

/// Whether the segments that a snapshot names are believed to be what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Durable,
    /// They are read from their beginning.
    Written,
}

/// What was rebuilt, as far as it could be.
pub(crate) struct Rebuilt {
    pub(crate) replay: Replay,
    pub(crate) recovery: Recovery,
    /// Ordinals whose entries are nowhere, by stream.
    pub(crate) holes: BTreeMap<u64, Vec<Range<u64>>>,
    /// The damage that the journal was read up to.
    pub(crate) journal: Option<Error>,
}

impl Rebuilt {
    /// What it is if everything is there.
    fn whole(self) -> Result<(Replay, Recovery)> {
        if let Some(damage) = self.journal {
            return Err(damage);
        }
        let missing = self.holes.iter().find(|(_, holes)| !holes.is_empty());
        if let Some(Loaded { state, .. }) = missing.and_then(|(number, _)| self.replay.streams.get(number)) {
            let what = format_args!("entries of the stream `{}` are missing", name::shown(&state.name));
            return Err(Error::corrupt(stream_dir(state.number), 0, what).in_stream(&state.name));
        }
        Ok((self.replay, self.recovery))
    }
}

/// Rebuilds the state from the snapshot of the journal file that begins with `first_lsn`, as far as that goes.
///
/// # Errors
///
/// `Corrupt` if there is no such snapshot, or the segments have other entries than the journal; what the system says.
pub(crate) fn from_file(
    storage: &dyn Storage,
    directory: Identity,
    first_lsn: Lsn,
    segments: Known,
) -> Result<Rebuilt> {
    let damaged =
        |what: &dyn Display| Error::corrupt(journal::file::path(first_lsn), 0, format_args!("its snapshot: {what}"));
    let snapshot = journal::snapshot(storage, directory, first_lsn)?;
    let snapshot = Snapshot::decode(&snapshot).map_err(|error| damaged(&error))?;
    let floor = first_lsn - 1;
    let meta = Meta { floor, covered: floor, catalog: floor, next_stream: snapshot.next_stream, journal: true };
    let mut streams = BTreeMap::new();
    let mut holes = BTreeMap::new();
    let mut redeliver = Redeliver::default();
    for StreamSnapshot { number, row, groups, tombstones, producers } in snapshot.streams {
        let on_disk = OnDisk { storage, directory, stream: number, known: segments };
        let segments = on_disk.find(row.segments, row.front.ordinal, row.next_ordinal)?;
        let row = StreamRow { segments: segments.positions, ..row };
        let next_ordinal = row.next_ordinal;
        let mut state = StreamState::from_row(number, row);
        if !state.tombstones.load_runs(&tombstones, next_ordinal) {
            return Err(damaged(&"it has deletions of no entries"));
        }
        producers.into_iter().for_each(|(name, row)| state.producers.load(name, row));
        for group in groups {
            state.load_group(group.number, group.row);
            if let Some(oldest) = group.oldest_pending {
                redeliver.from((number, group.number), oldest);
            }
        }
        state.mark_all();
        holes.insert(number, segments.holes);
        streams.insert(number, Loaded { state, covered: floor });
    }
    let mut replay = Replay::new(meta, streams);
    replay.redeliver = Some(redeliver);
    let mut last_lsn = floor;
    let recovered = journal::recover(storage, directory, floor, floor, |lsn, record| {
        replay.apply(lsn, record)?;
        last_lsn = lsn;
        Ok(())
    });
    let (recovery, journal) = match recovered {
        Err(error) if error.kind() == ErrorKind::Corrupt => (Recovery { last_lsn, ..Recovery::default() }, Some(error)),
        recovered => (recovered?, None),
    };
    let redeliver = replay.redeliver.take().unwrap_or_default();
    holes.retain(|number, _| replay.streams.contains_key(number));
    for (number, Loaded { state, .. }) in &mut replay.streams {
        if let Some(holes) = holes.get_mut(number) {
            // A file with nothing but its header may also have been cut by accident: then its entries were not deleted.
            let hollow = state.log.segments().map(|segment| &segment.position).filter(|position| position.hollow);
            let ordinals = hollow.map(|hollow| hollow.first_ordinal.max(state.front.ordinal)..hollow.next_ordinal);
            holes.extend(ordinals.filter(|hole| state.tombstones.count(hole.start, hole.end) < hole.end - hole.start));
            holes.retain(|hole| hole.end > state.front.ordinal);
        }
        if !state.log.cut_back() {
            let what = format_args!("the stream `{}` has other entries than the journal", name::shown(&state.name));
            return Err(Error::corrupt(stream_dir(*number), 0, what).in_stream(&state.name));
        }
        redeliver.set_back(state);
    }
    Ok(Rebuilt { replay, recovery, holes, journal })
}

/// What each group is to be delivered again: everything from an ID on.
#[derive(Debug, Default)]
pub(crate) struct Redeliver {
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
            Change::Assign { group, consumer, ids, .. } | Change::Redeliver { group, consumer, ids, .. }
                if unknown(group, consumer) =>
            {
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
}

/// Where to look for one stream's segments.
#[derive(Clone, Copy)]
struct OnDisk<'a> {
    storage: &'a dyn Storage,
    directory: Identity,
    stream: u64,
    known: Known,
}

impl OnDisk<'_> {
    /// Looks for the entries from ordinal `front` on. Those from `next_ordinal` on are in the journal too.
    fn find(self, known: Vec<Position>, front: u64, next_ordinal: u64) -> Result<Segments> {
        let dir = stream_dir(self.stream);
        let names = match self.storage.list(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|error| Error::io(format_args!("listing {dir}"), error))?,
        };
        let there: BTreeSet<Id> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
        let mut known: BTreeMap<Id, Position> = known.into_iter().map(|known| (known.first_id, known)).collect();
        let last_known = known.keys().next_back().copied();
        // What lies before the last that is known was given up before.
        let new = there.iter().filter(|&&first_id| Some(first_id) > last_known);
        let first_ids: BTreeSet<Id> = new.chain(known.keys()).copied().collect();
        let mut found = Segments::default();
        let mut end = front;
        // Whether the last one's file ends where its entries do.
        let mut last_ends = false;
        for first_id in first_ids {
            // A part of that segment, from a repair that was cut off.
            let inside = |last: &Position| last.sealed && first_id <= last.last_id;
            if !known.contains_key(&first_id) && found.positions.last().is_some_and(inside) {
                continue;
            }
            let (position, predecessor, ends) = match known.remove(&first_id) {
                Some(hollow) if hollow.hollow => (hollow, None, true),
                Some(_) if !there.contains(&first_id) => continue,
                Some(sealed) if sealed.sealed && self.known == Known::Durable => (sealed, None, true),
                known => match self.survey(first_id, known)? {
                    Some(found) => found,
                    // Never made durable, and what was to be in it is in the journal.
                    None => break,
                },
            };
            // All of them were deleted since, and the file before was cut to its header: nothing comes after that.
            let hollowed = |last: &&mut Position| {
                last_ends && predecessor == Some(last.first_id) && last.next_ordinal == last.first_ordinal
            };
            if let Some(last) = found.positions.last_mut().filter(hollowed) {
                (last.next_ordinal, last.sealed, last.hollow) = (position.first_ordinal, true, true);
                last.last_id = first_id.previous().unwrap_or(first_id);
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
            (end, last_ends) = (position.next_ordinal, ends);
            found.positions.push(position);
        }
        // A file with no entry yet is made anew.
        found.positions.pop_if(|last| last.next_ordinal == last.first_ordinal);
        if end < next_ordinal {
            found.holes.push(end..next_ordinal);
        }
        Ok(found)
    }

    /// How far a segment was written, what it says of its predecessor, and whether its file ends there, going on from what is
    /// known of it; `None` if the file is not that segment's.
    fn survey(self, first_id: Id, known: Option<Position>) -> Result<Option<(Position, Option<Id>, bool)>> {
        let path = segment_path(self.stream, first_id);
        let file = self.storage.open(&path).map_err(|error| Error::io(format_args!("opening {path}"), error))?;
        let (head, found) = match read_header(&*file, &path, self.directory) {
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(None),
            found => found?,
        };
        let is_other = |known: &Position| found.identity != known.identity;
        if head.stream != self.stream || head.first_id != first_id || known.as_ref().is_some_and(is_other) {
            return Ok(None);
        }
        let len = file.len().map_err(|error| Error::io(format_args!("reading {path}"), error))?;
        // One that is shorter was cut to its header since, or is damaged.
        let is_there = |known: &Position| self.known == Known::Durable && known.end <= len;
        let mut position = known.filter(is_there).unwrap_or(found);
        let stop = Survey::new(&*file, &path, &position)?.extend(&mut position, |_, _| true)?;
        position.sealed = matches!(stop, Stop::Footer(_));
        Ok(Some((position, head.predecessor, !matches!(stop, Stop::Bad(_)))))
    }
}
