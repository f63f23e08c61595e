//! One segment, read through against its position: what of it is whole, and what is not.
//!
//! After a bad frame the scan goes on at the next good one. How many entries lie in between is counted back from where the
//! segment ends, and from the blocks that the footer names; where two gaps share a block it may not be known.

use std::ops::Range;

use crate::entry;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::log::header::Identity;
use crate::log::index::Index;
use crate::log::segment::Footer;
use crate::log::survey::{Stop, Survey, read_header};
use crate::log::{Position, Segment};
use crate::state::StreamState;
use crate::storage::Storage;

/// Consecutive ordinals of a segment, whole or lost.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) ordinals: Range<u64>,
    pub(super) offsets: Range<u64>,
    pub(super) is: Is,
}

#[derive(Debug, Clone)]
pub(super) enum Is {
    /// Entries, with the IDs of the first and the last.
    Whole(Id, Id),
    /// What is wrong.
    Lost(String, Count),
}

/// Whether it is known how many entries a gap has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// What is left of the bad frames says so.
    Known,
    /// One or more, as their ordinals say.
    Some,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// All of the segment's ordinals, in order; empty for a hollow one.
    pub(super) pieces: Vec<Piece>,
    /// What is wrong with the header, or with the file as a whole.
    pub(super) header: Option<Error>,
    /// The predecessor that the header names, if it is whole.
    pub(super) predecessor: Option<Id>,
    /// What is wrong with the footer.
    pub(super) footer: Option<Error>,
    /// Whether there is no file.
    pub(super) missing: bool,
    pub(super) bytes: u64,
    /// The ID of the entry that was asked for, and the bytes of the stream's frames before it.
    pub(super) watched: Option<(Id, u64)>,
}

impl Scanned {
    pub(super) fn is_whole(&self) -> bool {
        self.header.is_none() && self.footer.is_none() && self.pieces.iter().all(Piece::is_whole)
    }
}

impl Piece {
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.is, Is::Whole(..))
    }
}

/// Whether the error is about bytes. A file of a later version in a directory of ours is one whose first bytes changed.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NewerFormat)
}

/// Takes damage out of a result; other errors stay.
pub(super) fn or_damage<T>(result: Result<T>) -> Result<Result<T>> {
    match result {
        Err(error) if !is_damage(&error) => Err(error),
        result => Ok(result),
    }
}

/// Scans a segment of `state`, and looks for the entry with the ordinal `watch`.
///
/// # Errors
///
/// What the system says.
pub(super) fn scan(
    storage: &dyn Storage,
    directory: Identity,
    state: &StreamState,
    segment: &Segment,
    watch: u64,
) -> Result<Scanned> {
    let (position, path) = (&segment.position, segment.path());
    let lost = |what: &str| Piece {
        ordinals: position.first_ordinal..position.next_ordinal,
        offsets: position.begin..position.end,
        is: Is::Lost(what.to_owned(), Count::Some),
    };
    let file = match storage.open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let what = "the file is missing";
            let pieces = if position.hollow { Vec::new() } else { vec![lost(what)] };
            let header = Some(Error::corrupt(path, 0, what));
            return Ok(Scanned { pieces, header, missing: true, ..Scanned::default() });
        }
        file => file.map_err(|error| Error::io(format_args!("opening {path}"), error))?,
    };
    let mut scanned = Scanned {
        bytes: file.len().map_err(|error| Error::io(format_args!("reading {path}"), error))?,
        ..Scanned::default()
    };
    match or_damage(read_header(&*file, &path, directory))? {
        Err(error) => scanned.header = Some(error),
        Ok((head, found)) => {
            let same = |position: &Position| {
                let Position { identity, first_id, first_ordinal, base_bytes, begin, created_ms, .. } = *position;
                (identity, first_id, first_ordinal, base_bytes, begin, created_ms)
            };
            let stream = (head.stream, head.incarnation) == (state.number, state.incarnation);
            if !stream || same(&found) != same(position) {
                scanned.header = Some(Error::corrupt(&path, 0, "it is another segment's file"));
            }
            scanned.predecessor = head.predecessor;
        }
    }
    if position.hollow {
        return Ok(scanned);
    }
    let footer = if position.sealed { or_damage(segment.read_footer(&*file))?.map(Some) } else { Ok(None) };
    let (footer, mut bad_footer) = match footer {
        Ok(footer) => (footer, None),
        Err(error) => (None, Some(error)),
    };
    let pins = footer.as_ref().map(|footer| footer.index.clone()).unwrap_or_default();
    let survey = Survey::new(&*file, &path, position)?.until(position.end);
    let mut reading =
        Reading { position, pins: &pins, index: Index::default(), shifts: Vec::new(), watch, watched: None };
    let pieces = reading.pieces(survey)?;
    let deleted = |ordinals: &Range<u64>| state.tombstones.count(ordinals.start, ordinals.end) > 0;
    scanned.pieces = match reading.settle(pieces, deleted) {
        Some(pieces) if leaves_ids(&pieces, position) => pieces,
        _ => vec![lost("its entries do not add up to what was written")],
    };
    if scanned.pieces.iter().all(Piece::is_whole) {
        scanned.watched = reading.watched;
        let expected = Footer {
            count: position.next_ordinal - position.first_ordinal,
            first_id: position.first_id,
            last_id: position.last_id,
            index: reading.index,
        };
        if footer.is_some_and(|footer| footer != expected) {
            bad_footer = Some(Error::corrupt(&path, position.end, "the footer does not say what the entries do"));
        }
    }
    scanned.footer = bad_footer;
    Ok(scanned)
}

