//! What streams, groups and consumers do, in as few words as possible: maps of entries and of what is pending. Written from the
//! rules of Redis Streams, and believed because it is small.
//!
//! Takes from the library its words for commands and replies, and none of its rules. Knows nothing of logs, segments, journals,
//! threads or durability: an operation happens or does not, and what happened stays.

mod commands;
mod entries;
mod group;
mod info;
mod producers;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use streamlog::command::{Command, Delivered as DeliveredAt, XAutoClaim, XClaim, XReadGroup};
use streamlog::{ErrorKind, GroupStart, Id, IdSpec, StartAt, Trim};

use self::group::{Asking, HowToClaim, Worker, counted};
pub(crate) use self::group::{Consumer, Group};
pub(crate) use self::stream::{Stream, next_id};
use super::operation::{Delivered, Fields, Operation, Outcome, Own};
use super::schedule::Schedule;

/// A broker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) now_ms: u64,
    pub(crate) streams: BTreeMap<String, Stream>,
    pub(crate) schedule: Schedule,
    workers: BTreeMap<[String; 3], Worker>,
    /// Counts deliveries and handles made: tells which came first.
    moment: u64,
}

type Attempt<T> = Result<T, ErrorKind>;

impl Model {
    /// An empty broker at this time.
    pub(crate) fn at(now_ms: u64) -> Model {
        Model { now_ms, ..Model::default() }
    }

