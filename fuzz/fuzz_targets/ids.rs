//! Whatever parses as an ID is written as it was read, up to what may be left out, and sorts as its numbers do. A range of
//! IDs finds the entries whose IDs are in it.

#![no_main]

use std::ops::Bound;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use streamlog::{Broker, Id, IdSpec, ManualClock, Stream};

static STREAM: LazyLock<(Broker, Stream, Vec<Id>)> = LazyLock::new(|| {
    let options = Broker::builder().background(false).clock(ManualClock::at(1_000)).journal_file_bytes(1 << 20);
    let broker = options.segment_bytes(256).open_in_memory().expect("memory has room");
    let stream = broker.stream("orders").expect("it is a name");
    let numbers =
        [(0, 1), (0, 2), (1, 0), (5, u64::MAX), (6, 0), (10, 10), (99, 99), (u64::MAX, 0), (u64::MAX, u64::MAX)];
    let ids = numbers.map(|(ms, seq)| Id::new(ms, seq)).to_vec();
    for &id in &ids {
        stream.entry("text").id(id).add().expect("it is greater than the one before");
    }
    broker.checkpoint().expect("memory has room");
    (broker, stream, ids)
});

fn id(text: &str) -> Option<Id> {
    let parsed = text.parse::<Id>();
    match &parsed {
        Ok(id) => {
            assert_eq!(id.to_string().parse::<Id>().unwrap(), *id);
            assert_eq!(text.parse::<IdSpec>().unwrap(), IdSpec::Exact(*id));
            assert!(id.next().is_none_or(|next| next > *id && next.previous() == Some(*id)));
            assert!(id.previous().is_none_or(|previous| previous < *id && previous.next() == Some(*id)));
        }
        Err(_) => assert!(!matches!(text.parse::<IdSpec>(), Ok(IdSpec::Exact(_)))),
    }
    parsed.ok()
}

/// As `XRANGE` writes it.
fn bound(text: &str) -> Option<Bound<Id>> {
    match (text, text.strip_prefix('(')) {
        ("-" | "+", _) => Some(Bound::Unbounded),
        (_, Some(text)) => id(text).map(Bound::Excluded),
        (text, None) => id(text).map(Bound::Included),
    }
}

fuzz_target!(|text: &str| {
    let (first, last) = text.split_once(' ').unwrap_or((text, "+"));
    let (Some(first), Some(last)) = (bound(first), bound(last)) else { return };
    let (_, stream, ids) = &*STREAM;
    let inside = |id: &&Id| {
        let begun = match first {
            Bound::Included(first) => **id >= first,
            Bound::Excluded(first) => **id > first,
            Bound::Unbounded => true,
        };
        begun
            && match last {
                Bound::Included(last) => **id <= last,
                Bound::Excluded(last) => **id < last,
                Bound::Unbounded => true,
            }
    };
    let expected: Vec<Id> = ids.iter().filter(inside).copied().collect();
    let found = stream.range((first, last)).read().unwrap();
    assert_eq!(found.iter().map(|entry| entry.id).collect::<Vec<_>>(), expected);
    let back = stream.range((first, last)).rev().read().unwrap();
    assert!(back.iter().rev().eq(&found));
});
