//! A trim, of one entry or of many, of a stream in segments of 1 MiB.

use std::time::Instant;

use streamlog::{Broker, Trim};

use super::child::Teller;
use super::curve::Curve;
use super::figure::Bound;
use super::life::{ENTRY, STREAM, fill};
use super::timer::Timer;

const ENTRIES: u64 = 1_000_000;

pub(crate) const CURVE: Curve = Curve {
    name: "trim",
    title: "entries trimmed at once, of a million",
    x: "trimmed",
    sizes: &[1, 10, 100, 1_000, 10_000, 100_000, ENTRIES],
    sizes_full: &[],
    grows: false,
    opens: false,
    open_killed: Bound::None,
    options: |builder| builder.segment_bytes(1 << 20),
    fill: |broker, _| fill(&broker.stream(STREAM).unwrap(), ENTRIES),
    measure,
};

fn measure(broker: &Broker, size: u64, teller: &mut Teller) {
    let stream = broker.stream(STREAM).unwrap();
    stream.add(ENTRY).unwrap();
    let began = Instant::now();
    assert_eq!(stream.trim(Trim::max_len(ENTRIES + 1 - size)).unwrap(), size);
    teller.seconds("trim", Bound::None, began.elapsed().as_secs_f64());
    let mut add = Timer::default();
    for _ in 0..20 {
        add.each(500, |_| assert!(stream.add(ENTRY).is_ok()));
    }
    teller.seconds("add, after it", Bound::Constant, add.seconds());
    // The files go with a checkpoint, and closing writes one.
    let began = Instant::now();
    broker.clone().close().unwrap();
    teller.seconds("close", Bound::None, began.elapsed().as_secs_f64());
}
