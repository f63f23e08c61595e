//! A slow disk makes writers wait: what is in memory, and what the journal keeps, stays within its bounds.

#![cfg(feature = "simulation")]

use std::time::Duration;

use streamlog::sim::SimDisk;
use streamlog::{Broker, Durability};

const ENTRY_BYTES: usize = 1000;
const THREADS: usize = 4;

/// Adds entries from several threads; returns the most that was in memory and on the disk meanwhile, in bytes.
fn add(disk: &SimDisk, broker: &Broker) -> (usize, u64) {
    let most = std::thread::scope(|scope| {
        let adders: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let stream = broker.stream(&format!("s{thread}")).unwrap();
                    let payload = vec![7; ENTRY_BYTES];
                    let mut most = (0, 0);
                    for _ in 0..300 {
                        stream.add([("payload", &payload)]).unwrap();
                        let journal = disk.list_all().into_iter().filter(|path| path.starts_with("journal/"));
                        let journal: u64 =
                            journal.filter_map(|path| disk.read_all(&path)).map(|b| b.len() as u64).sum();
                        most = (most.0.max(broker.tail_bytes()), most.1.max(journal));
                    }
                    most
                })
            })
            .collect();
        adders.into_iter().map(|adder| adder.join().unwrap()).reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))
    });
    most.unwrap()
}

#[test]
fn where_segments_are_slow_to_write_adders_wait_and_memory_stays_within_its_bounds() {
    const TAIL: usize = 64 << 10;
    for threads in [true, false] {
        let disk = SimDisk::new(1);
        let builder = Broker::builder().durability(Durability::Os).tail_bytes(TAIL).background(threads);
        let broker = builder.open_on(disk.storage()).unwrap();
        disk.slow("streams/", Some(Duration::from_millis(2)));
        let (memory, _) = add(&disk, &broker);
        // Each thread may be about to look.
        assert!(memory <= TAIL + (THREADS + 1) * (ENTRY_BYTES + 100), "{memory} bytes");
        assert!(memory > TAIL / 4, "the test has something to show");
        disk.slow("", None);
        broker.close().unwrap();
    }
}

#[test]
fn where_redb_is_slow_to_write_adders_wait_and_the_journal_stays_within_its_bounds() {
    const MAX: u64 = 128 << 10;
    const FILE: u64 = 16 << 10;
    let disk = SimDisk::new(1);
    let builder = Broker::builder().durability(Durability::Os).journal_file_bytes(FILE);
    let broker = builder.checkpoint_bytes(MAX / 2).journal_bytes_max(MAX).open_on(disk.storage()).unwrap();
    disk.slow("state.redb", Some(Duration::from_millis(5)));
    let (_, journal) = add(&disk, &broker);
    // What had come before the checkpoint began that is waited for, spares, and the file that is in use.
    let bound = 2 * MAX + (MAX / 2 / FILE + 5) * FILE;
    assert!(journal <= bound, "{journal} bytes, and not {bound}");
    assert!(journal > MAX / 2, "the test has something to show");
    disk.slow("", None);
    broker.close().unwrap();
}
