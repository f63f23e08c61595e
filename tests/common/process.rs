//! A child process at work on a directory, for tests that stop it: what such a test and its child share.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use streamlog::{Builder, Durability, Id};

/// One test at a time: a process that is being started has for a moment whatever this one has open, the lock of a
/// directory included, that another test has just let go.
static TURN: Mutex<()> = Mutex::new(());

/// The turn of one test, while the value is there.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a child may take to open the directory before something is wrong with it.
pub(crate) const OPENING_MAX: Duration = Duration::from_secs(120);

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

pub(crate) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// The seed of this run, which it tells.
pub(crate) fn seed(level: &str) -> u64 {
    let seed = number("STREAMLOG_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("{level}: STREAMLOG_SEED={seed}");
    seed
}

/// The bytes of the value beside a key: they follow from it.
pub(crate) fn value(key: &str) -> Vec<u8> {
    let mut random = Random::new(key.bytes().fold(0, |hash: u64, byte| hash.wrapping_mul(31) + u64::from(byte)));
    let len = if random.below(60) == 0 { random.below(40_000) } else { random.below(200) };
    (0..len).map(|_| random.next() as u8).collect()
}

pub(crate) fn durability(level: &str) -> Durability {
    match level {
        "always" => Durability::Always,
        "interval" => Durability::Interval(Duration::from_millis(3)),
        _ => Durability::Os,
    }
}

/// Small files, so that much happens between two ends.
pub(crate) fn small_files(builder: Builder) -> Builder {
    builder
        .segment_bytes(16 << 10)
        .journal_file_bytes(64 << 10)
        .checkpoint_bytes(200 << 10)
        .tail_bytes(64 << 10)
        .cache_bytes(64 << 10)
        .open_files_max(4)
}

/// This program, to run one of its tests alone.
pub(crate) fn command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// In the child: ends with whoever started it, and ends the line that the test harness has begun.
pub(crate) fn begin_child() {
    thread::spawn(|| {
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        std::process::exit(1);
    });
    say("");
}

pub(crate) fn say(line: &str) {
    // One write of a whole line: the lines of threads do not mix. If nobody listens any more, the end is near.
    drop(std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()));
}

/// Words to go on a line, each behind a blank.
pub(crate) fn words(words: impl Iterator<Item = String>) -> String {
    words.flat_map(|word| [" ".to_owned(), word]).collect()
}

pub(crate) fn list(ids: &[Id]) -> String {
    words(ids.iter().map(ToString::to_string))
}

pub(crate) fn parse_ids(words: &[&str]) -> Vec<Id> {
    words.iter().map(|word| word.parse().unwrap()).collect()
}

/// The child's whole lines, as they come; `each` sees them first.
pub(crate) fn read_lines(child: &mut Child, each: impl Fn(&str) + Send + 'static) -> Receiver<String> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        // A line without an end was cut by the kill.
        while output.read_line(&mut line).is_ok_and(|_| line.ends_with('\n')) {
            each(&line);
            sender.send(line.trim_end().to_owned()).unwrap();
            line.clear();
        }
    });
    lines
}

/// Waits for a moment at which the child is to be stopped; returns what it has said so far. Most often it has begun to
/// work; else it may be opening the directory.
pub(crate) fn wait_for_the_moment(lines: &Receiver<String>, random: &mut Random) -> Vec<String> {
    let mut seen = Vec::new();
    if random.below(4) > 0 {
        loop {
            let line = lines.recv_timeout(OPENING_MAX).expect("the child opens the directory");
            let open = line == "open" || line.starts_with('!');
            seen.push(line);
            if open {
                break;
            }
        }
    }
    thread::sleep(Duration::from_micros(random.below(60_000)));
    seen
}
