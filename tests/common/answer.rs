//! What a server answers, kind by kind as the two protocols tell kinds apart: a real Redis's words, and ours.

use std::fmt;

use streamlog::Broker;
use streamlog::command::{Command, Reply, parse_error_text};

#[derive(Clone, PartialEq)]
pub(crate) enum Answer {
    /// Nothing where there could be bytes (RESP2), or nothing at all (RESP3).
    Null,
    /// Nothing where there could be an array: RESP2 alone.
    NullArray,
    Int(i64),
    Text(Vec<u8>),
    Status(String),
    Error(String),
    Array(Vec<Answer>),
    /// From here on RESP3 alone.
    Map(Vec<(Answer, Answer)>),
    Set(Vec<Answer>),
    /// Text for people.
    Verbatim(String),
}

impl Answer {
    /// As RESP2 has it.
    pub(crate) fn of(reply: Reply) -> Answer {
        let flat = |(name, value)| [Answer::of(name), Answer::of(value)];
        match reply {
            Reply::Status(status) => Answer::Status(status.to_owned()),
            Reply::Int(int) => Answer::Int(int),
            Reply::Bulk(bytes) => Answer::Text(bytes),
            Reply::Null => Answer::Null,
            Reply::NullArray => Answer::NullArray,
            Reply::Array(items) => Answer::Array(items.into_iter().map(Answer::of).collect()),
            Reply::Map(pairs) => Answer::Array(pairs.into_iter().flat_map(flat).collect()),
            Reply::Pairs(pairs) => {
                Answer::Array(pairs.into_iter().map(|pair| Answer::Array(flat(pair).into())).collect())
            }
            other => panic!("{other:?} has no place in RESP2"),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Null => f.write_str("null"),
            Answer::NullArray => f.write_str("null array"),
            Answer::Int(int) => write!(f, "{int}"),
            Answer::Text(text) => write!(f, "\"{}\"", text.escape_ascii()),
            Answer::Status(status) => write!(f, "+{status}"),
            Answer::Error(error) => write!(f, "-{error}"),
            Answer::Array(items) => f.debug_list().entries(items).finish(),
            Answer::Map(pairs) => f.debug_map().entries(pairs.iter().map(|(name, value)| (name, value))).finish(),
            Answer::Set(items) => f.debug_set().entries(items).finish(),
            Answer::Verbatim(text) => write!(f, "txt:{text:?}"),
        }
    }
}

/// What our broker answers.
pub(crate) fn ask(broker: &Broker, args: &[impl AsRef<[u8]>]) -> Answer {
    match Command::parse(args) {
        Err(error) => Answer::Error(parse_error_text(&error)),
        Ok(command) => match broker.execute(&command) {
            Ok(reply) => Answer::of(reply),
            Err(error) => Answer::Error(command.error_text(&error)),
        },
    }
}
