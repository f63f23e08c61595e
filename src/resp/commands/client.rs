//! `CLIENT`: connections, one's own and others'.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::connection::{BAD_NAME, wrong_word};
use super::{Answer, NOT_AN_INTEGER, SYNTAX, help, integer, is, refuse, wrong_number};
use crate::command::Reply;
use crate::resp::clients::{Client, Unblock};
use crate::resp::session::{Replies, Session};
use crate::resp::shared::Shared;

pub(super) fn id(_: &Shared, session: &mut Session, _: &[&[u8]]) -> Answer {
    Reply::count(session.client.id).into()
}

pub(super) fn info(_: &Shared, session: &mut Session, _: &[&[u8]]) -> Answer {
    session.show();
    Reply::Text(session.client.line() + "\n").into()
}

pub(super) fn list(shared: &Shared, session: &mut Session, args: &[&[u8]]) -> Answer {
    let clients = match &args[2..] {
        [] => shared.clients.all(),
        [option, kind] if is(option, "TYPE") => match client_type(kind) {
            Ok(Type::Normal) => shared.clients.all(),
            Ok(Type::Other) => Vec::new(),
            Err(refused) => return refused,
        },
        [option, ids @ ..] if is(option, "ID") && !ids.is_empty() => {
            let ids: Option<Vec<_>> = ids.iter().map(|id| integer(id)).collect();
            let Some(mut ids) = ids else { return refuse("Invalid client ID") };
            // Each once: a line is much longer than its number.
            let mut seen = BTreeSet::new();
            ids.retain(|id| seen.insert(*id));
            ids.into_iter().filter_map(|id| shared.clients.get(u64::try_from(id).ok()?)).collect()
        }
        _ => return refuse(SYNTAX),
    };
    session.show();
    Reply::Text(clients.iter().map(|client| client.line() + "\n").collect()).into()
}

/// What kinds of connections there are: the others are a replica's, its master's and a subscriber's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Normal,
    Other,
}

fn client_type(word: &[u8]) -> Result<Type, Answer> {
    if is(word, "normal") {
        Ok(Type::Normal)
    } else if ["slave", "replica", "pubsub", "master"].iter().any(|other| is(word, other)) {
        Ok(Type::Other)
    } else {
        Err(refuse(format!("Unknown client type '{}'", String::from_utf8_lossy(word))))
    }
}

/// Which connections are to end.
#[derive(Debug, Default)]
struct Filter<'a> {
    id: Option<u64>,
    kind: Option<Type>,
    address: Option<&'a [u8]>,
    local: Option<&'a [u8]>,
    seconds_min: u64,
    with_me: bool,
}

