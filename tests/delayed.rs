//! Delayed entries: added when they are due, once, whatever happens meanwhile; cancelled, or dropped with their stream.
#![cfg(feature = "simulation")]

#[path = "common/directory.rs"]
mod directory;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use directory::copy_dir;
use streamlog::sim::{SimDisk, Survival};
use streamlog::{
    Broker, Builder, DelayedId, Durability, ErrorKind, Id, IdSpec, Idempotent, ManualClock, StartAt, Stream, Trim,
    check,
};

const START_MS: u64 = 1_000_000;

/// Sizes so small that segments and journal files come and go.
fn tiny(clock: &ManualClock) -> Builder {
    let builder = Broker::builder().clock(clock.clone()).background(false).durability(Durability::Os);
    builder.segment_bytes(600).tail_bytes(800).journal_file_bytes(4096).cache_bytes(1000).open_files_max(2)
}

fn in_memory(clock: &ManualClock) -> Broker {
    tiny(clock).open_in_memory().unwrap()
}

fn schedule(stream: &Stream, n: u64, due_ms: u64) -> streamlog::Delayed {
    stream.entry([("n", n.to_string())]).at(due_ms).schedule().unwrap()
}

fn entries(stream: &Stream) -> Vec<(Id, u64)> {
    let read = stream.range(..).read().unwrap();
    read.iter().map(|entry| (entry.id, entry.text("n").unwrap().parse().unwrap())).collect()
}

fn numbers(stream: &Stream) -> Vec<u64> {
    entries(stream).into_iter().map(|(_, n)| n).collect()
}

/// Steps until nothing is due; returns how many entries that were.
fn add_due(broker: &Broker) -> usize {
    let mut done = 0;
    loop {
        match broker.due_step().unwrap() {
            0 => return done,
            some => done += some,
        }
    }
}

#[test]
fn an_entry_is_added_when_it_is_due_with_the_id_of_that_time() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let orders = broker.stream("orders").unwrap();
    let delayed = orders.entry([("n", "1")]).delay(Duration::from_millis(500)).schedule().unwrap();
    assert_eq!(delayed.due_ms(), START_MS + 500);
    assert!(orders.exists(), "it was created, as an add would have done");
    orders.add([("n", "2")]).unwrap();
    for ms in [0, 499] {
        clock.set(START_MS + ms);
        assert_eq!(broker.due_step().unwrap(), 0, "at {ms}");
    }
    clock.set(START_MS + 500);
    assert_eq!(broker.due_step().unwrap(), 1);
    assert_eq!(broker.due_step().unwrap(), 0, "once");
    assert_eq!(entries(&orders), [(Id::new(START_MS, 0), 2), (Id::new(START_MS + 500, 0), 1)]);
    assert_eq!(orders.info().unwrap().entries_added, 2);
    assert!(orders.delayed().unwrap().is_empty());
}

#[test]
fn entries_are_added_in_the_order_of_their_times_and_then_as_they_were_scheduled() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let orders = broker.stream("orders").unwrap();
    for (n, due) in [(1, 30), (2, 10), (3, 20), (4, 10), (5, 0)] {
        schedule(&orders, n, START_MS + due);
    }
    let due: Vec<u64> = orders.delayed().unwrap().iter().map(|delayed| delayed.due_ms() - START_MS).collect();
    assert_eq!(due, [0, 10, 10, 20, 30]);
    clock.set(START_MS + 20);
    assert_eq!(add_due(&broker), 4);
    assert_eq!(numbers(&orders), [5, 2, 4, 3]);
    let in_one_millisecond: Vec<Id> = (0..4).map(|seq| Id::new(START_MS + 20, seq)).collect();
    assert_eq!(entries(&orders).iter().map(|(id, _)| *id).collect::<Vec<_>>(), in_one_millisecond);
}

#[test]
fn a_time_beyond_all_times_never_comes_and_one_that_has_passed_is_now() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let orders = broker.stream("orders").unwrap();
    let never = orders.entry([("n", "1")]).delay(Duration::MAX).schedule().unwrap();
    assert_eq!(never.due_ms(), u64::MAX);
    schedule(&orders, 2, 0);
    clock.set(u64::MAX - 1);
    assert_eq!(add_due(&broker), 1);
    assert_eq!(numbers(&orders), [2]);
    assert!(never.cancel().unwrap());
}

