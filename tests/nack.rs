//! What is given back: with nobody, until somebody takes it over, at once or when its time has come; over restarts too.

#![cfg(feature = "simulation")]

use std::time::Duration;

use streamlog::sim::{SimDisk, Survival};
use streamlog::{Broker, Group, Id, ManualClock, PendingEntry};

struct Site {
    disk: SimDisk,
    clock: ManualClock,
    broker: Option<Broker>,
}

impl Site {
    /// Three entries, two of them pending with `ann`.
    fn new() -> Site {
        let mut site = Site { disk: SimDisk::new(1), clock: ManualClock::at(1000), broker: None };
        site.open();
        let orders = site.broker().stream("orders").unwrap();
        (1..=3).for_each(|seq| assert!(orders.entry([("n", "")]).id(id(seq)).add().is_ok()));
        let read = site.group().consumer("ann").read_new().count(2).next().unwrap();
        assert_eq!(read.len(), 2);
        site
    }

    fn open(&mut self) {
        let builder = Broker::builder().background(false).clock(self.clock.clone());
        self.broker = Some(builder.open_on(self.disk.storage()).unwrap());
    }

    fn crash(&mut self) {
        self.broker.take().unwrap().crash();
        self.disk.restart(Survival::Kill);
        self.open();
    }

    fn broker(&self) -> &Broker {
        self.broker.as_ref().unwrap()
    }

    fn group(&self) -> Group {
        self.broker().stream("orders").unwrap().group("billing").from_start().ensure().unwrap()
    }

    fn row(&self, seq: u64) -> PendingEntry {
        self.group().pending_range(id(seq)..=id(seq)).read().unwrap().remove(0)
    }

    /// Whose it is, how often it was delivered.
    fn with(&self, seq: u64) -> (String, u32) {
        let row = self.row(seq);
        (row.consumer, row.deliveries)
    }

    fn claimed(&self, who: &str, min_idle_ms: u64) -> Vec<u64> {
        let claim = self.group().consumer(who).auto_claim(Duration::from_millis(min_idle_ms));
        claim.run().unwrap().messages.iter().map(|message| message.id().seq).collect()
    }
}

fn id(seq: u64) -> Id {
    Id::new(1, seq)
}

#[test]
fn what_is_given_back_is_with_nobody_and_its_count_is_what_was_said() {
    let site = Site::new();
    let group = site.group();
    assert_eq!(group.nack(&[id(1), id(3)]).run().unwrap(), 1, "the third is not pending");
    assert_eq!(site.with(1), (String::new(), 1));
    assert!(site.row(1).released);
    assert_eq!(group.nack(&[id(1), id(1)]).silent().run().unwrap(), 2, "whoever has it, nobody included");
    assert_eq!(site.with(1).1, 0);
    group.nack(&[id(2)]).fatal().run().unwrap();
    assert_eq!(site.with(2).1, u32::MAX);
    group.nack(&[id(2)]).fatal().deliveries(7).run().unwrap();
    assert_eq!(site.with(2).1, 7);
    assert_eq!(group.nack(&[id(3), id(9)]).force().run().unwrap(), 1, "only what is in the stream");
    assert_eq!(site.with(3), (String::new(), 0));
    let summary = group.pending().unwrap();
    assert_eq!((summary.count, summary.consumers), (3, vec![]));
}

#[test]
fn what_is_given_back_need_not_be_idle_to_be_taken_over() {
    let site = Site::new();
    site.group().nack(&[id(2)]).run().unwrap();
    assert_eq!(site.group().pending_range(..).idle(Duration::from_secs(60)).read().unwrap().len(), 1);
    assert_eq!(site.claimed("bob", 60_000), [2]);
    assert_eq!(site.with(2), ("bob".to_owned(), 2));
    assert_eq!(site.group().consumer("eve").claim(&[id(1)]).min_idle(Duration::from_secs(60)).run().unwrap().len(), 0);
    site.group().nack(&[id(1)]).run().unwrap();
    assert_eq!(site.group().consumer("eve").claim(&[id(1)]).min_idle(Duration::from_secs(60)).run().unwrap().len(), 1);
}

#[test]
fn what_is_given_back_for_later_waits_for_its_time_over_restarts() {
    let mut site = Site::new();
    site.group().nack(&[id(1)]).after(Duration::from_millis(500)).run().unwrap();
    site.crash();
    site.clock.advance(Duration::from_millis(499));
    assert_eq!(site.claimed("bob", 0), [2], "the other is only idle");
    site.broker().checkpoint().unwrap();
    site.crash();
    site.clock.advance(Duration::from_millis(1));
    assert_eq!(site.claimed("bob", 1000), [1]);
}

#[test]
fn somebody_who_names_it_takes_it_before_its_time() {
    let site = Site::new();
    site.group().nack(&[id(1)]).after(Duration::from_secs(3600)).run().unwrap();
    assert_eq!(site.group().consumer("bob").claim(&[id(1)]).run().unwrap().len(), 1);
    assert_eq!(site.with(1).0, "bob");
}

#[test]
fn what_is_given_back_is_acknowledged_and_deleted_as_all_that_is_pending() {
    let site = Site::new();
    let group = site.group();
    group.nack(&[id(1), id(2)]).run().unwrap();
    assert_eq!(group.ack(&[id(1)]).unwrap(), 1);
    site.broker().stream("orders").unwrap().delete(&[id(2)]).unwrap();
    assert_eq!(site.claimed("bob", 0), [] as [u64; 0]);
    assert_eq!(group.pending().unwrap().count, 0, "its entry is gone, and so is the row");
    assert_eq!(group.delete_consumer("ann").unwrap(), 0);
}
