//! The table of commands, and the words for right and wrong ones: next to Redis's.

use std::collections::BTreeSet;

use super::answer::Answer;
use super::redis::Redis;
use super::{ask, connect, error, ok, serve, text, words};

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
            && (redis.version >= (8, 6) || CHANGED.iter().all(|(changed, _)| *changed != name))
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
    let mut redis = Redis::start_or_skip("what_is_new_since_7_0_is_said_as_8_6_says_it, next to Redis");
    let mut redis = redis.as_mut().filter(|redis| redis.version >= (8, 6));
    if let Some(redis) = &mut redis {
        // Without one there is nothing to wait for.
        assert_eq!(redis.call(&words("CONFIG SET appendonly yes")), ok());
    }
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
        if let Some(redis) = &mut redis {
            assert_eq!(redis.call(&words(line)), answer, "Redis on {line}");
        }
    }
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
