//! What a repair makes of one stream: which files it changes, and the state that goes with them. Reads, and writes nothing.
//!
//! ```text
//! before   | header | good | BAD | good | footer |
//! after    | header | good | footer |      the file itself, cut
//!          | header |                      a hollow segment: the bad entries count as deleted
//!          | header | good | footer |      a new segment
//! ```
//!
//! So ordinals stay what they are, and readers never come to where something is missing. The file itself is cut only once
//! redb names the others: a crash before that finds it as it was.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::id::Id;
use crate::log::header::{self, Identity};
use crate::log::segment::{HEADER_VERSION, MAGIC, SegmentHeader};
use crate::log::survey::Survey;
use crate::log::{Position, Segment};
use crate::state::StreamState;
use crate::state::change::Front;
use crate::storage::Storage;

use super::scan::{Is, Piece, Scanned};
use super::stream::Checked;

/// One file to be written.
#[derive(Debug)]
pub(super) enum Mend {
    /// The header of this segment, over a damaged one or into a new file.
    Header(Segment, Vec<u8>),
    /// A new segment of a part of another.
    Part { new: Segment, header: Vec<u8>, old: Segment, piece: Piece },
    /// The end of this segment, and a footer there. Once redb has its position.
    Footer(Segment),
    /// Nothing after the header of this segment. Once redb has its position.
    Cut(Segment),
}

impl Mend {
    pub(super) fn segment(&self) -> &Segment {
        match self {
            Mend::Header(segment, _) | Mend::Footer(segment) | Mend::Cut(segment) => segment,
            Mend::Part { new, .. } => new,
        }
    }

    /// What is done, in words.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Mend::Header(segment, _) if segment.position.hollow => {
                "written with a header only: its entries are given up"
            }
            Mend::Header(..) => "its header is written anew",
            Mend::Part { .. } => "new: entries that are whole and come after a damaged range",
            Mend::Footer(_) => "cut after the last entry before a damaged range, with a new footer",
            Mend::Cut(_) => "cut to its header",
        }
    }
}

/// What a repair makes of one stream.
struct Plan<'a> {
    storage: &'a dyn Storage,
    directory: Identity,
    state: &'a StreamState,
    positions: Vec<Position>,
    mends: Vec<Mend>,
    lost: Vec<(Range<u64>, Id)>,
}

/// Plans the repair of a stream, and changes its state as if it were made.
///
/// # Errors
///
/// `Corrupt` if there is no telling; what the system says.
pub(super) fn plan(
    storage: &dyn Storage,
    directory: Identity,
    state: &mut StreamState,
    checked: &Checked,
) -> Result<Vec<Mend>> {
    let mut plan = Plan { storage, directory, state, positions: Vec::new(), mends: Vec::new(), lost: Vec::new() };
    let mut uncovered = checked.uncovered.iter().peekable();
    for (number, (segment, found)) in checked.scanned.iter().enumerate() {
        if let Some(range) = uncovered.next_if(|range| range.end <= segment.position.first_ordinal) {
            plan.fill(range, Some((segment, found)))?;
        }
        let last = number + 1 == checked.scanned.len() && uncovered.peek().is_none();
        plan.segment(segment, found, last)?;
    }
    for range in uncovered {
        plan.fill(range, None)?;
    }
    let Plan { positions, mut mends, lost, .. } = plan;
    let whole: Vec<_> = checked.scanned.iter().map(|(segment, found)| (segment, &found.pieces)).collect();
    amend(storage, state, positions, &lost, &whole)?;
    // What comes before the first entry that is left is dropped.
    let kept: Vec<Id> = state.log.segments().map(|segment| segment.position.first_id).collect();
    mends.retain(|mend| kept.contains(&mend.segment().position.first_id));
    Ok(mends)
}

