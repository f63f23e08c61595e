//! The child: adds, reads in groups, acknowledges, trims, syncs and makes backups in several threads until it is stopped. It
//! says of each operation when it is about to begin and when it has returned, so that who listens knows what came before what.
//!
//! ```text
//! open
//! b op add stream producer n count d      `d` if the operation waits for the disk, `w` if not
//! b op fetch stream group w
//! b op ack stream group d id…
//! b op trim stream id d                   what is acknowledged before the ID
//! b op sync - d
//! b op backup name d                      to a directory of that name beside this one
//! e op id…                                it has returned: the IDs added, or delivered for the first time, or the
//!                                         first one left if some were removed
//! ! text                                  an error
//! ```
//!
//! And what `passing` says of streams that come and go.

use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use streamlog::{Broker, Durability, Id, Message, Result, Trim};

use crate::passing;
use crate::process::{Random, begin_child, command, durability, list, say, small_files, value};

pub(crate) const STREAMS: [&str; 2] = ["orders", "events"];
pub(crate) const GROUPS: [&str; 2] = ["billing", "audit"];
const PRODUCERS: u64 = 3;
/// Of each group.
const CONSUMERS: u64 = 2;

const DIRECTORY: &str = "STREAMLOG_POWER_DIRECTORY";
const LEVEL: &str = "STREAMLOG_POWER_LEVEL";
const RUN: &str = "STREAMLOG_POWER_RUN";

pub(crate) fn start(path: &Path, level: &str, run: u64) -> Child {
    let mut command = command("child::works_until_it_is_stopped");
    command.env(DIRECTORY, path).env(LEVEL, level).env(RUN, run.to_string()).spawn().unwrap()
}

/// No test: what the child process runs.
#[test]
fn works_until_it_is_stopped() {
    let Some(path) = std::env::var_os(DIRECTORY) else { return };
    begin_child();
    let run: u64 = std::env::var(RUN).unwrap().parse().unwrap();
    let level = durability(&std::env::var(LEVEL).unwrap());
    let broker = match small_files(Broker::builder().durability(level)).open(&path) {
        Ok(broker) => broker,
        Err(error) => return say(&format!("! opening: {error}")),
    };
    say("open");
    let work = Work { broker, level, run, operations: AtomicU64::new(0) };
    thread::scope(|scope| {
        let (work, path) = (&work, Path::new(&path));
        for number in 0..PRODUCERS {
            scope.spawn(move || tell(work.produce(number)));
        }
        for group in GROUPS {
            for number in 0..CONSUMERS {
                scope.spawn(move || tell(work.consume(group, number)));
            }
        }
        scope.spawn(move || tell(work.trim()));
        scope.spawn(move || tell(passing::work(&work.broker, run)));
        scope.spawn(move || tell(work.back_up(path)));
    });
    // Closing would only fail.
    std::process::exit(1);
}

fn tell(result: Result<()>) {
    if let Err(error) = result {
        say(&format!("! {error}"));
    }
}

/// Says that an operation has returned.
fn end(operation: u64, ids: &[Id]) {
    say(&format!("e {operation}{}", list(ids)));
}

struct Work {
    broker: Broker,
    level: Durability,
    run: u64,
    operations: AtomicU64,
}

impl Work {
    /// Says that an operation is about to begin; returns its number.
    fn begin(&self, what: &str, level: Durability, ids: &[Id]) -> u64 {
        let operation = self.operations.fetch_add(1, Ordering::Relaxed);
        let durable = if level == Durability::Always { "d" } else { "w" };
        say(&format!("b {operation} {what} {durable}{}", list(ids)));
        operation
    }

    /// Weaker and stronger ones among each other.
    fn some_level(&self, random: &mut Random) -> Durability {
        match random.below(16) {
            0 => Durability::Always,
            1 => Durability::Os,
            _ => self.level,
        }
    }

    fn produce(&self, number: u64) -> Result<()> {
        let producer = format!("{}-{number}", self.run);
        let mut random = Random::new(self.run * 100 + number);
        for n in 0.. {
            let name = STREAMS[random.below(2) as usize];
            let stream = self.broker.stream(name)?;
            let count = if random.below(4) == 0 { 2 + random.below(20) } else { 1 };
            let level = self.some_level(&mut random);
            let mut batch = stream.batch().durability(level);
            for index in 0..count {
                let key = format!("{producer}.{n}.{index}.{count}");
                let value = value(&key);
                batch.push(vec![("key", key.into_bytes()), ("value", value)])?;
            }
            let operation = self.begin(&format!("add {name} {producer} {n} {count}"), level, &[]);
            let ids = batch.add()?;
            end(operation, &ids);
        }
        Ok(())
    }

    fn consume(&self, group: &str, number: u64) -> Result<()> {
        let mut random = Random::new(self.run * 100 + 50 + number);
        let name = format!("{group}-{number}");
        let mut consumers = Vec::new();
        for stream in STREAMS {
            consumers.push(self.broker.stream(stream)?.group(group).from_start().ensure()?.consumer(&name));
        }
        loop {
            for (consumer, stream) in consumers.iter().zip(STREAMS) {
                let fetch = consumer.fetch().count(1 + random.below(30) as usize);
                let operation = self.begin(&format!("fetch {stream} {group}"), Durability::Os, &[]);
                let messages = fetch.block(Duration::from_millis(random.below(3))).next()?;
                let new = messages.iter().filter(|message| message.deliveries() == 1).map(Message::id);
                end(operation, &new.collect::<Vec<_>>());
                // Some stay pending until the next life; what comes again is acknowledged.
                let keep = random.below(10) == 0;
                let done = messages.iter().filter(|message| !keep || message.deliveries() > 1);
                let ids: Vec<Id> = done.map(Message::id).collect();
                for ids in ids.chunks(1 + random.below(30) as usize) {
                    let level = self.some_level(&mut random);
                    let operation = self.begin(&format!("ack {stream} {group}"), level, ids);
                    consumer.group().ack_with(ids, level)?;
                    end(operation, &[]);
                }
            }
        }
    }

    fn trim(&self) -> Result<()> {
        let mut random = Random::new(self.run * 100 + 90);
        loop {
            for name in STREAMS {
                thread::sleep(Duration::from_millis(2));
                let stream = self.broker.stream(name)?;
                // Not before the groups are there: what they were to be delivered must not go.
                if !stream.exists() || stream.info()?.groups < GROUPS.len() {
                    continue;
                }
                let last = stream.info()?.last_id;
                let operation = self.begin(&format!("trim {name} {last}"), self.level, &[]);
                let removed = stream.trim(Trim::min_id(last).only_acknowledged())?;
                let first = stream.info()?.first_id.filter(|_| removed > 0);
                end(operation, &first.into_iter().collect::<Vec<_>>());
            }
            if random.below(8) == 0 {
                let operation = self.begin("sync -", Durability::Always, &[]);
                self.broker.sync()?;
                end(operation, &[]);
            }
        }
    }

    fn back_up(&self, path: &Path) -> Result<()> {
        for number in 0.. {
            let name = format!("backup-{}-{number}", self.run);
            let target = path.with_file_name(&name);
            let operation = self.begin(&format!("backup {name}"), Durability::Always, &[]);
            self.broker.backup_to(target)?;
            end(operation, &[]);
        }
        Ok(())
    }
}
