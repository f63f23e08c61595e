//! Futures that wait for the disk: whoever syncs for them, nobody is told too early, nobody is forgotten, and one that is given
//! up holds nobody up.

use std::io::ErrorKind::Other;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use shuttle::future::block_on;
use shuttle::thread;
use streamlog::sim::{Fault, FaultOp};
use streamlog::{Broker, Durability, ErrorKind, Stream};

use crate::witness::Witness;
use crate::{builder, check, random_below};

/// With threads of its own, or without: then whoever polls syncs.
fn open(witness: &Witness) -> (Broker, Stream) {
    let threads = random_below(2) == 0;
    let broker = builder(Durability::Always).background(threads).open_on(witness.storage()).unwrap();
    let stream = broker.stream("orders").unwrap();
    (broker, stream)
}

/// Polls once, and gives up.
fn give_up<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn futures_and_threads_that_wait_for_a_sync_are_told_when_it_covers_them() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream) = open(&witness);
        thread::scope(|scope| {
            for writer in 0..4 {
                let (witness, stream, broker) = (&witness, &stream, &broker);
                scope.spawn(move || {
                    for n in 0..2 {
                        let token = format!("<{writer}.{n}>");
                        let id = match writer {
                            0 => stream.add(&*token).unwrap(),
                            // Whoever gave up before may have been the one who asked.
                            1 => {
                                let _ = give_up(stream.add_async("<given up>"));
                                stream.entry(&*token).durability(Durability::Os).add().unwrap();
                                block_on(broker.sync_async()).unwrap();
                                continue;
                            }
                            _ => block_on(stream.add_async(&*token)).unwrap(),
                        };
                        assert!(witness.is_durable(&token), "{token} was told to be durable before a sync covered it");
                        assert!(
                            stream.get(id).unwrap().is_some(),
                            "{token} cannot be seen by the time its add returned"
                        );
                    }
                });
            }
        });
        // Who was told before the one who syncs took it off the list is off by now.
        broker.clone().crash();
        assert_eq!(broker.waiting_for_sync(), 0);
    });
}

#[test]
fn a_sync_that_fails_reaches_every_future() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream) = open(&witness);
        stream.create().unwrap();
        let journal = Some("journal/".to_owned());
        let after = random_below(3);
        witness.disk.inject(Fault { op: FaultOp::Sync, path_contains: journal, after, times: 1, error: Other });
        thread::scope(|scope| {
            for writer in 0..3 {
                let (witness, stream) = (&witness, &stream);
                scope.spawn(move || {
                    for n in 0.. {
                        let token = format!("<{writer}.{n}>");
                        match block_on(stream.add_async(&*token)) {
                            Ok(_) => assert!(witness.is_durable(&token)),
                            Err(error) => {
                                let kinds = [ErrorKind::Io, ErrorKind::WritesStopped];
                                return assert!(kinds.contains(&error.kind()), "{error}");
                            }
                        }
                    }
                });
            }
        });
        // Who was told before the one who syncs took it off the list is off by now.
        broker.clone().crash();
        assert_eq!(broker.waiting_for_sync(), 0);
    });
}

#[test]
fn futures_that_wait_for_a_sync_when_the_broker_ends_are_told() {
    check(|| {
        let witness = Witness::new();
        let (broker, stream) = open(&witness);
        let closes = random_below(2) == 0;
        thread::scope(|scope| {
            for writer in 0..2 {
                let (witness, stream) = (&witness, &stream);
                scope.spawn(move || {
                    for n in 0..2 {
                        let token = format!("<{writer}.{n}>");
                        match block_on(stream.add_async(&*token)) {
                            Ok(_) => assert!(witness.is_durable(&token)),
                            Err(error) => return assert_eq!(error.kind(), ErrorKind::Closed),
                        }
                    }
                });
            }
            let broker = broker.clone();
            scope.spawn(move || if closes { broker.close().unwrap() } else { broker.crash() });
        });
        assert_eq!(broker.waiting_for_sync(), 0);
    });
}
