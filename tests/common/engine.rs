//! The broker, driven by the model's operations and seen as the model is: what one must equal of the other.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use streamlog::command::{Command, Delivered as DeliveredAt, NackMode, Reply};
use streamlog::{Broker, Consumer, DelayedId, Entry, ErrorKind, Group, GroupStart, Id, ManualClock, Messages, Result};

use super::model::{self, Model};
use super::operation::{Delivered, Fields, Operation, Outcome, Own, Retention};

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
        match operation {
            Operation::Redis(command) => {
                self.scan(command);
                let reply = self.broker.execute(command).map(without_segments);
                Outcome::Redis(reply.map_err(|error| command.error_text(&error)))
            }
            Operation::All(commands) => match self.broker.execute_all(commands) {
                Ok(replies) => {
                    let texts = replies.into_iter().zip(commands).map(|(reply, command)| {
                        reply.map(without_segments).map_err(|error| command.error_text(&error))
                    });
                    Outcome::All(texts.collect())
                }
                Err(error) => Outcome::Error(error.kind()),
            },
            Operation::Own(own) => self.own(own).unwrap_or_else(|error| Outcome::Error(error.kind())),
        }
    }

    /// What a range reads a scan meets.
    fn scan(&self, command: &Command) {
        let (Command::XRange(range) | Command::XRevRange(range)) = command else { return };
        let scan = || {
            let whole = self.broker.stream(&range.key)?.range((range.first, range.last));
            let whole = whole.count(range.count.map_or(usize::MAX, |count| usize::try_from(count).unwrap()));
            let whole = if matches!(command, Command::XRevRange(_)) { whole.rev() } else { whole };
            let scanned: Vec<Entry> = whole.clone().iter().collect::<Result<_>>()?;
            assert_eq!(scanned, whole.read()?, "a scan meets what a read returns");
            Ok(())
        };
        let scanned: Result<()> = scan();
        scanned.expect("ranges can be read");
    }

    fn own(&mut self, own: &Own) -> Result<Outcome> {
        Ok(match own {
            Own::SetClock(now_ms) => {
                self.clock.set(*now_ms);
                Outcome::Done
            }
            Own::ApplyRetention => {
                self.broker.trim_step()?;
                Outcome::Done
            }
            Own::AddDue => {
                let mut done = 0;
                loop {
                    match self.broker.due_step()? {
                        0 => return Ok(Outcome::Count(done)),
                        some => done += some as u64,
                    }
                }
            }
            Own::Create(name) => Outcome::Flag(self.broker.stream(name)?.create()?),
            Own::AddBatch { stream, entries, trim } => {
                let stream = self.broker.stream(stream)?;
                let mut batch = stream.batch();
                for (id, fields) in entries {
                    batch.push_with_id(*id, fields)?;
                }
                Outcome::Ids(match trim {
                    Some(trim) => batch.trim(*trim).add()?,
                    None => batch.add()?,
                })
            }
            Own::SetRetention(name, retention) => {
                self.broker.stream(name)?.set_retention((*retention).into())?;
                Outcome::Done
            }
            Own::Delay { stream, due_ms, fields } => {
                Outcome::Scheduled(scheduled(self.broker.stream(stream)?.entry(fields).at(*due_ms).schedule()?.id()))
            }
            Own::Cancel(name, id) => Outcome::Flag(self.broker.stream(name)?.cancel_delayed(id.to_string().parse()?)?),
            Own::Ensure { names, start } => {
                let group = self.broker.stream(&names[0])?.group(&names[1]).start_at(*start).ensure()?;
                self.groups.entry(names.clone()).or_insert(group);
                Outcome::Done
            }
            Own::Nack { nack: asked, delay_ms } => {
                let nack = self.group([&asked.key, &asked.group])?.nack(&asked.ids);
                let nack = nack.after(Duration::from_millis(*delay_ms));
                let nack = match asked.mode {
                    NackMode::Silent => nack.silent(),
                    NackMode::Fail => nack,
                    NackMode::Fatal => nack.fatal(),
                };
                let nack = if asked.force { nack.force() } else { nack };
                Outcome::Count(match asked.retry_count {
                    Some(deliveries) => nack.deliveries(u32::try_from(deliveries).unwrap()).run()?,
                    None => nack.run()?,
                })
            }
            Own::Fetch { names, count, claim_idle_ms } => {
                let mut fetch = self.worker(names)?.fetch().count(*count);
                if let Some(idle) = claim_idle_ms {
                    fetch = fetch.claim_idle(Duration::from_millis(*idle));
                }
                Outcome::Messages(delivered(&fetch.next()?), Id::MIN)
            }
            Own::ByHandle(command) => self.by_handle(command)?,
        })
    }

    fn by_handle(&mut self, command: &Command) -> Result<Outcome> {
        let messages = match command {
            Command::XReadGroup(read) => {
                let (stream, start) = &read.streams[0];
                let consumer = self.group([stream, &read.group])?.consumer(&read.consumer);
                let count = read.limits.count.map_or(usize::MAX, |count| usize::try_from(count).unwrap());
                match start {
                    GroupStart::PendingAfter(after) => consumer.history(*after).count(count).read()?,
                    GroupStart::New => {
                        let mut new = consumer.read_new().count(count);
                        if let Some(idle) = read.claim {
                            new = new.claim_idle(idle);
                        }
                        if read.no_ack { new.no_ack().next()? } else { new.next()? }
                    }
                }
            }
            Command::XClaim(asked) => {
                let consumer = self.group([&asked.key, &asked.group])?.consumer(&asked.consumer);
                let mut claim = consumer.claim(&asked.ids).min_idle(asked.min_idle);
                if asked.force {
                    claim = claim.force();
                }
                match asked.delivered {
                    None => {}
                    Some(DeliveredAt::Ago(idle)) => claim = claim.idle(idle),
                    Some(DeliveredAt::AtMs(ms)) => claim = claim.delivered_at_ms(ms),
                }
                if let Some(id) = asked.last_id {
                    claim = claim.last_id(id);
                }
                if let Some(deliveries) = asked.retry_count {
                    claim = claim.deliveries(u32::try_from(deliveries).unwrap());
                }
                claim.run()?
            }
            Command::XAutoClaim(asked) => {
                let group = match (self.group([&asked.key, &asked.group]), asked.count) {
                    // Refused before anybody looks for the group.
                    (Err(_), 0) => return Ok(Outcome::Error(ErrorKind::InvalidArgument)),
                    (group, _) => group?,
                };
                let claim = group.consumer(&asked.consumer).auto_claim(asked.min_idle).start(asked.start);
                let claimed = claim.count(usize::try_from(asked.count).unwrap()).run()?;
                return Ok(Outcome::Messages(delivered(&claimed.messages), claimed.next));
            }
            other => unreachable!("{other:?} says all there is to say"),
        };
        Ok(Outcome::Messages(delivered(&messages), Id::MIN))
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
        let mut ids = group.pending.keys();
        let first = ids.next();
        let counts =
            group.consumers.keys().map(|name| (name.clone(), group.pending_with(name))).filter(|(_, count)| *count > 0);
        let view = GroupView {
            cursor: group.cursor,
            entries_read: group.entries_read,
            lag: stream.lag(group).map(|lag| u64::try_from(lag).unwrap_or(0)),
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
                .map(|(name, consumer)| {
                    (name.clone(), (group.pending_with(name), consumer.seen_ms, consumer.active_ms))
                })
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

/// A reply without what only the engine has: its segments, told of as Redis's tree; and duplicates that producers sent, of
/// which a crash may forget some.
fn without_segments(reply: Reply) -> Reply {
    let Reply::Map(mut pairs) = reply else { return reply };
    let left_out = ["radix-tree-keys", "radix-tree-nodes", "iids-duplicates"].map(Reply::bulk);
    pairs.retain(|(name, _)| !left_out.contains(name));
    Reply::Map(pairs)
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
