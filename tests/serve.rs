//! `streamlog serve`, run as a user runs it: where it listens, what it says when it cannot, how it ends.

#![cfg(all(unix, feature = "cli"))]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use streamlog::Broker;

/// An answer that takes longer never comes.
const ANSWER_MAX: Duration = Duration::from_secs(60);

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamlog"));
    command.arg("serve").arg(dir).args(args).env_remove("STREAMLOG_PASSWORD");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A server that has said where it listens.
struct Serving {
    program: Child,
    output: BufReader<ChildStdout>,
    line: String,
}

impl Serving {
    fn start(mut command: Command) -> Serving {
        let mut program = command.spawn().unwrap();
        let mut output = BufReader::new(program.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        Serving { program, output, line }
    }

    fn connect(&self) -> TcpStream {
        let address = self.line.split_whitespace().find(|word| word.starts_with("127.0.0.1:"));
        let stream = TcpStream::connect(address.expect("it says where it listens")).unwrap();
        stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
        stream
    }

    /// Sends it this signal; what it wrote until it ended well.
    fn end(mut self, signal: &str) -> (String, String) {
        let id = self.program.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let (mut out, mut err) = (String::new(), String::new());
        self.output.read_to_string(&mut out).unwrap();
        self.program.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let status = self.program.wait().unwrap();
        assert!(status.success(), "{status}: {err}");
        (out, err)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.program.kill().ok();
        self.program.wait().ok();
    }
}

/// Runs it, and expects it to fail; its one line on standard error.
fn fails(mut command: Command) -> String {
    let output = command.output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert_eq!(err.lines().count(), 1, "one line: {err}");
    err
}

fn ask(mut stream: impl Read + Write, line: &str) -> String {
    stream.write_all(format!("{line}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.strip_suffix("+OK\r\n").unwrap_or(&answer).to_owned()
}

#[test]
fn it_serves_until_it_is_told_to_end_and_then_closes_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, socket) = (directory.path().join("data"), directory.path().join("socket"));
    for (signal, id) in [("-TERM", "1-1"), ("-INT", "2-1")] {
        let args = ["--resp", "127.0.0.1:0", "--unix", socket.to_str().unwrap(), "--durability", "os"];
        let serving = Serving::start(command(&dir, &args));
        let start = format!("serving {} on 127.0.0.1:", dir.display());
        let end = format!(" {}\n", socket.display());
        assert!(serving.line.starts_with(&start) && serving.line.ends_with(&end), "{}", serving.line);
        assert_eq!(ask(serving.connect(), &format!("XADD orders {id} sku A1")), format!("$3\r\n{id}\r\n"));
        assert_eq!(ask(UnixStream::connect(&socket).unwrap(), "PING"), "+PONG\r\n");
        // Who waits for entries does not keep it.
        let mut waits = serving.connect();
        waits.write_all(b"PING\r\nXREAD BLOCK 0 STREAMS orders $\r\n").unwrap();
        waits.read_exact(&mut [0; 7]).unwrap();
        assert_eq!(serving.end(signal), (String::new(), String::new()));
        assert!(!socket.exists());
    }
    let broker = Broker::open(&dir).unwrap();
    assert_eq!(broker.stream("orders").unwrap().len().unwrap(), 2);
}

#[test]
fn a_socket_alone_is_no_address() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, socket) = (directory.path().join("data"), directory.path().join("socket"));
    let serving = Serving::start(command(&dir, &["--unix", socket.to_str().unwrap()]));
    assert_eq!(serving.line, format!("serving {} on {}\n", dir.display(), socket.display()));
    serving.end("-TERM");
}

#[test]
fn a_directory_that_is_open_and_an_address_that_is_taken_are_said_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, other) = (directory.path().join("data"), directory.path().join("other"));
    let serving = Serving::start(command(&dir, &["--resp", "127.0.0.1:0"]));
    let locked = fails(command(&dir, &["--resp", "127.0.0.1:0"]));
    assert!(locked.contains("has the directory open; stop the program that has it"), "{locked}");

    let taken = serving.connect().peer_addr().unwrap().to_string();
    let in_use = fails(command(&other, &["--resp", &taken]));
    assert!(in_use.contains(&taken) && in_use.contains("stop what listens there, or give another"), "{in_use}");
    let nowhere = fails(command(&other, &["--resp", "nonsense"]));
    assert!(nowhere.contains("nonsense"), "{nowhere}");
}

#[test]
fn a_password_comes_from_a_file_or_from_the_environment_and_opens_other_addresses() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, file) = (directory.path().join("data"), directory.path().join("password"));
    let refused = fails(command(&dir, &["--resp", "0.0.0.0:0"]));
    assert!(refused.contains("others can reach 0.0.0.0:0") && refused.contains("--password-file"), "{refused}");

    std::fs::write(&file, "from the file\nand not this\n").unwrap();
    let args = ["--resp", "127.0.0.1:0", "--resp", "0.0.0.0:0", "--password-file", file.to_str().unwrap()];
    let mut with_file = command(&dir, &args);
    with_file.env("STREAMLOG_PASSWORD", "not this");
    let mut with_variable = command(&dir, &["--resp", "127.0.0.1:0"]);
    with_variable.env("STREAMLOG_PASSWORD", "from the file");
    for command in [with_file, with_variable] {
        let serving = Serving::start(command);
        assert_eq!(ask(serving.connect(), "PING"), "-NOAUTH Authentication required.\r\n");
        assert!(ask(serving.connect(), "AUTH 'not this'").starts_with("-WRONGPASS "));
        assert_eq!(ask(serving.connect(), "AUTH 'from the file'"), "+OK\r\n");
        serving.end("-TERM");
    }

    std::fs::write(&file, "\n").unwrap();
    let empty = fails(command(&dir, &args));
    assert!(empty.contains("there is no password in the first line of"), "{empty}");
    std::fs::remove_file(&file).unwrap();
    let missing = fails(command(&dir, &args));
    assert!(missing.contains("reading the password in"), "{missing}");
}

/// A few hundred connections of strangers, who need no password to connect, took all the files that a process may have open, and
/// the broker could not begin a segment or a journal file: every write was refused as long as they stayed.
#[cfg(target_os = "linux")]
#[test]
fn connections_leave_the_broker_the_files_that_it_needs() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("data");
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 256; exec \"$0\" serve \"$1\" --resp 127.0.0.1:0", env!("CARGO_BIN_EXE_streamlog")]);
    limited.arg(&dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let serving = Serving::start(limited);
    let mut client = serving.connect();
    client.write_all(b"PING\r\n").unwrap();
    client.read_exact(&mut [0; 7]).unwrap();
    let mut refused = 0;
    let others: Vec<_> = (0..300).map(|_| serving.connect()).collect();
    for mut other in &others {
        other.write_all(b"PING\r\n").unwrap();
        let mut answer = String::new();
        let mut bytes = [0; 7];
        if other.read_exact(&mut bytes).is_err() || &bytes != b"+PONG\r\n" {
            other.read_to_string(&mut answer).ok();
            refused += 1;
        }
    }
    assert!((100..300).contains(&refused), "{refused} of 300");
    let mut value = "x".repeat(100_000);
    value.push_str("\r\n");
    for stream in 0..200 {
        let add = format!("*5\r\n$4\r\nXADD\r\n$3\r\n{stream:03}\r\n$3\r\n1-1\r\n$1\r\nf\r\n$100000\r\n{value}");
        client.write_all(add.as_bytes()).unwrap();
        let mut answer = [0; 9];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(std::str::from_utf8(&answer), Ok("$3\r\n1-1\r\n"));
    }
}
