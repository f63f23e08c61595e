//! The broker, driven by the model's operations and seen as the model is: what one must equal of the other.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use streamlog::{
    Broker, Consumer, DelayedId, Entry, Group, Id, Idempotency, Idempotent, ManualClock, Messages, Result,
};

use super::model::{self, Model};
use super::operation::{
    ByConsumer, Delivered, Fields, InGroup, Limit, OnStream, Operation, Outcome, Retention, Trim, Verdict,
};

/// A time after every time in a test: idle times then tell when things happened.
const LATER_MS: u64 = 1 << 50;

/// A broker, and the handles that keep something between calls.
pub(crate) struct Engine {
    pub(crate) broker: Broker,
    clock: ManualClock,
    /// Made once and used for ever, also when the group has gone meanwhile.
    groups: HashMap<[String; 2], Group>,
    workers: HashMap<[String; 3], Consumer>,
}

/// How many are pending, the first and the last ID, and how many with whom.
type Summary = (u64, Option<(Id, Id)>, Vec<(String, u64)>);

/// All that can be seen of a broker.
pub(crate) type View = BTreeMap<String, StreamView>;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StreamView {
    pub(crate) length: u64,
    pub(crate) first_id: Option<Id>,
    pub(crate) last_id: Id,
    pub(crate) entries_added: u64,
    pub(crate) max_deleted_id: Id,
    pub(crate) trimmed_to: Id,
    pub(crate) retention: streamlog::Retention,
    pub(crate) entries: Vec<(Id, Fields)>,
    /// When each is due, and its ID on the schedule.
    pub(crate) delayed: Vec<(u64, Id)>,
    pub(crate) groups: BTreeMap<String, GroupView>,
    pub(crate) producers: ProducersView,
}

/// For how many seconds, and how many of each, IDs of producers are remembered, and how many there ever were.
pub(crate) type ProducersView = (u64, u32, u64);

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GroupView {
    pub(crate) cursor: Id,
    pub(crate) entries_read: Option<u64>,
    pub(crate) lag: Option<u64>,
    /// ID, consumer, time of delivery, deliveries.
    pub(crate) pending: Vec<(Id, String, u64, u32)>,
    pub(crate) summary: Summary,
    /// Pending, seen, active.
    pub(crate) consumers: BTreeMap<String, (u64, u64, Option<u64>)>,
}

impl Engine {
    pub(crate) fn new(broker: Broker, clock: ManualClock) -> Engine {
        Engine { broker, clock, groups: HashMap::new(), workers: HashMap::new() }
    }

    pub(crate) fn apply(&mut self, operation: &Operation) -> Outcome {
        self.attempt(operation).unwrap_or_else(|error| Outcome::Error(error.kind()))
    }

    fn attempt(&mut self, operation: &Operation) -> Result<Outcome> {
        match operation {
            Operation::SetClock(now_ms) => {
                self.clock.set(*now_ms);
                Ok(Outcome::Done)
            }
            Operation::ApplyRetention => self.broker.trim_step().map(|()| Outcome::Done),
            Operation::AddDue => {
                let mut done = 0;
                loop {
                    match self.broker.due_step()? {
                        0 => return Ok(Outcome::Count(done)),
                        some => done += some as u64,
                    }
                }
            }
            Operation::On(stream, operation) => self.on_stream(stream, operation),
            Operation::In(names, operation) => self.in_group(names, operation),
            Operation::By(names, operation) => self.by_consumer(names, operation),
        }
    }

