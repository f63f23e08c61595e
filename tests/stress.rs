//! Sixteen threads over everything there is, on a real directory with limits so small that journal files, segments,
//! flushes and checkpoints begin and end all the time. Each writes down what it was told; in the end it must add up, and
//! again after a crash and after a close.
//!
//! `STREAMLOG_STRESS_OPERATIONS` is how many adds each producer makes.

#![cfg(feature = "simulation")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;
use std::{env, thread};

use streamlog::{
    Broker, DATA_FIELD, Durability, Entry, ErrorKind, Group, GroupInfo, Id, Messages, PendingSummary, Result, StartAt,
    Stream, StreamInfo, Trim,
};

/// Far more than it takes: who is not done by then hangs.
const WATCHDOG: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_millis(5);
const PRODUCERS: usize = 4;
const LEVELS: [Durability; 3] = [Durability::Always, Durability::Interval(Duration::from_millis(3)), Durability::Os];
/// What the stream that is trimmed by its length keeps.
const CAP: u64 = 50;

fn open(path: &std::path::Path) -> Broker {
    let builder =
        Broker::builder().durability(Durability::Os).segment_bytes(3_000).tail_bytes(4_000).cache_bytes(8_000);
    let builder = builder.journal_file_bytes(16_000).checkpoint_bytes(40_000).journal_bytes_max(120_000);
    builder.open_files_max(4).open(path).unwrap()
}

/// Chance enough for a choice: `SplitMix64`.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

fn data(entry: &Entry) -> String {
    entry.fields().text(DATA_FIELD).unwrap().to_owned()
}

/// What was told to those who work on `orders`.
#[derive(Default)]
struct Ledger {
    /// Every add that returned.
    added: Mutex<BTreeMap<Id, String>>,
    /// Every delete that counted.
    deleted: Mutex<BTreeSet<Id>>,
    /// What was below the last trim.
    floor: Mutex<Id>,
    /// In `billing`: who was delivered what first.
    delivered: Mutex<BTreeMap<Id, String>>,
    /// What was claimed, by whomever.
    claimed: Mutex<BTreeSet<Id>>,
    /// Acknowledgements that counted, and pending entries that were found to be deleted.
    acknowledged: AtomicU64,
    gone: Mutex<BTreeSet<Id>>,
    /// In `audit`, where nothing becomes pending.
    audited: Mutex<BTreeSet<Id>>,
    /// In `capped`: every add that returned.
    capped: Mutex<BTreeSet<Id>>,
    producing: AtomicUsize,
    done: AtomicBool,
}

impl Ledger {
    fn is_producing(&self) -> bool {
        self.producing.load(Ordering::SeqCst) > 0
    }

    fn some_id(&self, chance: &mut Chance) -> Option<Id> {
        let added = self.added.lock().unwrap();
        added.keys().nth(chance.below(added.len().max(1) as u64) as usize).copied()
    }

    /// The entries that are neither deleted nor trimmed.
    fn left(&self) -> BTreeMap<Id, String> {
        let (floor, deleted) = (*self.floor.lock().unwrap(), self.deleted.lock().unwrap());
        let mut left = self.added.lock().unwrap().clone();
        left.retain(|id, _| *id >= floor && !deleted.contains(id));
        left
    }
}

/// Done however the scope is left: after a panic the others must not go on for ever.
struct AtEnd<F: Fn()>(F);

impl<F: Fn()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn produce(orders: &Stream, capped: &Stream, ledger: &Ledger, producer: usize, operations: u64) {
    let _end = AtEnd(|| {
        ledger.producing.fetch_sub(1, Ordering::SeqCst);
    });
    let mut chance = Chance(producer as u64);
    for n in 0..operations {
        // Whatever has returned by now, to whomever, has a smaller ID.
        let before = ledger.added.lock().unwrap().last_key_value().map(|(&id, _)| id);
        let token = format!("{producer}.{n} {}", "x".repeat(chance.below(120) as usize));
        let level = chance.pick(&LEVELS);
        let added = match chance.below(4) {
            0 => {
                let mut batch = orders.batch().durability(level);
                let tokens = [token.clone(), format!("{token} too"), format!("{token} as well")];
                tokens.iter().for_each(|token| batch.push(token.as_str()).unwrap());
                batch.add().unwrap().into_iter().zip(tokens).collect()
            }
            _ => vec![(orders.entry(token.as_str()).durability(level).add().unwrap(), token)],
        };
        assert!(added.is_sorted_by(|one, next| one.0 < next.0));
        assert!(before < Some(added[0].0), "{} came after {before:?} had returned", added[0].0);
        if level == Durability::Always {
            assert!(orders.info().unwrap().last_id >= added[0].0, "an add returned unseen");
        }
        ledger.added.lock().unwrap().extend(added);
        if n % 4 == 0 {
            let id = capped.entry("x").trim(Trim::max_len(CAP)).durability(level).add().unwrap();
            assert!(ledger.capped.lock().unwrap().insert(id));
        }
    }
}

