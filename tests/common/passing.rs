//! Streams that come and go while a child works: created with their first entry, added to, deleted, and created again
//! under a name that another had. One thread does it, so what is there is what was after some number of its steps, and
//! each number of steps leaves something else.
//!
//! ```text
//! p+ stream n     the entry n is about to be added to a stream, created with it if it is not there
//! p- stream       a stream is about to be deleted
//! P               what was about to be done has returned
//! ```

use std::collections::BTreeMap;

use streamlog::{Broker, Result};

use crate::process::{Random, say, value};

/// How many names there are.
const NAMES: u64 = 5;
/// How many lives later a stream goes. Fewer than there are names: the one made last is always there.
const KEPT: u64 = 3;

fn name(life: u64) -> String {
    format!("passing-{}", life % NAMES)
}

/// The child's part.
pub(crate) fn work(broker: &Broker, run: u64) -> Result<()> {
    let mut random = Random::new(run * 100 + 99);
    let mut n = run * 1_000_000;
    for life in 0.. {
        let stream = broker.stream(&name(life))?;
        for _ in 0..=random.below(8) {
            let key = n.to_string();
            say(&format!("p+ {} {key}", stream.name()));
            stream.add([("n", key.clone().into_bytes()), ("value", value(&key))])?;
            say("P");
            n += 1;
        }
        // Rows that must go with the stream, and must not be the next one's.
        stream.group("readers").from_start().ensure()?.consumer("one").read_new().count(2).next()?;
        let old = broker.stream(&name(life + NAMES - KEPT))?;
        if old.exists() {
            say(&format!("p- {}", old.name()));
            old.delete_stream()?;
            say("P");
        }
    }
    Ok(())
}

/// The streams that are there, each with its entries.
type State = BTreeMap<String, Vec<u64>>;

#[derive(Debug, Clone)]
enum Step {
    Add(String, u64),
    Delete(String),
}

impl Step {
    fn apply(&self, state: &mut State) {
        match self {
            Step::Add(name, n) => state.entry(name.clone()).or_default().push(*n),
            Step::Delete(name) => drop(state.remove(name)),
        }
    }
}

/// What was there when it was last looked at, and the steps said to have been begun since.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passing {
    state: State,
    steps: Vec<Step>,
    /// How many of them have returned.
    returned: usize,
}

impl Passing {
    /// Takes down a line; returns the number of the step begun or returned, if the line is about one.
    pub(crate) fn take(&mut self, words: &[&str]) -> Option<usize> {
        match words {
            ["p+", name, n] => self.steps.push(Step::Add((*name).to_owned(), n.parse().unwrap())),
            ["p-", name] => self.steps.push(Step::Delete((*name).to_owned())),
            ["P"] => {
                self.returned += 1;
                return Some(self.returned - 1);
            }
            _ => return None,
        }
        Some(self.steps.len() - 1)
    }

    /// Compares what was said with what is there; returns how many of the steps had happened, and how many returned.
    pub(crate) fn check(&mut self, broker: &Broker) -> (usize, usize) {
        let found = read(broker);
        let steps = std::mem::take(&mut self.steps);
        let mut state = std::mem::take(&mut self.state);
        let returned = std::mem::take(&mut self.returned);
        let mut happened = (state == found).then_some(0);
        for (number, step) in (1..).zip(&steps) {
            step.apply(&mut state);
            if state == found {
                happened = Some(number);
            }
        }
        let happened = happened.unwrap_or_else(|| panic!("after no number of steps: {found:?}, {steps:?}, {state:?}"));
        self.state = found;
        (happened, returned)
    }
}

fn read(broker: &Broker) -> State {
    let mut state = State::new();
    for name in broker.streams().unwrap().into_iter().filter(|name| name.starts_with("passing-")) {
        let stream = broker.stream(&name).unwrap();
        let entries = stream.range(..).into_iter().map(|entry| {
            let entry = entry.unwrap();
            let key = entry.text("n").unwrap();
            assert!(entry.get("value") == Some(&value(key)), "{name}: {} has other bytes", entry.id);
            key.parse().unwrap()
        });
        let entries: Vec<u64> = entries.collect();
        assert_eq!(entries.len() as u64, stream.len().unwrap(), "{name}");
        state.insert(name, entries);
    }
    state
}
