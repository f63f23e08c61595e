//! A step of a point in a process of its own: started, listened to and, where that is the point, killed.
//!
//! The process is this program with the words `step CURVE STEP SIZE DIRECTORY`. It tells its figures in lines, and says
//! [`READY`] when it may be killed.

use std::io::{BufRead, BufReader, Stdout, Write, stdout};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::curve::Curve;
use super::figure::{Bound, Figure, Unit};
use super::life::Step;

const STEP: &str = "step";
const READY: &str = "ready";

/// Where a step tells what it found.
pub(crate) struct Teller {
    out: Stdout,
}

impl Teller {
    pub(crate) fn seconds(&mut self, name: &str, bound: Bound, value: f64) {
        self.tell(name, Unit::Seconds, bound, value);
    }

    pub(crate) fn per_second(&mut self, name: &str, bound: Bound, value: f64) {
        self.tell(name, Unit::PerSecond, bound, value);
    }

    /// The resident memory now.
    pub(crate) fn memory(&mut self, name: &str) {
        self.tell(name, Unit::Bytes, Bound::None, resident_bytes() as f64);
    }

    pub(crate) fn ready(&mut self) {
        self.line(READY);
    }

    fn tell(&mut self, name: &str, unit: Unit, bound: Bound, value: f64) {
        self.line(&Figure { name: name.to_owned(), unit, bound, value }.line());
    }

    fn line(&mut self, line: &str) {
        writeln!(self.out, "{line}").and_then(|()| self.out.flush()).expect("somebody listens");
    }
}

/// Runs a step if this process was started for one; returns whether it was.
pub(crate) fn run(curves: &[&Curve]) -> bool {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [word, curve, step, size, directory] = &words[..] else { return false };
    if word != STEP {
        return false;
    }
    let curve = curves.iter().find(|known| known.name == curve).expect("a curve");
    let step = Step::ALL.into_iter().find(|known| known.word() == step).expect("a step");
    step.run(curve, size.parse().expect("a size"), Path::new(directory), &mut Teller { out: stdout() });
    true
}

/// Has a step done; returns what it found.
pub(crate) fn done(curve: &Curve, step: Step, size: u64, directory: &Path) -> Vec<Figure> {
    let mut child = start(curve, step, size, directory);
    let figures = lines(&mut child).filter_map(|line| Figure::of_line(&line)).collect();
    let status = child.wait().expect("the step ends");
    assert!(status.success(), "{} of {} at {size}: {status}", step.word(), curve.name);
    figures
}

/// Has a step begun, and kills it (`SIGKILL`) in the middle of its work.
pub(crate) fn killed(curve: &Curve, step: Step, size: u64, directory: &Path) {
    let mut child = start(curve, step, size, directory);
    let ready = lines(&mut child).any(|line| line == READY);
    assert!(ready, "{} of {} at {size} ended by itself", step.word(), curve.name);
    std::thread::sleep(Duration::from_millis(20));
    child.kill().expect("it is killed");
    child.wait().expect("it is dead");
}

fn start(curve: &Curve, step: Step, size: u64, directory: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args([STEP, curve.name, step.word(), &size.to_string()])
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process for a step")
}

fn lines(child: &mut Child) -> impl Iterator<Item = String> {
    BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok)
}

/// What this process has in memory; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
