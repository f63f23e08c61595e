//! `streamlog demo`: the main job in a few seconds, with a crash in the middle, and the proof by counting.
//!
//! The parent adds entries and starts this program again as the process of the workers. The workers tell through a
//! pipe what they processed and what they acknowledged, so that the parent can count without asking the engine. When
//! half of the entries are acknowledged the parent kills the workers' process, opens the directory itself, and has the
//! rest done.

mod tally;
mod workers;

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use streamlog::{Broker, Group, Id, Message};

use self::tally::Tally;
pub(crate) use self::workers::{Args as WorkersArgs, WORKERS_VERB, work};
use crate::failure::{Failure, Result};
use crate::show;

const ENTRIES: u64 = 10_000;
/// Entries in one write.
const ADD_BATCH: u64 = 100;
/// Messages that a worker takes at a time: what it can have in its hands when it dies.
const FETCH_COUNT: usize = 50;
const STREAM: &str = "orders";
const GROUP: &str = "billing";
const WORKERS: [&str; 2] = ["worker-1", "worker-2"];
const RESCUER: &str = "rescuer";

pub(crate) fn run() -> Result<()> {
    let dir = tempfile::tempdir().map_err(|error| Failure::new(format!("making a temporary directory: {error}")))?;
    let mut tally = Tally::new(ENTRIES);
    say("streamlog is Redis Streams inside a program, in a directory. No server runs here.")?;

    say(&format!("\n1. A shop takes {} orders: each is an entry of the stream `{STREAM}`.", show::count(ENTRIES)))?;
    let took = add(dir.path())?;
    let rate = show::rate(ENTRIES, took);
    say(&format!("   Added in {}, {rate}, {ADD_BATCH} a write, each write synced to the disk.", show::duration(took)))?;

    say(&format!("\n2. Another process charges them: {} in the group `{GROUP}`.", WORKERS.join(" and ")))?;
    let took = work_and_kill(dir.path(), &mut tally)?;
    let acked = tally.acked();
    say(&format!("   {} charged and acknowledged in {} …", show::count(acked), show::duration(took)))?;
    say("   … and there it was killed: SIGKILL, in the middle of its work, without a word of goodbye.")?;

    let began = Instant::now();
    let broker = Broker::open(dir.path())?;
    let opened = began.elapsed();
    let group = broker.stream(STREAM)?.group(GROUP).existing()?;
    let pending = group.pending()?;
    say(&format!("\n3. The directory opens again in {}.", show::duration(opened)))?;
    let hands: Vec<_> =
        pending.consumers.iter().map(|(name, count)| format!("{name} had {}", show::count(*count))).collect();
    let hands = if hands.is_empty() { "the workers had nothing".to_owned() } else { hands.join(", ") };
    say(&format!("   Delivered and not acknowledged: {hands}. The group remembers."))?;

    let rescued = rescue(&group, &mut tally)?;
    say(&format!("\n4. `{RESCUER}` claims what the dead held, {}, and charges it.", show::entries(rescued)))?;

    let (rest, took) = drain(&group, &mut tally)?;
    let rate = show::rate(rest, took);
    say(&format!("   Then the {} nobody had seen, in {}: {rate},", show::count(rest), show::duration(took)))?;
    say(&format!("   read and acknowledged {} at a time, every acknowledgement synced.", 2 * FETCH_COUNT))?;

    let in_stream = broker.stream(STREAM)?.len()?;
    let left = group.pending()?.count + group.info()?.lag.unwrap_or(u64::MAX);
    broker.close()?;
    say("\nWhat became of every single order, counted from what the workers told as they went:")?;
    say(&tally.table(rescued, rest).to_string())?;
    let wrong = tally.wrong(in_stream, left);
    if wrong.is_empty() {
        say("Nothing was lost. An order can be delivered twice, when a crash comes between its work and its")?;
        say("acknowledgement; once the acknowledgement returned, never again.")
    } else {
        Err(Failure::new(format!("this should not have happened, please report it: {}", wrong.join("; "))))
    }
}

/// Prints a line of the story at once.
fn say(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Failure::output)
}

fn add(dir: &Path) -> Result<Duration> {
    let broker = Broker::open(dir)?;
    let orders = broker.stream(STREAM)?;
    orders.group(GROUP).from_start().ensure()?;
    let began = Instant::now();
    for first in (0..ENTRIES).step_by(ADD_BATCH as usize) {
        let batch = first..ENTRIES.min(first + ADD_BATCH);
        orders.add_batch(batch.map(|n| [("order", n.to_string()), ("amount", format!("{}.99", n % 97))]))?;
    }
    let took = began.elapsed();
    broker.close()?;
    Ok(took)
}

/// Runs the workers' process until half of the entries are acknowledged, and kills it. Returns how long it ran.
fn work_and_kill(dir: &Path, tally: &mut Tally) -> Result<Duration> {
    let failed = |doing: &str, error: io::Error| Failure::new(format!("{doing} the workers' process: {error}"));
    let program = std::env::current_exe().map_err(|error| failed("finding", error))?;
    let mut command = Command::new(program);
    command.arg(WORKERS_VERB).arg(dir).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed("starting", error))?;
    let began = Instant::now();
    let told = BufReader::new(child.stdout.take().expect("its output is a pipe"));
    let mut took = None;
    for line in told.split(b'\n') {
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed("listening to", error));
            }
        };
        tally.told(&line);
        // In the middle of the work, not between two batches: that is where it hurts.
        let hurts = tally.half_done() >= FETCH_COUNT as u64 / 2;
        if took.is_none() && hurts && tally.acked() >= ENTRIES / 2 {
            took = Some(began.elapsed());
            child.kill().map_err(|error| failed("killing", error))?;
            // What it said before is still in the pipe: it counts.
        }
    }
    let ended = child.wait().map_err(|error| failed("waiting for", error))?;
    took.ok_or_else(|| {
        Failure::new(format!("the workers' process ended by itself, before it could be killed: {ended}"))
    })
}

/// Claims what is pending with anybody, processes and acknowledges it.
fn rescue(group: &Group, tally: &mut Tally) -> Result<u64> {
    let rescuer = group.consumer(RESCUER);
    let mut done = 0;
    let mut start = Id::MIN;
    loop {
        // In a service that lives on, half a minute says that a worker is dead; here it is known.
        let claimed = rescuer.auto_claim(Duration::ZERO).start(start).run()?;
        for message in &claimed.messages {
            tally.processed(order(message)?, message.deliveries());
        }
        done += claimed.messages.ack_all()?;
        start = claimed.next;
        if start == Id::MIN {
            return Ok(done);
        }
    }
}

/// Processes and acknowledges all that is left.
fn drain(group: &Group, tally: &mut Tally) -> Result<(u64, Duration)> {
    let rescuer = group.consumer(RESCUER);
    let began = Instant::now();
    let mut done = 0;
    loop {
        let batch = rescuer.fetch().count(2 * FETCH_COUNT).next()?;
        if batch.is_empty() {
            return Ok((done, began.elapsed()));
        }
        for message in &batch {
            tally.processed(order(message)?, message.deliveries());
        }
        done += batch.ack_all()?;
    }
}

/// The number of the order in a message.
fn order(message: &Message) -> Result<u64> {
    let text = message.text("order")?;
    text.parse().map_err(|_| Failure::new(format!("entry {} has the order `{text}`", message.id())))
}
