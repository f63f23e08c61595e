//! The two servers: started, asked where they listen, stopped. Knows no load.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use streamlog::resp::Server;
use streamlog::{Broker, Durability};
use tempfile::TempDir;

/// What an answer promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Os,
    Interval,
    Always,
}

impl Level {
    pub(crate) const ALL: [Level; 3] = [Level::Os, Level::Interval, Level::Always];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Level::Os => "os",
            Level::Interval => "interval",
            Level::Always => "always",
        }
    }

    pub(crate) fn named(name: &str) -> Level {
        Level::ALL.into_iter().find(|level| level.name() == name).unwrap_or_else(|| panic!("{name} is no level"))
    }

    fn of_redis(self) -> &'static str {
        match self {
            Level::Os => "no",
            Level::Interval => "everysec",
            Level::Always => "always",
        }
    }
}

/// By which kind of socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Socket {
    Unix,
    Tcp,
}

impl Socket {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Socket::Unix => "unix",
            Socket::Tcp => "tcp",
        }
    }
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Unix(PathBuf),
    Tcp(u16),
}

/// Both servers, until dropped.
pub(crate) struct Peers {
    ours: Running,
    theirs: Running,
    directory: TempDir,
}

struct Running {
    child: Child,
    port: u16,
    socket: &'static str,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peers {
    pub(crate) fn start(level: Level, redis: &str, threads: Option<usize>) -> Peers {
        let directory = TempDir::new().expect("a directory");
        let threads = threads.map_or(String::new(), |threads| threads.to_string());
        let this = std::env::current_exe().expect("this program");
        let mut child = Command::new(this)
            .args(["serve", directory.path().to_str().expect("UTF-8"), level.name(), &threads])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a port");
        let port = line.trim().parse().expect("a port");
        let ours = Running { child, port, socket: "streamlog.sock" };

        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let theirs = directory.path().join("redis");
        std::fs::create_dir(&theirs).expect("a directory");
        let child = Command::new(redis)
            .current_dir(&theirs)
            .args(["--port", &port.to_string(), "--unixsocket", "../redis.sock", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", level.of_redis(), "--auto-aof-rewrite-percentage", "0"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{redis} does not start: {error}"));
        let theirs = Running { child, port, socket: "redis.sock" };
        let peers = Peers { ours, theirs, directory };
        for _ in 0..500 {
            if UnixStream::connect(peers.directory.path().join(peers.theirs.socket)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        TcpStream::connect(("127.0.0.1", port)).expect("redis-server listens by now");
        peers
    }

    pub(crate) fn ours(&self, socket: Socket) -> Address {
        self.address(&self.ours, socket)
    }

    pub(crate) fn theirs(&self, socket: Socket) -> Address {
        self.address(&self.theirs, socket)
    }

    fn address(&self, running: &Running, socket: Socket) -> Address {
        match socket {
            Socket::Unix => Address::Unix(self.directory.path().join(running.socket)),
            Socket::Tcp => Address::Tcp(running.port),
        }
    }
}

/// What the child does that is our server: says its port, and serves until it is killed.
pub(crate) fn serve(directory: &str, mut words: impl Iterator<Item = String>) {
    let durability = match Level::named(&words.next().expect("a level")) {
        Level::Os => Durability::Os,
        Level::Interval => Durability::Interval(Duration::from_secs(1)),
        Level::Always => Durability::Always,
    };
    let broker = Broker::builder().durability(durability).open(format!("{directory}/streamlog")).expect("it opens");
    let mut server = Server::builder(&broker).bind("127.0.0.1:0").bind_unix(format!("{directory}/streamlog.sock"));
    if let Some(threads) = words.next().filter(|threads| !threads.is_empty()) {
        server = server.threads(threads.parse().expect("a number"));
    }
    let server = server.start().expect("it listens");
    println!("{}", server.local_addr().expect("bound").port());
    std::io::stdout().flush().expect("the parent reads it");
    server.wait();
}
