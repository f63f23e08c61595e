//! Calls whose wait for the disk is left to whoever made them: several calls, one wait.

use super::Broker;
#[cfg(feature = "tokio")]
use crate::error::Result;
#[cfg(any(test, feature = "resp"))]
use crate::stream::owed::{self, Owed};
#[cfg(feature = "resp")]
use crate::stream::settle::Syncs;

impl Broker {
    /// Calls `work`, whose calls on this broker's handles wait for no sync; returns what they owe. What they wrote is durable,
    /// and seen by others, only once that is [settled](Broker::settle).
    #[allow(clippy::unused_self, reason = "what is owed is owed to this broker's journal")]
    #[cfg(any(test, feature = "resp"))]
    pub(crate) fn owing<T>(&self, work: impl FnOnce() -> T) -> (T, Owed) {
        owed::owing(work)
    }

    /// What is owed for everything that returned so far, whatever its durability (`WAITAOF`).
    #[cfg(feature = "resp")]
    pub(crate) fn owed_so_far(&self) -> Owed {
        let lsn = self.open.core.journal.last_lsn();
        Owed { synced: lsn, written: lsn }
    }

    /// Calls `work`, and waits without a thread for the disk.
    ///
    /// # Errors
    ///
    /// What `work` says; what the sync failed with.
    #[cfg(feature = "tokio")]
    pub(crate) async fn settled<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.open.core.settled(work).await
    }

    /// Waits until what is owed is as durable as it is to be, and seen by others. Where it has `company` on its thread, all of
    /// that have their turn first. Whoever is first then writes or syncs for all, and the thread stands still meanwhile.
    ///
    /// # Errors
    ///
    /// What the sync failed with.
    #[cfg(feature = "resp")]
    pub(crate) async fn settle(&self, owed: Owed, company: bool) -> Result<()> {
        let core = &self.open.core;
        if company && (core.journal.settled() < owed.synced || core.shown_lsn() < owed.written) {
            tokio::task::yield_now().await;
        }
        core.settle(owed.synced, Syncs::Poll).await?;
        core.write_to(owed.written)
    }
}

#[cfg(all(test, feature = "simulation"))]
mod tests {
    use super::*;
    use crate::options::Durability;
    use crate::storage::sim::{SimDisk, Survival};
    use crate::stream::StartAt;

    fn open(disk: &SimDisk, durability: Durability) -> Broker {
        Broker::builder().background(false).durability(durability).open_on(disk.storage()).unwrap()
    }

    #[test]
    fn calls_made_together_are_written_once_and_nothing_is_seen_before() {
        let disk = SimDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let orders = broker.stream("orders").unwrap();
        let group = orders.group("billing").ensure().unwrap();
        let before = disk.operations();
        let (ids, owed) = broker.owing(|| (0..100).map(|_| orders.add("x").unwrap()).collect::<Vec<_>>());
        assert_eq!(disk.operations(), before, "nothing is written yet");
        assert_eq!(orders.len().unwrap(), 0);
        assert!(orders.read(StartAt::Start).next().unwrap().is_empty());
        assert!(group.consumer("a").read_new().next().unwrap().is_empty());
        assert_eq!(owed.synced, 0);
        broker.open.core.write_to(owed.written).unwrap();
        assert_eq!(disk.operations(), before + 1);
        broker.clone().crash();
        disk.restart(Survival::Kill);
        let there = open(&disk, Durability::Os).stream("orders").unwrap().range(..).read().unwrap();
        assert_eq!(there.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids);
    }

    #[test]
    fn whoever_writes_after_calls_made_together_has_them_written_and_seen_first() {
        let disk = SimDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let (orders, others) = (broker.stream("orders").unwrap(), broker.stream("others").unwrap());
        let (first, owed) = broker.owing(|| orders.add("x").unwrap());
        others.add("y").unwrap();
        let second = orders.add("z").unwrap();
        let there: Vec<_> = orders.range(..).read().unwrap().iter().map(|entry| entry.id).collect();
        assert_eq!(there, [first, second]);
        broker.open.core.write_to(owed.written).unwrap();
    }

    #[test]
    fn what_is_found_done_already_is_owed_as_if_it_were_done_now() {
        let disk = SimDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let orders = broker.stream("orders").unwrap();
        let (_, first) = broker.owing(|| orders.add("x").unwrap());
        let (created, owed) = broker.owing(|| orders.group("billing").ensure().map(drop));
        created.unwrap();
        let (again, found) = broker.owing(|| orders.group("billing").ensure().map(drop));
        again.unwrap();
        assert!(first.written < owed.written && owed.written == found.written);
    }

    #[test]
    fn where_calls_made_together_cannot_be_written_all_are_told() {
        use crate::storage::sim::{Fault, FaultOp};
        let disk = SimDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let orders = broker.stream("orders").unwrap();
        orders.create().unwrap();
        let (_, one) = broker.owing(|| orders.add("x").unwrap());
        let (_, other) = broker.owing(|| orders.add("y").unwrap());
        let error = std::io::ErrorKind::Other;
        disk.inject(Fault { op: FaultOp::Write, path_contains: None, after: 0, times: 1, error });
        assert!(broker.open.core.write_to(one.written).is_err());
        assert!(broker.open.core.write_to(other.written).is_err());
        assert_eq!(orders.len().unwrap(), 0);
    }
}
