//! Several commands as one (`MULTI`, `EXEC`): what others see of them, what the disk does to them, and what is there after a crash.
//! That each command does what it does alone is for `model` and `crash`.

#![cfg(feature = "simulation")]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use streamlog::command::{Command, Reply};
use streamlog::sim::{Fault, FaultOp, SimDisk, Survival};
use streamlog::{Broker, Durability, ErrorKind, Result};

fn command(words: &str) -> Command {
    Command::parse(&words.split(' ').collect::<Vec<_>>()).unwrap()
}

fn run(broker: &Broker, words: &str) -> Result<Reply> {
    broker.execute(&command(words))
}

fn try_all(broker: &Broker, commands: &[&str]) -> Result<Vec<Result<Reply>>> {
    broker.execute_all(&commands.iter().map(|words| command(words)).collect::<Vec<_>>())
}

fn all(broker: &Broker, commands: &[&str]) -> Vec<Result<Reply>> {
    try_all(broker, commands).unwrap()
}

fn len(broker: &Broker, name: &str) -> u64 {
    broker.stream(name).unwrap().len().unwrap()
}

fn steps(disk: &SimDisk) -> Broker {
    Broker::builder().background(false).journal_file_bytes(4096).open_on(disk.storage()).unwrap()
}

#[test]
fn all_of_them_wait_for_the_disk_once() {
    let disk = SimDisk::new(1);
    let broker = steps(&disk);
    run(&broker, "XADD a * n 1").unwrap();
    let before = disk.operations();
    run(&broker, "XADD a * n 1").unwrap();
    let one = disk.operations() - before;
    all(&broker, &["XADD a * n 1", "XADD a * n 1", "XTRIM a MAXLEN 2", "XADD a * n 1"]);
    assert_eq!(disk.operations() - before - one, one, "a write and a sync");
}

#[test]
fn what_returned_survives_and_what_did_not_is_there_whole_or_not_at_all() {
    let mut found = [false; 2];
    for at in 1..20 {
        for survival in [Survival::Nothing, Survival::Sectors(at), Survival::Torn(at), Survival::Kill] {
            let disk = SimDisk::new(at);
            let broker = steps(&disk);
            all(&broker, &["XADD a 1-1 n 1", "XGROUP CREATE a g 0", "XREADGROUP GROUP g w STREAMS a >"]);
            disk.crash_at(disk.operations() + at);
            let payload = "0123456789".repeat(100);
            let large = format!("XADD b 1-1 payload {payload}");
            let returned = try_all(&broker, &["XACK a g 1-1", &large, &large.replace("1-1", "1-2"), "RENAME a c"]);
            broker.crash();
            disk.restart(survival);
            let broker = steps(&disk);
            let acked = |name| {
                run(&broker, &format!("XPENDING {name} g"))
                    .is_ok_and(|reply| matches!(&reply, Reply::Array(summary) if summary[0] == Reply::Int(0)))
            };
            match broker.streams().unwrap().iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["a"] => {
                    assert!(returned.is_err() && !acked("a"), "at {at}, {survival:?}");
                    found[0] = true;
                }
                ["b", "c"] => {
                    assert!(acked("c"), "at {at}, {survival:?}");
                    assert_eq!(len(&broker, "b"), 2);
                    found[1] = true;
                }
                ref other => panic!("{other:?} at {at}, {survival:?}"),
            }
        }
    }
    assert_eq!(found, [true; 2]);
}

/// Threads that move between streams what there is, and one that looks: with checkpoints, flushes and new files all the time.
#[test]
fn what_moves_between_streams_is_in_one_of_them_whoever_looks() {
    for level in [Durability::Always, Durability::Os] {
        let disk = SimDisk::new(1);
        let builder = || Broker::builder().durability(level).journal_file_bytes(4096).checkpoint_bytes(8192);
        let broker = builder().tail_bytes(2000).segment_bytes(1000).open_on(disk.storage()).unwrap();
        run(&broker, "XGROUP CREATE from g 0 MKSTREAM").unwrap();
        run(&broker, "XGROUP CREATE to g 0 MKSTREAM").unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for worker in 0..2 {
                let (broker, done) = (&broker, &done);
                scope.spawn(move || {
                    for n in 0..150 {
                        let id = format!("{}-{worker}", n + 1);
                        all(broker, &[&format!("XADD from {} n {id}", "*"), "XADD total * n 1"]);
                        let read =
                            run(broker, &format!("XREADGROUP GROUP g w{worker} COUNT 1 STREAMS from >")).unwrap();
                        let Reply::Pairs(read) = read else { continue };
                        let Reply::Array(entries) = &read[0].1 else { panic!() };
                        let Reply::Array(entry) = &entries[0] else { panic!() };
                        let Reply::Bulk(id) = &entry[0] else { panic!() };
                        let id = String::from_utf8(id.clone()).unwrap();
                        let done =
                            all(broker, &[&format!("XACK from g {id}"), &format!("XDEL from {id}"), "XADD to * n 1"]);
                        assert!(done.iter().all(Result::is_ok));
                    }
                    done.store(true, Ordering::Relaxed);
                });
            }
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    // In this order, each is at least what it has to be for those before it.
                    let to = len(&broker, "to");
                    let total = len(&broker, "total");
                    assert!(to <= total, "{to} of {total}");
                    // All at one moment.
                    let replies = all(&broker, &["XLEN from", "XLEN to", "XLEN total"]);
                    let lens: Vec<i64> = replies
                        .into_iter()
                        .map(|reply| if let Ok(Reply::Int(len)) = reply { len } else { panic!("{reply:?}") })
                        .collect();
                    // What is added to `from` and `total` may wait for its sync; in all of them at once.
                    assert_eq!(lens[0] + lens[1], lens[2]);
                }
            });
        });
        broker.crash();
        disk.restart(Survival::Sectors(3));
        let broker = builder().open_on(disk.storage()).unwrap();
        assert_eq!(len(&broker, "from") + len(&broker, "to"), len(&broker, "total"));
        if level == Durability::Always {
            assert_eq!(len(&broker, "total"), 300);
        }
    }
}

