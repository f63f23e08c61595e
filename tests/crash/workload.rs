//! Workloads: short ones from an alphabet, long ones from a seed. What an operation is about (which entries to
//! acknowledge, whom to take them from) is decided when its turn comes, from the state the model is in.

use streamlog::{Durability, Id, IdSpec, StartAt, Trim};

use super::chance::Chance;
use super::observe::Snapshot;
use super::op::{KEEPS, Keep, Name, Op, STREAMS, Who};

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

fn add(bytes: usize) -> Op {
    Op::Add { stream: "a", bytes, id: IdSpec::Auto, trim: None, level: None }
}

/// What begins most short workloads: three entries, a group, two of the entries delivered to `x`.
pub(crate) const BEGUN: [Letter; 3] = [
    ("batch", |_| Op::Batch { stream: "a", bytes: vec![10, 100, 10], trim: None }),
    ("group", |_| Op::Group { stream: "a", group: "g", start: StartAt::Start }),
    ("read two", |_| Op::ReadNew { who: X, count: 2, no_ack: false }),
];

/// One of each kind.
pub(crate) const ALPHABET: [Letter; 23] = [
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
    ("batch b", |_| Op::Batch { stream: "b", bytes: vec![5, 150, 5], trim: None }),
    ("read", |_| Op::ReadNew { who: Y, count: 5, no_ack: false }),
    ("fetch", |_| Op::Fetch { who: X, count: 5 }),
    ("ack", |state| Op::Ack { stream: "a", group: "g", ids: pending(state), level: None }),
    ("ack os", |state| Op::Ack {
        stream: "a",
        group: "g",
        ids: pending(state).into_iter().take(1).collect(),
        level: Some(Durability::Os),
    }),
    ("claim", |state| Op::Claim { who: Y, ids: pending(state), min_idle_ms: 0, force: false, just_ids: false }),
    ("delete first", |state| Op::Delete { stream: "a", ids: ids(state).into_iter().take(1).collect() }),
    ("delete second", |state| Op::Delete { stream: "a", ids: ids(state).into_iter().skip(1).take(1).collect() }),
    ("trim", |_| Op::Trim { stream: "a", trim: Trim::max_len(1) }),
    ("trim all", |_| Op::Trim { stream: "a", trim: Trim::max_len(0) }),
    ("retain", |_| Op::Retain { stream: "a", keep: Keep { max_len: Some(6), ..Keep::EVERYTHING } }),
    ("destroy", |_| Op::Destroy { stream: "a", group: "g" }),
    ("delete consumer", |_| Op::DeleteConsumer(X)),
    ("set cursor", |_| Op::SetCursor { stream: "a", group: "g", to: StartAt::Start }),
    ("delete stream", |_| Op::DeleteStream("a")),
    ("flush", |_| Op::Flush),
    ("checkpoint", |_| Op::Checkpoint),
    ("sync", |_| Op::Sync),
    ("reopen", |_| Op::Reopen),
];

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
}

const GROUPS: [Name; 2] = ["g", "h"];
const CONSUMERS: [Name; 3] = ["x", "y", "z"];

impl Manner {
    /// The next operation.
    pub(crate) fn next(self, chance: &mut Chance, state: &Snapshot) -> Op {
        let stream = STREAMS[chance.index(self.streams)];
        let group = *chance.pick(&GROUPS);
        let who = Who { stream, group, consumer: CONSUMERS[chance.index(CONSUMERS.len())] };
        let pending: Vec<Id> =
            state.group(stream, group).map(|group| group.pending.keys().copied().collect()).unwrap_or_default();
        let ids: Vec<Id> =
            state.streams.get(stream).map(|stream| stream.entries.keys().copied().collect()).unwrap_or_default();
        if state.group(stream, group).is_none() && chance.once_in(3) {
            let start = if self.only_work { StartAt::Start } else { start(chance, &ids) };
            return Op::Group { stream, group, start };
        }
        match chance.below(if self.only_work { 66 } else { 100 }) {
            0..16 => {
                let id = if chance.once_in(4) {
                    let last = state.streams.get(stream).map_or(Id::MIN, |stream| stream.marks.last_id);
                    *chance.pick(&[IdSpec::AutoSeq(last.ms), IdSpec::Exact(Id::new(last.ms, last.seq + 3))])
                } else {
                    IdSpec::Auto
                };
                let level = chance.once_in(5).then(|| *chance.pick(&[Durability::Always, Durability::Os]));
                let trim = (!self.only_work && chance.once_in(8)).then(|| trim(chance, &ids));
                Op::Add { stream, bytes: bytes(chance), id, trim, level }
            }
            16..22 => {
                let bytes = (0..=chance.below(5)).map(|_| bytes(chance)).collect();
                let trim = (!self.only_work && chance.once_in(8)).then(|| trim(chance, &ids));
                Op::Batch { stream, bytes, trim }
            }
            22..30 => Op::ReadNew { who, count: chance.index(4) + 1, no_ack: !self.only_work && chance.once_in(6) },
            30..35 => Op::Fetch { who, count: chance.index(4) + 1 },
            35..44 => {
                let level = chance.once_in(5).then(|| *chance.pick(&[Durability::Always, Durability::Os]));
                Op::Ack { stream, group, ids: chance.some(&pending), level }
            }
            44..48 => {
                let force = !self.only_work && chance.once_in(5);
                let ids = chance.some(if force { &ids } else { &pending });
                let min_idle_ms = if chance.once_in(2) { 0 } else { chance.below(30) };
                Op::Claim { who, ids, min_idle_ms, force, just_ids: chance.once_in(4) }
            }
            48..50 => Op::AutoClaim { who, min_idle_ms: chance.below(20), count: chance.index(4) + 1 },
            50..52 => Op::History { who, after: Id::MIN },
            52..54 => Op::CreateConsumer(who),
            54..57 => Op::Flush,
            57..60 | 98.. => Op::Checkpoint,
            60..62 => Op::Spare,
            62..64 => Op::Sync,
            64..66 => Op::Reopen,
            66..72 => Op::Delete { stream, ids: chance.some(&ids) },
            72..79 => Op::Trim { stream, trim: trim(chance, &ids) },
            79..82 => {
                Op::Retain { stream, keep: if chance.once_in(4) { Keep::EVERYTHING } else { *chance.pick(&KEEPS) } }
            }
            82..87 => Op::Retention,
            87..90 => Op::DeleteStream(stream),
            90..91 => Op::Create(stream),
            91..94 => Op::Destroy { stream, group },
            94..96 => Op::DeleteConsumer(who),
            _ => Op::SetCursor { stream, group, to: start(chance, &ids) },
        }
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

fn trim(chance: &mut Chance, ids: &[Id]) -> Trim {
    let trim = match chance.below(6) {
        0 => Trim::max_len(0),
        1 => Trim::max_bytes(chance.below(1500)),
        2 => Trim::max_age(std::time::Duration::from_millis(chance.below(40))),
        3 if !ids.is_empty() => Trim::min_id(*chance.pick(ids)),
        4 => return Trim::acknowledged(),
        _ => Trim::max_len(chance.below(ids.len() as u64 + 2)),
    };
    if chance.once_in(4) { trim.only_acknowledged() } else { trim }
}
