//! What is asked on the command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::common::Arguments;
use crate::level::Level;
use crate::rows::Row;
use crate::systems::Peer;

pub(crate) const USAGE: &str = "\
streamlog beside its peers: prints tables in Markdown, and writes target/peers/figures.json

  --row NAME,...     add, add-batch, add-synced, add-batch-synced, add-16-synced, work, work-batch, work-synced, mixed,
                     mixed-synced, scan; and the other tables: resp, open, pending, disk (all)
  --peer NAME,...    commitlog, okaywal, fjall, raft-engine, yaque, SQLite, Redis (all)
  --rounds N         how often each is measured (5)
  --seconds S        how long a measurement takes (0.3)
  --payload BYTES    of each message (100)
  --backlog N        messages that are scanned, and that are there when it is opened (1000000)
  --pending N        messages that are pending when memory is measured (1000000)
  --redis PROGRAM    (redis-server)
  --dir PATH         where to write: a real file system (tmp in the target directory)
  --quick            one short round of all, with a twentieth of the messages

of the table of servers:
  --level NAME,...   os, interval, always (all)
  --clients N,...    (1,8,50)
  --depth N,...      how many requests in a pipeline (1,16,100)
  --tcp              over TCP, and not over a unix socket
  --threads N        of streamlog's server (as many as it likes)";

/// Tables besides that of speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Other {
    Resp,
    Open,
    Pending,
    Disk,
}

impl Other {
    const ALL: [Other; 4] = [Other::Resp, Other::Open, Other::Pending, Other::Disk];

    fn name(self) -> &'static str {
        match self {
            Other::Resp => "resp",
            Other::Open => "open",
            Other::Pending => "pending",
            Other::Disk => "disk",
        }
    }
}

pub(crate) struct Asked {
    pub(crate) rows: Vec<Row>,
    pub(crate) others: Vec<Other>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) payload: Vec<u8>,
    pub(crate) backlog: u64,
    pub(crate) pending: u64,
    pub(crate) redis: String,
    pub(crate) directory: PathBuf,
    /// By how much what has a fixed number of messages is to be less.
    pub(crate) divisor: u64,
    pub(crate) levels: Vec<Level>,
    pub(crate) clients: Vec<usize>,
    pub(crate) depths: Vec<usize>,
    pub(crate) tcp: bool,
    pub(crate) threads: Option<usize>,
}

impl Asked {
    pub(crate) fn of_process() -> Asked {
        let mut words = Arguments::of_process();
        let quick = words.flag("--quick");
        let divisor = if quick { 20 } else { 1 };
        let names: Vec<String> = words.values("--row");
        let unknown = names.iter().find(|name| {
            Row::ALL.iter().all(|row| row.name() != **name) && Other::ALL.iter().all(|other| other.name() != **name)
        });
        assert_eq!(unknown, None, "there is no such row");
        let is_asked = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
        let peers: Vec<String> = words.values("--peer");
        let levels: Vec<String> = words.values("--level");
        let asked = Asked {
            rows: Row::ALL.into_iter().filter(|row| is_asked(row.name())).collect(),
            others: Other::ALL.into_iter().filter(|other| is_asked(other.name())).collect(),
            peers: or(peers.iter().map(|name| Peer::named(name)).collect(), &Peer::ALL),
            rounds: words.value("--rounds").unwrap_or(if quick { 1 } else { 5 }),
            time: Duration::from_secs_f64(words.value("--seconds").unwrap_or(if quick { 0.1 } else { 0.3 })),
            payload: noise(words.value("--payload").unwrap_or(100)),
            backlog: words.value("--backlog").unwrap_or(1_000_000 / divisor),
            pending: words.value("--pending").unwrap_or(1_000_000 / divisor),
            redis: words.value("--redis").unwrap_or_else(|| "redis-server".to_owned()),
            directory: words.value("--dir").unwrap_or_else(|| target().join("tmp")),
            divisor,
            levels: or(levels.iter().map(|name| Level::named(name)).collect(), &Level::ALL),
            clients: or(words.values("--clients"), &[1, 8, 50]),
            depths: or(words.values("--depth"), &[1, 16, 100]),
            tcp: words.flag("--tcp"),
            threads: words.value("--threads"),
        };
        words.finish(USAGE);
        asked
    }
}

fn or<T: Clone>(asked: Vec<T>, default: &[T]) -> Vec<T> {
    if asked.is_empty() { default.to_vec() } else { asked }
}

/// The directory that this program was built into.
pub(crate) fn target() -> PathBuf {
    let program = std::env::current_exe().expect("this program");
    program.ancestors().nth(2).expect("a directory of builds").to_owned()
}

/// Bytes that nobody can compress.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(|_| next()).collect()
}
