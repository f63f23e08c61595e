//! The process that the demo kills: two workers that tell each step before they go on.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use streamlog::{Broker, Group};

use super::{FETCH_COUNT, GROUP, STREAM, WORKERS, order};
use crate::failure::{Failure, Result};

/// The hidden verb that starts this.
pub(crate) const WORKERS_VERB: &str = "demo-workers";

/// How long it takes to charge an order: long enough that a kill comes in the middle of it.
const WORK: Duration = Duration::from_micros(150);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    dir: PathBuf,
}

/// Works until there is nothing left, or somebody kills it.
pub(crate) fn work(args: &Args) -> Result<()> {
    let broker = Broker::open(&args.dir)?;
    let group = broker.stream(STREAM)?.group(GROUP).existing()?;
    let workers = WORKERS.map(|name| {
        let group = group.clone();
        thread::spawn(move || worker(&group, name))
    });
    for worker in workers {
        worker.join().map_err(|_| Failure::new("a worker panicked"))??;
    }
    Ok(broker.close()?)
}

fn worker(group: &Group, name: &str) -> Result<()> {
    let worker = group.consumer(name);
    loop {
        let batch = worker.fetch().count(FETCH_COUNT).next()?;
        if batch.is_empty() {
            return Ok(());
        }
        let mut acked = String::new();
        for message in &batch {
            let order = order(message)?;
            thread::sleep(WORK);
            tell(&format!("processed {order}\n"))?;
            let _ = writeln!(acked, "acked {order}");
        }
        batch.ack_all()?;
        tell(&acked)?;
    }
}

/// Writes whole lines to the pipe: there they outlive this process.
fn tell(lines: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes()).and_then(|()| out.flush()).map_err(Failure::output)
}
