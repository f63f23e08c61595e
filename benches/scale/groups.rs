//! Groups of one stream, which read it in turn.

use streamlog::{Broker, Consumer};

use super::child::Teller;
use super::curve::Curve;
use super::figure::Bound;
use super::life::{ENTRY, STREAM, defaults, fill};
use super::timer::Timer;

pub(crate) const CURVE: Curve = Curve {
    name: "groups",
    title: "groups of one stream",
    x: "groups",
    sizes: &[1, 10, 100, 1_000],
    sizes_full: &[10_000],
    grows: false,
    opens: true,
    open_killed: Bound::None,
    options: defaults,
    fill: |broker, size| {
        let stream = broker.stream(STREAM).unwrap();
        for n in 0..size {
            stream.group(&format!("group-{n}")).ensure().unwrap();
        }
        fill(&stream, 100_000);
    },
    measure,
};

fn measure(broker: &Broker, size: u64, teller: &mut Teller) {
    let stream = broker.stream(STREAM).unwrap();
    let worker = |n| stream.group(&format!("group-{n}")).existing().unwrap().consumer("worker-1");
    let workers: Vec<Consumer> = (0..size).map(worker).collect();
    for worker in &workers {
        worker.fetch().next().unwrap().ack_all().unwrap();
    }
    teller.memory("memory, each at work");
    let (mut add, mut fetch, mut ack) = (Timer::default(), Timer::default(), Timer::default());
    for round in 0..20 {
        let turn = |n| &workers[((round * 1000 + n) % size) as usize];
        let mut messages = Vec::new();
        add.each(1000, |_| assert!(stream.add(ENTRY).is_ok()));
        fetch.each(1000, |n| messages.push(turn(n).fetch().next().unwrap()));
        ack.each(1000, |n| assert_eq!(messages[n as usize].ack_all().unwrap(), 1));
    }
    teller.seconds("add", Bound::Logarithm, add.seconds());
    teller.seconds("fetch", Bound::Logarithm, fetch.seconds());
    teller.seconds("ack", Bound::Logarithm, ack.seconds());
}