impl Ledger {
    fn note_delivered(&self, consumer: &str, messages: &Messages) {
        assert!(messages.ids().is_sorted_by(|one, next| one < next));
        for message in messages {
            let first = self.delivered.lock().unwrap().insert(message.id(), consumer.to_owned());
            assert_eq!(first, None, "{} went to {consumer} too", message.id());
            assert_eq!(message.deliveries(), 1);
        }
    }

    fn note_claimed(&self, messages: &Messages) {
        assert!(messages.iter().all(|message| message.deliveries() > 1));
        self.claimed.lock().unwrap().extend(messages.ids());
        for id in messages.deleted() {
            assert!(self.gone.lock().unwrap().insert(*id), "{id} was found to be gone twice");
        }
    }

    fn acknowledge(&self, group: &Group, ids: &[Id], level: Durability) {
        let count = group.ack_with(ids, level).unwrap();
        assert!(count <= ids.len() as u64);
        self.acknowledged.fetch_add(count, Ordering::SeqCst);
    }
}

/// Reads new entries of `billing` and acknowledges most of them.
fn work(billing: &Group, ledger: &Ledger, name: &str) {
    let mut chance = Chance(name.len() as u64 + u64::from(name.as_bytes()[1]));
    let consumer = billing.consumer(name);
    loop {
        let last = !ledger.is_producing();
        // Some give up at once, so that turns are passed on all the time.
        let read = consumer.read_new().count(1 + chance.below(7) as usize);
        let messages = read.block(chance.pick(&[Duration::ZERO, SOON])).next().unwrap();
        if last && messages.is_empty() {
            return;
        }
        ledger.note_delivered(name, &messages);
        let ids: Vec<_> = messages.ids().into_iter().filter(|_| chance.below(4) > 0).collect();
        ledger.acknowledge(billing, &ids, chance.pick(&LEVELS));
    }
}

/// Takes over what is pending with others, and acknowledges half of it.
fn rescue(billing: &Group, ledger: &Ledger, name: &str) {
    let mut chance = Chance(9);
    let consumer = billing.consumer(name);
    let mut start = Id::MIN;
    while !ledger.done.load(Ordering::SeqCst) {
        if chance.below(2) == 0 {
            let claimed = consumer.auto_claim(Duration::ZERO).start(start).count(5).run().unwrap();
            start = claimed.next;
            ledger.note_claimed(&claimed.messages);
            let ids = claimed.messages.ids();
            ledger.acknowledge(billing, &ids[..ids.len() / 2], Durability::Os);
        } else {
            let pending = billing.pending_range(..).count(20).read().unwrap();
            let ids: Vec<_> = pending.iter().map(|entry| entry.id).filter(|_| chance.below(3) == 0).collect();
            let claimed = consumer.claim(&ids).run().unwrap();
            ledger.note_claimed(&claimed);
            // Each of its own, what was delivered long ago included.
            for message in &claimed {
                ledger.acknowledged.fetch_add(u64::from(message.ack().unwrap()), Ordering::SeqCst);
            }
            let again = consumer.history(Id::MIN).count(3).read().unwrap();
            assert!(again.iter().all(|message| message.deliveries() > 1));
        }
    }
}

/// Deletes from the middle and trims from the front.
fn remove(orders: &Stream, ledger: &Ledger) {
    let mut chance = Chance(10);
    while ledger.is_producing() {
        if chance.below(20) > 0 {
            let Some(id) = ledger.some_id(&mut chance) else { continue };
            if orders.delete(&[id]).unwrap() == 1 {
                assert!(ledger.deleted.lock().unwrap().insert(id), "{id} was deleted twice");
            }
        } else {
            let floor = {
                let mut floor = ledger.floor.lock().unwrap();
                *floor = ledger.added.lock().unwrap().keys().nth_back(300).map_or(*floor, |&id| id.max(*floor));
                *floor
            };
            orders.trim(Trim::min_id(floor)).unwrap();
        }
        thread::yield_now();
    }
}

/// Follows the end of the stream without a group.
fn follow(orders: &Stream, ledger: &Ledger) {
    let mut after = Id::MIN;
    while ledger.is_producing() {
        for entry in orders.read(after).count(50).block(SOON).next().unwrap() {
            assert!(entry.id > after, "{} was read after {after}", entry.id);
            after = entry.id;
        }
    }
}