    fn on_stream(&self, name: &str, operation: &OnStream) -> Result<Outcome> {
        let stream = self.broker.stream(name)?;
        Ok(match operation {
            OnStream::Create => Outcome::Flag(stream.create()?),
            OnStream::DeleteStream => Outcome::Flag(stream.delete_stream()?),
            OnStream::Add { id, fields, trim: None } => Outcome::Ids(vec![stream.entry(fields).id(*id).add()?]),
            OnStream::Add { id, fields, trim: Some(trim) } => {
                Outcome::Ids(vec![stream.entry(fields).id(*id).trim((*trim).into()).add()?])
            }
            OnStream::AddOnce { producer, id, fields, trim } => {
                let once = match id {
                    Some(id) => Idempotent::new(producer, id),
                    None => Idempotent::by_content(producer),
                };
                let entry = stream.entry(fields).idempotent(once).existing_stream();
                Outcome::Ids(vec![match trim {
                    Some(trim) => entry.trim((*trim).into()).add()?,
                    None => entry.add()?,
                }])
            }
            OnStream::SetIdempotency(seconds, ids) => {
                stream.set_idempotency(Idempotency::default().seconds(*seconds)?.ids(*ids)?)?;
                Outcome::Done
            }
            OnStream::Remove(ids, references) => Outcome::Removed(stream.remove(ids, *references)?),
            OnStream::AddBatch { entries, trim } => {
                let mut batch = stream.batch();
                for (id, fields) in entries {
                    batch.push_with_id(*id, fields)?;
                }
                Outcome::Ids(match trim {
                    Some(trim) => batch.trim((*trim).into()).add()?,
                    None => batch.add()?,
                })
            }
            OnStream::Delay { due_ms, fields } => {
                Outcome::Scheduled(scheduled(stream.entry(fields).at(*due_ms).schedule()?.id()))
            }
            OnStream::Cancel(id) => Outcome::Flag(stream.cancel_delayed(id.to_string().parse()?)?),
            OnStream::Delete(ids) => Outcome::Count(stream.delete(ids)?),
            OnStream::Trim(trim) => Outcome::Count(stream.trim((*trim).into())?),
            OnStream::SetRetention(retention) => {
                stream.set_retention((*retention).into())?;
                Outcome::Done
            }
            OnStream::Rename(to, true) => {
                stream.rename_to(to)?;
                Outcome::Done
            }
            OnStream::Rename(to, false) => Outcome::Flag(stream.rename_to_new(to)?),
            OnStream::Copy(to, true) => {
                stream.copy_to(to)?;
                Outcome::Done
            }
            OnStream::Copy(to, false) => Outcome::Flag(stream.copy_to_new(to)?),
            OnStream::SetLast { id, entries_added, max_deleted_id } => {
                let set = stream.set_last_id(*id).max_deleted_id(*max_deleted_id);
                match entries_added {
                    Some(entries) => set.entries_added(*entries).set()?,
                    None => set.set()?,
                }
                Outcome::Done
            }
            OnStream::Range { bounds, backwards, count } => {
                let mut range = stream.range(*bounds);
                if *backwards {
                    range = range.rev();
                }
                if let Some(count) = count {
                    range = range.count(*count);
                }
                let scanned: Vec<Entry> = range.clone().iter().collect::<Result<_>>()?;
                let read = range.read()?;
                assert_eq!(scanned, read, "a scan meets what a read returns");
                Outcome::Entries(read.iter().map(entry).collect())
            }
            OnStream::Read { after, count } => {
                let read = stream.read(*after);
                let found = match count {
                    Some(count) => read.count(*count).next()?,
                    None => read.next()?,
                };
                Outcome::Entries(found.iter().map(entry).collect())
            }
        })
    }

    /// The group's handle: the first that could be had.
    fn group(&mut self, names: [&String; 2]) -> Result<Group> {
        let names = names.map(String::clone);
        if let Some(group) = self.groups.get(&names) {
            return Ok(group.clone());
        }
        let group = self.broker.stream(&names[0])?.group(&names[1]).existing()?;
        self.groups.insert(names, group.clone());
        Ok(group)
    }

