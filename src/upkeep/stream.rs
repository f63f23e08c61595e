//! One stream: its segments read through, how they follow each other, and whether the state says what they do.

use std::ops::{Range, RangeInclusive};

use crate::entry;
use crate::error::{Error, Place, Result};
use crate::id::Id;
use crate::log::files::stream_dir;
use crate::log::header::Identity;
use crate::log::survey::Survey;
use crate::log::{Position, Segment};
use crate::name;
use crate::state::group::NOBODY;
use crate::state::tables;
use crate::state::{Group, StreamState};
use crate::storage::Storage;

use super::alone::{Extent, extent};
use super::report::{Loss, Report};
use super::scan::{Is, Scanned, scan};

/// What was found of a stream's segments, in their order.
pub(super) struct Checked {
    pub(super) scanned: Vec<(Segment, Scanned)>,
    /// Ordinals that no segment has and that are not in memory either.
    pub(super) uncovered: Vec<Range<u64>>,
}

/// Checks a stream, with `told` told of the bytes read.
///
/// # Errors
///
/// What the system says.
pub(super) fn check(
    storage: &dyn Storage,
    directory: Identity,
    state: &StreamState,
    report: &mut Report,
    mut told: impl FnMut(u64),
) -> Result<Checked> {
    let front = state.front.ordinal;
    let mut scanned = Vec::new();
    let mut uncovered = Vec::new();
    let mut end = front;
    let segments: Vec<&Segment> = state.log.segments().collect();
    for (number, &segment) in segments.iter().enumerate() {
        let next = segments.get(number + 1).map(|next| &next.position);
        let ordinal = next.map_or(state.log.tail().first_ordinal(), |next| next.first_ordinal);
        let tail = state.log.tail();
        let last = next.map(|next| next.first_id).or(tail.id_at(tail.first_ordinal()));
        let last = last.map_or(Some(state.log.last_id()), Id::previous).unwrap_or(Id::MIN);
        let longer = longer(storage, state, segment, ordinal, last)?;
        let segment = longer.as_ref().unwrap_or(segment);
        let found = scan(storage, directory, state, segment, front)?;
        told(found.bytes);
        if segment.position.first_ordinal > end {
            uncovered.push(end..segment.position.first_ordinal);
        }
        end = segment.position.next_ordinal.max(end);
        scanned.push((segment.clone(), found));
    }
    let tail = state.log.tail();
    if tail.first_ordinal() > end {
        uncovered.push(end..tail.first_ordinal());
    }
    for (number, (segment, found)) in scanned.iter().enumerate() {
        of_segment(state, segment, found, &scanned[..number], report);
    }
    for ordinals in &uncovered {
        let before = scanned.iter().rev().find(|(segment, _)| segment.position.next_ordinal <= ordinals.start);
        let after = scanned.iter().find(|(segment, _)| segment.position.first_ordinal >= ordinals.end);
        let first = before.map_or(state.trimmed_to, |(segment, _)| segment.position.last_id).next();
        let last = after.map_or(tail.id_at(tail.first_ordinal()), |(segment, _)| Some(segment.position.first_id));
        let last = last.map_or(Some(state.log.last_id()), Id::previous);
        let loss = loss(state, ordinals, first.unwrap_or(Id::MAX)..=last.unwrap_or(Id::MIN));
        report.problem(in_file(state, stream_dir(state.number), 0), "a segment is missing", loss);
    }
    Ok(Checked { scanned, uncovered })
}

/// A segment of which entries up to the ordinal `next` and the ID `last` are missing, as far as its file goes: where the state was rebuilt, it
/// was read up to the first damage only.
fn longer(
    storage: &dyn Storage,
    state: &StreamState,
    segment: &Segment,
    next: u64,
    last: Id,
) -> Result<Option<Segment>> {
    let (position, path) = (&segment.position, segment.path());
    if position.hollow || position.next_ordinal >= next {
        return Ok(None);
    }
    let Ok(file) = storage.open(&path) else { return Ok(None) };
    let Position { first_id, first_ordinal, begin, .. } = *position;
    let start = Position { last_id: first_id, next_ordinal: first_ordinal, end: begin, ..position.clone() };
    let Extent { position: mut found, ends, unclear } = extent(Survey::new(&*file, &path, position)?, &start, last)?;
    let missing = next.saturating_sub(found.next_ordinal);
    if found.next_ordinal > next || (missing == 0 && found.end <= position.end) {
        return Ok(None);
    }
    if missing > 0 && !found.sealed {
        // Where it is not known how many are missing, and some were deleted, it would not be known which.
        if state.tombstones.count(position.next_ordinal, next) > 0 {
            return Ok(None);
        }
        if !ends {
            found.end = file.len().map_err(|error| Error::io(format_args!("reading {path}"), error))?;
            found.last_id = last;
        }
        if unclear || !ends {
            found.next_ordinal = next;
        }
    }
    Ok(Some(Segment::new(segment.stream, found)))
}

fn in_file(state: &StreamState, file: String, offset: u64) -> Place {
    Place { stream: Some(name::shown(&state.name).to_owned()), file, offset }
}

/// What it costs that these ordinals are lost.
pub(super) fn loss(state: &StreamState, ordinals: &Range<u64>, ids: RangeInclusive<Id>) -> Loss {
    let from = ordinals.start.max(state.front.ordinal);
    let entries = ordinals.end.saturating_sub(from) - state.tombstones.count(from, ordinals.end);
    Loss { entries, ids: (entries > 0).then_some(ids), ..Loss::default() }
}

