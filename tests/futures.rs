//! Futures: thousands wait on one thread, dropped at any stage they lose nothing, and they stand in one queue with threads.
//! No test measures time.

#![cfg(all(feature = "tokio", feature = "simulation"))]

mod common {
    pub(crate) mod watch;
}

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io::ErrorKind::Other;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use common::watch::{add, id, ids, until_waiting, watched};
use streamlog::command::{Command, Reply};
use streamlog::sim::{Fault, FaultOp, SimDisk, Survival};
use streamlog::{Broker, Durability, ErrorKind, Group, Id, ManualClock, Messages, Result, StartAt, Stream};
use tokio::task::JoinSet;

/// So many futures at once.
const MANY: usize = 5000;

/// Counts how often it was woken.
#[derive(Debug, Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future that the test polls by hand.
struct Hand<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + Send + 'a>>,
    bell: Arc<Bell>,
}

impl<'a, T> Hand<'a, T> {
    fn of(future: impl Future<Output = T> + Send + 'a) -> Hand<'a, T> {
        Hand { future: Box::pin(future), bell: Arc::default() }
    }

    fn poll(&mut self) -> Poll<T> {
        self.future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self.bell))))
    }

    /// What it has by now.
    fn now(&mut self) -> T {
        match self.poll() {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("not ready yet"),
        }
    }

    fn waits(&mut self) {
        assert!(self.poll().is_pending());
    }

    fn woken(&self) -> bool {
        self.bell.0.load(Ordering::SeqCst) > 0
    }
}

/// An executor that knows no tokio.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn in_tokio<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn in_memory() -> (Broker, Stream, Group) {
    let broker = Broker::in_memory().unwrap();
    let stream = broker.stream("orders").unwrap();
    let group = stream.group("billing").from_start().ensure().unwrap();
    (broker, stream, group)
}

/// A broker with threads, on a disk.
fn on_disk(durability: Durability) -> (SimDisk, Broker, Stream) {
    let disk = SimDisk::new(1);
    let broker = Broker::builder().durability(durability).open_on(disk.storage()).unwrap();
    let stream = broker.stream("orders").unwrap();
    stream.create().unwrap();
    broker.sync().unwrap();
    (disk, broker, stream)
}

/// A read of a new entry for a consumer of this name, which waits.
fn reader<'a>(group: &Group, name: &str) -> Hand<'a, Result<Messages>> {
    let before = group.stream().waiting();
    let mut reader = Hand::of(group.consumer(name).read_new().block_forever().next_async());
    reader.waits();
    assert_eq!(group.stream().waiting(), before + 1);
    reader
}

/// Holds the next sync of the journal, from its middle on until this is dropped.
struct Held(Arc<AtomicBool>);

