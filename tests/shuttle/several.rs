//! Waiting in several streams at once, for names, and for what is given back: no wake-up is lost between one place and another.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use shuttle::thread;
use streamlog::{Broker, Durability, ErrorKind, GroupStart, Id, StartAt, Stream};

use crate::waiting::with_jumping_clock;
use crate::witness::Witness;
use crate::{check, id, open, random_below};

const NEW: GroupStart = GroupStart::New;

/// A second stream, with a group of the same name.
fn other(broker: &Broker) -> Stream {
    let other = broker.stream("refunds").unwrap();
    other.group("billing").from_start().create().unwrap();
    other
}

#[test]
fn who_waits_in_two_streams_and_who_waits_in_one_of_them_share_without_loss() {
    check(|| {
        let witness = Witness::new();
        let (broker, orders, group) = open(&witness, Durability::Always);
        let refunds = other(&broker);
        let delivered = Mutex::new(BTreeSet::new());
        let deliver = |name: &str, id: Id| assert!(delivered.lock().unwrap().insert((name.to_owned(), id)), "twice");
        thread::scope(|scope| {
            let (broker, deliver) = (&broker, &deliver);
            for names in [["orders", "refunds"], ["refunds", "orders"]] {
                scope.spawn(move || {
                    let read = broker.read_group("billing", names[0], names.map(|name| (name, NEW))).unwrap();
                    let found = read.count(1).block_forever().next().unwrap();
                    assert!(!found.is_empty());
                    for (name, messages) in found {
                        messages.iter().for_each(|message| deliver(&name, message.id()));
                    }
                });
            }
            // The others take at most two, and three come.
            scope.spawn(|| {
                let messages = group.consumer("one").read_new().block_forever().next().unwrap();
                messages.iter().for_each(|message| deliver("orders", message.id()));
            });
            scope.spawn(|| orders.add_batch(["<a>", "<b>"]).unwrap());
            scope.spawn(|| refunds.entry("<c>").durability(Durability::Os).add().unwrap());
            orders.entry("<d>").durability(Durability::Os).add().unwrap();
        });
        let rest = broker.read_group("billing", "rest", [("orders", NEW), ("refunds", NEW)]).unwrap().next().unwrap();
        for (name, messages) in rest {
            messages.iter().for_each(|message| deliver(&name, message.id()));
        }
        assert_eq!(delivered.into_inner().unwrap().len(), 4);
        assert_eq!((orders.waiting(), refunds.waiting()), (0, 0));
    });
}

#[test]
fn who_gives_up_in_two_streams_leaves_both_to_the_next() {
    check(|| {
        let witness = Witness::new();
        let (broker, orders, group) = with_jumping_clock(&witness);
        let refunds = other(&broker);
        thread::scope(|scope| {
            let both = broker.read_group("billing", "hasty", [("orders", NEW), ("refunds", NEW)]).unwrap();
            let hasty = scope.spawn(move || both.block(Duration::from_secs(1)).next().unwrap());
            let patient = scope.spawn(|| group.consumer("patient").read_new().block_forever().next().unwrap().ids());
            let other = refunds.group("billing").existing().unwrap();
            let other = scope.spawn(move || other.consumer("patient").read_new().block_forever().next().unwrap().ids());
            orders.add("<a>").unwrap();
            refunds.add("<b>").unwrap();
            // Without these the patient wait in vain if the first went to the other.
            for (name, _) in hasty.join().unwrap() {
                broker.stream(&name).unwrap().add("<again>").unwrap();
            }
            assert_eq!((patient.join().unwrap().len(), other.join().unwrap().len()), (1, 1));
        });
        assert_eq!((orders.waiting(), refunds.waiting()), (0, 0));
    });
}

#[test]
fn who_waits_for_a_name_is_told_of_whatever_gets_it() {
    check(|| {
        let witness = Witness::new();
        let (broker, orders, _) = open(&witness, Durability::Always);
        let new = broker.stream("new").unwrap();
        let how = random_below(4);
        thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let read = broker.read([("new", StartAt::Start), ("orders", StartAt::Start)]).unwrap();
                    scope.spawn(move || read.block_forever().next().unwrap())
                })
                .collect();
            match how {
                0 => drop(new.add("<a>").unwrap()),
                1 => {
                    new.group("g").create().unwrap();
                    new.add("<a>").unwrap();
                }
                2 => {
                    // Gone again before anybody looked, perhaps.
                    new.create().unwrap();
                    new.delete_stream().unwrap();
                    new.add("<a>").unwrap();
                }
                _ => {
                    let other = broker.stream("other").unwrap();
                    other.add("<a>").unwrap();
                    other.rename_to("new").unwrap();
                }
            }
            for reader in readers {
                let found = reader.join().unwrap();
                assert_eq!((found.len(), &*found[0].0, found[0].1[0].id), (1, "new", id(0)));
            }
        });
        assert_eq!((orders.waiting(), new.waiting()), (0, 0));
    });
}

