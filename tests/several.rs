//! Reading several streams at once, and waiting for any of them.

#![cfg(feature = "simulation")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use streamlog::{Broker, Clock, Id, StartAt};

/// A clock that counts how often somebody who waits looks how long is left.
#[derive(Debug, Clone)]
struct Counting {
    origin: Instant,
    looks: Arc<AtomicUsize>,
}

impl Clock for Counting {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000
    }

    fn monotonic(&self) -> Duration {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.origin.elapsed()
    }
}

/// A stream that is read after the last ID of all has nothing to give, and was never looked at; but the read waited in it, and
/// took what had come there before for news: it never slept.
#[test]
fn a_read_sleeps_though_nothing_can_come_of_one_of_its_streams() {
    let looks = Arc::new(AtomicUsize::new(0));
    let clock = Counting { origin: Instant::now(), looks: Arc::clone(&looks) };
    let broker = Broker::builder().clock(clock).background(false).open_in_memory().unwrap();
    let (ends, waits) = (broker.stream("ends").unwrap(), broker.stream("waits").unwrap());
    ends.add([("n", "1")]).unwrap();
    waits.add([("n", "1")]).unwrap();
    let read = || broker.read([("ends", StartAt::After(Id::MAX)), ("waits", StartAt::End)]).unwrap();
    assert!(read().block(Duration::from_millis(20)).next().unwrap().is_empty());
    assert!(looks.load(Ordering::Relaxed) < 50, "{looks:?}");

    let read = read();
    waits.add([("n", "2")]).unwrap();
    let found = read.block_forever().next().unwrap();
    assert_eq!(found.iter().map(|(name, entries)| (&**name, entries.len())).collect::<Vec<_>>(), [("waits", 1)]);
}
