//! Commands as values: what is written is read as the same, what is wrong is said in Redis's words, and the replies have the shapes
//! that Redis gives them. What the commands do is for `transcripts` and `differential`.

use std::ops::Bound;
use std::thread;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use streamlog::command::{
    Command, Delivered, Flush, NackMode, ReadLimits, Reply, Scan, Wait, XAdd, XAutoClaim, XCfgSet, XClaim,
    XGroupCreate, XGroupSetId, XNack, XPendingRange, XRange, XRead, XReadGroup, XSetId, parse_error_text,
};
use streamlog::{Broker, ErrorKind, GroupStart, Id, IdSpec, Idempotent, References, StartAt, Trim};

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

fn parse(text: &str) -> Command {
    Command::parse(&words(text)).unwrap()
}

fn run(broker: &Broker, text: &str) -> Reply {
    broker.execute(&parse(text)).unwrap()
}

/// What Redis would answer to a command that fails.
fn refusal(broker: &Broker, text: &str) -> String {
    match Command::parse(&words(text)) {
        Err(error) => parse_error_text(&error),
        Ok(command) => command.error_text(&broker.execute(&command).unwrap_err()),
    }
}

/// Any name, options of commands included.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,3}", "[ -~]{0,8}", Just("COUNT".to_owned()), Just("*".to_owned()), Just("é\r\n".to_owned())]
}

fn id() -> impl Strategy<Value = Id> {
    let number = || prop_oneof![0_u64..10, Just(u64::MAX), any::<u64>()];
    (number(), number()).prop_map(|(ms, seq)| Id::new(ms, seq))
}

fn ids() -> impl Strategy<Value = Vec<Id>> {
    vec(id(), 1..5)
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..5, 0..=i64::MAX as u64]
}

fn time() -> impl Strategy<Value = Duration> {
    number().prop_map(Duration::from_millis)
}

fn trim() -> impl Strategy<Value = Trim> {
    let by = prop_oneof![number().prop_map(Trim::max_len), id().prop_map(Trim::min_id)];
    (by, prop::option::of(number()), references()).prop_map(|(trim, about, references)| {
        let trim = about.map_or(trim, |entries| trim.approximately_at_most(entries));
        trim.references(references)
    })
}

fn references() -> impl Strategy<Value = References> {
    prop_oneof![Just(References::Keep), Just(References::Delete), Just(References::Acknowledged)]
}

fn start() -> impl Strategy<Value = StartAt> {
    let after = id().prop_filter("the start has a word of its own", |id| *id != Id::MIN);
    prop_oneof![Just(StartAt::Start), Just(StartAt::End), after.prop_map(StartAt::After)]
}

fn first() -> impl Strategy<Value = Bound<Id>> {
    let after = id().prop_filter("nothing is after the last", |id| *id != Id::MAX);
    prop_oneof![id().prop_map(Bound::Included), after.prop_map(Bound::Excluded)]
}

fn last() -> impl Strategy<Value = Bound<Id>> {
    let before = id().prop_filter("nothing is before the first", |id| *id != Id::MIN);
    prop_oneof![id().prop_map(Bound::Included), before.prop_map(Bound::Excluded)]
}

fn wait() -> impl Strategy<Value = Wait> {
    let time = (1..=i64::MAX as u64).prop_map(|ms| Wait::AtMost(Duration::from_millis(ms)));
    prop_oneof![Just(Wait::No), Just(Wait::Forever), time]
}

fn xadd() -> BoxedStrategy<Command> {
    let bytes = || vec(any::<u8>(), 0..4);
    let given = id().prop_filter("no entry has this ID", |id| *id != Id::MIN);
    let given = prop_oneof![given.prop_map(IdSpec::Exact), any::<u64>().prop_map(IdSpec::AutoSeq)];
    let once = (vec(any::<u8>(), 1..4), prop::option::of(vec(any::<u8>(), 1..4)));
    let once = once.prop_map(|(producer, id)| match id {
        Some(id) => Idempotent::new(producer, id),
        None => Idempotent::by_content(producer),
    });
    let id = prop_oneof![(Just(IdSpec::Auto), prop::option::of(once)), given.prop_map(|id| (id, None)),];
    let rest = (any::<bool>(), prop::option::of(trim()), vec((bytes(), bytes()), 1..4));
    (name(), id, rest)
        .prop_map(|(key, (id, idempotent), (no_make_stream, trim, fields))| {
            Command::XAdd(XAdd { key, no_make_stream, idempotent, trim, id, fields })
        })
        .boxed()
}

