//! Segments of one stream. They are small here, so that there can be a thousand; a directory as large as a thousand usual ones
//! is met in the backlog.
//!
//! No block of them is kept in memory and one file open: with what is usually kept of both, a random ID costs less as long as all of it is
//! there, and what is shown here once it is not, so that two steps would pass for growth.

use streamlog::{Broker, Id};

use super::child::Teller;
use super::common::Random;
use super::curve::Curve;
use super::figure::Bound;
use super::life::{ENTRY, GROUP, STREAM};
use super::timer::Timer;

const SEGMENT_BYTES: u64 = 256 << 10;

/// Of which so many fill a segment.
const ENTRIES: u64 = 2_000;

pub(crate) const CURVE: Curve = Curve {
    name: "segments",
    title: "segments of 256 KiB in one stream",
    x: "segments",
    sizes: &[1, 10, 100, 1_000],
    sizes_full: &[10_000],
    grows: false,
    opens: true,
    open_killed: Bound::Constant,
    options: |builder| builder.segment_bytes(SEGMENT_BYTES).cache_bytes(0).open_files_max(1),
    fill: |broker, size| {
        let stream = broker.stream(STREAM).unwrap();
        stream.group(GROUP).ensure().unwrap();
        for segment in 0..size {
            let mut batch = stream.batch();
            for n in 1..=ENTRIES {
                batch.push_with_id(Id::new(segment * ENTRIES + n, 0), ENTRY).unwrap();
            }
            batch.add().unwrap();
        }
    },
    measure,
};

fn measure(broker: &Broker, size: u64, teller: &mut Teller) {
    let stream = broker.stream(STREAM).unwrap();
    let mut random = Random::default();
    let mut any = || Id::new(1 + random.below(size * ENTRIES), 0);
    let (mut first, mut get, mut range, mut add) =
        (Timer::default(), Timer::default(), Timer::default(), Timer::default());
    // Each is touched: the first touch reads the segment's index.
    for segment in 0..size {
        let id = Id::new(segment * ENTRIES + ENTRIES / 2, 0);
        first.each(1, |_| assert!(stream.get(id).unwrap().is_some()));
    }
    for _ in 0..20 {
        get.each(200, |_| assert!(stream.get(any()).unwrap().is_some()));
        range.each(100, |_| assert!(!stream.range(any()..).count(100).read().unwrap().is_empty()));
        add.each(1000, |_| assert!(stream.add(ENTRY).is_ok()));
    }
    teller.memory("memory, each touched");
    teller.seconds("first get of a segment", Bound::None, first.seconds());
    teller.seconds("get at a random ID", Bound::Logarithm, get.seconds());
    teller.seconds("range of 100 at a random ID", Bound::Logarithm, range.seconds());
    teller.seconds("add", Bound::Logarithm, add.seconds());
}