/// Reads everything from the front, and one by one, and looks at what can be told.
fn inspect(orders: &Stream, capped: &Stream, billing: &Group, ledger: &Ledger) {
    let mut chance = Chance(11);
    while ledger.is_producing() {
        let mut last = Id::MIN;
        for entry in orders.range(..) {
            let entry = entry.unwrap();
            assert!(entry.id > last);
            last = entry.id;
            let added = ledger.added.lock().unwrap().get(&last).cloned();
            assert!(added.is_none_or(|token| token == data(&entry)), "{last} has the data of another");
        }
        if let Some(id) = ledger.some_id(&mut chance) {
            let there = orders.get(id).unwrap();
            assert!(there.is_none_or(|entry| entry.id == id));
        }
        let info = orders.info().unwrap();
        assert!(info.length <= info.entries_added && info.first_id <= Some(info.last_id));
        let PendingSummary { count, consumers, .. } = billing.pending().unwrap();
        assert_eq!(count, consumers.iter().map(|(_, count)| count).sum::<u64>());
        assert!(capped.len().unwrap() <= CAP);
    }
}

/// Reads the group in which nothing becomes pending.
fn audit(audit: &Group, ledger: &Ledger) {
    loop {
        let last = !ledger.is_producing();
        let read = audit.consumer("auditor").read_new().count(10).block(SOON).no_ack();
        let messages = read.next().unwrap();
        for id in messages.ids() {
            assert!(ledger.audited.lock().unwrap().insert(id), "{id} was audited twice");
        }
        if last && messages.is_empty() {
            return;
        }
    }
}

/// Makes a stream, works with it, and deletes it, again and again; counts how often.
fn make_and_delete(passing: &Stream, ledger: &Ledger, deletions: &AtomicU64) {
    while ledger.is_producing() {
        for _ in 0..10 {
            passing.add_batch(["one", "two"]).unwrap();
        }
        if passing.delete_stream().unwrap() {
            deletions.fetch_add(1, Ordering::SeqCst);
        }
    }
    passing.add("the last").unwrap();
}

/// Works with a stream that is deleted all the time: each call finds it, or is told that it is not there.
fn use_what_passes(passing: &Stream, ledger: &Ledger) {
    let gone = |result: Result<()>| match result {
        Err(error) if ![ErrorKind::NoSuchStream, ErrorKind::NoSuchGroup].contains(&error.kind()) => panic!("{error}"),
        _ => {}
    };
    while ledger.is_producing() {
        let group = passing.group("passengers").from_start().ensure().unwrap();
        let consumer = group.consumer("p");
        let fetched = consumer.fetch().count(3).claim_idle(SOON).block(SOON).next();
        gone(fetched.and_then(|messages| messages.ack_all()).map(|_| ()));
        gone(consumer.history(Id::MIN).read().map(|_| ()));
        gone(passing.read(StartAt::End).block(SOON).next().map(|entries| {
            assert!(entries.is_sorted_by(|one, next| one.id < next.id));
        }));
        gone(passing.range(..).read().map(|entries| {
            assert!(entries.iter().all(|entry| ["one", "two", "the last"].contains(&data(entry).as_str())));
        }));
        gone(group.info().map(|_| ()));
    }
}

/// What the background does, besides the background.
fn keep(broker: &Broker, ledger: &Ledger) {
    while !ledger.done.load(Ordering::SeqCst) {
        broker.flush_all().unwrap();
        broker.spare_step().unwrap();
        broker.checkpoint().unwrap();
        broker.trim_step().unwrap();
        broker.flush_step().unwrap();
        broker.sync().unwrap();
        thread::sleep(Duration::from_millis(1));
    }
}

/// All that can be seen, but for the time.
#[derive(Debug, PartialEq)]
struct Seen {
    entries: Vec<(Id, String)>,
    capped: Vec<Id>,
    passing: Vec<String>,
    infos: Vec<(StreamInfo, Vec<GroupInfo>)>,
    pending: PendingSummary,
    rows: Vec<(Id, String, u32)>,
}

impl Seen {
    fn of(broker: &Broker) -> Seen {
        let stream = |name: &str| broker.stream(name).unwrap();
        let read = |name: &str| stream(name).range(..).read().unwrap();
        let billing = stream("orders").group("billing").existing().unwrap();
        let rows = billing.pending_range(..).read().unwrap();
        Seen {
            entries: read("orders").iter().map(|entry| (entry.id, data(entry))).collect(),
            capped: read("capped").iter().map(|entry| entry.id).collect(),
            passing: read("passing").iter().map(data).collect(),
            infos: broker
                .streams()
                .unwrap()
                .iter()
                .map(|name| (without_segments(stream(name).info().unwrap()), stream(name).groups().unwrap()))
                .collect(),
            pending: billing.pending().unwrap(),
            rows: rows.into_iter().map(|row| (row.id, row.consumer, row.deliveries)).collect(),
        }
    }
}

/// Opening flushes: where the entries are is not the same before and after.
fn without_segments(mut info: StreamInfo) -> StreamInfo {
    (info.segments, info.disk_bytes) = (0, 0);
    info
}