fn about_entries() -> BoxedStrategy<Command> {
    let count = || prop::option::of(number());
    let modes = prop_oneof![Just(NackMode::Silent), Just(NackMode::Fail), Just(NackMode::Fatal)];
    let xnack = ((name(), name()), modes, ids(), count(), any::<bool>());
    prop_oneof![
        (name(), trim()).prop_map(|(key, trim)| Command::XTrim { key, trim }),
        (name(), ids()).prop_map(|(key, ids)| Command::XDel { key, ids }),
        (name(), references(), ids()).prop_map(|(key, references, ids)| Command::XDelEx { key, references, ids }),
        (name(), name(), ids()).prop_map(|(key, group, ids)| Command::XAck { key, group, ids }),
        (name(), name(), references(), ids()).prop_map(|(key, group, references, ids)| Command::XAckDel {
            key,
            group,
            references,
            ids
        }),
        xnack.prop_map(|((key, group), mode, ids, retry_count, force)| {
            Command::XNack(XNack { key, group, mode, ids, retry_count, force })
        }),
        name().prop_map(|key| Command::XLen { key }),
        (name(), first(), last(), count()).prop_map(|(key, first, last, count)| Command::XRange(XRange {
            key,
            first,
            last,
            count
        })),
        (name(), first(), last(), count()).prop_map(|(key, first, last, count)| Command::XRevRange(XRange {
            key,
            first,
            last,
            count
        })),
        (name(), id(), count(), prop::option::of(Just(Id::MIN))).prop_map(
            |(key, last_id, entries_added, max_deleted_id)| {
                Command::XSetId(XSetId { key, last_id, entries_added, max_deleted_id })
            }
        ),
        (name(), 1..=86_400_u32, prop::option::of(1..=10_000_u32))
            .prop_map(|(key, seconds, ids)| Command::XCfgSet(XCfgSet { key, seconds: Some(seconds), ids })),
        (name(), vec(any::<u8>(), 1..4), vec(any::<u8>(), 1..4), id())
            .prop_map(|(key, producer, id, entry)| Command::XIdmpRecord { key, producer, id, entry }),
    ]
    .boxed()
}

fn reads() -> BoxedStrategy<Command> {
    // Redis takes a limit of 0 for none.
    let count = || prop::option::of(1..1000_u64);
    let from = || prop_oneof![start(), Just(StartAt::Last)];
    let pending = id().prop_filter("what stands for `>`", |id| *id != Id::MAX).prop_map(GroupStart::PendingAfter);
    let in_group = prop_oneof![Just(GroupStart::New), pending];
    let limits = || {
        (count(), count(), count()).prop_map(|(count, max_count, max_size)| ReadLimits { count, max_count, max_size })
    };
    let how = (limits(), wait(), prop::option::of(time()), any::<bool>());
    prop_oneof![
        (limits(), wait(), vec((name(), from()), 1..4)).prop_map(|(limits, wait, streams)| Command::XRead(XRead {
            limits,
            wait,
            streams
        })),
        ((name(), name()), how, vec((name(), in_group), 1..4)).prop_map(
            |((group, consumer), (limits, wait, claim, no_ack), streams)| {
                Command::XReadGroup(XReadGroup { group, consumer, limits, wait, claim, no_ack, streams })
            }
        ),
    ]
    .boxed()
}

