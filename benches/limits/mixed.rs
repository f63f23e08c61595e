//! Four who add and four who read and acknowledge, at once, on one stream: how many messages go through, and how long an add takes
//! meanwhile. A slice ends when all that was added is acknowledged.
//!
//! The limit is four threads that write a frame each time and count it, and four that take up to a hundred of the count and
//! write two records: the same bytes in as many calls, or through the ideal leader.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use streamlog::{Broker, Durability};

use crate::common::{Latencies, in_turns};
use crate::leader::{Leader, Takes};
use crate::ours::{CHECKPOINT_BYTES, FIELD, PROBES, empty, fill, open, payload, rest, written_bytes};
use crate::raw::Ring;
use crate::report::{Rates, Report, Target, Times};
use crate::setting::Setting;
use crate::slice::Slice;

const PRODUCERS: usize = 4;
const CONSUMERS: usize = 4;
const READ_LEN: usize = 100;
/// How long one waits before it looks whether all is over.
const BLOCK: Duration = Duration::from_millis(20);

pub(crate) fn os(setting: &Setting, report: &mut Report) {
    setting.payloads(&[100]).into_iter().for_each(|bytes| measure(setting, report, Durability::Os, bytes, 1.0));
}

pub(crate) fn always(setting: &Setting, report: &mut Report) {
    setting.payloads(&[100]).into_iter().for_each(|bytes| measure(setting, report, Durability::Always, bytes, 4.0));
}

fn measure(setting: &Setting, report: &mut Report, level: Durability, bytes: usize, seconds: f64) {
    let scratch = setting.scratch();
    let broker = open(Broker::builder().durability(level), &scratch);
    let stream = broker.stream("s").expect("a stream");
    let group = stream.group("g").from_start().ensure().expect("a group");
    let value = payload(bytes);
    let read = |consumer: usize, count, block| {
        let messages =
            group.consumer(&format!("c{consumer}")).fetch().count(count).block(block).next().expect("a read");
        messages.ack_all().expect("an ack")
    };
    rest(&scratch);
    let add_bytes = written_bytes(|| {
        stream.add([(FIELD, &value)]).expect("an add");
    });
    fill(&stream, &value, PROBES * (1 + READ_LEN));
    rest(&scratch);
    let work_bytes =
        [1, READ_LEN].map(|count| written_bytes(|| assert_eq!(read(0, count, Duration::ZERO), count as u64)) as f64);
    while read(0, 1000, Duration::ZERO) > 0 {}
    let each = (work_bytes[1] - work_bytes[0]) / (READ_LEN - 1) as f64;
    // What reading and acknowledging so many writes.
    let record = payload(work_bytes[1] as usize + 1);
    let record_len = |count: u64| (work_bytes[0] + each * (count - 1) as f64) as usize;
    let frame = payload(add_bytes);
    let ring = Ring::recycled(scratch.path());
    let leader = Leader::new(&ring, Takes::AtOnce);
    let synced = level == Durability::Always;

    let mut latencies = [Vec::new(), Vec::new()];
    let sides = in_turns(setting.rounds, 2, |side, _| {
        rest(&scratch);
        let time = setting.time(seconds);
        let (slice, late) = if side == 0 {
            let add = || {
                stream.add([(FIELD, &value)]).expect("an add");
            };
            let through = go_through(time, add, |consumer, _| read(consumer, READ_LEN, BLOCK));
            empty(&stream);
            through
        } else {
            let there = Count::default();
            let add = || {
                if synced {
                    leader.commit(&frame);
                } else {
                    ring.write(&frame);
                }
                there.put();
            };
            go_through(time, add, |_, is_over| {
                let count = there.take(is_over);
                if count > 0 {
                    let record = &record[..record_len(count)];
                    let (delivery, ack) = record.split_at(record.len() / 2);
                    if synced {
                        leader.note(delivery);
                        leader.commit(ack);
                    } else {
                        ring.write(delivery);
                        ring.write(ack);
                    }
                }
                count
            })
        };
        latencies[side].push(late);
        slice
    });
    let row = format!("mixed, {PRODUCERS} producers, {CONSUMERS} consumers, {level:?}");
    let beside = if synced { "the same through one ideal leader" } else { "as many pwrites, recycled files" };
    let done: f64 = sides[0].iter().map(|slice| slice.done as f64).sum();
    let limit: Vec<_> = sides[1].iter().map(|slice| slice.rate).collect();
    let checkpoints = done * (add_bytes as f64 + each) / CHECKPOINT_BYTES as f64;
    report.rates(&Rates {
        row: &row,
        payload: bytes,
        beside,
        ours: &sides[0],
        limit: &limit,
        target: Target::None,
        checkpoints,
    });
    let [ours, limit] = latencies;
    let row = format!("{row}: add");
    report.times(Times { row: &row, payload: bytes, beside, ours, limit, target: Target::None });
}

