//! Many threads at once: what one was told, every other can see; and what goes away under a reader is no damage.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use streamlog::{Broker, ErrorKind, Trim};

/// On memory a sync takes no time, so that the moments in which threads meet come often.
fn in_memory() -> Broker {
    Broker::in_memory().unwrap()
}

#[test]
fn an_entry_is_seen_by_the_time_its_add_returned_whoever_synced_it() {
    let broker = in_memory();
    let streams = [broker.stream("a").unwrap(), broker.stream("b").unwrap()];
    thread::scope(|scope| {
        for worker in 0..6 {
            let stream = &streams[worker % 2];
            scope.spawn(move || {
                for n in 0..20_000 {
                    let id = stream.entry([("n", "x")]).trim(Trim::max_len(1000)).add().unwrap();
                    assert!(stream.info().unwrap().last_id >= id, "add {n} of worker {worker} returned unseen");
                }
            });
        }
    });
}

#[test]
fn a_trim_is_not_seen_before_the_add_it_came_with() {
    let broker = in_memory();
    let stream = broker.stream("last").unwrap();
    stream.add([("n", "0")]).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20_000 {
                stream.entry([("n", "x")]).trim(Trim::max_len(1)).add().unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            assert_eq!(stream.len().unwrap(), 1);
            assert_eq!(stream.range(..).read().unwrap().len(), 1);
            assert!(stream.info().unwrap().first_id.is_some());
        }
    });
}

#[test]
fn a_reader_whom_trims_and_deletes_overtake_meets_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    let options = Broker::builder().durability(streamlog::Durability::Os).segment_bytes(4_000).tail_bytes(8_000);
    // No cache to speak of: every read goes to the files.
    let broker = options.cache_bytes(1).open(directory.path()).unwrap();
    let stream = broker.stream("log").unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..20_000u32 {
                let id = stream.add([("n", &n.to_string()), ("pad", &"x".repeat(60))]).unwrap();
                if n % 100 == 0 {
                    stream.trim(Trim::max_len(300)).unwrap();
                }
                if n % 5_000 == 4_999 {
                    assert!(stream.get(id).unwrap().is_some());
                    stream.delete_stream().unwrap();
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let mut last = None;
                    for entry in stream.range(..) {
                        let entry = entry.unwrap();
                        assert!(last < Some(entry.id));
                        last = Some(entry.id);
                    }
                }
            });
        }
    });
}

#[test]
fn after_any_of_several_closes_returned_the_directory_can_be_opened() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..20 {
        let broker = Broker::open(directory.path()).unwrap();
        broker.stream("s").unwrap().add([("n", "x")]).unwrap();
        thread::scope(|scope| {
            let closing: Vec<_> = (0..3).map(|_| broker.clone()).map(|broker| scope.spawn(|| broker.close())).collect();
            broker.clone().close().unwrap();
            assert_eq!(broker.stream("s").unwrap().add([("n", "x")]).unwrap_err().kind(), ErrorKind::Closed);
            Broker::open(directory.path()).unwrap().close().unwrap();
            closing.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
        });
    }
}
