//! Adding: one by one and in batches, unsynced and synced, by one producer and by sixteen.

use std::hint::black_box;

use streamlog::{Broker, Durability};

use crate::common::{in_turns, median};
use crate::leader::{Leader, Takes};
use crate::ours::{CHECKPOINT_BYTES, FIELD, empty, open, payload, rest, small_checkpoint_bytes, written_bytes};
use crate::raw::{Growing, Ring};
use crate::report::{Rates, Report, Target};
use crate::setting::Setting;
use crate::slice::{Slice, run, run_together};

const PRODUCERS: usize = 16;
const BATCH_LEN: usize = 100;

/// Calls between two looks at the clock, where one takes less than a microsecond or two.
const QUICK_CALLS: usize = 16;

/// One producer, survives kill.
pub(crate) fn one(setting: &Setting, report: &mut Report) {
    for bytes in setting.payloads(&[16, 100, 1024, 16384]) {
        unsynced(setting, report, "add, 1 producer, Os", bytes, 1, Target::AtLeast(0.75));
    }
}

/// Batches, survive kill.
pub(crate) fn batches(setting: &Setting, report: &mut Report) {
    for bytes in setting.payloads(&[16, 100, 1024, 16384]) {
        unsynced(setting, report, "add, batches of 100, Os", bytes, BATCH_LEN, Target::AtLeast(0.4));
    }
}

fn unsynced(setting: &Setting, report: &mut Report, row: &str, bytes: usize, batch_len: usize, target: Target) {
    let scratch = setting.scratch();
    let broker = open(Broker::builder().durability(Durability::Os), &scratch);
    let stream = broker.stream("s").expect("a stream");
    let value = payload(bytes);
    let add = || {
        if batch_len == 1 {
            black_box(stream.add([(FIELD, &value)]).expect("an add"));
        } else {
            black_box(stream.add_batch((0..batch_len).map(|_| [(FIELD, &value)])).expect("a batch"));
        }
    };
    add();
    rest(&scratch);
    let call_bytes = written_bytes(add);
    let frame = payload(call_bytes);
    let ring = Ring::recycled(scratch.path());
    let calls = if batch_len == 1 && bytes < 4096 { QUICK_CALLS } else { 1 };
    let sides = in_turns(setting.rounds, 2, |side, _| {
        rest(&scratch);
        let slice = run(setting.time(0.8), calls, || {
            if side == 0 {
                add();
            } else {
                black_box(ring.write(&frame));
            }
            batch_len
        });
        empty(&stream);
        slice
    });
    let written = done(&sides[0]) / batch_len as f64 * call_bytes as f64;
    report.rates(&Rates {
        row,
        payload: bytes,
        beside: &format!("pwrite of {call_bytes} B, recycled files"),
        ours: &sides[0],
        limit: &rates(&sides[1]),
        target,
        checkpoints: written / CHECKPOINT_BYTES as f64,
    });
}

/// One producer, each add synced.
pub(crate) fn always(setting: &Setting, report: &mut Report) {
    for bytes in setting.payloads(&[16, 100, 1024, 16384]) {
        let scratch = setting.scratch();
        let checkpoint_bytes = small_checkpoint_bytes(bytes);
        let broker = open(Broker::builder().checkpoint_bytes(checkpoint_bytes), &scratch);
        let stream = broker.stream("s").expect("a stream");
        let value = payload(bytes);
        let add = || {
            black_box(stream.add([(FIELD, &value)]).expect("an add"));
        };
        add();
        rest(&scratch);
        let call_bytes = written_bytes(add);
        let frame = payload(call_bytes);
        let recycled = Ring::recycled(&scratch.join_dir("recycled"));
        let sides = in_turns(setting.rounds, 4, |side, _| {
            // New for each turn: what was written once is not preallocated but recycled.
            let preallocated = (side == 2).then(|| Ring::new(&scratch.join_dir("preallocated")));
            let mut growing = (side == 3).then(|| Growing::new(scratch.path()));
            rest(&scratch);
            run(setting.time(0.8), 1, || {
                match (&preallocated, &mut growing) {
                    (Some(ring), _) => ring.sync(ring.write(&frame)),
                    (_, Some(growing)) => growing.write_synced(&frame),
                    _ if side == 1 => recycled.sync(recycled.write(&frame)),
                    _ => add(),
                }
                1
            })
        });
        let (number, best) = best(&sides[1..]);
        let best_is = ["recycled", "preallocated", "growing"][number];
        report.rates(&Rates {
            row: "add, 1 producer, Always, small checkpoints",
            payload: bytes,
            beside: &format!("pwrite of {call_bytes} B + fdatasync, best of three: {best_is}"),
            ours: &sides[0],
            limit: &best,
            target: Target::AtLeast(0.9),
            checkpoints: done(&sides[0]) * call_bytes as f64 / checkpoint_bytes as f64,
        });
    }
}

