//! The hot paths, one by one: what is set up, and then the calls that are counted. Knows nothing of how they are counted.
//!
//! Every broker here is on the disk. No file of the journal ends and no checkpoint begins in a measured part, unless that is
//! what the row is about; what is read from segments was written there by closing the broker before.

use std::path::Path as Directory;
use std::sync::mpsc;
use std::time::Duration;

use super::common::Random;
use streamlog::{Broker, Consumer, Durability, Id, Stream};

/// A hot path: `run` sets up in a directory of its own and makes so many operations inside [`measured`].
pub(crate) struct Path {
    pub(crate) name: &'static str,
    pub(crate) operations: u64,
    pub(crate) run: fn(u64, &Directory),
}

/// In the order of the table. An operation is an entry, also where a call takes a hundred.
pub(crate) const PATHS: &[Path] = &[
    Path { name: "add", operations: 10_000, run: add },
    Path { name: "add, 16 KiB", operations: 1_000, run: add_large },
    Path { name: "add, always", operations: 2_000, run: add_always },
    Path { name: "add, 100 at once", operations: 100_000, run: add_batches },
    Path { name: "fetch", operations: 10_000, run: fetch_one },
    Path { name: "fetch, 100 at once", operations: 50_000, run: fetch_hundred },
    Path { name: "fetch, from segments", operations: 10_000, run: fetch_one_behind },
    Path { name: "fetch, 100 at once, from segments", operations: 50_000, run: fetch_hundred_behind },
    Path { name: "ack", operations: 10_000, run: ack_one },
    Path { name: "ack, 100 at once", operations: 50_000, run: ack_hundred },
    Path { name: "ack, 100 at once, in any order", operations: 50_000, run: ack_shuffled },
    Path { name: "claim, 100 at once", operations: 20_000, run: claim },
    Path { name: "scan", operations: 100_000, run: scan_tail },
    Path { name: "scan, from segments", operations: 200_000, run: scan_segments },
    Path { name: "get, from segments", operations: 2_000, run: get },
    Path { name: "add that wakes a reader, and its fetch", operations: 200, run: wake },
    Path { name: "checkpoint of an entry", operations: 100_000, run: checkpoint_entries },
    Path { name: "checkpoint of a pending entry", operations: 50_000, run: checkpoint_pending },
    Path { name: "open after a kill, an entry of the journal", operations: 50_000, run: replay },
];

/// Instructions count inside this function and what it calls. Its name is what callgrind looks for.
#[inline(never)]
pub(crate) fn measured(work: &mut dyn FnMut()) {
    work();
    // Work for after the call: one that is the last thing done may become a jump, and then nothing returns from here.
    std::hint::black_box(());
}

const PAYLOAD: [(&str, [u8; 100]); 1] = [("data", [b'x'; 100])];

/// Calls are told apart from what comes once: a stream's first touch, the journal's first and smaller file, memory that is
/// kept for the next call.
const WARM_UP: u64 = 10_000;

fn open(directory: &Directory) -> Broker {
    open_with(directory, 64 << 20)
}

fn open_with(directory: &Directory, journal_file_bytes: u64) -> Broker {
    Broker::builder()
        .durability(Durability::Os)
        // No checkpoint, no flush and no new file of the journal.
        .checkpoint_bytes(1 << 40)
        .journal_bytes_max(1 << 41)
        .tail_bytes(1 << 30)
        .journal_file_bytes(journal_file_bytes)
        .open(directory)
        .expect("the directory opens")
}

/// A broker with a stream that has begun.
fn begun(directory: &Directory) -> (Broker, Stream) {
    let broker = open(directory);
    let stream = broker.stream("orders").unwrap();
    add_each(&stream, WARM_UP);
    (broker, stream)
}

fn add_each(stream: &Stream, entries: u64) {
    for _ in 0..entries {
        stream.add(PAYLOAD).unwrap();
    }
}

fn fill(stream: &Stream, entries: u64) -> Vec<Id> {
    (0..entries / 100).flat_map(|_| stream.add_batch([PAYLOAD; 100]).unwrap()).collect()
}

