//! The child: adds, reads in groups, acknowledges and trims in several threads until it is killed. It says what it is
//! about to do where it matters, and each thing once it has returned.
//!
//! ```text
//! open
//! + stream producer n count id…          entries `producer.n.0` to `producer.n.(count - 1)` were added, as one
//! > stream group consumer id*count …     entries were delivered, each for the count-th time
//! a stream group id…                     they are about to be acknowledged
//! A stream group id…                     they were
//! t stream id                            what is acknowledged before the ID is about to be trimmed
//! T stream id                            nothing before the ID is there
//! ! text                                 an error
//! ```
//!
//! And what `passing` says of streams that come and go.

use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use streamlog::{Broker, Durability, Id, Message, Result, Trim};

use crate::passing;
use crate::process::{Random, begin_child, command, durability, list, say, small_files, value, words};

pub(crate) const STREAMS: [&str; 2] = ["orders", "events"];
pub(crate) const GROUPS: [&str; 2] = ["billing", "audit"];
const PRODUCERS: u64 = 3;
/// Of each group.
const CONSUMERS: u64 = 2;

const DIRECTORY: &str = "STREAMLOG_KILL_DIRECTORY";
const LEVEL: &str = "STREAMLOG_KILL_LEVEL";
const RUN: &str = "STREAMLOG_KILL_RUN";

pub(crate) fn start(path: &Path, level: &str, run: u64) -> Child {
    let mut command = command("child::works_until_it_is_killed");
    command.env(DIRECTORY, path).env(LEVEL, level).env(RUN, run.to_string()).spawn().unwrap()
}

/// No test: what the child process runs.
#[test]
fn works_until_it_is_killed() {
    let Some(path) = std::env::var_os(DIRECTORY) else { return };
    let run: u64 = std::env::var(RUN).unwrap().parse().unwrap();
    begin_child();
    let builder = Broker::builder().durability(durability(&std::env::var(LEVEL).unwrap()));
    let broker = small_files(builder).open(path);
    let broker = match broker {
        Ok(broker) => broker,
        Err(error) => return say(&format!("! opening: {error}")),
    };
    say("open");
    thread::scope(|scope| {
        let broker = &broker;
        for number in 0..PRODUCERS {
            scope.spawn(move || tell(produce(broker, run, number)));
        }
        for group in GROUPS {
            for number in 0..CONSUMERS {
                scope.spawn(move || tell(consume(broker, run, group, number)));
            }
        }
        scope.spawn(move || tell(trim(broker)));
        scope.spawn(move || tell(passing::work(broker, run)));
    });
}

fn tell(result: Result<()>) {
    if let Err(error) = result {
        say(&format!("! {error}"));
    }
}

fn produce(broker: &Broker, run: u64, number: u64) -> Result<()> {
    let producer = format!("{run}-{number}");
    let mut random = Random::new(run * 100 + number);
    for n in 0.. {
        let name = STREAMS[random.below(2) as usize];
        let stream = broker.stream(name)?;
        let count = if random.below(4) == 0 { 2 + random.below(20) } else { 1 };
        let mut batch = stream.batch();
        for index in 0..count {
            let key = format!("{producer}.{n}.{index}.{count}");
            let value = value(&key);
            batch.push(vec![("key", key.into_bytes()), ("value", value)])?;
        }
        // Weaker and stronger ones among each other.
        batch = match random.below(16) {
            0 => batch.durability(Durability::Always),
            1 => batch.durability(Durability::Os),
            _ => batch,
        };
        let ids = batch.add()?;
        say(&format!("+ {name} {producer} {n} {count}{}", list(&ids)));
    }
    Ok(())
}

fn consume(broker: &Broker, run: u64, group: &str, number: u64) -> Result<()> {
    let mut random = Random::new(run * 100 + 50 + number);
    let name = format!("{group}-{number}");
    let mut consumers = Vec::new();
    for stream in STREAMS {
        consumers.push(broker.stream(stream)?.group(group).from_start().ensure()?.consumer(&name));
    }
    loop {
        for (consumer, stream) in consumers.iter().zip(STREAMS) {
            let fetch = consumer.fetch().count(1 + random.below(30) as usize);
            let messages = fetch.block(Duration::from_millis(random.below(3))).next()?;
            if messages.is_empty() {
                continue;
            }
            let delivered = words(messages.iter().map(|m| format!("{}*{}", m.id(), m.deliveries())));
            say(&format!("> {stream} {group} {name}{delivered}"));
            // Some stay pending until the next life; what comes again is acknowledged.
            let keep = random.below(10) == 0;
            let done = messages.iter().filter(|message| !keep || message.deliveries() > 1);
            let ids: Vec<Id> = done.map(Message::id).collect();
            for ids in ids.chunks(1 + random.below(30) as usize) {
                say(&format!("a {stream} {group}{}", list(ids)));
                consumer.group().ack(ids)?;
                say(&format!("A {stream} {group}{}", list(ids)));
            }
        }
    }
}

fn trim(broker: &Broker) -> Result<()> {
    loop {
        for name in STREAMS {
            thread::sleep(Duration::from_millis(2));
            let stream = broker.stream(name)?;
            // Not before the groups are there: what they were to be delivered must not go.
            if !stream.exists() || stream.info()?.groups < GROUPS.len() {
                continue;
            }
            let last = stream.info()?.last_id;
            say(&format!("t {name} {last}"));
            stream.trim(Trim::min_id(last).only_acknowledged())?;
            if let Some(first) = stream.info()?.first_id {
                say(&format!("T {name} {first}"));
            }
        }
    }
}