    fn in_group(&mut self, names: &[String; 2], operation: &InGroup) -> Result<Outcome> {
        let new = self.broker.stream(&names[0])?.group(&names[1]);
        let made = match operation {
            InGroup::Create { start, entries_read: None } => Some(new.start_at(*start).create()?),
            InGroup::Create { start, entries_read: Some(read) } => {
                Some(new.start_at(*start).entries_read(*read).create()?)
            }
            InGroup::Ensure { start } => Some(new.start_at(*start).ensure()?),
            _ => None,
        };
        if let Some(group) = made {
            self.groups.entry(names.clone()).or_insert(group);
            return Ok(Outcome::Done);
        }
        let group = match (self.group(names.each_ref()), operation) {
            (Err(_), InGroup::Destroy) => return Ok(Outcome::Flag(false)),
            (group, _) => group?,
        };
        Ok(match operation {
            InGroup::Create { .. } | InGroup::Ensure { .. } => unreachable!("done above"),
            InGroup::Destroy => Outcome::Flag(group.destroy()?),
            InGroup::SetCursor(to, None) => {
                group.set_cursor(*to)?;
                Outcome::Done
            }
            InGroup::SetCursor(to, read) => {
                group.set_cursor_and_read(*to, *read)?;
                Outcome::Done
            }
            InGroup::CreateConsumer(name) => Outcome::Flag(group.create_consumer(name)?),
            InGroup::DeleteConsumer(name) => Outcome::Count(group.delete_consumer(name)?),
            InGroup::Ack(ids) => Outcome::Count(group.ack(ids)?),
            InGroup::AckAndDelete(ids, references) => Outcome::Removed(group.ack_and_delete(ids, *references)?),
            InGroup::Nack { ids, how } => {
                let nack = group.nack(ids).after(Duration::from_millis(how.delay_ms));
                let nack = match how.verdict {
                    Verdict::Silent => nack.silent(),
                    Verdict::Fail => nack,
                    Verdict::Fatal => nack.fatal(),
                };
                let nack = if how.force { nack.force() } else { nack };
                Outcome::Count(match how.deliveries {
                    Some(deliveries) => nack.deliveries(deliveries).run()?,
                    None => nack.run()?,
                })
            }
            InGroup::PendingRange { bounds, idle_ms, consumer, count } => {
                let mut range = group.pending_range(*bounds).idle(Duration::from_millis(*idle_ms));
                if let Some(name) = consumer {
                    range = range.consumer(name);
                }
                if let Some(count) = count {
                    range = range.count(*count);
                }
                let rows = range.read()?.into_iter();
                Outcome::Pending(rows.map(|row| (row.id, row.consumer, millis(row.idle), row.deliveries)).collect())
            }
        })
    }

    fn by_consumer(&mut self, names: &[String; 3], operation: &ByConsumer) -> Result<Outcome> {
        let [stream, group, name] = names;
        if let ByConsumer::Fetch { count, claim_idle_ms } = operation {
            let mut fetch = self.worker(names)?.fetch().count(*count);
            if let Some(idle) = claim_idle_ms {
                fetch = fetch.claim_idle(Duration::from_millis(*idle));
            }
            return Ok(Outcome::Messages(delivered(&fetch.next()?)));
        }
        let group = match (self.group([stream, group]), operation) {
            // Refused before anybody looks for the group.
            (Err(_), ByConsumer::AutoClaim { count: 0, .. }) => {
                return Ok(Outcome::Error(streamlog::ErrorKind::InvalidArgument));
            }
            (group, _) => group?,
        };
        let consumer = group.consumer(name);
        Ok(match operation {
            ByConsumer::Fetch { .. } => unreachable!("done above"),
            ByConsumer::ReadNew { count, no_ack, claim_idle_ms } => {
                let mut read = consumer.read_new().count(*count);
                if let Some(ms) = claim_idle_ms {
                    read = read.claim_idle(Duration::from_millis(*ms));
                }
                Outcome::Messages(delivered(&if *no_ack { read.no_ack().next()? } else { read.next()? }))
            }
            ByConsumer::History { after, count } => {
                let history = consumer.history(*after);
                let history = if let Some(count) = count { history.count(*count) } else { history };
                Outcome::Messages(delivered(&history.read()?))
            }
            ByConsumer::Claim { ids, min_idle_ms, how } => {
                let mut claim = consumer.claim(ids).min_idle(Duration::from_millis(*min_idle_ms));
                if how.force {
                    claim = claim.force();
                }
                if let Some(idle) = how.idle_ms {
                    claim = claim.idle(Duration::from_millis(idle));
                }
                if let Some(ms) = how.at_ms {
                    claim = claim.delivered_at_ms(ms);
                }
                if let Some(id) = how.last_id {
                    claim = claim.last_id(id);
                }
                if let Some(deliveries) = how.deliveries {
                    claim = claim.deliveries(deliveries);
                }
                if how.just_ids { Outcome::Ids(claim.just_ids()?) } else { Outcome::Messages(delivered(&claim.run()?)) }
            }
            ByConsumer::AutoClaim { min_idle_ms, start, count, just_ids } => {
                let claim = consumer.auto_claim(Duration::from_millis(*min_idle_ms)).start(*start).count(*count);
                if *just_ids {
                    let claimed = claim.just_ids()?;
                    Outcome::AutoClaimedIds(claimed.ids, claimed.deleted, claimed.next)
                } else {
                    let claimed = claim.run()?;
                    Outcome::AutoClaimed(delivered(&claimed.messages), claimed.next)
                }
            }
        })
    }

