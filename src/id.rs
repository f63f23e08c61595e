//! Entry IDs: the order of a stream and its clock. Knows nothing of streams.

use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The ID of an entry: a time in milliseconds since the Unix epoch and a sequence number within it, written `ms-seq`.
///
/// IDs of one stream only ever grow, whatever the clock does.
///
/// ```
/// use streamlog::Id;
///
/// let id: Id = "1526919030474-55".parse()?;
/// assert_eq!(id, Id::new(1_526_919_030_474, 55));
/// assert_eq!("5".parse::<Id>()?, Id::new(5, 0));
/// assert!(id < Id::MAX);
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Id {
    /// Milliseconds since the Unix epoch.
    pub ms: u64,
    /// Counts the entries of one millisecond, from 0.
    pub seq: u64,
}

impl Id {
    /// `0-0`: before every entry. No entry has it.
    pub const MIN: Id = Id { ms: 0, seq: 0 };
    /// The last ID there can be.
    pub const MAX: Id = Id { ms: u64::MAX, seq: u64::MAX };

    /// The ID `ms-seq`.
    pub const fn new(ms: u64, seq: u64) -> Id {
        Id { ms, seq }
    }

    /// The ID right after this one, or `None` after [`Id::MAX`].
    #[must_use]
    pub const fn next(self) -> Option<Id> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Id { ms: self.ms, seq }),
            None => match self.ms.checked_add(1) {
                Some(ms) => Some(Id { ms, seq: 0 }),
                None => None,
            },
        }
    }

    /// The ID right before this one, or `None` before [`Id::MIN`].
    #[must_use]
    pub const fn previous(self) -> Option<Id> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Id { ms: self.ms, seq }),
            None => match self.ms.checked_sub(1) {
                Some(ms) => Some(Id { ms, seq: u64::MAX }),
                None => None,
            },
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Id {
        let wide = u128::from_be_bytes(bytes);
        Id { ms: (wide >> 64) as u64, seq: wide as u64 }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<(u64, u64)> for Id {
    fn from((ms, seq): (u64, u64)) -> Id {
        Id { ms, seq }
    }
}

/// Splits `ms[-seq]`, with `seq` still a text.
fn split(text: &str) -> Option<(u64, Option<&str>)> {
    let (ms, seq) = match text.split_once('-') {
        Some((ms, seq)) => (ms, Some(seq)),
        None => (text, None),
    };
    Some((number(ms)?, seq))
}

/// A decimal number without sign or blanks: `str::parse` alone would take `+5`.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::InvalidId, format!("`{text}` is not an ID: write `ms-seq` or `ms`"))
}

impl FromStr for Id {
    type Err = Error;

    /// Parses `ms-seq`, or `ms` for `ms-0`.
    fn from_str(text: &str) -> Result<Id> {
        let parsed = match split(text) {
            Some((ms, None)) => Some(Id { ms, seq: 0 }),
            Some((ms, Some(seq))) => number(seq).map(|seq| Id { ms, seq }),
            None => None,
        };
        parsed.ok_or_else(|| invalid(text))
    }
}

/// How an added entry gets its ID (`XADD`).
///
/// ```
/// use streamlog::{Id, IdSpec};
///
/// assert_eq!("*".parse::<IdSpec>()?, IdSpec::Auto);
/// assert_eq!("5-*".parse::<IdSpec>()?, IdSpec::AutoSeq(5));
/// assert_eq!("5-1".parse::<IdSpec>()?, IdSpec::Exact(Id::new(5, 1)));
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdSpec {
    /// `*`: the time now, or the last ID plus one where the clock has not passed it.
    #[default]
    Auto,
    /// `ms-*`: the next free sequence number of the given millisecond.
    AutoSeq(u64),
    /// Exactly this ID, which must be greater than every ID the stream has had.
    Exact(Id),
}

impl IdSpec {
    /// The ID that an entry added to a stream whose last ID is `last` gets, at the time `now_ms`.
    pub(crate) fn assign(self, last: Id, now_ms: u64) -> Result<Id> {
        if last == Id::MAX {
            return Err(Error::new(
                ErrorKind::IdsExhausted,
                "the stream has had the last possible ID: no more entries can be added to it",
            ));
        }
        let too_small = || {
            Error::new(ErrorKind::IdTooSmall, format!("the ID is equal to or smaller than the stream's last, {last}"))
        };
        match self {
            IdSpec::Auto if now_ms > last.ms => Ok(Id::new(now_ms, 0)),
            IdSpec::Auto => last.next().ok_or_else(too_small),
            IdSpec::AutoSeq(ms) if ms > last.ms => Ok(Id::new(ms, 0)),
            IdSpec::AutoSeq(ms) if ms == last.ms => {
                last.seq.checked_add(1).map(|seq| Id { ms, seq }).ok_or_else(too_small)
            }
            IdSpec::Exact(Id::MIN) => {
                Err(Error::new(ErrorKind::InvalidId, "the ID of an entry must be greater than 0-0"))
            }
            IdSpec::Exact(id) if id > last => Ok(id),
            IdSpec::AutoSeq(_) | IdSpec::Exact(_) => Err(too_small()),
        }
    }
}