/// Whether what is lost has IDs of its own, between those of what is whole: entries that were moved leave none, and the next
/// one's are those of another segment.
fn leaves_ids(pieces: &[Piece], position: &Position) -> bool {
    let mut next = Some(position.first_id);
    for (number, piece) in pieces.iter().enumerate() {
        let (first, last) = match (&piece.is, pieces.get(number + 1).map(|after| &after.is)) {
            (Is::Whole(first, last), _) => {
                (Some(*first).filter(|first| next.is_some_and(|next| next <= *first)), Some(*last))
            }
            (Is::Lost(..), Some(Is::Whole(after, _))) => (next, after.previous()),
            (Is::Lost(..), _) => (next, Some(position.last_id)),
        };
        if first.is_none_or(|first| last.is_none_or(|last| last < first)) {
            return false;
        }
        next = last.and_then(Id::next);
    }
    true
}

/// A scan under way.
struct Reading<'a> {
    position: &'a Position,
    /// The blocks that the footer names.
    pins: &'a Index,
    /// The blocks that the entries make.
    index: Index,
    /// By how much the entries of a piece, by its number, are further on than counted: what a pin says.
    shifts: Vec<(usize, u64)>,
    watch: u64,
    watched: Option<(Id, u64)>,
}

impl Reading<'_> {
    /// The pieces, with each gap whose entries are not known counted as one.
    fn pieces(&mut self, mut survey: Survey<'_>) -> Result<Vec<Piece>> {
        let position = self.position;
        let mut pieces: Vec<Piece> = Vec::new();
        let Position { first_id, first_ordinal, begin, .. } = *position;
        let mut at = Position { last_id: first_id, next_ordinal: first_ordinal, end: begin, ..position.clone() };
        loop {
            let (ordinal, begin) = (at.next_ordinal, at.end);
            let (mut next, mut offset, mut first) = (ordinal, begin, None);
            let number = pieces.len();
            let stop = survey.extend(&mut at, |id, body| {
                if !entry::is_body(body) {
                    return false;
                }
                first.get_or_insert(id);
                self.index.note(id, next, offset);
                if let Some(pin) = self.pins.at_offset(offset).filter(|pin| pin.ordinal >= next) {
                    self.shifts.push((number, pin.ordinal - next));
                }
                if next == self.watch {
                    self.watched = Some((id, position.base_bytes + (offset - position.begin)));
                }
                next += 1;
                offset += (crate::log::frame::HEADER_LEN + body.len()) as u64;
                true
            })?;
            if let Some(first) = first {
                let is = Is::Whole(first, at.last_id);
                pieces.push(Piece { ordinals: ordinal..at.next_ordinal, offsets: begin..at.end, is });
            }
            let what = match stop {
                Stop::End if at.end == position.end => return Ok(pieces),
                Stop::End => "the file ends too early".to_owned(),
                Stop::Footer(_) => "a footer is where entries should be".to_owned(),
                Stop::Bad(what) => what,
            };
            let next = survey.next_entry(at.end + 1, at.last_id, position.last_id)?;
            let offsets = at.end..next.unwrap_or(position.end);
            let after = (at.next_ordinal > first_ordinal).then_some(at.last_id);
            let count = survey.damaged_entries(offsets.clone(), after)?;
            let is = Is::Lost(what, if count.is_some() { Count::Known } else { Count::Some });
            let gap = at.next_ordinal..at.next_ordinal + count.unwrap_or(1);
            at.next_ordinal = gap.end;
            pieces.push(Piece { ordinals: gap, offsets, is });
            match next {
                Some(next) => at.end = next,
                None => return Ok(pieces),
            }
        }
    }

    /// Gives every piece its ordinals; `None` if that cannot be. Between two gaps of which only the sum is known, entries
    /// are given up if some of them were `deleted`: it would not be known which.
    fn settle(&self, pieces: Vec<Piece>, deleted: impl Fn(&Range<u64>) -> bool) -> Option<Vec<Piece>> {
        let counted = pieces.last().map_or(self.position.first_ordinal, |last| last.ordinals.end);
        let excess = self.position.next_ordinal.checked_sub(counted)?;
        if pieces.is_empty() {
            return (excess == 0).then_some(pieces);
        }
        let ends = self.shifts.iter().copied().chain([(pieces.len(), excess)]);
        let (mut from, mut shift) = (0, 0);
        let mut settled: Vec<Piece> = Vec::new();
        for (to, known) in ends {
            let added = known.checked_sub(shift).filter(|_| known <= excess)?;
            let part = &pieces[from..to];
            from = to;
            let moved = |piece: &Piece, by: u64| Piece {
                ordinals: piece.ordinals.start + by..piece.ordinals.end + by,
                ..piece.clone()
            };
            let gaps: Vec<usize> =
                (0..part.len()).filter(|&number| matches!(part[number].is, Is::Lost(_, Count::Some))).collect();
            let Some((&first, &last)) = gaps.first().zip(gaps.last()) else {
                if added > 0 {
                    return None;
                }
                settled.extend(part.iter().map(|piece| moved(piece, shift)));
                continue;
            };
            settled.extend(part[..first].iter().map(|piece| moved(piece, shift)));
            let between = part[first].ordinals.start + shift..part[last].ordinals.end + known;
            let unclear = added > 0 && first < last && deleted(&between);
            if unclear {
                let offsets = part[first].offsets.start..part[last].offsets.end;
                settled.push(Piece { ordinals: between, offsets, is: part[first].is.clone() });
            } else {
                let mut gap = moved(&part[first], shift);
                gap.ordinals.end += added;
                settled.push(gap);
                settled.extend(part[first + 1..=last].iter().map(|piece| moved(piece, known)));
            }
            settled.extend(part[last + 1..].iter().map(|piece| moved(piece, known)));
            shift = known;
        }
        Some(settled)
    }
}
