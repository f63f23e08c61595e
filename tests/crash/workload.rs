//! Workloads: short ones from an alphabet, long ones from a seed. What an operation is about (which entries to
//! acknowledge, whom to take them from) is decided when its turn comes, from the state the model is in.

use streamlog::{DelayedId, Durability, Id, IdSpec, References, StartAt, Trim};

use super::chance::Chance;
use super::observe::Snapshot;
use super::op::{HowToClaim, HowToNack, KEEPS, Keep, Name, Op, STREAMS, Who, Work};

/// An operation of the alphabet.
pub(crate) type Letter = (&'static str, fn(&Snapshot) -> Op);

const X: Who = Who { stream: "a", group: "g", consumer: "x" };
const Y: Who = Who { stream: "a", group: "g", consumer: "y" };

fn ids(state: &Snapshot) -> Vec<Id> {
    state.streams.get("a").map(|stream| stream.entries.keys().copied().collect()).unwrap_or_default()
}

fn pending(state: &Snapshot) -> Vec<Id> {
    state.group("a", "g").map(|group| group.pending.keys().copied().collect()).unwrap_or_default()
}

fn delayed(state: &Snapshot, stream: Name) -> Vec<DelayedId> {
    state.streams.get(stream).map(|stream| stream.delayed.keys().copied().collect()).unwrap_or_default()
}

fn last(state: &Snapshot) -> Id {
    state.streams.get("a").map_or(Id::MIN, |stream| stream.marks.last_id)
}

fn add(bytes: usize) -> Op {
    Op::Add { stream: "a", bytes, id: IdSpec::Auto, trim: None, level: None }
}

fn batch(stream: Name, bytes: &[usize]) -> Op {
    let entries = bytes.iter().map(|&bytes| (IdSpec::Auto, bytes)).collect();
    Op::Batch { stream, entries, trim: None, level: None }
}

/// What begins most short workloads: three entries, a group, two of the entries delivered to `x`.
pub(crate) const BEGUN: [Letter; 3] = [
    ("batch", |_| batch("a", &[10, 100, 10])),
    ("group", |_| Op::Group { stream: "a", group: "g", start: StartAt::Start, entries_read: None, ensure: true }),
    ("read two", |_| Op::ReadNew { who: X, count: 2, no_ack: false, claim_idle_ms: None }),
];

/// One of each kind.
pub(crate) const ALPHABET: [Letter; 46] = [
    ("add", |_| add(20)),
    ("add os", |_| Op::Add { stream: "a", bytes: 20, id: IdSpec::Auto, trim: None, level: Some(Durability::Os) }),
    ("add large", |_| add(400)),
    ("add trim", |_| Op::Add {
        stream: "a",
        bytes: 5,
        id: IdSpec::AutoSeq(5000),
        trim: Some(Trim::max_len(1)),
        level: None,
    }),
    ("batch b", |_| batch("b", &[5, 150, 5])),
    ("delay", |_| Op::Delay { stream: "a", bytes: 20, in_ms: 1, level: None }),
    ("delay b os", |_| Op::Delay { stream: "b", bytes: 200, in_ms: 0, level: Some(Durability::Os) }),
    ("add due", |_| Op::AddDue),
    ("cancel", |state| {
        let first = delayed(state, "a").first().copied();
        // Where nothing is delayed something that never was.
        Op::CancelDelayed { stream: "a", id: first.unwrap_or_else(|| "7-7".parse().expect("an ID")) }
    }),
    ("add once", |_| Op::AddOnce { stream: "a", number: 1, by_content: false }),
    ("ack and delete", |state| Op::AckAndDelete {
        stream: "a",
        group: "g",
        ids: pending(state).into_iter().take(1).collect(),
        references: References::Acknowledged,
    }),
    ("remove second", |state| Op::Remove {
        stream: "a",
        ids: ids(state).into_iter().skip(1).take(1).collect(),
        references: References::Delete,
    }),
    ("nack", |state| Op::Nack { stream: "a", group: "g", ids: pending(state), how: HowToNack::default() }),
    ("nack for later", |state| Op::Nack {
        stream: "a",
        group: "g",
        ids: ids(state).into_iter().rev().take(2).collect(),
        how: HowToNack { delay_ms: 20, fatal: true, force: true },
    }),
    ("trim what nobody needs", |_| Op::Trim {
        stream: "a",
        trim: Trim::max_len(0).references(References::Acknowledged),
    }),
    ("read", |_| Op::ReadNew { who: Y, count: 5, no_ack: false, claim_idle_ms: None }),
    ("read idle", |_| Op::ReadNew { who: Y, count: 2, no_ack: true, claim_idle_ms: Some(0) }),
    ("history", |_| Op::History { who: X, after: Id::MIN, count: 5 }),
    ("fetch", |_| Op::Fetch { who: X, count: 5, claim_idle_ms: None }),
    ("fetch idle", |_| Op::Fetch { who: Y, count: 1, claim_idle_ms: Some(0) }),
    ("ack", |state| Op::Ack { stream: "a", group: "g", ids: pending(state), level: None }),
    ("ack os", |state| Op::Ack {
        stream: "a",
        group: "g",
        ids: pending(state).into_iter().take(1).collect(),
        level: Some(Durability::Os),
    }),
    ("claim", |state| Op::Claim { who: Y, ids: pending(state), how: HowToClaim::default() }),
    ("force", |state| {
        let how = HowToClaim { force: true, idle_ms: Some(3), deliveries: Some(7), ..HowToClaim::default() };
        Op::Claim { who: Y, ids: ids(state), how }
    }),
    ("delete first", |state| Op::Delete { stream: "a", ids: ids(state).into_iter().take(1).collect() }),
    ("delete second", |state| Op::Delete { stream: "a", ids: ids(state).into_iter().skip(1).take(1).collect() }),
    ("trim", |_| Op::Trim { stream: "a", trim: Trim::max_len(1) }),
    ("trim all", |_| Op::Trim { stream: "a", trim: Trim::max_len(0) }),
    ("retain", |_| Op::Retain { stream: "a", keep: Keep { max_len: Some(6), ..Keep::EVERYTHING } }),
    ("destroy", |_| Op::Destroy { stream: "a", group: "g" }),
    ("delete consumer", |_| Op::DeleteConsumer(X)),
    ("set cursor", |_| Op::SetCursor { stream: "a", group: "g", to: StartAt::Start }),
    ("delete stream", |_| Op::DeleteStream("a")),
    ("rename", |_| Op::Rename { stream: "a", to: "c", replace: false }),
    ("rename over", |_| Op::Rename { stream: "b", to: "a", replace: true }),
    ("copy over", |_| Op::Copy { stream: "a", to: "b", replace: true }),
    ("set last", |state| Op::SetLast { stream: "a", id: Id::new(last(state).ms + 9, 0), entries_added: Some(9) }),
    ("set last back", |state| Op::SetLast {
        stream: "a",
        id: ids(state).last().copied().unwrap_or(Id::MIN),
        entries_added: None,
    }),
    ("exec", |state| {
        let acked = Op::Ack { stream: "a", group: "g", ids: pending(state), level: None };
        let deleted = Op::Delete { stream: "a", ids: ids(state).into_iter().take(1).collect() };
        let read = Op::ReadNew { who: Y, count: 5, no_ack: false, claim_idle_ms: None };
        Op::Exec(vec![add(20), batch("b", &[5, 150]), acked, deleted, add(400), read])
    }),
    ("exec streams", |_| {
        let delayed = Op::Delay { stream: "c", bytes: 20, in_ms: 1, level: Some(Durability::Os) };
        let renamed = Op::Rename { stream: "a", to: "c", replace: true };
        let copied = Op::Copy { stream: "c", to: "a", replace: true };
        Op::Exec(vec![batch("b", &[5]), renamed, delayed, copied, add(300), Op::DeleteStream("b"), add(5)])
    }),
    ("flush", |_| Op::Flush),
    ("checkpoint", |_| Op::Checkpoint),
    ("amid segments", |_| amid(Work::CheckpointAtSegments)),
    ("amid tables", |_| amid(Work::CheckpointAtTables)),
    ("sync", |_| Op::Sync),
    ("reopen", |_| Op::Reopen),
];

/// A checkpoint that others do not wait for.
fn amid(work: Work) -> Op {
    let ops = vec![batch("b", &[5]), add(30), Op::ReadNew { who: Y, count: 1, no_ack: false, claim_idle_ms: None }];
    Op::Amid { work, after: 1, ops }
}

/// The letter of that name.
pub(crate) fn letter(name: &str) -> Letter {
    let all = BEGUN.into_iter().chain(ALPHABET);
    all.into_iter().find(|letter| letter.0 == name).unwrap_or_else(|| panic!("there is no letter `{name}`"))
}

/// What long workloads are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// How many streams there are.
    pub(crate) streams: usize,
    /// Nothing but what a producer and a worker do: nothing is trimmed, deleted or skipped.
    pub(crate) only_work: bool,
    /// Users do several operations as one.
    pub(crate) execs: bool,
    /// Users work in the middle of what the background does. Nothing may be so full that they would have to help.
    pub(crate) amid: bool,
}

