//! The state of a directory, damaged or not: from redb and the journal, else from the journal's snapshots, else from the
//! segments alone. Reads, and changes nothing. Says what it could not use; does not look into the segments that the state
//! names ([`stream`](super::stream) does).

use std::collections::BTreeMap;

use crate::broker::format;
use crate::broker::rebuild::{Known, Rebuilt, from_file, rebuild};
use crate::broker::replay::Replay;
use crate::error::{Error, ErrorKind, Place, Result};
use crate::journal::{self, Lsn, file};
use crate::log::header::{self, Identity};
use crate::log::segment;
use crate::state::snapshot::Snapshot;
use crate::state::tables::{self, Meta, Tables};
use crate::storage::Storage;

use super::report::{Loss, Report};
use super::scan::{is_damage, or_damage};
use super::{alone, leftovers};

/// The first bytes of a file: more than any header of ours has.
const HEAD_BYTES: u64 = 4096;

/// What there is.
pub(super) struct Loaded {
    pub(super) directory: Identity,
    pub(super) replay: Replay,
    /// Whether there was nothing but segments to tell of the state.
    pub(super) alone: bool,
    /// The greatest number that a record has had.
    pub(super) last_lsn: Lsn,
    pub(super) clean: bool,
}

/// Loads what there is, and says in `report` what is wrong with it.
///
/// # Errors
///
/// `ForeignDirectory` and `NewerFormat`; what the system says.
pub(super) fn load(storage: &dyn Storage, report: &mut Report) -> Result<Loaded> {
    let directory = identity(storage, report)?;
    let (meta, streams) = match or_damage(Tables::read(storage))? {
        Ok(read) => read,
        Err(_) if is_new(storage)? => return Ok(Loaded::nothing(directory)),
        Err(error) => return without_redb(storage, directory, &error, report),
    };
    let mut replay = Replay::new(meta, streams);
    if !meta.journal && journal::files(storage).is_ok_and(|files| files.is_empty()) {
        return Ok(Loaded { replay, ..Loaded::nothing(directory) });
    }
    let mut last_lsn = meta.floor;
    let recovered = journal::recover(storage, directory, meta.floor, meta.covered, |lsn, record| {
        replay.apply(lsn, record)?;
        last_lsn = lsn;
        Ok(())
    });
    report.figures.records = last_lsn - meta.floor;
    snapshots(storage, directory, meta.floor, report)?;
    let highest = journal::highest(storage, directory)?.max(meta.covered);
    let (last_lsn, clean) = match or_damage(recovered)? {
        Ok(recovery) => {
            if recovery.last_lsn < meta.covered {
                report.warn(file::JOURNAL, "it ends before what `state.redb` has of it: nothing is lost by that");
            }
            (recovery.last_lsn.max(meta.covered), recovery.clean)
        }
        Err(error) => {
            given_up(report, &error, last_lsn, highest);
            (highest, false)
        }
    };
    Ok(Loaded { directory, replay, alone: false, last_lsn, clean })
}

impl Loaded {
    fn nothing(directory: Identity) -> Loaded {
        let replay = Replay::new(tables::NOTHING, BTreeMap::new());
        Loaded { directory, replay, alone: false, last_lsn: 0, clean: true }
    }
}

fn given_up(report: &mut Report, error: &Error, last: Lsn, highest: Lsn) {
    let loss = Loss { records: highest.saturating_sub(last), ..Loss::default() };
    report.damage(error, file::JOURNAL, None, loss);
}