#[test]
fn a_clock_that_goes_back_delays_what_is_not_due_and_takes_nothing_back() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let orders = broker.stream("orders").unwrap();
    schedule(&orders, 1, START_MS + 10);
    schedule(&orders, 2, START_MS + 20);
    clock.set(START_MS + 10);
    assert_eq!(add_due(&broker), 1);
    clock.set(5);
    assert_eq!(add_due(&broker), 0);
    clock.set(START_MS + 20);
    assert_eq!(add_due(&broker), 1);
    assert_eq!(numbers(&orders), [1, 2]);
}

#[test]
fn what_was_cancelled_is_not_added_and_what_was_added_cannot_be_cancelled() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let orders = broker.stream("orders").unwrap();
    let other = broker.stream("other").unwrap();
    other.create().unwrap();
    let first = schedule(&orders, 1, START_MS + 1);
    let second = schedule(&orders, 2, START_MS + 1);
    let text = first.id().to_string();
    let id: DelayedId = text.parse().unwrap();
    assert_eq!(id, first.id());
    assert!(!other.cancel_delayed(id).unwrap(), "it is another stream's");
    assert!(orders.cancel_delayed(id).unwrap());
    assert!(!orders.cancel_delayed(id).unwrap());
    assert!(!first.cancel().unwrap());
    clock.set(START_MS + 1);
    assert_eq!(add_due(&broker), 1);
    assert_eq!(numbers(&orders), [2]);
    assert!(!second.cancel().unwrap());
    for bad in ["", "5", "x", "5-1-1", "05-1", "5-*"] {
        assert_eq!(bad.parse::<DelayedId>().unwrap_err().kind(), ErrorKind::InvalidId, "{bad}");
    }
}

#[test]
fn an_entry_with_an_id_or_a_trim_cannot_be_delayed_and_creates_no_stream() {
    let broker = in_memory(&ManualClock::at(START_MS));
    let orders = broker.stream("orders").unwrap();
    let with_id = orders.entry([("n", "1")]).id(IdSpec::AutoSeq(5)).at(7).schedule();
    assert_eq!(with_id.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let with_trim = orders.entry([("n", "1")]).trim(Trim::max_len(1)).at(7).schedule();
    assert_eq!(with_trim.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let once = orders.entry([("n", "1")]).idempotent(Idempotent::new("p", "1")).at(7).schedule();
    assert_eq!(once.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let nowhere = orders.entry([("n", "1")]).existing_stream().at(7).schedule();
    assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::NoSuchStream);
    let none: [(&str, &str); 0] = [];
    assert_eq!(orders.entry(none).at(7).schedule().unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(broker.streams().unwrap().is_empty());
    let broker = tiny(&ManualClock::at(1)).max_entry_bytes(10).open_in_memory().unwrap();
    let orders = broker.stream("orders").unwrap();
    let large = orders.entry([("n", "0123456789")]).at(7).schedule();
    assert_eq!(large.unwrap_err().kind(), ErrorKind::TooLarge);
    orders.entry([("n", "0123456")]).at(1).schedule().unwrap();
    assert_eq!(broker.due_step().unwrap(), 1, "the limit is the entry's, whatever stands before it until it is due");
    assert!(broker.streams().unwrap() == ["orders"]);
}

#[test]
fn nobody_sees_where_delayed_entries_are_kept() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    schedule(&broker.stream("orders").unwrap(), 1, START_MS + 1);
    assert_eq!(broker.streams().unwrap(), ["orders"]);
    for name in ["\0delayed", "\0", "\0x"] {
        assert_eq!(broker.stream(name).unwrap_err().kind(), ErrorKind::InvalidName);
    }
    assert_eq!(broker.stream("orders").unwrap().len().unwrap(), 0);
    broker.trim_step().unwrap();
    clock.set(START_MS + 1);
    assert_eq!(add_due(&broker), 1);
}

#[test]
fn with_its_stream_deleted_an_entry_is_dropped_also_if_there_is_a_new_stream_of_that_name() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let orders = broker.stream("orders").unwrap();
    let other = broker.stream("other").unwrap();
    let dropped = schedule(&orders, 1, START_MS + 1);
    schedule(&other, 2, START_MS + 1);
    orders.delete_stream().unwrap();
    assert_eq!(orders.delayed().unwrap_err().kind(), ErrorKind::NoSuchStream);
    assert_eq!(orders.cancel_delayed(dropped.id()).unwrap_err().kind(), ErrorKind::NoSuchStream);
    orders.create().unwrap();
    assert!(orders.delayed().unwrap().is_empty());
    assert!(!orders.cancel_delayed(dropped.id()).unwrap(), "it was another's");
    schedule(&orders, 3, START_MS + 1);
    clock.set(START_MS + 1);
    assert_eq!(add_due(&broker), 3);
    assert_eq!((numbers(&orders), numbers(&other)), (vec![3], vec![2]));
    assert_eq!(broker.streams().unwrap(), ["orders", "other"]);
}

#[test]
fn an_entry_follows_its_stream_to_another_name_and_stays_when_the_stream_is_made_anew() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let (orders, refunds) = (broker.stream("orders").unwrap(), broker.stream("refunds").unwrap());
    let first = schedule(&orders, 1, START_MS + 10);
    schedule(&orders, 2, START_MS + 10);
    schedule(&refunds, 3, START_MS + 10);
    orders.rename_to("refunds").unwrap();
    assert_eq!(refunds.delayed().unwrap().len(), 2, "what the name had before is dropped");
    orders.create().unwrap();
    assert!(orders.delayed().unwrap().is_empty());
    assert!(!orders.cancel_delayed(first.id()).unwrap());

    // The last ID goes back, behind entries that were there: the stream gets another number.
    refunds.entry([("n", "9")]).id(Id::new(START_MS + 99, 0)).add().unwrap();
    refunds.trim(Trim::max_len(0)).unwrap();
    refunds.set_last_id(Id::new(5, 0)).set().unwrap();
    let other = schedule(&refunds, 4, START_MS + 10);
    assert_eq!(refunds.delayed().unwrap().len(), 3);
    refunds.copy_to("copy").unwrap();
    assert!(broker.stream("copy").unwrap().delayed().unwrap().is_empty(), "a copy gets none");
    assert!(first.cancel().unwrap(), "a handle goes on");
    assert!(refunds.cancel_delayed(other.id()).unwrap());
    clock.set(START_MS + 10);
    assert_eq!(add_due(&broker), 2);
    assert_eq!(entries(&refunds), [(Id::new(START_MS + 10, 0), 2)]);
    assert!(numbers(&orders).is_empty());
}

