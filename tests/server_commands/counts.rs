//! What is counted, and what is set.

use std::time::Duration;

use streamlog::resp::Server;
use streamlog::{Broker, Durability};

use super::answer::Answer;
use super::wire::request;
use super::{Client, ask, connect, error, field, info, ok, serve, soon, text, words};

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
fn an_error_is_counted_once_where_it_arose() {
    let (_broker, server) = serve(|server| server);
    let (mut client, mut waiting) = (connect(&server), connect(&server));
    let Answer::Int(id) = ask(&mut waiting, "CLIENT ID") else { panic!("a number") };
    let counted = |client: &mut Client, name: &str| {
        let line = info(client, &format!("cmdstat_{name}"));
        line.split(',').filter(|part| !part.starts_with("usec")).collect::<Vec<_>>().join(",")
    };
    // What it does, what is counted of which command then, and of which prefix.
    for (lines, commands, prefixes) in [
        (&["AUTH k"][..], &[("auth", "calls=1,rejected_calls=0,failed_calls=1")][..], &[("ERR", 1)][..]),
        (
            &["MULTI", "XADD s * a b", "AUTH a", "EXEC"],
            &[
                ("xadd", "calls=1,rejected_calls=0,failed_calls=0"),
                ("auth", "calls=1,rejected_calls=0,failed_calls=1"),
                ("exec", "calls=1,rejected_calls=0,failed_calls=0"),
            ],
            &[("ERR", 1)],
        ),
        (&["EXEC"], &[("exec", "calls=1,rejected_calls=0,failed_calls=1")], &[("ERR", 1)]),
        (
            &["MULTI", "XADD", "EXEC"],
            &[
                ("xadd", "calls=0,rejected_calls=1,failed_calls=0"),
                ("multi", "calls=1,rejected_calls=0,failed_calls=0"),
                ("exec", "calls=1,rejected_calls=0,failed_calls=1"),
            ],
            &[("ERR", 1), ("EXECABORT", 1)],
        ),
        (
            &["XADD s * a b", "XGROUP CREATECONSUMER s g c"],
            &[("xgroup|createconsumer", "calls=1,rejected_calls=0,failed_calls=1")],
            &[("NOGROUP", 1)],
        ),
        (&["asdf"], &[], &[("ERR", 1)]),
    ] {
        ask(&mut client, "CONFIG RESETSTAT");
        for line in lines {
            ask(&mut client, line);
        }
        for (command, want) in commands {
            assert_eq!(counted(&mut client, command), *want, "{command} of {lines:?}");
        }
        for (prefix, count) in prefixes {
            assert_eq!(info(&mut client, &format!("errorstat_{prefix}")), format!("count={count}"), "{lines:?}");
        }
        let all: i32 = prefixes.iter().map(|(_, count)| count).sum();
        assert_eq!(info(&mut client, "total_error_replies"), all.to_string(), "{lines:?}");
    }
    // One that waits counts once it is answered.
    ask(&mut client, "CONFIG RESETSTAT");
    let done = |client: &mut Client| field(&text(ask(client, &format!("CLIENT LIST ID {id}"))), "tot-cmds");
    let before: u64 = done(&mut client).parse().unwrap();
    waiting.send(&request(&words("XREAD BLOCK 0 STREAMS s $"))).unwrap();
    soon(|| info(&mut client, "blocked_clients") == "1");
    assert_eq!(done(&mut client), before.to_string());
    assert_eq!(ask(&mut client, &format!("CLIENT UNBLOCK {id} ERROR")), Answer::Int(1));
    assert!(matches!(waiting.answer().unwrap(), Answer::Error(_)));
    soon(|| done(&mut client) == (before + 1).to_string());
    assert_eq!(counted(&mut client, "xread"), "calls=1,rejected_calls=0,failed_calls=1");
    assert_eq!(info(&mut client, "errorstat_UNBLOCKED"), "count=1");
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
fn what_was_written_is_on_the_disk_once_that_is_waited_for_whatever_the_durability() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::builder().durability(Durability::Os).open(directory.path().join("data")).unwrap();
    let server = Server::builder(&broker).bind("127.0.0.1:0").start().unwrap();
    let mut client = connect(&server);
    for _ in 0..10 {
        ask(&mut client, "XADD s * a b");
    }
    let records: u64 = info(&mut client, "streamlog_records").parse().unwrap();
    assert!(records >= 10);
    let synced: u64 = info(&mut client, "streamlog_records_synced").parse().unwrap();
    assert!(synced < records, "nobody waited yet");
    assert_eq!(ask(&mut client, "WAITAOF 1 0 0"), Answer::Array(vec![Answer::Int(1), Answer::Int(0)]));
    assert!(info(&mut client, "streamlog_records_synced").parse::<u64>().unwrap() >= records);
    assert_eq!(info(&mut client, "streamlog_durability"), "os");
    assert_eq!(ask(&mut client, "CONFIG SET appendfsync no"), ok(), "that is what it is");
    server.shutdown(Duration::from_secs(1));
}