#[test]
fn a_full_disk_refuses_what_adds_and_lets_the_rest_be_done() {
    let disk = SimDisk::new(1);
    let broker = Broker::builder().background(false).journal_file_bytes(16 << 10).open_on(disk.storage()).unwrap();
    run(&broker, "XADD a 1-1 n 1").unwrap();
    run(&broker, "XGROUP CREATE a g 0").unwrap();
    run(&broker, "XREADGROUP GROUP g w STREAMS a >").unwrap();
    disk.set_capacity(Some(disk.used()));
    let large = format!("XADD a * payload {}", "0123456789".repeat(5000));
    let replies = all(&broker, &["XADD a 1-2 n 1", &large, "XACK a g 1-1", "XLEN a"]);
    assert!(replies[0].is_ok(), "it has room");
    assert_eq!(replies[1].as_ref().unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(*replies[2].as_ref().unwrap(), Reply::Int(1));
    assert_eq!(*replies[3].as_ref().unwrap(), Reply::Int(2));
    // Writing goes on, and what was done is durable.
    broker.crash();
    disk.set_capacity(None);
    disk.restart(Survival::Nothing);
    let broker = steps(&disk);
    assert_eq!(len(&broker, "a"), 2);
    assert!(all(&broker, &[&large]).remove(0).is_ok());
}

#[test]
fn a_write_that_fails_at_the_end_stops_writing_and_nothing_of_it_comes_back() {
    for (op, level) in
        [(FaultOp::Write, Durability::Os), (FaultOp::Write, Durability::Always), (FaultOp::Sync, Durability::Always)]
    {
        let disk = SimDisk::new(1);
        let broker = Broker::builder().background(false).durability(level).open_on(disk.storage()).unwrap();
        run(&broker, "XADD a 1-1 n 1").unwrap();
        run(&broker, "XADD gone 1-1 n 1").unwrap();
        broker.sync().unwrap();
        let path_contains = Some("journal/".to_owned());
        disk.inject(Fault { op, path_contains, after: 0, times: 1, error: io::ErrorKind::Other });
        let failed = try_all(&broker, &["XADD a 1-2 n 1", "XADD b 1-1 n 1", "DEL gone"]).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Io, "{op:?} {level:?}");
        disk.clear_faults();
        assert_eq!(run(&broker, "XADD a 1-3 n 1").unwrap_err().kind(), ErrorKind::WritesStopped);
        let refused = all(&broker, &["XADD a 1-3 n 1", "XLEN a"]);
        assert_eq!(refused[0].as_ref().unwrap_err().kind(), ErrorKind::WritesStopped);
        assert_eq!(*refused[1].as_ref().unwrap(), Reply::Int(1), "what was not made durable is not seen");
        broker.crash();
        disk.restart(Survival::Nothing);
        let broker = steps(&disk);
        assert_eq!(broker.streams().unwrap(), ["a", "gone"]);
        assert_eq!(len(&broker, "a"), 1);
    }
}

#[test]
fn a_closed_broker_runs_nothing() {
    let broker = Broker::in_memory().unwrap();
    broker.clone().close().unwrap();
    assert_eq!(try_all(&broker, &["XADD a * n 1"]).unwrap_err().kind(), ErrorKind::Closed);
}

/// Blocked readers of a stream that is made, emptied and deleted while somebody is alone go on waiting.
#[test]
fn those_who_wait_sleep_through_what_comes_to_nothing() {
    let broker = Broker::in_memory().unwrap();
    thread::scope(|scope| {
        let wait = scope.spawn(|| run(&broker, "XREAD BLOCK 0 STREAMS a 0-0").unwrap());
        while broker.stream("a").unwrap().waiting() == 0 {
            thread::yield_now();
        }
        all(&broker, &["XADD a 1-1 n 1", "DEL a"]);
        all(&broker, &["XADD a 1-1 n 1", "XDEL a 1-1"]);
        thread::sleep(Duration::from_millis(20));
        assert!(!wait.is_finished());
        all(&broker, &["DEL a", "XADD a 7-7 n 1", "XADD a 7-8 n 1"]);
        let got = format!("{:?}", wait.join().unwrap());
        let has = |id: &str| got.contains(&format!("{:?}", id.as_bytes()));
        assert!(has("7-7") && has("7-8") && !has("1-1"), "{got}");
    });
}
