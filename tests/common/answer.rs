//! What a server answers, as RESP2 has it: a real Redis's words, and ours.

use std::fmt;

use streamlog::Broker;
use streamlog::command::{Command, Reply, parse_error_text};

#[derive(Clone, PartialEq)]
pub(crate) enum Answer {
    /// A null, of whatever kind.
    Null,
    Int(i64),
    Text(Vec<u8>),
    Status(String),
    Error(String),
    Array(Vec<Answer>),
}

impl Answer {
    pub(crate) fn of(reply: Reply) -> Answer {
        let flat = |(name, value)| [Answer::of(name), Answer::of(value)];
        match reply {
            Reply::Status(status) => Answer::Status(status.to_owned()),
            Reply::Int(int) => Answer::Int(int),
            Reply::Bulk(bytes) => Answer::Text(bytes),
            Reply::Null | Reply::NullArray => Answer::Null,
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
            Answer::Int(int) => write!(f, "{int}"),
            Answer::Text(text) => write!(f, "\"{}\"", text.escape_ascii()),
            Answer::Status(status) => write!(f, "+{status}"),
            Answer::Error(error) => write!(f, "-{error}"),
            Answer::Array(items) => f.debug_list().entries(items).finish(),
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
