//! The backlog: entries of one stream that lie in its segments.

use streamlog::Broker;

use super::child::Teller;
use super::curve::Curve;
use super::figure::Bound;
use super::life::{ENTRY, GROUP, STREAM, defaults, fill};
use super::timer::Timer;

pub(crate) const CURVE: Curve = Curve {
    name: "backlog",
    title: "entries of 100 bytes in one stream",
    x: "entries",
    sizes: &[100_000, 1_000_000, 10_000_000],
    sizes_full: &[100_000_000],
    grows: true,
    opens: true,
    open_killed: Bound::Constant,
    options: defaults,
    fill: |broker, size| {
        let stream = broker.stream(STREAM).unwrap();
        stream.group(GROUP).from_start().ensure().unwrap();
        // Who is killed while working adds a few of its own.
        fill(&stream, size.saturating_sub(stream.len().unwrap()));
    },
    measure,
};

fn measure(broker: &Broker, _: u64, teller: &mut Teller) {
    let stream = broker.stream(STREAM).unwrap();
    let worker = stream.group(GROUP).existing().unwrap().consumer("worker-1");
    let (mut add, mut fetch, mut ack, mut scan) =
        (Timer::default(), Timer::default(), Timer::default(), Timer::default());
    for _ in 0..20 {
        add.each(500, |_| assert!(stream.add(ENTRY).is_ok()));
        let mut messages = Vec::new();
        fetch.each(500, |_| messages.extend(worker.fetch().next().unwrap()));
        ack.each(500, |n| assert!(messages[n as usize].ack().unwrap()));
    }
    teller.memory("memory at work");
    let mut entries = stream.range(..).iter().map(Result::unwrap);
    let left = stream.len().unwrap();
    // What a scan leaves in memory is what it needs: nothing it read is kept.
    for _ in 0..20 {
        scan.each(left / 20, |_| assert!(entries.next().is_some()));
    }
    teller.memory("memory after a scan");
    teller.seconds("add", Bound::Logarithm, add.seconds());
    teller.seconds("fetch", Bound::Logarithm, fetch.seconds());
    teller.seconds("ack", Bound::Logarithm, ack.seconds());
    teller.seconds("scan, an entry", Bound::Logarithm, scan.seconds());
}
