//! What streams, groups and consumers do, in as few words as possible: maps of entries and of what is pending. Written from the
//! rules of Redis Streams, and believed because it is small.
//!
//! Knows nothing of logs, segments, journals, threads or durability: an operation happens or does not, and what happened stays.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};

use streamlog::{ErrorKind, Id, IdSpec, References, Removal, StartAt};

use super::operation::{
    Before, Bounds, ByConsumer, Delivered, Fields, HowToClaim, HowToNack, InGroup, Limit, OnStream, Operation, Outcome,
    Retention, Trim, Verdict,
};
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

#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    pub(crate) entries: BTreeMap<Id, Fields>,
    pub(crate) last_id: Id,
    pub(crate) entries_added: u64,
    pub(crate) max_deleted_id: Id,
    pub(crate) trimmed_to: Id,
    pub(crate) retention: Retention,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) producers: Producers,
}

#[derive(Debug, Clone)]
pub(crate) struct Producers {
    pub(crate) seconds: u32,
    pub(crate) ids_max: u32,
    pub(crate) added: u64,
    pub(crate) duplicates: u64,
    /// When what is expired was last forgotten.
    swept_ms: u64,
    /// Of each producer its latest: what makes them the same, the entry, the time.
    latest: BTreeMap<String, Vec<(Once, Id, u64)>>,
}

/// What makes two adds of a producer the same.
#[derive(Debug, Clone, PartialEq)]
enum Once {
    Id(String),
    Content(Fields),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) cursor: Id,
    pub(crate) entries_read: Option<u64>,
    pub(crate) pending: BTreeMap<Id, Pending>,
    pub(crate) consumers: BTreeMap<String, Consumer>,
}

#[derive(Debug, Clone)]
pub(crate) struct Pending {
    /// Empty if it was given back.
    pub(crate) consumer: String,
    /// If it was given back: from when on it is delivered again.
    pub(crate) delivered_ms: u64,
    pub(crate) deliveries: u32,
    /// When it was last delivered, counted in moments.
    moment: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Consumer {
    pub(crate) seen_ms: u64,
    pub(crate) active_ms: Option<u64>,
    /// Earlier times it was seen, of which a crash may leave one: those since one was last recorded.
    pub(crate) seen_before_ms: Vec<u64>,
}

/// A handle that fetches.
#[derive(Debug, Clone)]
struct Worker {
    made: u64,
    /// What was pending before it was made was delivered again up to here; `None` once all of it was.
    own: Option<Id>,
}

type Attempt = Result<Outcome, ErrorKind>;

impl Model {
    /// An empty broker at this time.
    pub(crate) fn at(now_ms: u64) -> Model {
        Model { now_ms, ..Model::default() }
    }

