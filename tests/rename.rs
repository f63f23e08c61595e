//! Renaming: the stream is the same under its new name, and nobody acts on it by the old one.

#![cfg(feature = "simulation")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use streamlog::sim::{SimDisk, Survival};
use streamlog::{Broker, Builder, Durability, ErrorKind, Id, NAME_BYTES_MAX, Stream, check_on, repair_on};

fn id(seq: u64) -> Id {
    Id::new(1, seq)
}

fn tiny() -> Builder {
    Broker::builder().background(false).segment_bytes(200).journal_file_bytes(4000)
}

fn open(disk: &SimDisk) -> Broker {
    tiny().open_on(disk.storage()).unwrap()
}

fn put(stream: &Stream, seqs: impl IntoIterator<Item = u64>) {
    for seq in seqs {
        stream.entry([("n", seq.to_string())]).id(id(seq)).add().unwrap();
    }
}

fn seqs(stream: &Stream) -> Vec<u64> {
    let entries = stream.range(..).read().unwrap();
    assert!(entries.iter().all(|entry| entry.text("n").unwrap() == entry.id.seq.to_string()));
    entries.iter().map(|entry| entry.id.seq).collect()
}

fn named(broker: &Broker, name: &str) -> Stream {
    broker.stream(name).unwrap()
}

/// The numbers of the streams that have files.
fn dirs(disk: &SimDisk) -> Vec<String> {
    disk.storage().list("streams").unwrap()
}

#[test]
fn a_renamed_stream_has_all_it_had() {
    let broker = open(&SimDisk::new(1));
    let (old, new) = (named(&broker, "old"), named(&broker, "new"));
    put(&old, 1..=9);
    let group = old.group("g").from_start().create().unwrap();
    let batch = group.consumer("c").read_new().count(5).next().unwrap();
    broker.checkpoint().unwrap();
    let before = old.info().unwrap();

    old.rename_to("new").unwrap();
    assert_eq!(broker.streams().unwrap(), ["new"]);
    assert_eq!(new.info().unwrap(), before);
    assert_eq!(seqs(&new), (1..=9).collect::<Vec<_>>());
    let group = new.group("g").existing().unwrap();
    assert_eq!(group.pending().unwrap().count, 5);
    assert_eq!(group.ack(&batch.ids()).unwrap(), 5);
    put(&new, [10]);
}

#[test]
fn a_handle_goes_by_its_name() {
    let broker = Broker::in_memory().unwrap();
    let (old, new) = (named(&broker, "old"), named(&broker, "new"));
    put(&old, [1]);
    put(&new, [2]);
    let worker = old.group("g").from_start().create().unwrap().consumer("c");
    old.rename_to("new").unwrap();
    assert!(!old.exists());
    assert_eq!((old.len().unwrap(), seqs(&new)), (0, vec![1]));
    assert_eq!(old.info().unwrap_err().kind(), ErrorKind::NoSuchStream);
    assert_eq!(old.delete(&[id(1)]).unwrap_err().kind(), ErrorKind::NoSuchStream);
    assert_eq!(worker.read_new().next().unwrap_err().kind(), ErrorKind::NoSuchGroup);
    put(&old, [7]);
    assert_eq!((seqs(&old), seqs(&new)), (vec![7], vec![1]));
    new.rename_to("old").unwrap();
    assert_eq!(seqs(&old), [1]);
    assert_eq!(worker.read_new().next().unwrap().ids(), [id(1)]);
}

#[test]
fn what_redis_refuses_is_refused() {
    let broker = Broker::in_memory().unwrap();
    let (old, other) = (named(&broker, "old"), named(&broker, "other"));
    assert_eq!(old.rename_to("new").unwrap_err().kind(), ErrorKind::NoSuchStream);
    assert_eq!(old.rename_to("old").unwrap_err().kind(), ErrorKind::NoSuchStream);
    assert_eq!(old.rename_to_new("other").unwrap_err().kind(), ErrorKind::NoSuchStream);
    put(&old, [1]);
    put(&other, [2]);
    assert!(!old.rename_to_new("other").unwrap());
    assert!(!old.rename_to_new("old").unwrap());
    old.rename_to("old").unwrap();
    assert_eq!((seqs(&old), seqs(&other)), (vec![1], vec![2]));
    for name in [String::new(), "n".repeat(NAME_BYTES_MAX + 1)] {
        assert_eq!(old.rename_to(&name).unwrap_err().kind(), ErrorKind::InvalidName);
    }
    assert!(old.rename_to_new("free").unwrap());
    assert_eq!(broker.streams().unwrap(), ["free", "other"]);
}

#[test]
fn a_stream_that_is_replaced_leaves_no_files() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    put(&named(&broker, "old"), 1..=9);
    put(&named(&broker, "new"), 11..=19);
    broker.checkpoint().unwrap();
    assert_eq!(dirs(&disk), ["1", "2"]);
    named(&broker, "old").rename_to("new").unwrap();
    broker.checkpoint().unwrap();
    assert_eq!(dirs(&disk), ["1"]);
    broker.close().unwrap();
    assert!(check_on(disk.storage()).unwrap().is_ok());
    assert_eq!(seqs(&named(&open(&disk), "new")), (1..=9).collect::<Vec<_>>());
}