fn of_segment(
    state: &StreamState,
    segment: &Segment,
    found: &Scanned,
    before: &[(Segment, Scanned)],
    report: &mut Report,
) {
    let (position, name) = (&segment.position, Some(&*state.name));
    if let Some(error) = found.header.as_ref().filter(|_| !found.missing || position.hollow) {
        report.damage(error, &segment.path(), name, Loss::default());
    }
    for (number, piece) in found.pieces.iter().enumerate() {
        let Is::Lost(what, _) = &piece.is else { continue };
        let first = match number.checked_sub(1).map(|before| &found.pieces[before].is) {
            Some(Is::Whole(_, last)) => last.next().unwrap_or(Id::MAX),
            _ => position.first_id,
        };
        let last = match found.pieces.get(number + 1).map(|after| &after.is) {
            Some(Is::Whole(first, _)) => first.previous().unwrap_or(Id::MIN),
            _ => position.last_id,
        };
        let place = in_file(state, segment.path(), if found.missing { 0 } else { piece.offsets.start });
        let what = if found.missing {
            format!("{} is missing", segment.path())
        } else {
            format!("{} is damaged from byte {} to {}: {what}", place.file, piece.offsets.start, piece.offsets.end)
        };
        report.problem(place, what, loss(state, &piece.ordinals, first..=last));
    }
    if let Some(error) = found.footer.as_ref().filter(|_| found.pieces.iter().all(super::scan::Piece::is_whole)) {
        report.damage(error, &segment.path(), name, Loss::default());
    }
    let Some((last, _)) = before.last() else { return };
    let mut wrong = |what: &str| report.problem(in_file(state, segment.path(), 0), what, Loss::default());
    // One that was repaired may be in several parts, the first of which has its name.
    let known = |id| {
        let first = before.first().map_or(Id::MIN, |(segment, _)| segment.position.first_id);
        id < first || before.iter().any(|(segment, _)| segment.position.first_id == id)
    };
    if found.header.is_none() && !found.predecessor.is_some_and(known) {
        wrong("the segment does not name the one before it");
    }
    if position.first_id <= last.position.last_id || position.first_ordinal < last.position.next_ordinal {
        wrong("the segment does not begin after the one before it");
    }
    if !last.position.sealed {
        wrong("the segment before it is not sealed");
    }
    if !last.position.hollow && position.base_bytes < last.bytes_until() {
        wrong("the segment does not count the bytes of the one before it");
    }
}

/// Says where the state contradicts itself or the entries.
pub(super) fn state(state: &StreamState, checked: &Checked, report: &mut Report) {
    let mut wrong = |what: String| report.problem(in_file(state, tables::PATH.to_owned(), 0), what, Loss::default());
    let (front, next) = (state.front, state.log.next_ordinal());
    let tail = state.log.tail();
    for ordinal in tail.first_ordinal().max(front.ordinal)..tail.next_ordinal() {
        let (id, body) = tail.body(ordinal);
        if !entry::is_body(body) {
            wrong(format!("the journal's entry {id} is not laid out as an entry is"));
        }
    }
    let live = next.saturating_sub(front.ordinal) - state.tombstones.count(front.ordinal, next);
    if state.length != live && !(state.length == 0 && front.ordinal >= next) {
        wrong(format!("it says that there are {} entries, and there are {live}", state.length));
    }
    if state.entries_added < state.length {
        wrong(format!("it says that {} entries were added, and there are {}", state.entries_added, state.length));
    }
    let whole = checked.uncovered.is_empty() && checked.scanned.iter().all(|(_, found)| found.is_whole());
    if whole && state.length > 0 {
        let stored = checked.scanned.iter().find_map(|(_, found)| found.watched);
        let first = tail.id_at(front.ordinal).map(|id| (id, tail.bytes_before(front.ordinal))).or(stored);
        if first != Some((front.id, front.bytes)) {
            wrong(format!("it says that the first entry is {}, and it is not", front.id));
        }
    }
    for (segment, found) in &checked.scanned {
        let last = found.pieces.last().map(|piece| &piece.is);
        if matches!(last, Some(Is::Whole(_, last)) if *last != segment.position.last_id) {
            wrong(format!("it says that the last entry of {} is {}", segment.path(), segment.position.last_id));
        }
    }
    let stored = checked.scanned.last().map(|(segment, _)| segment.position.last_id);
    let added = tail.next_ordinal().checked_sub(1).and_then(|last| tail.id_at(last));
    let named = [added.or(stored), Some(state.log.last_id()), Some(state.max_deleted_id), Some(state.trimmed_to)];
    for id in named.into_iter().flatten().filter(|&id| id > state.last_id) {
        wrong(format!("it says that the last ID is {}, and there was {id}", state.last_id));
    }
    if state.tombstones.end().is_some_and(|end| end > next) {
        wrong("it says that entries were deleted that were never added".to_owned());
    }
    for group in state.groups.values() {
        of_group(group, &mut wrong);
    }
}

fn of_group(group: &Group, wrong: &mut impl FnMut(String)) {
    let name = &group.name;
    let owned: usize = group.consumers.values().map(|consumer| consumer.pending.len()).sum();
    let pending = group.pending.values().filter(|pending| pending.consumer != NOBODY).count();
    if owned != pending {
        wrong(format!(
            "of the group `{name}`, {pending} entries are pending with somebody, and {owned} with consumers"
        ));
    }
}
