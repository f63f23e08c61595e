//! All commands.

use super::spec::{Docs, Flags, Spec};
use super::{Control, Kind, connection};

pub(super) fn all() -> Vec<Spec> {
    let stream = |name, arity, flags| row(name, arity, flags, Kind::Stream);
    let control = |name, arity, control| row(name, arity, Flags::NOSCRIPT, Kind::Control(control));
    let mut xgroup = row("xgroup", -2, Flags::NONE, Kind::Container);
    xgroup.subcommands = vec![
        stream("xgroup|create", -5, Flags::WRITE),
        stream("xgroup|setid", -5, Flags::WRITE),
        stream("xgroup|destroy", 4, Flags::WRITE),
        stream("xgroup|createconsumer", 5, Flags::WRITE),
        stream("xgroup|delconsumer", 5, Flags::WRITE),
        stream("xgroup|help", 2, Flags::NONE),
    ];
    vec![
        stream("xadd", -5, Flags::WRITE),
        stream("xlen", 2, Flags::READONLY),
        stream("xrange", -4, Flags::READONLY),
        stream("xread", -4, Flags::READONLY),
        stream("xreadgroup", -7, Flags::WRITE),
        stream("xack", -4, Flags::WRITE),
        xgroup,
        control("multi", 1, Control::Multi),
        control("exec", 1, Control::Exec),
        control("discard", 1, Control::Discard),
        control("watch", -2, Control::Watch),
        control("unwatch", 1, Control::Unwatch),
        row("ping", -1, Flags::FAST, Kind::Server(connection::ping)),
        row("quit", -1, Flags::NO_AUTH, Kind::Server(connection::quit)),
    ]
}

fn row(name: &'static str, arity: i32, flags: Flags, kind: Kind) -> Spec {
    Spec {
        name,
        arity,
        kind,
        row: 0,
        flags,
        categories: &[],
        tips: &[],
        keys: &[],
        subcommands: Vec::new(),
        docs: Docs::default(),
    }
}
