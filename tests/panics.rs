//! A panic in a caller's own code, wherever this crate calls it or it calls this crate, leaves the broker as it was: nothing of
//! ours is locked meanwhile, nothing is half done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use streamlog::{Broker, FieldSink, IntoFields};

struct Panics;

impl IntoFields for Panics {
    fn into_fields(self, sink: &mut FieldSink<'_>) {
        sink.push("half", "done");
        panic!("in the caller's code");
    }
}

fn panics(call: impl FnOnce()) {
    catch_unwind(AssertUnwindSafe(call)).expect_err("the caller's panic comes back to it");
}

#[test]
fn a_panic_while_fields_are_made_adds_nothing_and_locks_nothing() {
    let broker = Broker::in_memory().unwrap();
    let orders = broker.stream("orders").unwrap();
    let mut batch = orders.batch();
    batch.push([("n", "1")]).unwrap();
    panics(|| drop(orders.add(Panics)));
    assert!(broker.streams().unwrap().is_empty(), "not even the stream");
    panics(|| drop(orders.entry(Panics).add()));
    panics(|| drop(batch.push(Panics)));
    batch.push([("n", "2")]).unwrap();
    batch.add().unwrap();
    panics(|| drop(orders.add(Panics)));
    orders.add([("n", "3")]).unwrap();
    let entries = orders.range(..).read().unwrap();
    let numbers: Vec<_> = entries.iter().map(|entry| (entry.len(), entry.text("n").unwrap())).collect();
    assert_eq!(numbers, [(1, "1"), (1, "2"), (1, "3")]);
}

#[test]
fn a_panic_of_a_worker_leaves_its_message_pending_and_others_at_work() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::open(directory.path().join("data")).unwrap();
    let orders = broker.stream("orders").unwrap();
    let group = orders.group("billing").from_start().ensure().unwrap();
    let ids = [1, 2, 3].map(|n: u32| orders.add([("n", n.to_string())]).unwrap());
    panics(|| {
        let worker = group.consumer("worker");
        for message in &worker.fetch().count(3).next().unwrap() {
            assert!(message.id() == ids[0], "the second is too much for it");
            message.ack().unwrap();
        }
    });
    let pending = group.pending_range(..).count(10).read().unwrap();
    assert_eq!(pending.iter().map(|row| row.id).collect::<Vec<_>>(), ids[1..]);
    // The same worker again, and another that waits meanwhile.
    let waiting = std::thread::spawn({
        let other = group.consumer("other");
        move || {
            other
                .read_new()
                .block(Duration::from_secs(60))
                .next()
                .unwrap()
                .iter()
                .map(streamlog::Message::id)
                .collect::<Vec<_>>()
        }
    });
    let again = group.consumer("worker").fetch().count(3).next().unwrap();
    assert_eq!(again.iter().map(streamlog::Message::id).collect::<Vec<_>>(), ids[1..]);
    let new = orders.add([("n", "4")]).unwrap();
    assert_eq!(waiting.join().unwrap(), [new]);
    broker.close().unwrap();
}
