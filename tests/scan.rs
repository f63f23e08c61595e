//! A range read one by one is what it is when it is read all at once: forwards and backwards, from memory and segments, around
//! what was deleted.

#![cfg(feature = "simulation")]

use std::ops::RangeInclusive;

use streamlog::{Broker, Id, IdSpec, Result, Stream};

const ENTRIES: u64 = 300;

/// A stream with its first two thirds in segments of a few entries, the rest in memory.
fn stream() -> (Broker, Stream) {
    let builder = Broker::builder().background(false).segment_bytes(2000).cache_bytes(0);
    let broker = builder.open_in_memory().unwrap();
    let stream = broker.stream("s").unwrap();
    for seq in 1..=ENTRIES {
        stream.entry([("n", seq.to_string().repeat(10))]).id(IdSpec::Exact(Id::new(1, seq))).add().unwrap();
        if seq == ENTRIES * 2 / 3 {
            broker.flush_all().unwrap();
        }
    }
    (broker, stream)
}

fn check(stream: &Stream, range: RangeInclusive<u64>, what: &str) {
    let ranged = || stream.range(Id::new(1, *range.start())..=Id::new(1, *range.end()));
    for count in [0, 1, 7, 1000] {
        let forwards: Result<Vec<_>> = ranged().count(count).iter().collect();
        assert_eq!(forwards.unwrap(), ranged().count(count).read().unwrap(), "{what}, {count} of {range:?}");
        let backwards: Result<Vec<_>> = ranged().rev().count(count).iter().collect();
        assert_eq!(
            backwards.unwrap(),
            ranged().rev().count(count).read().unwrap(),
            "{what}, {count} of {range:?}, back"
        );
    }
}

fn check_all(stream: &Stream, what: &str) {
    for range in [
        1..=ENTRIES,
        1..=1,
        40..=60,
        61..=61,
        150..=250,
        290..=ENTRIES,
        0..=2 * ENTRIES,
        400..=500,
        RangeInclusive::new(9, 8),
    ] {
        check(stream, range, what);
    }
}

/// The story: a scan that began where all of a segment was deleted asked for a block of it, and its file had none any more.
#[test]
fn entries_one_by_one_are_those_that_are_read_at_once() {
    let (broker, stream) = stream();
    check_all(&stream, "whole");
    let ids = |range: RangeInclusive<u64>| range.map(|seq| Id::new(1, seq)).collect::<Vec<_>>();
    stream.delete(&ids(1..=1)).unwrap();
    stream.delete(&ids(40..=100)).unwrap();
    stream.delete(&ids(240..=241)).unwrap();
    check_all(&stream, "deleted");
    broker.checkpoint().unwrap();
    check_all(&stream, "hollow");
    stream.delete(&ids(130..=ENTRIES)).unwrap();
    broker.checkpoint().unwrap();
    check_all(&stream, "hollow at the end");
}
