//! This program in a process of its own: its memory is nothing else's, its bytes are nobody else's, and it can be killed. A child
//! does one thing, says what it measured in a line of JSON, and waits to be killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::asked::{Asked, noise};
use crate::level::Level;
use crate::systems::{Setting, Subject};
use crate::{disk, open, pending};

/// What a child is asked to do.
pub(crate) struct Errand {
    pub(crate) subject: Subject,
    pub(crate) level: Level,
    pub(crate) directory: PathBuf,
    pub(crate) redis: String,
    pub(crate) payload: Vec<u8>,
    /// What the errand says they are.
    pub(crate) numbers: [u64; 2],
}

impl Errand {
    pub(crate) fn setting(&self) -> Setting<'_> {
        Setting { directory: &self.directory, level: self.level, redis: &self.redis }
    }
}

/// Has a child do what is called so; kills it when it has said what it measured.
pub(crate) fn send(
    asked: &Asked,
    name: &str,
    subject: Subject,
    level: Level,
    directory: &Path,
    numbers: [u64; 2],
) -> Value {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["child", name, subject.name(), level.name(), directory.to_str().expect("UTF-8"), &asked.redis])
        .arg(asked.payload.len().to_string())
        .args(numbers.map(|number| number.to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    child.kill().expect("it waits to be killed");
    child.wait().expect("it was killed");
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("{name} of {} did not end well", subject.name()))
}

/// What this process does if it is a child.
pub(crate) fn run(mut words: impl Iterator<Item = String>) {
    let mut word = || words.next().expect("a word");
    let name = word();
    let errand = Errand {
        subject: Subject::named(&word()),
        level: Level::named(&word()),
        directory: word().into(),
        redis: word(),
        payload: noise(word().parse().expect("a number")),
        numbers: [word(), word()].map(|word| word.parse().expect("a number")),
    };
    let measured = match name.as_str() {
        "open-fill" => open::fill(&errand),
        "open" => open::open(&errand),
        "pending-fill" => pending::fill(&errand),
        "pending" => pending::deliver(&errand),
        "disk" => disk::work(&errand),
        _ => panic!("what is {name}?"),
    };
    println!("{measured}");
    std::io::stdout().flush().expect("the parent reads it");
    // Or until the parent is no more.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// The memory that a process has in use, in bytes.
pub(crate) fn resident_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux tells it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}