impl Plan<'_> {
    fn segment(&mut self, segment: &Segment, found: &Scanned, last: bool) -> Result<()> {
        let old = &segment.position;
        if !old.hollow && old.first_ordinal == old.next_ordinal {
            // A header with nothing after it, where a repair was cut off.
            return Ok(());
        }
        let header_bad = found.header.is_some();
        if found.pieces.iter().all(Piece::is_whole) {
            let position = Position { sealed: old.sealed || !last, ..old.clone() };
            if header_bad {
                self.header(&position)?;
            }
            if position.sealed && !position.hollow && (found.footer.is_some() || !old.sealed) {
                self.mends.push(Mend::Footer(self.of(&position)));
            }
            self.positions.push(position);
            return Ok(());
        }
        for (number, piece) in found.pieces.iter().enumerate() {
            let (first_id, last_id) = match &piece.is {
                Is::Whole(first, last) => (*first, *last),
                Is::Lost(..) => {
                    let before = self.positions.last().filter(|_| number > 0).and_then(|last| last.last_id.next());
                    let after = found.pieces.get(number + 1).map(|after| &after.is);
                    let after = if let Some(Is::Whole(id, _)) = after { id.previous() } else { Some(old.last_id) };
                    (before.unwrap_or(old.first_id), after.unwrap_or(old.last_id))
                }
            };
            let hollow = !piece.is_whole();
            let base_bytes = old.base_bytes + (piece.offsets.start - old.begin);
            let mut position = Position {
                first_id,
                last_id,
                first_ordinal: piece.ordinals.start,
                next_ordinal: piece.ordinals.end,
                base_bytes,
                end: old.begin + (piece.offsets.end - piece.offsets.start),
                sealed: true,
                hollow,
                ..old.clone()
            };
            if hollow {
                self.lost.push((piece.ordinals.clone(), last_id));
            }
            if number == 0 {
                if header_bad {
                    self.header(&position)?;
                }
                let segment = self.of(&position);
                self.mends.push(if hollow { Mend::Cut(segment) } else { Mend::Footer(segment) });
            } else {
                let header = self.begin(&mut position);
                let new = self.of(&position);
                self.mends.push(if hollow {
                    Mend::Header(new, header)
                } else {
                    Mend::Part { new, header, old: segment.clone(), piece: piece.clone() }
                });
            }
            self.positions.push(position);
        }
        Ok(())
    }

    /// Puts a hollow segment where there is none, before the one `after`.
    fn fill(&mut self, range: &Range<u64>, after: Option<(&Segment, &Scanned)>) -> Result<()> {
        let tail = self.state.log.tail();
        let end = match after {
            Some((segment, _)) => (segment.position.base_bytes, segment.position.first_id.previous()),
            None => {
                let next = tail.id_at(tail.first_ordinal()).map_or(Some(self.state.log.last_id()), Id::previous);
                (tail.bytes_before(tail.first_ordinal()), next)
            }
        };
        let before = self.positions.last();
        let base_bytes = before.map_or(self.state.front.bytes, |last| last.base_bytes + (last.end - last.begin));
        let begin = before.map_or(self.state.trimmed_to, |last| last.last_id).next().unwrap_or(Id::MAX);
        let last_id = end.1.unwrap_or(Id::MIN);
        let named = after.and_then(|(_, found)| found.predecessor).filter(|id| (begin..=last_id).contains(id));
        if begin > last_id {
            let what = format_args!("there are no IDs for the entries that are missing at {begin}");
            return Err(Error::corrupt(crate::log::files::stream_dir(self.state.number), 0, what));
        }
        let mut position = Position {
            identity: [0; 16],
            first_id: named.unwrap_or(begin),
            last_id,
            first_ordinal: range.start,
            next_ordinal: range.end,
            base_bytes,
            begin: 0,
            end: end.0.saturating_sub(base_bytes),
            created_ms: before.map_or(0, |last| last.created_ms),
            sealed: true,
            hollow: true,
        };
        let header = self.begin(&mut position);
        self.lost.push((range.clone(), last_id));
        self.mends.push(Mend::Header(self.of(&position), header));
        self.positions.push(position);
        Ok(())
    }

    fn of(&self, position: &Position) -> Segment {
        Segment::new(self.state.number, position.clone())
    }

    /// Gives a new file its identity and its header.
    fn begin(&self, position: &mut Position) -> Vec<u8> {
        position.identity = self.storage.random();
        let predecessor = self.positions.last().map(|last| last.first_id);
        let header = self.encode(position, predecessor);
        position.end = position.end - position.begin + header.len() as u64;
        position.begin = header.len() as u64;
        header
    }

    fn encode(&self, position: &Position, predecessor: Option<Id>) -> Vec<u8> {
        let Position { identity, first_id, first_ordinal, base_bytes, created_ms, .. } = *position;
        let head = SegmentHeader {
            directory: self.directory,
            stream: self.state.number,
            incarnation: self.state.incarnation,
            name: self.state.name.to_string(),
            predecessor,
            first_id,
            first_ordinal,
            base_bytes,
            created_ms,
        };
        header::encode(MAGIC, identity, HEADER_VERSION, &head)
    }

    /// Writes the header of an existing file anew, in as many bytes as it has. The predecessor of a stream's first segment
    /// is long gone and nobody asks for it; but its ID takes up room.
    fn header(&mut self, position: &Position) -> Result<()> {
        let before = self.positions.last().map(|last| last.first_id);
        let limits = [u64::MAX, u64::from(u32::MAX), u64::from(u16::MAX), 250];
        let of_size = |most: u64| limits.iter().map(move |&limit| most.min(limit));
        let any = of_size(position.first_id.ms)
            .flat_map(|ms| of_size(u64::MAX).map(move |seq| Some(Id::new(ms, seq))))
            .filter(|id| *id < Some(position.first_id));
        let fits = [before, None].into_iter().chain(any).map(|predecessor| self.encode(position, predecessor));
        let header = fits.into_iter().find(|header| header.len() as u64 == position.begin).ok_or_else(|| {
            Error::corrupt(self.of(position).path(), 0, "its header cannot be written again in its place")
        })?;
        self.mends.push(Mend::Header(self.of(position), header));
        Ok(())
    }
}