fn about_pending() -> BoxedStrategy<Command> {
    let names = || (name(), name(), name());
    let delivered = prop_oneof![time().prop_map(Delivered::Ago), number().prop_map(Delivered::AtMs)];
    let flags = (any::<bool>(), any::<bool>());
    let options = (prop::option::of(delivered), prop::option::of(number()), prop::option::of(id()));
    prop_oneof![
        (name(), name()).prop_map(|(key, group)| Command::XPending { key, group }),
        ((name(), name(), time()), first(), last(), number(), prop::option::of(name())).prop_map(
            |((key, group, idle), first, last, count, consumer)| {
                Command::XPendingRange(XPendingRange { key, group, idle, first, last, count, consumer })
            }
        ),
        (names(), time(), ids(), options, flags).prop_map(
            |((key, group, consumer), min_idle, ids, (delivered, retry_count, last_id), (force, just_ids))| {
                let claim =
                    XClaim { key, group, consumer, min_idle, ids, delivered, retry_count, force, just_ids, last_id };
                Command::XClaim(claim)
            }
        ),
        (names(), time(), id(), 1..1000_u64, any::<bool>()).prop_map(
            |((key, group, consumer), min_idle, start, count, just_ids)| {
                Command::XAutoClaim(XAutoClaim { key, group, consumer, min_idle, start, count, just_ids })
            }
        ),
    ]
    .boxed()
}

fn about_groups() -> BoxedStrategy<Command> {
    let read = || prop::option::of(number());
    let keys = || vec(name(), 1..4);
    prop_oneof![
        ((name(), name()), start(), any::<bool>(), read()).prop_map(
            |((key, group), start, make_stream, entries_read)| {
                Command::XGroupCreate(XGroupCreate { key, group, start, make_stream, entries_read })
            }
        ),
        (name(), name(), start(), read()).prop_map(|(key, group, to, entries_read)| {
            Command::XGroupSetId(XGroupSetId { key, group, to, entries_read })
        }),
        (name(), name()).prop_map(|(key, group)| Command::XGroupDestroy { key, group }),
        (name(), name(), name()).prop_map(|(key, group, consumer)| Command::XGroupCreateConsumer {
            key,
            group,
            consumer
        }),
        (name(), name(), name()).prop_map(|(key, group, consumer)| Command::XGroupDelConsumer { key, group, consumer }),
        prop_oneof![Just(Command::XGroupHelp), Just(Command::XInfoHelp)],
        name().prop_map(|key| Command::XInfoStream { key }),
        (name(), number()).prop_map(|(key, count)| Command::XInfoStreamFull { key, count }),
        (name(), name()).prop_map(|(key, group)| Command::XInfoConsumers { key, group }),
        keys().prop_map(|keys| Command::Del { keys }),
        keys().prop_map(|keys| Command::Exists { keys }),
        (name(), name()).prop_map(|(key, to)| Command::Rename { key, to }),
        (name(), name(), any::<bool>())
            .prop_filter("one stream is not copied onto itself", |(source, destination, _)| source != destination)
            .prop_map(|(source, destination, replace)| Command::Copy { source, destination, replace }),
    ]
    .boxed()
}