pub(crate) const GROUPS: [Name; 2] = ["g", "h"];
const CONSUMERS: [Name; 3] = ["x", "y", "z"];

impl Manner {
    /// The next operation.
    pub(crate) fn next(self, chance: &mut Chance, state: &Snapshot) -> Op {
        if self.amid && chance.once_in(8) {
            let ops = (0..=chance.below(4)).map(|_| self.of_user(chance, state)).collect();
            return Op::Amid { work: *chance.pick(&Work::ALL), after: chance.below(8), ops };
        }
        self.any_or_several(chance, state)
    }

    fn any_or_several(self, chance: &mut Chance, state: &Snapshot) -> Op {
        if self.execs && chance.once_in(10) {
            let one = |chance: &mut Chance| loop {
                let op = self.any(chance, state);
                if !op.is_background() && !matches!(op, Op::AddDue | Op::Retention) {
                    return op;
                }
            };
            return Op::Exec((0..chance.below(8)).map(|_| one(chance)).collect());
        }
        self.any(chance, state)
    }

    /// The next operation that is not the background's.
    fn of_user(self, chance: &mut Chance, state: &Snapshot) -> Op {
        loop {
            let op = self.any_or_several(chance, state);
            if !op.is_background() {
                return op;
            }
        }
    }

    fn any(self, chance: &mut Chance, state: &Snapshot) -> Op {
        let stream = STREAMS[chance.index(self.streams)];
        let group = *chance.pick(&GROUPS);
        let who = Who { stream, group, consumer: CONSUMERS[chance.index(CONSUMERS.len())] };
        let pending: Vec<Id> =
            state.group(stream, group).map(|group| group.pending.keys().copied().collect()).unwrap_or_default();
        let ids: Vec<Id> =
            state.streams.get(stream).map(|stream| stream.entries.keys().copied().collect()).unwrap_or_default();
        if state.group(stream, group).is_none() && chance.once_in(3) {
            let start = if self.only_work { StartAt::Start } else { start(chance, &ids) };
            let entries_read = chance.once_in(4).then(|| chance.below(9));
            return Op::Group { stream, group, start, entries_read, ensure: chance.once_in(2) };
        }
        if chance.once_in(10) {
            let level = chance.once_in(5).then(|| *chance.pick(&LEVELS));
            let delayed = delayed(state, stream);
            return match chance.below(8) {
                0..4 => Op::Delay { stream, bytes: bytes(chance), in_ms: chance.below(30), level },
                4 if !self.only_work && !delayed.is_empty() => Op::CancelDelayed { stream, id: *chance.pick(&delayed) },
                _ => Op::AddDue,
            };
        }
        let last = state.streams.get(stream).map_or(Id::MIN, |stream| stream.marks.last_id);
        let level = chance.once_in(5).then(|| *chance.pick(&LEVELS));
        match chance.below(if self.only_work { 66 } else { 100 }) {
            0..16 => {
                let id = id(chance, last);
                let trim = (!self.only_work && chance.once_in(8)).then(|| trim(chance, &ids));
                Op::Add { stream, bytes: bytes(chance), id, trim, level }
            }
            16..22 => {
                let entries = (0..=chance.below(5)).map(|_| (id(chance, last), bytes(chance))).collect();
                let trim = (!self.only_work && chance.once_in(8)).then(|| trim(chance, &ids));
                Op::Batch { stream, entries, trim, level }
            }
            22..30 => {
                let no_ack = !self.only_work && chance.once_in(6);
                let claim_idle_ms = chance.once_in(4).then(|| chance.below(20));
                Op::ReadNew { who, count: chance.index(4) + 1, no_ack, claim_idle_ms }
            }
            30..35 => {
                let claim_idle_ms = chance.once_in(2).then(|| chance.below(20));
                Op::Fetch { who, count: chance.index(4) + 1, claim_idle_ms }
            }
            35..44 => Op::Ack { stream, group, ids: chance.some(&pending), level },
            44..48 => {
                let force = !self.only_work && chance.once_in(5);
                let ids = chance.some(if force { &ids } else { &pending });
                let min_idle_ms = if chance.once_in(2) { 0 } else { chance.below(30) };
                let idle_ms = chance.once_in(4).then(|| chance.below(50));
                let deliveries = chance.once_in(4).then(|| chance.below(5) as u32);
                let how = HowToClaim { min_idle_ms, force, just_ids: chance.once_in(4), idle_ms, deliveries };
                Op::Claim { who, ids, how }
            }
            48..50 => {
                let start = if chance.once_in(2) { Id::MIN } else { last };
                Op::AutoClaim { who, min_idle_ms: chance.below(20), start, count: chance.index(4) + 1 }
            }
            50..52 => {
                let after = pending.first().copied().filter(|_| chance.once_in(2)).unwrap_or(Id::MIN);
                Op::History { who, after, count: *chance.pick(&[2, usize::MAX]) }
            }
            52 => Op::CreateConsumer(who),
            53 => Op::AddOnce { stream, number: chance.index(4), by_content: chance.once_in(2) },
            54 if self.only_work => Op::Nack { stream, group, ids: chance.some(&pending), how: HowToNack::default() },
            54 => {
                let how = HowToNack { delay_ms: chance.below(30), fatal: chance.once_in(3), force: chance.once_in(3) };
                Op::Nack { stream, group, ids: chance.some(if how.force { &ids } else { &pending }), how }
            }
            55 => Op::Flush,
            56..57 => Op::FlushStep,
            57..60 | 98.. => Op::Checkpoint,
            60..62 => Op::Spare,
            62..64 => Op::Sync,
            64..66 => Op::Reopen,
            66..69 => Op::Delete { stream, ids: chance.some(&ids) },
            69..71 => Op::Remove { stream, ids: chance.some(&ids), references: references(chance) },
            71 if chance.once_in(4) => Op::Remember { stream, ids: 1 + chance.below(3) as u32 },
            71 => Op::AckAndDelete { stream, group, ids: chance.some(&pending), references: references(chance) },
            72..79 => Op::Trim { stream, trim: trim(chance, &ids) },
            79..82 => {
                Op::Retain { stream, keep: if chance.once_in(4) { Keep::EVERYTHING } else { *chance.pick(&KEEPS) } }
            }
            82..87 => Op::Retention,
            88..90 => Op::DeleteStream(stream),
            90 if chance.once_in(2) => Op::Create(stream),
            90 => {
                let id =
                    if chance.once_in(2) { ids.last().copied().unwrap_or(Id::MIN) } else { Id::new(last.ms + 5, 0) };
                Op::SetLast { stream, id, entries_added: chance.once_in(2).then(|| chance.below(40)) }
            }
            87 => {
                let (to, replace) = (STREAMS[chance.index(self.streams)], chance.once_in(2));
                if chance.once_in(2) { Op::Rename { stream, to, replace } } else { Op::Copy { stream, to, replace } }
            }
            91..94 => Op::Destroy { stream, group },
            94..96 => Op::DeleteConsumer(who),
            _ => Op::SetCursor { stream, group, to: start(chance, &ids) },
        }
    }
}

