//! The operations of a workload: what a user can do to a broker, and what its background does.

use std::time::Duration;

use streamlog::{
    Broker, DelayedId, Durability, ErrorKind, Id, IdSpec, Idempotency, Idempotent, References, Result, Retention,
    StartAt, Trim,
};

use super::observe::Snapshot;

pub(crate) type Name = &'static str;

/// All there ever are, in order.
pub(crate) const STREAMS: [Name; 3] = ["a", "b", "c"];

/// What streams are told to keep.
pub(crate) const KEEPS: [Keep; 6] = [
    Keep { max_len: Some(6), ..Keep::EVERYTHING },
    Keep { max_len: Some(9), max_bytes: Some(900), ..Keep::EVERYTHING },
    Keep { max_age_ms: Some(40), ..Keep::EVERYTHING },
    Keep { acknowledged: true, ..Keep::EVERYTHING },
    Keep { max_len: Some(4), max_bytes: Some(300), only_acknowledged: true, ..Keep::EVERYTHING },
    Keep { max_len: Some(12), max_age_ms: Some(90), acknowledged: true, ..Keep::EVERYTHING },
];

/// A consumer of a group of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who {
    pub(crate) stream: Name,
    pub(crate) group: Name,
    pub(crate) consumer: Name,
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Create(Name),
    DeleteStream(Name),
    Add {
        stream: Name,
        bytes: usize,
        id: IdSpec,
        trim: Option<Trim>,
        level: Option<Durability>,
    },
    /// The same as another of its number, if that is remembered.
    AddOnce {
        stream: Name,
        number: usize,
        by_content: bool,
    },
    /// How many IDs of each producer are remembered.
    Remember {
        stream: Name,
        ids: u32,
    },
    Batch {
        stream: Name,
        entries: Vec<(IdSpec, usize)>,
        trim: Option<Trim>,
        level: Option<Durability>,
    },
    /// To be added so much later.
    Delay {
        stream: Name,
        bytes: usize,
        in_ms: u64,
        level: Option<Durability>,
    },
    CancelDelayed {
        stream: Name,
        id: DelayedId,
    },
    /// As the background adds what is due: one record.
    AddDue,
    Group {
        stream: Name,
        group: Name,
        start: StartAt,
        entries_read: Option<u64>,
        ensure: bool,
    },
    Destroy {
        stream: Name,
        group: Name,
    },
    SetCursor {
        stream: Name,
        group: Name,
        to: StartAt,
    },
    CreateConsumer(Who),
    DeleteConsumer(Who),
    ReadNew {
        who: Who,
        count: usize,
        no_ack: bool,
        claim_idle_ms: Option<u64>,
    },
    Fetch {
        who: Who,
        count: usize,
        claim_idle_ms: Option<u64>,
    },
    History {
        who: Who,
        after: Id,
        count: usize,
    },
    Ack {
        stream: Name,
        group: Name,
        ids: Vec<Id>,
        level: Option<Durability>,
    },
    AckAndDelete {
        stream: Name,
        group: Name,
        ids: Vec<Id>,
        references: References,
    },
    Nack {
        stream: Name,
        group: Name,
        ids: Vec<Id>,
        how: HowToNack,
    },
    Claim {
        who: Who,
        ids: Vec<Id>,
        how: HowToClaim,
    },
    AutoClaim {
        who: Who,
        min_idle_ms: u64,
        start: Id,
        count: usize,
    },
    Delete {
        stream: Name,
        ids: Vec<Id>,
    },
    Remove {
        stream: Name,
        ids: Vec<Id>,
        references: References,
    },
    Trim {
        stream: Name,
        trim: Trim,
    },
    Retain {
        stream: Name,
        keep: Keep,
    },
    Rename {
        stream: Name,
        to: Name,
        replace: bool,
    },
    Copy {
        stream: Name,
        to: Name,
        replace: bool,
    },
    SetLast {
        stream: Name,
        id: Id,
        entries_added: Option<u64>,
    },
    Retention,
    Flush,
    /// As the background flushes: if there is much.
    FlushStep,
    Checkpoint,
    Spare,
    Sync,
    Reopen,
    /// These operations of a user as one.
    Exec(Vec<Op>),
    /// Work of the background, and in the middle of it these operations of a user: before the disk makes the change that
    /// comes after so many others there.
    Amid {
        work: Work,
        after: u64,
        ops: Vec<Op>,
    },
}

