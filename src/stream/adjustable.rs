//! What can be set while the broker is open, and is not kept: it begins with the defaults at every opening.

use crate::idempotency::Idempotency;
use crate::state::change::Change;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::trim::NODE_ENTRIES;

/// What can be set while the broker is open.
#[derive(Debug)]
pub(crate) struct Adjustable {
    /// Entries of one node, for approximate trims; 0: a stream is one node.
    node_entries: AtomicU64,
    idempotency_seconds: AtomicU32,
    idempotency_ids: AtomicU32,
}

impl Default for Adjustable {
    fn default() -> Adjustable {
        let Idempotency { seconds, ids_max } = Idempotency::default();
        Adjustable {
            node_entries: AtomicU64::new(NODE_ENTRIES),
            idempotency_seconds: AtomicU32::new(seconds),
            idempotency_ids: AtomicU32::new(ids_max),
        }
    }
}

impl Adjustable {
    /// Entries of one node, for approximate trims (`stream-node-max-entries`); 0: a stream is one node.
    pub(crate) fn node_entries(&self) -> u64 {
        self.node_entries.load(Ordering::Relaxed)
    }

    /// What streams remember of idempotent producers that are created from now on.
    pub(crate) fn idempotency(&self) -> Idempotency {
        let seconds = self.idempotency_seconds.load(Ordering::Relaxed);
        Idempotency { seconds, ids_max: self.idempotency_ids.load(Ordering::Relaxed) }
    }

    /// What a new stream is told first, if that is not what every stream begins with.
    pub(super) fn first_change(&self) -> Option<Change> {
        Some(self.idempotency()).filter(|settings| *settings != Idempotency::default()).map(Change::SetIdempotency)
    }
}

#[cfg(any(test, feature = "resp"))]
impl Adjustable {
    pub(crate) fn set_node_entries(&self, entries: u64) {
        self.node_entries.store(entries, Ordering::Relaxed);
    }

    pub(crate) fn set_idempotency(&self, settings: Idempotency) {
        self.idempotency_seconds.store(settings.seconds, Ordering::Relaxed);
        self.idempotency_ids.store(settings.ids_max, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Broker, Idempotency, Trim};

    fn stream_of(broker: &Broker, entries: u64) -> crate::Stream {
        let orders = broker.stream("orders").unwrap();
        orders.add_batch((0..entries).map(|_| [("sku", "A1")])).unwrap();
        orders
    }

    #[test]
    fn an_approximate_trim_goes_by_nodes_of_as_many_entries_as_are_set_then() {
        let broker = Broker::in_memory().unwrap();
        let orders = stream_of(&broker, 60);
        assert_eq!(orders.trim(Trim::max_len(25).approximately()).unwrap(), 0);
        broker.adjustable().set_node_entries(10);
        assert_eq!(orders.trim(Trim::max_len(25).approximately_at_most(12)).unwrap(), 10);
        assert_eq!(orders.trim(Trim::max_len(25).approximately()).unwrap(), 20);
        broker.adjustable().set_node_entries(0);
        assert_eq!(orders.trim(Trim::max_len(5).approximately()).unwrap(), 0);
        assert_eq!(orders.trim(Trim::max_len(0).approximately()).unwrap(), 30);
    }

    #[test]
    fn a_trim_without_a_limit_of_its_own_takes_a_hundred_nodes() {
        let broker = Broker::in_memory().unwrap();
        broker.adjustable().set_node_entries(2);
        assert_eq!(stream_of(&broker, 1000).trim(Trim::max_len(0).approximately()).unwrap(), 200);
    }

    #[test]
    fn new_streams_remember_producers_as_is_set_then_also_after_reopening() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let set = Idempotency::default().seconds(7).unwrap().ids(3).unwrap();
        {
            let broker = Broker::open(&path).unwrap();
            broker.stream("before").unwrap().add([("a", "1")]).unwrap();
            broker.adjustable().set_idempotency(set);
            broker.stream("after").unwrap().add([("a", "1")]).unwrap();
            broker.stream("empty").unwrap().group("g").ensure().unwrap();
        }
        let broker = Broker::open(&path).unwrap();
        broker.stream("anew").unwrap().add([("a", "1")]).unwrap();
        for (name, settings) in
            [("before", Idempotency::default()), ("after", set), ("empty", set), ("anew", Idempotency::default())]
        {
            assert_eq!(broker.stream(name).unwrap().idempotency().unwrap(), settings, "{name}");
        }
    }
}