#[test]
fn who_waits_for_a_name_while_the_broker_is_closed_is_told() {
    check(|| {
        let witness = Witness::new();
        let (broker, ..) = open(&witness, Durability::Always);
        let absent = broker.stream("absent").unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(|| absent.read(StartAt::Start).block_forever().next());
            scope.spawn(|| broker.clone().close().unwrap());
            assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
        });
    });
}

#[test]
fn what_is_given_back_reaches_everybody_who_waits_for_it() {
    check(|| {
        let witness = Witness::new();
        let (_broker, stream, group) = open(&witness, Durability::Always);
        stream.add_batch(["<a>", "<b>"]).unwrap();
        assert_eq!(group.consumer("dead").read_new().count(2).next().unwrap().len(), 2);
        thread::scope(|scope| {
            // Does not want them, and may be before those who do.
            let new = scope.spawn(|| group.consumer("new").read_new().block_forever().next().unwrap().ids());
            let fetches = ["x", "y"].map(|name| {
                let consumer = group.consumer(name);
                scope.spawn(move || consumer.fetch().block_forever().next().unwrap().ids())
            });
            if random_below(2) == 0 {
                assert_eq!(group.nack(&[id(0), id(1)]).run().unwrap(), 2);
            } else {
                let group = &group;
                for n in 0..2 {
                    scope.spawn(move || assert_eq!(group.nack(&[id(n)]).run().unwrap(), 1));
                }
            }
            let mut got = fetches.map(|fetch| fetch.join().unwrap()).concat();
            got.sort_unstable();
            assert_eq!(got, [id(0), id(1)]);
            stream.add("<c>").unwrap();
            assert_eq!(new.join().unwrap(), [id(2)]);
        });
    });
}

#[test]
fn who_gives_up_leaves_what_is_given_back_to_the_next() {
    check(|| {
        let witness = Witness::new();
        let (_broker, stream, group) = with_jumping_clock(&witness);
        stream.add("<a>").unwrap();
        assert_eq!(group.consumer("dead").read_new().next().unwrap().len(), 1);
        thread::scope(|scope| {
            let hasty = group.consumer("hasty");
            let hasty = scope.spawn(move || hasty.fetch().block(Duration::from_secs(1)).next().unwrap().ids());
            let new = scope.spawn(|| group.consumer("new").read_new().block_forever().next().unwrap().ids());
            let patient = scope.spawn(|| group.consumer("patient").fetch().block_forever().next().unwrap().ids());
            group.nack(&[id(0)]).run().unwrap();
            if !hasty.join().unwrap().is_empty() {
                group.nack(&[id(0)]).run().unwrap();
            }
            assert_eq!(patient.join().unwrap(), [id(0)]);
            stream.add("<b>").unwrap();
            assert_eq!(new.join().unwrap(), [id(1)]);
        });
    });
}

#[test]
fn what_becomes_pending_is_claimed_by_whoever_waits_for_such() {
    check(|| {
        let witness = Witness::new();
        let (_broker, stream, group) = open(&witness, Durability::Always);
        stream.add("<a>").unwrap();
        assert_eq!(group.consumer("x").read_new().no_ack().next().unwrap().len(), 1);
        thread::scope(|scope| {
            let claims = ["y", "z"].map(|name| {
                let consumer = group.consumer(name);
                scope.spawn(move || consumer.read_new().claim_idle(Duration::ZERO).block_forever().next().unwrap())
            });
            assert_eq!(group.consumer("x").claim(&[id(0)]).force().run().unwrap().len(), 1);
            // To the one and then to the other, at whatever time.
            claims.into_iter().for_each(|claim| assert_eq!(claim.join().unwrap().ids(), [id(0)]));
        });
        assert_eq!(group.pending_range(..).read().unwrap()[0].deliveries, 4);
    });
}