/// Work of the background in the middle of which users can work.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// While segments are written, and unlinked.
    CheckpointAtSegments,
    /// While redb is written.
    CheckpointAtTables,
    Flush,
    Spare,
}

impl Work {
    pub(crate) const ALL: [Work; 4] = [Work::CheckpointAtSegments, Work::CheckpointAtTables, Work::Flush, Work::Spare];

    /// Where on the disk.
    pub(crate) fn place(self) -> &'static str {
        match self {
            Work::CheckpointAtSegments | Work::Flush => "streams/",
            Work::CheckpointAtTables => "state.redb",
            Work::Spare => "journal/spare",
        }
    }

    pub(crate) fn op(self) -> Op {
        match self {
            Work::CheckpointAtSegments | Work::CheckpointAtTables => Op::Checkpoint,
            Work::Flush => Op::Flush,
            Work::Spare => Op::Spare,
        }
    }
}

/// How entries are taken over.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HowToClaim {
    pub(crate) min_idle_ms: u64,
    pub(crate) force: bool,
    pub(crate) just_ids: bool,
    pub(crate) idle_ms: Option<u64>,
    pub(crate) deliveries: Option<u32>,
}

/// How entries are given back.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HowToNack {
    pub(crate) delay_ms: u64,
    pub(crate) fatal: bool,
    pub(crate) force: bool,
}

/// What a stream is told to keep.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Keep {
    pub(crate) max_len: Option<u64>,
    pub(crate) max_age_ms: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) acknowledged: bool,
    pub(crate) only_acknowledged: bool,
}

impl Keep {
    pub(crate) const EVERYTHING: Keep =
        Keep { max_len: None, max_age_ms: None, max_bytes: None, acknowledged: false, only_acknowledged: false };

    pub(crate) fn retention(self) -> Retention {
        let mut retention = Retention::default();
        if let Some(entries) = self.max_len {
            retention = retention.max_len(entries);
        }
        if let Some(ms) = self.max_age_ms {
            retention = retention.max_age(Duration::from_millis(ms));
        }
        if let Some(bytes) = self.max_bytes {
            retention = retention.max_bytes(bytes);
        }
        if self.acknowledged {
            retention = retention.acknowledged();
        }
        if self.only_acknowledged { retention.only_acknowledged() } else { retention }
    }

    /// The trims that it amounts to, in order.
    pub(crate) fn trims(self) -> Vec<Trim> {
        let mut trims = Vec::new();
        trims.extend(self.max_len.map(Trim::max_len));
        trims.extend(self.max_age_ms.map(|ms| Trim::max_age(Duration::from_millis(ms))));
        trims.extend(self.max_bytes.map(Trim::max_bytes));
        if self.only_acknowledged {
            trims.iter_mut().for_each(|trim| *trim = trim.only_acknowledged());
        }
        trims.extend(self.acknowledged.then(Trim::acknowledged));
        trims
    }
}

/// Who waits for the disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Levels {
    pub(crate) writes: Durability,
    pub(crate) acks: Durability,
}

/// What an operation gave: entries' IDs, and a number.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) ids: Vec<Id>,
    pub(crate) number: u64,
    /// Of several as one, what each gave.
    pub(crate) each: Vec<std::result::Result<Outcome, ErrorKind>>,
}

impl From<Vec<Id>> for Outcome {
    fn from(ids: Vec<Id>) -> Outcome {
        Outcome { ids, ..Outcome::default() }
    }
}

impl From<u64> for Outcome {
    fn from(number: u64) -> Outcome {
        Outcome { number, ..Outcome::default() }
    }
}

impl From<bool> for Outcome {
    fn from(yes: bool) -> Outcome {
        u64::from(yes).into()
    }
}

impl From<()> for Outcome {
    fn from((): ()) -> Outcome {
        Outcome::default()
    }
}

