//! The table of commands: which there are, how many arguments they take, and who runs them.

use super::session::Session;
use super::shared::Shared;
use crate::command::Reply;
use crate::stream::owed::Owed;

/// What a command answered, and what must be durable before the client is told.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) owed: Owed,
}

/// A command of the server's own: its arguments, the name first, are as many as its arity says.
pub(crate) type Run = fn(&Shared, &mut Session, &[&[u8]]) -> Answer;

/// Who runs a command.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// The broker, as [`Command::parse`](crate::command::Command::parse) reads it.
    Stream,
    /// The server, at once.
    Server(Run),
    /// The connection itself.
    Control(Control),
}

/// What a connection does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
}

/// A command as the table has it.
#[derive(Debug)]
pub(crate) struct Spec {
    /// In small letters.
    pub(crate) name: &'static str,
    /// How many arguments, the name counted; negative: at least so many.
    pub(crate) arity: i32,
    pub(crate) kind: Kind,
}

/// The command of this name, in whatever case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Spec> {
    TABLE.iter().find(|spec| name.eq_ignore_ascii_case(spec.name.as_bytes()))
}

const TABLE: &[Spec] = &[Spec { name: "multi", arity: 1, kind: Kind::Control(Control::Multi) }];