#[test]
fn one_of_a_stream_that_has_had_its_last_id_stays_and_holds_nothing_up() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let full = broker.stream("full").unwrap();
    let orders = broker.stream("orders").unwrap();
    full.entry([("n", "0")]).id(Id::MAX).add().unwrap();
    let stuck = schedule(&full, 1, START_MS + 1);
    schedule(&orders, 2, START_MS + 2);
    clock.set(START_MS + 2);
    add_due(&broker);
    assert_eq!(numbers(&orders), [2]);
    assert_eq!(full.delayed().unwrap().len(), 1);
    assert_eq!(broker.due_step().unwrap(), 0, "it is not tried again and again");
    clock.advance(Duration::from_secs(3601));
    assert_eq!(broker.due_step().unwrap(), 1, "it is tried again");
    assert!(stuck.cancel().unwrap());
    clock.advance(Duration::from_secs(3601));
    assert_eq!(broker.due_step().unwrap(), 0);
}

#[test]
fn ten_thousand_entries_that_are_due_at_once_are_all_added_in_order() {
    let clock = ManualClock::at(START_MS);
    let broker = Broker::builder().clock(clock.clone()).background(false).durability(Durability::Os);
    let broker = broker.segment_bytes(64 << 10).tail_bytes(128 << 10).open_in_memory().unwrap();
    let streams = ["a", "b", "c"].map(|name| broker.stream(name).unwrap());
    for n in 0..10_000 {
        schedule(&streams[(n % 3) as usize], n, START_MS + 1 + n % 2);
    }
    clock.set(START_MS + 2);
    assert_eq!(add_due(&broker), 10_000);
    for (at, stream) in (0..).zip(&streams) {
        // The odd ones were due a millisecond later.
        let mine = |odd| (0..10_000).filter(move |n| n % 3 == at && n % 2 == odd);
        assert_eq!(numbers(stream), mine(0).chain(mine(1)).collect::<Vec<_>>());
    }
    broker.checkpoint().unwrap();
    assert_eq!(broker.schedule_size(), Some((0, 0)), "nothing is left, and its segments went");
}