/// The fields of an entry: other bytes at every moment, so that no entry passes for another.
fn fields(now_ms: u64, number: usize, bytes: usize) -> Vec<(String, Vec<u8>)> {
    let value = |at: usize| (now_ms as usize).wrapping_mul(31).wrapping_add(number * 17 + at * 7) as u8;
    vec![
        ("at".to_owned(), format!("{now_ms}.{number}").into_bytes()),
        ("data".to_owned(), (0..bytes).map(value).collect()),
    ]
}

/// What each of several gives. Each has other bytes.
fn each(ops: &[Op], broker: &Broker, now_ms: u64) -> Outcome {
    let run = |(op, number): (&Op, u64)| op.run(broker, now_ms + (number << 40)).map_err(|error| error.kind());
    Outcome { each: ops.iter().zip(1..).map(run).collect(), ..Outcome::default() }
}

impl Op {
    /// Does it. [`Reopen`](Op::Reopen) and [`Amid`](Op::Amid) are its caller's to do.
    pub(crate) fn run(&self, broker: &Broker, now_ms: u64) -> Result<Outcome> {
        let group = |stream: Name, group: Name| broker.stream(stream)?.group(group).existing();
        let consumer = |who: Who| Ok::<_, streamlog::Error>(group(who.stream, who.group)?.consumer(who.consumer));
        Ok(match *self {
            Op::Group { stream: name, group, start, entries_read, ensure } => {
                let mut new = broker.stream(name)?.group(group).start_at(start);
                if let Some(entries) = entries_read {
                    new = new.entries_read(entries);
                }
                drop(if ensure { new.ensure()? } else { new.create()? });
                ().into()
            }
            Op::Destroy { stream, group: name } => group(stream, name)?.destroy()?.into(),
            Op::SetCursor { stream, group: name, to } => group(stream, name)?.set_cursor(to)?.into(),
            Op::CreateConsumer(who) => group(who.stream, who.group)?.create_consumer(who.consumer)?.into(),
            Op::DeleteConsumer(who) => group(who.stream, who.group)?.delete_consumer(who.consumer)?.into(),
            Op::ReadNew { who, count, no_ack, claim_idle_ms } => {
                let mut read = consumer(who)?.read_new().count(count);
                if let Some(ms) = claim_idle_ms {
                    read = read.claim_idle(Duration::from_millis(ms));
                }
                let read = if no_ack { read.no_ack() } else { read };
                read.next()?.ids().into()
            }
            Op::Fetch { who, count, claim_idle_ms } => {
                let fetch = consumer(who)?.fetch().count(count);
                let fetch = match claim_idle_ms {
                    Some(ms) => fetch.claim_idle(Duration::from_millis(ms)),
                    None => fetch,
                };
                fetch.next()?.ids().into()
            }
            Op::History { who, after, count } => consumer(who)?.history(after).count(count).read()?.ids().into(),
            Op::Ack { stream, group: name, ref ids, level } => {
                let group = group(stream, name)?;
                match level {
                    Some(level) => group.ack_with(ids, level)?.into(),
                    None => group.ack(ids)?.into(),
                }
            }
            Op::AckAndDelete { stream, group: name, ref ids, references } => {
                group(stream, name)?.ack_and_delete(ids, references)?;
                ().into()
            }
            Op::Nack { stream, group: name, ref ids, how } => {
                let nack = group(stream, name)?.nack(ids).after(Duration::from_millis(how.delay_ms));
                let nack = if how.fatal { nack.fatal() } else { nack.silent() };
                (if how.force { nack.force() } else { nack }).run()?.into()
            }
            Op::Claim { who, ref ids, how } => {
                let mut claim = consumer(who)?.claim(ids).min_idle(Duration::from_millis(how.min_idle_ms));
                if how.force {
                    claim = claim.force();
                }
                if let Some(ms) = how.idle_ms {
                    claim = claim.idle(Duration::from_millis(ms));
                }
                if let Some(deliveries) = how.deliveries {
                    claim = claim.deliveries(deliveries);
                }
                if how.just_ids { claim.just_ids()?.into() } else { claim.run()?.ids().into() }
            }
            Op::AutoClaim { who, min_idle_ms, start, count } => {
                let claim = consumer(who)?.auto_claim(Duration::from_millis(min_idle_ms));
                claim.start(start).count(count).run()?.messages.ids().into()
            }
            Op::Retention => broker.trim_step()?.into(),
            Op::Flush => broker.flush_all()?.into(),
            Op::FlushStep => broker.flush_step()?.into(),
            Op::Checkpoint => broker.checkpoint()?.into(),
            Op::Spare => broker.spare_step()?.into(),
            Op::Sync => broker.sync()?.into(),
            Op::AddDue => (broker.due_step()? as u64).into(),
            Op::Exec(ref ops) => broker.together(|| each(ops, broker, now_ms))?,
            // The trial's to do.
            Op::Reopen | Op::Amid { .. } => ().into(),
            _ => self.run_on_stream(broker, now_ms)?,
        })
    }

