//! Streams: a few entries and a group in each, used in turn.

use streamlog::{Broker, Consumer, Stream};

use super::child::Teller;
use super::curve::Curve;
use super::figure::Bound;
use super::life::{ENTRY, GROUP, STREAM, defaults, fill};
use super::timer::Timer;

/// In each stream: enough for each to have a segment.
const ENTRIES: u64 = 10;

pub(crate) const CURVE: Curve = Curve {
    name: "streams",
    title: "streams with ten entries and a group each",
    x: "streams",
    sizes: &[1, 10, 100, 1_000, 10_000],
    sizes_full: &[],
    grows: false,
    opens: true,
    open_killed: Bound::None,
    options: defaults,
    fill: |broker, size| {
        for stream in streams(broker, size) {
            fill(&stream, ENTRIES);
            stream.group(GROUP).ensure().unwrap();
        }
    },
    measure,
};

fn streams(broker: &Broker, size: u64) -> impl Iterator<Item = Stream> {
    let name = |n| if n == 0 { STREAM.to_owned() } else { format!("{STREAM}-{n}") };
    (0..size).map(move |n| broker.stream(&name(n)).unwrap())
}

fn measure(broker: &Broker, size: u64, teller: &mut Teller) {
    let streams: Vec<_> = streams(broker, size).collect();
    let worker = |stream: &Stream| stream.group(GROUP).existing().unwrap().consumer("worker-1");
    let workers: Vec<Consumer> = streams.iter().map(worker).collect();
    // Each is touched once: the first touch is another matter.
    let cycle = |turn: u64| {
        let at = (turn % size) as usize;
        (&streams[at], &workers[at])
    };
    for turn in 0..size {
        let (stream, worker) = cycle(turn);
        stream.add(ENTRY).unwrap();
        worker.fetch().next().unwrap().ack_all().unwrap();
    }
    teller.memory("memory, each touched");
    let (mut add, mut fetch, mut ack) = (Timer::default(), Timer::default(), Timer::default());
    for round in 0..20 {
        let turn = |n| round * 1000 + n;
        let mut messages = Vec::new();
        add.each(1000, |n| assert!(cycle(turn(n)).0.add(ENTRY).is_ok()));
        fetch.each(1000, |n| messages.push(cycle(turn(n)).1.fetch().next().unwrap()));
        ack.each(1000, |n| assert_eq!(messages[n as usize].ack_all().unwrap(), 1));
    }
    teller.seconds("add", Bound::Logarithm, add.seconds());
    teller.seconds("fetch", Bound::Logarithm, fetch.seconds());
    teller.seconds("ack", Bound::Logarithm, ack.seconds());
}
