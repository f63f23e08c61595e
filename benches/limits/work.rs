//! Working through a stream: reading in a group and acknowledging, one by one and by the hundred.

use streamlog::{Broker, Durability, Trim};

use crate::add::{done, rates};
use crate::common::in_turns;
use crate::ours::{CHECKPOINT_BYTES, PROBES, fill, open, payload, rest, small_checkpoint_bytes, written_bytes};
use crate::raw::Ring;
use crate::report::{Rates, Report, Target};
use crate::setting::Setting;
use crate::slice::run;

/// What a slice of entries may take of the disk.
const BACKLOG_BYTES_MAX: usize = 512 << 20;

struct Work<'a> {
    row: &'a str,
    /// Messages of one read, and of one acknowledgement.
    batch_len: usize,
    ack: Durability,
    /// How many messages a second are expected; where there are more the next slice has more.
    expected: usize,
    seconds: f64,
    target: Target,
}

/// One by one, survives kill.
pub(crate) fn one(setting: &Setting, report: &mut Report) {
    let (row, target) = ("read + ack, one by one, Os", Target::AtLeast(0.4));
    let work = Work { row, batch_len: 1, ack: Durability::Os, expected: 400_000, seconds: 1.0, target };
    setting.payloads(&[16, 100, 1024]).into_iter().for_each(|bytes| work.measure(setting, report, bytes));
}

/// By the hundred, survives kill.
pub(crate) fn hundred(setting: &Setting, report: &mut Report) {
    let (row, target) = ("read + ack by 100, Os", Target::None);
    let work = Work { row, batch_len: 100, ack: Durability::Os, expected: 4_000_000, seconds: 0.8, target };
    setting.payloads(&[16, 100]).into_iter().for_each(|bytes| work.measure(setting, report, bytes));
}

/// One by one, each acknowledgement synced.
pub(crate) fn always(setting: &Setting, report: &mut Report) {
    let (row, target) = ("read + ack, one by one, ack Always, small checkpoints", Target::AtLeast(0.9));
    let work = Work { row, batch_len: 1, ack: Durability::Always, expected: 20_000, seconds: 1.0, target };
    setting.payloads(&[100]).into_iter().for_each(|bytes| work.measure(setting, report, bytes));
}

impl Work<'_> {
    fn measure(&self, setting: &Setting, report: &mut Report, bytes: usize) {
        let synced = self.ack == Durability::Always;
        let checkpoint_bytes = if synced { small_checkpoint_bytes(bytes) } else { CHECKPOINT_BYTES };
        let scratch = setting.scratch();
        let builder = Broker::builder().durability(Durability::Os).ack_durability(self.ack);
        let broker = open(builder.checkpoint_bytes(checkpoint_bytes), &scratch);
        let stream = broker.stream("s").expect("a stream");
        let group = stream.group("g").from_start().ensure().expect("a group");
        let worker = group.consumer("c");
        let value = payload(bytes);
        let work = || {
            let messages = worker.fetch().count(self.batch_len).next().expect("a read");
            match &messages[..] {
                [] => 0,
                [message] => usize::from(message.ack().expect("an ack")),
                _ => messages.ack_all().expect("an ack") as usize,
            }
        };
        fill(&stream, &value, PROBES * self.batch_len);
        rest(&scratch);
        let work_bytes = written_bytes(|| assert_eq!(work(), self.batch_len));
        while work() > 0 {}
        let record = payload(work_bytes);
        let ring = Ring::recycled(scratch.path());
        let time = setting.time(self.seconds);
        let (mut left, mut wanted) = (0, (self.expected as f64 * time.as_secs_f64()) as usize);
        let sides = in_turns(setting.rounds, 2, |side, _| {
            let calls = if synced { 1 } else { 16 };
            if side == 1 {
                rest(&scratch);
                return run(time, calls, || {
                    if synced {
                        ring.sync(ring.write(&record));
                    } else {
                        // The delivery, and the acknowledgement.
                        let (delivery, ack) = record.split_at(record.len() / 2);
                        ring.write(delivery);
                        ring.write(ack);
                    }
                    self.batch_len
                });
            }
            stream.trim(Trim::max_len(left.max(1) as u64)).expect("a trim");
            let more = wanted.min(BACKLOG_BYTES_MAX / (bytes + 32)).saturating_sub(left);
            fill(&stream, &value, more);
            left += more;
            rest(&scratch);
            let slice = run(time, calls, work);
            left -= slice.done as usize;
            if left == 0 {
                wanted *= 2;
            }
            slice
        });
        let written = done(&sides[0]) / self.batch_len as f64 * work_bytes as f64;
        let how = if synced { "one pwrite, in all" } else { "two pwrites, in all" };
        let sync = if synced { " + fdatasync" } else { "" };
        report.rates(&Rates {
            row: self.row,
            payload: bytes,
            beside: &format!("{how} {work_bytes} B{sync}"),
            ours: &sides[0],
            limit: &rates(&sides[1]),
            target: self.target,
            checkpoints: written / checkpoint_bytes as f64,
        });
    }
}
