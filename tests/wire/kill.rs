//! The server is killed under load, again and again, and started anew. What it had answered is there, a transaction is there as a
//! whole or not at all, nothing is there twice: under `always`, and under `os` too, which is about power, not about processes.
//!
//! `STREAMLOG_KILLS` says how often, `STREAMLOG_SEED` when.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::answer::Answer;
use crate::clients::{Client, INPUTS, ONCE, PLAIN, Pairs, Place, Producer, Worker, items, text};
use crate::process::{Random, number, seed, turn};
use crate::server::Server;
use crate::wire::Wire;

/// How often a test kills if not said otherwise.
const KILLS: u64 = 12;
/// By then everybody was answered something.
const KILLS_MAX: u64 = 10_000;

#[test]
fn what_was_answered_under_always_outlives_the_server() {
    outlives_kills("always");
}

#[test]
fn what_was_answered_under_os_outlives_the_server() {
    outlives_kills("os");
}

fn outlives_kills(durability: &str) {
    let _turn = turn();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let mut random = Random::new(seed(durability));
    let mut clients = clients();
    let mut server = Server::start(&path, durability);
    let mut wire = server.connect();
    for group in [ONCE, PLAIN] {
        for stream in INPUTS {
            let made = wire.call(&["XGROUP", "CREATE", stream, group, "0", "MKSTREAM"]);
            assert_eq!(made, Answer::Status("OK".to_owned()));
        }
    }
    let mut kills = 0;
    // A slow disk may have answered some of them nothing yet.
    while kills < number("STREAMLOG_KILLS").unwrap_or(KILLS) || clients.iter().any(|client| answered(client) == 0) {
        kills += 1;
        assert!(kills < KILLS_MAX, "after {kills} kills a client was never answered");
        thread::scope(|scope| {
            for client in &mut clients {
                let mut wire = server.connect();
                let mut random = Random::new(random.next());
                scope.spawn(move || client.work(&mut wire, &mut random));
            }
            thread::sleep(Duration::from_micros(20_000 + random.below(150_000)));
            server.kill();
        });
        server = Server::start(&path, durability);
        check(&mut server.connect(), &clients);
    }
    drain(&mut server.connect(), &mut clients, &mut random);
    check(&mut server.connect(), &clients);
    server.stop();
    assert_worth_it(&clients);
}

/// Eight of them.
fn clients() -> Vec<Client> {
    let producer = |name: &str, stream| {
        let name = name.to_owned();
        Client::Producer(Producer { name, stream, next: 0, added: BTreeMap::new() })
    };
    let pairs = |name: &str| {
        let streams = [format!("left-{name}"), format!("right-{name}")];
        Client::Pairs(Pairs { streams, next: 0, added: BTreeSet::new() })
    };
    let worker = |group, consumer: &str| {
        let (given, begun, acknowledged) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Client::Worker(Worker { group, consumer: consumer.to_owned(), given, begun, acknowledged })
    };
    vec![
        producer("a", INPUTS[0]),
        producer("b", INPUTS[1]),
        producer("c", INPUTS[0]),
        pairs("a"),
        pairs("b"),
        worker(ONCE, "one"),
        worker(ONCE, "two"),
        worker(PLAIN, "one"),
    ]
}

/// Compares what is there with what the clients were told.
fn check(wire: &mut Wire<TcpStream>, clients: &[Client]) {
    for client in clients {
        match client {
            Client::Producer(producer) => check_producer(wire, producer),
            Client::Pairs(pairs) => check_pairs(wire, pairs),
            Client::Worker(worker) => check_worker(wire, worker),
        }
    }
    let done = done(wire);
    for stream in INPUTS {
        let pending = pending(wire, stream, ONCE);
        let delivered = last_delivered(wire, stream, ONCE);
        for (id, _) in entries(wire, stream) {
            let place = (stream.to_owned(), id);
            let is_done = done.contains(&place);
            let was_given = key(&place.1) <= key(&delivered);
            assert!(was_given || !is_done, "{place:?} is done and was given to nobody");
            assert_eq!(
                was_given && !is_done,
                pending.contains_key(&place),
                "{place:?} is either done or pending once it was given: done {is_done}, given {was_given}"
            );
        }
    }
}

fn check_producer(wire: &mut Wire<TcpStream>, producer: &Producer) {
    let Producer { name, stream, next, added } = producer;
    let found: Vec<(String, u64)> = entries(wire, stream)
        .into_iter()
        .filter(|(_, fields)| fields[1] == *name)
        .map(|(id, fields)| (id, fields[3].parse().unwrap()))
        .collect();
    assert!(found.is_sorted_by(|a, b| a.1 < b.1), "{name} added each once, in order");
    assert!(found.iter().all(|(_, n)| n < next), "{name} asked for every entry that is there");
    let found: BTreeMap<u64, String> = found.into_iter().map(|(id, n)| (n, id)).collect();
    for (n, id) in added {
        assert_eq!(found.get(n), Some(id), "the entry {n} of {name} was answered");
    }
}

fn check_pairs(wire: &mut Wire<TcpStream>, pairs: &Pairs) {
    let numbers = |wire: &mut Wire<TcpStream>, stream: &str| -> Vec<u64> {
        entries(wire, stream).into_iter().map(|(_, fields)| fields[1].parse().unwrap()).collect()
    };
    let [left, right] = [0, 1].map(|side: usize| numbers(wire, &pairs.streams[side]));
    assert_eq!(left, right, "no transaction is half there");
    assert!(left.is_sorted_by(|a, b| a < b), "each is there once, in order");
    let found: BTreeSet<u64> = left.into_iter().collect();
    assert!(found.is_superset(&pairs.added), "every transaction that was answered is there");
    assert!(found.iter().all(|n| *n < pairs.next));
}

