//! Tests that wait: they end, and know when somebody waits.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use streamlog::{Id, Stream};

/// Far more than anything here takes: a test that is not over by then hangs.
const WATCHDOG: Duration = Duration::from_secs(120);

/// Runs a test that could hang for ever if what it tests were broken.
pub(crate) fn watched(test: impl FnOnce() + Send + 'static) {
    let (sender, over) = mpsc::channel::<()>();
    let running = thread::spawn(move || {
        // Dropped at the end, however it ends.
        let _sender = sender;
        test();
    });
    match over.recv_timeout(WATCHDOG) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        _ => running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// Returns once so many calls wait.
pub(crate) fn until_waiting(stream: &Stream, calls: usize) {
    while stream.waiting() != calls {
        thread::sleep(Duration::from_micros(200));
    }
}

pub(crate) fn id(seq: u64) -> Id {
    Id::new(1, seq)
}

pub(crate) fn ids(seqs: impl IntoIterator<Item = u64>) -> Vec<Id> {
    seqs.into_iter().map(id).collect()
}

pub(crate) fn add(stream: &Stream, seq: u64) {
    stream.entry([("n", seq.to_string())]).id(id(seq)).add().unwrap();
}