/// Adds until the time is over, and works until nothing is left; `work` is told its thread's number and whether no more is added, and
/// returns how many messages it did.
fn go_through(
    time: Duration,
    add: impl Fn() + Sync,
    work: impl Fn(usize, &dyn Fn() -> bool) -> u64 + Sync,
) -> (Slice, Latencies) {
    let (stop, producing) = (AtomicBool::new(false), AtomicU64::new(PRODUCERS as u64));
    let (added, worked) = (AtomicU64::new(0), AtomicU64::new(0));
    let is_over = || producing.load(Ordering::Acquire) == 0;
    let began = Instant::now();
    let (mut latencies, mut burst, mut ended) = (Latencies::default(), 0.0, began);
    let produce = || {
        let mut latencies = Latencies::with_capacity(1 << 20);
        while !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            add();
            latencies.push(began.elapsed());
            added.fetch_add(1, Ordering::Relaxed);
        }
        producing.fetch_sub(1, Ordering::Release);
        latencies
    };
    let consume = |number: usize| {
        let mut last = began;
        while !is_over() || worked.load(Ordering::Relaxed) < added.load(Ordering::Relaxed) {
            let done = work(number, &is_over);
            if done > 0 {
                worked.fetch_add(done, Ordering::Relaxed);
                last = Instant::now();
            }
        }
        last
    };
    thread::scope(|scope| {
        let (produce, consume) = (&produce, &consume);
        let producers: Vec<_> = (0..PRODUCERS).map(|_| scope.spawn(produce)).collect();
        let consumers: Vec<_> = (0..CONSUMERS).map(|number| scope.spawn(move || consume(number))).collect();
        thread::sleep(time / 10);
        burst = worked.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
        thread::sleep(time * 9 / 10);
        stop.store(true, Ordering::Relaxed);
        producers.into_iter().for_each(|producer| latencies.merge(producer.join().expect("nobody panicked")));
        ended =
            consumers.into_iter().map(|consumer| consumer.join().expect("nobody panicked")).fold(began, Instant::max);
    });
    let done = worked.into_inner();
    (Slice { rate: done as f64 / (ended - began).as_secs_f64(), burst, done }, latencies)
}

/// How many messages there are to work on.
#[derive(Default)]
struct Count {
    state: Mutex<CountState>,
    more: Condvar,
}

#[derive(Default)]
struct CountState {
    count: u64,
    waiting: usize,
}

impl Count {
    fn put(&self) {
        let mut state = self.state.lock().expect("nobody panicked");
        state.count += 1;
        // To wake somebody costs as much as a write: only the first of many does, and whoever leaves some.
        let wakes = state.count == 1 && state.waiting > 0;
        drop(state);
        if wakes {
            self.more.notify_one();
        }
    }

    /// Up to a hundred; none if no more come.
    fn take(&self, is_over: &dyn Fn() -> bool) -> u64 {
        let mut state = self.state.lock().expect("nobody panicked");
        while state.count == 0 && !is_over() {
            state.waiting += 1;
            state = self.more.wait_timeout(state, BLOCK).expect("nobody panicked").0;
            state.waiting -= 1;
        }
        let taken = state.count.min(READ_LEN as u64);
        state.count -= taken;
        let wakes = state.count > 0 && state.waiting > 0;
        drop(state);
        if wakes {
            self.more.notify_one();
        }
        taken
    }
}
