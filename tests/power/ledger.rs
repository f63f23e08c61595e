//! The ledger: what the children said, and whether what is there is one prefix of it, with all that was durable.
//!
//! What is there says of most operations whether they happened. One that was told to be durable must have. And if one
//! happened, so must every other that had returned before it began, whatever its level and whichever thread did it.

use std::collections::{BTreeSet, HashMap};

use streamlog::{Broker, Id};

use crate::child::GROUPS;
use crate::entries::Key;
use crate::passing::Passing;
use crate::process::parse_ids;
use crate::seen::{Seen, SeenStream, look};

/// The line that whoever listens hears at the moment of the cut.
pub(crate) const CUT: &str = "cut";

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// What was there when it was last looked.
    before: Seen,
    passing: Passing,
    /// What the child has said since.
    operations: HashMap<u64, Operation>,
    steps: Vec<(usize, Option<usize>)>,
    /// Whether whoever does not say otherwise waits for the disk.
    always: bool,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    cuts: u64,
    returned: u64,
    durable: u64,
    lost: u64,
}

#[derive(Debug)]
struct Operation {
    /// The numbers of the lines that said so.
    begun: usize,
    returned: Option<usize>,
    durable: bool,
    what: What,
    /// What was asked for, or what came of it.
    ids: Vec<Id>,
}

#[derive(Debug)]
enum What {
    Add { stream: String, producer: String, n: u64, count: u64 },
    Fetch { stream: String, group: String },
    Ack { stream: String, group: String },
    Trim { stream: String, before: Id },
    Sync,
    Backup { name: String },
}

/// A backup that a child began.
#[derive(Debug, Clone)]
pub(crate) struct BackupSaid {
    pub(crate) name: String,
    /// The numbers of the lines that said so.
    begun: usize,
    pub(crate) returned: Option<usize>,
}

/// An operation, or a step of the streams that come and go, and whether it happened.
#[derive(Debug)]
struct Told<'a> {
    begun: usize,
    returned: Option<usize>,
    durable: bool,
    happened: Option<bool>,
    #[expect(dead_code, reason = "for whoever reads of a failure")]
    operation: Option<&'a Operation>,
}