/// What single calls ask for.
const LEVELS: [Durability; 3] =
    [Durability::Always, Durability::Interval(std::time::Duration::from_secs(1)), Durability::Os];

fn id(chance: &mut Chance, last: Id) -> IdSpec {
    match chance.below(8) {
        0 => IdSpec::AutoSeq(last.ms),
        1 => IdSpec::Exact(Id::new(last.ms, last.seq + 3)),
        _ => IdSpec::Auto,
    }
}

fn bytes(chance: &mut Chance) -> usize {
    match chance.below(10) {
        0 => 0,
        1 => 300 + chance.index(900),
        _ => chance.index(120),
    }
}

fn start(chance: &mut Chance, ids: &[Id]) -> StartAt {
    match chance.below(4) {
        0 => StartAt::End,
        1 if !ids.is_empty() => StartAt::After(*chance.pick(ids)),
        2 if chance.once_in(4) => StartAt::After(Id::new(1 << 50, 0)),
        _ => StartAt::Start,
    }
}

fn references(chance: &mut Chance) -> References {
    *chance.pick(&[References::Keep, References::Keep, References::Delete, References::Acknowledged])
}

fn trim(chance: &mut Chance, ids: &[Id]) -> Trim {
    let trim = match chance.below(6) {
        0 => Trim::max_len(0),
        1 => Trim::max_bytes(chance.below(1500)),
        2 => Trim::max_age(std::time::Duration::from_millis(chance.below(40))),
        3 if !ids.is_empty() => Trim::min_id(*chance.pick(ids)),
        4 => return Trim::acknowledged(),
        _ => Trim::max_len(chance.below(ids.len() as u64 + 2)),
    };
    let trim = trim.references(references(chance));
    if chance.once_in(4) { trim.only_acknowledged() } else { trim }
}
