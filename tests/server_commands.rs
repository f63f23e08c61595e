//! The server's own commands over a socket: what it says of itself, its clients and its settings, next to what Redis says.
#![cfg(all(unix, feature = "resp"))]

#[path = "common/answer.rs"]
#[allow(dead_code, reason = "no broker is asked")]
mod answer;
#[path = "common/redis.rs"]
#[allow(dead_code, reason = "one connection is enough")]
mod redis;
#[path = "common/wire.rs"]
#[allow(dead_code, reason = "one command at a time")]
mod wire;

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::time::Duration;

use answer::Answer;
use redis::Redis;
use streamlog::Broker;
use streamlog::resp::{Builder, Server};
use wire::{Wire, request};

type Client = Wire<TcpStream>;

/// A server on memory; it ends with the value.
fn serve(options: impl FnOnce(Builder) -> Builder) -> (Broker, Server) {
    let broker = Broker::in_memory().unwrap();
    let server = options(Server::builder(&broker).bind("127.0.0.1:0")).start().unwrap();
    (broker, server)
}

fn connect(server: &Server) -> Client {
    Wire::connect(&server.local_addr().unwrap().to_string()).unwrap()
}

/// Words between spaces; `""` is an empty one.
fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| if word == "\"\"" { Vec::new() } else { word.as_bytes().to_vec() }).collect()
}

fn ask(client: &mut Client, line: &str) -> Answer {
    client.call(&words(line))
}

fn text(answer: Answer) -> String {
    match answer {
        Answer::Text(text) => String::from_utf8(text).unwrap(),
        Answer::Verbatim(text) | Answer::Status(text) | Answer::Error(text) => text,
        other => panic!("{other:?} is no text"),
    }
}

fn error(text: &str) -> Answer {
    Answer::Error(text.to_owned())
}

fn ok() -> Answer {
    Answer::Status("OK".to_owned())
}

