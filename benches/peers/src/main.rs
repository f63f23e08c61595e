//! streamlog beside its peers: `cargo run --release` here measures all, prints the tables of the README, and writes
//! `target/peers/figures.json`; `--help` has the options.
//!
//! Each peer has the best settings that promise what streamlog's do in that row, and only rows it can do: a log that knows no consumers
//! does not get them written for it. Each is measured beside streamlog in short turns, for the disk drifts: only the ratios of one
//! run count.
//!
//! ```text
//! rows      what is done, on any system          systems   the systems, and what their settings promise
//! speed     the rows, in turns: the large table  resp      the servers under load
//! open      opening after a kill                 pending   memory of pending entries
//! disk      bytes to the disk                    child     this program as a process that can be measured, and killed
//! ```

mod asked;
mod child;
#[path = "../../common/mod.rs"]
mod common;
mod disk;
mod level;
mod open;
mod pending;
mod resp;
mod rows;
mod speed;
mod system;
mod systems;

use serde_json::json;

use crate::asked::{Asked, Other, target};
use crate::common::{Machine, said, write_json};

fn main() {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("child") => child::run(words),
        Some("serve") => resp::servers::serve(words),
        _ => measure(&Asked::of_process()),
    }
}

fn measure(asked: &Asked) {
    let machine = machine(asked);
    println!("{machine}; messages of {} bytes\n", asked.payload.len());
    let mut figures = json!({
        "machine": machine.json(),
        "payload_bytes": asked.payload.len(),
        "rounds": asked.rounds,
        "seconds": asked.time.as_secs_f64(),
    });
    figures["speed"] = speed::run(asked);
    for &other in &asked.others {
        match other {
            Other::Resp => figures["resp"] = resp::run(asked),
            Other::Open => figures["open"] = open::run(asked),
            Other::Pending => figures["pending"] = pending::run(asked),
            Other::Disk => figures["disk"] = disk::run(asked),
        }
    }
    write_json(&target().join("peers/figures.json"), &figures);
}

fn machine(asked: &Asked) -> Machine {
    let lock = include_str!("../Cargo.lock");
    let version = |name: &str| {
        let package = lock.split("[[package]]").find(|package| package.contains(&format!("name = \"{name}\"\n")));
        let line = package.and_then(|package| package.lines().find_map(|line| line.strip_prefix("version = ")));
        line.map_or("unknown", |version| version.trim_matches('"')).to_owned()
    };
    let crates = ["streamlog", "commitlog", "okaywal", "fjall", "raft-engine", "yaque", "rusqlite"];
    let machine =
        crates.into_iter().fold(Machine::look(&asked.directory), |machine, name| machine.with(name, version(name)));
    let redis = said(&asked.redis, "--version");
    let redis = redis.split(' ').find_map(|word| word.strip_prefix("v=")).unwrap_or("unknown").to_owned();
    machine.with("SQLite", rusqlite::version()).with("Redis", redis)
}
