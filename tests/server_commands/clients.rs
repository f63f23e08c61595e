//! What a client says of itself, and what others see of it and ask of it.

use streamlog::Broker;
use streamlog::resp::Server;

use super::answer::Answer;
use super::wire::{Wire, request};
use super::{ask, connect, error, field, info, ok, serve, soon, text, words};

#[test]
fn hello_chooses_the_protocol_and_says_who_is_there() {
    let (_broker, server) = serve(|server| server);
    let mut client = connect(&server);
    let Answer::Array(fields) = ask(&mut client, "HELLO") else { panic!("RESP2 to begin with") };
    assert_eq!(fields.len(), 14);
    let Answer::Map(fields) = ask(&mut client, "HELLO 3 SETNAME bob") else { panic!("a map") };
    let known: Vec<_> = fields.into_iter().map(|(name, value)| (text(name), value)).collect();
    let names: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["server", "version", "proto", "id", "mode", "role", "modules"]);
    assert_eq!(text(known[1].1.clone()), "8.6.3");
    assert_eq!((&known[2].1, &known[3].1), (&Answer::Int(3), &ask(&mut client, "CLIENT ID")));
    assert_eq!(text(ask(&mut client, "CLIENT GETNAME")), "bob");
    assert_eq!(text(ask(&mut client, "RESET")), "RESET");
    assert!(matches!(ask(&mut client, "CONFIG GET port"), Answer::Array(_)), "RESP2 again");
    assert_eq!(ask(&mut client, "CLIENT GETNAME"), Answer::Null);
}

/// A reset took back the watch of a name and not that it was known to be watched, so nobody watched it from then on.
#[test]
fn what_is_watched_again_after_a_reset_is_watched() {
    let (_broker, server) = serve(|server| server);
    let (mut client, mut other) = (connect(&server), connect(&server));
    for line in ["WATCH s", "MULTI", "RESET", "WATCH s"] {
        assert!(!matches!(ask(&mut client, line), Answer::Error(_)), "{line}");
    }
    ask(&mut other, "XADD s * a b");
    assert_eq!((ask(&mut client, "MULTI"), text(ask(&mut client, "PING"))), (ok(), "QUEUED".to_owned()));
    assert_eq!(ask(&mut client, "EXEC"), Answer::NullArray);
}

#[test]
fn nothing_but_the_password_opens_and_it_can_be_changed_but_not_by_a_stranger() {
    let (_broker, server) = serve(|server| server.password("secret"));
    let mut client = connect(&server);
    let no = error("NOAUTH Authentication required.");
    for line in ["PING", "CLIENT ID", "XADD s * a b", "COMMAND", "MULTI", "CONFIG SET requirepass x"] {
        assert_eq!(ask(&mut client, line), no, "{line}");
    }
    let wrong = error("WRONGPASS invalid username-password pair or user is disabled.");
    for line in ["AUTH x", "AUTH \"\"", "AUTH default secrets", "AUTH other secret", "HELLO 3 AUTH default x"] {
        assert_eq!(ask(&mut client, line), wrong, "{line}");
    }
    assert!(text(ask(&mut client, "HELLO 3")).starts_with("NOAUTH HELLO must be called with the client already"));
    assert!(matches!(ask(&mut client, "HELLO 2 AUTH default secret"), Answer::Array(_)));
    assert_eq!(text(ask(&mut client, "PING")), "PONG");
    assert_eq!(text(ask(&mut client, "RESET")), "RESET");
    assert_eq!(ask(&mut client, "PING"), no);

    assert_eq!(ask(&mut client, "AUTH secret"), ok());
    assert_eq!(ask(&mut client, "CONFIG SET requirepass other"), ok());
    let mut second = connect(&server);
    assert_eq!(ask(&mut second, "AUTH secret"), wrong);
    assert_eq!(ask(&mut second, "AUTH other"), ok());
    assert_eq!(ask(&mut second, "CONFIG SET requirepass \"\""), ok(), "nobody else can reach it");
    assert_eq!(text(ask(&mut connect(&server), "PING")), "PONG");
}