/// The value of a field of `INFO` or of `CLIENT LIST`.
fn field(text: &str, name: &str) -> String {
    let found = text.split(['\r', '\n', ' ']).find_map(|part| part.strip_prefix(name)?.strip_prefix([':', '=']));
    found.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

fn info(client: &mut Client, name: &str) -> String {
    field(&text(ask(client, "INFO everything")), name)
}

/// What is true soon: other threads have their part in it.
fn soon(mut is: impl FnMut() -> bool) {
    assert!((0..6000).any(|_| is() || std::thread::sleep(Duration::from_millis(10)) != ()), "it never comes");
}

/// A row of `COMMAND INFO` without what changed between versions.
fn row(answer: Answer) -> Option<Vec<Answer>> {
    let Answer::Array(rows) = answer else { panic!("{answer:?} has no rows") };
    let Some(Answer::Array(row)) = rows.into_iter().next() else { return None };
    let flags = |answer: &Answer| match answer {
        Answer::Array(items) => {
            let mut flags: Vec<_> = items.iter().map(|item| text(item.clone())).collect();
            flags.sort_unstable();
            Answer::Status(flags.join(" "))
        }
        other => panic!("{other:?} are no flags"),
    };
    Some(vec![
        row[1].clone(),
        flags(&row[2]),
        row[3].clone(),
        row[4].clone(),
        row[5].clone(),
        flags(&row[6]),
        row[8].clone(),
    ])
}

/// Commands of which Redis 7.0 says something else than 8.6, and we say what that does.
const CHANGED: &[(&str, &str)] = &[
    ("command|getkeys", "a command may be without arguments"),
    ("command|getkeysandflags", "a command may be without arguments"),
    ("wait", "it blocks, and scripts may call it"),
];

#[test]
fn the_table_says_of_each_command_what_redis_says_of_it() {
    let Some(mut redis) = Redis::start_or_skip("the_table_says_of_each_command_what_redis_says_of_it") else { return };
    let (_broker, server) = serve(|server| server);
    let mut client = connect(&server);
    let Answer::Array(names) = ask(&mut client, "COMMAND LIST") else { panic!("no list") };
    let mut compared = 0;
    for name in names.into_iter().map(text) {
        let line = format!("COMMAND INFO {name}");
        let ours = row(ask(&mut client, &line)).unwrap_or_else(|| panic!("{name} is in the list"));
        // Those of a container are its subcommands', which come by themselves.
        if let Some(theirs) = row(redis.call(&words(&line)))
            && CHANGED.iter().all(|(changed, _)| *changed != name)
        {
            assert_eq!(ours, theirs, "{name}");
            compared += 1;
        }
    }
    assert!(compared > 80, "only {compared} commands were compared");
}

/// Commands that change nothing for those after them, with one answer in Redis since 7.0.
const SAME: &[&str] = &[
    "PING",
    "PING a",
    "PING a b",
    "ECHO a",
    "ECHO",
    "SELECT 0",
    "SELECT -1",
    "SELECT 99",
    "SELECT 99999999999",
    "SELECT x",
    "AUTH a",
    "AUTH default a",
    "AUTH x a",
    "AUTH a b c",
    "HELLO x",
    "HELLO 4",
    "HELLO 3 foo",
    "HELLO 3 AUTH a",
    "HELLO 3 AUTH default x SETNAME",
    "HELLO 2 SETNAME a\tb",
    "CLIENT",
    "CLIENT foo",
    "client FOO bar",
    "CLIENT GETNAME",
    "CLIENT SETNAME a\tb",
    "CLIENT SETNAME ab",
    "CLIENT GETNAME",
    "CLIENT SETNAME \"\"",
    "CLIENT GETNAME",
    "CLIENT REPLY foo",
    "CLIENT NO-EVICT foo",
    "CLIENT NO-EVICT on",
    "CLIENT NO-EVICT off",
    "CLIENT KILL",
    "CLIENT KILL foo",
    "CLIENT KILL ID 0",
    "CLIENT KILL ID x",
    "CLIENT KILL ID 99999",
    "CLIENT KILL ID 99999 foo",
    "CLIENT KILL TYPE foo",
    "CLIENT KILL TYPE pubsub",
    "CLIENT KILL USER foo",
    "CLIENT KILL USER default ID 99999",
    "CLIENT KILL SKIPME maybe",
    "CLIENT KILL ADDR a LADDR b",
    "CLIENT LIST TYPE foo",
    "CLIENT LIST TYPE pubsub",
    "CLIENT LIST foo",
    "CLIENT LIST TYPE normal x",
    "CLIENT LIST ID x",
    "CLIENT LIST ID",
    "CLIENT LIST ID 99999",
    "CLIENT UNBLOCK x",
    "CLIENT UNBLOCK 99999",
    "CLIENT UNBLOCK 99999 foo",
    "CLIENT UNBLOCK 99999 ERROR",
    "client unblock 99999 ERROR x",
    "INFO foo",
    "WAIT 0 0",
    "WAIT 0 x",
    "WAIT 0 -1",
    "WAIT x 0",
    "WAIT 0",
    "FUNCTION FLUSH",
    "FUNCTION FLUSH SYNC",
    "FUNCTION FLUSH foo",
    "FUNCTION FLUSH a b",
    "SCRIPT FLUSH",
    "SCRIPT FLUSH ASYNC",
    "SCRIPT FLUSH foo",
    "SCRIPT FLUSH a b",
    "SLOWLOG GET x",
    "SLOWLOG GET -2",
    "SLOWLOG GET 1 2",
    "SLOWLOG foo",
    "LATENCY RESET",
    "LATENCY RESET a b",
    "LATENCY foo",
    "CONFIG GET",
    "CONFIG foo",
    "CONFIG SET maxclients",
    "CONFIG SET foo bar",
    "CONFIG SET maxclients 0",
    "CONFIG SET maxclients x",
    "CONFIG SET maxclients 99999999999",
    "CONFIG SET timeout -1",
    "CONFIG SET timeout x",
    "CONFIG SET Timeout 0",
    "CONFIG REWRITE",
    "CONFIG SET stream-node-max-entries -1",
    "CONFIG SET maxclients 100 maxclients 100",
    "CONFIG SET proto-max-bulk-len 1",
    "CONFIG SET proto-max-bulk-len x",
    "CONFIG SET proto-max-bulk-len 512mb",
    "CONFIG GET proto-max-bulk-len",
    "CONFIG SET appendfsync foo",
    "CONFIG SET appendonly foo",
    "CONFIG SET databases 2",
    "CONFIG SET unixsocket x",
    "CONFIG SET timeout 7 foo bar",
    "CONFIG GET timeout",
    "CONFIG SET timeout 7 proto-max-bulk-len 1",
    "CONFIG GET timeout",
    "CONFIG SET a b c",
    "CONFIG RESETSTAT x",
    "CONFIG GET stream-node-max-entries STREAM-node-max-entries nope",
    "CONFIG SET save \"\"",
    "CONFIG SET save x",
    "CONFIG GET save",
    "CONFIG GET stream-node-max-b*",
    "COMMAND GETKEYS",
    "COMMAND GETKEYS foo a",
    "COMMAND GETKEYS ping a",
    "COMMAND GETKEYS xadd a",
    "COMMAND GETKEYS xadd a * b c",
    "COMMAND GETKEYS xread count 1 streams a b 0 0",
    "COMMAND GETKEYS xread count 1 streams a b 0",
    "COMMAND GETKEYS xread count 1 foo",
    "COMMAND GETKEYS xread count 1 streams",
    "COMMAND GETKEYS xreadgroup group g c streams a >",
    "COMMAND GETKEYS xreadgroup group streams streams streams a >",
    "COMMAND GETKEYS xgroup create a b c",
    "COMMAND GETKEYS xgroup foo a b c",
    "COMMAND GETKEYS xgroup help",
    "COMMAND GETKEYS del a b c",
    "COMMAND GETKEYS rename a b",
    "COMMAND GETKEYS rename a b c",
    "COMMAND GETKEYS copy a b",
    "COMMAND GETKEYS watch a b",
    "COMMAND GETKEYS xinfo stream a",
    "COMMAND GETKEYSANDFLAGS rename a b",
    "COMMAND GETKEYSANDFLAGS xadd a * b c",
    "COMMAND GETKEYSANDFLAGS del a b",
    "COMMAND LIST FILTERBY",
    "COMMAND LIST FILTERBY foo bar",
    "COMMAND LIST FILTERBY MODULE foo",
    "COMMAND LIST FILTERBY ACLCAT foo",
    "COMMAND LIST FILTERBY ACLCAT stream x",
    "COMMAND INFO foo",
    "COMMAND INFO foo|bar client|foo",
    "COMMAND DOCS foo",
    "COMMAND foo",
    "COMMAND COUNT x",
    "TIME x",
    "foo a b",
    "FoO a\r\nb",
    "MULTI x",
    "XGROUP",
    "XGROUP foo",
    "XGROUP HELP x",
    "XGROUP CREATE",
    "RESET",
];

#[test]
fn what_is_said_of_right_and_wrong_commands_is_what_redis_says() {
    let Some(mut redis) = Redis::start_or_skip("what_is_said_of_right_and_wrong_commands_is_what_redis_says") else {
        return;
    };
    let (_broker, server) = serve(|server| server);
    let mut client = connect(&server);
    for line in SAME {
        assert_eq!(ask(&mut client, line), redis.call(&words(line)), "{line}");
    }
    let long = [format!("ECHO {}", "x".repeat(300)), format!("{} {} z", "x".repeat(200), "y".repeat(200))];
    let longer = [format!("foo {} {} z", "y".repeat(100), "w".repeat(100)), format!("CLIENT {}", "y".repeat(200))];
    for line in long.iter().chain(&longer) {
        assert_eq!(ask(&mut client, line), redis.call(&words(line)), "{line}");
    }
}

#[test]
fn what_is_new_since_7_0_is_said_as_8_6_says_it() {
    let (_broker, server) = serve(|server| server);
    let mut client = connect(&server);
    for (line, answer) in [
        ("foo", error("ERR unknown command 'foo'")),
        ("CLIENT SETINFO foo bar", error("ERR Unrecognized option 'foo'")),
        ("CLIENT SETINFO Lib-Name a\tb", error("ERR Lib-Name cannot contain spaces, newlines or special characters.")),
        ("CLIENT SETINFO lib-name redis-py", ok()),
        ("CLIENT NO-TOUCH on", ok()),
        ("CLIENT KILL MAXAGE 0", error("ERR maxage should be greater than 0")),
        ("CLIENT KILL MAXAGE x", error("ERR maxage is not an integer or out of range")),
        ("CLIENT KILL MAXAGE 99999", Answer::Int(0)),
        ("WAITAOF 2 0 0", error("ERR value is out of range, value must between 0 and 1")),
        ("WAITAOF x 0 0", error("ERR value is not an integer or out of range")),
        ("WAITAOF 0 -1 0", error("ERR value is out of range, must be positive")),
        ("WAITAOF 0 0 -1", error("ERR timeout is negative")),
        ("WAITAOF 1 0 0", Answer::Array(vec![Answer::Int(1), Answer::Int(0)])),
        (
            "CONFIG SET stream-idmp-maxsize 10001",
            error(
                "ERR CONFIG SET failed (possibly related to argument 'stream-idmp-maxsize') - argument must be between 1 \
                 and 10000 inclusive",
            ),
        ),
        ("COMMAND GETKEYS ping", error("ERR The command has no key arguments")),
        ("COMMAND GETKEYS foo", error("ERR Invalid command specified")),
    ] {
        assert_eq!(ask(&mut client, line), answer, "{line}");
    }
}

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

#[test]
fn info_counts_what_happened() {
    let (_broker, server) = serve(|server| server.clients_max(3));
    let mut client = connect(&server);
    for line in ["XADD s 1-1 a b", "XADD s 1-1 a b", "XADD t 1-1 a b", "XLEN s", "XLEN", "XGROUP CREATE s g 0", "foo"] {
        ask(&mut client, line);
    }
    for (name, value) in [
        ("redis_version", "8.6.3"),
        ("connected_clients", "1"),
        ("maxclients", "3"),
        ("aof_enabled", "1"),
        ("aof_last_write_status", "ok"),
        ("total_error_replies", "3"),
        ("errorstat_ERR", "count=3"),
        ("db0", "keys=2,expires=0,avg_ttl=0,subexpiry=0"),
    ] {
        assert_eq!(info(&mut client, name), value, "{name}");
    }
    let counted = |line: String| line.split(',').filter(|part| !part.starts_with("usec")).collect::<Vec<_>>().join(",");
    assert_eq!(counted(info(&mut client, "cmdstat_xadd")), "calls=3,rejected_calls=0,failed_calls=1");
    assert_eq!(counted(info(&mut client, "cmdstat_xlen")), "calls=1,rejected_calls=1,failed_calls=0");
    assert_eq!(counted(info(&mut client, "cmdstat_xgroup|create")), "calls=1,rejected_calls=0,failed_calls=0");

    let others: Vec<_> = (0..4).map(|_| connect(&server)).collect();
    soon(|| info(&mut client, "rejected_connections") == "2" && info(&mut client, "connected_clients") == "3");
    drop(others);
    soon(|| info(&mut client, "connected_clients") == "1");
    assert_eq!(ask(&mut client, "CONFIG RESETSTAT"), ok());
    assert_eq!(info(&mut client, "rejected_connections"), "0");

    let page = text(ask(&mut client, "INFO server KEYSPACE"));
    let sections: Vec<_> = page.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(sections, ["# Server", "# Keyspace"]);
    assert!(!text(ask(&mut client, "INFO")).contains("cmdstat_"), "not without being asked for");
    client.speak_resp3();
    assert!(matches!(ask(&mut client, "INFO"), Answer::Verbatim(_)));
}

#[test]
fn settings_are_set_all_or_none_and_mean_something() {
    let (broker, server) = serve(|server| server);
    let mut client = connect(&server);
    let get = |client: &mut Client, name: &str| match ask(client, &format!("CONFIG GET {name}")) {
        Answer::Array(pair) => text(pair[1].clone()),
        other => panic!("{other:?}"),
    };
    assert!(matches!(ask(&mut client, "CONFIG SET maxclients 7 stream-idmp-duration 0"), Answer::Error(_)));
    assert_eq!(get(&mut client, "maxclients"), "10000");
    assert_eq!(ask(&mut client, "CONFIG SET maxclients 2 stream-idmp-duration 7 stream-idmp-maxsize 3"), ok());
    let _second = connect(&server);
    assert_eq!(connect(&server).answer().unwrap(), error("ERR max number of clients reached"));
    ask(&mut client, "XADD s 1-1 a b");
    let settings = broker.stream("s").unwrap().idempotency().unwrap();
    assert_eq!((settings.duration().as_secs(), settings.ids_max()), (7, 3));

    assert_eq!(ask(&mut client, "CONFIG SET stream-node-max-entries 10"), ok());
    for _ in 0..29 {
        ask(&mut client, "XADD s * a b");
    }
    assert_eq!(ask(&mut client, "XTRIM s MAXLEN ~ 15"), Answer::Int(10));
    assert_eq!(get(&mut client, "appendfsync"), "always");
    assert_eq!(ask(&mut client, "CONFIG SET appendfsync always"), ok());
    assert!(text(ask(&mut client, "CONFIG SET appendfsync no")).contains("related to argument 'appendfsync'"));
}

#[test]
fn docs_have_a_page_for_every_command_with_all_its_subcommands() {
    let (_broker, server) = serve(|server| server);
    let mut client = connect(&server);
    client.speak_resp3();
    let (Answer::Map(pages), Answer::Int(count)) =
        (ask(&mut client, "COMMAND DOCS"), ask(&mut client, "COMMAND COUNT"))
    else {
        panic!("pages and a number")
    };
    assert_eq!(i64::try_from(pages.len()).unwrap(), count);
    let mut named = BTreeSet::new();
    let mut todo = pages;
    while let Some((name, page)) = todo.pop() {
        let Answer::Map(page) = page else { panic!("{page:?} is no page") };
        let about: Vec<_> = page.iter().map(|(about, _)| text(about.clone())).collect();
        assert_eq!(about[..4], ["summary", "since", "group", "complexity"], "{name:?}");
        assert!(page[..4].iter().all(|(_, value)| !text(value.clone()).is_empty()), "{name:?} {page:?}");
        named.insert(text(name));
        if let Some((Answer::Text(last), Answer::Map(subcommands))) = page.into_iter().last()
            && last == b"subcommands"
        {
            todo.extend(subcommands);
        }
    }
    let Answer::Array(list) = ask(&mut client, "COMMAND LIST") else { panic!("a list") };
    assert_eq!(named, list.into_iter().map(text).collect());
}