/// Whether a directory was being made when its process was killed.
fn is_new(storage: &dyn Storage) -> Result<bool> {
    for dir in [file::JOURNAL, crate::log::files::STREAMS] {
        if !leftovers::names(storage, dir)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(!Tables::exist(storage)?)
}

/// Verifies what each journal file begins with: where redb is lost, the state is rebuilt from it.
fn snapshots(storage: &dyn Storage, directory: Identity, floor: Lsn, report: &mut Report) -> Result<()> {
    let Ok(files) = or_damage(journal::files(storage))? else { return Ok(()) };
    let start = files.partition_point(|&first| first <= floor + 1).saturating_sub(1);
    for (number, first) in files.into_iter().enumerate() {
        let path = file::path(first);
        match or_damage(journal::snapshot(storage, directory, first))? {
            Ok(snapshot) => {
                if let Err(error) = Snapshot::decode(&snapshot) {
                    let place = Place { stream: None, file: path, offset: 0 };
                    report.problem(place, format!("its snapshot does not decode: {error}"), Loss::default());
                }
            }
            Err(error) if number < start => report.warn(path, format!("it is damaged and not needed: {error}")),
            // To recovery it is the torn end of the journal, if nothing says that more was durable.
            Err(error) => {
                report.warn(path, format!("torn or damaged, and not needed unless `state.redb` is lost: {error}"));
            }
        }
    }
    Ok(())
}

/// The state without redb, for which `lost` is the reason.
fn without_redb(storage: &dyn Storage, directory: Identity, lost: &Error, report: &mut Report) -> Result<Loaded> {
    let last_lsn = journal::highest(storage, directory)?;
    if let Ok((replay, recovery)) = or_damage(rebuild(storage, directory, lost))? {
        report.damage(lost, tables::PATH, None, Loss::redelivery());
        report.figures.records = recovery.last_lsn - replay.meta.floor;
        let last_lsn = recovery.last_lsn;
        return Ok(Loaded { directory, replay, alone: false, last_lsn, clean: false });
    }
    for first_lsn in or_damage(journal::files(storage))?.unwrap_or_default() {
        let rebuilt = or_damage(from_file(storage, directory, first_lsn, Known::Durable))?;
        let Ok(Rebuilt { replay, recovery, journal, .. }) = rebuilt else { continue };
        report.damage(lost, tables::PATH, None, Loss::redelivery());
        if let Some(error) = journal {
            given_up(report, &error, recovery.last_lsn, last_lsn);
        }
        return Ok(Loaded { directory, replay, alone: false, last_lsn, clean: false });
    }
    report.damage(lost, tables::PATH, None, Loss { groups: true, ..Loss::redelivery() });
    let place = Place { stream: None, file: file::JOURNAL.to_owned(), offset: 0 };
    let what = "the journal has no snapshot that `state.redb` could be rebuilt from";
    report.problem(place, what, Loss { records: last_lsn, ..Loss::default() });
    let streams = alone::streams(storage, directory, report)?;
    let next_stream = streams.keys().last().map_or(1, |last| last + 1);
    let meta = Meta { floor: last_lsn, covered: last_lsn, catalog: last_lsn, next_stream, journal: true };
    Ok(Loaded { directory, replay: Replay::new(meta, streams), alone: true, last_lsn, clean: false })
}

/// The directory's UUID: what FORMAT says, or else what most files say that they belong to.
fn identity(storage: &dyn Storage, report: &mut Report) -> Result<Identity> {
    let votes = votes(storage)?;
    let most = votes.iter().max_by_key(|&(_, &count)| count).map(|(&directory, _)| directory);
    let damaged = match format::check_ours(storage).and_then(|()| format::read(storage)) {
        Ok(Some(directory)) if votes.is_empty() || votes.contains_key(&directory) => return Ok(directory),
        Ok(Some(_)) => Error::corrupt(format::PATH, 0, "no file has the UUID that it says"),
        Ok(None) => {
            let text = "the directory is empty: there is no streamlog in it";
            return Err(Error::new(ErrorKind::ForeignDirectory, text));
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => error,
        Err(error) => return Err(error),
    };
    let Some(directory) = most else { return Err(damaged.beyond_rebuilding("no other file has the directory's UUID")) };
    report.damage(&damaged, format::PATH, None, Loss::default());
    Ok(directory)
}

/// The directories that the heads of files name, and how many do.
fn votes(storage: &dyn Storage) -> Result<BTreeMap<Identity, u64>> {
    let mut votes = BTreeMap::new();
    let mut paths = leftovers::paths(storage, file::JOURNAL)?;
    for dir in leftovers::paths(storage, crate::log::files::STREAMS)? {
        paths.extend(leftovers::paths(storage, &dir)?);
    }
    for path in paths {
        let Ok(opened) = storage.open(&path) else { continue };
        let doing = |error| Error::io(format_args!("reading {path}"), error);
        let mut bytes = vec![0; opened.len().map_err(doing)?.min(HEAD_BYTES) as usize];
        segment::read_exact(&*opened, &mut bytes, 0, &path)
            .or_else(|error| is_damage(&error).then_some(()).ok_or(error))?;
        let of_journal = header::decode::<file::JournalHeader>(&path, file::MAGIC, file::HEADER_VERSION, &bytes);
        let of_segment =
            header::decode::<segment::SegmentHeader>(&path, segment::MAGIC, segment::HEADER_VERSION, &bytes);
        let directory = of_journal.map(|found| found.1.directory).or(of_segment.map(|found| found.1.directory));
        if let Ok(directory) = directory {
            *votes.entry(directory).or_default() += 1;
        }
    }
    Ok(votes)
}