fn check_worker(wire: &mut Wire<TcpStream>, worker: &Worker) {
    let Worker { group, consumer, given, begun, acknowledged } = worker;
    for stream in INPUTS {
        let pending = pending(wire, stream, group);
        let here = |places: &BTreeSet<Place>| -> Vec<Place> {
            places.iter().filter(|(name, _)| name == stream).cloned().collect()
        };
        for place in here(given) {
            assert_eq!(pending.get(&place), Some(consumer), "{place:?} was given to {consumer} of {group}");
        }
        for place in here(acknowledged) {
            assert_eq!(pending.get(&place), None, "{place:?} was acknowledged in {group}");
        }
        // The others of its group have books of their own: only who is alone can tell that nobody was passed by.
        if *group == PLAIN {
            let delivered = last_delivered(wire, stream, group);
            for (id, _) in entries(wire, stream) {
                let place = (stream.to_owned(), id);
                let known = pending.contains_key(&place) || begun.contains(&place) || acknowledged.contains(&place);
                assert!(known || key(&place.1) > key(&delivered), "{place:?} was passed by, and nobody got it");
            }
        }
    }
    if *group == ONCE {
        let done = done(wire);
        assert!(acknowledged.iter().all(|place| done.contains(place)), "what {consumer} was told is done is done");
    }
}

/// Has the workers take all there is.
fn drain(wire: &mut Wire<TcpStream>, clients: &mut [Client], random: &mut Random) {
    for client in clients {
        let Client::Worker(worker) = client else { continue };
        worker.again(wire).unwrap();
        while worker.turn(wire, random).unwrap() > 0 {}
        // Of those it left.
        worker.again(wire).unwrap();
    }
    let done = done(wire);
    for stream in INPUTS {
        let all: BTreeSet<Place> = entries(wire, stream).into_iter().map(|(id, _)| (stream.to_owned(), id)).collect();
        assert!(all.iter().all(|place| done.contains(place)), "in the end everything of {stream} is done");
        for group in [ONCE, PLAIN] {
            assert_eq!(pending(wire, stream, group), BTreeMap::new(), "and nothing is pending in {group}");
        }
    }
}

/// What the group [`ONCE`] did.
///
/// # Panics
///
/// If it did something twice.
fn done(wire: &mut Wire<TcpStream>) -> BTreeSet<Place> {
    let mut done = BTreeSet::new();
    for (_, fields) in entries(wire, "done") {
        let place = (fields[1].clone(), fields[3].clone());
        assert!(done.insert(place.clone()), "{place:?} was done twice");
    }
    done
}

/// IDs and fields.
fn entries(wire: &mut Wire<TcpStream>, stream: &str) -> Vec<(String, Vec<String>)> {
    let Answer::Array(entries) = wire.call(&["XRANGE", stream, "-", "+"]) else { panic!("{stream} is a stream") };
    let entries: Vec<_> = entries
        .into_iter()
        .map(|entry| {
            let [id, Answer::Array(fields)] = items(entry) else { panic!("an entry has fields") };
            (text(id), fields.into_iter().map(text).collect())
        })
        .collect();
    let Answer::Int(len) = wire.call(&["XLEN", stream]) else { panic!("{stream} has a length") };
    assert_eq!(len, i64::try_from(entries.len()).unwrap(), "the length of {stream}");
    entries
}

/// What is pending, and with whom.
fn pending(wire: &mut Wire<TcpStream>, stream: &str, group: &str) -> BTreeMap<Place, String> {
    let Answer::Array(rows) = wire.call(&["XPENDING", stream, group, "-", "+", "1000000"]) else {
        panic!("{stream} has the group {group}")
    };
    let place = |row| {
        let [id, consumer, ..] = items::<4>(row);
        ((stream.to_owned(), text(id)), text(consumer))
    };
    rows.into_iter().map(place).collect()
}

fn last_delivered(wire: &mut Wire<TcpStream>, stream: &str, group: &str) -> String {
    let Answer::Array(groups) = wire.call(&["XINFO", "GROUPS", stream]) else { panic!("{stream} has groups") };
    let groups = groups.into_iter().map(items::<12>);
    let id = groups.into_iter().find_map(|[_, name, _, _, _, _, _, id, ..]| (text(name) == group).then(|| text(id)));
    id.unwrap_or_else(|| panic!("{stream} has no group {group}"))
}

/// By which IDs are in order.
fn key(id: &str) -> (u64, u64) {
    let (ms, seq) = id.split_once('-').unwrap();
    (ms.parse().unwrap(), seq.parse().unwrap())
}

/// How much each client was told had happened.
fn answered(client: &Client) -> usize {
    match client {
        Client::Producer(producer) => producer.added.len(),
        Client::Pairs(pairs) => pairs.added.len(),
        Client::Worker(worker) => worker.acknowledged.len(),
    }
}

/// Nothing would have been shown if nothing had happened.
fn assert_worth_it(clients: &[Client]) {
    let answered: Vec<usize> = clients.iter().map(answered).collect();
    eprintln!("answered, client by client: {answered:?}");
    assert!(answered.iter().all(|count| *count > 0), "{answered:?}");
}
