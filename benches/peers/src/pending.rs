//! The memory of an entry that is pending: by how much a process grows while entries are delivered that nobody acknowledges, all to
//! one consumer, or one by one to ten in turns. The process has opened what another added, and read it through once: its caches are
//! as full as they get.

use serde_json::{Value, json};

use crate::asked::Asked;
use crate::child::{Errand, resident_bytes, send};
use crate::common::{Scratch, Table, count};
use crate::level::Level;
use crate::rows::fill as add;
use crate::systems::{Peer, Subject};

/// How many a consumer takes at once if all are its own.
const BATCH: usize = 1000;
const SHAPES: [(&str, u64); 2] = [("all with one consumer", 1), ("one by one with ten consumers", 10)];

pub(crate) fn run(asked: &Asked) -> Value {
    let mut subjects = vec![Subject::Ours];
    subjects.extend(asked.peers.contains(&Peer::Redis).then_some(Subject::Peer(Peer::Redis)));
    let columns = subjects.iter().map(|subject| subject.name());
    let mut table = Table::new(["bytes of memory for each pending entry"].into_iter().chain(columns));
    let mut figures = Vec::new();
    for (title, consumers) in SHAPES {
        let grown: Vec<f64> = subjects.iter().map(|&subject| measure(asked, subject, consumers)).collect();
        table.row([title.to_owned()].into_iter().chain(grown.iter().map(|&bytes| count(bytes))));
        for (subject, bytes) in subjects.iter().zip(&grown) {
            figures.push(json!({ "name": subject.name(), "consumers": consumers, "pending": asked.pending, "bytes_each": bytes }));
        }
    }
    println!("{} entries pending, by how much the process grows:\n\n{table}", asked.pending);
    Value::Array(figures)
}

fn measure(asked: &Asked, subject: Subject, consumers: u64) -> f64 {
    let scratch = Scratch::new(&asked.directory);
    let level = if subject == Subject::Ours { Level::Os } else { Level::Interval };
    let numbers = [asked.pending, consumers];
    send(asked, "pending-fill", subject, level, &scratch.join("data"), numbers);
    let said = send(asked, "pending", subject, level, &scratch.join("data"), numbers);
    said["grown_bytes"].as_f64().expect("a number") / asked.pending as f64
}

/// Adds so many.
pub(crate) fn fill(errand: &Errand) -> Value {
    let system = errand.subject.open(errand.setting());
    add(&mut *system.producer(), &errand.payload, errand.numbers[0]);
    system.close();
    json!({})
}

/// Delivers so many to so many.
pub(crate) fn deliver(errand: &Errand) -> Value {
    let system = errand.subject.open(errand.setting());
    let [pending, consumers] = errand.numbers;
    let mut consumers: Vec<_> =
        (0..consumers).map(|number| system.consumer(number as usize).expect("a queue")).collect();
    let batch = if consumers.len() == 1 { BATCH } else { 1 };
    assert_eq!(system.scan(pending), Some(pending), "all are there");
    let before = resident_bytes(system.process());
    let (mut taken, mut turn) = (0, 0);
    while taken < pending {
        let count = batch.min((pending - taken) as usize);
        let at = turn % consumers.len();
        let found = consumers[at].take(count, None);
        assert_ne!(found, 0, "there are more");
        taken += found;
        turn += 1;
    }
    let grown_bytes = resident_bytes(system.process()) as i64 - before as i64;
    std::mem::forget(consumers);
    system.abandon();
    json!({ "grown_bytes": grown_bytes })
}
