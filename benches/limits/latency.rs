//! How long an add takes: one after the other at each level, and unhurried, where nothing but what the engine does behind its back
//! can make it wait.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use streamlog::{Broker, Durability};

use crate::common::{Latencies, in_turns};
use crate::ours::{FIELD, empty, open, payload, rest, small_checkpoint_bytes, written_bytes};
use crate::raw::Ring;
use crate::report::{Report, Target, Times};
use crate::setting::Setting;

const INTERVAL: Duration = Duration::from_secs(1);

/// Between two adds of a producer that does not hurry.
const PACE: Duration = Duration::from_micros(100);

/// One add after the other.
pub(crate) fn add(setting: &Setting, report: &mut Report) {
    for bytes in setting.payloads(&[100]) {
        for level in [Durability::Os, Durability::Interval(INTERVAL), Durability::Always] {
            measure(setting, report, level, bytes, None, 1.0);
        }
    }
}

/// One add after the other, with pauses.
pub(crate) fn paced(setting: &Setting, report: &mut Report) {
    for bytes in setting.payloads(&[4096]) {
        measure(setting, report, Durability::Os, bytes, Some(PACE), 2.0);
    }
}

fn measure(
    setting: &Setting,
    report: &mut Report,
    level: Durability,
    bytes: usize,
    pace: Option<Duration>,
    seconds: f64,
) {
    let scratch = setting.scratch();
    let synced = level == Durability::Always;
    let builder = Broker::builder().durability(level);
    let builder = if synced { builder.checkpoint_bytes(small_checkpoint_bytes(bytes)) } else { builder };
    let broker = open(builder, &scratch);
    let stream = broker.stream("s").expect("a stream");
    let value = payload(bytes);
    let add = || {
        black_box(stream.add([(FIELD, &value)]).expect("an add"));
    };
    add();
    rest(&scratch);
    let frame = payload(written_bytes(add));
    let ring = Ring::recycled(scratch.path());
    let time = setting.time(seconds);
    let mut sides = in_turns(setting.rounds, 2, |side, _| {
        rest(&scratch);
        if side == 0 {
            let latencies = each(time, pace, add);
            empty(&stream);
            return latencies;
        }
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            if matches!(level, Durability::Interval(_)) {
                scope.spawn(|| sync_on_time(&ring, &stop));
            }
            let latencies = each(time, pace, || {
                let file = ring.write(&frame);
                if synced {
                    ring.sync(file);
                }
            });
            stop.store(true, Ordering::Relaxed);
            latencies
        })
    });
    let (limit, ours) = (sides.pop().expect("two sides"), sides.pop().expect("two sides"));
    let beside = match level {
        Durability::Os => "pwrite",
        Durability::Interval(_) => "pwrite, fdatasync each second",
        Durability::Always => "pwrite + fdatasync",
    };
    let paced = if pace.is_some() { ", 100 µs between two" } else { "" };
    let small = if synced { ", small checkpoints" } else { "" };
    let row = format!("add, 1 producer, {level:?}{paced}{small}");
    report.times(Times { row: &row, payload: bytes, beside, ours, limit, target: Target::None });
}

/// Times each call until the time is over.
fn each(time: Duration, pace: Option<Duration>, mut call: impl FnMut()) -> Latencies {
    let mut latencies = Latencies::with_capacity(1 << 22);
    let all = Instant::now();
    loop {
        let began = Instant::now();
        call();
        let ended = Instant::now();
        latencies.push(ended - began);
        if ended - all >= time {
            return latencies;
        }
        pace.into_iter().for_each(thread::sleep);
    }
}

/// As the engine's background does, wherever in the interval a slice begins.
fn sync_on_time(ring: &Ring, stop: &AtomicBool) {
    const LOOK: Duration = Duration::from_millis(10);
    let mut due = Instant::now() + INTERVAL / 2;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(LOOK);
        if Instant::now() >= due {
            due += INTERVAL;
            ring.sync_current();
        }
    }
}
