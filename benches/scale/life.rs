//! The life of a directory at one size: filled and closed; opened and used; at work when it is killed; opened after that.
//!
//! Opening is timed until an entry was read and another added, for what opening leaves for the first touch is part of it.

use std::path::Path;
use std::time::{Duration, Instant};

use streamlog::{Broker, Builder, Durability};

use super::child::{self, Teller};
use super::common::median;
use super::curve::Curve;
use super::figure::{Bound, Figure, Unit};

/// Openings of one directory, of which the middle one counts.
const OPENINGS: usize = 5;

/// Every entry's: with its name and lengths some 105 bytes.
pub(crate) const ENTRY: [(&str, [u8; 100]); 1] = [("data", [b'x'; 100])];

/// The stream that every directory has, and its group.
pub(crate) const STREAM: &str = "orders";
pub(crate) const GROUP: &str = "billing";

/// What the process before a kill is sure to have done since it opened: the same at every size.
const WORK: u64 = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Fill,
    Use,
    OpenClean,
    Work,
    OpenKilled,
}

impl Step {
    pub(crate) const ALL: [Step; 5] = [Step::Fill, Step::Use, Step::OpenClean, Step::Work, Step::OpenKilled];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Step::Fill => "fill",
            Step::Use => "use",
            Step::OpenClean => "open-clean",
            Step::Work => "work",
            Step::OpenKilled => "open-killed",
        }
    }

    /// Does it, in the process that was started for it.
    pub(crate) fn run(self, curve: &Curve, size: u64, directory: &Path, teller: &mut Teller) {
        let open = || (curve.options)(Broker::builder().durability(Durability::Os)).open(directory).unwrap();
        match self {
            Step::Fill => {
                let broker = open();
                (curve.fill)(&broker, size);
                broker.close().unwrap();
            }
            Step::Use => {
                let broker = open();
                (curve.measure)(&broker, size, teller);
                broker.close().unwrap();
            }
            Step::OpenClean => {
                let broker = opened(open, "open after a clean close", Bound::None, teller);
                teller.memory("memory when opened");
                broker.close().unwrap();
            }
            Step::Work => {
                let broker = open();
                work(&broker, teller);
            }
            Step::OpenKilled => {
                let broker = opened(open, "open after a kill", curve.open_killed, teller);
                broker.close().unwrap();
            }
        }
    }
}

fn opened(open: impl Fn() -> Broker, name: &str, bound: Bound, teller: &mut Teller) -> Broker {
    let began = Instant::now();
    let broker = open();
    let stream = broker.stream(STREAM).unwrap();
    assert_eq!(stream.range(..).rev().count(1).read().unwrap().len(), 1);
    stream.add(ENTRY).unwrap();
    teller.seconds(name, bound, began.elapsed().as_secs_f64());
    broker
}

/// Adds, delivers and acknowledges until it is killed: at first as fast as it can, so that there is a journal to be read again, and
/// then at leisure, so that it is as long at every size.
fn work(broker: &Broker, teller: &mut Teller) {
    let stream = broker.stream(STREAM).unwrap();
    let worker = stream.group(GROUP).from_start().ensure().unwrap().consumer("killed");
    for n in 0.. {
        stream.add(ENTRY).unwrap();
        let messages = worker.read_new().next().unwrap();
        messages.ack_all().unwrap();
        if n == WORK {
            teller.ready();
        }
        if n >= WORK {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

/// All figures of a size, in a directory that is new, or has what the size before left.
pub(crate) fn live(curve: &Curve, size: u64, directory: &Path) -> Vec<Figure> {
    let step = |step| child::done(curve, step, size, directory);
    step(Step::Fill);
    let mut figures = step(Step::Use);
    if curve.opens {
        figures.extend(middle(&(0..OPENINGS).map(|_| step(Step::OpenClean)).collect::<Vec<_>>()));
        let after_kill = || {
            child::killed(curve, Step::Work, size, directory);
            step(Step::OpenKilled)
        };
        figures.extend(middle(&(0..OPENINGS).map(|_| after_kill()).collect::<Vec<_>>()));
    }
    // As a table is read: calls, openings, memory.
    figures.sort_by_key(|figure| (figure.unit == Unit::Bytes, figure.name.starts_with("open")));
    figures
}

/// Of each figure the middle one of several runs.
fn middle(runs: &[Vec<Figure>]) -> Vec<Figure> {
    let value = |at: usize| median(&runs.iter().map(|figures| figures[at].value).collect::<Vec<_>>());
    let values: Vec<_> = (0..runs[0].len()).map(value).collect();
    runs[0].iter().zip(values).map(|(figure, value)| Figure { value, ..figure.clone() }).collect()
}

/// Adds entries to a stream, so many in all, a thousand at a time.
pub(crate) fn fill(stream: &streamlog::Stream, entries: u64) {
    let mut left = entries;
    while left > 0 {
        let batch = left.min(1000);
        stream.add_batch((0..batch).map(|_| ENTRY)).unwrap();
        left -= batch;
    }
}

/// No other options than the defaults.
pub(crate) fn defaults(builder: Builder) -> Builder {
    builder
}
