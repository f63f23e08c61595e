//! The server inside a process, asked by sockets: what it does with bytes that come in any pieces, with those that are no requests,
//! with clients that are too many, too slow or gone, and how it ends.
//!
//! What commands answer is not looked at here: `tests/wire` compares that with Redis.
#![cfg(all(unix, feature = "resp"))]

mod against_redis;
#[path = "../common/answer.rs"]
#[allow(dead_code, reason = "no broker is asked")]
mod answer;
mod apart;
mod blocked;
mod durable;
mod ends;
mod hostile;
mod large;
mod limits;
mod many;
mod pieces;
mod places;
#[path = "../common/redis.rs"]
#[allow(dead_code, reason = "each connection is a test's own")]
mod redis;
#[path = "../common/wire.rs"]
#[allow(dead_code, reason = "bytes are mostly sent as they are")]
mod wire;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use streamlog::Broker;
use streamlog::resp::{Builder, Server};

use crate::answer::Answer;
use crate::wire::Wire;

/// Whatever takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server and the broker that it serves.
struct Served {
    server: Server,
    broker: Broker,
}

/// Serves a broker in memory.
fn serve() -> Served {
    serve_with(|builder| builder)
}

/// Serves a broker in memory, with such options.
fn serve_with(options: impl FnOnce(Builder) -> Builder) -> Served {
    serve_broker(Broker::in_memory().unwrap(), options)
}

fn serve_broker(broker: Broker, options: impl FnOnce(Builder) -> Builder) -> Served {
    let server = options(Server::builder(&broker).bind("127.0.0.1:0")).start().unwrap();
    Served { server, broker }
}

impl Served {
    fn address(&self) -> String {
        self.server.local_addr().unwrap().to_string()
    }

    /// A connection for bytes.
    fn raw(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A connection for commands.
    fn connect(&self) -> Wire<TcpStream> {
        Wire::connect(&self.address()).unwrap()
    }

    fn call(&self, line: &str) -> Answer {
        call(&mut self.connect(), line)
    }

    /// All that is answered to these bytes.
    fn converse(&self, bytes: &[u8]) -> String {
        let mut stream = self.raw();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_all(&mut stream)
    }

    /// Waits until so many clients wait for entries.
    fn wait_until_blocked(&self, clients: usize) {
        let line = format!("\r\nblocked_clients:{clients}\r\n");
        self.wait_for("INFO clients", |answer| matches!(answer, Answer::Text(text) if shown(text).contains(&line)));
    }

    /// Waits until the command is answered so.
    fn wait_for(&self, line: &str, is: impl Fn(&Answer) -> bool) {
        let (began, mut client) = (Instant::now(), self.connect());
        loop {
            let answer = call(&mut client, line);
            if is(&answer) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{line}: {answer:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Sends words, between blanks.
fn call(client: &mut Wire<impl Read + Write>, line: &str) -> Answer {
    client.call(&line.split(' ').collect::<Vec<_>>())
}

/// All that comes until the other end closes.
fn read_all(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    shown(&bytes)
}

/// The next bytes, which are these.
fn expect(stream: &mut impl Read, bytes: &str) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(shown(&got), bytes);
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Numbers that look random and are the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}