#[test]
fn a_server_that_others_can_reach_keeps_a_password() {
    let broker = Broker::in_memory().unwrap();
    let server = Server::builder(&broker).bind("0.0.0.0:0").password("secret").start().unwrap();
    let address = format!("127.0.0.1:{}", server.local_addr().unwrap().port());
    let mut client = Wire::connect(&address).unwrap();
    assert_eq!(ask(&mut client, "AUTH secret"), ok());
    assert!(text(ask(&mut client, "CONFIG SET requirepass \"\"")).starts_with("ERR CONFIG SET failed"));
    assert_eq!(ask(&mut Wire::connect(&address).unwrap(), "PING"), error("NOAUTH Authentication required."));
}

#[test]
fn clients_see_each_other_and_end_each_other() {
    let (_broker, server) = serve(|server| server);
    let (mut first, mut second, mut third) = (connect(&server), connect(&server), connect(&server));
    ask(&mut second, "CLIENT SETNAME bob");
    ask(&mut second, "CLIENT SETINFO lib-name snake");
    let Answer::Int(id) = ask(&mut second, "CLIENT ID") else { panic!("a number") };
    let Answer::Int(mine) = ask(&mut first, "CLIENT ID") else { panic!("a number") };
    ask(&mut third, "PING");

    let list = text(ask(&mut first, "CLIENT LIST"));
    assert_eq!(list.lines().count(), 3);
    let bob = text(ask(&mut first, &format!("CLIENT LIST ID {id}")));
    for (name, value) in [("name", "bob"), ("lib-name", "snake"), ("cmd", "client|id"), ("flags", "N"), ("resp", "2")] {
        assert_eq!(field(&bob, name), value, "{bob}");
    }
    assert!(list.contains(bob.trim_end().split(" fd=").next().unwrap()));
    assert_eq!(field(&text(ask(&mut second, "CLIENT INFO")), "id"), id.to_string());

    assert_eq!(ask(&mut first, &format!("CLIENT KILL ID {id}")), Answer::Int(1));
    assert_eq!(text(ask(&mut first, "CLIENT LIST")).lines().count(), 2);
    assert!(second.send(&request(&["PING"])).is_err() || second.answer().is_err());
    let address = field(&text(ask(&mut third, "CLIENT INFO")), "addr");
    assert_eq!(ask(&mut first, &format!("CLIENT KILL {address}")), ok());
    assert!(third.send(&request(&["PING"])).is_err() || third.answer().is_err());
    // Itself, last: it is told first.
    assert_eq!(ask(&mut first, &format!("CLIENT KILL ID {mine} SKIPME yes")), Answer::Int(0));
    assert_eq!(ask(&mut first, &format!("CLIENT KILL ID {mine} SKIPME no")), Answer::Int(1));
    assert!(first.answer().is_err());
}

#[test]
fn who_waits_for_entries_is_counted_and_can_be_told_to_stop() {
    let (_broker, server) = serve(|server| server);
    let (mut waiting, mut other) = (connect(&server), connect(&server));
    let Answer::Int(id) = ask(&mut waiting, "CLIENT ID") else { panic!("a number") };
    let unblock = format!("CLIENT UNBLOCK {id}");
    assert_eq!(ask(&mut other, &unblock), Answer::Int(0), "it does not wait");
    for (how, answer) in [
        ("", Answer::NullArray),
        (" TIMEOUT", Answer::NullArray),
        (" ERROR", error("UNBLOCKED client unblocked via CLIENT UNBLOCK")),
    ] {
        waiting.send(&request(&words("XREAD BLOCK 0 STREAMS s $"))).unwrap();
        soon(|| info(&mut other, "blocked_clients") == "1");
        assert_eq!(field(&text(ask(&mut other, &format!("CLIENT LIST ID {id}"))), "flags"), "b");
        assert_eq!(ask(&mut other, &format!("{unblock}{how}")), Answer::Int(1));
        assert_eq!(waiting.answer().unwrap(), answer);
        soon(|| info(&mut other, "blocked_clients") == "0");
    }
    waiting.send(&request(&words("XREAD BLOCK 0 STREAMS s $"))).unwrap();
    soon(|| info(&mut other, "blocked_clients") == "1");
    assert_eq!(ask(&mut other, &format!("CLIENT KILL ID {id}")), Answer::Int(1));
    assert!(waiting.answer().is_err());
    soon(|| info(&mut other, "blocked_clients") == "0");
}
