//! A trial: a broker on a disk that crashes, beside one in memory that does not.
//!
//! Both do the same operations at the same times. After each the second is looked at, and what is seen is kept: these
//! are the states that the broker has been in. After a crash the first must be in one of them, and in none before
//! those that its callers were told are durable. It then goes on from there, and so does the second, made anew.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamlog::sim::{SimDisk, Survival};
use streamlog::{Broker, Builder, Durability, ErrorKind, ManualClock, Sabotage};

use super::checks::Told;
use super::observe::{Snapshot, observe};
use super::op::{Levels, Op, Outcome, Work};

/// `Err` is a complaint: the engine broke a promise.
pub(crate) type Verdict<T = ()> = Result<T, String>;

/// Runs what may complain or panic.
pub(crate) fn caught<T>(run: impl FnOnce() -> Verdict<T>) -> Verdict<T> {
    std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!(
            "panic: {}",
            text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
        ))
    })
}

/// When the first operation happens.
const START_MS: u64 = 1000;

/// What a broker is opened with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) levels: Levels,
    pub(crate) segment_bytes: u64,
    pub(crate) segment_age_ms: u64,
    pub(crate) journal_file_bytes: u64,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) journal_bytes_max: u64,
    pub(crate) tail_bytes: usize,
    pub(crate) cache_bytes: usize,
    pub(crate) open_files_max: usize,
    pub(crate) sabotage: Option<Sabotage>,
}

impl Setup {
    /// Everyone waits for the disk, and all is so small that it is full soon.
    pub(crate) const ALWAYS: Setup = Setup {
        levels: Levels { writes: Durability::Always, acks: Durability::Always },
        segment_bytes: 300,
        segment_age_ms: 1 << 30,
        journal_file_bytes: 2 << 10,
        checkpoint_bytes: 4 << 10,
        journal_bytes_max: 1 << 20,
        tail_bytes: 1 << 10,
        cache_bytes: 1 << 10,
        open_files_max: 4,
        sabotage: None,
    };

    fn builder(&self, clock: &ManualClock) -> Builder {
        Broker::builder()
            .clock(clock.clone())
            .background(false)
            .durability(self.levels.writes)
            .ack_durability(self.levels.acks)
    }

    pub(crate) fn open(&self, disk: &SimDisk, clock: &ManualClock) -> streamlog::Result<Broker> {
        self.builder(clock)
            .segment_bytes(self.segment_bytes)
            .segment_age(Duration::from_millis(self.segment_age_ms))
            .journal_file_bytes(self.journal_file_bytes)
            .checkpoint_bytes(self.checkpoint_bytes)
            .journal_bytes_max(self.journal_bytes_max)
            .tail_bytes(self.tail_bytes)
            .cache_bytes(self.cache_bytes)
            .open_files_max(self.open_files_max)
            .sabotage(self.sabotage)
            .open_on(disk.storage())
    }
}

/// The broker that never crashes, and all that it has been.
pub(crate) struct Model {
    setup: Setup,
    clock: ManualClock,
    twin: Broker,
    /// What was done, and when.
    history: Vec<(u64, Op)>,
    /// `states[k]` is the state after the first `k` operations.
    pub(crate) states: Vec<Arc<Snapshot>>,
}

impl Model {
    fn new(setup: Setup) -> Model {
        let clock = ManualClock::at(START_MS);
        let twin = Model::twin(&setup, &clock);
        Model { setup, clock, twin, history: Vec::new(), states: vec![Arc::default()] }
    }

    fn twin(setup: &Setup, clock: &ManualClock) -> Broker {
        let builder = setup.builder(clock).journal_file_bytes(64 << 10);
        builder.open_in_memory().unwrap_or_else(|error| panic!("the model: {error}"))
    }

    pub(crate) fn now(&self) -> &Arc<Snapshot> {
        &self.states[self.states.len() - 1]
    }

    /// Does what the operation amounts to, record by record; returns what the last of them gave.
    fn run(&mut self, op: &Op, now_ms: u64) -> streamlog::Result<Outcome> {
        let mut outcome = Ok(Outcome::default());
        for part in op.parts(self.now()) {
            self.clock.set(now_ms);
            outcome = part.run_apart(&self.twin, now_ms);
            let state = observe(&self.twin, &self.clock, now_ms).unwrap_or_else(|error| panic!("the model: {error}"));
            self.history.push((now_ms, part));
            self.states.push(Arc::new(state));
        }
        // What the steps of the background return is not the user's.
        if op.is_background() || matches!(op, Op::Retention) { outcome.map(|_| Outcome::default()) } else { outcome }
    }

    /// Goes back to the state after the first `count` operations.
    fn rewind(&mut self, count: usize) {
        if count < self.history.len() {
            self.history.truncate(count);
            self.states.truncate(count + 1);
            self.twin = Model::twin(&self.setup, &self.clock);
            for (now_ms, part) in &self.history {
                self.clock.set(*now_ms);
                let _ = part.run_apart(&self.twin, *now_ms);
            }
        }
    }
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    Returned,
    /// The disk went off.
    Crashed,
}

