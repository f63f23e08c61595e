//! Pending entries of one group: contiguous, as one consumer is given them; and scattered, among four consumers and with every
//! second one acknowledged.

use std::time::Duration;

use streamlog::{Broker, Id};

use super::child::Teller;
use super::common::Random;
use super::curve::Curve;
use super::figure::Bound;
use super::life::{GROUP, STREAM, defaults, fill};
use super::timer::Timer;

pub(crate) const CURVE: Curve = Curve {
    name: "pending",
    title: "entries pending in one group, with one consumer",
    x: "pending",
    sizes: &[0, 1_000, 10_000, 100_000, 1_000_000],
    sizes_full: &[10_000_000],
    grows: false,
    opens: true,
    open_killed: Bound::None,
    options: defaults,
    fill: |broker, size| {
        let stream = broker.stream(STREAM).unwrap();
        let worker = stream.group(GROUP).ensure().unwrap().consumer("worker-1");
        fill(&stream, size);
        for _ in 0..size / 1000 {
            assert_eq!(worker.read_new().count(1000).next().unwrap().len(), 1000);
        }
        fill(&stream, 1000);
    },
    measure,
};

pub(crate) const SCATTERED: Curve = Curve {
    name: "pending-scattered",
    title: "entries pending in one group, every second acknowledged, with four consumers in turn",
    fill: |broker, size| {
        let stream = broker.stream(STREAM).unwrap();
        let group = stream.group(GROUP).ensure().unwrap();
        let workers: Vec<_> = (1..=4).map(|n| group.consumer(&format!("worker-{n}"))).collect();
        fill(&stream, size * 2);
        for turn in 0..size * 2 {
            let messages = workers[(turn % 4) as usize].read_new().next().unwrap();
            // The four are each left with some.
            if turn / 4 % 2 == turn % 2 {
                messages.ack_all().unwrap();
            }
        }
        fill(&stream, 1000);
    },
    ..CURVE
};

/// Keeps the size: as many are acknowledged, anywhere, as are delivered.
fn measure(broker: &Broker, _: u64, teller: &mut Teller) {
    let stream = broker.stream(STREAM).unwrap();
    let group = stream.group(GROUP).existing().unwrap();
    let (worker, other) = (group.consumer("worker-1"), group.consumer("other"));
    let mut pending: Vec<Id> = group.pending_range(..).read().unwrap().iter().map(|entry| entry.id).collect();
    let mut random = Random::default();
    let (mut fetch, mut rescue, mut claim, mut ack) =
        (Timer::default(), Timer::default(), Timer::default(), Timer::default());
    for _ in 0..20 {
        fill(&stream, 1000);
        fetch.each(500, |_| pending.extend(worker.read_new().next().unwrap().ids()));
        let long = Duration::from_secs(3600);
        rescue.each(500, |_| pending.extend(worker.read_new().claim_idle(long).next().unwrap().ids()));
        let claimed: Vec<Id> = (0..1000).map(|_| pending[random.below(pending.len() as u64) as usize]).collect();
        claim.each(1000, |n| assert_eq!(other.claim(&claimed[n as usize..][..1]).run().unwrap().len(), 1));
        let mut take = || pending.swap_remove(random.below(pending.len() as u64) as usize);
        let acked: Vec<Id> = (0..1000).map(|_| take()).collect();
        ack.each(1000, |n| assert_eq!(group.ack(&acked[n as usize..][..1]).unwrap(), 1));
    }
    teller.seconds("fetch", Bound::Logarithm, fetch.seconds());
    teller.seconds("fetch, looking for idle ones", Bound::Logarithm, rescue.seconds());
    teller.seconds("claim", Bound::Logarithm, claim.seconds());
    teller.seconds("ack", Bound::Logarithm, ack.seconds());
}
