//! A `redis-server` of a test's own, on a socket of its own: Debian's, or whatever program `STREAMLOG_REDIS_SERVER` names.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::answer::Answer;

/// An answer that takes longer never comes.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Major and minor.
pub(crate) type Version = (u32, u32);

pub(crate) struct Redis {
    pub(crate) version: Version,
    server: Child,
    lines: BufReader<UnixStream>,
    _dir: tempfile::TempDir,
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
        let socket = dir.path().join("socket");
        let program = std::env::var_os("STREAMLOG_REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        let mut command = Command::new(program);
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&socket);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let connection = (0..500).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            UnixStream::connect(&socket).ok()
        });
        let connection = connection.expect("the server listens");
        connection.set_read_timeout(Some(ANSWER_MAX)).unwrap();
        let mut redis = Redis { version: (0, 0), server, lines: BufReader::new(connection), _dir: dir };
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
        self.call_all(&[words.to_vec()]).remove(0)
    }

    /// Sends all these commands at once.
    pub(crate) fn call_all(&mut self, commands: &[Vec<Vec<u8>>]) -> Vec<Answer> {
        let mut bytes = Vec::new();
        for words in commands {
            bytes.extend(format!("*{}\r\n", words.len()).into_bytes());
            for word in words {
                bytes.extend(format!("${}\r\n", word.len()).into_bytes());
                bytes.extend(word);
                bytes.extend(b"\r\n");
            }
        }
        self.lines.get_mut().write_all(&bytes).unwrap();
        commands.iter().map(|_| self.answer()).collect()
    }

    fn answer(&mut self) -> Answer {
        let mut line = Vec::new();
        self.lines.read_until(b'\n', &mut line).unwrap();
        let line = String::from_utf8_lossy(&line);
        let (kind, rest) = line.trim_end_matches("\r\n").split_at(1);
        let len = || rest.parse::<i64>().unwrap();
        match kind {
            "+" => Answer::Status(rest.to_owned()),
            "-" => Answer::Error(rest.to_owned()),
            ":" => Answer::Int(len()),
            "*" | "$" if len() < 0 => Answer::Null,
            "*" => Answer::Array((0..len()).map(|_| self.answer()).collect()),
            "$" => {
                let mut bytes = vec![0; usize::try_from(len()).unwrap() + 2];
                self.lines.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                Answer::Text(bytes)
            }
            _ => panic!("an answer begins with {line:?}"),
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