pub(crate) struct Trial {
    pub(crate) setup: Setup,
    pub(crate) disk: SimDisk,
    pub(crate) clock: ManualClock,
    pub(crate) now_ms: u64,
    pub(crate) live: Option<Broker>,
    pub(crate) model: Model,
    /// How many operations have returned: those that a kill must leave.
    pub(crate) returned: usize,
    /// How many operations power loss must leave.
    pub(crate) durable: usize,
    /// Whether the broker is looked at after every operation.
    pub(crate) watched: bool,
    /// How many recoveries did not come to their end.
    pub(crate) recoveries_crashed: u64,
    /// What the last operation failed with, if that was the disk's fault.
    pub(crate) failed: Option<ErrorKind>,
    pub(crate) told: Told,
    pub(crate) log: Vec<String>,
}

impl Trial {
    /// Opens a broker on a new disk, which may crash meanwhile.
    pub(crate) fn new(setup: Setup, disk: SimDisk) -> Trial {
        let clock = ManualClock::at(START_MS);
        let live = setup.open(&disk, &clock).ok();
        let model = Model::new(setup);
        let (returned, durable) = (0, 0);
        let (told, log) = (Told::default(), Vec::new());
        let (now_ms, watched, recoveries_crashed, failed) = (START_MS, true, 0, None);
        Trial {
            setup,
            disk,
            clock,
            now_ms,
            live,
            model,
            returned,
            durable,
            watched,
            recoveries_crashed,
            failed,
            told,
            log,
        }
    }

    pub(crate) fn live(&self) -> &Broker {
        self.live.as_ref().expect("the broker is open")
    }

    pub(crate) fn observe(&self) -> Verdict<Snapshot> {
        observe(self.live(), &self.clock, self.now_ms).map_err(|error| format!("reading failed: {error}"))
    }

    /// Does an operation on both.
    pub(crate) fn run(&mut self, op: &Op) -> Verdict<Ran> {
        if let Op::Amid { work, after, ops } = op {
            return self.run_amid(*work, *after, ops);
        }
        self.now_ms += 1;
        let expected = self.model.run(op, self.now_ms);
        self.clock.set(self.now_ms);
        self.log.push(format!("{:>3}  {} {op:?}", self.model.history.len(), self.now_ms));
        self.told.asked(self.model.history.len(), op);
        let got = if matches!(op, Op::Reopen) { self.reopen() } else { op.run(self.live(), self.now_ms) };
        if self.returned(op, self.model.history.len(), &got, &expected)? == Ran::Crashed {
            return Ok(Ran::Crashed);
        }
        self.watch(op)
    }

    /// Notes that an operation returned, after which there were `count`.
    fn returned(
        &mut self,
        op: &Op,
        count: usize,
        got: &streamlog::Result<Outcome>,
        expected: &streamlog::Result<Outcome>,
    ) -> Verdict<Ran> {
        match (got, expected) {
            (Err(_), _) if self.disk.is_off() => return Ok(Ran::Crashed),
            // One of several as one met it, too.
            (Ok(got), Ok(expected)) if got != expected && self.disk.is_off() => return Ok(Ran::Crashed),
            (Ok(_), Ok(_)) if op.is_background() => {}
            (Ok(got), Ok(expected)) if got == expected => {}
            (Err(got), Err(expected)) if got.kind() == expected.kind() => {}
            _ => {
                self.failed = got.as_ref().err().map(streamlog::Error::kind).filter(|_| expected.is_ok());
                return Err(format!("{op:?} gave {got:?}, not {expected:?}"));
            }
        }
        self.returned = count;
        if let Ok(outcome) = got {
            self.told.returned(count, op, outcome);
        }
        // A step that finds nothing to do waits for nothing.
        let idle = matches!((op, got), (Op::AddDue, Ok(Outcome { number: 0, .. })));
        let levels = self.setup.levels;
        let durable = match (op, got) {
            (_, Err(_)) => false,
            (Op::Exec(ops), Ok(got)) => {
                ops.iter().zip(&got.each).any(|(op, got)| got.is_ok() && op.makes_durable(levels))
            }
            (op, Ok(_)) => !idle && op.makes_durable(levels),
        };
        if durable {
            self.durable = count;
        }
        Ok(Ran::Returned)
    }

    /// Looks at the broker, if it is watched.
    fn watch(&self, op: &Op) -> Verdict<Ran> {
        if self.disk.is_off() {
            return Ok(Ran::Crashed);
        }
        if self.watched {
            let seen = self.observe()?;
            if seen != **self.model.now() {
                return Err(format!("after {op:?}:\n{}", self.model.now().difference(&seen)));
            }
        }
        Ok(Ran::Returned)
    }