/// Compares what is seen with what was told.
fn adds_up(ledger: &Ledger, seen: &Seen) {
    let left = ledger.left();
    assert!(seen.entries.iter().eq(left.iter().map(|(id, token)| (*id, token.clone())).collect::<Vec<_>>().iter()));
    let capped = ledger.capped.lock().unwrap();
    assert!(seen.capped.iter().rev().eq(capped.iter().rev().take(CAP as usize)), "the last entries are left");
    assert_eq!(seen.passing.last().map(String::as_str), Some("the last"));

    let (delivered, claimed) = (ledger.delivered.lock().unwrap(), ledger.claimed.lock().unwrap());
    assert!(claimed.iter().all(|id| delivered.contains_key(id)), "claimed and never delivered");
    let audited = ledger.audited.lock().unwrap();
    for id in left.keys() {
        assert!(delivered.contains_key(id), "{id} was delivered to nobody");
        assert!(audited.contains(id), "{id} was not audited");
    }
    let added = ledger.added.lock().unwrap();
    assert!(delivered.keys().chain(&*audited).all(|id| added.contains_key(id)), "delivered and never added");

    let pending: BTreeSet<Id> = seen.rows.iter().map(|row| row.0).collect();
    assert!(pending.iter().all(|id| delivered.contains_key(id)));
    let (acknowledged, gone) = (ledger.acknowledged.load(Ordering::SeqCst), ledger.gone.lock().unwrap());
    assert!(gone.iter().all(|id| !left.contains_key(id) && !pending.contains(id)));
    assert_eq!(delivered.len() as u64, acknowledged + (gone.len() + pending.len()) as u64);
    assert_eq!(seen.pending.count, pending.len() as u64);

    let (info, groups) = &seen.infos[1];
    assert_eq!((info.length, info.entries_added), (left.len() as u64, added.len() as u64));
    assert_eq!(Some(info.last_id), added.keys().last().copied());
    for group in groups {
        assert!(group.lag.is_none_or(|lag| lag == 0), "{group:?}");
        assert!(group.last_delivered_id <= info.last_id);
    }
}

/// Runs a test that could hang for ever.
fn watched(test: impl FnOnce() + Send + 'static) {
    let (sender, over) = mpsc::channel::<()>();
    let running = thread::spawn(move || {
        // Dropped at the end, however it ends.
        let _sender = sender;
        test();
    });
    match over.recv_timeout(WATCHDOG) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        _ => running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

#[test]
fn sixteen_threads_over_everything_add_up() {
    watched(|| {
        let operations = env::var("STREAMLOG_STRESS_OPERATIONS").map_or(400, |n| n.parse().expect("a number"));
        let directory = tempfile::tempdir().unwrap();
        let broker = open(directory.path());
        let [orders, capped, passing] = ["orders", "capped", "passing"].map(|name| broker.stream(name).unwrap());
        let billing = orders.group("billing").from_start().create().unwrap();
        let auditing = orders.group("audit").from_start().create().unwrap();
        capped.create().unwrap();
        let ledger = Ledger { producing: AtomicUsize::new(PRODUCERS), ..Ledger::default() };
        let deletions = AtomicU64::new(0);
        thread::scope(|scope| {
            let (orders, capped, passing, billing, ledger) = (&orders, &capped, &passing, &billing, &ledger);
            for producer in 0..PRODUCERS {
                scope.spawn(move || produce(orders, capped, ledger, producer, operations));
            }
            let mut until_drained = vec![scope.spawn(|| audit(&auditing, ledger))];
            until_drained.extend(["w1", "w2", "w3"].map(|name| scope.spawn(move || work(billing, ledger, name))));
            scope.spawn(|| rescue(billing, ledger, "r1"));
            scope.spawn(|| rescue(billing, ledger, "r2"));
            scope.spawn(|| remove(orders, ledger));
            scope.spawn(|| follow(orders, ledger));
            scope.spawn(|| inspect(orders, capped, billing, ledger));
            scope.spawn(|| make_and_delete(passing, ledger, &deletions));
            scope.spawn(|| use_what_passes(passing, ledger));
            scope.spawn(|| keep(&broker, ledger));
            let _end = AtEnd(|| ledger.done.store(true, Ordering::SeqCst));
            until_drained.into_iter().for_each(|thread| thread.join().unwrap());
        });
        assert!(deletions.into_inner() > 0);
        let seen = Seen::of(&broker);
        adds_up(&ledger, &seen);
        drop((orders, capped, passing, billing, auditing));

        broker.crash();
        let broker = open(directory.path());
        assert_eq!(Seen::of(&broker), seen, "after a crash");
        broker.close().unwrap();
        let broker = open(directory.path());
        assert_eq!(Seen::of(&broker), seen, "after a close");
        broker.close().unwrap();
    });
}