/// Names go round: each stream has another's, and one is made anew in between.
fn go_round(broker: &Broker) {
    named(broker, "a").rename_to("c").unwrap();
    named(broker, "b").rename_to("a").unwrap();
    put(&named(broker, "b"), [30]);
    named(broker, "c").rename_to("d").unwrap();
}

fn has_gone_round(broker: &Broker) {
    assert_eq!(broker.streams().unwrap(), ["a", "b", "d"]);
    let found = ["d", "a", "b"].map(|name| seqs(&named(broker, name)));
    assert_eq!(found, [(1..=9).collect(), (11..=19).collect(), vec![30]]);
}

/// Two streams, on a disk that a checkpoint has not seen the last of.
fn begun() -> (SimDisk, Broker) {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    put(&named(&broker, "a"), 1..=5);
    put(&named(&broker, "b"), 11..=15);
    broker.checkpoint().unwrap();
    put(&named(&broker, "a"), 6..=9);
    put(&named(&broker, "b"), 16..=19);
    (disk, broker)
}

#[test]
fn names_that_go_round_in_the_middle_of_a_checkpoint_are_right_in_redb_and_in_the_journal() {
    for place in ["streams/1", "streams/2", "state.redb"] {
        for after in 0..6 {
            for survival in [Survival::Kill, Survival::Nothing] {
                let (disk, broker) = begun();
                let user = broker.clone();
                disk.meanwhile(place, after, move || go_round(&user));
                broker.checkpoint().unwrap();
                if disk.forget_meanwhile() {
                    continue;
                }
                has_gone_round(&broker);
                broker.crash();
                disk.restart(survival);
                assert!(check_on(disk.storage()).unwrap().is_ok(), "{place}, {after}");
                has_gone_round(&open(&disk));
            }
        }
    }
}

/// redb on its own has each name once, for a repair that has nothing else.
#[test]
fn where_the_journal_is_lost_no_two_streams_of_redb_have_one_name() {
    let (mut before, mut after_all) = (0, 0);
    for place in ["streams/1", "streams/2"] {
        for after in 0..6 {
            let (disk, broker) = begun();
            let user = broker.clone();
            disk.meanwhile(place, after, move || go_round(&user));
            broker.checkpoint().unwrap();
            if disk.forget_meanwhile() {
                continue;
            }
            broker.crash();
            disk.restart(Survival::Nothing);
            let storage = disk.storage();
            for name in storage.list("journal").unwrap() {
                storage.remove(&format!("journal/{name}")).unwrap();
            }
            repair_on(disk.storage(), false).unwrap();
            let broker = open(&disk);
            // As they were when the checkpoint had taken all streams.
            match &broker.streams().unwrap()[..] {
                [a, b] if [a, b] == ["a", "b"] => before += 1,
                names => {
                    assert_eq!(names, ["a", "b", "d"], "{place}, {after}");
                    after_all += 1;
                }
            }
        }
    }
    assert!(before > 0 && after_all > 3, "{before}, {after_all}");
}

#[test]
fn a_rename_comes_back_without_redb() {
    let (disk, broker) = begun();
    go_round(&broker);
    broker.crash();
    disk.restart(Survival::Kill);
    disk.storage().remove("state.redb").unwrap();
    let broker = open(&disk);
    has_gone_round(&broker);
    broker.close().unwrap();
    disk.storage().remove("state.redb").unwrap();
    has_gone_round(&open(&disk));
}

/// The hint in a segment's header may be of a name that another stream has by now.
#[test]
fn with_neither_redb_nor_journal_no_stream_is_taken_for_another() {
    let (disk, broker) = begun();
    broker.flush_all().unwrap();
    named(&broker, "a").rename_to("c").unwrap();
    put(&named(&broker, "a"), [30]);
    broker.close().unwrap();
    let storage = disk.storage();
    storage.remove("state.redb").unwrap();
    for name in storage.list("journal").unwrap() {
        storage.remove(&format!("journal/{name}")).unwrap();
    }
    repair_on(disk.storage(), false).unwrap();
    let broker = open(&disk);
    // What is named after a name that is taken has its number, too: nothing says any more that it was `c`.
    assert_eq!(broker.streams().unwrap(), ["a", "a~1", "b"]);
    assert_eq!(seqs(&named(&broker, "a")), [30]);
    assert_eq!(seqs(&named(&broker, "a~1")), (1..=9).collect::<Vec<_>>());
}

#[test]
fn segments_begun_after_a_rename_say_the_new_name() {
    let (disk, broker) = begun();
    named(&broker, "a").rename_to("c").unwrap();
    put(&named(&broker, "c"), 40..=60);
    broker.close().unwrap();
    let storage = disk.storage();
    storage.remove("state.redb").unwrap();
    for name in storage.list("journal").unwrap() {
        storage.remove(&format!("journal/{name}")).unwrap();
    }
    repair_on(disk.storage(), false).unwrap();
    assert_eq!(open(&disk).streams().unwrap(), ["b", "c"]);
}