    /// Does work of the background, and in the middle of it what users want.
    fn run_amid(&mut self, work: Work, after: u64, ops: &[Op]) -> Verdict<Ran> {
        let before = self.model.history.len();
        let mut expected = Vec::new();
        let mut calls = Vec::new();
        self.log.push(format!("     amid {work:?}, after {after}:"));
        for op in ops {
            self.now_ms += 1;
            let outcome = self.model.run(op, self.now_ms);
            let count = self.model.history.len();
            self.log.push(format!("{count:>3}  {} {op:?}", self.now_ms));
            self.told.asked(count, op);
            expected.push((count, outcome));
            calls.push((self.now_ms, op.clone()));
        }
        let results = Arc::new(Mutex::new(Vec::new()));
        let run = {
            let (broker, clock, results) = (self.live().clone(), self.clock.clone(), Arc::clone(&results));
            move || {
                for (now_ms, op) in calls {
                    clock.set(now_ms);
                    results.lock().unwrap().push(op.run(&broker, now_ms));
                }
            }
        };
        // Where the disk does not get so far it happens afterwards.
        let run = Arc::new(Mutex::new(Some(run)));
        let once = {
            let run = Arc::clone(&run);
            move || run.lock().unwrap().take().into_iter().for_each(|run| run())
        };
        self.disk.meanwhile(work.place(), after, once.clone());
        let done = work.op().run(self.live(), self.now_ms);
        self.disk.forget_meanwhile();
        once();
        let results = std::mem::take(&mut *results.lock().unwrap());
        for ((op, got), (count, expected)) in ops.iter().zip(&results).zip(&expected) {
            if self.returned(op, *count, got, expected)? == Ran::Crashed {
                return Ok(Ran::Crashed);
            }
        }
        match done {
            Ok(_) if matches!(work.op(), Op::Checkpoint) => self.durable = self.durable.max(before),
            Err(error) if !self.disk.is_off() => return Err(format!("{work:?} failed: {error}")),
            _ => {}
        }
        self.watch(&work.op())
    }

    fn reopen(&mut self) -> streamlog::Result<Outcome> {
        if let Some(broker) = self.live.take() {
            broker.close()?;
        }
        self.live = Some(self.setup.open(&self.disk, &self.clock)?);
        Ok(Outcome::default())
    }

    /// Crashes, comes back with what survived, and opens the broker again; crashes in the middle of that, too, as
    /// often as `again` says: at which of its operations, and with what survival.
    pub(crate) fn crash(&mut self, survival: Survival, again: &[(u64, Survival)]) -> Verdict {
        let mut kept = self.turn_off();
        self.restart(survival, &mut kept);
        for &(at, survival) in again {
            self.disk.crash_at(self.disk.operations() + at);
            match self.setup.open(&self.disk, &self.clock) {
                Ok(broker) => {
                    self.live = Some(broker);
                    if !self.disk.is_off() {
                        self.recovered(kept)?;
                        kept = self.returned;
                    }
                    self.disk.crash();
                    self.live.take().into_iter().for_each(Broker::crash);
                }
                Err(_) if self.disk.is_off() => self.recoveries_crashed += 1,
                Err(error) => return Err(format!("cannot be opened: {error}")),
            }
            self.restart(survival, &mut kept);
        }
        self.open_again(kept)
    }

    /// Crashes. Returns how many operations there were.
    pub(crate) fn turn_off(&mut self) -> usize {
        self.disk.crash();
        self.live.take().into_iter().for_each(Broker::crash);
        self.model.history.len()
    }

    /// Turns the disk on again and opens the broker.
    pub(crate) fn come_back(&mut self, survival: Survival, mut kept: usize) -> Verdict {
        self.restart(survival, &mut kept);
        self.open_again(kept)
    }

    fn open_again(&mut self, kept: usize) -> Verdict {
        let opened = self.setup.open(&self.disk, &self.clock);
        self.live = Some(opened.map_err(|error| format!("cannot be opened: {error}"))?);
        self.recovered(kept)
    }

    /// Turns the disk on again. `kept` is how many operations must be left.
    pub(crate) fn restart(&mut self, survival: Survival, kept: &mut usize) {
        self.log.push(format!("     crash: {survival:?}"));
        self.disk.restart(survival);
        *kept = (*kept).min(if survival == Survival::Kill { self.returned } else { self.durable });
    }

    /// Finds the state that the broker came back with, among those from `kept` on. What is published stays so.
    pub(crate) fn recovered(&mut self, kept: usize) -> Verdict {
        let found = self.observe()?;
        let states = &self.model.states;
        let Some(count) = (kept..states.len()).rev().find(|&count| *states[count] == found) else {
            let earlier = (0..kept).rev().find(|&count| *states[count] == found);
            let text = match earlier {
                Some(count) => format!("came back with {count} operations, and {kept} were durable"),
                None => format!("came back with what never was; {kept} operations were durable"),
            };
            let differences = (kept..states.len())
                .map(|count| format!("after {count} operations:\n{}", states[count].difference(&found)));
            return Err(format!("{text}\n{}", differences.collect::<String>()));
        };
        self.log.push(format!("     back with {count} operations"));
        self.keep(count);
        self.durable = count;
        Ok(())
    }

    /// Takes the state after `count` operations for the one that the broker is in.
    pub(crate) fn keep(&mut self, count: usize) {
        self.model.rewind(count);
        self.told.rewind(count);
        self.returned = count;
    }
}
