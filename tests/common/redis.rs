//! A `redis-server` of a test's own, on a socket of its own.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::answer::Answer;
use super::wire::{ANSWER_MAX, Wire};

const SOCKET: &str = "socket";

pub(crate) struct Redis {
    server: Child,
    wire: Wire<UnixStream>,
    dir: tempfile::TempDir,
}

impl Redis {
    /// A server; `None`, said aloud, if there is no such program.
    ///
    /// # Panics
    ///
    /// If there is none and `STREAMLOG_REQUIRE_REDIS` is set.
    pub(crate) fn start_or_skip(test: &str) -> Option<Redis> {
        let redis = Redis::start();
        if redis.is_none() {
            assert!(
                std::env::var_os("STREAMLOG_REQUIRE_REDIS").is_none(),
                "there is no redis-server, and it is required"
            );
            // Not by `eprintln!`, which a test that passes keeps to itself.
            let notice = format!("SKIPPED {test}: there is no redis-server\n");
            std::io::stderr().write_all(notice.as_bytes()).unwrap();
        }
        redis
    }

    fn start() -> Option<Redis> {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join(SOCKET);
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&socket);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let connection = (0..500).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            UnixStream::connect(&socket).ok()
        });
        let connection = connection.expect("the server listens");
        connection.set_read_timeout(Some(ANSWER_MAX)).unwrap();
        Some(Redis { server, wire: Wire::new(connection), dir })
    }

    pub(crate) fn call(&mut self, words: &[Vec<u8>]) -> Answer {
        self.wire.call(words)
    }

    /// Sends all these commands at once.
    pub(crate) fn call_all(&mut self, commands: &[Vec<Vec<u8>>]) -> Vec<Answer> {
        self.wire.call_all(commands)
    }

    /// A connection of its own.
    pub(crate) fn connect(&self) -> Wire<UnixStream> {
        Wire::new(self.socket())
    }

    /// A connection of its own, for bytes.
    pub(crate) fn socket(&self) -> UnixStream {
        let connection = UnixStream::connect(self.dir.path().join(SOCKET)).unwrap();
        connection.set_read_timeout(Some(ANSWER_MAX)).unwrap();
        connection
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
