//! What is between a client and its connection: `PING`, `QUIT`.

use super::Answer;
use crate::command::Reply;
use crate::resp::session::Session;
use crate::resp::shared::Shared;

pub(super) fn ping(_: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    match args {
        [_] => Reply::Status("PONG").into(),
        [_, said] => Reply::bulk(said).into(),
        _ => wrong_arity("ping"),
    }
}

pub(super) fn quit(_: &Shared, session: &mut Session, _: &[&[u8]]) -> Answer {
    session.ends = true;
    Reply::OK.into()
}

/// What a command says that takes more numbers of arguments than its arity tells.
fn wrong_arity(name: &str) -> Answer {
    Reply::Error(format!("ERR wrong number of arguments for '{name}' command")).into()
}