    /// Does it, several as one too, one after the other.
    pub(crate) fn run_apart(&self, broker: &Broker, now_ms: u64) -> Result<Outcome> {
        if let Op::Exec(ops) = self { Ok(each(ops, broker, now_ms)) } else { self.run(broker, now_ms) }
    }

    fn run_on_stream(&self, broker: &Broker, now_ms: u64) -> Result<Outcome> {
        let stream = |name: Name| broker.stream(name);
        Ok(match *self {
            Op::Create(name) => stream(name)?.create()?.into(),
            Op::DeleteStream(name) => stream(name)?.delete_stream()?.into(),
            Op::Add { stream: name, bytes, id, trim, level } => {
                let stream = stream(name)?;
                let mut entry = stream.entry(fields(now_ms, 0, bytes)).id(id);
                if let Some(trim) = trim {
                    entry = entry.trim(trim);
                }
                if let Some(level) = level {
                    entry = entry.durability(level);
                }
                vec![entry.add()?].into()
            }
            Op::AddOnce { stream: name, number, by_content } => {
                let once = if by_content {
                    Idempotent::by_content("producer")
                } else {
                    Idempotent::new("producer", number.to_string())
                };
                vec![stream(name)?.entry([("once", number.to_string())]).idempotent(once).add()?].into()
            }
            Op::Remember { stream: name, ids } => {
                stream(name)?.create()?;
                stream(name)?.set_idempotency(Idempotency::default().ids(ids)?)?.into()
            }
            Op::Batch { stream: name, ref entries, trim, level } => {
                let stream = stream(name)?;
                let mut batch = stream.batch();
                for (number, &(id, bytes)) in entries.iter().enumerate() {
                    batch.push_with_id(id, fields(now_ms, number, bytes))?;
                }
                if let Some(level) = level {
                    batch = batch.durability(level);
                }
                if let Some(trim) = trim {
                    batch = batch.trim(trim);
                }
                batch.add()?.into()
            }
            Op::Delay { stream: name, bytes, in_ms, level } => {
                let stream = stream(name)?;
                let entry = stream.entry(fields(now_ms, 0, bytes)).delay(Duration::from_millis(in_ms));
                let entry = if let Some(level) = level { entry.durability(level) } else { entry };
                vec![entry.schedule()?.id().to_string().parse::<Id>()?].into()
            }
            Op::CancelDelayed { stream: name, id } => stream(name)?.cancel_delayed(id)?.into(),
            Op::Delete { stream: name, ref ids } => stream(name)?.delete(ids)?.into(),
            Op::Remove { stream: name, ref ids, references } => {
                stream(name)?.remove(ids, references)?;
                ().into()
            }
            Op::Trim { stream: name, trim } => stream(name)?.trim(trim)?.into(),
            Op::Retain { stream: name, keep } => stream(name)?.set_retention(keep.retention())?.into(),
            Op::Rename { stream: name, to, replace: true } => stream(name)?.rename_to(to)?.into(),
            Op::Rename { stream: name, to, replace: false } => stream(name)?.rename_to_new(to)?.into(),
            Op::Copy { stream: name, to, replace: true } => stream(name)?.copy_to(to)?.into(),
            Op::Copy { stream: name, to, replace: false } => stream(name)?.copy_to_new(to)?.into(),
            Op::SetLast { stream: name, id, entries_added: None } => stream(name)?.set_last_id(id).set()?.into(),
            Op::SetLast { stream: name, id, entries_added: Some(entries) } => {
                stream(name)?.set_last_id(id).entries_added(entries).set()?.into()
            }
            _ => unreachable!("{self:?} is on no stream"),
        })
    }

