//! What Redis 8.6.3 answers where we once answered otherwise: each test is the story of one difference that was found beside a server
//! of that version.

use streamlog::Broker;
use streamlog::command::{Command, Reply, parse_error_text};

/// What is answered to these words, as one who reads it would see it: errors too.
fn ask(broker: &Broker, text: &str) -> String {
    let words: Vec<&str> = text.split(' ').map(|word| if word == "''" { "" } else { word }).collect();
    match Command::parse(&words) {
        Err(error) => parse_error_text(&error),
        Ok(command) => match broker.execute(&command) {
            Ok(reply) => shown(&reply),
            Err(error) => command.error_text(&error),
        },
    }
}

fn shown(reply: &Reply) -> String {
    let all = |items: &[Reply]| items.iter().map(shown).collect::<Vec<_>>().join(" ");
    match reply {
        Reply::Status(text) => (*text).to_owned(),
        Reply::Int(int) => int.to_string(),
        Reply::Bulk(bytes) => bytes.escape_ascii().to_string(),
        Reply::Null | Reply::NullArray => "nil".to_owned(),
        Reply::Array(items) => format!("[{}]", all(items)),
        Reply::Map(pairs) | Reply::Pairs(pairs) => {
            let pairs = pairs.iter().map(|(name, value)| format!("{}: {}", shown(name), shown(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => panic!("no command answers {other:?}"),
    }
}

/// A broker to which all this was done.
fn after(commands: &[&str]) -> Broker {
    let broker = Broker::in_memory().unwrap();
    for command in commands {
        let answer = ask(&broker, command);
        assert!(!answer.starts_with("ERR"), "{command}: {answer}");
    }
    broker
}

const WITH_A_GROUP: [&str; 4] =
    ["XGROUP CREATE s g 0 MKSTREAM", "XADD s 1-0 f a", "XADD s 2-0 f b", "XREADGROUP GROUP g ann STREAMS s >"];

/// The value of a name in what `XINFO` tells.
fn told(broker: &Broker, command: &str, name: &str) -> String {
    let answer = ask(broker, command);
    let (_, after) = answer.split_once(&format!("{name}: ")).unwrap_or_else(|| panic!("{name} is not in {answer}"));
    after.split([',', '}']).next().unwrap().to_owned()
}

/// We said `with args beginning with: ` though there were none, as Redis 7 did.
#[test]
fn an_unknown_command_without_arguments_is_told_of_alone() {
    let broker = after(&[]);
    assert_eq!(ask(&broker, "BOGUS"), "ERR unknown command 'BOGUS'");
    assert_eq!(ask(&broker, "BOGUS a b"), "ERR unknown command 'BOGUS', with args beginning with: 'a' 'b' ");
    let cut = Command::parse(&[&b"BO\0GUS"[..], b"a\0b", b"c"]).unwrap_err();
    assert_eq!(parse_error_text(&cut), "ERR unknown command 'BO', with args beginning with: 'a' 'c' ", "as C sees it");
}

/// The last line of the pages was that of Redis 7.
#[test]
fn the_pages_of_help_end_as_those_of_redis_8() {
    let broker = after(&[]);
    assert!(ask(&broker, "XGROUP HELP").ends_with("HELP     Print this help.]"));
    assert!(ask(&broker, "XINFO HELP").ends_with("HELP     Print this help.]"));
}

/// The texts were shorter.
#[test]
fn what_is_wrong_with_a_time_is_said_in_full() {
    let broker = after(&WITH_A_GROUP);
    let read = |option: &str| ask(&broker, &format!("XREADGROUP GROUP g ann {option} STREAMS s >"));
    assert_eq!(read("CLAIM x"), "ERR min-idle-time is not an integer or out of range");
    assert_eq!(read("CLAIM -1"), "ERR min-idle-time must be a positive integer");
    assert_eq!(read("BLOCK x"), "ERR timeout is not an integer or out of range");
    assert_eq!(read("BLOCK -1"), "ERR timeout is negative");
    assert_eq!(read("BLOCK 9223372036854775807"), "ERR timeout is out of range", "we would have waited");
}

/// `syntax error, ` was missing before what is wrong with producers, and an ID that they must not give was told after everything else.
#[test]
fn what_is_wrong_with_a_producer_is_a_syntax_error() {
    let broker = after(&[]);
    let add = |options: &str| ask(&broker, &format!("XADD s {options} f v"));
    assert_eq!(add("IDMP '' i *"), "ERR syntax error, IDMP requires a non-empty producer ID");
    assert_eq!(add("IDMP p '' *"), "ERR syntax error, IDMP requires a non-empty idempotent ID");
    assert_eq!(add("IDMPAUTO '' *"), "ERR syntax error, IDMPAUTO requires a non-empty producer ID");
    assert_eq!(add("IDMP p i IDMPAUTO p *"), "ERR syntax error, IDMP/IDMPAUTO specified multiple times");
    let only_auto = "ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs";
    assert_eq!(add("IDMP p i MAXLEN 2 LIMIT 3 5-1"), only_auto);
    assert_eq!(add("IDMP p i MAXLEN 2 LIMIT 3 bad"), "ERR Invalid stream ID specified as stream command argument");
}

/// The second of two settings of one kind was taken.
#[test]
fn a_setting_is_said_once() {
    let broker = after(&["XADD s 1-1 f v"]);
    let twice = "XCFGSET s IDMP-DURATION 5 IDMP-DURATION 6";
    assert_eq!(ask(&broker, twice), "ERR IDMP-DURATION specified multiple times");
    assert_eq!(ask(&broker, "XCFGSET s IDMP-MAXSIZE 5 IDMP-MAXSIZE 6"), "ERR IDMP-MAXSIZE specified multiple times");
    assert_eq!(ask(&broker, &twice.replace(" s ", " none ")), "ERR no such key", "which is looked for first");
    assert_eq!(told(&broker, "XINFO STREAM s", "idmp-duration"), "100");
}

/// A wrong ID was an error though there was no stream, or no group, to look for it in.
#[test]
fn a_wrong_id_among_those_to_be_deleted_is_not_read_where_there_is_nothing_to_delete() {
    let broker = after(&["XADD s 1-1 f v"]);
    let wrong = "ERR Invalid stream ID specified as stream command argument";
    assert_eq!(ask(&broker, "XDELEX none IDS 2 bad 1-1"), "[-1 -1]");
    assert_eq!(ask(&broker, "XDELEX s IDS 2 bad 1-1"), wrong);
    assert_eq!(ask(&broker, "XACKDEL none g IDS 2 bad 1-1"), "[-1 -1]");
    assert_eq!(ask(&broker, "XACKDEL s g ACKED IDS 3 bad 1-1 +"), "[-1 -1 -1]");
    assert_eq!(
        ask(&broker, "XDELEX none IDS 3 bad 1-1"),
        "ERR The `numids` parameter must match the number of arguments"
    );
    ask(&broker, "XGROUP CREATE s g 0");
    assert_eq!(ask(&broker, "XACKDEL s g IDS 1 bad"), wrong);
}

/// `XDELEX … DELREF` left what was pending of an entry that had been deleted before.
#[test]
fn references_are_deleted_though_the_entry_is_gone_already() {
    let broker = after(&WITH_A_GROUP);
    assert_eq!(ask(&broker, "XDEL s 1-0"), "1");
    assert_eq!(ask(&broker, "XDELEX s DELREF IDS 1 1-0"), "[-1]");
    assert_eq!(ask(&broker, "XPENDING s g"), "[1 2-0 2-0 [[ann 1]]]");
    for words in ["XGROUP CREATE s h 0", "XREADGROUP GROUP h eve STREAMS s >", "XDEL s 2-0"] {
        ask(&broker, words);
    }
    assert_eq!(ask(&broker, "XACKDEL s g DELREF IDS 1 2-0"), "[1]");
    assert_eq!(ask(&broker, "XPENDING s h"), "[0 nil nil nil]");
}

/// An approximate trim kept nodes whole, even where it looks at each of their entries.
#[test]
fn an_approximate_trim_that_minds_references_is_exact_but_for_its_limit() {
    let broker = after(&WITH_A_GROUP);
    let add = |ids: std::ops::Range<u32>| ids.for_each(|ms| drop(ask(&broker, &format!("XADD s {ms}-0 f v"))));
    assert_eq!(ask(&broker, "XACK s g 2-0"), "1");
    add(3..6);
    assert_eq!(ask(&broker, "XTRIM s MAXLEN ~ 0 ACKED LIMIT 4"), "0", "the node has more than that");
    assert_eq!(ask(&broker, "XTRIM s MAXLEN ~ 0 ACKED"), "1");
    assert_eq!(ask(&broker, "XTRIM s MINID ~ 4-0 DELREF LIMIT 3"), "0");
    assert_eq!(ask(&broker, "XTRIM s MINID ~ 4-0 DELREF LIMIT 4"), "2");
    assert_eq!(ask(&broker, "XPENDING s g"), "[0 nil nil nil]");
    assert_eq!(ask(&broker, "XTRIM s MINID ~ 5-0"), "0", "which keeps nodes whole");
    // Of two nodes the first has room within the limit.
    add(6..150);
    assert_eq!(ask(&broker, "XTRIM s MINID ~ 140-0 DELREF LIMIT 110"), "97");
    assert_eq!(ask(&broker, "XTRIM s MINID ~ 140-0 DELREF"), "39");
}

/// What was claimed and turned out to be deleted was acknowledged; Redis leaves it pending, and goes on.
#[test]
fn what_is_deleted_stays_pending_though_somebody_claims() {
    let broker = after(&WITH_A_GROUP);
    ask(&broker, "XDEL s 1-0");
    let claim = "XREADGROUP GROUP g eve COUNT 1 CLAIM 0 STREAMS s >";
    assert!(ask(&broker, claim).starts_with("{s: [[2-0 [f b] "));
    assert_eq!(ask(&broker, "XPENDING s g"), "[2 1-0 2-0 [[ann 1] [eve 1]]]");
    assert!(ask(&broker, claim).starts_with("{s: [[2-0 [f b] "));
    assert_eq!(ask(&broker, "XREADGROUP GROUP g ann STREAMS s 0"), "{s: [[1-0 nil]]}");
    assert_eq!(ask(&broker, "XCLAIM s g eve 0 1-0"), "[]", "which is how it goes");
    assert_eq!(ask(&broker, "XPENDING s g"), "[1 2-0 2-0 [[eve 1]]]");
}

/// A stream that one read names twice was told of in one way, though what is new was asked for first and what is pending then.
#[test]
fn of_a_stream_named_twice_what_is_claimed_is_told_once() {
    let broker = after(&["XGROUP CREATE s g 0 MKSTREAM", "XADD s 1-0 f a"]);
    let read = ask(&broker, "XREADGROUP GROUP g ann CLAIM 1000000 STREAMS s s > 0");
    assert_eq!(read, "{s: [[1-0 [f a] 0 0]], s: [[1-0 [f a]]]}");
}

/// Whoever took entries as acknowledged at once counted as active with them.
#[test]
fn what_is_acknowledged_as_it_is_delivered_makes_nobody_active() {
    let broker = after(&["XGROUP CREATE s g 0 MKSTREAM", "XADD s 1-0 f a"]);
    assert_eq!(ask(&broker, "XREADGROUP GROUP g ann NOACK STREAMS s >"), "{s: [[1-0 [f a]]]}");
    assert_eq!(told(&broker, "XINFO CONSUMERS s g", "inactive"), "-1");
    ask(&broker, "XADD s 2-0 f b");
    ask(&broker, "XREADGROUP GROUP g ann STREAMS s >");
    assert_ne!(told(&broker, "XINFO CONSUMERS s g", "inactive"), "-1");
}

/// A lag below 0 was told as none.
#[test]
fn a_group_that_counts_as_having_read_more_than_there_is_lags_by_less_than_nothing() {
    let broker = after(&[
        "XGROUP CREATE s g 0 MKSTREAM",
        "XADD s 1-0 f a",
        "XADD s 9-1 f b",
        "XGROUP SETID s g 4-0 ENTRIESREAD 3",
        "XREADGROUP GROUP g ann STREAMS s >",
    ]);
    assert_eq!(told(&broker, "XINFO GROUPS s", "lag"), "-1");
    assert_eq!(told(&broker, "XINFO STREAM s FULL", "lag"), "-1");
    let group = broker.stream("s").unwrap().group("g").existing().unwrap();
    assert_eq!(group.info().unwrap().lag, Some(0), "by a handle there is nothing left to be delivered");
}

/// Options of `XGROUP` that were said twice were taken.
#[test]
fn a_group_is_made_and_set_with_each_option_said_once() {
    let broker = after(&["XADD s 1-1 f v"]);
    let create = "XGROUP CREATE s g 0 ENTRIESREAD 1 ENTRIESREAD 2";
    let wrong = |what| format!("ERR unknown subcommand or wrong number of arguments for '{what}'. Try XGROUP HELP.");
    assert_eq!(ask(&broker, create), wrong("CREATE"));
    assert!(ask(&broker, &create.replace(" s ", " none ")).starts_with("ERR The XGROUP subcommand requires the key"));
    assert_eq!(
        ask(&broker, "XGROUP CREATE s g 0 MKSTREAM MKSTREAM MKSTREAM"),
        "OK",
        "of so few arguments nobody counts"
    );
    assert_eq!(ask(&broker, "XGROUP SETID s g 0 ENTRIESREAD 1 ENTRIESREAD 2"), wrong("SETID"));
    let none = "NOGROUP No such consumer group 'h' for key name 's'";
    assert_eq!(ask(&broker, "XGROUP SETID s h 0 ENTRIESREAD 1 ENTRIESREAD 2"), none);
}
