//! What is said over a socket: our server, as a user starts it, asked by a client that counts every byte.
//!
//! `transcripts` and `differential` compare what it says with Redis; `kill` stops it while it works; `load` has many ask at once.
#![cfg(all(unix, feature = "cli"))]

#[path = "../common/answer.rs"]
#[allow(dead_code, reason = "no broker is asked")]
mod answer;
#[path = "../common/ask.rs"]
mod ask;
mod clients;
#[path = "../common/compare.rs"]
mod compare;
mod differential;
mod kill;
#[path = "../common/known.rs"]
mod known;
mod load;
#[path = "../common/process.rs"]
#[allow(dead_code, reason = "the server is the child, and says nothing")]
mod process;
#[path = "../common/recorded.rs"]
mod recorded;
#[path = "../common/redis.rs"]
#[allow(dead_code, reason = "each connection is a test's own")]
mod redis;
#[path = "../common/server.rs"]
mod server;
mod transcripts;
#[path = "../common/wire.rs"]
mod wire;

use std::io::{Read, Write};

use wire::Wire;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Resp2,
    Resp3,
}

impl Protocol {
    /// Has everything after this said so.
    fn agree(self, wire: &mut Wire<impl Read + Write>) {
        if self == Protocol::Resp3 {
            wire.speak_resp3();
        }
    }
}