/// Makes the state agree with what is left of the segments.
fn amend(
    storage: &dyn Storage,
    state: &mut StreamState,
    positions: Vec<Position>,
    lost: &[(Range<u64>, Id)],
    scanned: &[(&Segment, &Vec<Piece>)],
) -> Result<()> {
    let next = state.log.next_ordinal();
    let hollow = positions.iter().filter(|position| position.hollow);
    let dead = hollow.map(|position| position.first_ordinal..position.next_ordinal);
    for ordinal in dead.flat_map(|dead| dead.start.max(state.front.ordinal)..dead.end) {
        state.tombstones.insert(ordinal);
    }
    let last_id = positions.iter().map(|position| position.last_id).fold(state.last_id, Id::max);
    state.last_id = last_id.max(state.max_deleted_id).max(state.trimmed_to);
    for (ordinals, last) in lost {
        if ordinals.end > state.front.ordinal {
            state.max_deleted_id = state.max_deleted_id.max(*last);
            state.holes_to = state.holes_to.max(*last);
        }
    }
    let ordinal = state.tombstones.first_live(state.front.ordinal).min(next);
    state.front = if ordinal == next {
        Front { ordinal, bytes: state.log.next_bytes(), id: Id::MIN }
    } else {
        let tail = state.log.tail();
        match tail.id_at(ordinal) {
            Some(id) => Front { ordinal, bytes: tail.bytes_before(ordinal), id },
            None => stored(storage, ordinal, scanned)?,
        }
    };
    state.length = (next - ordinal) - state.tombstones.count(ordinal, next);
    state.entries_added = state.entries_added.max(state.length);
    state.log.mend(state.number, positions);
    state.forget_before(ordinal);
    state.log.take_dropped();
    state.mark_all();
    Ok(())
}

/// The stored entry with this ordinal, as a front.
fn stored(storage: &dyn Storage, ordinal: u64, scanned: &[(&Segment, &Vec<Piece>)]) -> Result<Front> {
    let pieces = scanned.iter().flat_map(|&(segment, pieces)| pieces.iter().map(move |piece| (segment, piece)));
    let mut holding = pieces.filter(|(_, piece)| piece.is_whole() && piece.ordinals.contains(&ordinal));
    let missing = || {
        let stream = scanned.first().map_or(0, |(segment, _)| segment.stream);
        let what = format_args!("the entry number {ordinal} is nowhere");
        Error::corrupt(crate::log::files::stream_dir(stream), 0, what)
    };
    let (segment, piece) = holding.next().ok_or_else(missing)?;
    let (path, old) = (segment.path(), &segment.position);
    let file = storage.open(&path).map_err(|error| Error::io(format_args!("opening {path}"), error))?;
    let mut at = piece_start(old, piece);
    let (mut next, mut offset, mut found) = (piece.ordinals.start, piece.offsets.start, None);
    Survey::new(&*file, &path, old)?.until(piece.offsets.end).extend(&mut at, |id, body| {
        if next == ordinal {
            found = Some((id, offset));
        }
        next += 1;
        offset += (crate::log::frame::HEADER_LEN + body.len()) as u64;
        true
    })?;
    let (id, offset) = found.ok_or_else(missing)?;
    Ok(Front { ordinal, bytes: old.base_bytes + (offset - old.begin), id })
}

/// A position from which a survey reads the entries of a piece.
pub(super) fn piece_start(old: &Position, piece: &Piece) -> Position {
    let first = if let Is::Whole(first, _) = piece.is { first } else { old.first_id };
    let (first_ordinal, end) = (piece.ordinals.start, piece.offsets.start);
    Position { first_id: first, last_id: first, first_ordinal, next_ordinal: first_ordinal, end, ..old.clone() }
}