    /// The consumer's handle that fetches, made when there is a group for it.
    fn worker(&mut self, names: &[String; 3]) -> Result<Consumer> {
        if let Some(worker) = self.workers.get(names) {
            return Ok(worker.clone());
        }
        let group = self.broker.stream(&names[0])?.group(&names[1]).existing()?;
        let worker = group.consumer(&names[2]);
        self.workers.insert(names.clone(), worker.clone());
        Ok(worker)
    }

    /// All that can be seen.
    pub(crate) fn view(&self, now_ms: u64) -> Result<View> {
        self.clock.set(LATER_MS);
        let names = self.broker.streams()?.into_iter();
        let view = names.map(|name| Ok((name.clone(), self.stream_view(&name)?))).collect();
        self.clock.set(now_ms);
        view
    }

    fn stream_view(&self, name: &str) -> Result<StreamView> {
        let stream = self.broker.stream(name)?;
        let info = stream.info()?;
        assert_eq!(info.length, stream.len()?);
        let groups = stream.groups()?;
        assert_eq!(info.groups, groups.len());
        Ok(StreamView {
            length: info.length,
            first_id: info.first_id,
            last_id: info.last_id,
            entries_added: info.entries_added,
            max_deleted_id: info.max_deleted_id,
            trimmed_to: info.trimmed_to,
            retention: info.retention,
            producers: {
                let producers = info.producers;
                (producers.settings.duration().as_secs(), producers.settings.ids_max(), producers.added)
            },
            entries: stream.range(..).read()?.iter().map(entry).collect(),
            delayed: stream.delayed()?.iter().map(|delayed| (delayed.due_ms(), scheduled(delayed.id()))).collect(),
            groups: groups
                .iter()
                .map(|info| Ok((info.name.clone(), group_view(&stream, info)?)))
                .collect::<Result<_>>()?,
        })
    }
}

fn group_view(stream: &streamlog::Stream, info: &streamlog::GroupInfo) -> Result<GroupView> {
    let group = stream.group(&info.name).existing()?;
    assert_eq!(group.info()?, *info);
    let summary = group.pending()?;
    assert_eq!(summary.count, info.pending);
    let consumers = group.consumers()?;
    assert_eq!(consumers.len(), info.consumers);
    let at = |idle: Duration| LATER_MS - millis(idle);
    let rows: Vec<_> = group.pending_range(..).read()?;
    assert!(rows.iter().all(|row| row.released == row.consumer.is_empty()));
    assert!(rows.iter().all(|row| row.since_ms == if row.released { row.since_ms } else { at(row.idle) }));
    Ok(GroupView {
        cursor: info.last_delivered_id,
        entries_read: info.entries_read,
        lag: info.lag,
        pending: rows.into_iter().map(|row| (row.id, row.consumer, row.since_ms, row.deliveries)).collect(),
        summary: (summary.count, summary.ids, summary.consumers),
        consumers: consumers
            .into_iter()
            .map(|consumer| (consumer.name, (consumer.pending, at(consumer.idle), consumer.inactive.map(at))))
            .collect(),
    })
}

/// The ID of a delayed entry as the model has it.
fn scheduled(id: DelayedId) -> Id {
    id.to_string().parse().expect("its text is as an ID's")
}

/// All that can be seen of the model.
pub(crate) fn view(model: &Model) -> View {
    let view = |(name, stream): (&String, _)| (name.clone(), model_stream_view(stream, model.schedule.of(name)));
    model.streams.iter().map(view).collect()
}

