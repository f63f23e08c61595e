//! Opening after a kill, and the memory of a backlog. A process adds a backlog, delivers a part of it, and is killed; another opens
//! what is left and reads the first entry. A server has to start for that, and to load what it has.
//!
//! What was written is in the system's cache, for all alike.

use std::time::Instant;

use serde_json::{Value, json};

use crate::asked::Asked;
use crate::child::{Errand, resident_bytes, send};
use crate::common::{Scratch, Table, bytes, count, median, nanos};
use crate::level::Level;
use crate::rows::fill as add;
use crate::systems::{Peer, Subject};

const ROUNDS: usize = 3;
/// One in so many of the backlog is pending.
const PENDING: u64 = 10;

pub(crate) fn run(asked: &Asked) -> Value {
    let mut table =
        Table::new(["", "open after `kill -9`", "as long as streamlog", "memory after adding", "memory when opened"]);
    let (mut figures, mut ours_ns) = (Vec::new(), None);
    for (subject, level) in subjects(asked) {
        let (mut took, mut added, mut opened) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let scratch = Scratch::new(&asked.directory);
            let directory = scratch.join("data");
            let numbers = [asked.backlog, asked.backlog / PENDING];
            let said = send(asked, "open-fill", subject, level, &directory, numbers);
            added.push(said["resident_bytes"].as_f64().expect("a number"));
            let said = send(asked, "open", subject, level, &directory, numbers);
            took.push(said["nanos"].as_f64().expect("a number"));
            opened.push(said["resident_bytes"].as_f64().expect("a number"));
        }
        let (took_ns, added, opened) = (median(&took), median(&added), median(&opened));
        let ours_ns = *ours_ns.get_or_insert(took_ns);
        table.row([
            subject.name().to_owned(),
            nanos(took_ns as u64),
            format!("{} ×", count(took_ns / ours_ns)),
            bytes(added),
            bytes(opened),
        ]);
        figures.push(json!({
            "name": subject.name(), "level": level.name(), "backlog": asked.backlog, "pending": asked.backlog / PENDING,
            "open_ns": took, "added_resident_bytes": added, "opened_resident_bytes": opened,
        }));
    }
    println!(
        "A backlog of {} entries of {} bytes, {} of them pending, the process killed, until the first entry is read (Redis: until it \
         answers), and the process's memory:\n\n{table}",
        asked.backlog,
        asked.payload.len(),
        asked.backlog / PENDING
    );
    Value::Array(figures)
}

/// Those that have pending entries, at the levels that survive a kill.
fn subjects(asked: &Asked) -> impl Iterator<Item = (Subject, Level)> {
    let all = [(Peer::Sqlite, Level::Os), (Peer::Redis, Level::Interval)];
    let peers = all.into_iter().filter(|(peer, _)| asked.peers.contains(peer));
    [(Subject::Ours, Level::Os)].into_iter().chain(peers.map(|(peer, level)| (Subject::Peer(peer), level)))
}

/// Adds so many, delivers so many.
pub(crate) fn fill(errand: &Errand) -> Value {
    let system = errand.subject.open(errand.setting());
    let [backlog, pending] = errand.numbers;
    add(&mut *system.producer(), &errand.payload, backlog);
    let mut consumer = system.consumer(0).expect("a queue");
    let mut taken = 0;
    while taken < pending {
        taken += consumer.take(1000.min((pending - taken) as usize), None);
    }
    let resident_bytes = resident_bytes(system.process());
    // What it would do when it is dropped is what a kill prevents.
    std::mem::forget(consumer);
    system.abandon();
    json!({ "resident_bytes": resident_bytes })
}

/// Opens what is there.
pub(crate) fn open(errand: &Errand) -> Value {
    let began = Instant::now();
    let system = errand.subject.open(errand.setting());
    assert_eq!(system.scan(1), Some(1), "the first entry is there");
    let nanos = began.elapsed().as_nanos() as u64;
    let resident_bytes = resident_bytes(system.process());
    system.abandon();
    json!({ "nanos": nanos, "resident_bytes": resident_bytes })
}
