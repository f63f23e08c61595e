//! The server beside `redis-server` under the same load, in turns: `cargo run --release` here. Prints how many times as much
//! streamlog does as Redis, and what each did.
//!
//! ```text
//! streamlog-load [--rounds 5] [--seconds 1] [--level os|interval|always]… [--clients 1,8,50] [--depth 1,16,100]
//!                [--load xadd|work]… [--unix|--tcp] [--redis redis-server] [--threads N]
//! ```
//!
//! Both servers run all the time, on the same file system, and each measurement is made of one and then of the other, as
//! often as there are rounds; the median of the rounds' ratios counts. The levels are those that promise the same:
//!
//! ```text
//! os         appendonly yes, appendfsync no          written to the operating system before it is answered
//! interval   appendonly yes, appendfsync everysec    synced every second
//! always     appendonly yes, appendfsync always      synced before it is answered
//! ```
//!
//! `xadd` adds entries of one field to one stream, each client so many in a pipeline, as `redis-benchmark` would; `work` reads new
//! entries in a group, each client as a consumer of its own, and acknowledges them: `XREADGROUP … COUNT depth`, `XACK`. Neither
//! server rewrites its log meanwhile.

mod client;
mod servers;

use std::time::Duration;

use crate::client::Load;
use crate::servers::{Level, Peers, Socket};

/// What is asked on the command line.
struct Asked {
    rounds: usize,
    time: Duration,
    levels: Vec<Level>,
    clients: Vec<usize>,
    depths: Vec<usize>,
    loads: Vec<Load>,
    sockets: Vec<Socket>,
    redis: String,
    threads: Option<usize>,
}

fn main() {
    let mut words = std::env::args().skip(1);
    if let Some(directory) = words.next().filter(|word| word == "serve").and_then(|_| words.next()) {
        return servers::serve(&directory, words);
    }
    let asked = asked();
    println!(
        "{:8} {:5} {:5} {:>7} {:>5}  {:>6}   streamlog      redis",
        "level", "via", "load", "clients", "depth", "ratio"
    );
    for &level in &asked.levels {
        let peers = Peers::start(level, &asked.redis, asked.threads);
        for &socket in &asked.sockets {
            for &load in &asked.loads {
                for &clients in &asked.clients {
                    for &depth in &asked.depths {
                        let (ratio, ours, theirs) = measure(&asked, &peers, socket, load, clients, depth);
                        let (level, socket, load) = (level.name(), socket.name(), load.name());
                        println!(
                            "{level:8} {socket:5} {load:5} {clients:7} {depth:5}  {ratio:6.2}  {ours:8.0}/s  {theirs:8.0}/s"
                        );
                    }
                }
            }
        }
    }
}

/// The median of the rounds' ratios, and of what each did in a second.
fn measure(asked: &Asked, peers: &Peers, socket: Socket, load: Load, clients: usize, depth: usize) -> (f64, f64, f64) {
    let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..asked.rounds {
        let run = |address| client::run(address, load, clients, depth, asked.time);
        // Neither is always the first.
        let (our, their) = if round % 2 == 0 {
            let our = run(peers.ours(socket));
            (our, run(peers.theirs(socket)))
        } else {
            let their = run(peers.theirs(socket));
            (run(peers.ours(socket)), their)
        };
        ratios.push(our / their);
        ours.push(our);
        theirs.push(their);
    }
    (median(ratios), median(ours), median(theirs))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn asked() -> Asked {
    let mut asked = Asked {
        rounds: 5,
        time: Duration::from_secs(1),
        levels: Vec::new(),
        clients: vec![1, 8, 50],
        depths: vec![1, 16, 100],
        loads: Vec::new(),
        sockets: Vec::new(),
        redis: "redis-server".to_owned(),
        threads: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(option) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{option} wants a value"));
        match option.as_str() {
            "--rounds" => asked.rounds = number(&value()),
            "--seconds" => asked.time = Duration::from_secs_f64(value().parse().expect("seconds")),
            "--level" => asked.levels.push(Level::named(&value())),
            "--clients" => asked.clients = value().split(',').map(number).collect(),
            "--depth" => asked.depths = value().split(',').map(number).collect(),
            "--load" => asked.loads.push(Load::named(&value())),
            "--unix" => asked.sockets.push(Socket::Unix),
            "--tcp" => asked.sockets.push(Socket::Tcp),
            "--redis" => asked.redis = value(),
            "--threads" => asked.threads = Some(number(&value())),
            _ => panic!("what is {option}?"),
        }
    }
    let all = |empty: bool| if empty { usize::MAX } else { 0 };
    asked.levels.extend(Level::ALL.into_iter().take(all(asked.levels.is_empty())));
    asked.loads.extend(Load::ALL.into_iter().take(all(asked.loads.is_empty())));
    asked.sockets.extend([Socket::Unix, Socket::Tcp].into_iter().take(all(asked.sockets.is_empty())));
    asked
}

fn number(word: &str) -> usize {
    word.parse().unwrap_or_else(|_| panic!("{word} is no number"))
}
