//! Which streams there are (`KEYS`, `SCAN`, `DBSIZE`), and none of them any more (`DEL`, `FLUSHALL`).

#![cfg(feature = "simulation")]

use std::collections::BTreeSet;
use std::time::Duration;

use streamlog::command::{Command, Reply, parse_error_text};
use streamlog::sim::{SimDisk, Survival};
use streamlog::{Broker, ManualClock};

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

fn run(broker: &Broker, text: &str) -> Reply {
    broker.execute(&Command::parse(&words(text)).unwrap()).unwrap()
}

fn refusal(text: &str) -> String {
    parse_error_text(&Command::parse(&words(text)).unwrap_err())
}

/// The names in an array.
fn names(reply: Reply) -> Vec<String> {
    let Reply::Array(names) = reply else { panic!("{reply:?}") };
    let text = |name| if let Reply::Bulk(name) = name { String::from_utf8(name).unwrap() } else { panic!("{name:?}") };
    names.into_iter().map(text).collect()
}

/// One step of a scan: where to go on, and the names.
fn scan(broker: &Broker, cursor: &str, more: &str) -> (String, Vec<String>) {
    let Reply::Array(reply) = run(broker, format!("SCAN {cursor} {more}").trim()) else { panic!() };
    let [Reply::Bulk(cursor), found] = <[Reply; 2]>::try_from(reply).unwrap() else { panic!() };
    (String::from_utf8(cursor).unwrap(), names(found))
}

fn scan_all(broker: &Broker, more: &str, mut meanwhile: impl FnMut(usize)) -> (Vec<String>, usize) {
    let (mut found, mut steps, mut cursor) = (Vec::new(), 0, "0".to_owned());
    loop {
        let (next, names) = scan(broker, &cursor, more);
        found.extend(names);
        steps += 1;
        if next == "0" {
            return (found, steps);
        }
        meanwhile(steps);
        cursor = next;
    }
}

#[test]
fn names_are_found_by_pattern_and_counted_but_for_the_brokers_own() {
    let broker = Broker::in_memory().unwrap();
    assert_eq!(run(&broker, "DBSIZE"), Reply::Int(0));
    assert_eq!(run(&broker, "KEYS *"), Reply::Array(Vec::new()));
    for name in ["hello", "hallo", "hxllo", "other"] {
        run(&broker, &format!("XADD {name} * n 1"));
    }
    let reminders = broker.stream("other").unwrap();
    reminders.entry([("n", "2")]).delay(Duration::from_secs(3600)).schedule().unwrap();
    assert_eq!(names(run(&broker, "KEYS h[ae]llo")), ["hallo", "hello"]);
    assert_eq!(names(run(&broker, "KEYS *")).len(), 4);
    assert_eq!(run(&broker, "DBSIZE"), Reply::Int(4));
    let (found, _) = scan_all(&broker, "COUNT 1", |_| ());
    assert_eq!(found.len(), 4);
    assert_eq!(scan_all(&broker, "MATCH h?llo COUNT 2 TYPE STREAM", |_| ()).0.len(), 3);
    assert!(scan_all(&broker, "TYPE list", |_| ()).0.is_empty());
    assert_eq!(scan(&broker, "18446744073709551615", ""), ("0".to_owned(), Vec::new()));
}

#[test]
fn what_is_wrong_is_said_as_redis_says_it() {
    let syntax = "ERR syntax error";
    for (words, text) in [
        ("SCAN", "ERR wrong number of arguments for 'scan' command"),
        ("SCAN x", "ERR invalid cursor"),
        ("SCAN -1", "ERR invalid cursor"),
        ("SCAN 18446744073709551616", "ERR invalid cursor"),
        ("SCAN 0 COUNT", syntax),
        ("SCAN 0 COUNT 0", syntax),
        ("SCAN 0 COUNT x", "ERR value is not an integer or out of range"),
        ("SCAN 0 NOVALUES", "ERR NOVALUES option can only be used in HSCAN"),
        ("SCAN 0 BOGUS 1", syntax),
        ("KEYS", "ERR wrong number of arguments for 'keys' command"),
        ("KEYS a b", "ERR wrong number of arguments for 'keys' command"),
        ("DBSIZE x", "ERR wrong number of arguments for 'dbsize' command"),
        ("FLUSHALL x", syntax),
        ("FLUSHDB SYNC x", syntax),
    ] {
        assert_eq!(refusal(words), text, "{words}");
    }
}