#[test]
fn what_waits_for_long_keeps_its_own_segment_and_no_other() {
    let clock = ManualClock::at(START_MS);
    let disk = SimDisk::new(1);
    let broker = tiny(&clock).open_on(disk.storage()).unwrap();
    let orders = broker.stream("orders").unwrap();
    schedule(&orders, 0, u64::MAX);
    for n in 1..400 {
        schedule(&orders, n, START_MS + 1);
    }
    broker.checkpoint().unwrap();
    let bytes = |disk: &SimDisk| -> u64 {
        let paths = disk.list_all().into_iter().filter(|path| path.starts_with("streams/2/"));
        paths.map(|path| disk.storage().open(&path).unwrap().len().unwrap()).sum()
    };
    let before = bytes(&disk);
    clock.set(START_MS + 1);
    assert_eq!(add_due(&broker), 399);
    broker.checkpoint().unwrap();
    assert!(before > 20_000 && bytes(&disk) < before / 3, "{before} bytes, and now {}", bytes(&disk));
    assert_eq!(orders.delayed().unwrap().len(), 1);
    broker.close().unwrap();
    let broker = tiny(&clock).open_on(disk.storage()).unwrap();
    assert_eq!(broker.stream("orders").unwrap().delayed().unwrap().len(), 1);
}

#[test]
fn what_fell_due_while_closed_is_added_soon_after_opening() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    orders.entry([("n", "1")]).delay(Duration::from_millis(50)).schedule().unwrap();
    orders.entry([("n", "2")]).delay(Duration::from_secs(3600)).schedule().unwrap();
    drop(orders);
    broker.close().unwrap();
    thread::sleep(Duration::from_millis(60));
    let broker = Broker::open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    let read = orders.read(StartAt::Start).block(Duration::from_secs(20)).next().unwrap();
    assert_eq!(read[0].text("n").unwrap(), "1");
    assert_eq!(orders.delayed().unwrap().len(), 1);
}

#[test]
fn blocked_readers_are_woken_by_what_falls_due_and_not_before() {
    let broker = Broker::in_memory().unwrap();
    let orders = broker.stream("orders").unwrap();
    let billing = orders.group("billing").from_start().ensure().unwrap();
    let begun = Instant::now();
    thread::scope(|scope| {
        let plain = scope.spawn(|| orders.read(StartAt::End).block(Duration::from_secs(20)).next().unwrap());
        let worker =
            scope.spawn(|| billing.consumer("ann").fetch().count(9).block(Duration::from_secs(20)).next().unwrap());
        while orders.waiting() < 2 {
            thread::yield_now();
        }
        // The background sleeps until the later one is due.
        orders.entry([("n", "2")]).delay(Duration::from_secs(3600)).schedule().unwrap();
        orders.entry([("n", "1")]).delay(Duration::from_millis(100)).schedule().unwrap();
        assert_eq!(plain.join().unwrap()[0].text("n").unwrap(), "1");
        assert!(begun.elapsed() >= Duration::from_millis(100));
        let got = worker.join().unwrap();
        assert_eq!((got.len(), got[0].text("n").unwrap()), (1, "1"));
    });
}

#[test]
fn of_a_cancel_and_a_step_that_meet_one_has_the_entry() {
    let clock = ManualClock::at(START_MS);
    let broker = in_memory(&clock);
    let orders = broker.stream("orders").unwrap();
    let mut both = 0;
    for round in 0..1000 {
        if both == 3 {
            return;
        }
        // So many that a step is under way for some time.
        let delayed: Vec<_> = (0..250).map(|n| schedule(&orders, n, START_MS)).collect();
        let cancelled = thread::scope(|scope| {
            let steps = scope.spawn(|| add_due(&broker));
            let cancelled = delayed.iter().rev().filter(|delayed| delayed.cancel().unwrap()).count();
            steps.join().unwrap();
            cancelled
        });
        add_due(&broker);
        let added = orders.trim(Trim::max_len(0)).unwrap();
        assert_eq!(added + cancelled as u64, 250, "in round {round}");
        both += usize::from(added > 0 && cancelled > 0);
    }
    panic!("they hardly ever met");
}

