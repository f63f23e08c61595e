//! One side's turn: the same thing again and again until the time is over, by one thread or by several.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What was done in a turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    /// In a second.
    pub(crate) rate: f64,
    /// In a second, of the first tenth of the time.
    pub(crate) burst: f64,
    pub(crate) done: u64,
}

/// Calls `work`, which returns how much it did, until the time is over or there is nothing to do. The clock is looked at after
/// so many calls: of the quickest a look is a tenth.
pub(crate) fn run(time: Duration, calls: usize, mut work: impl FnMut() -> usize) -> Slice {
    let began = Instant::now();
    let (mut done, mut burst) = (0, None);
    loop {
        let mut idle = false;
        for _ in 0..calls {
            let some = work();
            done += some as u64;
            idle |= some == 0;
        }
        let elapsed = began.elapsed();
        let rate = done as f64 / elapsed.as_secs_f64();
        if elapsed >= time / 10 {
            burst.get_or_insert(rate);
        }
        if elapsed >= time || idle {
            return Slice { rate, burst: burst.unwrap_or(rate), done };
        }
    }
}

/// Has each of `workers` do one thing at a time, all at once, until the time is over.
pub(crate) fn run_together(time: Duration, workers: Vec<impl FnMut() + Send>) -> Slice {
    let (start, stop, done) = (Barrier::new(workers.len() + 1), AtomicBool::new(false), AtomicU64::new(0));
    let (mut began, mut burst) = (Instant::now(), 0.0);
    thread::scope(|scope| {
        for mut work in workers {
            let (start, stop, done) = (&start, &stop, &done);
            scope.spawn(move || {
                start.wait();
                while !stop.load(Ordering::Relaxed) {
                    work();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        start.wait();
        began = Instant::now();
        thread::sleep(time / 10);
        burst = done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
        thread::sleep(time * 9 / 10);
        stop.store(true, Ordering::Relaxed);
    });
    let done = done.into_inner();
    Slice { rate: done as f64 / began.elapsed().as_secs_f64(), burst, done }
}
