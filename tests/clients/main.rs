//! Clients that people have: each does, on our server, what its users do. Groups, reads that wait and are woken by another connection,
//! claims, transactions, pipelines, both protocols, and going on after the server was restarted. What each does is in `tests/clients`.
//!
//! A client that is not installed is skipped, visibly, unless `STREAMLOG_REQUIRE_CLIENTS` is set. `.ci/run` has them installed in
//! `target/clients`; `STREAMLOG_CLIENTS` names another directory.
#![cfg(all(unix, feature = "cli"))]

#[path = "../common/answer.rs"]
#[allow(dead_code, reason = "the clients read for themselves")]
mod answer;
#[path = "../common/server.rs"]
#[allow(dead_code, reason = "nobody is killed")]
mod server;
#[path = "../common/wire.rs"]
#[allow(dead_code, reason = "the clients have connections of their own")]
mod wire;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use server::Server;

#[test]
fn redis_cli_works() {
    if is_there("redis_cli_works", "redis-cli", Path::new("/usr/bin/redis-cli")) {
        works(Command::new("bash").arg(scripts().join("redis_cli.sh")));
    }
}

#[test]
fn redis_py_works() {
    let python = installed().join("python/bin/python");
    if is_there("redis_py_works", "redis-py", &python) {
        works(Command::new(python).arg(scripts().join("python/check.py")));
    }
}

#[test]
fn node_redis_works() {
    node("node_redis_works", "redis", "node_redis.mjs");
}

#[test]
fn ioredis_works() {
    node("ioredis_works", "ioredis", "ioredis.mjs");
}

#[test]
fn redis_rs_works() {
    let program = installed().join("redis_rs/debug/streamlog-redis-rs");
    if is_there("redis_rs_works", "redis-rs", &program) {
        works(&mut Command::new(program));
    }
}

/// A script finds its modules in the directory that it is in.
fn node(test: &str, module: &str, script: &str) {
    let place = installed().join("node");
    if !is_there(test, module, &place.join("node_modules").join(module)) {
        return;
    }
    let place = tempfile::tempdir_in(place).unwrap();
    for file in ["common.mjs", script] {
        fs::copy(scripts().join("node").join(file), place.path().join(file)).unwrap();
    }
    works(Command::new("node").arg(place.path().join(script)));
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Where `.ci/run` has the clients installed.
fn installed() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients");
    std::env::var_os("STREAMLOG_CLIENTS").map_or_else(default, PathBuf::from)
}

/// Whether the client is installed; if not, this is said aloud.
///
/// # Panics
///
/// If it is not and `STREAMLOG_REQUIRE_CLIENTS` is set.
fn is_there(test: &str, client: &str, path: &Path) -> bool {
    let is_there = path.exists();
    if !is_there {
        assert!(std::env::var_os("STREAMLOG_REQUIRE_CLIENTS").is_none(), "there is no {client}, and it is required");
        // Not by `eprintln!`, which a test that passes keeps to itself.
        let notice = format!("SKIPPED {test}: there is no {client}\n");
        std::io::stderr().write_all(notice.as_bytes()).unwrap();
    }
    is_there
}

/// Has a client do all it does, on a server of its own, which is restarted when the client says so.
fn works(client: &mut Command) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut server = Server::start(&data, "os");
    let address = server.address.clone();
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut running = client.args([host, port]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = running.stdin.take().unwrap();
    let mut last = String::new();
    for line in BufReader::new(running.stdout.take().unwrap()).lines() {
        last = line.unwrap();
        if last == "restart" {
            server.stop();
            server = Server::start_at(&data, &address, "os");
            writeln!(input, "restarted").unwrap();
        }
    }
    let status = running.wait().unwrap();
    assert!(status.success() && last == "all is well", "{client:?} ended with {status} after it said {last:?}");
    server.stop();
}