#[test]
fn after_a_crash_an_entry_is_on_the_schedule_or_in_its_stream() {
    let clock = ManualClock::at(START_MS);
    let disk = SimDisk::new(1);
    let always = || tiny(&clock).durability(Durability::Always);
    let mut broker = always().open_on(disk.storage()).unwrap();
    let count = 40;
    for n in 0..count {
        schedule(&broker.stream("orders").unwrap(), n, START_MS + n);
    }
    for now in 0..count {
        clock.set(START_MS + now);
        if now % 3 == 0 {
            // Half-way through the step's record.
            disk.crash_at(disk.operations() + now % 4);
        }
        let stepped = broker.due_step();
        let survival = if now % 2 == 0 { Survival::Nothing } else { Survival::Kill };
        disk.crash();
        broker.crash();
        disk.restart(survival);
        broker = always().open_on(disk.storage()).unwrap();
        let orders = broker.stream("orders").unwrap();
        let (added, left) = (numbers(&orders), orders.delayed().unwrap());
        assert!(added.iter().copied().eq(0..added.len() as u64), "once each, in order: {added:?}");
        assert_eq!(added.len() + left.len(), count as usize, "at {now}, the step {stepped:?}");
        assert!(left.iter().all(|left| left.due_ms() >= START_MS + added.len() as u64));
        if stepped.is_ok() {
            assert_eq!(added.len() as u64, now + 1, "what was seen stays");
        }
        add_due(&broker);
    }
    assert!(numbers(&broker.stream("orders").unwrap()).into_iter().eq(0..count));
}

/// A directory with entries that were added, cancelled, are due, and are not.
fn with_delayed(clock: &ManualClock, path: &Path) -> Broker {
    let broker = tiny(clock).open(path).unwrap();
    let (orders, other) = (broker.stream("orders").unwrap(), broker.stream("other").unwrap());
    for n in 0..300 {
        let delayed = schedule(if n % 5 == 0 { &other } else { &orders }, n, START_MS + (n * 7) % 300);
        if n % 11 == 0 {
            assert!(delayed.cancel().unwrap());
        }
        if n == 200 {
            broker.checkpoint().unwrap();
            clock.set(START_MS + 100);
            add_due(&broker);
        }
    }
    clock.set(START_MS + 120);
    add_due(&broker);
    broker
}

/// Whether exactly what is to be there is there, and comes when it is due.
fn assert_all_come_once(broker: &Broker, clock: &ManualClock, story: &str) {
    let (orders, other) = (broker.stream("orders").unwrap(), broker.stream("other").unwrap());
    let mut all: Vec<u64> = [&orders, &other].into_iter().flat_map(numbers).collect();
    assert!(all.iter().all(|n| (n * 7) % 300 <= 120), "{story}: none was added early");
    assert_eq!(add_due(broker), 0, "{story}: nothing else is due");
    let left = orders.delayed().unwrap().len() + other.delayed().unwrap().len();
    clock.set(START_MS + 300);
    assert_eq!(add_due(broker), left, "{story}");
    all = numbers(&orders);
    assert!(all.iter().all(|n| n % 5 != 0), "{story}: each in its stream");
    all.extend(numbers(&other));
    all.sort_unstable();
    assert_eq!(all, (0..300).filter(|n| n % 11 != 0).collect::<Vec<_>>(), "{story}");
    clock.set(START_MS + 120);
}

#[test]
fn with_redb_lost_every_entry_keeps_its_time_and_comes_once() {
    let clock = ManualClock::at(START_MS);
    let directory = tempfile::tempdir().unwrap();
    let broker = with_delayed(&clock, directory.path());
    broker.sync().unwrap();
    for closed in [false, true] {
        let (copy, rebuilt) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        copy_dir(directory.path(), copy.path());
        if closed {
            tiny(&clock).open(copy.path()).unwrap().close().unwrap();
        }
        fs::remove_file(copy.path().join("state.redb")).unwrap();
        let broker = tiny(&clock).open(copy.path()).unwrap();
        broker.crash();
        copy_dir(copy.path(), rebuilt.path());
        assert!(check(rebuilt.path()).unwrap().is_ok());
        for path in [copy.path(), rebuilt.path()] {
            assert_all_come_once(&tiny(&clock).open(path).unwrap(), &clock, &format!("closed: {closed}"));
        }
    }
}

