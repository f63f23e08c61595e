//! A `redis-server` of a test's own, on a socket of its own: Debian's, or whatever program `STREAMLOG_REDIS_SERVER` names.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::answer::Answer;
use super::wire::{ANSWER_MAX, Wire};

const SOCKET: &str = "socket";

/// Major and minor.
pub(crate) type Version = (u32, u32);

pub(crate) struct Redis {
    pub(crate) version: Version,
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
        let program = std::env::var_os("STREAMLOG_REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        let mut command = Command::new(program);
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&socket);
        // Whatever it is told to write, it writes there.
        command.arg("--dir").arg(dir.path());
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let connection = (0..500).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            UnixStream::connect(&socket).ok()
        });
        let connection = connection.expect("the server listens");
        connection.set_read_timeout(Some(ANSWER_MAX)).unwrap();
        let mut redis = Redis { version: (0, 0), server, wire: Wire::new(connection), dir };
        redis.version = redis.asked_version();
        Some(redis)
    }

    fn asked_version(&mut self) -> Version {
        let Answer::Text(info) = self.call(&[b"INFO".to_vec(), b"server".to_vec()]) else { panic!("INFO is a text") };
        let info = String::from_utf8(info).unwrap();
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).expect("it has a version");
        let mut numbers = version.split('.').map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
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
