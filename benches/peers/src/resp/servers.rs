//! The servers: started, asked where they listen, killed. Knows no load.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use streamlog::Broker;
use streamlog::resp::Server;

use super::client::{Address, Client, Reply};
use crate::common::Scratch;
use crate::level::Level;

/// How long a server may take to load what it has.
const START_MAX: Duration = Duration::from_secs(600);
const START_STEP: Duration = Duration::from_micros(500);

/// A server on a socket in a directory of its own, until it is dropped: then it is killed.
pub(crate) struct Running {
    child: Child,
    port: u16,
    /// The path of a socket must be short, and so it is not beside what the server writes.
    sockets: Scratch,
}

const SOCKET: &str = "server.sock";

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// `redis-server` with an append-only file in a directory; returns when it has loaded it.
    pub(crate) fn redis(redis: &str, directory: &Path, level: Level) -> Running {
        fs::create_dir_all(directory).expect("a directory");
        let sockets = Scratch::new(&std::env::temp_dir());
        let socket = sockets.join(SOCKET);
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let child = Command::new(redis)
            .current_dir(directory)
            .args(["--port", &port.to_string(), "--unixsocket", socket.to_str().expect("UTF-8"), "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", level.appendfsync(), "--auto-aof-rewrite-percentage", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{redis} does not start: {error}"));
        let running = Running { child, port, sockets };
        running.wait_until_loaded();
        running
    }

    /// streamlog's server in a process of its own: this program, asked to [`serve`].
    pub(crate) fn ours(directory: &Path, level: Level, threads: Option<usize>) -> Running {
        let sockets = Scratch::new(&std::env::temp_dir());
        let socket = sockets.join(SOCKET);
        let threads = threads.map_or(String::new(), |threads| threads.to_string());
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg("serve")
            .args([directory, &socket])
            .args([level.name(), &threads])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a port");
        Running { child, port: line.trim().parse().expect("a port"), sockets }
    }

    pub(crate) fn unix(&self) -> Address {
        Address::Unix(self.sockets.join(SOCKET))
    }

    pub(crate) fn tcp(&self) -> Address {
        Address::Tcp(self.port)
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has: a Redis.
    pub(crate) fn stop(mut self) {
        Client::connect(&self.unix()).send(b"SHUTDOWN NOSAVE\r\n");
        self.child.wait().expect("it ends");
    }

    /// It listens before it has loaded its file, and refuses meanwhile.
    fn wait_until_loaded(&self) {
        let socket = self.sockets.join(SOCKET);
        for _ in 0..START_MAX.as_micros() / START_STEP.as_micros() {
            if UnixStream::connect(&socket).is_ok() {
                let mut client = Client::connect(&self.unix());
                client.send(b"PING\r\n");
                if let Reply::Other(line) = client.any_reply()
                    && line == "+PONG"
                {
                    return;
                }
            }
            thread::sleep(START_STEP);
        }
        panic!("the server does not answer");
    }
}

/// What the child does that is our server: says its port, and serves until it is killed.
pub(crate) fn serve(mut words: impl Iterator<Item = String>) {
    let mut word = || words.next().expect("a word");
    let (directory, socket, level, threads) = (word(), word(), Level::named(&word()), word());
    let broker = Broker::builder().durability(level.durability()).open(directory).expect("it opens");
    let mut server = Server::builder(&broker).bind("127.0.0.1:0").bind_unix(socket);
    if !threads.is_empty() {
        server = server.threads(threads.parse().expect("a number"));
    }
    let server = server.start().expect("it listens");
    println!("{}", server.local_addr().expect("bound").port());
    std::io::stdout().flush().expect("the parent reads it");
    server.wait();
}
