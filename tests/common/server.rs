//! Our server: the program, as a user starts it, on a free port and with a directory of a test's own.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::wire::Wire;

/// How long the server may take to open its directory, or to end, before something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(120);

/// `streamlog serve`. Killed, if it still runs, when the value is dropped.
pub(crate) struct Server {
    program: Child,
    /// Host and port.
    pub(crate) address: String,
}

impl Server {
    /// Serves this directory on a free port.
    pub(crate) fn start(dir: &Path, durability: &str) -> Server {
        Server::start_at(dir, "127.0.0.1:0", durability)
    }

    /// Serves this directory at this address.
    ///
    /// # Panics
    ///
    /// If the server does not come up.
    pub(crate) fn start_at(dir: &Path, address: &str, durability: &str) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamlog"));
        command.arg("serve").arg(dir).args(["--resp", address, "--durability", durability]);
        let mut program = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let address = listens_at(program.stdout.take().unwrap());
        Server { program, address }
    }

    pub(crate) fn connect(&self) -> Wire<TcpStream> {
        Wire::connect(&self.address).unwrap()
    }

    /// As a power button does it, or the kernel when memory runs out.
    pub(crate) fn kill(mut self) {
        self.program.kill().unwrap();
        self.program.wait().unwrap();
    }

    /// As an operator does it.
    ///
    /// # Panics
    ///
    /// If it does not end, or not well.
    pub(crate) fn stop(mut self) {
        let id = self.program.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.program.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "the server does not end");
            thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "the server ended with {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.program.kill().ok();
        self.program.wait().ok();
    }
}

/// Where the server says it listens; what else it says is read and dropped, so that it never waits for a reader.
fn listens_at(output: ChildStdout) -> String {
    let mut output = BufReader::new(output);
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.split_whitespace().find(|word| word.starts_with("127.0.0.1:"));
    let address = address.unwrap_or_else(|| panic!("the server says where it listens, not {line:?}")).to_owned();
    thread::spawn(move || drop(output.read_to_end(&mut Vec::new())));
    address
}