#[test]
fn whoever_waits_in_a_group_of_either_stream_is_told() {
    let broker = Broker::in_memory().unwrap();
    let (old, new) = (named(&broker, "old"), named(&broker, "new"));
    let groups = [&old, &new].map(|stream| stream.group("g").create().unwrap());
    thread::scope(|scope| {
        let waiters = groups.map(|group| scope.spawn(move || group.consumer("c").read_new().block_forever().next()));
        while old.waiting() + new.waiting() < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        old.rename_to("third").unwrap();
        named(&broker, "third").rename_to("new").unwrap();
        named(&broker, "new").group("g").existing().unwrap().destroy().unwrap();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap().unwrap_err().kind(), ErrorKind::NoSuchGroup);
        }
    });
}

/// One of Redis's own tests waits in a group of a stream whose name another stream is then given: it was told that there is no such
/// group, though the other stream has one of that name, and entries.
#[test]
fn whoever_waits_in_a_group_waits_in_that_of_the_stream_that_replaces_its_own() {
    let by_rename = |stream: &Stream| stream.rename_to("taken").unwrap();
    let by_copy = |stream: &Stream| stream.copy_to("taken").unwrap();
    let ways: [&dyn Fn(&Stream); 2] = [&by_rename, &by_copy];
    for replace in ways {
        let broker = Broker::in_memory().unwrap();
        let (taken, other) = (named(&broker, "taken"), named(&broker, "other"));
        // So that the groups of one name have two numbers.
        other.group("first").create().unwrap();
        for group in ["g", "h"] {
            taken.group(group).create().unwrap();
        }
        other.group("g").create().unwrap();
        thread::scope(|scope| {
            let wait = |group: &str| {
                let group = taken.group(group).existing().unwrap();
                scope.spawn(move || group.consumer("c").read_new().block_forever().next())
            };
            let waiters = [wait("g"), wait("h")];
            while taken.waiting() < 2 {
                thread::sleep(Duration::from_millis(1));
            }
            let id = other.add([("n", "1")]).unwrap();
            replace(&other);
            let [got, told] = waiters.map(|waiter| waiter.join().unwrap());
            assert_eq!(got.unwrap().iter().map(streamlog::Message::id).collect::<Vec<_>>(), [id]);
            assert_eq!(told.unwrap_err().kind(), ErrorKind::NoSuchGroup);
        });
    }
}

#[test]
fn who_adds_by_a_name_adds_to_what_has_it() {
    let broker = Broker::builder().durability(Durability::Os).open_in_memory().unwrap();
    let (a, b) = (named(&broker, "a"), named(&broker, "b"));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let adders = [&a, &b].map(|stream| {
            let done = &done;
            scope.spawn(move || {
                let mut added = 0;
                while !done.load(Ordering::Relaxed) {
                    stream.add([("to", stream.name())]).unwrap();
                    added += 1;
                }
                added
            })
        });
        let mut kept = 0;
        for round in 0..200 {
            let away = format!("away-{round}");
            if a.create().is_ok() && a.rename_to_new(&away).unwrap() {
                kept += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
        let added: u64 = adders.into_iter().map(|adder| adder.join().unwrap()).sum();
        let names = broker.streams().unwrap();
        assert_eq!(names.iter().filter(|name| name.starts_with("away")).count(), kept);
        let mut found = 0;
        for name in &names {
            for entry in named(&broker, name).range(..) {
                // No entry came to a stream after it had lost the name.
                let to = entry.unwrap().text("to").unwrap().to_owned();
                assert_eq!(to, if name == "b" { "b" } else { "a" });
                found += 1;
            }
        }
        assert_eq!(found, added);
    });
}

#[test]
fn a_backup_in_the_middle_of_renames_has_each_stream_once() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::builder().durability(Durability::Os).open(directory.path().join("data")).unwrap();
    put(&named(&broker, "a0"), 1..=9);
    put(&named(&broker, "b0"), 11..=19);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0_u64.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                for name in ["a", "b"] {
                    named(&broker, &format!("{name}{round}")).rename_to(&format!("{name}{}", round + 1)).unwrap();
                }
            }
        });
        for number in 0..5 {
            let target = directory.path().join(format!("backup-{number}"));
            broker.backup_to(&target).unwrap();
            let backup = Broker::open(&target).unwrap();
            let found: Vec<_> = backup
                .streams()
                .unwrap()
                .iter()
                .map(|name| (name[..1].to_owned(), seqs(&named(&backup, name))))
                .collect();
            assert_eq!(found, [("a".to_owned(), (1..=9).collect()), ("b".to_owned(), (11..=19).collect::<Vec<_>>())]);
        }
        done.store(true, Ordering::Relaxed);
    });
}
