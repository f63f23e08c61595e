//! The streams as their segments alone tell of them: every entry there is, deleted and trimmed ones that are still in the
//! files included, and no groups. For a directory that has lost redb and every snapshot of the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::id::Id;
use crate::log::Position;
use crate::log::files::{STREAMS, parse_segment_name, segment_path, stream_dir};
use crate::log::header::Identity;
use crate::log::segment::SegmentHeader;
use crate::log::survey::{Stop, Survey, read_header};
use crate::name;
use crate::options::NAME_BYTES_MAX;
use crate::state::StreamState;
use crate::state::change::Front;
use crate::state::delta::StreamRow;
use crate::state::producers::ProducersRow;
use crate::state::tables::Loaded;
use crate::storage::Storage;
use crate::trim::Retention;

use super::leftovers;
use super::report::{Loss, Report};
use super::scan::or_damage;

/// The streams that have segments, by number.
///
/// # Errors
///
/// What the system says.
pub(super) fn streams(
    storage: &dyn Storage,
    directory: Identity,
    report: &mut Report,
) -> Result<BTreeMap<u64, Loaded>> {
    let mut streams = BTreeMap::new();
    for number in leftovers::names(storage, STREAMS)?.iter().filter_map(|name| leftovers::stream_number(name)) {
        if let Some(state) = stream(storage, directory, number, report)? {
            streams.insert(number, Loaded { state, covered: 0 });
        }
    }
    tell_apart(&mut streams, report);
    Ok(streams)
}

/// Leaves each name with one stream, the youngest: another that has it in its segments was deleted, and its files not yet, or
/// has been renamed since. There is no telling which.
fn tell_apart(streams: &mut BTreeMap<u64, Loaded>, report: &mut Report) {
    let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
    for (&number, Loaded { state, .. }) in streams.iter_mut().rev() {
        let before = Arc::clone(&state.name);
        for attempt in 1.. {
            if names.insert(Arc::clone(&state.name)) {
                break;
            }
            let mut name = before.to_string();
            let more = format!("~{number}").repeat(attempt);
            while name.len() + more.len() > NAME_BYTES_MAX {
                name.pop();
            }
            state.name = (name + &more).into();
        }
        if before != state.name {
            let what = format!(
                "it is of another stream named `{}`, deleted or renamed: `{}`",
                name::shown(&before),
                state.name
            );
            report.warn(stream_dir(number), what);
        }
    }
}

fn stream(storage: &dyn Storage, directory: Identity, number: u64, report: &mut Report) -> Result<Option<StreamState>> {
    let mut first: Option<SegmentHeader> = None;
    let mut positions: Vec<Position> = Vec::new();
    let names = leftovers::names(storage, &stream_dir(number))?;
    for first_id in names.iter().filter_map(|name| parse_segment_name(name)) {
        let path = segment_path(number, first_id);
        let file = storage.open(&path).map_err(|error| Error::io(format_args!("opening {path}"), error))?;
        let (head, position) = match or_damage(read_header(&*file, &path, directory))? {
            Ok(found) => found,
            Err(error) => {
                report.damage(&error, &path, first.as_ref().map(|head| &*head.name), Loss::default());
                continue;
            }
        };
        let incarnation = first.as_ref().map_or(head.incarnation, |first| first.incarnation);
        let end = positions.last().map_or(0, |last| last.next_ordinal);
        let fits = (head.stream, head.first_id, head.incarnation) == (number, first_id, incarnation);
        if !fits || head.first_ordinal < end || positions.last().is_some_and(|last| last.last_id >= first_id) {
            let error = Error::corrupt(&path, 0, "it does not follow the segment before it");
            report.damage(&error, &path, Some(&head.name), Loss::default());
            continue;
        }
        if let Some(last) = positions.last_mut() {
            last.sealed = true;
            if last.next_ordinal == last.first_ordinal {
                // All of them were deleted, and it was cut to its header; or all are damaged.
                (last.next_ordinal, last.hollow) = (head.first_ordinal, last.end == last.begin);
                last.last_id = first_id.previous().unwrap_or(first_id);
            }
        }
        let Extent { mut position, ends, .. } = extent(Survey::new(&*file, &path, &position)?, &position, Id::MAX)?;
        if !ends && position.next_ordinal == position.first_ordinal {
            position.end = file.len().map_err(|error| Error::io(format_args!("reading {path}"), error))?;
        }
        positions.push(position);
        // It may have been renamed since the segment before.
        let name = head.name.clone();
        first.get_or_insert(head).name = name;
    }
    // A file with no entry yet is made anew.
    if let Some(last) = positions.pop_if(|last| last.next_ordinal == last.first_ordinal)
        && last.end > last.begin
    {
        let error = Error::corrupt(segment_path(number, last.first_id), last.begin, "none of its entries is whole");
        report.damage(&error, "", first.as_ref().map(|head| &*head.name), Loss::default());
    }
    Ok(first.zip(positions.first().cloned()).map(|(head, begin)| state(head, &begin, positions)))
}

/// How far a file goes.
pub(super) struct Extent {
    /// The entries, with each gap between them whose entries are not known counted as one.
    pub(super) position: Position,
    /// Whether the file ends there, or has its footer.
    pub(super) ends: bool,
    /// Whether a gap may be of more than one.
    pub(super) unclear: bool,
}

/// How far a segment goes, up to the ID `last`: what is bad in between is for the scan to say.
pub(super) fn extent(mut survey: Survey<'_>, begin: &Position, last: Id) -> Result<Extent> {
    let mut at = begin.clone();
    let mut unclear = false;
    loop {
        match survey.extend(&mut at, |id, body| id <= last && crate::entry::is_body(body))? {
            Stop::Footer(footer) if footer.last_id <= last => {
                let next_ordinal = begin.first_ordinal + footer.count;
                let position = Position { next_ordinal, last_id: footer.last_id, sealed: true, ..at };
                return Ok(Extent { position, ends: true, unclear: false });
            }
            Stop::End => return Ok(Extent { position: at, ends: true, unclear }),
            Stop::Footer(_) => return Ok(Extent { position: at, ends: false, unclear }),
            Stop::Bad(_) => match survey.next_entry(at.end + 1, at.last_id, last)? {
                Some(next) => {
                    let after = (at.next_ordinal > begin.first_ordinal).then_some(at.last_id);
                    let count = survey.damaged_entries(at.end..next, after)?;
                    unclear |= count.is_none();
                    (at.end, at.next_ordinal) = (next, at.next_ordinal + count.unwrap_or(1));
                }
                None => return Ok(Extent { position: at, ends: false, unclear }),
            },
        }
    }
}

fn state(head: SegmentHeader, begin: &Position, segments: Vec<Position>) -> StreamState {
    let SegmentHeader { stream, incarnation, name, .. } = head;
    let last = segments.last().unwrap_or(begin);
    let (next_ordinal, last_id) = (last.next_ordinal, last.last_id);
    let row = StreamRow {
        name,
        incarnation,
        covered: 0,
        last_id,
        last_entry_id: last_id,
        entries_added: next_ordinal,
        length: next_ordinal - begin.first_ordinal,
        max_deleted_id: Id::MIN,
        holes_to: Id::MIN,
        trimmed_to: Id::MIN,
        front: Front { ordinal: begin.first_ordinal, bytes: begin.base_bytes, id: begin.first_id },
        next_ordinal,
        next_bytes: last.base_bytes + (last.end - last.begin),
        retention: Retention::default(),
        producers: ProducersRow::default(),
        next_group: 1,
        segments,
    };
    StreamState::from_row(stream, row)
}