/// Sixteen producers on one stream, and on sixteen, each add synced.
pub(crate) fn producers(setting: &Setting, report: &mut Report) {
    for bytes in setting.payloads(&[100]) {
        let scratch = setting.scratch();
        let broker = open(Broker::builder(), &scratch);
        let streams: Vec<_> =
            (0..PRODUCERS).map(|number| broker.stream(&format!("s{number}")).expect("a stream")).collect();
        let value = payload(bytes);
        for stream in &streams {
            stream.add([(FIELD, &value)]).expect("an add");
        }
        rest(&scratch);
        let call_bytes = written_bytes(|| {
            streams[0].add([(FIELD, &value)]).expect("an add");
        });
        let frame = payload(call_bytes);
        let ring = Ring::recycled(scratch.path());
        let leaders = [Takes::AtOnce, Takes::AfterOthers].map(|takes| Leader::new(&ring, takes));
        let sides = in_turns(setting.rounds, 4, |side, _| {
            rest(&scratch);
            let time = setting.time(1.5);
            if let Some(leader) = side.checked_sub(2).map(|number| &leaders[number]) {
                return run_together(time, (0..PRODUCERS).map(|_| || leader.commit(&frame)).collect());
            }
            let producer = |number: usize| {
                let (stream, value) = (&streams[if side == 0 { 0 } else { number }], &value);
                move || {
                    black_box(stream.add([(FIELD, value)]).expect("an add"));
                }
            };
            run_together(time, (0..PRODUCERS).map(producer).collect())
        });
        let (number, best) = best(&sides[2..]);
        let best_takes = ["takes the buffer at once", "lets others run first"][number];
        let beside = format!("16 threads, one ideal leader that {best_takes}: pwrite of all + fdatasync");
        for (row, ours) in
            [("add, 16 producers, 1 stream, Always", &sides[0]), ("add, 16 producers, 16 streams, Always", &sides[1])]
        {
            report.rates(&Rates {
                row,
                payload: bytes,
                beside: &beside,
                ours,
                limit: &best,
                target: Target::AtLeast(0.8),
                // Both wrote to one journal.
                checkpoints: (done(&sides[0]) + done(&sides[1])) * call_bytes as f64 / CHECKPOINT_BYTES as f64,
            });
        }
    }
}

/// Of several sides the one that is the best by its median: its number and its rates. Not the best of each round, which would be the
/// luckiest.
fn best(sides: &[Vec<Slice>]) -> (usize, Vec<f64>) {
    let sides = sides.iter().map(|side| rates(side)).enumerate();
    sides.max_by(|(_, a), (_, b)| median(a).total_cmp(&median(b))).expect("several sides")
}

pub(crate) fn rates(slices: &[Slice]) -> Vec<f64> {
    slices.iter().map(|slice| slice.rate).collect()
}

pub(crate) fn done(slices: &[Slice]) -> f64 {
    slices.iter().map(|slice| slice.done as f64).sum()
}
