//! From an add to a reader that waits for it in another thread: from the moment before the add to the moment in which the reader has the
//! entry. At each level, by a plain read and in a group.
//!
//! The limit hands over by a condition variable, with nothing to hand over; where the add is synced, after a write and a sync.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use streamlog::{Broker, Consumer, Durability, Id, Stream};

use crate::common::{Latencies, in_turns};
use crate::ours::{FIELD, open, payload, rest, written_bytes};
use crate::raw::Ring;
use crate::report::{Report, Target, Times};
use crate::setting::Setting;

/// Before each hand-over: in this the reader has come to wait again.
const PAUSE: Duration = Duration::from_micros(60);

pub(crate) fn wake(setting: &Setting, report: &mut Report) {
    for bytes in setting.payloads(&[100]) {
        for level in [Durability::Os, Durability::Interval(Duration::from_secs(1)), Durability::Always] {
            measure(setting, report, level, bytes);
        }
    }
}

fn measure(setting: &Setting, report: &mut Report, level: Durability, bytes: usize) {
    let scratch = setting.scratch();
    let broker = open(Broker::builder().durability(level), &scratch);
    let (plain, grouped) = (broker.stream("plain").expect("a stream"), broker.stream("grouped").expect("a stream"));
    let worker = grouped.group("g").from_start().ensure().expect("a group").consumer("c");
    let value = payload(bytes);
    let first = plain.add([(FIELD, &value)]).expect("an add");
    rest(&scratch);
    let add_bytes = written_bytes(|| {
        plain.add([(FIELD, &value)]).expect("an add");
    });
    let frame = payload(add_bytes);
    let ring = Ring::recycled(scratch.path());
    let synced = level == Durability::Always;
    let mut last = plain.range(first..).rev().count(1).read().expect("the last")[0].id;
    let count = setting.scaled(if synced { 400 } else { 2000 });
    let mut sides = in_turns(setting.rounds, 3, |side, _| {
        rest(&scratch);
        match side {
            0 => by_read(&plain, &value, count, &mut last),
            1 => by_group(&grouped, &worker, &value, count),
            _ => {
                let signal = Signal::default();
                let mut seen = 0;
                let wake = || {
                    if synced {
                        ring.sync(ring.write(&frame));
                    }
                    signal.raise();
                };
                hand_over(count, wake, || seen = signal.wait_past(seen), |()| {})
            }
        }
    });
    let limit = sides.pop().expect("three sides");
    let beside = if synced { "pwrite + fdatasync + hand-over by a condvar" } else { "hand-over by a condvar" };
    for (how, ours) in ["read", "group"].into_iter().zip(sides) {
        let row = format!("wake a blocked reader, {how}, {level:?}");
        let target = Target::AtMost(2.0);
        report.times(Times { row: &row, payload: bytes, beside, ours, limit: limit.clone(), target });
    }
}

fn by_read(stream: &Stream, value: &[u8], count: usize, last: &mut Id) -> Latencies {
    let add = || {
        stream.add([(FIELD, value)]).expect("an add");
    };
    let read = || {
        let entries = stream.read(*last).block_forever().next().expect("a read");
        *last = entries[0].id;
    };
    hand_over(count, add, read, |()| {})
}

fn by_group(stream: &Stream, worker: &Consumer, value: &[u8], count: usize) -> Latencies {
    let add = || {
        stream.add([(FIELD, value)]).expect("an add");
    };
    let read = || worker.fetch().block_forever().next().expect("a read");
    hand_over(count, add, read, |messages| {
        worker.group().ack_with(&messages.ids(), Durability::Os).expect("an ack");
    })
}

/// Has `wake` called so many times, each time while another thread is in `wait`; measures from before the one to after the other.
/// `after` is not measured.
fn hand_over<T>(
    count: usize,
    mut wake: impl FnMut(),
    mut wait: impl FnMut() -> T + Send,
    mut after: impl FnMut(T) + Send,
) -> Latencies {
    let (epoch, begun, ready) = (Instant::now(), AtomicU64::new(0), Signal::default());
    let now = || epoch.elapsed();
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut latencies = Latencies::with_capacity(count);
            for _ in 0..count {
                ready.raise();
                let got = wait();
                let ended = now();
                latencies.push(ended.saturating_sub(Duration::from_nanos(begun.load(Ordering::Acquire))));
                after(got);
            }
            latencies
        });
        let mut seen = 0;
        for _ in 0..count {
            seen = ready.wait_past(seen);
            thread::sleep(PAUSE);
            begun.store(now().as_nanos() as u64, Ordering::Release);
            wake();
        }
        reader.join().expect("nobody panicked")
    })
}

/// The hand-over of `std`.
#[derive(Default)]
struct Signal {
    raised: Mutex<u64>,
    woken: Condvar,
}

impl Signal {
    fn raise(&self) {
        *self.raised.lock().expect("nobody panicked") += 1;
        self.woken.notify_one();
    }

    /// Returns how often it was raised, once that is more often than `seen`.
    fn wait_past(&self, seen: u64) -> u64 {
        let mut raised = self.raised.lock().expect("nobody panicked");
        while *raised <= seen {
            raised = self.woken.wait(raised).expect("nobody panicked");
        }
        *raised
    }
}
