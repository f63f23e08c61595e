//! In what Debian's Redis, which is 7.0, is known to answer otherwise than we do, and why.

use super::answer::Answer;

/// Values of maps that are not compared.
const KNOWN: &[(&str, &str)] = &[
    ("radix-tree-keys", "we have no tree"),
    ("radix-tree-nodes", "we have no tree"),
    ("idle", "time"),
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
const ENDS: &[(&str, &str)] = &[
    ("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id", "7.0 takes such an ID"),
    ("ERR the name of a ", "Redis takes any bytes for a name, none included"),
];

/// Whether only we say this.
pub(crate) fn ends(answer: &Answer) -> bool {
    matches!(answer, Answer::Error(text) if ENDS.iter().any(|(end, _)| text.starts_with(end)))
}

/// What 7.0 says of a millisecond that has no sequence number left, and what others say; no entry in these tests is large.
const FULL: [&str; 2] = [
    "ERR Elements are too large to be stored",
    "ERR The ID specified in XADD is equal or smaller than the target stream top item",
];

/// An answer without what is known to differ: fields of [`KNOWN`], times, IDs made by the clock, the wording of some texts.
pub(crate) fn seen(answer: Answer) -> Answer {
    match answer {
        Answer::Text(text) if is_made_by_the_clock(&text) => Answer::Text(b"@".to_vec()),
        Answer::Map(pairs) => {
            let is_info = pairs.first().is_some_and(|(name, _)| is_first_of_info(name));
            let pairs = pairs.into_iter().filter(|(name, _)| !(is_info && is_known(name)));
            Answer::Map(pairs.map(|(name, value)| (seen(name), seen(value))).collect())
        }
        // Milliseconds since the epoch.
        Answer::Int(int) if int > 1_000_000_000_000 => Answer::Int(-2),
        // Since 7.4 another text, for `+` and `>`.
        Answer::Error(text) if text.starts_with("ERR Unbalanced ") => Answer::Error("ERR Unbalanced".to_owned()),
        Answer::Error(text) if text == FULL[0] => Answer::Error(FULL[1].to_owned()),
        // Later versions do not speak of arguments where there are none, and word the end of each page of help in another way.
        Answer::Error(text) => match text.strip_suffix(", with args beginning with: ") {
            Some(begin) if begin.starts_with("ERR unknown command ") => Answer::Error(begin.to_owned()),
            _ => Answer::Error(text),
        },
        Answer::Status(text) if text == "    Prints this help." => Answer::Status("    Print this help.".to_owned()),
        Answer::Array(mut items) => {
            // A pending entry: how long ago it was delivered.
            if let [Answer::Text(_), Answer::Text(_), idle @ Answer::Int(_), Answer::Int(_)] = items.as_mut_slice() {
                *idle = Answer::Null;
            }
            if !items.first().is_some_and(is_first_of_info) {
                return Answer::Array(items.into_iter().map(seen).collect());
            }
            let pairs = items.chunks(2).filter(|pair| !is_known(&pair[0]));
            Answer::Array(pairs.flatten().cloned().map(seen).collect())
        }
        other => other,
    }
}

/// Whether what begins so are names and values.
fn is_first_of_info(answer: &Answer) -> bool {
    matches!(answer, Answer::Text(name) if name == b"name" || name == b"length")
}

fn is_known(answer: &Answer) -> bool {
    matches!(answer, Answer::Text(text) if KNOWN.iter().any(|(name, _)| name.as_bytes() == text))
}

fn is_made_by_the_clock(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits == 13 && text.get(13) == Some(&b'-')
}
