//! Names in a directory that the state does not have: what opening leaves alone, and what it removes.

use std::collections::BTreeSet;
use std::io;

use crate::broker::format;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::journal::file;
use crate::log::files::{STREAMS, parse_segment_name, stream_dir};
use crate::state::tables;
use crate::storage::Storage;

use super::load::Loaded;
use super::report::Report;

/// What a repair keeps the originals under: `repair-1`, and so on.
pub(super) const ASIDE: &str = "repair-";

/// The names in a directory; none if there is no such directory.
pub(super) fn names(storage: &dyn Storage, dir: &str) -> Result<Vec<String>> {
    match storage.list(dir) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        names => names.map_err(|error| Error::io(format_args!("listing {dir}"), error)),
    }
}

/// The paths of what is in a directory.
pub(super) fn paths(storage: &dyn Storage, dir: &str) -> Result<Vec<String>> {
    Ok(names(storage, dir)?.into_iter().map(|name| format!("{dir}/{name}")).collect())
}

/// The number of the stream whose directory this is; `None` if it is no such name.
pub(super) fn stream_number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| number.to_string() == name)
}

/// What a repair adds to the name of a segment until it is whole.
pub(super) const NEW: &str = ".new";

/// The paths of segments that a repair was making when it was cut off.
pub(super) fn half_made(storage: &dyn Storage) -> Result<Vec<String>> {
    let mut half_made = Vec::new();
    for dir in paths(storage, STREAMS)? {
        let names = names(storage, &dir)?;
        let new = names.iter().filter(|name| name.strip_suffix(NEW).and_then(parse_segment_name).is_some());
        half_made.extend(new.map(|name| format!("{dir}/{name}")));
    }
    Ok(half_made)
}

/// The number of the repair whose originals are under this name.
pub(super) fn repair_number(name: &str) -> Option<u64> {
    name.strip_prefix(ASIDE).and_then(stream_number)
}

/// Segments that the state does not name: the stream's number, and the first ID.
pub(super) fn segments(storage: &dyn Storage, loaded: &Loaded) -> Result<Vec<(u64, Id)>> {
    let mut unnamed = Vec::new();
    for number in names(storage, STREAMS)?.iter().filter_map(|name| stream_number(name)) {
        let state = loaded.replay.streams.get(&number).map(|loaded| &loaded.state);
        let log = state.iter().flat_map(|state| state.log.segments());
        let named: BTreeSet<Id> = log.map(|segment| segment.position.first_id).collect();
        let there = names(storage, &stream_dir(number))?;
        let there = there.iter().filter_map(|name| parse_segment_name(name));
        unnamed.extend(there.filter(|id| !named.contains(id)).map(|id| (number, id)));
    }
    Ok(unnamed)
}

/// Warns of every name that the state does not have.
pub(super) fn warn(storage: &dyn Storage, loaded: &Loaded, report: &mut Report) -> Result<()> {
    for name in names(storage, "")? {
        let half_made = [format::NEW_PATH, tables::NEW_PATH];
        match &*name {
            format::PATH | format::LOCK | tables::PATH | file::JOURNAL | STREAMS => {}
            tables::ASIDE_PATH => report.warn(name, "a damaged file that was rebuilt: remove it if nobody needs it"),
            name if half_made.contains(&name) => report.warn(name, "half made when a process was killed"),
            name if repair_number(name).is_some() => {
                report.warn(name, "the originals of a repair: remove them if nobody needs them");
            }
            _ => report.warn(name, "unknown, and left alone"),
        }
    }
    for name in names(storage, file::JOURNAL)? {
        if file::parse_name(&name).is_none() && !file::is_spare(&name) {
            report.warn(format!("{}/{name}", file::JOURNAL), "unknown, and left alone");
        }
    }
    for name in names(storage, STREAMS)? {
        let dir = format!("{STREAMS}/{name}");
        if stream_number(&name).is_none() {
            report.warn(dir, "unknown, and left alone");
            continue;
        }
        let unknown = |name: &&String| parse_segment_name(name.strip_suffix(NEW).unwrap_or(name)).is_none();
        for name in names(storage, &dir)?.iter().filter(unknown) {
            report.warn(format!("{dir}/{name}"), "unknown, and left alone");
        }
    }
    for path in half_made(storage)? {
        report.warn(path, "half made when a repair was cut off: remove it");
    }
    for (number, first_id) in segments(storage, loaded)? {
        let path = crate::log::files::segment_path(number, first_id);
        report.warn(path, "no stream has it: a process was killed before it knew, or it was about to be removed");
    }
    Ok(())
}