impl<'a> Filter<'a> {
    fn read(mut options: &[&'a [u8]]) -> Result<Filter<'a>, Answer> {
        let mut filter = Filter::default();
        while let [option, rest @ ..] = options {
            let [value, rest @ ..] = rest else { return Err(refuse(SYNTAX)) };
            if is(option, "ID") {
                let id = integer(value).and_then(|id| u64::try_from(id).ok()).filter(|&id| id > 0);
                filter.id = Some(id.ok_or_else(|| refuse("client-id should be greater than 0"))?);
            } else if is(option, "MAXAGE") {
                let age = integer(value).ok_or_else(|| refuse("maxage is not an integer or out of range"))?;
                let age = u64::try_from(age).ok().filter(|&age| age > 0);
                filter.seconds_min = age.ok_or_else(|| refuse("maxage should be greater than 0"))?;
            } else if is(option, "TYPE") {
                filter.kind = Some(client_type(value)?);
            } else if is(option, "ADDR") {
                filter.address = Some(value);
            } else if is(option, "LADDR") {
                filter.local = Some(value);
            } else if is(option, "USER") {
                if *value != b"default" {
                    return Err(refuse(format!("No such user '{}'", String::from_utf8_lossy(value))));
                }
            } else if is(option, "SKIPME") && (is(value, "YES") || is(value, "NO")) {
                filter.with_me = is(value, "NO");
            } else {
                return Err(refuse(SYNTAX));
            }
            options = rest;
        }
        Ok(filter)
    }

    fn passes(&self, client: &Client, me: &Client) -> bool {
        self.id.is_none_or(|id| client.id == id)
            && self.kind != Some(Type::Other)
            && self.address.is_none_or(|address| client.peer.address.as_bytes() == address)
            && self.local.is_none_or(|local| client.peer.local.as_bytes() == local)
            && client.age().as_secs() >= self.seconds_min
            && (self.with_me || client.id != me.id)
    }
}

pub(super) fn kill(shared: &Shared, session: &mut Session, args: &[&[u8]]) -> Answer {
    let old_form = args.len() == 3;
    let filter = match &args[2..] {
        [address] => Filter { address: Some(address), with_me: true, ..Filter::default() },
        options => match Filter::read(options) {
            Ok(filter) => filter,
            Err(refused) => return refused,
        },
    };
    let mut killed = 0;
    for client in shared.clients.all() {
        if filter.passes(&client, &session.client) {
            killed += 1;
            if Arc::ptr_eq(&client, &session.client) {
                // It is told first.
                session.ends = true;
            } else {
                shared.clients.kill(&client);
            }
        }
    }
    match killed {
        0 if old_form => refuse("No such client"),
        _ if old_form => Reply::OK.into(),
        killed => Reply::Int(killed).into(),
    }
}

pub(super) fn unblock(shared: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    let how = match &args[3..] {
        [] => Unblock::Timeout,
        [how] if is(how, "TIMEOUT") => Unblock::Timeout,
        [how] if is(how, "ERROR") => Unblock::Error,
        [_] => return refuse("CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        _ => return wrong_number(args),
    };
    let Some(id) = integer(args[2]) else { return refuse(NOT_AN_INTEGER) };
    let client = u64::try_from(id).ok().and_then(|id| shared.clients.get(id));
    Reply::flag(client.is_some_and(|client| client.unblock(how))).into()
}

pub(super) fn setname(_: &Shared, session: &mut Session, args: &[&[u8]]) -> Answer {
    if let Some(refused) = wrong_word(args[2], BAD_NAME) {
        return refused;
    }
    session.client.words().name = args[2].to_vec();
    Reply::OK.into()
}

pub(super) fn getname(_: &Shared, session: &mut Session, _: &[&[u8]]) -> Answer {
    let name = &session.client.words().name;
    if name.is_empty() { Reply::Null } else { Reply::bulk(name) }.into()
}

pub(super) fn setinfo(_: &Shared, session: &mut Session, args: &[&[u8]]) -> Answer {
    let (option, value) = (args[2], args[3]);
    let named = String::from_utf8_lossy(option);
    let mut words = session.client.words();
    let place = if is(option, "LIB-NAME") {
        &mut words.library
    } else if is(option, "LIB-VER") {
        &mut words.library_version
    } else {
        return refuse(format!("Unrecognized option '{named}'"));
    };
    let bad = format!("{named} cannot contain spaces, newlines or special characters.");
    if let Some(refused) = wrong_word(value, &bad) {
        return refused;
    }
    *place = value.to_vec();
    Reply::OK.into()
}

pub(super) fn reply(_: &Shared, session: &mut Session, args: &[&[u8]]) -> Answer {
    if is(args[2], "ON") {
        session.replies = Replies::On;
    } else if is(args[2], "OFF") {
        session.replies = Replies::Off;
    } else if !is(args[2], "SKIP") {
        return refuse(SYNTAX);
    } else if session.replies != Replies::Off {
        session.replies = Replies::SkipNext;
    }
    Reply::OK.into()
}

pub(super) fn no_evict(_: &Shared, session: &mut Session, args: &[&[u8]]) -> Answer {
    on_or_off(args[2], |on| session.client.set_no_evict(on))
}

pub(super) fn no_touch(_: &Shared, session: &mut Session, args: &[&[u8]]) -> Answer {
    on_or_off(args[2], |on| session.client.set_no_touch(on))
}

fn on_or_off(word: &[u8], set: impl FnOnce(bool)) -> Answer {
    if !is(word, "ON") && !is(word, "OFF") {
        return refuse(SYNTAX);
    }
    set(is(word, "ON"));
    Reply::OK.into()
}

pub(super) fn help_page(_: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    help(&[
        "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current connection.",
        "KILL <ip:port>",
        "    End the connection from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    End connections. Options are:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Those from this address.",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Those to this address of the server.",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Those of this type.",
        "    * USER <username>",
        "      Those of this user.",
        "    * SKIPME (YES|NO)",
        "      Not the current connection (default: yes).",
        "    * ID <client-id>",
        "      The one with this ID.",
        "    * MAXAGE <seconds>",
        "      Those that are at least as old.",
        "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB) | ID <client-id> [<client-id> ...]]",
        "    Return information about connections.",
        "NO-EVICT (ON|OFF)",
        "    Is noted: no connection is ended for want of memory.",
        "NO-TOUCH (ON|OFF)",
        "    Is noted: reads note nothing of keys.",
        "REPLY (ON|OFF|SKIP)",
        "    Choose which replies are written to the current connection.",
        "SETINFO (LIB-NAME|LIB-VER) <value>",
        "    Note which library the client is.",
        "SETNAME <name>",
        "    Give the current connection a name.",
        "UNBLOCK <client-id> [TIMEOUT|ERROR]",
        "    Have a connection wait no longer.",
    ])
}