/// Of what had returned before something began that happened, everything happened.
fn assert_one_prefix(told: &[Told<'_>]) {
    let Some(last) = told.iter().filter(|told| told.happened == Some(true)).max_by_key(|told| told.begun) else {
        return;
    };
    for told in told.iter().filter(|told| told.returned.is_some_and(|returned| returned < last.begun)) {
        assert!(told.happened != Some(false), "this did not happen: {told:?}; what came later did: {last:?}");
    }
}

impl Operation {
    fn parse(begun: usize, words: &[&str]) -> Operation {
        let owned = |text: &str| text.to_owned();
        let (what, rest) = match words {
            ["add", stream, producer, n, count, rest @ ..] => {
                let (n, count) = (n.parse().unwrap(), count.parse().unwrap());
                (What::Add { stream: owned(stream), producer: owned(producer), n, count }, rest)
            }
            ["fetch", stream, group, rest @ ..] => (What::Fetch { stream: owned(stream), group: owned(group) }, rest),
            ["ack", stream, group, rest @ ..] => (What::Ack { stream: owned(stream), group: owned(group) }, rest),
            ["trim", stream, before, rest @ ..] => {
                (What::Trim { stream: owned(stream), before: before.parse().unwrap() }, rest)
            }
            ["sync", "-", rest @ ..] => (What::Sync, rest),
            ["backup", name, rest @ ..] => (What::Backup { name: owned(name) }, rest),
            _ => panic!("no operation: {words:?}"),
        };
        Operation { begun, returned: None, durable: rest[0] == "d", what, ids: parse_ids(&rest[1..]) }
    }

    /// Whether it happened, as far as can be told.
    fn happened(&self, seen: &Seen) -> Option<bool> {
        match &self.what {
            What::Add { stream, producer, n, .. } => {
                let Some(stream) = seen.get(stream.as_str()) else { return Some(false) };
                match self.ids.last() {
                    Some(&last) => Some(last <= stream.last),
                    None => {
                        let of_this = |key: &Key| key.producer == *producer && key.n == *n;
                        stream.entries.values().any(of_this).then_some(true)
                    }
                }
            }
            What::Fetch { stream, group } => {
                let group = seen.get(stream.as_str()).and_then(|stream| stream.groups.get(group));
                self.all(|id| group.is_some_and(|group| id <= group.delivered))
            }
            What::Ack { stream, group } => {
                let group = seen.get(stream.as_str()).and_then(|stream| stream.groups.get(group));
                self.all(|id| group.is_some_and(|group| group.is_done(id)))
            }
            What::Trim { stream, .. } => {
                let (&first, stream) = (self.ids.first()?, seen.get(stream.as_str())?);
                // What was removed came before the first one left: if that was there, so was this. Where a trim does
                // not wait for the disk it may not be seen yet, and the first one left is of an earlier one.
                let happened = first <= stream.first;
                (first <= stream.last && (self.durable || !happened)).then_some(happened)
            }
            What::Sync | What::Backup { .. } => None,
        }
    }

    /// What is true of all its IDs: an operation happens whole or not at all.
    fn all(&self, is: impl Fn(Id) -> bool) -> Option<bool> {
        let first = is(*self.ids.first()?);
        assert!(self.ids.iter().all(|&id| is(id) == first), "a part of it happened: {self:?}");
        Some(first)
    }
}

impl Ledger {
    pub(crate) fn new(level: &str) -> Ledger {
        Ledger { always: level == "always", ..Ledger::default() }
    }

    /// Takes down what a child said. What it says to have returned after the cut, nobody has heard.
    pub(crate) fn take(&mut self, lines: &[String]) {
        let mut is_cut = false;
        for (number, line) in lines.iter().enumerate() {
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                [CUT] => is_cut = true,
                ["e", ..] | ["P"] if is_cut => {}
                ["b", operation, ref what @ ..] => {
                    self.operations.insert(operation.parse().unwrap(), Operation::parse(number, what));
                }
                ["e", operation, ref ids @ ..] => {
                    let operation = self.operations.get_mut(&operation.parse().unwrap()).unwrap();
                    operation.returned = Some(number);
                    operation.ids.extend(parse_ids(ids));
                }
                // What the test harness says, or an error, or of streams that come and go.
                _ => match self.passing.take(&words) {
                    Some(step) if step == self.steps.len() => self.steps.push((number, None)),
                    Some(step) => self.steps[step].1 = Some(number),
                    None => {}
                },
            }
        }
    }

    /// Compares what was said with what is there.
    pub(crate) fn check(&mut self, broker: Broker) {
        let seen = look(&broker);
        let (steps, _) = self.passing.check(&broker);
        self.check_prefix(&seen, steps);
        self.check_streams(&seen);
        broker.close().unwrap();
        self.before = seen;
        self.operations.clear();
        self.steps.clear();
    }

    /// The backups begun since the last check.
    pub(crate) fn backups(&self) -> Vec<BackupSaid> {
        let backups = self.operations.values().filter_map(|operation| match &operation.what {
            What::Backup { name } => {
                Some(BackupSaid { name: name.clone(), begun: operation.begun, returned: operation.returned })
            }
            _ => None,
        });
        backups.collect()
    }

    /// Compares a backup with what was said: all is there that had returned before it began, and nothing that came after.
    pub(crate) fn check_backup(&self, broker: Broker, backup: &BackupSaid) {
        let seen = look(&broker);
        let (steps, _) = self.passing.clone().check(&broker);
        let told = self.told(&seen, steps);
        let before = told.iter().filter(|told| told.returned.is_some_and(|returned| returned < backup.begun));
        for told in before {
            assert!(told.happened != Some(false), "{backup:?} lacks what came before: {told:?}");
        }
        for told in told.iter().filter(|told| backup.returned.is_some_and(|returned| told.begun > returned)) {
            assert!(told.happened != Some(true), "{backup:?} has what came after: {told:?}");
        }
        assert_one_prefix(&told);
        self.check_streams(&seen);
        broker.close().unwrap();
    }

    /// All that was told, and whether it happened.
    fn told(&self, seen: &Seen, steps: usize) -> Vec<Told<'_>> {
        let operations = self.operations.values().map(|operation| {
            let &Operation { begun, returned, durable, .. } = operation;
            Told { begun, returned, durable, happened: operation.happened(seen), operation: Some(operation) }
        });
        let passed = self.steps.iter().enumerate().map(|(step, &(begun, returned))| Told {
            begun,
            returned,
            durable: self.always,
            happened: Some(step < steps),
            operation: None,
        });
        operations.chain(passed).collect()
    }

    fn check_prefix(&mut self, seen: &Seen, steps: usize) {
        let mut told = self.told(seen, steps);
        let mut counts = Counts::default();
        for told in told.iter_mut().filter(|told| told.returned.is_some()) {
            let lost = told.happened == Some(false);
            assert!(!lost || !told.durable, "it was durable and did not happen: {told:?}");
            counts.returned += 1;
            counts.durable += u64::from(told.durable);
            counts.lost += u64::from(lost);
            // What was told to be durable, and says nothing of itself, was told so of all that came before.
            told.happened = told.happened.or(told.durable.then_some(true));
        }
        assert_one_prefix(&told);
        self.counts.cuts += 1;
        self.counts.returned += counts.returned;
        self.counts.durable += counts.durable;
        self.counts.lost += counts.lost;
    }

    fn check_streams(&self, seen: &Seen) {
        for (name, stream) in &self.before {
            let now = seen.get(name).unwrap_or_else(|| panic!("{name} is gone"));
            assert!(now.last >= stream.last, "{name}: the last ID went back");
            self.check_old_entries(name, stream, now);
        }
        for (name, stream) in seen {
            self.check_new_entries(name, stream);
            self.check_groups(name, stream);
        }
    }

    fn trimmed_before(&self, name: &str) -> Id {
        let trims = self.operations.values().filter_map(|operation| match &operation.what {
            What::Trim { stream, before } if stream == name => Some(*before),
            _ => None,
        });
        trims.max().unwrap_or(Id::MIN)
    }

    /// The entries whose acknowledgement was begun.
    fn acknowledged(&self, name: &str, of: &str) -> BTreeSet<Id> {
        let ids = self.operations.values().filter_map(|operation| match &operation.what {
            What::Ack { stream, group } if stream == name && group == of => Some(&operation.ids),
            _ => None,
        });
        ids.flatten().copied().collect()
    }

    /// Entries that were there are there still, or were trimmed after everybody had acknowledged them.
    fn check_old_entries(&self, name: &str, before: &SeenStream, now: &SeenStream) {
        for (id, key) in before.entries.range(now.first..) {
            assert_eq!(now.entries.get(id), Some(key), "{name}: {id} was there");
        }
        let trimmed = before.entries.keys().filter(|id| **id < now.first).copied();
        self.check_trimmed(name, trimmed);
    }

    fn check_trimmed(&self, name: &str, trimmed: impl Iterator<Item = Id>) {
        let trimmed_before = self.trimmed_before(name);
        let acknowledged = GROUPS.map(|group| (group, self.acknowledged(name, group)));
        for id in trimmed {
            assert!(id < trimmed_before, "{name}: {id} is gone and nobody trimmed it");
            for (group, acknowledged) in &acknowledged {
                let before = self.before.get(name).and_then(|stream| stream.groups.get(*group));
                let done = acknowledged.contains(&id) || before.is_some_and(|group| group.is_done(id));
                assert!(done, "{name}: {id} was trimmed and {group} had not acknowledged it");
            }
        }
    }

    /// Each entry was there before or was added since, and what was added and happened is there.
    fn check_new_entries(&self, name: &str, now: &SeenStream) {
        let mut unexplained = now.entries.clone();
        let mut trimmed: Vec<Id> = Vec::new();
        if let Some(before) = self.before.get(name) {
            unexplained.retain(|id, _| !before.entries.contains_key(id));
            assert!(unexplained.keys().all(|id| *id > before.last), "{name}: new entries have new IDs");
        }
        for operation in self.operations.values() {
            let What::Add { stream, producer, n, count } = &operation.what else { continue };
            if stream != name {
                continue;
            }
            if operation.returned.is_none() {
                unexplained.retain(|_, key| key.producer != *producer || key.n != *n);
            }
            trimmed.extend(operation.ids.iter().filter(|id| **id < now.first && **id <= now.last));
            for (index, &id) in (0..).zip(&operation.ids).filter(|(_, id)| **id >= now.first && **id <= now.last) {
                let key = Key { producer: producer.clone(), n: *n, index, count: *count };
                assert_eq!(unexplained.remove(&id), Some(key), "{name}: {id} was added");
            }
        }
        self.check_trimmed(name, trimmed.into_iter());
        assert!(unexplained.is_empty(), "{name}: nobody added {unexplained:?}");
    }

    /// What was acknowledged stays so, and what was delivered is acknowledged or pending.
    fn check_groups(&self, name: &str, now: &SeenStream) {
        let before = self.before.get(name).map(|stream| &stream.groups);
        for group in before.into_iter().flat_map(|groups| groups.keys()) {
            assert!(now.groups.contains_key(group), "{name}/{group} is gone");
        }
        for (group_name, group) in &now.groups {
            let place = format!("{name}/{group_name}");
            let begun = self.acknowledged(name, group_name);
            let before = before.and_then(|groups| groups.get(group_name));
            assert!(before.is_none_or(|before| group.delivered >= before.delivered), "{place}: the cursor went back");
            let done = |id: Id| before.is_some_and(|before| before.is_done(id));
            for id in &group.pending {
                assert!(!done(*id), "{place}: {id} was acknowledged and is pending");
            }
            for id in now.entries.range(..=group.delivered).map(|(&id, _)| id) {
                let known = group.pending.contains(&id) || done(id) || begun.contains(&id);
                assert!(known, "{place}: {id} was passed by and nobody has it");
            }
            for operation in self.operations.values() {
                match &operation.what {
                    What::Fetch { stream, group } if stream == name && group == group_name => {
                        let again = operation.ids.iter().find(|id| done(**id));
                        assert_eq!(again, None, "{place}: acknowledged and delivered again");
                    }
                    _ => {}
                }
            }
        }
    }

    /// Nothing would have been shown if nothing had happened, or nothing had been lost.
    pub(crate) fn assert_worth_it(&self) {
        let Counts { cuts, returned, durable, lost } = self.counts;
        eprintln!("{cuts} power cuts, {returned} operations returned, {durable} of them durable, {lost} lost");
        assert!(returned > cuts * 10 && durable > 0);
        assert!(self.always || lost > 0, "nothing was ever lost: was the power cut?");
    }
}
