//! The main job, end to end: open, add, group, read, acknowledge, crash, reopen.

use streamlog::{Broker, Id};

#[test]
fn what_was_added_delivered_and_acknowledged_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let ids: Vec<Id>;
    {
        let broker = Broker::open(directory.path()).unwrap();
        let orders = broker.stream("orders").unwrap();
        let billing = orders.group("billing").from_start().ensure().unwrap();
        ids = (0..10).map(|n: u32| orders.add([("n", n.to_string())]).unwrap()).collect();
        let batch = billing.consumer("worker").read_new().count(4).next().unwrap();
        assert_eq!(batch.ids(), ids[..4]);
        batch[0].ack().unwrap();
        broker.close().unwrap();
    }
    let broker = Broker::open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    assert_eq!(orders.range(..).read().unwrap().iter().map(|entry| entry.id).collect::<Vec<_>>(), ids);
    let billing = orders.group("billing").existing().unwrap();
    let worker = billing.consumer("worker");
    assert_eq!(worker.fetch().count(10).next().unwrap().ids(), ids[1..4], "its own pending first");
    assert_eq!(worker.fetch().count(10).next().unwrap().ids(), ids[4..], "then new ones");
}