fn about_names() -> BoxedStrategy<Command> {
    let flush = || prop_oneof![Just(Flush::Unsaid), Just(Flush::Async), Just(Flush::Sync)];
    let pattern = || vec(any::<u8>(), 0..5);
    let options = (prop::option::of(pattern()), prop::option::of(1..=i64::MAX as u64), prop::option::of(pattern()));
    prop_oneof![
        pattern().prop_map(|pattern| Command::Keys { pattern }),
        (any::<u64>(), options).prop_map(|(cursor, (pattern, count, of_type))| Command::Scan(Scan {
            cursor,
            pattern,
            count,
            of_type
        })),
        Just(Command::DbSize),
        flush().prop_map(Command::FlushDb),
        flush().prop_map(Command::FlushAll),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_command_is_read_as_it_was_written(
        command in prop_oneof![xadd(), about_entries(), reads(), about_pending(), about_groups(), about_names()]
    ) {
        let read = Command::parse(&command.to_args());
        prop_assert_eq!(read.map_err(|error| TestCaseError::fail(error.to_string()))?, command);
    }

    #[test]
    fn whatever_is_sent_is_a_command_or_an_error_of_one_line(args in vec(vec(any::<u8>(), 0..6), 0..8), first in 0..11_usize) {
        let names = ["XADD", "XREAD", "XREADGROUP", "XCLAIM", "XPENDING", "XGROUP", "XINFO", "XNACK", "COPY", "SCAN", "FLUSHALL"];
        let args = [vec![names[first].as_bytes().to_vec()], args].concat();
        match Command::parse(&args) {
            Ok(command) => prop_assert_eq!(Command::parse(&command.to_args()).unwrap(), command),
            Err(error) => prop_assert!(!parse_error_text(&error).contains(['\r', '\n'])),
        }
    }
}

#[test]
fn a_mistake_is_told_after_a_missing_group_where_redis_looks_for_the_group_first() {
    let broker = Broker::in_memory().unwrap();
    let mistaken = "XCLAIM s g c 0 1-1 BOGUS";
    assert_eq!(
        parse(mistaken).to_args(),
        words(mistaken).iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>()
    );
    assert_eq!(refusal(&broker, mistaken), "NOGROUP No such key 's' or consumer group 'g'");
    let wrong = "Invalid stream ID specified as stream command argument";
    assert_eq!(run(&broker, "XACK s g bad"), Reply::Int(0));

    run(&broker, "XGROUP CREATE s g $ MKSTREAM");
    assert_eq!(refusal(&broker, mistaken), "ERR Unrecognized XCLAIM option 'BOGUS'");
    assert_eq!(refusal(&broker, "XACK s g bad"), format!("ERR {wrong}"));
    // The stream that is missing is the one that is named, be it the second.
    let second = "NOGROUP No such key 't' or consumer group 'g' in XREADGROUP with GROUP option";
    assert_eq!(refusal(&broker, "XREADGROUP GROUP g c STREAMS s t > >"), second);
    assert_eq!(refusal(&broker, "XREADGROUP GROUP g c STREAMS s t bad >"), format!("ERR {wrong}"));
}

#[test]
fn what_redis_8_8_says_of_a_nack_is_said() {
    let broker = Broker::in_memory().unwrap();
    assert_eq!(refusal(&broker, "XNACK s g MAYBE IDS 1 1-1"), "NOGROUP No such key 's' or consumer group 'g'");
    for words in ["XGROUP CREATE s g 0 MKSTREAM", "XADD s 1-1 f v", "XREADGROUP GROUP g c STREAMS s >"] {
        run(&broker, words);
    }
    assert_eq!(refusal(&broker, "XNACK s g MAYBE IDS 1 1-1"), "ERR mode must be SILENT, FAIL, or FATAL");
    assert_eq!(refusal(&broker, "XNACK s g FAIL IDS 0 1-1"), "ERR numids must be a positive integer");
    assert_eq!(refusal(&broker, "XNACK s g FAIL IDS 3 1-1"), "ERR number of IDs doesn't match numids");
    assert_eq!(refusal(&broker, "XNACK s g FAIL IDS 1 1-1 FORCED"), "ERR Unrecognized XNACK option 'FORCED'");
    assert_eq!(run(&broker, "XNACK s g SILENT IDS 1 1-1"), Reply::Int(1));
    let released = vec![Reply::bulk("1-1"), Reply::bulk(""), Reply::Int(-1), Reply::Int(0)];
    assert_eq!(run(&broker, "XPENDING s g - + 10"), Reply::Array(vec![Reply::Array(released)]));
}

#[test]
fn a_name_that_is_no_text_or_empty_is_an_error_of_our_own() {
    let not_text = Command::parse(&[&b"XLEN"[..], b"\xff"]).unwrap_err();
    assert_eq!(not_text.kind(), ErrorKind::InvalidName);
    let broker = Broker::in_memory().unwrap();
    let empty = Command::parse(&["XLEN", ""]).unwrap();
    assert_eq!(broker.execute(&empty).unwrap_err().kind(), ErrorKind::InvalidName);
}

#[test]
fn a_read_that_blocks_is_woken_by_an_add() {
    let broker = Broker::in_memory().unwrap();
    let reader = broker.clone();
    let waiting = thread::spawn(move || run(&reader, "XREAD BLOCK 60000 STREAMS s $"));
    while !waiting.is_finished() {
        run(&broker, "XADD s * f v");
        thread::sleep(Duration::from_millis(5));
    }
    let Reply::Pairs(streams) = waiting.join().unwrap() else { panic!("nothing was read") };
    assert_eq!(streams[0].0, Reply::bulk("s"));
    assert_eq!(run(&broker, "XREAD BLOCK 1 STREAMS s $"), Reply::NullArray);
}

/// `XTRIM s MAXLEN ~ 0` kept a node whose last entry had been deleted: the entries to go ended before it.
#[test]
fn an_approximate_trim_takes_a_node_whose_last_entries_are_deleted() {
    let broker = Broker::in_memory().unwrap();
    for words in ["XADD s 1-0 f v", "XADD s 3-0 f v", "XDEL s 3-0"] {
        run(&broker, words);
    }
    assert_eq!(run(&broker, "XTRIM s MINID ~ 3-0"), Reply::Int(0), "of a node Redis looks at the last ID it had");
    assert_eq!(run(&broker, "XTRIM s MAXLEN ~ 0"), Reply::Int(1));
}

/// From the documentation of Redis 8.10: limits over all the streams of a read; the first entry comes in any case.
#[test]
fn a_read_of_several_streams_has_limits_over_all_of_them() {
    let broker = Broker::in_memory().unwrap();
    for key in ["a", "b"] {
        for seq in 1..=3 {
            let args = ["XADD", key, &format!("1-{seq}"), "f", "0123456789"];
            broker.execute(&Command::parse(&args).unwrap()).unwrap();
        }
    }
    let read = |words: &str| {
        let reply = broker.execute(&Command::parse(&words.split(' ').collect::<Vec<_>>()).unwrap()).unwrap();
        let Reply::Pairs(pairs) = reply else { panic!("{reply:?}") };
        let len = |entries: &Reply| if let Reply::Array(entries) = entries { entries.len() } else { 0 };
        pairs.iter().map(|(_, entries)| len(entries)).collect::<Vec<_>>()
    };
    assert_eq!(read("XREAD MAXCOUNT 4 STREAMS a b 0 0"), [3, 1]);
    assert_eq!(read("XREAD COUNT 2 MAXCOUNT 3 STREAMS a b 0 0"), [2, 1]);
    assert_eq!(read("XREAD MAXSIZE 1 STREAMS a b 0 0"), [1]);
    broker.execute(&Command::parse(&["XGROUP", "CREATE", "a", "g", "0"]).unwrap()).unwrap();
    assert_eq!(read("XREADGROUP GROUP g c MAXCOUNT 2 STREAMS a >"), [2]);
    for wrong in ["XREAD MAXCOUNT 0 STREAMS a 0", "XREAD MAXSIZE x STREAMS a 0"] {
        assert!(Command::parse(&wrong.split(' ').collect::<Vec<_>>()).is_err(), "{wrong}");
    }
}

/// What only a program can say, `parse` never: a count of 0.
#[test]
fn a_count_of_0_is_what_redis_takes_it_for() {
    let broker = Broker::in_memory().unwrap();
    let run = |words: &str| broker.execute(&Command::parse(&words.split(' ').collect::<Vec<_>>()).unwrap()).unwrap();
    run("XADD s 1-1 f v");
    run("XGROUP CREATE s g 0");
    let mut read = Command::parse(&["XREAD", "STREAMS", "s", "0"]).unwrap();
    let all = broker.execute(&read).unwrap();
    if let Command::XRead(read) = &mut read {
        read.limits.count = Some(0);
    }
    assert_eq!(broker.execute(&read).unwrap(), all);
    let mut claim = Command::parse(&["XAUTOCLAIM", "s", "g", "c", "0", "0"]).unwrap();
    if let Command::XAutoClaim(claim) = &mut claim {
        claim.count = 0;
    }
    assert_eq!(claim.error_text(&broker.execute(&claim).unwrap_err()), "ERR COUNT must be > 0");
}

/// Redis's own test of `XDEL` adds entries until the tree has more than 20 keys, which it never had here: it added for ever.
#[test]
fn the_tree_that_is_not_there_grows_with_its_entries() {
    let broker = Broker::in_memory().unwrap();
    let keys = || {
        let info = broker.execute(&Command::parse(&["XINFO", "STREAM", "s"]).unwrap()).unwrap();
        let Reply::Map(fields) = info else { panic!("{info:?}") };
        let of = |name: &str| fields.iter().find(|field| field.0 == Reply::bulk(name)).unwrap().1.clone();
        (of("radix-tree-keys"), of("radix-tree-nodes"))
    };
    let stream = broker.stream("s").unwrap();
    stream.add([("n", "1")]).unwrap();
    assert_eq!(keys(), (Reply::Int(1), Reply::Int(2)));
    for _ in 0..100 {
        stream.add([("n", "1")]).unwrap();
    }
    assert_eq!(keys(), (Reply::Int(2), Reply::Int(3)));
}
