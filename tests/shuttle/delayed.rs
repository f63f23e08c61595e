//! Delayed entries that fall due, in two threads at once, while others schedule, cancel, delete their streams and read: each is
//! in its stream once, or was cancelled, and whoever waits for it is woken.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use shuttle::thread;
use streamlog::{Broker, Durability, StartAt, Stream};

use crate::witness::Witness;
use crate::{builder, check, token_of};

fn open(witness: &Witness) -> Broker {
    builder(Durability::Always).journal_file_bytes(512).segment_bytes(150).open_on(witness.storage()).unwrap()
}

fn tokens(stream: &Stream) -> Vec<String> {
    stream.range(..).read().unwrap().iter().map(token_of).collect()
}

/// Steps until nothing is due.
fn add_due(broker: &Broker) {
    while broker.due_step().unwrap() > 0 {}
}

#[test]
fn what_falls_due_is_added_once_whoever_steps_cancels_or_deletes() {
    check(|| {
        let witness = Witness::new();
        let broker = open(&witness);
        let (orders, events) = (broker.stream("orders").unwrap(), broker.stream("events").unwrap());
        events.add("<first>").unwrap();
        let cancelled = Mutex::new(BTreeSet::new());
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..3 {
                    let token = format!("<{n}>");
                    events.entry("<dropped>").at(0).schedule().unwrap();
                    let delayed = orders.entry(&*token).at(n % 2).schedule().unwrap();
                    if n > 0 && delayed.cancel().unwrap() {
                        cancelled.lock().unwrap().insert(token);
                    }
                }
            });
            scope.spawn(|| add_due(&broker));
            scope.spawn(|| add_due(&broker));
            scope.spawn(|| {
                broker.checkpoint().unwrap();
                events.delete_stream().unwrap();
            });
        });
        add_due(&broker);
        let added = tokens(&orders);
        let cancelled = cancelled.into_inner().unwrap();
        let all: BTreeSet<&String> = added.iter().chain(&cancelled).collect();
        assert_eq!((all.len(), added.len() + cancelled.len()), (3, 3), "{added:?}, and {cancelled:?} were cancelled");
        assert_eq!(broker.schedule_size().map(|(entries, _)| entries), Some(0));
        drop((orders, events));
        broker.crash();
        let broker = open(&witness);
        assert_eq!(tokens(&broker.stream("orders").unwrap()), added, "after a crash");
    });
}

#[test]
fn a_blocked_reader_is_woken_by_what_falls_due_in_another_thread() {
    check(|| {
        let witness = Witness::new();
        let broker = open(&witness);
        let (orders, events) = (broker.stream("orders").unwrap(), broker.stream("events").unwrap());
        thread::scope(|scope| {
            scope.spawn(|| {
                let read = orders.read(StartAt::Start).block(Duration::MAX).next().unwrap();
                assert_eq!(token_of(&read[0]), "<one>");
            });
            scope.spawn(|| {
                events.entry("<other>").at(0).schedule().unwrap();
                orders.entry("<one>").at(1).schedule().unwrap();
                add_due(&broker);
            });
            scope.spawn(|| _ = broker.due_step().unwrap());
        });
        add_due(&broker);
        assert_eq!((tokens(&orders), tokens(&events)), (vec!["<one>".to_owned()], vec!["<other>".to_owned()]));
    });
}
