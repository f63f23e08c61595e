//! Single arguments: options, numbers, IDs and names, with the texts of what they are not. Knows no command.

use std::ops::Bound;
use std::time::Duration;

use crate::command::text::{INVALID_ID, NOT_AN_INTEGER};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Id, IdSpec};
use crate::stream::StartAt;

pub(super) fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

pub(super) fn invalid_id() -> Error {
    Error::new(ErrorKind::InvalidId, INVALID_ID)
}

/// What C sees of an argument that it takes for a text: nothing from a zero byte on.
fn text(arg: &[u8]) -> &[u8] {
    arg.iter().position(|&byte| byte == 0).map_or(arg, |end| &arg[..end])
}

/// Whether an argument is this word, in any case.
pub(super) fn is(arg: &[u8], word: &str) -> bool {
    text(arg).eq_ignore_ascii_case(word.as_bytes())
}

/// The arguments after those that every command of the name has.
pub(super) struct Options<'a> {
    pub(super) rest: &'a [&'a [u8]],
}

impl<'a> Options<'a> {
    pub(super) fn new(args: &'a [&'a [u8]]) -> Options<'a> {
        Options { rest: args }
    }

    pub(super) fn next(&mut self) -> Option<&'a [u8]> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The argument after `option`, if that is this word and has one: without, Redis does not know the word.
    pub(super) fn value(&mut self, option: &[u8], word: &str) -> Option<&'a [u8]> {
        if is(option, word) { self.next() } else { None }
    }
}

/// The name of a stream, group or consumer.
pub(super) fn name(arg: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(arg);
    text.map(str::to_owned).map_err(|error| {
        Error::new(ErrorKind::InvalidName, "the name of a stream, group or consumer is UTF-8 here").with_source(error)
    })
}

pub(super) fn names(args: &[&[u8]]) -> Result<Vec<String>> {
    args.iter().map(|arg| name(arg)).collect()
}

