//! The ledger: what the children said, and whether a directory agrees with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use streamlog::{Broker, Id, Stream};

use crate::child::{GROUPS, STREAMS};
use crate::entries::{Key, check_batches, read};
use crate::passing::Passing;
use crate::process::parse_ids;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    streams: HashMap<String, StreamBook>,
    passing: Passing,
    /// How many adds of each producer are known to have happened.
    adds: HashMap<String, u64>,
    checks: u64,
    entries: u64,
    acks: u64,
    /// Entries that were there, or deliveries and acknowledgements that had happened, though nobody had said so.
    unsaid: u64,
    /// Streams that came and went took so many steps.
    passed: u64,
}

#[derive(Debug, Default)]
struct StreamBook {
    added: BTreeMap<Id, Key>,
    /// The last ID known before this run: whatever is added in it has a greater one.
    last_id: Id,
    /// Nothing before this is there.
    trimmed_before: Id,
    /// What is acknowledged before this may be gone.
    trim_wanted: Id,
    groups: HashMap<String, GroupBook>,
}

#[derive(Debug, Default)]
struct GroupBook {
    /// Each entry delivered and not known to be acknowledged: to whom, and how often.
    delivered: BTreeMap<Id, (String, u32)>,
    /// Those of them whose acknowledgement was begun.
    wanted: BTreeSet<Id>,
    acked: BTreeSet<Id>,
}

impl Ledger {
    pub(crate) fn begin_run(&mut self) {
        for book in self.streams.values_mut() {
            let last = book.added.last_key_value().map_or(Id::MIN, |(&id, _)| id);
            book.last_id = book.last_id.max(last);
        }
    }

    /// Takes down what a child said.
    pub(crate) fn take(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["!", ..] => panic!("the child failed: {line}"),
            ["+", stream, producer, n, count, ref ids @ ..] => self.take_added(stream, producer, n, count, ids),
            [">", stream, group, consumer, ref ids @ ..] => self.group(stream, group).take_delivered(consumer, ids),
            ["a", stream, group, ref ids @ ..] => self.group(stream, group).wanted.extend(parse_ids(ids)),
            ["A", stream, group, ref ids @ ..] => {
                self.acks += ids.len() as u64;
                self.group(stream, group).take_acked(&parse_ids(ids));
            }
            ["t", stream, id] => {
                let book = self.stream(stream);
                book.trim_wanted = book.trim_wanted.max(id.parse().unwrap());
            }
            ["T", stream, id] => {
                let book = self.stream(stream);
                book.trimmed_before = book.trimmed_before.max(id.parse().unwrap());
            }
            // What the test harness says, or of streams that come and go.
            _ => drop(self.passing.take(&words)),
        }
    }

    fn stream(&mut self, name: &str) -> &mut StreamBook {
        self.streams.entry(name.to_owned()).or_default()
    }

    fn group(&mut self, stream: &str, group: &str) -> &mut GroupBook {
        self.stream(stream).groups.entry(group.to_owned()).or_default()
    }

    fn take_added(&mut self, stream: &str, producer: &str, n: &str, count: &str, ids: &[&str]) {
        let ids = parse_ids(ids);
        let (n, count): (u64, u64) = (n.parse().unwrap(), count.parse().unwrap());
        assert_eq!(ids.len() as u64, count);
        assert!(ids.is_sorted_by(|a, b| a < b), "IDs of a batch grow: {ids:?}");
        let adds = self.adds.entry(producer.to_owned()).or_default();
        assert_eq!(*adds, n, "each add of a producer is said once, in order");
        *adds += 1;
        self.entries += count;
        let book = self.stream(stream);
        for (index, &id) in (0..).zip(&ids) {
            assert!(id > book.last_id, "{stream}: the new ID {id} is not greater than {} from before", book.last_id);
            let old = book.added.insert(id, Key { producer: producer.to_owned(), n, index, count });
            assert_eq!(old, None, "{stream}: {id} was given twice");
        }
    }

    /// Compares what was said with what is there, and takes down what had happened unsaid.
    pub(crate) fn check(&mut self, broker: Broker) {
        self.checks += 1;
        for name in STREAMS {
            let stream = broker.stream(name).unwrap();
            if stream.exists() {
                self.check_stream(&stream);
            } else {
                let book = self.stream(name);
                assert!(book.added.is_empty() && book.groups.is_empty(), "{name} is gone");
            }
        }
        let (happened, returned) = self.passing.check(&broker);
        assert!(
            happened >= returned,
            "of the streams that come and go {happened} steps are there, {returned} returned"
        );
        self.passed += happened as u64;
        broker.close().unwrap();
    }

    fn check_stream(&mut self, stream: &Stream) {
        let name = stream.name();
        let info = stream.info().unwrap();
        let first = info.first_id.unwrap_or(Id::MAX);
        let found = read(stream);
        assert_eq!(found.len() as u64, info.length, "{name}");
        let book = self.streams.entry(name.to_owned()).or_default();
        assert!(first >= book.trimmed_before, "{name}: {first} was trimmed and is back");
        for (id, key) in &book.added {
            if *id >= first {
                assert_eq!(found.get(id), Some(key), "{name}: {id} was added");
            } else {
                assert!(*id < book.trim_wanted, "{name}: {id} is gone and nobody trimmed it");
                let done = |group: &GroupBook| group.acked.contains(id) || group.wanted.contains(id);
                let done = GROUPS.iter().all(|group| book.groups.get(*group).is_some_and(done));
                assert!(done, "{name}: {id} was trimmed and not every group had acknowledged it");
            }
        }
        let unsaid: Vec<_> = found.iter().filter(|(id, _)| !book.added.contains_key(id)).collect();
        for (id, key) in unsaid {
            assert!(*id > book.last_id, "{name}: {id} appeared among the old ones");
            let adds = self.adds.entry(key.producer.clone()).or_default();
            if key.index == 0 || *id == first {
                assert_eq!(*adds, key.n, "{name}: {id} is of an add before which one is missing");
            }
            if key.index + 1 == key.count {
                *adds += 1;
            }
            self.unsaid += 1;
        }
        check_batches(name, &found);
        assert!(info.last_id >= book.last_id, "{name}: the last ID went back");
        book.last_id = info.last_id;
        book.added = found;
        for group in stream.groups().unwrap() {
            let book = book.groups.entry(group.name.clone()).or_default();
            self.unsaid += book.check(stream, &group);
            book.acked.retain(|&id| id >= first);
        }
        let groups = stream.groups().unwrap().len();
        assert!(book.groups.len() <= groups, "{name}: a group is gone");
        let all: BTreeSet<Id> = book.added.keys().copied().collect();
        for group in stream.groups().unwrap() {
            let book = &book.groups[&group.name];
            for id in all.range(..=group.last_delivered_id) {
                let known = book.acked.contains(id) || book.delivered.contains_key(id);
                assert!(known, "{name}/{}: {id} was passed by and nobody got it", group.name);
            }
        }
    }

    /// Nothing would have been shown if nothing had happened.
    pub(crate) fn assert_worth_it(&self) {
        let Ledger { checks, entries, acks, unsaid, passed, .. } = self;
        eprintln!(
            "{checks} checks, {entries} entries, {acks} acknowledgements, {passed} steps of streams that come and go, \
             {unsaid} things unsaid"
        );
        assert!(*entries > *checks && *acks > *checks && *passed > *checks);
    }
}

