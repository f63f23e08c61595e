//! Threads that add: to one stream, and each to its own.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use streamlog::{Broker, Durability};

use super::child::Teller;
use super::curve::Curve;
use super::figure::Bound;
use super::life::{ENTRY, STREAM, defaults};

const TIME: Duration = Duration::from_millis(1500);

pub(crate) const CURVE: Curve = Curve {
    name: "threads",
    title: "threads that add",
    x: "threads",
    sizes: &[1, 2, 4, 8, 16],
    sizes_full: &[32, 64],
    grows: false,
    opens: false,
    open_killed: Bound::None,
    options: defaults,
    fill: |_, _| {},
    measure,
};

fn measure(broker: &Broker, size: u64, teller: &mut Teller) {
    for (level, durability) in [("os", Durability::Os), ("always", Durability::Always)] {
        let added = adds(broker, durability, size, |_| STREAM.to_owned());
        teller.per_second(&format!("{level}, one stream"), Bound::None, added);
        let added = adds(broker, durability, size, |n| format!("{STREAM}-{n}"));
        teller.per_second(&format!("{level}, each its own"), Bound::None, added);
    }
}

/// How many entries they add in a second, all together.
fn adds(broker: &Broker, durability: Durability, threads: u64, name: impl Fn(u64) -> String) -> f64 {
    let (stop, start) = (AtomicBool::new(false), Barrier::new(threads as usize + 1));
    std::thread::scope(|scope| {
        let thread = |n| {
            let stream = broker.stream(&name(n)).unwrap();
            stream.add(ENTRY).unwrap();
            let (stop, start) = (&stop, &start);
            scope.spawn(move || {
                start.wait();
                let mut added = 0;
                while !stop.load(Ordering::Relaxed) {
                    stream.entry(ENTRY).durability(durability).add().unwrap();
                    added += 1;
                }
                added
            })
        };
        let adding: Vec<_> = (0..threads).map(thread).collect();
        start.wait();
        let began = Instant::now();
        std::thread::sleep(TIME);
        stop.store(true, Ordering::Relaxed);
        let added: u64 = adding.into_iter().map(|thread| thread.join().unwrap()).sum();
        added as f64 / began.elapsed().as_secs_f64()
    })
}
