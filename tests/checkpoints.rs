//! What a checkpoint takes piece by piece is of one moment once it is done, and where it fails nothing is taken for done. What is
//! added while it takes streams goes through many files of the journal.

#![cfg(feature = "simulation")]

use std::io;

use streamlog::sim::{Fault, FaultOp, SimDisk, Survival};
use streamlog::{Broker, Durability, ErrorKind};

fn open(disk: &SimDisk) -> Broker {
    let builder = Broker::builder().background(false).durability(Durability::Os).journal_file_bytes(4096);
    builder.open_on(disk.storage()).unwrap()
}

fn add(broker: &Broker, stream: &str, numbers: std::ops::Range<u32>) {
    let stream = broker.stream(stream).unwrap();
    for n in numbers {
        stream.add([("n", n.to_string()), ("rest", "x".repeat(500))]).unwrap();
    }
}

fn len(broker: &Broker, stream: &str) -> usize {
    let entries = broker.stream(stream).unwrap().range(..).read().unwrap();
    let numbers: Vec<_> = entries.iter().map(|entry| entry.text("n").unwrap().parse::<usize>().unwrap()).collect();
    assert_eq!(numbers, (0..entries.len()).collect::<Vec<_>>(), "{stream}");
    numbers.len()
}

/// Two streams, of which the second is added to, and the first again, when the first has been taken: through many files of the journal.
fn amid(disk: &SimDisk) -> Broker {
    let broker = open(disk);
    add(&broker, "a", 0..10);
    add(&broker, "b", 0..10);
    let user = broker.clone();
    disk.meanwhile("streams/2", 0, move || {
        add(&user, "b", 10..50);
        add(&user, "a", 10..50);
        add(&user, "b", 50..60);
    });
    broker
}

/// Of the second redb has all that was added meanwhile, and of the first nothing: the journal must have that.
#[test]
fn what_is_added_while_streams_are_taken_is_in_the_journal_for_good_when_redb_has_a_part_of_it() {
    for survival in [Survival::Nothing, Survival::Sectors(1), Survival::Torn(1)] {
        let disk = SimDisk::new(1);
        let broker = amid(&disk);
        broker.checkpoint().unwrap();
        assert!(!disk.forget_meanwhile());
        broker.crash();
        disk.restart(survival);
        let broker = open(&disk);
        assert_eq!((len(&broker, "a"), len(&broker, "b")), (50, 60), "{survival:?}");
    }
}

#[test]
fn a_checkpoint_that_redb_refuses_makes_nothing_durable_and_the_next_sync_does() {
    let disk = SimDisk::new(1);
    let broker = amid(&disk);
    let path_contains = Some("state.redb".to_owned());
    disk.inject(Fault { op: FaultOp::Write, path_contains, after: 0, times: u64::MAX, error: io::ErrorKind::Other });
    broker.checkpoint().unwrap_err();
    disk.clear_faults();
    broker.sync().unwrap();
    broker.crash();
    disk.restart(Survival::Nothing);
    let broker = open(&disk);
    assert_eq!((len(&broker, "a"), len(&broker, "b")), (50, 60));
}

/// The first stream was written to its segment, and the second could not be.
#[test]
fn what_a_checkpoint_could_not_finish_for_want_of_room_the_next_one_makes_durable() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    add(&broker, "a", 0..10);
    add(&broker, "b", 0..10);
    let path_contains = Some("streams/2".to_owned());
    disk.inject(Fault { op: FaultOp::Write, path_contains, after: 0, times: 1, error: io::ErrorKind::StorageFull });
    assert_eq!(broker.checkpoint().unwrap_err().kind(), ErrorKind::StorageFull);
    disk.clear_faults();
    broker.checkpoint().unwrap();
    broker.crash();
    disk.restart(Survival::Nothing);
    let broker = open(&disk);
    assert_eq!(broker.streams().unwrap(), ["a", "b"]);
    assert_eq!((len(&broker, "a"), len(&broker, "b")), (10, 10));
}
