//! Idempotent producers: an add that is tried again is one add, over restarts and crashes, for as long as it is remembered.

#![cfg(feature = "simulation")]

use std::time::Duration;

use streamlog::sim::{SimDisk, Survival};
use streamlog::{Broker, Durability, ErrorKind, Id, Idempotency, Idempotent, ManualClock, Stream};

fn open(disk: &SimDisk, clock: &ManualClock) -> Broker {
    Broker::builder().background(false).clock(clock.clone()).open_on(disk.storage()).unwrap()
}

fn add(stream: &Stream, producer: &str, id: &str) -> Id {
    stream.entry([("id", id)]).idempotent(Idempotent::new(producer, id)).add().unwrap()
}

#[test]
fn what_was_added_once_is_remembered_over_a_close_and_a_crash() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::at(1000));
    let broker = open(&disk, &clock);
    let orders = broker.stream("orders").unwrap();
    let before_checkpoint = add(&orders, "shop", "1");
    broker.checkpoint().unwrap();
    let after_checkpoint = add(&orders, "shop", "2");
    let by_content = orders.entry([("a", "1"), ("b", "2")]).idempotent(Idempotent::by_content("shop")).add().unwrap();
    broker.crash();
    for survival in [Survival::Nothing, Survival::Kill] {
        disk.restart(survival);
        let broker = open(&disk, &clock);
        let orders = broker.stream("orders").unwrap();
        assert_eq!(add(&orders, "shop", "1"), before_checkpoint);
        assert_eq!(add(&orders, "shop", "2"), after_checkpoint);
        let again = orders.entry([("b", "2"), ("a", "1")]).idempotent(Idempotent::by_content("shop"));
        assert_eq!(again.add().unwrap(), by_content);
        assert_eq!(orders.len().unwrap(), 3);
        let info = orders.info().unwrap().producers;
        assert_eq!((info.producers, info.ids, info.added), (1, 3, 3));
        broker.close().unwrap();
    }
}

#[test]
fn an_id_is_free_again_when_its_time_is_over_or_others_pushed_it_out() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::at(1000));
    let broker = open(&disk, &clock);
    let orders = broker.stream("orders").unwrap();
    orders.create().unwrap();
    orders.set_idempotency(Idempotency::default().seconds(10).unwrap().ids(2).unwrap()).unwrap();
    let first = add(&orders, "shop", "1");
    clock.advance(Duration::from_millis(9_999));
    assert_eq!(add(&orders, "shop", "1"), first);
    clock.advance(Duration::from_millis(1));
    let second = add(&orders, "shop", "1");
    assert_ne!(second, first);
    add(&orders, "shop", "2");
    assert_eq!(add(&orders, "shop", "1"), second);
    add(&orders, "shop", "3");
    assert_ne!(add(&orders, "shop", "1"), second, "pushed out");
    let info = orders.info().unwrap();
    assert_eq!((info.producers.added, info.producers.duplicates, info.length), (5, 2, 5));
}

#[test]
fn the_same_settings_forget_nothing_and_others_everything() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::at(1000));
    let broker = open(&disk, &clock);
    let orders = broker.stream("orders").unwrap();
    let first = add(&orders, "shop", "1");
    orders.set_idempotency(Idempotency::default()).unwrap();
    assert_eq!(add(&orders, "shop", "1"), first);
    let other = Idempotency::default().ids(7).unwrap();
    orders.set_idempotency(other).unwrap();
    assert_ne!(add(&orders, "shop", "1"), first);
    broker.close().unwrap();
    assert_eq!(open(&disk, &clock).stream("orders").unwrap().idempotency().unwrap(), other);
}

#[test]
fn an_entry_that_was_deleted_is_not_added_again() {
    let broker = Broker::in_memory().unwrap();
    let orders = broker.stream("orders").unwrap();
    let first = add(&orders, "shop", "1");
    orders.delete(&[first]).unwrap();
    assert_eq!(add(&orders, "shop", "1"), first);
    assert_eq!(orders.len().unwrap(), 0);
}