impl GroupBook {
    fn take_delivered(&mut self, consumer: &str, words: &[&str]) {
        for word in words {
            let (id, count) = word.split_once('*').unwrap();
            let (id, count): (Id, u32) = (id.parse().unwrap(), count.parse().unwrap());
            assert!(!self.acked.contains(&id), "{id} was acknowledged and is delivered again");
            let old = self.delivered.insert(id, (consumer.to_owned(), count));
            if let Some((owner, before)) = old {
                assert!(owner == consumer, "{id} was delivered to {owner} and to {consumer}");
                assert!(count > before, "{id} was delivered to {consumer} for the {count}th time twice");
            }
        }
    }

    fn take_acked(&mut self, ids: &[Id]) {
        for id in ids {
            self.wanted.remove(id);
            self.delivered.remove(id);
            self.acked.insert(*id);
        }
    }

    /// Compares the book with the group; returns how much had happened unsaid.
    fn check(&mut self, stream: &Stream, info: &streamlog::GroupInfo) -> u64 {
        let mut unsaid = 0;
        let place = format!("{}/{}", stream.name(), info.name);
        let group = stream.group(&info.name).existing().unwrap();
        let rows = group.pending_range(..).read().unwrap();
        assert_eq!(rows.len() as u64, info.pending, "{place}");
        let pending: BTreeMap<Id, _> = rows.into_iter().map(|row| (row.id, (row.consumer, row.deliveries))).collect();
        for (id, (consumer, count)) in std::mem::take(&mut self.delivered) {
            assert!(id <= info.last_delivered_id, "{place}: {id} was delivered and would be again");
            match pending.get(&id) {
                Some((owner, deliveries)) => {
                    assert_eq!(*owner, consumer, "{place}: {id} is pending with another");
                    assert!(*deliveries >= count, "{place}: {id} was delivered {count} times, not {deliveries}");
                }
                None => {
                    assert!(self.wanted.contains(&id), "{place}: {id} was delivered and is not pending");
                    self.acked.insert(id);
                    unsaid += 1;
                }
            }
        }
        self.wanted.clear();
        for (id, row) in pending {
            assert!(id <= info.last_delivered_id, "{place}: {id} is pending and was never delivered");
            assert!(!self.acked.contains(&id), "{place}: {id} was acknowledged and is pending");
            self.delivered.insert(id, row);
        }
        unsaid
    }
}
