//! What is between a client and its connection: `PING`, `ECHO`, `SELECT`, `QUIT`, `RESET`, `AUTH` and `HELLO`.

use super::{Answer, NOT_AN_INTEGER, SYNTAX, integer, is, refuse};
use crate::command::Reply;
use crate::resp::session::{Protocol, Replies, Session};
use crate::resp::shared::Shared;

/// The version of Redis whose commands these are.
pub(super) const REDIS_VERSION: &str = "8.6.3";

/// The one user that there is.
const USER: &[u8] = b"default";

pub(super) fn ping(_: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    match args {
        [_] => Reply::Status("PONG").into(),
        [_, said] => Reply::bulk(said).into(),
        _ => refuse("wrong number of arguments for 'ping' command"),
    }
}

pub(super) fn echo(_: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    Reply::bulk(args[1]).into()
}

pub(super) fn select(_: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    match integer(args[1]) {
        Some(0) => Reply::OK.into(),
        Some(index) if i32::try_from(index).is_ok() => refuse("DB index is out of range"),
        Some(_) => refuse("value is out of range, value must between -2147483648 and 2147483647"),
        None => refuse(NOT_AN_INTEGER),
    }
}

pub(super) fn quit(_: &Shared, session: &mut Session, _: &[&[u8]]) -> Answer {
    session.ends = true;
    Reply::OK.into()
}

pub(super) fn reset(shared: &Shared, session: &mut Session, _: &[&[u8]]) -> Answer {
    session.forget_transaction();
    session.replies = Replies::On;
    session.protocol = Protocol::Resp2;
    session.authenticated = !shared.settings.has_password();
    session.client.words().name.clear();
    session.client.set_no_evict(false);
    session.client.set_no_touch(false);
    Reply::Status("RESET").into()
}

pub(super) fn auth(shared: &Shared, session: &mut Session, args: &[&[u8]]) -> Answer {
    let (user, password) = match args {
        [_, _] if !shared.settings.has_password() => {
            return refuse(
                "AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            );
        }
        [_, password] => (USER, *password),
        [_, user, password] => (*user, *password),
        _ => return refuse(SYNTAX),
    };
    match authenticate(shared, session, user, password) {
        Ok(()) => Reply::OK.into(),
        Err(refused) => refused,
    }
}

fn authenticate(shared: &Shared, session: &mut Session, user: &[u8], password: &[u8]) -> Result<(), Answer> {
    let is_password = shared.settings.is_password(password);
    if is_password && user == USER {
        session.authenticated = true;
        return Ok(());
    }
    Err(Reply::Error("WRONGPASS invalid username-password pair or user is disabled.".to_owned()).into())
}

/// What is said where a name has bytes that would make `CLIENT LIST` ambiguous.
pub(super) const BAD_NAME: &str = "Client names cannot contain spaces, newlines or special characters.";

/// What a client says of itself is told to everybody who asks for the list, with that of thousands of others.
const WORD_BYTES_MAX: usize = 1024;

/// Why this cannot be what a client says of itself; `bad` if it is not one word of a line.
pub(super) fn wrong_word(bytes: &[u8], bad: &str) -> Option<Answer> {
    if bytes.len() > WORD_BYTES_MAX {
        Some(refuse(format_args!("what a client says of itself has at most {WORD_BYTES_MAX} bytes")))
    } else if bytes.iter().all(u8::is_ascii_graphic) {
        None
    } else {
        Some(refuse(bad))
    }
}

pub(super) fn hello(shared: &Shared, session: &mut Session, args: &[&[u8]]) -> Answer {
    let mut protocol = session.protocol;
    if let Some(version) = args.get(1) {
        protocol = match integer(version) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Reply::Error("NOPROTO unsupported protocol version".to_owned()).into(),
            None => return refuse("Protocol version is not an integer or out of range"),
        };
    }
    let (mut login, mut name) = (None, None);
    let mut rest = args.get(2..).unwrap_or_default();
    while let [option, values @ ..] = rest {
        rest = match values {
            [user, password, rest @ ..] if is(option, "AUTH") => {
                login = Some((*user, *password));
                rest
            }
            [said, rest @ ..] if is(option, "SETNAME") => {
                if let Some(refused) = wrong_word(said, BAD_NAME) {
                    return refused;
                }
                name = Some(said.to_vec());
                rest
            }
            _ => return refuse(format!("Syntax error in HELLO option '{}'", String::from_utf8_lossy(option))),
        };
    }
    if let Some((user, password)) = login
        && let Err(refused) = authenticate(shared, session, user, password)
    {
        return refused;
    }
    if !session.authenticated {
        let text = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
                    <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
                    the same time";
        return Reply::Error(text.to_owned()).into();
    }
    if let Some(name) = name {
        session.client.words().name = name;
    }
    session.protocol = protocol;
    Reply::map([
        ("server", Reply::bulk("redis")),
        ("version", Reply::bulk(REDIS_VERSION)),
        ("proto", Reply::Int(if protocol == Protocol::Resp3 { 3 } else { 2 })),
        ("id", Reply::count(session.client.id)),
        ("mode", Reply::bulk("standalone")),
        ("role", Reply::bulk("master")),
        ("modules", Reply::Array(Vec::new())),
    ])
    .into()
}
