//! The entries that children add: each says of which add it is, so that a torn batch and foreign bytes are seen.

use std::collections::BTreeMap;

use streamlog::{Id, Stream};

use crate::process::value;

/// An entry's key: its producer, the number of the add, its index in the batch and how many that has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) producer: String,
    pub(crate) n: u64,
    pub(crate) index: u64,
    pub(crate) count: u64,
}

impl Key {
    fn parse(text: &str) -> Key {
        let parts: Vec<_> = text.split('.').collect();
        let [producer, n, index, count] = parts[..] else { panic!("no key: {text}") };
        let number = |text: &str| text.parse().unwrap();
        Key { producer: producer.to_owned(), n: number(n), index: number(index), count: number(count) }
    }
}

/// All entries, each with the value that belongs to its key.
pub(crate) fn read(stream: &Stream) -> BTreeMap<Id, Key> {
    let mut found = BTreeMap::new();
    let mut last = Id::MIN;
    for entry in stream.range(..) {
        let entry = entry.unwrap();
        assert!(entry.id > last, "{}: {} after {last}", stream.name(), entry.id);
        last = entry.id;
        let key = entry.text("key").unwrap();
        assert!(entry.get("value") == Some(&value(key)), "{}: {} has other bytes", stream.name(), entry.id);
        assert_eq!(entry.len(), 2);
        found.insert(entry.id, Key::parse(key));
    }
    found
}

/// A batch is whole, but for what was trimmed at the stream's beginning, and nothing came in between.
pub(crate) fn check_batches(name: &str, found: &BTreeMap<Id, Key>) {
    let mut before: Option<&Key> = None;
    for (id, key) in found {
        let follows = match before {
            Some(before) if before.index + 1 < before.count => {
                *key == Key { index: before.index + 1, ..before.clone() }
            }
            Some(_) => key.index == 0,
            None => true,
        };
        assert!(follows, "{name}: a batch is torn at {id}: {key:?} after {before:?}");
        before = Some(key);
    }
    assert!(before.is_none_or(|last| last.index + 1 == last.count), "{name}: the last batch is torn: {before:?}");
}