    /// Whether the state stays what it was, whatever the operation returns.
    pub(crate) fn is_background(&self) -> bool {
        matches!(self, Op::Flush | Op::FlushStep | Op::Checkpoint | Op::Spare | Op::Sync | Op::Reopen)
    }

    /// Whether everything up to this operation survives power loss once it has returned.
    pub(crate) fn makes_durable(&self, levels: Levels) -> bool {
        let level = match *self {
            Op::Add { level, .. } | Op::Batch { level, .. } | Op::Delay { level, .. } => level.unwrap_or(levels.writes),
            Op::Ack { level, .. } => level.unwrap_or(levels.acks),
            Op::AckAndDelete { .. } | Op::Nack { .. } => levels.acks,
            Op::Create(_)
            | Op::DeleteStream(_)
            | Op::Group { .. }
            | Op::Destroy { .. }
            | Op::SetCursor { .. }
            | Op::CreateConsumer(_)
            | Op::DeleteConsumer(_)
            | Op::CancelDelayed { .. }
            | Op::AddDue
            | Op::AddOnce { .. }
            | Op::Remember { .. }
            | Op::Delete { .. }
            | Op::Remove { .. }
            | Op::Trim { .. }
            | Op::Retain { .. }
            | Op::Rename { .. }
            | Op::Copy { .. }
            | Op::SetLast { .. } => levels.writes,
            Op::Checkpoint | Op::Sync | Op::Reopen => Durability::Always,
            Op::ReadNew { .. }
            | Op::Fetch { .. }
            | Op::History { .. }
            | Op::Claim { .. }
            | Op::AutoClaim { .. }
            | Op::Retention
            | Op::Flush
            | Op::FlushStep
            | Op::Spare
            | Op::Amid { .. } => Durability::Os,
            Op::Exec(ref ops) => return ops.iter().any(|op| op.makes_durable(levels)),
        };
        level == Durability::Always
    }

    /// What the operation amounts to, if it is more than one record: a crash may fall between them. Retention is a trim
    /// after the other, and a fetch looks through what is its own before it reads.
    pub(crate) fn parts(&self, before: &Snapshot) -> Vec<Op> {
        match *self {
            Op::Retention => {
                let mut parts = Vec::new();
                for stream in STREAMS.into_iter().filter(|&name| before.streams.contains_key(name)) {
                    let retention = before.streams[stream].marks.retention;
                    let keep = KEEPS.into_iter().find(|keep| keep.retention() == retention).unwrap_or_default();
                    parts.extend(keep.trims().into_iter().map(|trim| Op::Trim { stream, trim }));
                }
                parts
            }
            Op::Remember { stream, .. } => vec![Op::Create(stream), self.clone()],
            Op::Fetch { who, count, .. } => {
                let Some(group) = before.group(who.stream, who.group) else { return vec![self.clone()] };
                let mut parts = Vec::new();
                if !group.consumers.contains_key(who.consumer) {
                    parts.push(Op::CreateConsumer(who));
                }
                let entries = &before.streams[who.stream].entries;
                let forget =
                    |ids: Vec<Id>| Op::Ack { stream: who.stream, group: who.group, ids, level: Some(Durability::Os) };
                let own = group.pending.iter().filter(|(_, row)| row.consumer == who.consumer).map(|(&id, _)| id);
                let own: Vec<_> = own.collect();
                let deleted = own.chunks(count).take_while(|ids| ids.iter().all(|id| !entries.contains_key(id)));
                parts.extend(deleted.map(|ids| forget(ids.to_vec())));
                parts.push(self.clone());
                parts
            }
            Op::Delay { stream, .. } if !before.streams.contains_key(stream) => vec![Op::Create(stream), self.clone()],
            _ if self.is_background() => Vec::new(),
            _ => vec![self.clone()],
        }
    }
}