fn model_stream_view(stream: &model::Stream, delayed: Vec<(u64, Id)>) -> StreamView {
    let groups = stream.groups.iter().map(|(name, group)| {
        let with = |name: &String| group.pending.values().filter(|row| row.consumer == *name).count() as u64;
        let mut ids = group.pending.keys();
        let first = ids.next();
        let counts = group.consumers.keys().map(|name| (name.clone(), with(name))).filter(|(_, count)| *count > 0);
        let view = GroupView {
            cursor: group.cursor,
            entries_read: group.entries_read,
            lag: stream.lag(group),
            pending: group
                .pending
                .iter()
                .map(|(id, row)| (*id, row.consumer.clone(), row.delivered_ms, row.deliveries))
                .collect(),
            summary: (
                group.pending.len() as u64,
                first.map(|first| (*first, *ids.next_back().unwrap_or(first))),
                counts.collect(),
            ),
            consumers: group
                .consumers
                .iter()
                .map(|(name, consumer)| (name.clone(), (with(name), consumer.seen_ms, consumer.active_ms)))
                .collect(),
        };
        (name.clone(), view)
    });
    StreamView {
        length: stream.entries.len() as u64,
        first_id: stream.first_id(),
        last_id: stream.last_id,
        entries_added: stream.entries_added,
        max_deleted_id: stream.max_deleted_id,
        trimmed_to: stream.trimmed_to,
        retention: stream.retention.into(),
        producers: (stream.producers.seconds.into(), stream.producers.ids_max, stream.producers.added),
        entries: stream.entries.iter().map(|(id, fields)| (*id, fields.clone())).collect(),
        delayed,
        groups: groups.collect(),
    }
}

/// A crash may forget when a consumer last asked in vain: takes over what the broker remembers, if it may.
pub(crate) fn adopt_seen_times(model: &mut Model, engine: &View) {
    for ([stream, group, name], consumer) in model.consumers() {
        let seen = engine.get(stream).and_then(|stream| stream.groups.get(group)?.consumers.get(name));
        let Some(&(_, seen_ms, _)) = seen else { continue };
        let before = consumer.seen_before_ms.iter().position(|&before| before == seen_ms);
        if let Some(at) = before.filter(|_| seen_ms != consumer.seen_ms) {
            consumer.seen_ms = seen_ms;
            consumer.seen_before_ms.truncate(at);
        }
    }
}

fn entry(entry: &Entry) -> (Id, Fields) {
    (entry.id, fields(entry.fields()))
}

fn fields(fields: &streamlog::Fields) -> Fields {
    fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

fn delivered(messages: &Messages) -> Delivered {
    let before = |message: &streamlog::Message| (message.deliveries_before(), millis(message.idle_before()));
    let fields = |message: &streamlog::Message| fields(message.entry().fields());
    let message = |message: &streamlog::Message| (message.id(), message.deliveries(), before(message), fields(message));
    Delivered { messages: messages.iter().map(message).collect(), deleted: messages.deleted().to_vec() }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

impl From<Trim> for streamlog::Trim {
    fn from(trim: Trim) -> streamlog::Trim {
        let by = match trim.limit {
            Limit::Len(entries) => streamlog::Trim::max_len(entries),
            Limit::MinId(id) => streamlog::Trim::min_id(id),
            Limit::AgeMs(age) => streamlog::Trim::max_age(Duration::from_millis(age)),
            Limit::None => {
                let all =
                    if trim.only_acknowledged { streamlog::Trim::acknowledged() } else { streamlog::Trim::max_len(0) };
                return all.references(trim.references);
            }
        };
        let by = by.references(trim.references);
        if trim.only_acknowledged { by.only_acknowledged() } else { by }
    }
}

impl From<Retention> for streamlog::Retention {
    fn from(retention: Retention) -> streamlog::Retention {
        let mut set = streamlog::Retention::default();
        if let Some(entries) = retention.max_len {
            set = set.max_len(entries);
        }
        if let Some(age) = retention.max_age_ms {
            set = set.max_age(Duration::from_millis(age));
        }
        if retention.acknowledged {
            set = set.acknowledged();
        }
        if retention.only_acknowledged {
            set = set.only_acknowledged();
        }
        set
    }
}
