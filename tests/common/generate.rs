//! Operations made of bytes, each chosen with the model at hand, so that most of them meet something: IDs that are there, or
//! just beside; groups that exist. Zeros make the simplest operation, so that what fails shrinks.

use std::ops::Bound;
use std::time::Duration;

use streamlog::command::{
    Command, Delivered, NackMode, ReadLimits, Wait, XAdd, XAutoClaim, XCfgSet, XClaim, XGroupCreate, XGroupSetId,
    XNack, XPendingRange, XRange, XRead, XReadGroup, XSetId,
};
use streamlog::{GroupStart, Id, IdSpec, Idempotent, References, StartAt, Trim};

use super::model::Model;
use super::operation::{Fields, Operation, Own, Retention};

const STREAMS: [&str; 2] = ["orders", "audit"];
const GROUPS: [&str; 2] = ["billing", "search"];
const CONSUMERS: [&str; 3] = ["ann", "bob", "eve"];

/// Bytes to choose by; zeros when they run out.
pub(crate) struct Dice<'a> {
    bytes: std::slice::Iter<'a, u8>,
    model: &'a Model,
}

impl<'a> Dice<'a> {
    pub(crate) fn new(bytes: &'a [u8], model: &'a Model) -> Dice<'a> {
        Dice { bytes: bytes.iter(), model }
    }

    /// A number below `n`.
    fn below(&mut self, n: u8) -> u8 {
        self.bytes.next().map_or(0, |byte| byte % n)
    }

    fn one_in(&mut self, n: u8) -> bool {
        self.below(n) == n - 1
    }

    fn option<T>(&mut self, one_in: u8, some: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.one_in(one_in) { Some(some(self)) } else { None }
    }

    fn stream(&mut self) -> String {
        // Most happens to one stream, so that something happens to it.
        STREAMS[usize::from(self.one_in(6))].to_owned()
    }

    /// A group that there is, if there is one; seldom another.
    fn group(&mut self, stream: &str) -> String {
        let name = GROUPS[usize::from(self.one_in(4))];
        let groups = self.model.streams.get(stream).map(|stream| &stream.groups);
        match groups.and_then(|groups| groups.keys().next()) {
            Some(first) if !groups.is_some_and(|groups| groups.contains_key(name)) && !self.one_in(16) => first.clone(),
            _ => name.to_owned(),
        }
    }

    fn has_groups(&self, stream: &str) -> bool {
        self.model.streams.get(stream).is_some_and(|stream| !stream.groups.is_empty())
    }

    fn consumer(&mut self) -> String {
        CONSUMERS[usize::from(self.below(3))].to_owned()
    }

    /// An ID that the stream has, or that is pending in it, or just before or after such a one.
    fn id(&mut self, stream: &str) -> Id {
        let mut known = vec![Id::MIN];
        if let Some(stream) = self.model.streams.get(stream) {
            known.extend(stream.entries.keys());
            known.extend(stream.groups.values().flat_map(|group| group.pending.keys().chain([&group.cursor])));
            known.extend([stream.last_id, stream.max_deleted_id, stream.trimmed_to]);
            known.sort_unstable();
            known.dedup();
        }
        let id = known[usize::from(self.below(255)) % known.len()];
        match self.below(10) {
            9 => id.next().unwrap_or(id),
            8 => id.previous().unwrap_or(id),
            7 => Id::new(id.ms, u64::MAX),
            6 => Id::MAX,
            _ => id,
        }
    }

    /// Mostly soon.
    fn due_ms(&mut self) -> u64 {
        match self.below(8) {
            0 => self.model.now_ms.saturating_sub(u64::from(self.below(9))),
            1 => u64::MAX - u64::from(self.below(2)),
            _ => self.model.now_ms + u64::from(self.below(20)),
        }
    }

    /// The ID of something scheduled, for whatever stream, if there is anything.
    fn scheduled(&mut self) -> Id {
        let ids: Vec<Id> = self.model.schedule.ids().collect();
        ids.get(usize::from(self.below(255)) % ids.len().max(1)).copied().unwrap_or_default()
    }

    fn ids(&mut self, stream: &str) -> Vec<Id> {
        let mut ids: Vec<Id> = (0..=self.below(4)).map(|_| self.id(stream)).collect();
        if self.one_in(5) {
            ids.push(ids[0]);
        }
        ids
    }

    fn bounds(&mut self, stream: &str) -> (Bound<Id>, Bound<Id>) {
        let mut bound = || match self.below(4) {
            0 | 1 => Bound::Unbounded,
            2 => Bound::Included(self.id(stream)),
            _ => Bound::Excluded(self.id(stream)),
        };
        let (first, last) = (bound(), bound());
        let (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) = (first, last) else {
            return (first, last);
        };
        // One that is upside down now and then.
        if a > b && !self.one_in(4) { (last, first) } else { (first, last) }
    }

    /// Small; 0 now and then.
    fn count(&mut self) -> u64 {
        u64::from((self.below(16) + 1) % 16)
    }

    fn some_ms(&mut self) -> u64 {
        [0, 1, 3, 10, 50, 1 << 40][usize::from(self.below(6))]
    }

    fn some_time(&mut self) -> Duration {
        Duration::from_millis(self.some_ms())
    }

    fn fields(&mut self) -> Fields {
        // From none that fill a segment to some that do.
        let len = [1, 8, 0, 40, 150, 700][usize::from(self.below(6))];
        let mark = self.below(255);
        let value = (mark..=u8::MAX).cycle().take(len).collect();
        let mut fields = vec![(b"n".to_vec(), value)];
        if self.one_in(4) {
            fields.push((b"n".to_vec(), vec![mark]));
        }
        fields
    }

    fn new_id(&mut self, stream: &str) -> IdSpec {
        let last = self.model.streams.get(stream).map_or(Id::MIN, |stream| stream.last_id);
        match self.below(16) {
            0..9 => IdSpec::Auto,
            9..12 => IdSpec::AutoSeq(last.ms.saturating_add(u64::from(self.below(3)))),
            12 => match self.below(8) {
                0 => IdSpec::AutoSeq(last.ms.saturating_sub(1)),
                1 => IdSpec::Exact(self.id(stream)),
                _ => IdSpec::Exact(last.next().unwrap_or(last)),
            },
            _ => IdSpec::Exact(Id::new(last.ms.saturating_add(u64::from(self.below(3))), u64::from(self.below(5)))),
        }
    }

    /// The other stream; seldom the same.
    fn other(&mut self, stream: &str) -> String {
        let name = if self.one_in(16) { Some(stream) } else { STREAMS.into_iter().find(|name| *name != stream) };
        name.unwrap_or(stream).to_owned()
    }

    /// One that may be the last: from the last entry on, mostly.
    fn last_id(&mut self, stream: &str) -> Id {
        let top = self.model.streams.get(stream).and_then(|stream| stream.entries.keys().next_back().copied());
        match self.below(4) {
            0 => top.unwrap_or(Id::MIN),
            1 => Id::new(top.unwrap_or(Id::MIN).ms.saturating_add(u64::from(self.below(20))), u64::from(self.below(3))),
            _ => self.id(stream).min(Id::new(u64::MAX / 4, 0)),
        }
    }

    /// Mostly one that has the next IDs, whatever the stream has.
    fn batch(&mut self, stream: &str) -> Vec<(IdSpec, Fields)> {
        let odd = self.one_in(3);
        let id =
            |dice: &mut Self, at| if at == 0 || odd && dice.one_in(4) { dice.new_id(stream) } else { IdSpec::Auto };
        (0..self.below(16)).map(|at| (id(self, at), self.fields())).collect()
    }

    /// By length or ID only, or in one of the ways that Redis has not.
    fn trim(&mut self, stream: &str) -> Trim {
        let trim = match self.below(4) {
            0 => Trim::max_len(u64::from(self.below(64))),
            1 => Trim::min_id(self.id(stream)),
            2 => Trim::max_age(self.some_time()),
            _ => Trim::acknowledged(),
        };
        let trim = if self.one_in(3) { trim.only_acknowledged() } else { trim };
        trim.references(self.references())
    }

    fn references(&mut self) -> References {
        [References::Keep, References::Delete, References::Acknowledged][usize::from(self.below(3))]
    }

    /// One of few, so that some come twice.
    fn name(&mut self) -> String {
        ["p", "q", "r"][usize::from(self.below(3))].to_owned()
    }

    /// With content of which some comes twice.
    fn once(&mut self) -> Option<(Idempotent, Fields)> {
        self.option(4, |dice| {
            let producer = dice.name();
            let once = match dice.option(2, Dice::name) {
                Some(id) => Idempotent::new(producer, id),
                None => Idempotent::by_content(producer),
            };
            (once, vec![(b"n".to_vec(), vec![dice.below(3)])])
        })
    }

    fn add(&mut self, key: String) -> XAdd {
        let (idempotent, id, fields) = match self.once() {
            Some((once, fields)) => (Some(once), IdSpec::Auto, fields),
            None => (None, self.new_id(&key), self.fields()),
        };
        let no_make_stream = self.one_in(if idempotent.is_some() { 2 } else { 8 });
        let trim = self.option(8, |dice| dice.trim(&key));
        XAdd { key, no_make_stream, idempotent, trim, id, fields }
    }

    fn nack(&mut self, key: String, group: String) -> XNack {
        XNack {
            ids: self.ids(&key),
            key,
            group,
            mode: [NackMode::Fail, NackMode::Silent, NackMode::Fatal][usize::from(self.below(3))],
            retry_count: self.option(5, |dice| u64::from(dice.below(5))),
            force: self.one_in(4),
        }
    }

    /// One stream, or both of them.
    fn streams<T>(&mut self, stream: &str, from: impl Fn(&mut Self, &str) -> T) -> Vec<(String, T)> {
        let mut streams = vec![stream];
        if self.one_in(4) {
            streams.extend(STREAMS.into_iter().find(|name| *name != stream));
        }
        streams.into_iter().map(|name| (name.to_owned(), from(self, name))).collect()
    }

    fn limits(&mut self, one_in: u8) -> ReadLimits {
        let max_count = self.option(8, |dice| 1 + u64::from(dice.below(6)));
        ReadLimits { count: self.option(one_in, Dice::count), max_count, max_size: None }
    }

    fn retention(&mut self) -> Retention {
        Retention {
            max_len: self.option(2, |dice| u64::from(dice.below(64))),
            max_age_ms: self.option(3, Dice::some_ms),
            acknowledged: self.one_in(3),
            only_acknowledged: self.one_in(3),
        }
    }

    fn start(&mut self, stream: &str) -> StartAt {
        match self.below(4) {
            0 | 1 => StartAt::Start,
            2 if self.one_in(3) => StartAt::Last,
            2 => StartAt::End,
            _ => StartAt::After(self.id(stream)),
        }
    }

    pub(crate) fn operation(&mut self) -> Operation {
        if self.one_in(24) {
            let one = |_| if let Operation::Redis(command) = self.single() { Some(command) } else { None };
            return Operation::All((0..6).filter_map(one).collect());
        }
        self.single()
    }

    fn single(&mut self) -> Operation {
        let own = match self.below(100) {
            0..7 => Own::SetClock(self.model.now_ms + u64::from(self.below(8))),
            // Far enough, now and then, that what producers added is forgotten.
            7 if self.one_in(4) => Own::SetClock(self.model.now_ms + 500 + 4 * u64::from(self.below(250))),
            7 => Own::SetClock(self.model.now_ms.saturating_sub(u64::from(self.below(30)))),
            8 => Own::ApplyRetention,
            9..12 => Own::AddDue,
            12..47 => {
                let stream = self.stream();
                return self.on_stream(stream);
            }
            kind => {
                let stream = self.stream();
                let group = self.group(&stream);
                // Most is in vain before there is a group.
                if kind < 64 || !self.has_groups(&stream) && !self.one_in(8) {
                    return self.in_group(stream, group);
                }
                let consumer = self.consumer();
                return self.by_consumer(stream, group, consumer);
            }
        };
        Operation::Own(own)
    }

    fn on_stream(&mut self, key: String) -> Operation {
        let exhausted = self.model.streams.get(&key).is_some_and(|stream| stream.last_id.ms > u64::MAX / 2);
        if exhausted && self.one_in(4) {
            return Operation::Redis(Command::Del { keys: vec![key] });
        }
        Operation::Redis(match self.below(67) {
            0..22 => Command::XAdd(self.add(key)),
            22..29 => {
                let (entries, trim) = (self.batch(&key), self.option(6, |dice| dice.trim(&key)));
                return Operation::Own(Own::AddBatch { stream: key, entries, trim });
            }
            29..34 => Command::XDel { ids: self.ids(&key), key },
            34..37 => Command::XTrim { trim: self.trim(&key), key },
            37..39 => return Operation::Own(Own::SetRetention(key, self.retention())),
            39..43 => {
                let (first, last) = self.bounds(&key);
                let range = XRange { key, first, last, count: self.option(2, Dice::count) };
                if self.one_in(2) { Command::XRevRange(range) } else { Command::XRange(range) }
            }
            43..45 => Command::XRead(XRead {
                limits: {
                    let limits = self.limits(2);
                    // To Redis 0 is any number.
                    ReadLimits { count: limits.count.filter(|count| *count > 0), ..limits }
                },
                wait: Wait::No,
                streams: self.streams(&key, Dice::start),
            }),
            45..49 => {
                return Operation::Own(Own::Delay { stream: key, due_ms: self.due_ms(), fields: self.fields() });
            }
            49..51 => return Operation::Own(Own::Cancel(key, self.scheduled())),
            51..54 => Command::XDelEx { ids: self.ids(&key), key, references: self.references() },
            54 => {
                let to = self.stream();
                if self.one_in(2) { Command::Rename { key, to } } else { Command::RenameNx { key, to } }
            }
            55 => Command::Copy { destination: self.other(&key), source: key, replace: self.one_in(2) },
            56..59 => Command::XSetId(XSetId {
                last_id: self.last_id(&key),
                entries_added: self.option(3, |dice| u64::from(dice.below(64))),
                max_deleted_id: self.option(4, |dice| dice.id(&key)),
                key,
            }),
            59 if self.one_in(2) => {
                let (producer, id) = (self.name().into_bytes(), self.name().into_bytes());
                Command::XIdmpRecord { entry: self.id(&key), key, producer, id }
            }
            59 => {
                let seconds = self.option(2, |dice| 1 + u32::from(dice.below(2)));
                let ids = if seconds.is_none() || self.one_in(2) { Some(1 + u32::from(self.below(3))) } else { None };
                Command::XCfgSet(XCfgSet { key, seconds, ids })
            }
            60..64 => self.look(key),
            _ if self.one_in(8) => self.delete(key),
            _ => return Operation::Own(Own::Create(key)),
        })
    }

    fn delete(&mut self, key: String) -> Command {
        match self.below(4) {
            0 => Command::Unlink { keys: vec![key] },
            1 => Command::Del { keys: vec![self.other(&key), key] },
            _ => Command::Del { keys: vec![key] },
        }
    }

    fn look(&mut self, key: String) -> Command {
        match self.below(6) {
            0 => Command::XInfoStream { key },
            1 => Command::XInfoStreamFull { key, count: self.count() },
            2 => Command::XInfoGroups { key },
            3 => Command::XLen { key },
            4 => Command::Exists { keys: vec![self.other(&key), key] },
            _ => Command::Type { key },
        }
    }

    fn in_group(&mut self, key: String, group: String) -> Operation {
        if !self.has_groups(&key) && !self.one_in(8) {
            let start = self.start(&key);
            return Operation::Own(Own::Ensure { names: [key, group], start });
        }
        let entries_read = |dice: &mut Self| dice.option(3, |dice| u64::from(dice.below(20)));
        Operation::Redis(match self.below(28) {
            0 => Command::XGroupCreate(XGroupCreate {
                start: self.start(&key),
                key,
                group,
                make_stream: !self.one_in(3),
                entries_read: entries_read(self),
            }),
            1 => {
                let start = self.start(&key);
                return Operation::Own(Own::Ensure { names: [key, group], start });
            }
            2..4 => {
                Command::XGroupSetId(XGroupSetId { to: self.start(&key), key, group, entries_read: entries_read(self) })
            }
            4..10 => Command::XAck { ids: self.ids(&key), key, group },
            10..14 => {
                let (first, last) = self.bounds(&key);
                let (idle, consumer) = (self.some_time(), self.option(2, Dice::consumer));
                let count = self.option(2, Dice::count).unwrap_or(1_000_000);
                Command::XPendingRange(XPendingRange { key, group, idle, first, last, count, consumer })
            }
            14 => Command::XGroupCreateConsumer { key, group, consumer: self.consumer() },
            15 => Command::XGroupDelConsumer { key, group, consumer: self.consumer() },
            17..20 => Command::XAckDel { ids: self.ids(&key), key, group, references: self.references() },
            20..24 => {
                let nack = self.nack(key, group);
                if self.one_in(2) {
                    return Operation::Own(Own::Nack { nack, delay_ms: u64::from(self.below(40)) });
                }
                Command::XNack(nack)
            }
            24..26 => Command::XPending { key, group },
            26..28 => Command::XInfoConsumers { key, group },
            _ if self.one_in(3) => Command::XGroupDestroy { key, group },
            _ => Command::XGroupCreateConsumer { key, group, consumer: self.consumer() },
        })
    }

    fn by_consumer(&mut self, key: String, group: String, consumer: String) -> Operation {
        let by_handle = self.one_in(3);
        let mut command = match self.below(33) {
            0..15 => self.read_group(&key, group, consumer),
            15..23 => {
                let (count, claim_idle_ms) = (self.count() as usize, self.option(2, Dice::some_ms));
                return Operation::Own(Own::Fetch { names: [key, group, consumer], count, claim_idle_ms });
            }
            23..28 => Command::XClaim(XClaim {
                ids: self.ids(&key),
                min_idle: self.some_time(),
                delivered: match self.below(8) {
                    0 | 1 => {
                        Some(Delivered::Ago(Duration::from_millis(u64::from(self.below(50)).min(self.model.now_ms))))
                    }
                    2 => Some(Delivered::AtMs(self.model.now_ms + u64::from(self.below(20)))),
                    3 => Some(Delivered::AtMs(self.model.now_ms.saturating_sub(u64::from(self.below(20))))),
                    _ => None,
                },
                retry_count: self.option(4, |dice| u64::from(dice.below(5))),
                force: self.one_in(3),
                just_ids: self.one_in(4) && !by_handle,
                last_id: self.option(6, |dice| dice.id(&key)),
                key,
                group,
                consumer,
            }),
            _ => Command::XAutoClaim(XAutoClaim {
                min_idle: self.some_time(),
                start: if self.one_in(2) { self.id(&key) } else { Id::MIN },
                // Redis has no command that says 0.
                count: if by_handle { self.count() } else { self.count().max(1) },
                just_ids: self.one_in(4) && !by_handle,
                key,
                group,
                consumer,
            }),
        };
        if by_handle {
            return Operation::Own(Own::ByHandle(command));
        }
        // To a handle 0 says nothing at all, to Redis any number.
        if let Command::XReadGroup(XReadGroup { limits, .. }) = &mut command {
            limits.count = limits.count.filter(|count| *count > 0);
        }
        Operation::Redis(command)
    }

    /// Mostly of what is new.
    fn read_group(&mut self, key: &str, group: String, consumer: String) -> Command {
        let start = |dice: &mut Self, key: &str| match dice.below(8) {
            0 => GroupStart::PendingAfter(dice.id(key)),
            1 => GroupStart::PendingAfter(Id::MIN),
            _ => GroupStart::New,
        };
        let mut limits = self.limits(2);
        // Most takes little, so that there is something left.
        limits.count = limits.count.or_else(|| self.option(2, Dice::count));
        Command::XReadGroup(XReadGroup {
            group,
            consumer,
            limits,
            wait: Wait::No,
            claim: self.option(4, Dice::some_time),
            no_ack: self.one_in(5),
            streams: self.streams(key, start),
        })
    }
}
