//! What a thread that is alone does, as others see it, and what touches those who watch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use crate::command::{Command, Reply};
use crate::storage::sim::{SimDisk, Survival};
use crate::stream::owed::Owed;
use crate::{Broker, ErrorKind, Result};

fn command(words: &str) -> Command {
    Command::parse(&words.split(' ').collect::<Vec<_>>()).unwrap()
}

fn run(broker: &Broker, words: &str) -> Result<Reply> {
    broker.execute(&command(words))
}

fn all(broker: &Broker, commands: &[&str]) -> Vec<Result<Reply>> {
    broker.execute_all(&commands.iter().map(|words| command(words)).collect::<Vec<_>>()).unwrap()
}

fn steps(disk: &SimDisk) -> Broker {
    Broker::builder().background(false).journal_file_bytes(4096).open_on(disk.storage()).unwrap()
}

fn int(reply: Result<Reply>) -> i64 {
    match reply {
        Ok(Reply::Int(int)) => int,
        other => panic!("{other:?}"),
    }
}

#[test]
fn several_calls_are_one_record_and_each_sees_what_those_before_it_did() {
    let disk = SimDisk::new(1);
    let broker = steps(&disk);
    let before = broker.open.core.journal.last_lsn();
    let replies = all(
        &broker,
        &[
            "XADD a 1-1 n 1",
            "XGROUP CREATE a g 0",
            "XREADGROUP GROUP g w STREAMS a >",
            "XACK a g 1-1",
            "RENAME a b",
            "XADD b 1-1 n 1",
            "COPY b c",
            "DEL b",
            "XADD b 7-1 n 1",
            "XLEN c",
            "EXISTS a b c",
        ],
    );
    assert_eq!(replies[5].as_ref().unwrap_err().kind(), ErrorKind::IdTooSmall);
    assert_eq!(replies.into_iter().rev().take(2).map(int).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(broker.open.core.journal.last_lsn(), before + 1);
    broker.crash();
    disk.restart(Survival::Nothing);
    let broker = steps(&disk);
    assert_eq!(broker.streams().unwrap(), ["b", "c"]);
    assert_eq!(int(run(&broker, "XLEN c")), 1);
}

#[test]
fn nothing_to_record_is_no_record_and_refusals_undo_nothing() {
    let broker = Broker::in_memory().unwrap();
    let before = broker.open.core.journal.last_lsn();
    all(&broker, &["XLEN a", "XACK a g 1-1", "DEL a", "XGROUP CREATE a g 0"]);
    assert!(broker.execute_all(&[]).unwrap().is_empty());
    assert_eq!(broker.open.core.journal.last_lsn(), before);
    let replies = all(&broker, &["XADD a 5-1 n 1", "XADD a 5-1 n 1", "XADD a 5-2 n 1"]);
    assert!(replies[0].is_ok() && replies[1].is_err() && replies[2].is_ok());
    assert_eq!(int(run(&broker, "XLEN a")), 2);
}

#[test]
fn what_is_added_is_seen_inside_at_once_and_outside_in_all_streams_once_it_is_synced() {
    let disk = SimDisk::new(1);
    let broker = steps(&disk);
    run(&broker, "XADD a 1-1 n 1").unwrap();
    run(&broker, "XADD b 1-1 n 1").unwrap();
    let (done, owed) = broker.owing(|| {
        broker.alone(&[], || {
            run(&broker, "XADD a 1-2 n 1").unwrap();
            run(&broker, "XTRIM a MAXLEN 1").unwrap();
            run(&broker, "XADD b 1-2 n 1").unwrap();
            (int(run(&broker, "XLEN a")), int(run(&broker, "XLEN b")))
        })
    });
    assert_eq!(done.unwrap(), Some((1, 2)));
    assert_ne!(owed, Owed::NOTHING);
    assert_eq!((int(run(&broker, "XLEN a")), int(run(&broker, "XLEN b"))), (1, 1), "the old entries");
    assert_eq!(run(&broker, "XRANGE a - +").unwrap(), run(&broker, "XRANGE b - +").unwrap());
    // Whoever is alone next sees all of it.
    let (lens, _) = broker.owing(|| {
        broker.alone(&[], || {
            run(&broker, "XADD a 1-3 n 1").unwrap();
            (int(run(&broker, "XLEN a")), int(run(&broker, "XLEN b")))
        })
    });
    assert_eq!(lens.unwrap(), Some((2, 2)));
    assert_eq!((int(run(&broker, "XLEN a")), int(run(&broker, "XLEN b"))), (1, 1));
    broker.sync().unwrap();
    assert_eq!((int(run(&broker, "XLEN a")), int(run(&broker, "XLEN b"))), (2, 2));
}

#[test]
fn what_shows_at_once_is_not_seen_without_what_waits_for_the_sync() {
    let disk = SimDisk::new(1);
    let broker = steps(&disk);
    all(&broker, &["XADD a 1-1 n 1", "XGROUP CREATE a g 0", "XREADGROUP GROUP g w STREAMS a >"]);
    let ((), _) = broker.owing(|| {
        all(&broker, &["XACK a g 1-1", "XADD b 1-1 n 1"]);
    });
    assert_eq!(int(run(&broker, "XLEN b")), 1, "as soon as the acknowledgement is seen");
    // A copy of what nobody may see yet.
    let ((), _) = broker.owing(|| {
        run(&broker, "XADD b 1-2 n 1").unwrap();
        all(&broker, &["COPY b c"]);
    });
    assert_eq!((int(run(&broker, "XLEN b")), int(run(&broker, "XLEN c"))), (2, 2));
}

#[test]
fn a_record_larger_than_what_is_left_of_the_file_is_written_all_the_same() {
    for entries in [1, 5, 50, 500] {
        let disk = SimDisk::new(1);
        let broker = steps(&disk);
        for round in 0..3 {
            let adds = (0..entries).map(|_| command("XADD a * payload 0123456789012345678901234567890123456789"));
            let replies = broker.execute_all(&adds.collect::<Vec<_>>()).unwrap();
            assert!(replies.iter().all(Result::is_ok));
            run(&broker, "XADD b * n 1").unwrap();
            if round == 1 {
                broker.checkpoint().unwrap();
            }
        }
        broker.crash();
        disk.restart(Survival::Nothing);
        let broker = steps(&disk);
        assert_eq!(int(run(&broker, "XLEN a")), 3 * entries, "{entries}");
        assert_eq!(int(run(&broker, "XLEN b")), 3, "{entries}");
        broker.close().unwrap();
        assert_eq!(int(run(&steps(&disk), "XLEN a")), 3 * entries, "{entries}");
    }
}

#[test]
fn a_block_that_must_be_loaded_is_loaded_in_the_middle() {
    let disk = SimDisk::new(1);
    let broker = Broker::builder().background(false).cache_bytes(0).open_on(disk.storage()).unwrap();
    for n in 1..=100 {
        run(&broker, &format!("XADD a {n}-1 n {n}")).unwrap();
    }
    broker.flush_all().unwrap();
    let replies = all(&broker, &["XADD a 200-1 n 1", "XRANGE a 50-1 50-1", "XDEL a 1-1", "COPY a b", "XLEN b"]);
    assert!(matches!(replies[1].as_ref().unwrap(), Reply::Array(found) if found.len() == 1));
    assert_eq!(int(replies.into_iter().last().unwrap()), 100);
}

#[test]
fn nobody_looks_at_what_is_not_done_yet() {
    let broker = Broker::builder().background(false).open_in_memory().unwrap();
    run(&broker, "XADD a 1-1 n 1").unwrap();
    run(&broker, "XADD old 1-1 n 1").unwrap();
    // Each of these waits until it is over, and sees all of it.
    let looks: [(&str, Reply); 6] = [
        ("XLEN a", Reply::Int(2)),
        ("EXISTS new", Reply::Int(1)),
        ("EXISTS old", Reply::Int(0)),
        ("XLEN new", Reply::Int(1)),
        ("TYPE b", Reply::Status("stream")),
        ("XADD a 9-1 n 1", Reply::bulk("9-1")),
    ];
    for (look, seen) in looks {
        run(&broker, "XADD old 1-1 n 1").ok();
        run(&broker, "DEL new b a").unwrap();
        run(&broker, "XADD a 1-1 n 1").unwrap();
        let (say, hear) = mpsc::channel();
        std::thread::scope(|scope| {
            let broker = &broker;
            broker
                .alone(&[], || {
                    run(broker, "XADD a 1-2 n 1").unwrap();
                    run(broker, "RENAME old new").unwrap();
                    run(broker, "XADD b 1-1 n 1").unwrap();
                    scope.spawn(move || say.send(run(broker, look)).unwrap());
                    assert!(hear.recv_timeout(Duration::from_millis(30)).is_err(), "{look}");
                })
                .unwrap();
            assert_eq!(hear.recv().unwrap().unwrap(), seen, "{look}");
        });
    }
}

#[test]
fn reads_that_block_return_at_once_and_those_who_wait_come_after() {
    let broker = Arc::new(Broker::in_memory().unwrap());
    run(&broker, "XGROUP CREATE a g $ MKSTREAM").unwrap();
    let blocked = {
        let broker = Arc::clone(&broker);
        std::thread::spawn(move || run(&broker, "XREADGROUP GROUP g w BLOCK 0 STREAMS a >"))
    };
    while broker.stream("a").unwrap().waiting() == 0 {
        std::thread::yield_now();
    }
    let replies = all(
        &broker,
        &[
            "XREAD BLOCK 0 STREAMS nothing 0",
            "XREADGROUP GROUP g v BLOCK 0 STREAMS a >",
            "XADD a 1-1 n 1",
            "XREADGROUP GROUP g v STREAMS a >",
            "XADD a 1-2 n 1",
            "XDEL a 1-2",
            "XADD a 1-3 n 1",
        ],
    );
    assert_eq!(*replies[0].as_ref().unwrap(), Reply::NullArray);
    assert_eq!(*replies[1].as_ref().unwrap(), Reply::NullArray);
    assert!(matches!(replies[3].as_ref().unwrap(), Reply::Pairs(_)), "nobody who waits is before");
    let entry = Reply::Array(vec![Reply::bulk("1-3"), Reply::Array(vec![Reply::bulk("n"), Reply::bulk("1")])]);
    let got = Reply::Pairs(vec![(Reply::bulk("a"), Reply::Array(vec![entry]))]);
    assert_eq!(blocked.join().unwrap().unwrap(), got);
}

#[test]
fn a_panic_in_the_middle_stops_writing_and_nothing_of_it_is_there_after_opening_again() {
    let disk = SimDisk::new(1);
    let broker = steps(&disk);
    run(&broker, "XADD a 1-1 n 1").unwrap();
    // Before anything is changed it costs nothing.
    catch_unwind(AssertUnwindSafe(|| broker.alone(&[], || panic!("on purpose")))).unwrap_err();
    run(&broker, "XADD a 1-2 n 1").unwrap();
    let panics = || {
        run(&broker, "XADD a 1-3 n 1").unwrap();
        run(&broker, "XADD b 1-1 n 1").unwrap();
        panic!("on purpose")
    };
    catch_unwind(AssertUnwindSafe(|| broker.alone(&[], panics))).unwrap_err();
    assert_eq!(run(&broker, "XADD a 1-4 n 1").unwrap_err().kind(), ErrorKind::WritesStopped);
    assert_eq!(int(run(&broker, "XLEN a")), 2, "what was added is not seen");
    assert_eq!(all(&broker, &["XLEN a"]).pop().map(int), Some(2), "whoever only reads is not told");
    broker.crash();
    disk.restart(Survival::Kill);
    let broker = steps(&disk);
    assert_eq!((int(run(&broker, "XLEN a")), int(run(&broker, "EXISTS b"))), (2, 0));
}

/// As Redis 8.6.3 does: each with what makes the streams before, and whether the watch of `a` is touched.
const WATCHED: &[(&[&str], &str, bool)] = &[
    (&[], "XADD a 1-1 n 1", true),
    (&["XADD a 1-1 n 1"], "XADD a 1-1 n 1", false),
    (&["XADD a 1-1 n 1"], "XADD a NOMKSTREAM 1-2 n 1", true),
    (&[], "XADD a NOMKSTREAM 1-2 n 1", false),
    (&[], "XADD b 1-1 n 1", false),
    (&["XADD a IDMP p i * n 1"], "XADD a IDMP p i * n 1", false),
    (&["XADD a 1-1 n 1"], "XDEL a 1-1", true),
    (&["XADD a 1-1 n 1"], "XDEL a 1-2", false),
    (&["XADD a 1-1 n 1"], "XDELEX a IDS 1 1-1", true),
    (&["XADD a 1-1 n 1"], "XDELEX a IDS 1 1-2", false),
    (&["XADD a 1-1 n 1"], "XTRIM a MAXLEN 0", true),
    (&["XADD a 1-1 n 1"], "XTRIM a MAXLEN 1", false),
    (&["XADD a 1-1 n 1"], "XSETID a 5-1", false),
    (&["XADD a 5-1 n 1", "XADD a 6-1 n 1", "XDEL a 6-1", "XSETID a 7-1"], "XSETID a 6-1", false),
    (&["XADD a 1-1 n 1"], "XCFGSET a IDMP-DURATION 50", false),
    (&["XADD a 1-1 n 1"], "XGROUP CREATE a g 0", false),
    (&[], "XGROUP CREATE a g 0 MKSTREAM", true),
    (&["XGROUP CREATE a g 0 MKSTREAM"], "XGROUP SETID a g 5", false),
    (&["XGROUP CREATE a g 0 MKSTREAM"], "XGROUP DESTROY a g", false),
    (&["XGROUP CREATE a g 0 MKSTREAM"], "XGROUP CREATECONSUMER a g w", false),
    (&["XGROUP CREATE a g 0 MKSTREAM", "XGROUP CREATECONSUMER a g w"], "XGROUP DELCONSUMER a g w", false),
    (&["XGROUP CREATE a g 0 MKSTREAM", "XADD a 1-1 n 1"], "XREADGROUP GROUP g w STREAMS a >", false),
    (PENDING, "XACK a g 1-1", false),
    (PENDING, "XACKDEL a g IDS 1 1-1", true),
    (PENDING, "XACKDEL a g IDS 1 1-2", false),
    (PENDING, "XCLAIM a g v 0 1-1", false),
    (PENDING, "XAUTOCLAIM a g v 0 0", false),
    (PENDING, "XREADGROUP GROUP g w STREAMS a 0", false),
    (&["XADD a 1-1 n 1"], "DEL a", true),
    (&["XADD a 1-1 n 1"], "UNLINK a", true),
    (&[], "DEL a", false),
    (&["XADD a 1-1 n 1"], "RENAME a b", true),
    (&["XADD b 1-1 n 1"], "RENAME b a", true),
    (&["XADD a 1-1 n 1"], "RENAME a a", false),
    (&["XADD a 1-1 n 1", "XADD b 1-1 n 1"], "RENAMENX b a", false),
    (&["XADD a 1-1 n 1"], "RENAMENX a b", true),
    (&["XADD b 1-1 n 1"], "COPY b a", true),
    (&["XADD a 1-1 n 1", "XADD b 1-1 n 1"], "COPY b a", false),
    (&["XADD a 1-1 n 1", "XADD b 1-1 n 1"], "COPY b a REPLACE", true),
    (&["XADD a 1-1 n 1"], "COPY a b", false),
    (&["XADD a 1-1 n 1"], "XLEN a", false),
];

const PENDING: &[&str] = &["XGROUP CREATE a g 0 MKSTREAM", "XADD a 1-1 n 1", "XREADGROUP GROUP g w STREAMS a >"];

#[test]
fn a_watch_is_touched_by_what_touches_it_in_redis() {
    for &(before, words, touched) in WATCHED {
        for alone in [false, true] {
            let broker = Broker::builder().background(false).open_in_memory().unwrap();
            before.iter().for_each(|words| drop(run(&broker, words).unwrap()));
            let (watch, other) = (broker.watch("a").unwrap(), broker.watch("unrelated").unwrap());
            if alone {
                all(&broker, &[words]);
            } else {
                drop(run(&broker, words));
            }
            assert_eq!(watch.is_touched(), touched, "{words} after {before:?}");
            assert!(!other.is_touched());
            let called = broker.alone(&[other, watch], || ()).unwrap();
            assert_eq!(called.is_none(), touched, "{words} after {before:?}");
            let fresh = broker.watch("a").unwrap();
            assert!(broker.alone(&[fresh], || ()).unwrap().is_some());
        }
    }
}

#[test]
fn what_was_added_before_a_watch_began_is_seen_by_whoever_looks_then() {
    let disk = SimDisk::new(1);
    let broker = steps(&disk);
    let (added, _) = broker.owing(|| run(&broker, "XADD a 1-1 n 1"));
    added.unwrap();
    assert_eq!(int(run(&broker, "XLEN a")), 0);
    let watch = broker.watch("a").unwrap();
    assert_eq!(int(run(&broker, "XLEN a")), 1);
    assert!(!watch.is_touched());
}
