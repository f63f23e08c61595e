//! What a check says: problems with what they cost, warnings, and how much there is.

use std::fmt;
use std::ops::RangeInclusive;

use crate::error::{Error, Place};
use crate::id::Id;
use crate::name;

/// What [`check`](crate::check) found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What is damaged, missing, or does not fit together.
    pub problems: Vec<Problem>,
    /// What is no damage and worth knowing: unknown files, leftovers of a crash.
    pub warnings: Vec<Warning>,
    /// How much there is.
    pub figures: Figures,
}

/// Something damaged, missing, or contradictory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// What is wrong, in words.
    pub what: String,
    /// What it costs.
    pub loss: Loss,
}

/// What a problem costs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loss {
    /// How many entries cannot be read, where that can be told: of those neither deleted nor trimmed.
    pub entries: u64,
    /// Between which IDs those entries are.
    pub ids: Option<RangeInclusive<Id>>,
    /// How many records of the journal cannot be applied, each a call that wrote something.
    pub records: u64,
    /// Whether consumers get again what they had already.
    pub redelivers: bool,
    /// Whether groups and their consumers are lost.
    pub groups: bool,
}

/// Something that is no damage.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The file or directory, relative to the broker's directory.
    pub file: String,
    /// What of it is worth knowing.
    pub what: String,
}

/// How much a check has looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// How many streams there are.
    pub streams: u64,
    /// How many groups they have.
    pub groups: u64,
    /// How many entries are pending in them.
    pub pending: u64,
    /// How many entries the streams have.
    pub entries: u64,
    /// How many entries are to be added later: they count for nothing else here.
    pub delayed: u64,
    /// How many segments there are.
    pub segments: u64,
    /// How many records of the journal are not in `state.redb`.
    pub records: u64,
    /// The bytes of all files that were read.
    pub bytes: u64,
}

/// How far a check is: what its caller is told now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The bytes read so far.
    pub bytes: u64,
    /// The bytes to be read in all.
    pub bytes_total: u64,
}

impl Report {
    /// Whether there are no problems.
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn problem(&mut self, place: Place, what: impl Into<String>, loss: Loss) {
        self.problems.push(Problem { place, what: what.into(), loss });
    }

    /// An error about bytes, as a problem in `file` if it does not say where.
    pub(super) fn damage(&mut self, error: &Error, file: &str, stream: Option<&str>, loss: Loss) {
        let unsaid = Place { stream: None, file: file.to_owned(), offset: 0 };
        let mut place = error.place().cloned().unwrap_or(unsaid);
        place.stream = place.stream.or(stream.map(|stream| name::shown(stream).to_owned()));
        self.problem(place, error.to_string(), loss);
    }

    pub(super) fn warn(&mut self, file: impl Into<String>, what: impl Into<String>) {
        self.warnings.push(Warning { file: file.into(), what: what.into() });
    }
}

impl Loss {
    pub(super) fn redelivery() -> Loss {
        Loss { redelivers: true, ..Loss::default() }
    }

    /// Whether nothing is lost and nothing is delivered again.
    pub fn is_nothing(&self) -> bool {
        *self == Loss::default()
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loss { entries, ids, records, redelivers, groups } = self;
        let mut costs = Vec::new();
        if *entries > 0 {
            let noun = if *entries == 1 { "entry" } else { "entries" };
            costs.push(match ids {
                Some(ids) => format!("{entries} {noun} from {} to {}", ids.start(), ids.end()),
                None => format!("{entries} {noun}"),
            });
        }
        if *records > 0 {
            costs.push(format!("{records} {} of the journal", if *records == 1 { "record" } else { "records" }));
        }
        if *groups {
            costs.push("all groups".to_owned());
        }
        if *redelivers {
            costs.push("consumers get again what they had".to_owned());
        }
        f.write_str(&if costs.is_empty() { "nothing is lost".to_owned() } else { costs.join("; ") })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stream) = &self.place.stream {
            write!(f, "stream `{stream}`: ")?;
        }
        write!(f, "{}: {}", self.what, self.loss)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}