#[test]
fn a_scan_meets_every_name_that_is_there_all_the_time_whatever_else_happens() {
    let disk = SimDisk::new(1);
    let mut broker = Broker::builder().background(false).open_on(disk.storage()).unwrap();
    for n in 0..200 {
        run(&broker, &format!("XADD stays-{n} 1-1 n 1"));
        run(&broker, &format!("XADD goes-{n} 1-1 n 1"));
    }
    let mut lives = 0;
    let (mut found, mut cursor, mut step) = (BTreeSet::new(), "0".to_owned(), 0);
    loop {
        let (next, names) = scan(&broker, &cursor, "COUNT 7");
        found.extend(names);
        if next == "0" {
            break;
        }
        cursor = next;
        // Another stream gets a name that is there all the time.
        run(&broker, &format!("RENAME goes-{step} stays-{step}"));
        run(&broker, &format!("COPY stays-{step} stays-{} REPLACE", 199 - step));
        run(&broker, &format!("XADD new-{step} 1-1 n 1"));
        step += 1;
        if step % 20 == 0 {
            lives += 1;
            broker.close().unwrap();
            broker = Broker::builder().background(false).open_on(disk.storage()).unwrap();
        }
    }
    assert!(lives > 1 && step > 40, "{lives} lives, {step} steps");
    assert!((0..200).all(|n| found.contains(&format!("stays-{n}"))));
}

#[test]
fn a_flush_is_one_record_and_what_was_to_be_added_later_is_dropped() {
    for survival in [Survival::Nothing, Survival::Kill] {
        let (disk, clock) = (SimDisk::new(1), ManualClock::at(1000));
        let open = || Broker::builder().background(false).clock(clock.clone()).open_on(disk.storage()).unwrap();
        let broker = open();
        for n in 0..50 {
            run(&broker, &format!("XADD s{n} 1-1 n 1"));
        }
        let late = broker.stream("s0").unwrap().entry([("n", "2")]).delay(Duration::from_secs(5)).schedule().unwrap();
        assert_eq!(run(&broker, "FLUSHALL ASYNC"), Reply::OK);
        assert_eq!(run(&broker, "DBSIZE"), Reply::Int(0));
        run(&broker, "XADD s0 1-1 n 1");
        broker.crash();
        disk.restart(survival);
        let broker = open();
        assert_eq!(names(run(&broker, "KEYS *")), ["s0"]);
        clock.advance(Duration::from_secs(6));
        while broker.due_step().unwrap() > 0 {}
        assert_eq!(run(&broker, "XLEN s0"), Reply::Int(1));
        assert!(!late.cancel().is_ok_and(|cancelled| cancelled));
        assert_eq!(broker.schedule_size().unwrap().0, 0);
    }
}

/// Stopped anywhere in it, a deletion of many is done or it is not.
#[test]
fn many_streams_are_deleted_together_or_not_at_all() {
    let mut seen = BTreeSet::new();
    for after in 0..12 {
        let disk = SimDisk::new(after);
        let broker = Broker::builder().background(false).open_on(disk.storage()).unwrap();
        for name in ["a", "b", "c"] {
            run(&broker, &format!("XADD {name} 1-1 n 1"));
        }
        disk.crash_at(disk.operations() + after);
        let _ = broker.execute(&Command::parse(&["DEL", "a", "b", "c", "nothing"]).unwrap());
        broker.crash();
        disk.restart(Survival::Sectors(after));
        let broker = Broker::builder().background(false).open_on(disk.storage()).unwrap();
        seen.insert(broker.streams().unwrap().len());
    }
    assert_eq!(seen, BTreeSet::from([0, 3]));
}