#[test]
fn a_backup_has_what_is_scheduled_and_a_check_counts_it() {
    let clock = ManualClock::at(START_MS);
    let directory = tempfile::tempdir().unwrap();
    let broker = with_delayed(&clock, &directory.path().join("data"));
    let target = directory.path().join("backup");
    broker.backup_to(&target).unwrap();
    let left: usize =
        ["orders", "other"].iter().map(|name| broker.stream(name).unwrap().delayed().unwrap().len()).sum();
    let report = check(&target).unwrap();
    assert!(report.is_ok(), "{:?}", report.problems);
    assert_eq!((report.figures.streams, report.figures.groups, report.figures.pending), (2, 0, 0));
    assert_eq!(report.figures.delayed, left as u64);
    assert_all_come_once(&tiny(&clock).open(&target).unwrap(), &clock, "the backup");
    assert_all_come_once(&broker, &clock, "the original");
}

/// Damages the entry on the schedule whose body has this text.
fn damage(path: &Path, text: &str) {
    let dir = path.join("streams/2");
    for file in fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(text.len()).position(|window| window == text.as_bytes()) {
            bytes[at] ^= 1;
            fs::write(path, bytes).unwrap();
            return;
        }
    }
    panic!("{text} is nowhere");
}

#[test]
fn a_damaged_entry_stays_on_the_schedule_holds_nothing_up_and_is_given_up_by_a_repair() {
    let clock = ManualClock::at(START_MS);
    let directory = tempfile::tempdir().unwrap();
    let broker = tiny(&clock).open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    for n in 100..200 {
        orders.entry([("n", format!("{n}"))]).at(START_MS + 1).schedule().unwrap();
    }
    drop(orders);
    broker.close().unwrap();
    damage(directory.path(), "\x01n\x03150");
    clock.set(START_MS + 1);
    let broker = tiny(&clock).open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    assert_eq!(add_due(&broker), 100, "one of them was put off");
    assert!(numbers(&orders).into_iter().eq((100..200).filter(|&n| n != 150)));
    assert_eq!(orders.delayed().unwrap_err().kind(), ErrorKind::Corrupt);
    drop(orders);
    broker.close().unwrap();

    let report = check(directory.path()).unwrap();
    assert_eq!(report.problems.len(), 1);
    assert_eq!(report.problems[0].place.stream.as_deref(), Some("(delayed entries)"));
    assert_eq!(report.problems[0].loss.entries, 1);
    streamlog::repair(directory.path()).unwrap();
    let broker = tiny(&clock).open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    assert!(orders.delayed().unwrap().is_empty());
    clock.advance(Duration::from_secs(3601));
    assert_eq!(add_due(&broker), 1, "its row goes");
    assert_eq!(orders.len().unwrap(), 99);
    orders.entry([("n", "1")]).at(0).schedule().unwrap();
    assert_eq!(add_due(&broker), 1);
}

/// Of the whole directory only the segments are left: their names say what the schedule is.
#[test]
fn from_segments_alone_a_repair_finds_the_schedule_again() {
    let clock = ManualClock::at(START_MS);
    let directory = tempfile::tempdir().unwrap();
    let broker = tiny(&clock).open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    orders.add([("n", "0")]).unwrap();
    schedule(&orders, 1, START_MS + 10);
    schedule(&orders, 2, START_MS + 20);
    drop(orders);
    broker.close().unwrap();
    fs::remove_file(directory.path().join("state.redb")).unwrap();
    fs::remove_dir_all(directory.path().join("journal")).unwrap();
    streamlog::repair(directory.path()).unwrap();
    let broker = tiny(&clock).open(directory.path()).unwrap();
    assert_eq!(broker.streams().unwrap(), ["orders"]);
    let orders = broker.stream("orders").unwrap();
    assert_eq!(orders.delayed().unwrap().len(), 2);
    clock.set(START_MS + 10);
    assert_eq!(add_due(&broker), 1);
    assert_eq!(numbers(&orders), [0, 1]);
}

#[test]
fn a_full_disk_delays_what_is_due_and_loses_nothing() {
    let clock = ManualClock::at(START_MS);
    let disk = SimDisk::new(1);
    let broker = tiny(&clock).open_on(disk.storage()).unwrap();
    let orders = broker.stream("orders").unwrap();
    for n in 0..20 {
        orders.entry([("n", n.to_string()), ("data", "x".repeat(300))]).at(START_MS + 1 + n).schedule().unwrap();
    }
    disk.set_capacity(Some(disk.used()));
    let mut failed = 0;
    for now in 1..=20 {
        clock.set(START_MS + now);
        match broker.due_step() {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
                failed += 1;
            }
        }
    }
    assert!(failed > 0, "the test has something to show");
    disk.set_capacity(None);
    add_due(&broker);
    assert!(numbers(&orders).into_iter().eq(0..20));
}
