//! What is between a client and its connection.

use super::row;
use crate::resp::commands::spec::Flags;
use crate::resp::commands::spec::Spec;
use crate::resp::commands::{Kind, client, connection};

const ADMIN: Flags = Flags::ADMIN;
const ALLOW_BUSY: Flags = Flags::ALLOW_BUSY;
const FAST: Flags = Flags::FAST;
const LOADING: Flags = Flags::LOADING;
const NONE: Flags = Flags::NONE;
const NOSCRIPT: Flags = Flags::NOSCRIPT;
const NO_AUTH: Flags = Flags::NO_AUTH;
const STALE: Flags = Flags::STALE;

pub(super) fn all() -> Vec<Spec> {
    vec![
row("ping", -1, FAST, Kind::Server(connection::ping))
.about("connection", "1.0.0", "O(1)", "Answers PONG, or what is said.")
.syntax("[message]")
.categories(&["@connection"])
.tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
row("echo", 2, LOADING | STALE | FAST, Kind::Server(connection::echo))
.about("connection", "1.0.0", "O(1)", "Answers what is said.")
.syntax("message")
.categories(&["@connection"]),
row("select", 2, LOADING | STALE | FAST, Kind::Server(connection::select))
.about("connection", "1.0.0", "O(1)", "Chooses the database; there is one, 0.")
.syntax("index")
.categories(&["@connection"]),
row("quit", -1, NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY, Kind::Server(connection::quit))
.about("connection", "1.0.0", "O(1)", "Ends the connection.")
.categories(&["@connection"]),
row("reset", 1, NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY, Kind::Server(connection::reset))
.about("connection", "6.2.0", "O(1)", "Makes the connection what it was when it began.")
.categories(&["@connection"]),
row("auth", -2, NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY, Kind::Server(connection::auth))
.about("connection", "1.0.0", "O(1)", "Says the password.")
.syntax("[username] password")
.categories(&["@connection"]),
row("hello", -1, NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY, Kind::Server(connection::hello))
.about("connection", "6.0.0", "O(1)", "Chooses the protocol, and says the password and a name on the way.")
.syntax("[protover [AUTH {username password}] [SETNAME clientname]]")
.categories(&["@connection"]),
row("client", -2, NONE, Kind::Container)
.about("connection", "2.4.0", "that of its subcommands", "What is about connections.")
.with(vec![
row("client|id", 2, NOSCRIPT | LOADING | STALE, Kind::Server(client::id))
.about("connection", "5.0.0", "O(1)", "Tells the connection's ID.")
.categories(&["@connection"]),
row("client|info", 2, NOSCRIPT | LOADING | STALE, Kind::Server(client::info))
.about("connection", "6.2.0", "O(1)", "Tells about the connection.")
.categories(&["@connection"])
.tips(&["nondeterministic_output"]),
row("client|list", -2, ADMIN | NOSCRIPT | LOADING | STALE, Kind::Server(client::list))
.about("connection", "2.4.0", "O(N) for N connections", "Tells about all connections.")
.syntax("[TYPE NORMAL|MASTER|REPLICA|PUBSUB] [ID client-id...]")
.categories(&["@connection"])
.tips(&["nondeterministic_output"]),
row("client|kill", -3, ADMIN | NOSCRIPT | LOADING | STALE, Kind::Server(client::kill))
.about("connection", "2.4.0", "O(N) for N connections", "Ends connections.")
.syntax("ip:port|{[ID client-id] [TYPE NORMAL|MASTER|SLAVE|REPLICA|PUBSUB] [USER username] [ADDR addr] [LADDR laddr] [SKIPME YES|NO] [MAXAGE maxage]}...")
.categories(&["@connection"]),
row("client|unblock", -3, ADMIN | NOSCRIPT | LOADING | STALE, Kind::Server(client::unblock))
.about("connection", "5.0.0", "O(1)", "Has a connection wait no longer for entries.")
.syntax("client-id [TIMEOUT|ERROR]")
.categories(&["@connection"]),
row("client|setname", 3, NOSCRIPT | LOADING | STALE, Kind::Server(client::setname))
.about("connection", "2.6.9", "O(1)", "Gives the connection a name.")
.syntax("connection-name")
.categories(&["@connection"])
.tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
row("client|getname", 2, NOSCRIPT | LOADING | STALE, Kind::Server(client::getname))
.about("connection", "2.6.9", "O(1)", "Tells the connection's name.")
.categories(&["@connection"]),
row("client|setinfo", 4, NOSCRIPT | LOADING | STALE, Kind::Server(client::setinfo))
.about("connection", "7.2.0", "O(1)", "Notes which library the client is.")
.syntax("{LIB-NAME libname}|{LIB-VER libver}")
.categories(&["@connection"])
.tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
row("client|reply", 3, NOSCRIPT | LOADING | STALE, Kind::Server(client::reply))
.about("connection", "3.2.0", "O(1)", "Chooses which replies are written.")
.syntax("ON|OFF|SKIP")
.categories(&["@connection"]),
row("client|no-evict", 3, ADMIN | NOSCRIPT | LOADING | STALE, Kind::Server(client::no_evict))
.about("connection", "7.0.0", "O(1)", "Is noted; no connection is ended for want of memory.")
.syntax("ON|OFF")
.categories(&["@connection"]),
row("client|no-touch", 3, NOSCRIPT | LOADING | STALE, Kind::Server(client::no_touch))
.about("connection", "7.2.0", "O(1)", "Is noted; reads note nothing of keys.")
.syntax("ON|OFF")
.categories(&["@connection"]),
row("client|help", 2, LOADING | STALE, Kind::Server(client::help_page))
.about("connection", "5.0.0", "O(1)", "Shows the subcommands.")
.categories(&["@connection"])])]
}
