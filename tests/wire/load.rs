//! Many connections ask many things at once while others wait for what comes of it: in the end the totals add up.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::Protocol;
use crate::answer::Answer;
use crate::clients::{items, text};
use crate::process::Random;
use crate::server::Server;
use crate::wire::{Wire, request};

/// Who adds, mixed with looks and mistakes.
const WRITERS: u64 = 24;
/// Who reads as consumers of one group, and waits.
const WORKERS: u64 = 6;
/// Who reads all of it, and waits.
const READERS: u64 = 4;
/// How much each writer adds.
const ADDS: u64 = 250;
const STREAM: &str = "orders";
const GROUP: &str = "workers";
/// How long a worker waits before it asks whether all is done.
const BLOCK_MS: &str = "100";

/// The number that an entry carries.
fn number(entry: Answer) -> (String, u64) {
    let [id, Answer::Array(mut fields)] = items(entry) else { panic!("an entry has fields") };
    (text(id), text(fields.remove(1)).parse().unwrap())
}

/// The entries of the one stream in an answer to a read, in either protocol.
fn entries_of(answer: Answer) -> Vec<Answer> {
    match answer {
        Answer::Null | Answer::NullArray => Vec::new(),
        Answer::Array(mut streams) => {
            let [_, Answer::Array(entries)] = items(streams.remove(0)) else { panic!("a stream has entries") };
            entries
        }
        Answer::Map(mut streams) => match streams.remove(0).1 {
            Answer::Array(entries) => entries,
            other => panic!("a stream has entries, not {other:?}"),
        },
        other => panic!("a read is answered by {other:?}"),
    }
}

fn connect(server: &Server, number: u64) -> Wire<TcpStream> {
    let mut wire = server.connect();
    let protocol = if number.is_multiple_of(2) { Protocol::Resp2 } else { Protocol::Resp3 };
    protocol.agree(&mut wire);
    wire
}

/// Adds the numbers `first..first + ADDS`, alone, in pipelines and in transactions, with looks and mistakes between.
fn write(wire: &mut Wire<TcpStream>, first: u64, random: &mut Random) {
    let mut next = first;
    while next < first + ADDS {
        let count = (1 + random.below(20)).min(first + ADDS - next);
        let numbers: Vec<String> = (next..next + count).map(|n| n.to_string()).collect();
        next += count;
        let transaction = random.below(3) == 0;
        let mut asked = Vec::new();
        if transaction {
            asked.push(request(&["MULTI"]));
        }
        asked.extend(numbers.iter().map(|n| request(&["XADD", STREAM, "*", "n", n])));
        if transaction {
            asked.push(request(&["EXEC"]));
        }
        asked.push(request(&["XLEN", STREAM]));
        asked.push(request(&["NOT-A-COMMAND"]));
        asked.push(request(&["XREVRANGE", STREAM, "+", "-", "COUNT", "3"]));
        wire.send(&asked.concat()).unwrap();
        let mut answers = asked.iter().map(|_| wire.answer().unwrap()).collect::<Vec<_>>();
        let Answer::Array(last) = answers.pop().unwrap() else { panic!("a range is answered") };
        assert!(!last.is_empty() && last.len() <= 3, "{last:?}");
        assert!(matches!(answers.pop().unwrap(), Answer::Error(text) if text.starts_with("ERR unknown command")));
        let Answer::Int(len) = answers.pop().unwrap() else { panic!("a length is answered") };
        assert!(len >= i64::try_from(next - first).unwrap(), "a client sees what it added: {len}");
        let ids = match answers.pop().unwrap() {
            Answer::Array(ids) if transaction => ids,
            id @ Answer::Text(_) => answers.into_iter().chain([id]).collect(),
            other => panic!("adds are answered by {other:?}"),
        };
        let ids: Vec<String> = ids.into_iter().map(text).collect();
        assert_eq!(ids.len() as u64, count);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len() as u64, count, "each add has an ID of its own");
    }
}

/// Waits for all entries, one read after the other; returns the numbers.
fn read(wire: &mut Wire<TcpStream>) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut last = "0".to_owned();
    while (numbers.len() as u64) < WRITERS * ADDS {
        let read = wire.call(&["XREAD", "COUNT", "100", "BLOCK", "0", "STREAMS", STREAM, &last]);
        let entries = entries_of(read);
        assert!(!entries.is_empty(), "a read without an end ends with entries");
        for entry in entries {
            let (id, n) = number(entry);
            last = id;
            numbers.push(n);
        }
    }
    numbers
}

/// Takes entries as a consumer until all are `taken`; returns the numbers.
fn take(wire: &mut Wire<TcpStream>, consumer: &str, taken: &AtomicU64) -> Vec<u64> {
    let mut numbers = Vec::new();
    while taken.load(Ordering::SeqCst) < WRITERS * ADDS {
        let read = ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", "7", "BLOCK", BLOCK_MS, "STREAMS", STREAM, ">"];
        let (ids, new): (Vec<String>, Vec<u64>) = entries_of(wire.call(&read)).into_iter().map(number).unzip();
        if ids.is_empty() {
            continue;
        }
        let words: Vec<&str> = ["XACK", STREAM, GROUP].into_iter().chain(ids.iter().map(String::as_str)).collect();
        assert_eq!(wire.call(&words), Answer::Int(i64::try_from(ids.len()).unwrap()), "each was pending");
        taken.fetch_add(ids.len() as u64, Ordering::SeqCst);
        numbers.extend(new);
    }
    numbers
}

#[test]
fn under_a_load_of_many_clients_everything_is_read_once_and_the_totals_add_up() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("data"), "os");
    let mut wire = server.connect();
    let made = wire.call(&["XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM"]);
    assert_eq!(made, Answer::Status("OK".to_owned()));
    let taken = AtomicU64::new(0);
    let (read, taken) = thread::scope(|scope| {
        let (server, taken) = (&server, &taken);
        let readers: Vec<_> =
            (0..READERS).map(|number| scope.spawn(move || read(&mut connect(server, number)))).collect();
        let work = |number: u64| move || take(&mut connect(server, number), &format!("worker-{number}"), taken);
        let workers: Vec<_> = (0..WORKERS).map(|number| scope.spawn(work(number))).collect();
        for writer in 0..WRITERS {
            scope.spawn(move || write(&mut connect(server, writer), writer * ADDS, &mut Random::new(writer)));
        }
        let read: Vec<Vec<u64>> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        let taken: Vec<u64> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        (read, taken)
    });
    let all: Vec<u64> = (0..WRITERS * ADDS).collect();
    let sorted = |mut numbers: Vec<u64>| {
        numbers.sort_unstable();
        numbers
    };
    assert!(read.iter().all(|numbers| *numbers == read[0]), "all who read saw the same order");
    assert_eq!(sorted(read[0].clone()), all, "whoever reads has read everything, once");
    assert_eq!(sorted(taken), all, "the group was given everything, once");
    assert_eq!(wire.call(&["XLEN", STREAM]), Answer::Int(i64::try_from(all.len()).unwrap()));
    let none = Answer::Array(vec![Answer::Int(0), Answer::Null, Answer::Null, Answer::NullArray]);
    assert_eq!(wire.call(&["XPENDING", STREAM, GROUP]), none, "everything is acknowledged");
    server.stop();
}