    pub(crate) fn apply(&mut self, operation: &Operation) -> Outcome {
        let attempt = match operation {
            Operation::SetClock(now_ms) => {
                self.now_ms = *now_ms;
                Ok(Outcome::Done)
            }
            Operation::ApplyRetention => {
                let now_ms = self.now_ms;
                self.streams.values_mut().for_each(|stream| stream.apply_retention(now_ms));
                Ok(Outcome::Done)
            }
            Operation::AddDue => Ok(Outcome::Count(self.add_due())),
            Operation::On(stream, operation) => self.on_stream(stream, operation),
            Operation::In(names, operation) => self.in_group(names, operation),
            Operation::By(names, operation) => self.by_consumer(names, operation),
        };
        attempt.unwrap_or_else(Outcome::Error)
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

    fn stream(&mut self, name: &str) -> Result<&mut Stream, ErrorKind> {
        self.streams.get_mut(name).ok_or(ErrorKind::NoSuchStream)
    }

    fn on_stream(&mut self, name: &str, operation: &OnStream) -> Attempt {
        let now_ms = self.now_ms;
        Ok(match operation {
            OnStream::Create => {
                let created = !self.streams.contains_key(name);
                self.streams.entry(name.to_owned()).or_default();
                Outcome::Flag(created)
            }
            OnStream::DeleteStream => {
                self.schedule.stream_is_gone(name);
                Outcome::Flag(self.streams.remove(name).is_some())
            }
            OnStream::Delay { due_ms, fields } => {
                self.streams.entry(name.to_owned()).or_default();
                Outcome::Scheduled(self.schedule.add(name, *due_ms, fields, now_ms))
            }
            OnStream::Cancel(id) => {
                self.stream(name)?;
                Outcome::Flag(self.schedule.cancel(name, *id))
            }
            OnStream::Add { id, fields, trim } => {
                Outcome::Ids(self.add(name, std::slice::from_ref(&(*id, fields.clone())), *trim)?)
            }
            OnStream::AddOnce { producer, id, fields, trim } => {
                let stream = self.stream(name)?;
                let once = match id {
                    Some(id) => Once::Id(id.clone()),
                    None => {
                        let mut content = fields.clone();
                        content.sort();
                        Once::Content(content)
                    }
                };
                if let Some(entry) = stream.producers.find(producer, &once, now_ms) {
                    stream.producers.duplicates += 1;
                    return Ok(Outcome::Ids(vec![entry]));
                }
                let ids = self.add(name, &[(IdSpec::Auto, fields.clone())], *trim)?;
                self.stream(name)?.producers.remember(producer, once, ids[0], now_ms);
                Outcome::Ids(ids)
            }
            OnStream::SetIdempotency(seconds, ids_max) => {
                let producers = &mut self.stream(name)?.producers;
                if (*seconds, *ids_max) != (producers.seconds, producers.ids_max) {
                    (producers.seconds, producers.ids_max) = (*seconds, *ids_max);
                    producers.latest.clear();
                }
                Outcome::Done
            }
            OnStream::Remove(ids, references) => {
                let stream = self.stream(name)?;
                Outcome::Removed(ids.iter().map(|id| stream.remove(*id, *references)).collect())
            }
            OnStream::AddBatch { entries, trim } => Outcome::Ids(self.add(name, entries, *trim)?),
            OnStream::Delete(ids) => Outcome::Count(self.stream(name)?.delete(ids)),
            OnStream::Trim(trim) => Outcome::Count(self.stream(name)?.trim(*trim, now_ms)),
            OnStream::SetRetention(retention) => {
                self.streams.entry(name.to_owned()).or_default().retention = *retention;
                Outcome::Done
            }
            OnStream::Rename(to, replace) => self.rename(name, to, *replace)?,
            OnStream::Copy(to, replace) => self.copy(name, to, *replace)?,
            OnStream::SetLast { id, entries_added, max_deleted_id } => {
                if id < max_deleted_id {
                    return Err(ErrorKind::IdTooSmall);
                }
                self.stream(name)?.set_last(*id, *entries_added, *max_deleted_id)?;
                Outcome::Done
            }
            OnStream::Range { bounds, backwards, count } => {
                let mut found = self.entries(name, *bounds);
                if *backwards {
                    found.reverse();
                }
                found.truncate(count.unwrap_or(usize::MAX));
                Outcome::Entries(found)
            }
            OnStream::Read { after, count } => {
                let after = self.streams.get(name).map_or(Id::MIN, |stream| stream.resolve(*after));
                let mut found = self.entries(name, (Bound::Excluded(after), Bound::Unbounded));
                found.truncate(count.unwrap_or(usize::MAX));
                Outcome::Entries(found)
            }
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

    fn rename(&mut self, name: &str, to: &str, replace: bool) -> Attempt {
        self.stream(name)?;
        if to == name || self.streams.contains_key(to) && !replace {
            return Ok(if replace { Outcome::Done } else { Outcome::Flag(false) });
        }
        let stream = self.streams.remove(name).expect("it was just found");
        self.streams.insert(to.to_owned(), stream);
        self.schedule.stream_is_gone(to);
        self.schedule.stream_is_renamed(name, to);
        Ok(if replace { Outcome::Done } else { Outcome::Flag(true) })
    }

    fn copy(&mut self, name: &str, to: &str, replace: bool) -> Attempt {
        if to == name {
            return Err(ErrorKind::InvalidArgument);
        }
        let copy = self.stream(name)?.clone();
        if self.streams.contains_key(to) && !replace {
            return Ok(Outcome::Flag(false));
        }
        self.streams.insert(to.to_owned(), copy);
        self.schedule.stream_is_gone(to);
        Ok(if replace { Outcome::Done } else { Outcome::Flag(true) })
    }

    fn entries(&self, name: &str, bounds: Bounds) -> Vec<(Id, Fields)> {
        let entries = self.streams.get(name).into_iter().flat_map(|stream| &stream.entries);
        entries.filter(|(id, _)| bounds.contains(id)).map(|(id, fields)| (*id, fields.clone())).collect()
    }

    /// Adds all or none; an error leaves everything as it was, and creates no stream.
    fn add(&mut self, name: &str, entries: &[(IdSpec, Fields)], trim: Option<Trim>) -> Result<Vec<Id>, ErrorKind> {
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

    fn group(&mut self, [stream, group]: [&String; 2]) -> Result<&mut Group, ErrorKind> {
        let stream = self.streams.get_mut(stream).ok_or(ErrorKind::NoSuchGroup)?;
        stream.groups.get_mut(group).ok_or(ErrorKind::NoSuchGroup)
    }

    /// Creates a group if there is none; returns whether there was none.
    fn make_group(&mut self, [stream, group]: &[String; 2], start: StartAt, entries_read: Option<u64>) -> bool {
        let stream = self.streams.entry(stream.clone()).or_default();
        let cursor = stream.resolve(start);
        let entries_read = entries_read.map(|read| read.min(stream.entries_added));
        let created = !stream.groups.contains_key(group);
        stream.groups.entry(group.clone()).or_insert(Group { cursor, entries_read, ..Group::default() });
        created
    }

    fn in_group(&mut self, names: &[String; 2], operation: &InGroup) -> Attempt {
        let now_ms = self.now_ms;
        Ok(match operation {
            InGroup::Create { start, entries_read } => {
                if !self.make_group(names, *start, *entries_read) {
                    return Err(ErrorKind::GroupExists);
                }
                Outcome::Done
            }
            InGroup::Ensure { start } => {
                self.make_group(names, *start, None);
                Outcome::Done
            }
            InGroup::Destroy => {
                let stream = self.streams.get_mut(&names[0]);
                Outcome::Flag(stream.is_some_and(|stream| stream.groups.remove(&names[1]).is_some()))
            }
            InGroup::SetCursor(to, read) => {
                let stream = self.stream(&names[0]).map_err(|_| ErrorKind::NoSuchGroup)?;
                let (cursor, added) = (stream.resolve(*to), stream.entries_added);
                let group = self.group(names.each_ref())?;
                (group.cursor, group.entries_read) = (cursor, read.map(|read| read.min(added)));
                Outcome::Done
            }
            InGroup::CreateConsumer(name) => {
                let group = self.group(names.each_ref())?;
                let created = !group.consumers.contains_key(name);
                group.consumers.entry(name.clone()).or_insert(Consumer { seen_ms: now_ms, ..Consumer::default() });
                Outcome::Flag(created)
            }
            InGroup::DeleteConsumer(name) => {
                let group = self.group(names.each_ref())?;
                let before = group.pending.len();
                group.pending.retain(|_, row| row.consumer != *name);
                group.consumers.remove(name);
                Outcome::Count((before - group.pending.len()) as u64)
            }
            InGroup::Ack(ids) => {
                let group = self.group(names.each_ref())?;
                Outcome::Count(ids.iter().filter(|id| group.pending.remove(id).is_some()).count() as u64)
            }
            InGroup::AckAndDelete(ids, references) => {
                self.group(names.each_ref())?;
                let [stream, group] = names;
                let stream = self.streams.get_mut(stream).expect("it has the group");
                let mut remove = |id: &Id| {
                    if stream.groups.get_mut(group).expect("it was just found").pending.remove(id).is_none() {
                        return Removal::Missing;
                    }
                    match stream.remove(*id, *references) {
                        Removal::Missing => Removal::Removed,
                        removal => removal,
                    }
                };
                Outcome::Removed(ids.iter().map(&mut remove).collect())
            }
            InGroup::Nack { ids, how } => {
                self.group(names.each_ref())?;
                let [stream, group] = names;
                let stream = self.streams.get_mut(stream).expect("it has the group");
                let group = stream.groups.get_mut(group).expect("it was just found");
                let entries = &stream.entries;
                let released = ids.iter().filter(|id| group.release(**id, how, now_ms, entries.contains_key(id)));
                Outcome::Count(released.count() as u64)
            }
            InGroup::PendingRange { bounds, idle_ms, consumer, count } => {
                let rows = self.group(names.each_ref())?.pending.iter();
                let rows = rows.filter(|(id, row)| {
                    bounds.contains(id)
                        && (*idle_ms == 0 || row.is_due(now_ms, *idle_ms))
                        && consumer.as_ref().is_none_or(|name| row.consumer == *name)
                });
                let row = |(id, row): (&Id, &Pending)| (*id, row.consumer.clone(), row.idle_ms(now_ms), row.deliveries);
                Outcome::Pending(rows.map(row).take(count.unwrap_or(usize::MAX)).collect())
            }
        })
    }

    fn by_consumer(&mut self, names: &[String; 3], operation: &ByConsumer) -> Attempt {
        if let ByConsumer::AutoClaim { count: 0, .. } = operation {
            return Err(ErrorKind::InvalidArgument);
        }
        let [stream, group, consumer] = names;
        self.group([stream, group])?;
        self.moment += 1;
        let worker = self.workers.get(names).cloned();
        let mut worker = worker.unwrap_or(Worker { made: self.moment, own: Some(Id::MIN) });
        self.moment += 1;
        let stream = self.streams.get_mut(stream).expect("it has the group");
        let mut group = stream.groups.remove(group).expect("it was just found");
        let (now_ms, moment) = (self.now_ms, self.moment);
        let mut asking = Asking { stream, group: &mut group, consumer, now_ms, moment, got: false, recorded: false };
        asking.seen();
        let outcome = match operation {
            ByConsumer::ReadNew { count, no_ack, claim_idle_ms } => {
                let mut delivered = Delivered::default();
                if claim_idle_ms.is_some() {
                    asking.take_due(*count, *claim_idle_ms, false, &mut delivered);
                }
                asking.read_new(*count, *no_ack, &mut delivered);
                Outcome::Messages(delivered)
            }
            ByConsumer::History { after, count } => Outcome::Messages(asking.history(*after, *count)),
            ByConsumer::Fetch { count, claim_idle_ms } => {
                let delivered = asking.fetch(&mut worker, *count, *claim_idle_ms);
                self.workers.insert(names.clone(), worker);
                Outcome::Messages(delivered)
            }
            ByConsumer::Claim { ids, min_idle_ms, how } => {
                let claimed = asking.claim(ids, *min_idle_ms, how);
                if how.just_ids {
                    Outcome::Ids(claimed.messages.into_iter().map(|(id, ..)| id).collect())
                } else {
                    Outcome::Messages(claimed)
                }
            }
            ByConsumer::AutoClaim { min_idle_ms, start, count, just_ids } => {
                let how = HowToClaim { just_ids: *just_ids, ..HowToClaim::default() };
                let (claimed, next) = asking.auto_claim(*min_idle_ms, *start, *count, &how);
                if *just_ids {
                    let ids = claimed.messages.into_iter().map(|(id, ..)| id).collect();
                    Outcome::AutoClaimedIds(ids, claimed.deleted, next)
                } else {
                    Outcome::AutoClaimed(claimed, next)
                }
            }
        };
        let (got, recorded) = (asking.got, asking.recorded);
        let consumer = group.consumers.get_mut(consumer).expect("asking created it");
        if got {
            consumer.active_ms = Some(self.now_ms);
        }
        if recorded {
            consumer.seen_before_ms.clear();
        }
        stream.groups.insert(names[1].clone(), group);
        Ok(outcome)
    }
}

pub(crate) fn next_id(spec: IdSpec, last: Id, now_ms: u64) -> Result<Id, ErrorKind> {
    let id = match (spec, last.next()) {
        (_, None) => return Err(ErrorKind::IdsExhausted),
        (IdSpec::Auto, Some(next)) => next.max(Id::new(now_ms, 0)),
        (IdSpec::AutoSeq(ms), _) if ms == last.ms => Id::new(ms, last.seq.checked_add(1).ok_or(ErrorKind::IdTooSmall)?),
        (IdSpec::AutoSeq(ms), _) => Id::new(ms, 0),
        (IdSpec::Exact(id), _) => id,
    };
    if id > last { Ok(id) } else { Err(ErrorKind::IdTooSmall) }
}

impl Stream {
    fn resolve(&self, start: StartAt) -> Id {
        match start {
            StartAt::Start => Id::MIN,
            StartAt::End => self.last_id,
            StartAt::After(id) => id,
            StartAt::Last => self.entries.keys().next_back().and_then(|id| id.previous()).unwrap_or(Id::MIN),
        }
    }

    pub(crate) fn first_id(&self) -> Option<Id> {
        self.entries.keys().next().copied()
    }

    fn set_last(&mut self, id: Id, entries_added: Option<u64>, max_deleted_id: Id) -> Result<(), ErrorKind> {
        let top = self.entries.keys().next_back();
        if id < self.max_deleted_id || top.is_some_and(|top| id < *top) {
            return Err(ErrorKind::IdTooSmall);
        }
        if entries_added.is_some_and(|entries| entries < self.entries.len() as u64) {
            return Err(ErrorKind::InvalidArgument);
        }
        (self.last_id, self.trimmed_to) = (id, self.trimmed_to.min(id));
        self.entries_added = entries_added.unwrap_or(self.entries_added);
        if max_deleted_id != Id::MIN {
            self.max_deleted_id = max_deleted_id;
        }
        Ok(())
    }

    fn delete(&mut self, ids: &[Id]) -> u64 {
        let removed = ids.iter().filter(|id| self.remove(**id, References::Keep) == Removal::Removed);
        removed.count() as u64
    }

    fn is_referenced(&self, id: Id) -> bool {
        self.groups.values().any(|group| id > group.cursor || group.pending.contains_key(&id))
    }

    fn remove(&mut self, id: Id, references: References) -> Removal {
        if references == References::Acknowledged && self.is_referenced(id) {
            return Removal::Referenced;
        }
        if self.entries.remove(&id).is_none() {
            return Removal::Missing;
        }
        self.max_deleted_id = self.max_deleted_id.max(id);
        self.forget(id, references);
        Removal::Removed
    }

    /// What becomes of what is pending of an entry that is gone.
    fn forget(&mut self, id: Id, references: References) {
        if references == References::Delete {
            self.groups.values_mut().for_each(|group| drop(group.pending.remove(&id)));
        }
    }

    fn trim(&mut self, trim: Trim, now_ms: u64) -> u64 {
        let from = |id: Id| self.entries.range(id..).next().map(|(id, _)| *id);
        // Those before this one may go, and so many.
        let (keep, most) = match trim.limit {
            Limit::Len(max) => (None, self.entries.len().saturating_sub(usize::try_from(max).unwrap())),
            Limit::MinId(min) => (from(min), usize::MAX),
            Limit::AgeMs(age) => (from(Id::new(now_ms.saturating_sub(age), 0)), usize::MAX),
            Limit::None => (None, usize::MAX),
        };
        let mut doomed: Vec<Id> =
            self.entries.keys().copied().filter(|id| keep.is_none_or(|keep| *id < keep)).collect();
        if trim.references == References::Acknowledged {
            doomed.retain(|&id| !self.is_referenced(id));
        }
        doomed.truncate(most);
        if trim.only_acknowledged {
            let done = |group: &Group, id| id <= group.cursor && group.pending.keys().all(|&pending| id < pending);
            doomed.retain(|&id| !self.groups.is_empty() && self.groups.values().all(|group| done(group, id)));
        }
        for id in &doomed {
            if self.first_id() == Some(*id) {
                self.trimmed_to = *id;
            }
            self.entries.remove(id);
            self.forget(*id, trim.references);
        }
        doomed.len() as u64
    }

    fn apply_retention(&mut self, now_ms: u64) {
        let Retention { max_len, max_age_ms, acknowledged, only_acknowledged } = self.retention;
        for limit in [max_len.map(Limit::Len), max_age_ms.map(Limit::AgeMs)].into_iter().flatten() {
            self.trim(Trim { limit, only_acknowledged, references: References::Keep }, now_ms);
        }
        if acknowledged {
            let trim = Trim { limit: Limit::None, only_acknowledged: true, references: References::Keep };
            self.trim(trim, now_ms);
        }
    }

    /// Whether an entry from `id` on may have been deleted from the middle.
    fn tombstone_from(&self, id: Id) -> bool {
        self.max_deleted_id != Id::MIN && id <= self.max_deleted_id
    }

    /// How many entries there ever were up to `id`, as far as can be told without having counted.
    fn estimate(&self, id: Id) -> Option<u64> {
        let first = self.first_id()?;
        if (id != Id::MIN && id < self.max_deleted_id) || id > self.last_id {
            return None;
        }
        let before_first = self.entries_added - self.entries.len() as u64;
        match id {
            id if id == self.last_id => Some(self.entries_added),
            _ if self.tombstone_from(first) => None,
            id if id < first => Some(before_first),
            id if id == first => Some(before_first + 1),
            _ => None,
        }
    }

    pub(crate) fn lag(&self, group: &Group) -> Option<u64> {
        let Some(first) = self.first_id() else { return Some(0) };
        if group.cursor < first && self.max_deleted_id < first {
            return Some(self.entries.len() as u64);
        }
        let counted = group.entries_read.filter(|_| !self.tombstone_from(group.cursor));
        let read = counted.or_else(|| self.estimate(group.cursor))?;
        Some(self.entries_added.saturating_sub(read))
    }

    fn entries_read_after(&self, group: &Group, id: Id) -> Option<u64> {
        let counts = self.first_id().is_some_and(|first| group.cursor >= first) && !self.tombstone_from(group.cursor);
        group.entries_read.filter(|_| counts).map(|read| read + 1).or_else(|| self.estimate(id))
    }
}

impl Group {
    /// Gives an entry back; `false` if it is not pending and not forced to be.
    fn release(&mut self, id: Id, how: &HowToNack, now_ms: u64, exists: bool) -> bool {
        let before = match self.pending.get(&id) {
            Some(row) => row.deliveries,
            None if how.force && exists => 0,
            None => return false,
        };
        let deliveries = how.deliveries.unwrap_or(match how.verdict {
            Verdict::Silent => before.saturating_sub(1),
            Verdict::Fail => before,
            Verdict::Fatal => u32::MAX,
        });
        let row = Pending { consumer: String::new(), delivered_ms: now_ms + how.delay_ms, deliveries, moment: 0 };
        self.pending.insert(id, row);
        true
    }
}

impl Pending {
    pub(crate) fn is_released(&self) -> bool {
        self.consumer.is_empty()
    }

    fn idle_ms(&self, now_ms: u64) -> u64 {
        if self.is_released() { 0 } else { now_ms.saturating_sub(self.delivered_ms) }
    }

    /// Whether it may be taken over: what was given back, from its time on.
    fn is_due(&self, now_ms: u64, min_idle_ms: u64) -> bool {
        if self.is_released() { self.delivered_ms <= now_ms } else { self.idle_ms(now_ms) >= min_idle_ms }
    }
}

impl Default for Producers {
    fn default() -> Producers {
        Producers { seconds: 100, ids_max: 100, added: 0, duplicates: 0, swept_ms: 0, latest: BTreeMap::new() }
    }
}

impl Producers {
    fn is_expired(&self, then_ms: u64, now_ms: u64) -> bool {
        now_ms.saturating_sub(then_ms) >= u64::from(self.seconds) * 1000
    }

    fn find(&self, producer: &str, once: &Once, now_ms: u64) -> Option<Id> {
        let last = self.latest.get(producer)?.iter().rev().find(|(other, ..)| other == once)?;
        (!self.is_expired(last.2, now_ms)).then_some(last.1)
    }

    fn remember(&mut self, producer: &str, once: Once, entry: Id, now_ms: u64) {
        let duration = u64::from(self.seconds) * 1000;
        let expire = |latest: &mut Vec<(Once, Id, u64)>| {
            let live = latest.iter().position(|(.., then_ms)| now_ms.saturating_sub(*then_ms) < duration);
            drop(latest.drain(..live.unwrap_or(latest.len())));
        };
        if self.is_expired(self.swept_ms, now_ms) {
            self.swept_ms = now_ms;
            self.latest.values_mut().for_each(expire);
        }
        let latest = self.latest.entry(producer.to_owned()).or_default();
        expire(latest);
        while latest.len() >= self.ids_max as usize {
            latest.remove(0);
        }
        latest.push((once, entry, now_ms));
        self.added += 1;
    }
}

/// A consumer at work, its group taken out of its stream.
struct Asking<'a> {
    stream: &'a Stream,
    group: &'a mut Group,
    consumer: &'a String,
    now_ms: u64,
    moment: u64,
    /// Whether it got anything that counts as activity.
    got: bool,
    /// Whether anything was recorded that says when it asked.
    recorded: bool,
}

impl Asking<'_> {
    /// It asked: it exists from now on.
    fn seen(&mut self) {
        match self.group.consumers.get_mut(self.consumer) {
            Some(consumer) => {
                consumer.seen_before_ms.push(consumer.seen_ms);
                consumer.seen_ms = self.now_ms;
            }
            None => {
                let created = Consumer { seen_ms: self.now_ms, ..Consumer::default() };
                self.group.consumers.insert(self.consumer.clone(), created);
            }
        }
    }

    /// Makes an entry pending with the consumer, whoever had it.
    fn deliver(&mut self, id: Id, delivered_ms: u64, deliveries: u32, before: Before, out: &mut Delivered) {
        let row = Pending { consumer: self.consumer.clone(), delivered_ms, deliveries, moment: self.moment };
        self.group.pending.insert(id, row);
        out.messages.push((id, deliveries, before, self.stream.entries[&id].clone()));
        self.recorded = true;
    }

    fn before(&self, id: Id) -> Option<Before> {
        self.group.pending.get(&id).map(|row| (row.deliveries, row.idle_ms(self.now_ms)))
    }

    fn read_new(&mut self, count: usize, no_ack: bool, delivered: &mut Delivered) {
        let after = (Bound::Excluded(self.group.cursor), Bound::Unbounded);
        for (&id, fields) in self.stream.entries.range(after).take(count - delivered.messages.len()) {
            self.group.entries_read = self.stream.entries_read_after(self.group, id);
            self.group.cursor = id;
            if no_ack {
                delivered.messages.push((id, 1, (0, 0), fields.clone()));
            } else {
                self.deliver(id, self.now_ms, 1, (0, 0), delivered);
            }
            (self.got, self.recorded) = (true, true);
        }
        // Nothing but what is gone is nothing: one that waits waits on.
        if delivered.messages.is_empty() {
            delivered.deleted.clear();
        }
    }

    /// Takes what was given back and is ready, and what has been idle for so long; what was delivered longest ago comes first.
    fn take_due(&mut self, count: usize, min_idle_ms: Option<u64>, from_others: bool, delivered: &mut Delivered) {
        let is_due = |row: &Pending| match min_idle_ms {
            _ if row.is_released() => row.is_due(self.now_ms, 0),
            Some(min_idle_ms) => {
                row.is_due(self.now_ms, min_idle_ms) && !(from_others && row.consumer == *self.consumer)
            }
            None => false,
        };
        // Redis does not look at what is pending where there are no entries at all.
        let due = self.group.pending.iter().filter(|(_, row)| !self.stream.entries.is_empty() && is_due(row));
        let mut due: Vec<_> = due.map(|(&id, row)| (!row.is_released(), row.delivered_ms, id)).collect();
        due.sort_unstable();
        for (_, _, id) in due {
            if delivered.messages.len() < count {
                self.claim_one(id, 0, &HowToClaim::default(), delivered);
            }
        }
    }

    /// Its own pending IDs after this one that `wanted` accepts.
    fn own(&self, after: Id, count: usize, wanted: impl Fn(&Pending) -> bool) -> Vec<Id> {
        let rows = self.group.pending.range((Bound::Excluded(after), Bound::Unbounded));
        rows.filter(|(_, row)| row.consumer == *self.consumer && wanted(row)).map(|(id, _)| *id).take(count).collect()
    }

    /// Delivers entries that are pending with it once more.
    fn redeliver(&mut self, ids: &[Id]) -> Delivered {
        let mut delivered = Delivered::default();
        for id in ids {
            if self.stream.entries.contains_key(id) {
                let before = self.before(*id).expect("it is pending");
                self.deliver(*id, self.now_ms, before.0.saturating_add(1), before, &mut delivered);
            } else {
                delivered.deleted.push(*id);
            }
        }
        delivered
    }

    fn history(&mut self, after: Id, count: Option<usize>) -> Delivered {
        let ids = self.own(after, count.unwrap_or(usize::MAX), |_| true);
        self.redeliver(&ids)
    }

    fn fetch(&mut self, worker: &mut Worker, count: usize, claim_idle_ms: Option<u64>) -> Delivered {
        while let Some(after) = worker.own.filter(|_| count > 0) {
            let ids = self.own(after, count, |row| row.moment < worker.made);
            worker.own = ids.last().copied();
            let delivered = self.redeliver(&ids);
            delivered.deleted.iter().for_each(|id| drop(self.group.pending.remove(id)));
            if !delivered.messages.is_empty() {
                return delivered;
            }
        }
        let mut delivered = Delivered::default();
        self.take_due(count, claim_idle_ms, true, &mut delivered);
        self.read_new(count, false, &mut delivered);
        delivered
    }

    /// Takes an entry over, if it is there and has been idle for long enough.
    fn claim_one(&mut self, id: Id, min_idle_ms: u64, how: &HowToClaim, out: &mut Delivered) -> bool {
        let row = self.group.pending.get(&id);
        if !self.stream.entries.contains_key(&id) {
            if self.group.pending.remove(&id).is_some() {
                out.deleted.push(id);
                return true;
            }
            return false;
        }
        match row {
            Some(row) if !row.is_released() && row.idle_ms(self.now_ms) < min_idle_ms => return false,
            None if !how.force => return false,
            _ => {}
        }
        // Redis makes what is forced pending as if it had been delivered, and then claims it.
        let before = self.before(id).unwrap_or((1, 0));
        let deliveries = how.deliveries.unwrap_or(if how.just_ids { before.0 } else { before.0.saturating_add(1) });
        let delivered_ms = how.at_ms.unwrap_or(self.now_ms - how.idle_ms.unwrap_or(0)).min(self.now_ms);
        self.deliver(id, delivered_ms, deliveries, before, out);
        self.got = true;
        true
    }

    fn claim(&mut self, ids: &[Id], min_idle_ms: u64, how: &HowToClaim) -> Delivered {
        let mut claimed = Delivered::default();
        self.group.cursor = how.last_id.map_or(self.group.cursor, |id| id.max(self.group.cursor));
        for &id in ids {
            self.claim_one(id, min_idle_ms, how, &mut claimed);
        }
        claimed
    }

    fn auto_claim(&mut self, min_idle_ms: u64, start: Id, count: usize, how: &HowToClaim) -> (Delivered, Id) {
        let mut claimed = Delivered::default();
        let mut left = count;
        let rows: BTreeSet<Id> = self.group.pending.range(start..).map(|(id, _)| *id).collect();
        for (looked, &id) in rows.iter().enumerate() {
            if left == 0 || looked == 10 * count {
                return (claimed, id);
            }
            // What was given back for later is passed by, unless there is nothing left of it.
            let row = &self.group.pending[&id];
            if self.stream.entries.contains_key(&id) && !row.is_due(self.now_ms, min_idle_ms) {
                continue;
            }
            if self.claim_one(id, min_idle_ms, how, &mut claimed) {
                left -= 1;
            }
        }
        (claimed, Id::MIN)
    }
}
