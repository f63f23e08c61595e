//! Operations made of bytes, each chosen with the model at hand, so that most of them meet something: IDs that are there, or
//! just beside; groups that exist. Zeros make the simplest operation, so that what fails shrinks.

use std::ops::Bound;

use streamlog::{Id, IdSpec, References, StartAt};

use super::model::Model;
use super::operation::{
    Bounds, ByConsumer, Fields, HowToClaim, HowToNack, InGroup, Limit, OnStream, Operation, Retention, Trim, Verdict,
};

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

    fn bounds(&mut self, stream: &str) -> Bounds {
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
    fn count(&mut self) -> usize {
        usize::from((self.below(16) + 1) % 16)
    }

    fn some_ms(&mut self) -> u64 {
        [0, 1, 3, 10, 50, 1 << 40][usize::from(self.below(6))]
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

    fn trim(&mut self, stream: &str) -> Trim {
        let limit = match self.below(4) {
            0 => Limit::Len(u64::from(self.below(64))),
            1 => Limit::MinId(self.id(stream)),
            2 => Limit::AgeMs(self.some_ms()),
            _ => Limit::None,
        };
        // Everything goes only if acknowledged.
        let only_acknowledged = limit == Limit::None || self.one_in(3);
        Trim { limit, only_acknowledged, references: self.references() }
    }

    fn references(&mut self) -> References {
        [References::Keep, References::Delete, References::Acknowledged][usize::from(self.below(3))]
    }

    /// One of few, so that some come twice.
    fn name(&mut self) -> String {
        ["p", "q", "r"][usize::from(self.below(3))].to_owned()
    }

    fn nack(&mut self) -> HowToNack {
        HowToNack {
            verdict: [Verdict::Fail, Verdict::Silent, Verdict::Fatal][usize::from(self.below(3))],
            deliveries: self.option(5, |dice| u32::from(dice.below(5))),
            delay_ms: if self.one_in(2) { u64::from(self.below(40)) } else { 0 },
            force: self.one_in(4),
        }
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
        match self.below(100) {
            0..7 => Operation::SetClock(self.model.now_ms + u64::from(self.below(8))),
            7 => Operation::SetClock(self.model.now_ms.saturating_sub(u64::from(self.below(30)))),
            8 => Operation::ApplyRetention,
            9..12 => Operation::AddDue,
            12..47 => {
                let stream = self.stream();
                let operation = self.on_stream(&stream);
                Operation::On(stream, operation)
            }
            kind => {
                let stream = self.stream();
                let group = self.group(&stream);
                // Most is in vain before there is a group.
                if kind < 64 || !self.has_groups(&stream) && !self.one_in(8) {
                    let operation = self.in_group(&stream);
                    return Operation::In([stream, group], operation);
                }
                let operation = self.by_consumer(&stream);
                Operation::By([stream, group, self.consumer()], operation)
            }
        }
    }

    fn on_stream(&mut self, stream: &str) -> OnStream {
        let exhausted = self.model.streams.get(stream).is_some_and(|stream| stream.last_id.ms > u64::MAX / 2);
        if exhausted && self.one_in(4) {
            return OnStream::DeleteStream;
        }
        match self.below(63) {
            0..18 => OnStream::Add {
                id: self.new_id(stream),
                fields: self.fields(),
                trim: self.option(8, |dice| dice.trim(stream)),
            },
            18..25 => {
                OnStream::AddBatch { entries: self.batch(stream), trim: self.option(6, |dice| dice.trim(stream)) }
            }
            25..31 => OnStream::Delete(self.ids(stream)),
            31..34 => OnStream::Trim(self.trim(stream)),
            34..36 => OnStream::SetRetention(self.retention()),
            36..40 => OnStream::Range {
                bounds: self.bounds(stream),
                backwards: self.one_in(2),
                count: self.option(2, Dice::count),
            },
            44..48 => OnStream::AddOnce {
                producer: self.name(),
                id: self.option(2, Dice::name),
                fields: vec![(b"n".to_vec(), vec![self.below(3)])],
                trim: self.option(8, |dice| dice.trim(stream)),
            },
            57..61 => OnStream::Delay { due_ms: self.due_ms(), fields: self.fields() },
            61..63 => OnStream::Cancel(self.scheduled()),
            48..51 => OnStream::Remove(self.ids(stream), self.references()),
            52 => OnStream::Rename(self.stream(), self.one_in(2)),
            53 => OnStream::Copy(self.other(stream), self.one_in(2)),
            54..57 => OnStream::SetLast {
                id: self.last_id(stream),
                entries_added: self.option(3, |dice| u64::from(dice.below(64))),
                max_deleted_id: self.option(4, |dice| dice.id(stream)).unwrap_or(Id::MIN),
            },
            51 => OnStream::SetIdempotency(1 + u32::from(self.below(2)), 1 + u32::from(self.below(3))),
            40..42 => OnStream::Read { after: self.start(stream), count: self.option(2, Dice::count) },
            _ if self.one_in(8) => OnStream::DeleteStream,
            _ => OnStream::Create,
        }
    }

    fn in_group(&mut self, stream: &str) -> InGroup {
        if !self.has_groups(stream) && !self.one_in(8) {
            return InGroup::Ensure { start: self.start(stream) };
        }
        match self.below(24) {
            0 => InGroup::Create {
                start: self.start(stream),
                entries_read: self.option(3, |dice| u64::from(dice.below(20))),
            },
            1 => InGroup::Ensure { start: self.start(stream) },
            2..4 => InGroup::SetCursor(self.start(stream), self.option(3, |dice| u64::from(dice.below(20)))),
            17..20 => InGroup::AckAndDelete(self.ids(stream), self.references()),
            20..24 => InGroup::Nack { ids: self.ids(stream), how: self.nack() },
            4..10 => InGroup::Ack(self.ids(stream)),
            10..14 => InGroup::PendingRange {
                bounds: self.bounds(stream),
                idle_ms: self.some_ms(),
                consumer: self.option(2, Dice::consumer),
                count: self.option(2, Dice::count),
            },
            14 => InGroup::CreateConsumer(self.consumer()),
            15 => InGroup::DeleteConsumer(self.consumer()),
            _ if self.one_in(3) => InGroup::Destroy,
            _ => InGroup::CreateConsumer(self.consumer()),
        }
    }

    fn by_consumer(&mut self, stream: &str) -> ByConsumer {
        match self.below(33) {
            0..11 => ByConsumer::ReadNew {
                count: self.count(),
                no_ack: self.one_in(5),
                claim_idle_ms: self.option(4, Dice::some_ms),
            },
            11..15 => ByConsumer::History {
                after: if self.one_in(2) { self.id(stream) } else { Id::MIN },
                count: self.option(2, Dice::count),
            },
            15..23 => ByConsumer::Fetch { count: self.count(), claim_idle_ms: self.option(2, Dice::some_ms) },
            23..28 => ByConsumer::Claim {
                ids: self.ids(stream),
                min_idle_ms: self.some_ms(),
                how: HowToClaim {
                    force: self.one_in(3),
                    idle_ms: self.option(4, |dice| u64::from(dice.below(50)).min(dice.model.now_ms)),
                    at_ms: self.option(6, |dice| dice.model.now_ms + u64::from(dice.below(20))),
                    deliveries: self.option(4, |dice| u32::from(dice.below(5))),
                    last_id: self.option(6, |dice| dice.id(stream)),
                    just_ids: self.one_in(4),
                },
            },
            _ => ByConsumer::AutoClaim {
                min_idle_ms: self.some_ms(),
                start: if self.one_in(2) { self.id(stream) } else { Id::MIN },
                count: self.count(),
                just_ids: self.one_in(4),
            },
        }
    }
}
