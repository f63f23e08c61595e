//! Bytes to the disk for each message that is added, delivered and acknowledged, from opening to closing: what Linux counts for the
//! process that writes (`/proc/<id>/io`).
//!
//! *To disk* is `write_bytes`: 4 KiB for each page made dirty, again if it was cleaned in between, as each sync does; so what is not
//! written yet is in it, and what the file system's own journal writes is not. *Handed over* is `wchar`, what was given to `write`, but
//! for what went through sockets.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::asked::Asked;
use crate::child::{Errand, send};
use crate::common::{Io, Scratch, Table, count};
use crate::level::Level;
use crate::systems::{Peer, Subject};

/// Longer than Redis takes until it syncs.
const SETTLE: Duration = Duration::from_millis(1500);

/// What is slower than that has done enough messages by then.
const WORK_MAX: Duration = Duration::from_secs(15);

const SHAPES: [(&str, Level, u64); 4] = [
    ("one by one, survives `kill -9`", Level::Os, 1),
    ("by 100, survives `kill -9`", Level::Os, 100),
    ("one by one, synced", Level::Always, 1),
    ("by 100, synced", Level::Always, 100),
];

pub(crate) fn run(asked: &Asked) -> Value {
    let mut subjects = vec![Subject::Ours];
    let peers = [Peer::Sqlite, Peer::Redis].into_iter().filter(|peer| asked.peers.contains(peer));
    subjects.extend(peers.map(Subject::Peer));
    let columns = subjects.iter().map(|subject| format!("{}: to disk (handed over)", subject.name()));
    let mut table = Table::new(["bytes for each message".to_owned()].into_iter().chain(columns));
    let mut figures = Vec::new();
    for (title, level, batch) in SHAPES {
        let mut cells = vec![title.to_owned()];
        for &subject in &subjects {
            let level =
                if subject == Subject::Peer(Peer::Redis) && level == Level::Os { Level::Interval } else { level };
            let messages_max = messages_max(subject, level, batch) / asked.divisor;
            let scratch = Scratch::new(&asked.directory);
            let said = send(asked, "disk", subject, level, &scratch.join("data"), [messages_max, batch]);
            let number = |name: &str| said[name].as_f64().expect("a number");
            let messages = number("messages");
            let each = |name: &str| number(name) / messages;
            let (disk, handed) = (each("disk_bytes"), each("handed_bytes"));
            cells.push(format!("{} ({})", count(disk), count(handed)));
            figures.push(json!({
                "name": subject.name(), "level": level.name(), "batch": batch, "messages": said["messages"],
                "disk_bytes_each": disk, "handed_bytes_each": handed,
            }));
        }
        table.row(cells);
    }
    println!("Bytes for each message of {} added, delivered and acknowledged:\n\n{table}", asked.payload.len());
    Value::Array(figures)
}

/// Enough for several checkpoints where it is quick, and for a few seconds where it is not.
fn messages_max(subject: Subject, level: Level, batch: u64) -> u64 {
    match (subject, level, batch) {
        (Subject::Ours, Level::Os, _) => 1_000_000,
        (_, Level::Always, 1) => 50_000,
        (_, _, 1) => 100_000,
        (..) => 500_000,
    }
}

/// Adds, takes and acknowledges so many messages, so many at a time.
pub(crate) fn work(errand: &Errand) -> Value {
    let own = std::process::id();
    // What this process wrote before, and the server before it had anything to do, is little, but not its work.
    let before = Io::of_self();
    let system = errand.subject.open(errand.setting());
    let process = system.process();
    let before = if process == own { before } else { Io::of_process(process) };
    let sent_before = system.sent_bytes();

    let [messages_max, batch] = errand.numbers;
    let payloads = vec![&errand.payload[..]; batch as usize];
    let (mut producer, mut consumer) = (system.producer(), system.consumer(0).expect("a queue"));
    let (began, mut messages) = (Instant::now(), 0);
    while messages < messages_max && began.elapsed() < WORK_MAX {
        if batch == 1 {
            producer.add(&errand.payload)
        } else {
            producer.add_batch(&payloads)
        }
        assert_eq!(consumer.take(batch as usize, None), batch, "what was added is there");
        consumer.acknowledge();
        messages += batch;
    }
    drop((producer, consumer));

    let (io, sent) = if process == own {
        system.close();
        (Io::of_self(), 0)
    } else {
        thread::sleep(SETTLE);
        let sent = system.sent_bytes() - sent_before;
        let io = Io::of_process(process);
        system.close();
        (io, sent)
    };
    let io = io - before;
    json!({ "messages": messages, "disk_bytes": io.disk_written_bytes, "handed_bytes": io.written_bytes - sent })
}