#[test]
fn producers_do_not_know_of_each_other_nor_streams() {
    let broker = Broker::in_memory().unwrap();
    let orders = broker.stream("orders").unwrap();
    let audit = broker.stream("audit").unwrap();
    assert_ne!(add(&orders, "shop", "1"), add(&orders, "shop-2", "1"));
    add(&audit, "shop", "1");
    assert_eq!((orders.len().unwrap(), audit.len().unwrap()), (2, 1));
}

#[test]
fn an_add_that_makes_no_sense_adds_nothing() {
    let broker = Broker::in_memory().unwrap();
    let orders = broker.stream("orders").unwrap();
    let refused = |once: Idempotent, id: Option<Id>| {
        let entry = orders.entry([("n", "1")]).idempotent(once);
        let entry = if let Some(id) = id { entry.id(id) } else { entry };
        entry.add().unwrap_err().kind()
    };
    assert_eq!(refused(Idempotent::new("p", "1"), Some(Id::new(1, 1))), ErrorKind::InvalidArgument);
    assert_eq!(refused(Idempotent::new("", "1"), None), ErrorKind::InvalidArgument);
    assert_eq!(refused(Idempotent::new("p", ""), None), ErrorKind::InvalidArgument);
    assert_eq!(orders.entry([("n", "1")]).existing_stream().add().unwrap_err().kind(), ErrorKind::NoSuchStream);
    assert!(!orders.exists());
}

#[test]
fn of_many_threads_that_add_the_same_one_does() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::builder().durability(Durability::Os).open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    for round in 0..50 {
        let ids: Vec<Id> = std::thread::scope(|scope| {
            let adds: Vec<_> = (0..8).map(|_| scope.spawn(|| add(&orders, "shop", &round.to_string()))).collect();
            adds.into_iter().map(|add| add.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
    assert_eq!(orders.len().unwrap(), 50);
}

/// What producers had added was in redb, and in no snapshot: with redb lost an add that was tried again was a second entry.
#[test]
fn what_was_added_once_is_remembered_though_redb_is_lost() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::at(1000));
    let small = Broker::builder().background(false).clock(clock.clone()).journal_file_bytes(16 << 10);
    let broker = small.open_on(disk.storage()).unwrap();
    let orders = broker.stream("orders").unwrap();
    let first = add(&orders, "shop", "1");
    // The record of the add goes with its journal file.
    for _ in 0..10 {
        orders.add([("n", "x".repeat(8 << 10))]).unwrap();
        broker.checkpoint().unwrap();
    }
    broker.crash();
    disk.restart(Survival::Nothing);
    disk.storage().remove("state.redb").unwrap();
    let broker = open(&disk, &clock);
    let orders = broker.stream("orders").unwrap();
    assert_eq!(add(&orders, "shop", "1"), first);
    assert_eq!(orders.len().unwrap(), 11);
}

#[test]
fn an_entry_can_be_remembered_as_what_an_add_became() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::at(1000));
    let broker = open(&disk, &clock);
    let orders = broker.stream("orders").unwrap();
    let once = Idempotent::new("shop", "1");
    assert_eq!(orders.remember_add(Id::new(1, 1), &once).unwrap_err().kind(), ErrorKind::NoSuchStream);
    let [first, second, gone] = [1, 2, 3].map(|_| orders.add([("a", "1")]).unwrap());
    orders.delete(&[gone]).unwrap();
    assert_eq!((orders.remember_add(first, &once).unwrap(), orders.remember_add(first, &once).unwrap()), (true, false));
    for (entry, add) in [
        (second, once.clone()),
        (gone, Idempotent::new("shop", "2")),
        (Id::new(9999, 0), Idempotent::new("shop", "2")),
        (first, Idempotent::new("", "2")),
        (first, Idempotent::new("shop", "")),
        (first, Idempotent::by_content("shop")),
    ] {
        assert_eq!(orders.remember_add(entry, &add).unwrap_err().kind(), ErrorKind::InvalidArgument, "{add:?}");
    }
    broker.crash();
    disk.restart(Survival::Nothing);
    let broker = open(&disk, &clock);
    let orders = broker.stream("orders").unwrap();
    assert_eq!(add(&orders, "shop", "1"), first);
    assert_eq!((orders.len().unwrap(), orders.info().unwrap().producers.added), (2, 1));
}
