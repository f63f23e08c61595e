//! In what a Redis is known to answer otherwise than we do, and why: Debian's 7.0 in much that changed since, one from 8.6 on in
//! little.

use super::answer::Answer;
use super::redis::Version;

/// The first version whose every answer is to be ours.
pub(crate) const OURS: Version = (8, 6);

/// Values of maps that are not compared.
const KNOWN: &[(&str, &str)] = &[("radix-tree-keys", "we have no tree"), ("radix-tree-nodes", "we have no tree")];

/// The same, before [`OURS`].
const KNOWN_BEFORE: &[(&str, &str)] = &[
    ("idle", "time, set otherwise before 7.2"),
    ("inactive", "time, and since 7.2"),
    ("seen-time", "time"),
    ("active-time", "time, and since 7.2"),
    ("entries-read", "counted in another way since 7.2"),
    ("lag", "counted in another way since 7.2"),
    ("idmp-duration", "since 8.6"),
    ("idmp-maxsize", "since 8.6"),
    ("pids-tracked", "since 8.6"),
    ("iids-tracked", "since 8.6"),
    ("iids-added", "since 8.6"),
    ("iids-duplicates", "since 8.6"),
];

/// What only we say, after which two histories differ.
const ENDS: &[(&str, &str)] = &[("ERR the name of a ", "Redis takes any bytes for a name, none included")];

/// The same, before [`OURS`].
const ENDS_BEFORE: &[(&str, &str)] =
    &[("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id", "7.0 takes such an ID")];

/// Those of both lists that hold for this version.
fn of<T>(always: &'static [T], before: &'static [T], version: Version) -> impl Iterator<Item = &'static T> {
    always.iter().chain(if version < OURS { before } else { &[] })
}

/// Whether only we say this.
pub(crate) fn ends(answer: &Answer, version: Version) -> bool {
    let is_end = |text: &str| of(ENDS, ENDS_BEFORE, version).any(|(end, _)| text.starts_with(end));
    matches!(answer, Answer::Error(text) if is_end(text))
}

/// What 7.0 says of a millisecond that has no sequence number left, and what others say; no entry in these tests is large.
const FULL: [&str; 2] = [
    "ERR Elements are too large to be stored",
    "ERR The ID specified in XADD is equal or smaller than the target stream top item",
];

/// An answer without what is known to differ: some fields, times to the millisecond, IDs made by the clock, and before [`OURS`] the
/// wording of some.
pub(crate) fn seen(answer: Answer, version: Version) -> Answer {
    let is_ours = version >= OURS;
    match answer {
        Answer::Text(text) if is_made_by_the_clock(&text) => Answer::Text(b"@".to_vec()),
        Answer::Map(pairs) if pairs.first().is_some_and(|(name, _)| is_first_of_info(name)) => {
            Answer::Map(pairs.into_iter().filter_map(|pair| told(pair, version)).collect())
        }
        Answer::Map(pairs) => {
            Answer::Map(pairs.into_iter().map(|(name, value)| (seen(name, version), seen(value, version))).collect())
        }
        // Milliseconds since the epoch.
        Answer::Int(int) if int > 1_000_000_000_000 => Answer::Int(-2),
        // Since 7.4 another text, for `+` and `>`.
        Answer::Error(text) if !is_ours && text.starts_with("ERR Unbalanced ") => {
            Answer::Error("ERR Unbalanced".to_owned())
        }
        Answer::Error(text) if !is_ours && text == FULL[0] => Answer::Error(FULL[1].to_owned()),
        Answer::Error(text) if !is_ours && text.starts_with("ERR unknown command ") => {
            Answer::Error(text.trim_end_matches(", with args beginning with: ").to_owned())
        }
        Answer::Status(text) if !is_ours && text.trim() == "Prints this help." => {
            Answer::Status(text.replace("Prints", "Print"))
        }
        Answer::Array(mut items) => {
            // A pending entry, or one that was claimed: how long ago it was delivered.
            if let [Answer::Text(_), Answer::Text(_) | Answer::Array(_), idle @ Answer::Int(_), Answer::Int(_)] =
                items.as_mut_slice()
            {
                *idle = if is_ours { about(idle) } else { Answer::Null };
            }
            if !items.first().is_some_and(is_first_of_info) {
                return Answer::Array(items.into_iter().map(|item| seen(item, version)).collect());
            }
            let pairs = items.chunks(2).filter_map(|pair| told((pair[0].clone(), pair[1].clone()), version));
            Answer::Array(pairs.flat_map(|(name, value)| [name, value]).collect())
        }
        other => other,
    }
}

fn is(name: &str, answer: &Answer) -> bool {
    matches!(answer, Answer::Text(text) if text == name.as_bytes())
}

/// Whether what begins so are names and values.
fn is_first_of_info(answer: &Answer) -> bool {
    is("name", answer) || is("length", answer)
}

/// A name and its value, if they are compared.
fn told((name, value): (Answer, Answer), version: Version) -> Option<(Answer, Answer)> {
    if of(KNOWN, KNOWN_BEFORE, version).any(|(known, _)| is(known, &name)) {
        return None;
    }
    let value = if is("idle", &name) || is("inactive", &name) { about(&value) } else { value };
    Some((name, seen(value, version)))
}

/// A time that has passed, to within what a sequence takes: those that are set are far from each other.
fn about(time: &Answer) -> Answer {
    match time {
        Answer::Int(0..2_500) => Answer::Int(0),
        Answer::Int(2_500..100_000) => Answer::Int(5_000),
        Answer::Int(100_000..1_000_000) => Answer::Int(200_000),
        other => other.clone(),
    }
}

fn is_made_by_the_clock(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits == 13 && text.get(13) == Some(&b'-')
}