/// A consumer of a group that has read and acknowledged before, with so many entries for it to read.
fn worker(stream: &Stream, entries: u64) -> Consumer {
    let worker = stream.group("billing").ensure().unwrap().consumer("worker-1");
    fill(stream, 1000);
    while worker.fetch().count(10).next().unwrap().ack_all().unwrap() > 0 {}
    fill(stream, entries);
    worker
}

fn add(operations: u64, directory: &Directory) {
    let (_broker, stream) = begun(directory);
    measured(&mut || add_each(&stream, operations));
}

fn add_large(operations: u64, directory: &Directory) {
    let (_broker, stream) = begun(directory);
    let payload = vec![("data", [b'x'; 16 << 10])];
    let add = |entries| {
        for _ in 0..entries {
            stream.add(&payload).unwrap();
        }
    };
    add(10);
    measured(&mut || add(operations));
}

fn add_always(operations: u64, directory: &Directory) {
    let (_broker, stream) = begun(directory);
    let add = |entries| {
        for _ in 0..entries {
            stream.entry(PAYLOAD).durability(Durability::Always).add().unwrap();
        }
    };
    add(10);
    measured(&mut || add(operations));
}

fn add_batches(operations: u64, directory: &Directory) {
    let (_broker, stream) = begun(directory);
    fill(&stream, 1000);
    measured(&mut || drop(fill(&stream, operations)));
}

fn fetch(operations: u64, count: usize, worker: &Consumer) {
    measured(&mut || {
        for _ in 0..operations / count as u64 {
            assert_eq!(worker.fetch().count(count).next().unwrap().len(), count);
        }
    });
}

fn fetch_one(operations: u64, directory: &Directory) {
    let (_broker, stream) = begun(directory);
    fetch(operations, 1, &worker(&stream, operations));
}

fn fetch_hundred(operations: u64, directory: &Directory) {
    let (_broker, stream) = begun(directory);
    fetch(operations, 100, &worker(&stream, operations));
}

fn fetch_one_behind(operations: u64, directory: &Directory) {
    fetch_behind(operations, 1, directory);
}

fn fetch_hundred_behind(operations: u64, directory: &Directory) {
    fetch_behind(operations, 100, directory);
}

fn fetch_behind(operations: u64, count: usize, directory: &Directory) {
    let (broker, stream) = begun(directory);
    let consumer = worker(&stream, operations + 1000);
    drop((stream, consumer));
    broker.close().unwrap();
    let broker = open(directory);
    let worker = broker.stream("orders").unwrap().group("billing").existing().unwrap().consumer("worker-1");
    for _ in 0..10 {
        worker.fetch().count(100).next().unwrap();
    }
    fetch(operations, count, &worker);
}

/// Acknowledges so many at a time, in the order that `order` brings them into.
fn ack(operations: u64, directory: &Directory, count: usize, order: impl FnOnce(&mut [Id])) {
    let (_broker, stream) = begun(directory);
    let worker = worker(&stream, operations);
    let mut ids = worker.fetch().count(operations as usize).next().unwrap().ids();
    assert_eq!(ids.len() as u64, operations);
    order(&mut ids);
    measured(&mut || {
        for ids in ids.chunks(count) {
            assert_eq!(worker.group().ack(ids).unwrap(), count as u64);
        }
    });
}

fn ack_one(operations: u64, directory: &Directory) {
    ack(operations, directory, 1, |_| {});
}

fn ack_hundred(operations: u64, directory: &Directory) {
    ack(operations, directory, 100, |_| {});
}

fn ack_shuffled(operations: u64, directory: &Directory) {
    ack(operations, directory, 100, |ids| {
        let mut random = Random::default();
        (1..ids.len()).for_each(|at| ids.swap(at, random.below(at as u64 + 1) as usize));
    });
}