    pub(crate) fn apply(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::Redis(command) => Outcome::Redis(self.execute(command)),
            Operation::All(commands) => Outcome::All(commands.iter().map(|command| self.execute(command)).collect()),
            Operation::Own(own) => self.own(own).unwrap_or_else(Outcome::Error),
        }
    }

    /// The handles are gone: the broker was closed, or crashed.
    pub(crate) fn forget_handles(&mut self) {
        self.workers.clear();
    }

    /// What a checkpoint wrote no crash can forget.
    pub(crate) fn checkpointed(&mut self) {
        self.consumers().for_each(|(_, consumer)| consumer.seen_before_ms.clear());
    }

    /// Every consumer, with the names of its stream, its group and itself.
    pub(crate) fn consumers(&mut self) -> impl Iterator<Item = ([&String; 3], &mut Consumer)> {
        self.streams.iter_mut().flat_map(|(stream, state)| {
            state.groups.iter_mut().flat_map(move |(group, state)| {
                state.consumers.iter_mut().map(move |(name, consumer)| ([stream, group, name], consumer))
            })
        })
    }

    fn own(&mut self, own: &Own) -> Attempt<Outcome> {
        let now_ms = self.now_ms;
        Ok(match own {
            Own::SetClock(now_ms) => {
                self.now_ms = *now_ms;
                Outcome::Done
            }
            Own::ApplyRetention => {
                self.streams.values_mut().for_each(|stream| stream.apply_retention(now_ms));
                Outcome::Done
            }
            Own::AddDue => Outcome::Count(self.add_due()),
            Own::Create(name) => {
                let created = !self.streams.contains_key(name);
                self.streams.entry(name.clone()).or_default();
                Outcome::Flag(created)
            }
            Own::AddBatch { stream, entries, trim } => Outcome::Ids(self.add(stream, entries, *trim)?),
            Own::SetRetention(name, retention) => {
                self.streams.entry(name.clone()).or_default().retention = *retention;
                Outcome::Done
            }
            Own::Delay { stream, due_ms, fields } => {
                self.streams.entry(stream.clone()).or_default();
                Outcome::Scheduled(self.schedule.add(stream, *due_ms, fields, now_ms))
            }
            Own::Cancel(name, id) => {
                self.streams.get(name).ok_or(ErrorKind::NoSuchStream)?;
                Outcome::Flag(self.schedule.cancel(name, *id))
            }
            Own::Ensure { names, start } => {
                self.make_group(names.each_ref(), *start, None);
                Outcome::Done
            }
            Own::Nack { nack, delay_ms } => Outcome::Count(self.nack(nack, *delay_ms)?),
            Own::Fetch { names, count, claim_idle_ms } => {
                let fetch = |asking: &mut Asking<'_>, worker: &mut Worker| asking.fetch(worker, *count, *claim_idle_ms);
                let (delivered, worker) = self.ask(names.each_ref(), fetch)?;
                self.workers.insert(names.clone(), worker);
                Outcome::Messages(delivered, Id::MIN)
            }
            Own::ByHandle(Command::XReadGroup(read)) => {
                let (name, start) = &read.streams[0];
                let all = usize::MAX;
                Outcome::Messages(self.read_group(read, name, *start, read.claim, all)?, Id::MIN)
            }
            Own::ByHandle(Command::XClaim(claim)) => Outcome::Messages(self.claim(claim)?, Id::MIN),
            Own::ByHandle(Command::XAutoClaim(XAutoClaim { count: 0, .. })) => {
                return Err(ErrorKind::InvalidArgument);
            }
            Own::ByHandle(Command::XAutoClaim(claim)) => {
                let (claimed, next) = self.auto_claim(claim)?;
                Outcome::Messages(claimed, next)
            }
            Own::ByHandle(other) => unreachable!("{other:?} says all there is to say"),
        })
    }

    /// Adds what is due, of each stream all or none; returns how many entries that was about.
    fn add_due(&mut self) -> u64 {
        let due = self.schedule.take_due(self.now_ms);
        let names: BTreeSet<&String> = due.iter().filter_map(|(_, waiting)| waiting.stream.as_ref()).collect();
        for name in names {
            let theirs = due.iter().filter(|(_, waiting)| waiting.stream.as_ref() == Some(name));
            let entries: Vec<_> = theirs.clone().map(|(_, waiting)| (IdSpec::Auto, waiting.fields.clone())).collect();
            if self.add(name, &entries, None).is_err() {
                theirs.for_each(|(id, waiting)| self.schedule.put_off(*id, waiting, self.now_ms));
            }
        }
        due.len() as u64
    }

    /// Adds all or none; an error leaves everything as it was, and creates no stream.
    fn add(&mut self, name: &str, entries: &[(IdSpec, Fields)], trim: Option<Trim>) -> Attempt<Vec<Id>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        if entries.iter().any(|(id, _)| *id == IdSpec::Exact(Id::MIN)) {
            return Err(ErrorKind::InvalidId);
        }
        let mut stream = self.streams.get(name).cloned().unwrap_or_default();
        let mut ids = Vec::new();
        for (id, fields) in entries {
            let id = next_id(*id, stream.last_id, self.now_ms)?;
            stream.entries.insert(id, fields.clone());
            stream.entries_added += 1;
            stream.last_id = id;
            ids.push(id);
        }
        if let Some(trim) = trim {
            stream.trim(trim, self.now_ms);
        }
        self.streams.insert(name.to_owned(), stream);
        Ok(ids)
    }

    /// A group, and its stream.
    fn group(&mut self, stream: &str, group: &str) -> Attempt<&mut Group> {
        let stream = self.streams.get_mut(stream).ok_or(ErrorKind::NoSuchGroup)?;
        stream.groups.get_mut(group).ok_or(ErrorKind::NoSuchGroup)
    }

    /// Creates a group if there is none; returns whether there was none.
    fn make_group(&mut self, [stream, group]: [&String; 2], start: StartAt, entries_read: Option<u64>) -> bool {
        let stream = self.streams.entry(stream.clone()).or_default();
        let cursor = stream.resolve(start);
        let entries_read = entries_read.map(|read| read.min(stream.entries_added));
        let created = !stream.groups.contains_key(group);
        stream.groups.entry(group.clone()).or_insert(Group { cursor, entries_read, ..Group::default() });
        created
    }

    fn nack(&mut self, nack: &streamlog::command::XNack, delay_ms: u64) -> Attempt<u64> {
        let now_ms = self.now_ms;
        self.group(&nack.key, &nack.group)?;
        let stream = self.streams.get_mut(&nack.key).expect("it has the group");
        let group = stream.groups.get_mut(&nack.group).expect("it was just found");
        let entries = &stream.entries;
        let is_released = |id: &&Id| group.release(**id, nack, now_ms, delay_ms, entries.contains_key(id));
        Ok(nack.ids.iter().filter(is_released).count() as u64)
    }

    /// Reads one stream; at most so many entries, whatever else is said.
    fn read_group(
        &mut self,
        read: &XReadGroup,
        stream: &String,
        start: GroupStart,
        claim: Option<Duration>,
        most: usize,
    ) -> Attempt<Delivered> {
        let count = usize::try_from(read.limits.count.unwrap_or(u64::MAX)).unwrap().min(most);
        let read_one = |asking: &mut Asking<'_>, _: &mut Worker| match start {
            GroupStart::PendingAfter(after) => asking.history(after, count),
            GroupStart::New => {
                let mut delivered = Delivered::default();
                if claim.is_some() {
                    asking.take_due(count, claim.map(millis), false, &mut delivered);
                }
                asking.read_new(count, read.no_ack, &mut delivered);
                delivered
            }
        };
        Ok(self.ask([stream, &read.group, &read.consumer], read_one)?.0)
    }

    fn claim(&mut self, claim: &XClaim) -> Attempt<Delivered> {
        let now_ms = self.now_ms;
        let how = HowToClaim {
            force: claim.force,
            delivered_ms: claim.delivered.map(|delivered| match delivered {
                DeliveredAt::Ago(idle) => now_ms.checked_sub(millis(idle)).unwrap_or(now_ms),
                DeliveredAt::AtMs(ms) => ms,
            }),
            deliveries: claim.retry_count.map(counted),
            just_ids: claim.just_ids,
        };
        let names = [&claim.key, &claim.group, &claim.consumer];
        Ok(self.ask(names, |asking, _| asking.claim(&claim.ids, millis(claim.min_idle), claim.last_id, &how))?.0)
    }

    fn auto_claim(&mut self, claim: &XAutoClaim) -> Attempt<(Delivered, Id)> {
        let how = HowToClaim { just_ids: claim.just_ids, ..HowToClaim::default() };
        let count = usize::try_from(claim.count).unwrap();
        let names = [&claim.key, &claim.group, &claim.consumer];
        Ok(self.ask(names, |asking, _| asking.auto_claim(millis(claim.min_idle), claim.start, count, &how))?.0)
    }

    /// Has a consumer ask its group, and notes that it did.
    fn ask<T>(
        &mut self,
        names: [&String; 3],
        ask: impl FnOnce(&mut Asking<'_>, &mut Worker) -> T,
    ) -> Attempt<(T, Worker)> {
        let [stream, group_name, consumer] = names;
        self.group(stream, group_name)?;
        self.moment += 1;
        let worker = self.workers.get(&names.map(String::clone)).cloned();
        let mut worker = worker.unwrap_or(Worker { made: self.moment, own: Some(Id::MIN) });
        self.moment += 1;
        let stream = self.streams.get_mut(stream).expect("it has the group");
        let mut group = stream.groups.remove(group_name).expect("it was just found");
        let (now_ms, moment) = (self.now_ms, self.moment);
        let mut asking = Asking { stream, group: &mut group, consumer, now_ms, moment, got: false, recorded: false };
        asking.seen();
        let answer = ask(&mut asking, &mut worker);
        let (got, recorded) = (asking.got, asking.recorded);
        let consumer = group.consumers.get_mut(consumer).expect("asking created it");
        if got {
            consumer.active_ms = Some(self.now_ms);
        }
        if recorded {
            consumer.seen_before_ms.clear();
        }
        stream.groups.insert(group_name.clone(), group);
        Ok((answer, worker))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}