impl From<Id> for IdSpec {
    fn from(id: Id) -> IdSpec {
        IdSpec::Exact(id)
    }
}

impl FromStr for IdSpec {
    type Err = Error;

    /// Parses `*`, `ms-*`, `ms-seq`, or `ms` for `ms-0`.
    fn from_str(text: &str) -> Result<IdSpec> {
        match (text, split(text)) {
            ("*", _) => Ok(IdSpec::Auto),
            (_, Some((ms, Some("*")))) => Ok(IdSpec::AutoSeq(ms)),
            _ => text.parse().map(IdSpec::Exact),
        }
    }
}

/// The inclusive bounds of a range of IDs; `None` if nothing can lie in it.
pub(crate) fn inclusive(range: &impl RangeBounds<Id>) -> Option<(Id, Id)> {
    let first = match range.start_bound() {
        Bound::Included(&id) => id,
        Bound::Excluded(&id) => id.next()?,
        Bound::Unbounded => Id::MIN,
    };
    let last = match range.end_bound() {
        Bound::Included(&id) => id,
        Bound::Excluded(&id) => id.previous()?,
        Bound::Unbounded => Id::MAX,
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_automatic_id_follows_the_clock_and_never_goes_back() {
        let assign = |last, now| IdSpec::Auto.assign(last, now).unwrap();
        assert_eq!(assign(Id::MIN, 7), Id::new(7, 0));
        assert_eq!(assign(Id::new(7, 0), 7), Id::new(7, 1));
        assert_eq!(assign(Id::new(9, 3), 7), Id::new(9, 4));
        assert_eq!(assign(Id::new(9, u64::MAX), 7), Id::new(10, 0));
        assert_eq!(assign(Id::MIN, 0), Id::new(0, 1), "0-0 is no entry's ID");
    }

    #[test]
    fn a_partial_id_takes_the_next_sequence_number_of_its_millisecond() {
        let assign = |ms, last| IdSpec::AutoSeq(ms).assign(last, 100);
        assert_eq!(assign(0, Id::MIN).unwrap(), Id::new(0, 1));
        assert_eq!(assign(5, Id::new(5, 1)).unwrap(), Id::new(5, 2));
        assert_eq!(assign(6, Id::new(5, 1)).unwrap(), Id::new(6, 0));
        assert_eq!(assign(4, Id::new(5, 1)).unwrap_err().kind(), ErrorKind::IdTooSmall);
        assert_eq!(assign(5, Id::new(5, u64::MAX)).unwrap_err().kind(), ErrorKind::IdTooSmall);
    }

    #[test]
    fn an_exact_id_must_be_greater_than_the_last() {
        let assign = |id, last| IdSpec::Exact(id).assign(last, 100);
        assert_eq!(assign(Id::new(1, 0), Id::MIN).unwrap(), Id::new(1, 0));
        assert_eq!(assign(Id::MIN, Id::MIN).unwrap_err().kind(), ErrorKind::InvalidId);
        assert_eq!(assign(Id::new(1, 0), Id::new(1, 0)).unwrap_err().kind(), ErrorKind::IdTooSmall);
        assert_eq!(assign(Id::MAX, Id::MAX).unwrap_err().kind(), ErrorKind::IdsExhausted);
    }

    #[test]
    fn only_plain_decimal_ids_parse() {
        for bad in ["", "-", "5-", "-5", "+5", "5-+1", "5-1-1", "a", "18446744073709551616", "5-*", " 5"] {
            assert_eq!(bad.parse::<Id>().unwrap_err().kind(), ErrorKind::InvalidId, "{bad}");
        }
        assert_eq!("18446744073709551615-18446744073709551615".parse::<Id>().unwrap(), Id::MAX);
    }

    #[test]
    fn bytes_sort_as_ids_do() {
        let ids = [Id::MIN, Id::new(0, 1), Id::new(1, 0), Id::new(1, u64::MAX), Id::new(256, 3), Id::MAX];
        assert!(ids.windows(2).all(|w| w[0].to_bytes() < w[1].to_bytes()));
        assert!(ids.iter().all(|&id| Id::from_bytes(id.to_bytes()) == id));
    }

    #[test]
    fn ranges_are_made_inclusive() {
        let id = |seq| Id::new(1, seq);
        assert_eq!(inclusive(&(id(1)..id(3))), Some((id(1), id(2))));
        assert_eq!(inclusive(&(..)), Some((Id::MIN, Id::MAX)));
        assert_eq!(inclusive(&(id(3)..id(1))), None);
        assert_eq!(inclusive(&(..Id::MIN)), None);
        assert_eq!(inclusive(&(Bound::Excluded(Id::MAX), Bound::Unbounded)), None);
    }
}