fn claim(operations: u64, directory: &Directory) {
    let (_broker, stream) = begun(directory);
    let worker = worker(&stream, operations);
    worker.fetch().count(operations as usize).next().unwrap();
    let other = worker.group().consumer("worker-2");
    let mut next = Id::MIN;
    measured(&mut || {
        for _ in 0..operations / 100 {
            let claimed = other.auto_claim(Duration::ZERO).start(next).count(100).run().unwrap();
            assert_eq!(claimed.messages.len(), 100);
            next = claimed.next;
        }
    });
}

fn scan_tail(operations: u64, directory: &Directory) {
    let (_broker, stream) = begun(directory);
    fill(&stream, operations - WARM_UP);
    measured(&mut || assert_eq!(stream.range(..).iter().map(Result::unwrap).count() as u64, operations));
}

/// A stream whose entries are in segments.
fn in_segments(entries: u64, directory: &Directory) -> (Broker, Stream, Vec<Id>) {
    let broker = open(directory);
    let ids = fill(&broker.stream("orders").unwrap(), entries);
    broker.close().unwrap();
    let broker = open(directory);
    let stream = broker.stream("orders").unwrap();
    assert_eq!(stream.range(..).iter().map(Result::unwrap).count() as u64, entries);
    (broker, stream, ids)
}

fn scan_segments(operations: u64, directory: &Directory) {
    let (_broker, stream, _) = in_segments(operations, directory);
    measured(&mut || assert_eq!(stream.range(..).iter().map(Result::unwrap).count() as u64, operations));
}

fn get(operations: u64, directory: &Directory) {
    let (_broker, stream, ids) = in_segments(200_000, directory);
    let mut random = Random::default();
    measured(&mut || {
        for _ in 0..operations {
            let id = ids[random.below(ids.len() as u64) as usize];
            assert!(stream.get(id).unwrap().is_some());
        }
    });
}

fn wake(operations: u64, directory: &Directory) {
    let (_broker, stream) = begun(directory);
    let worker = worker(&stream, 0);
    let (woken, wait) = mpsc::channel();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..operations {
                measured(&mut || assert_eq!(worker.fetch().block_forever().next().unwrap().len(), 1));
                woken.send(()).unwrap();
            }
        });
        for _ in 0..operations {
            // Long enough for the reader to wait again: nothing that can be asked says that it does.
            std::thread::sleep(Duration::from_millis(10));
            measured(&mut || add_each(&stream, 1));
            wait.recv().unwrap();
        }
    });
}

fn checkpoint_entries(operations: u64, directory: &Directory) {
    let (broker, stream) = begun(directory);
    fill(&stream, operations - WARM_UP);
    let mut broker = Some(broker);
    measured(&mut || broker.take().expect("once").close().unwrap());
}

fn checkpoint_pending(operations: u64, directory: &Directory) {
    let (broker, stream) = begun(directory);
    let consumer = worker(&stream, operations);
    drop((stream, consumer));
    // The entries themselves are in segments by now.
    broker.close().unwrap();
    let broker = open(directory);
    let worker = broker.stream("orders").unwrap().group("billing").existing().unwrap().consumer("worker-1");
    for _ in 0..operations / 100 {
        worker.fetch().count(100).next().unwrap();
    }
    let mut broker = Some(broker);
    measured(&mut || broker.take().expect("once").close().unwrap());
}

fn replay(operations: u64, directory: &Directory) {
    // No larger than the entries fill: the zeros behind the end of the journal are read too.
    let journal_file_bytes = operations * 140;
    let broker = open_with(directory, journal_file_bytes);
    let stream = broker.stream("orders").unwrap();
    add_each(&stream, operations);
    // What a kill would leave: the files as they are now, with nobody at work on them.
    let killed = directory.with_extension("killed");
    copy(directory, &killed);
    broker.close().unwrap();
    let mut opened = None;
    measured(&mut || opened = Some(open_with(&killed, journal_file_bytes)));
    assert_eq!(opened.unwrap().stream("orders").unwrap().len().unwrap(), operations);
}

fn copy(from: &Directory, to: &Directory) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (file.path(), to.join(file.file_name()));
        if file.file_type().unwrap().is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}
