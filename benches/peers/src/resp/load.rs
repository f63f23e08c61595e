//! The load: clients that each send so many requests at once, read the replies, and go on, until the time is over. The same
//! bytes for either server. A thread for each client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Address, Client, Reply, request};

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// Each adds entries of one field to one stream, as `redis-benchmark` would.
    Xadd,
    /// And reads new entries in a group, each client as a consumer of its own, and acknowledges them: `XREADGROUP … COUNT depth`,
    /// `XACK`.
    Work,
}

impl Load {
    pub(crate) const ALL: [Load; 2] = [Load::Xadd, Load::Work];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Load::Xadd => "`XADD`",
            Load::Work => "`XADD`, `XREADGROUP`, `XACK`",
        }
    }
}

/// How many do it, and how much each at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'a> {
    pub(crate) clients: usize,
    pub(crate) depth: usize,
    pub(crate) payload: &'a [u8],
}

/// Puts a load on a server for so long; returns the entries in a second.
pub(crate) fn run(address: &Address, load: Load, shape: Shape<'_>, time: Duration) -> f64 {
    let mut first = Client::connect(address);
    first.ask(&[b"DEL", b"load"]);
    if load == Load::Work {
        first.ask(&[b"XGROUP", b"CREATE", b"load", b"group", b"$", b"MKSTREAM"]);
    }
    let done = AtomicU64::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        for number in 0..shape.clients {
            let done = &done;
            scope.spawn(move || {
                let mut client = Client::connect(address);
                let until = began + time;
                let messages = match load {
                    Load::Xadd => add(&mut client, shape, until),
                    Load::Work => work(&mut client, number, shape, until),
                };
                done.fetch_add(messages, Ordering::Relaxed);
            });
        }
    });
    let took = began.elapsed();
    done.into_inner() as f64 / took.as_secs_f64()
}

/// Adds entries; counts them.
fn add(client: &mut Client, shape: Shape<'_>, until: Instant) -> u64 {
    let requests = request(&[b"XADD", b"load", b"*", b"data", shape.payload]).repeat(shape.depth);
    let mut added = 0;
    while Instant::now() < until {
        client.send(&requests);
        client.skip_bulks(shape.depth);
        added += shape.depth as u64;
    }
    added
}

/// Adds, reads and acknowledges entries; counts those that are acknowledged.
fn work(client: &mut Client, number: usize, shape: Shape<'_>, until: Instant) -> u64 {
    let consumer = format!("consumer-{number}");
    let count = shape.depth.to_string();
    let read = request(&[
        b"XREADGROUP",
        b"GROUP",
        b"group",
        consumer.as_bytes(),
        b"COUNT",
        count.as_bytes(),
        b"STREAMS",
        b"load",
        b">",
    ]);
    let adds = request(&[b"XADD", b"load", b"*", b"data", shape.payload]).repeat(shape.depth);
    let mut acknowledged = 0;
    while Instant::now() < until {
        client.send(&adds);
        client.skip_bulks(shape.depth);
        client.send(&read);
        let entries = client.reply().delivered();
        if entries.is_empty() {
            continue;
        }
        let mut words: Vec<&[u8]> = vec![b"XACK", b"load", b"group"];
        words.extend(entries.iter().map(|(id, _)| &id[..]));
        let Reply::Other(count) = client.ask(&words) else { panic!("a number") };
        assert_eq!(count, format!(":{}", entries.len()));
        acknowledged += entries.len() as u64;
    }
    acknowledged
}