impl Held {
    fn sync_of(disk: &SimDisk) -> (Held, Arc<AtomicBool>) {
        let (released, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (may_end, has_begun) = (Arc::clone(&released), Arc::clone(&begun));
        // The write of what waits, and then the sync.
        disk.meanwhile("journal/", 1, move || {
            has_begun.store(true, Ordering::SeqCst);
            while !may_end.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_micros(200));
            }
        });
        (Held(released), begun)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn thousands_of_reads_wait_on_one_thread_and_get_entries_in_the_order_they_came() {
    watched(|| {
        let (_broker, stream, group) = in_memory();
        in_tokio(async {
            let mut readers = Vec::new();
            for n in 0..MANY {
                let read = group.consumer(&format!("worker-{n}")).read_new().block_forever();
                readers.push(tokio::spawn(read.next_async()));
            }
            while stream.waiting() < MANY {
                tokio::task::yield_now().await;
            }
            let added = stream.add_batch_async((0..MANY).map(|n| [("n", n.to_string())])).await.unwrap();
            for (reader, id) in readers.into_iter().zip(added) {
                assert_eq!(reader.await.unwrap().unwrap().ids(), [id]);
            }
        });
        assert_eq!(stream.waiting(), 0);
    });
}

#[test]
fn one_sync_is_for_all_who_gathered_while_another_was_under_way() {
    watched(|| {
        let (disk, broker, stream) = on_disk(Durability::Always);
        let before = disk.operations();
        let (held, begun) = Held::sync_of(&disk);
        in_tokio(async {
            let first = stream.clone();
            let first = tokio::spawn(async move { first.add_async("first").await });
            while !begun.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
            let mut others = JoinSet::new();
            for n in 0..MANY {
                let stream = stream.clone();
                others.spawn(async move { stream.add_async(n.to_string()).await });
            }
            while broker.waiting_for_sync() <= MANY {
                tokio::task::yield_now().await;
            }
            assert_eq!(stream.len().unwrap(), 0, "nobody sees what is not durable");
            drop(held);
            first.await.unwrap().unwrap();
            let added: BTreeSet<Id> = others.join_all().await.into_iter().map(Result::unwrap).collect();
            assert_eq!(added.len(), MANY);
        });
        // Each time a write and a sync.
        assert!(disk.operations() - before <= 4, "{} operations", disk.operations() - before);
        assert_eq!(stream.len().unwrap(), MANY as u64 + 1);
        assert_eq!(broker.waiting_for_sync(), 0);
    });
}

#[test]
fn an_add_that_is_ready_survives_a_power_cut() {
    watched(|| {
        for threads in [true, false] {
            let disk = SimDisk::new(1);
            let broker = Broker::builder().background(threads).open_on(disk.storage()).unwrap();
            let stream = broker.stream("orders").unwrap();
            let added = block_on(stream.add_async("x")).unwrap();
            disk.crash();
            broker.crash();
            drop(stream);
            disk.restart(Survival::Nothing);
            let broker = Broker::builder().background(false).open_on(disk.storage()).unwrap();
            assert_eq!(broker.stream("orders").unwrap().range(..).read().unwrap()[0].id, added);
        }
    });
}

#[test]
fn a_sync_that_fails_reaches_all_who_wait_for_it() {
    watched(|| {
        let (disk, broker, stream) = on_disk(Durability::Always);
        let journal = Some("journal/".to_owned());
        disk.inject(Fault { op: FaultOp::Sync, path_contains: journal, after: 0, times: 1, error: Other });
        let (held, begun) = Held::sync_of(&disk);
        in_tokio(async {
            let mut adds = JoinSet::new();
            for n in 0..MANY {
                let stream = stream.clone();
                adds.spawn(async move { stream.add_async(n.to_string()).await });
            }
            while !begun.load(Ordering::SeqCst) || broker.waiting_for_sync() < MANY {
                tokio::task::yield_now().await;
            }
            drop(held);
            for failed in adds.join_all().await {
                assert_eq!(failed.unwrap_err().kind(), ErrorKind::WritesStopped);
            }
            assert_eq!(stream.add_async("late").await.unwrap_err().kind(), ErrorKind::WritesStopped);
        });
        assert_eq!(broker.waiting_for_sync(), 0);
    });
}

#[test]
fn thousands_of_waits_for_a_sync_given_up_leave_nothing_behind_but_what_they_added() {
    watched(|| {
        let (disk, broker, stream) = on_disk(Durability::Always);
        let (held, begun) = Held::sync_of(&disk);
        let mut waits: Vec<_> = (0..MANY).map(|n| Hand::of(stream.add_async(n.to_string()))).collect();
        waits.iter_mut().for_each(Hand::waits);
        while !begun.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        assert_eq!(broker.waiting_for_sync(), MANY, "the thread that syncs leads, and does not wait");
        drop(waits);
        assert_eq!(broker.waiting_for_sync(), 0);
        drop(held);
        broker.sync().unwrap();
        assert_eq!(stream.len().unwrap(), MANY as u64);
    });
}

/// The background syncs for futures. It asked who waits, and those who had given up did not: what they added was there, and
/// nobody saw it before somebody else wrote.
#[test]
fn an_add_given_up_while_it_waited_for_the_disk_is_seen_by_others() {
    watched(|| {
        let (disk, broker, stream) = on_disk(Durability::Always);
        let (held, begun) = Held::sync_of(&disk);
        let mut first = Hand::of(stream.add_async("first"));
        first.waits();
        while !begun.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        let mut second = Hand::of(stream.add_async("second"));
        second.waits();
        drop((first, second));
        drop(held);
        let found = block_on(stream.read(StartAt::Start).count(2).block_forever().next_async()).unwrap();
        assert!(!found.is_empty());
        while stream.len().unwrap() < 2 {
            thread::yield_now();
        }
        drop(broker);
    });
}

#[test]
fn an_add_that_was_never_polled_adds_nothing() {
    let (_broker, stream, group) = in_memory();
    drop(stream.add_async("x"));
    drop(stream.entry("x").add_async());
    drop(group.ack_async(&[Id::MAX]));
    assert_eq!(stream.len().unwrap(), 0);
}

#[test]
fn without_threads_of_the_broker_s_the_poll_syncs() {
    let disk = SimDisk::new(1);
    let broker = Broker::builder().background(false).open_on(disk.storage()).unwrap();
    let stream = broker.stream("orders").unwrap();
    let id = Hand::of(stream.add_async("x")).now().unwrap();
    assert_eq!(stream.range(..).read().unwrap()[0].id, id);
    Hand::of(broker.sync_async()).now().unwrap();
}

#[test]
fn dropped_at_any_stage_a_read_leaves_the_entry_to_the_next_in_the_queue() {
    let (_broker, stream, group) = in_memory();
    let never_polled = group.consumer("never").read_new().block_forever().next_async();
    let before_news = reader(&group, "before");
    let mut woken = reader(&group, "woken");
    let mut next = reader(&group, "next");
    drop(never_polled);
    drop(before_news);
    add(&stream, 1);
    assert!(woken.woken(), "the first in the queue is told");
    assert!(!next.woken());
    drop(woken);
    assert!(next.woken(), "and the next when the first has gone");
    assert_eq!(next.now().unwrap().ids(), ids([1]));
    assert_eq!(stream.waiting(), 0);

    // One that had its entry is the consumer's, whatever becomes of what it returned.
    woken = reader(&group, "a");
    add(&stream, 2);
    drop(woken.now().unwrap());
    assert_eq!(group.pending().unwrap().count, 2);
    assert_eq!(group.consumer("a").history(Id::MIN).read().unwrap().ids(), ids([2]));
}

#[test]
fn a_read_that_was_woken_and_polled_by_another_task_is_found_there() {
    let (_broker, stream, group) = in_memory();
    let mut moved = reader(&group, "a");
    let first = std::mem::take(&mut moved.bell);
    moved.waits();
    add(&stream, 1);
    assert!(moved.woken());
    assert_eq!(first.0.load(Ordering::SeqCst), 0, "nobody polls it there any more");
    assert_eq!(moved.now().unwrap().len(), 1);
}

#[test]
fn threads_and_futures_stand_in_one_queue() {
    watched(|| {
        let (_broker, stream, group) = in_memory();
        let mut first = reader(&group, "future-1");
        thread::scope(|scope| {
            let second = scope.spawn(|| group.consumer("thread-1").read_new().block_forever().next());
            until_waiting(&stream, 2);
            let mut third = reader(&group, "future-2");
            let fourth = scope.spawn(|| group.consumer("thread-2").read_new().block_forever().next());
            until_waiting(&stream, 4);
            add(&stream, 1);
            assert_eq!(first.now().unwrap().ids(), ids([1]));
            add(&stream, 2);
            assert_eq!(second.join().unwrap().unwrap().ids(), ids([2]));
            add(&stream, 3);
            assert_eq!(third.now().unwrap().ids(), ids([3]));
            add(&stream, 4);
            assert_eq!(fourth.join().unwrap().unwrap().ids(), ids([4]));
        });
    });
}

#[test]
fn a_read_with_a_timeout_ends_when_the_broker_s_clock_says_so() {
    watched(|| {
        let clock = ManualClock::at(1_700_000_000_000);
        let broker = Broker::builder().clock(clock.clone()).open_in_memory().unwrap();
        let stream = broker.stream("orders").unwrap();
        let worker = stream.group("billing").ensure().unwrap().consumer("a");
        in_tokio(async {
            let read = worker.read_new().block(Duration::from_secs(3600)).next_async();
            let (read, ()) = tokio::join!(read, async {
                while stream.waiting() == 0 {
                    tokio::task::yield_now().await;
                }
                clock.advance(Duration::from_secs(3600));
            });
            assert!(read.unwrap().is_empty());
            assert_eq!(stream.waiting(), 0);
            assert!(worker.fetch().block(Duration::ZERO).next_async().await.unwrap().is_empty());
        });
    });
}

#[test]
fn timeouts_of_many_end_on_one_thread() {
    watched(|| {
        let (broker, stream, _) = in_memory();
        in_tokio(async {
            let mut reads = JoinSet::new();
            for n in 0..1000_u64 {
                let read = stream.read(StartAt::Start).block(Duration::from_micros(n * 20));
                reads.spawn(read.next_async());
            }
            for found in reads.join_all().await {
                assert!(found.unwrap().is_empty());
            }
            let words = ["XREAD", "BLOCK", "5", "STREAMS", "orders", "$"];
            let read = Command::parse(&words).unwrap();
            assert_eq!(broker.execute_async(&read).await.unwrap(), Reply::NullArray);
        });
        assert_eq!(stream.waiting(), 0);
    });
}

#[test]
fn what_falls_due_is_delivered_to_a_future_that_waits_for_it() {
    watched(|| {
        let clock = ManualClock::at(1_700_000_000_000);
        let broker = Broker::builder().clock(clock.clone()).open_in_memory().unwrap();
        let stream = broker.stream("orders").unwrap();
        let group = stream.group("billing").from_start().ensure().unwrap();
        add(&stream, 1);
        group.consumer("dead").read_new().next().unwrap();
        in_tokio(async {
            let fetch = group.consumer("a").fetch().claim_idle(Duration::from_secs(60)).block_forever();
            let (fetched, ()) = tokio::join!(fetch.next_async(), async {
                while stream.waiting() == 0 {
                    tokio::task::yield_now().await;
                }
                clock.advance(Duration::from_secs(60));
            });
            assert_eq!(fetched.unwrap().ids(), ids([1]));
        });
    });
}

#[test]
fn whoever_waits_is_told_when_the_group_the_stream_or_the_broker_is_gone() {
    let (broker, stream, group) = in_memory();
    let mut waits = reader(&group, "a");
    group.destroy().unwrap();
    assert!(waits.woken());
    assert_eq!(waits.now().unwrap_err().kind(), ErrorKind::NoSuchGroup);

    let group = stream.group("billing").ensure().unwrap();
    let mut waits = reader(&group, "a");
    stream.delete_stream().unwrap();
    assert!(waits.woken());
    assert_eq!(waits.now().unwrap_err().kind(), ErrorKind::NoSuchGroup);

    let group = stream.group("billing").ensure().unwrap();
    let mut waits = reader(&group, "a");
    let mut plain = Hand::of(stream.read(StartAt::End).block_forever().next_async());
    plain.waits();
    broker.close().unwrap();
    assert!(waits.woken() && plain.woken());
    assert_eq!(waits.now().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(plain.now().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_plain_read_waits_on_for_the_stream_made_anew() {
    let (_broker, stream, _) = in_memory();
    let mut read = Hand::of(stream.read(StartAt::Start).block_forever().next_async());
    read.waits();
    stream.delete_stream().unwrap();
    read.waits();
    assert_eq!(stream.waiting(), 1);
    add(&stream, 7);
    assert_eq!(read.now().unwrap()[0].id, id(7));
}

#[test]
fn whoever_waits_for_a_sync_when_the_broker_closes_or_crashes_is_told() {
    watched(|| {
        for closes in [true, false] {
            let (disk, broker, stream) = on_disk(Durability::Always);
            let (held, begun) = Held::sync_of(&disk);
            let mut waits: Vec<_> = (0..10).map(|n| Hand::of(stream.add_async(n.to_string()))).collect();
            waits.iter_mut().for_each(Hand::waits);
            while !begun.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            let ends = thread::spawn(move || if closes { broker.close().unwrap() } else { broker.crash() });
            drop(held);
            ends.join().unwrap();
            for wait in &mut waits {
                assert!(wait.woken());
                match wait.now() {
                    Ok(_) => {}
                    Err(error) => assert!(!closes && error.kind() == ErrorKind::Closed, "{error}"),
                }
            }
        }
    });
}

#[test]
fn a_dropped_command_that_blocks_delivers_nothing() {
    let (broker, stream, group) = in_memory();
    let words = ["XREADGROUP", "GROUP", "billing", "a", "BLOCK", "0", "STREAMS", "orders", ">"];
    let read = Command::parse(&words).unwrap();
    let mut waits = Hand::of(broker.execute_async(&read));
    waits.waits();
    drop(waits);
    assert_eq!(stream.waiting(), 0);
    add(&stream, 1);
    assert_eq!(group.pending().unwrap().count, 0);
    let Reply::Pairs(found) = Hand::of(broker.execute_async(&read)).now().unwrap() else { panic!("an entry is there") };
    assert_eq!(found.len(), 1);
    assert_eq!(group.pending().unwrap().count, 1);
}

#[test]
fn on_a_runtime_of_many_threads_each_entry_is_worked_on_once() {
    const PRODUCERS: usize = 8;
    const EACH: usize = 50;
    watched(|| {
        let (_disk, _broker, stream) = on_disk(Durability::Always);
        let group = stream.group("billing").from_start().ensure().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_time().build().unwrap();
        let mut worked = runtime.block_on(async {
            let mut producers = JoinSet::new();
            for _ in 0..PRODUCERS {
                let stream = stream.clone();
                producers.spawn(async move {
                    for n in 0..EACH {
                        stream.add_async(n.to_string()).await.unwrap();
                    }
                });
            }
            let mut workers = JoinSet::new();
            for n in 0..5 {
                let worker = group.consumer(&format!("worker-{n}"));
                workers.spawn(async move {
                    let mut its = Vec::new();
                    // Cancelled in the midst of it, again and again.
                    for patience_us in [0, 20, 50, 1000, 200_000].into_iter().cycle() {
                        let fetch = worker.fetch().count(7).block_forever().next_async();
                        match tokio::time::timeout(Duration::from_micros(patience_us), fetch).await {
                            Ok(batch) => {
                                let batch = batch.unwrap();
                                batch.ack_all_async().await.unwrap();
                                its.extend(batch.ids());
                            }
                            Err(_) if patience_us == 200_000 => break,
                            Err(_) => {}
                        }
                    }
                    its
                });
            }
            producers.join_all().await;
            workers.join_all().await.concat()
        });
        // What is left when the workers had no patience any more.
        let rest = group.consumer("late").fetch().count(usize::MAX).next().unwrap();
        worked.extend(rest.ids());
        rest.ack_all().unwrap();
        let all: BTreeSet<Id> = worked.iter().copied().collect();
        assert_eq!((worked.len(), all.len()), (PRODUCERS * EACH, PRODUCERS * EACH));
        assert_eq!(group.pending().unwrap().count, 0);
        assert_eq!(stream.waiting(), 0);
    });
}

#[test]
fn waits_without_a_timeout_need_no_tokio() {
    watched(|| {
        let (broker, stream, group) = in_memory();
        thread::scope(|scope| {
            let read = scope.spawn(|| block_on(group.consumer("a").fetch().block_forever().next_async()));
            until_waiting(&stream, 1);
            let added = block_on(stream.add_async("x")).unwrap();
            let batch = read.join().unwrap().unwrap();
            assert_eq!(batch.ids(), [added]);
            assert!(block_on(batch[0].ack_async()).unwrap());
        });
        block_on(broker.sync_async()).unwrap();
    });
}

#[test]
fn what_waits_for_several_streams_leaves_all_their_queues() {
    let (broker, orders, group) = in_memory();
    let refunds = broker.stream("refunds").unwrap();
    refunds.group("billing").ensure().unwrap();
    let streams = [("orders", streamlog::GroupStart::default()), ("refunds", streamlog::GroupStart::New)];
    let read = broker.read_group("billing", "a", streams).unwrap().block_forever();
    let mut both = Hand::of(read.clone().next_async());
    both.waits();
    assert_eq!((orders.waiting(), refunds.waiting()), (1, 1));
    let mut next = reader(&group, "b");
    add(&orders, 1);
    drop(both);
    assert_eq!((orders.waiting(), refunds.waiting()), (1, 0));
    assert_eq!(next.now().unwrap().ids(), ids([1]));

    let absent = broker.read([("nowhere", StartAt::End), ("orders", StartAt::End)]).unwrap().block_forever();
    let mut absent = Hand::of(absent.next_async());
    absent.waits();
    assert_eq!(broker.stream("nowhere").unwrap().waiting(), 1);
    drop(absent);
    assert_eq!((broker.stream("nowhere").unwrap().waiting(), orders.waiting()), (0, 0));
}

#[test]
fn a_future_polled_without_end_by_others_in_its_task_still_waits_in_one_place() {
    let (_broker, stream, group) = in_memory();
    let mut waits = reader(&group, "a");
    for _ in 0..1000 {
        waits.waits();
    }
    assert_eq!(stream.waiting(), 1);
    let mut both = Hand::of(async {
        let mut pending = poll_fn(|_| Poll::<()>::Pending);
        let pending = poll_fn(move |cx| Pin::new(&mut pending).poll(cx));
        tokio::select! {
            got = waits.future.as_mut() => got,
            () = pending => unreachable!("never"),
        }
    });
    both.waits();
    add(&stream, 1);
    assert!(both.woken());
    assert_eq!(both.now().unwrap().ids(), ids([1]));
}