/// A number as Redis writes it: no blanks, no `+`, no zeros before it.
fn plain_int(arg: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(arg).ok()?;
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

pub(super) fn int(arg: &[u8]) -> Result<i64> {
    int_or(arg, NOT_AN_INTEGER)
}

/// A number, or else this text.
pub(super) fn int_or(arg: &[u8], text: &str) -> Result<i64> {
    plain_int(arg).ok_or_else(|| invalid(text))
}

/// A number that counts something; 0 for all that are smaller.
pub(super) fn count(arg: &[u8]) -> Result<u64> {
    Ok(u64::try_from(int(arg)?).unwrap_or(0))
}

/// A time that counts from 0, in milliseconds; 0 for all that are smaller.
pub(super) fn idle(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// One of the two numbers of an ID. What is not written plainly is read as C's `strtoull` does: blanks and a sign before it,
/// negative numbers from the other end.
pub(super) fn id_number(arg: &[u8]) -> Option<u64> {
    if let Some(number) = plain_int(arg) {
        return u64::try_from(number).ok();
    }
    let text = std::str::from_utf8(arg).ok()?.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(if text.starts_with('-') { number.wrapping_neg() } else { number })
}

/// An ID longer than this is none.
const ID_BYTES_MAX: usize = 127;

/// An ID in two halves, the second still bytes.
fn halves(arg: &[u8]) -> Result<(u64, Option<&[u8]>)> {
    let id = text(arg);
    let (ms, seq) = match id.iter().position(|&byte| byte == b'-') {
        Some(at) => (&id[..at], Some(&id[at + 1..])),
        None => (id, None),
    };
    let ms = id_number(ms).filter(|_| arg.len() <= ID_BYTES_MAX);
    ms.map(|ms| (ms, seq)).ok_or_else(invalid_id)
}

/// `ms-seq`, or `ms` with this `seq`.
fn id_or(arg: &[u8], missing_seq: u64) -> Result<Id> {
    let (ms, seq) = halves(arg)?;
    let seq = seq.map_or(Some(missing_seq), id_number).ok_or_else(invalid_id)?;
    Ok(Id { ms, seq })
}

pub(super) fn id(arg: &[u8]) -> Result<Id> {
    id_or(arg, 0)
}

/// An ID, or `-` for the first there can be and `+` for the last.
pub(super) fn id_or_end(arg: &[u8], missing_seq: u64) -> Result<Id> {
    match text(arg) {
        b"-" => Ok(Id::MIN),
        b"+" => Ok(Id::MAX),
        _ => id_or(arg, missing_seq),
    }
}

pub(super) fn ids(args: &[&[u8]]) -> Result<Vec<Id>> {
    args.iter().map(|arg| id(arg)).collect()
}

/// Where to begin: `$`, or what `parse` makes an ID of.
pub(super) fn start(arg: &[u8], parse: impl Fn(&[u8]) -> Result<Id>) -> Result<StartAt> {
    if text(arg) == b"$" {
        return Ok(StartAt::End);
    }
    parse(arg).map(|id| if id == Id::MIN { StartAt::Start } else { StartAt::After(id) })
}

/// The ID of an entry to be added.
pub(super) fn id_spec(arg: &[u8]) -> Result<IdSpec> {
    match halves(arg)? {
        (ms, Some(b"*")) => Ok(IdSpec::AutoSeq(ms)),
        _ => id(arg).map(IdSpec::Exact),
    }
}

/// The first ID of a range.
pub(super) fn first(arg: &[u8]) -> Result<Bound<Id>> {
    let bound = bound(arg, 0)?;
    match bound {
        Bound::Excluded(Id::MAX) => Err(Error::new(ErrorKind::InvalidId, "invalid start ID for the interval")),
        bound => Ok(bound),
    }
}

/// The last ID of a range.
pub(super) fn last(arg: &[u8]) -> Result<Bound<Id>> {
    let bound = bound(arg, u64::MAX)?;
    match bound {
        Bound::Excluded(Id::MIN) => Err(Error::new(ErrorKind::InvalidId, "invalid end ID for the interval")),
        bound => Ok(bound),
    }
}

fn bound(arg: &[u8], missing_seq: u64) -> Result<Bound<Id>> {
    match arg {
        [b'(', after @ ..] if !after.is_empty() => id_or(after, missing_seq).map(Bound::Excluded),
        _ => id_or_end(arg, missing_seq).map(Bound::Included),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plain_or_none() {
        assert_eq!(int(b"-7").unwrap(), -7);
        assert_eq!(int(b"0").unwrap(), 0);
        for bad in ["", "+7", "07", "-0", " 7", "7 ", "7.0", "9223372036854775808", "-"] {
            assert_eq!(int(bad.as_bytes()).unwrap_err().to_string(), NOT_AN_INTEGER, "{bad}");
        }
    }

    #[test]
    fn the_numbers_of_an_id_are_read_as_strtoull_does() {
        assert_eq!((id(b"7-1\0x").unwrap(), id(b"7\0-1").unwrap()), (Id::new(7, 1), Id::new(7, 0)));
        assert!(is(b"count\0x", "COUNT") && int(b"7\0").is_err());
        assert_eq!(id(b"7").unwrap(), Id::new(7, 0));
        assert_eq!(id(b" 7-+02").unwrap(), Id::new(7, 2));
        assert_eq!(id(b"7--01").unwrap(), Id::new(7, u64::MAX));
        assert_eq!(id(b"18446744073709551615-18446744073709551615").unwrap(), Id::MAX);
        for bad in ["", "-", "+", "7-", "-7", "7--1", "7-1-1", "a", "7 ", "18446744073709551616", "7-*"] {
            assert_eq!(id(bad.as_bytes()).unwrap_err().kind(), ErrorKind::InvalidId, "{bad}");
        }
        assert!(id("7".repeat(128).as_bytes()).is_err() && id(format!("{}7", "0".repeat(127)).as_bytes()).is_err());
    }

    #[test]
    fn half_an_id_begins_or_ends_with_its_millisecond() {
        assert_eq!(first(b"5").unwrap(), Bound::Included(Id::new(5, 0)));
        assert_eq!(last(b"5").unwrap(), Bound::Included(Id::new(5, u64::MAX)));
        assert_eq!(last(b"(5").unwrap(), Bound::Excluded(Id::new(5, u64::MAX)));
        assert_eq!((first(b"+").unwrap(), last(b"-").unwrap()), (Bound::Included(Id::MAX), Bound::Included(Id::MIN)));
        assert!(first(b"(-").is_err() && first(b"(").is_err() && last(b"(0-0").is_err());
    }
}
