//! Sequences of steps on a broker and on its model: operations, and between them what must change nothing that can be seen.
//! In the end redb is lost: that may cost redeliveries, and nothing else.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use streamlog::sim::{Fault, FaultOp, SimDisk, Survival};
use streamlog::{Broker, Builder, Durability, Id, ManualClock};

use super::engine::{self, Engine, GroupView, StreamView, View};
use super::generate::Dice;
use super::model::Model;
use super::operation::Operation;

/// After so many steps, all that can be seen is compared.
const VIEW_STEPS: usize = 8;
const START_MS: u64 = 1000;

/// What is done next. What changes no meaning changes nothing that can be seen.
#[derive(Debug, Clone)]
enum Step {
    Do(Operation),
    Flush,
    Checkpoint,
    /// With an operation on redb's file that fails, so many after the first.
    CheckpointInDoubt(u8),
    PrepareJournalFile,
    Sync,
    Close,
    Crash,
}

fn step(bytes: &[u8], model: &Model) -> Step {
    let (kind, bytes) = bytes.split_first().expect("a step has bytes");
    match kind % 32 {
        31 => Step::Crash,
        30 => Step::Close,
        29 if bytes[0] % 4 == 0 => Step::CheckpointInDoubt(bytes[1]),
        29 => Step::Checkpoint,
        27 | 28 => Step::Flush,
        26 if bytes[0] % 2 == 0 => Step::PrepareJournalFile,
        26 => Step::Sync,
        _ => Step::Do(Dice::new(bytes, model).operation()),
    }
}

/// Where a sequence runs.
pub(crate) trait Place {
    fn open(&self, builder: Builder) -> streamlog::Result<Broker>;
    /// What a crash of the process does to the disk.
    fn crashed(&self) {}
    /// Has an operation on redb's file fail, so many after the next, while `work` is done.
    fn failing_redb(&self, _after: u8, work: &dyn Fn() -> streamlog::Result<()>) -> streamlog::Result<()> {
        work()
    }
    /// Loses redb's file, or damages it.
    fn lose_redb(&self, how: u8);
}

impl Place for SimDisk {
    fn open(&self, builder: Builder) -> streamlog::Result<Broker> {
        builder.open_on(self.storage())
    }

    fn crashed(&self) {
        self.restart(Survival::Kill);
    }

    fn failing_redb(&self, after: u8, work: &dyn Fn() -> streamlog::Result<()>) -> streamlog::Result<()> {
        let op = if after.is_multiple_of(2) { FaultOp::Write } else { FaultOp::Sync };
        let path_contains = Some("state.redb".to_owned());
        let after = u64::from(after / 2) % 8;
        self.inject(Fault { op, path_contains, after, times: 1, error: std::io::ErrorKind::Other });
        let done = work();
        self.clear_faults();
        done
    }

    fn lose_redb(&self, how: u8) {
        let storage = self.storage();
        let file = storage.open("state.redb").unwrap();
        let len = file.len().unwrap();
        let at = len / 256 * u64::from(how);
        match how % 4 {
            0 => storage.remove("state.redb").unwrap(),
            1 => file.set_len(at).unwrap(),
            2 => file.write_at(&vec![0; (len - at) as usize], at).unwrap(),
            _ => file.write_at(&[how; 512], at).unwrap(),
        }
    }
}

/// A broker somewhere, and its model.
pub(crate) struct Run<'a> {
    place: &'a dyn Place,
    builder: &'a Builder,
    clock: ManualClock,
    engine: Option<Engine>,
    model: Model,
}

impl<'a> Run<'a> {
    pub(crate) fn new(place: &'a dyn Place, builder: &'a Builder) -> Run<'a> {
        Run { place, builder, clock: ManualClock::at(START_MS), engine: None, model: Model::at(START_MS) }
    }

    fn open(&mut self) -> Result<(), TestCaseError> {
        let builder = self.builder.clone().clock(self.clock.clone()).background(false);
        let broker = self.place.open(builder).map_err(failed)?;
        self.engine = Some(Engine::new(broker, self.clock.clone()));
        Ok(())
    }

    /// The broker, to be dropped in one way or another: no handle is left.
    fn take_broker(&mut self) -> Broker {
        self.model.forget_handles();
        let Engine { broker, .. } = self.engine.take().expect("it is open");
        broker
    }

    fn compare(&self) -> TestCaseResult {
        let engine = self.engine.as_ref().expect("it is open");
        prop_assert_eq!(engine.view(self.model.now_ms).map_err(failed)?, engine::view(&self.model));
        Ok(())
    }

    fn step(&mut self, step: &Step) -> TestCaseResult {
        let engine = self.engine.as_mut().expect("it is open");
        match step {
            Step::Do(operation) => prop_assert_eq!(engine.apply(operation), self.model.apply(operation)),
            Step::Flush => engine.broker.flush_all().map_err(failed)?,
            Step::PrepareJournalFile => drop(engine.broker.spare_step().map_err(failed)?),
            Step::Sync => engine.broker.sync().map_err(failed)?,
            Step::Checkpoint => {
                engine.broker.checkpoint().map_err(failed)?;
                self.model.checkpointed();
            }
            Step::CheckpointInDoubt(after) => {
                self.place.failing_redb(*after, &|| engine.broker.checkpoint()).map_err(failed)?;
                self.model.checkpointed();
            }
            Step::Close => {
                self.take_broker().close().map_err(failed)?;
                self.model.checkpointed();
                self.open()?;
                self.compare()?;
            }
            Step::Crash => {
                self.take_broker().crash();
                self.place.crashed();
                self.open()?;
                let engine = self.engine.as_ref().expect("it is open");
                let view = engine.view(self.model.now_ms).map_err(failed)?;
                engine::adopt_seen_times(&mut self.model, &view);
                self.compare()?;
            }
        }
        Ok(())
    }

    /// Does these steps, then loses redb in this way.
    pub(crate) fn run(&mut self, steps: &[&[u8]], lose_redb: u8) -> TestCaseResult {
        let mut done = Vec::new();
        self.open()?;
        for (index, bytes) in steps.iter().enumerate() {
            let step = step(bytes, &self.model);
            done.push(step.clone());
            let compared = self.step(&step).and_then(|()| match index % VIEW_STEPS {
                0 => self.compare(),
                _ => Ok(()),
            });
            compared.map_err(|error| with_steps(&error, &done))?;
        }
        self.step(&Step::Crash)
            .and_then(|()| self.step(&Step::Close))
            .and_then(|()| self.lose_redb(lose_redb))
            .map_err(|error| with_steps(&error, &done))
    }

    /// Loses redb, in this way, of a broker that crashed or was closed: nothing else is lost, and the next opening finds
    /// what this one did.
    fn lose_redb(&mut self, how: u8) -> TestCaseResult {
        let engine = self.engine.as_mut().expect("it is open");
        let before = engine.view(self.model.now_ms).map_err(failed)?;
        let broker = self.take_broker();
        if how.is_multiple_of(3) {
            broker.crash();
        } else {
            broker.close().map_err(failed)?;
        }
        self.place.lose_redb(how);
        self.open()?;
        let engine = self.engine.as_ref().expect("it is open");
        let after = engine.view(self.model.now_ms).map_err(failed)?;
        only_redelivers(&before, &after)?;
        self.take_broker().crash();
        self.place.crashed();
        self.open()?;
        let engine = self.engine.as_ref().expect("it is open");
        prop_assert_eq!(engine.view(self.model.now_ms).map_err(failed)?, after, "after a rebuild and a crash");
        Ok(())
    }
}

/// Whether what is seen differs only in what groups get again, and in consumers that are yet to come back.
fn only_redelivers(before: &View, after: &View) -> TestCaseResult {
    prop_assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, stream) in before {
        let again = &after[name];
        let groups = |stream: &StreamView| stream.groups.keys().cloned().collect::<Vec<_>>();
        prop_assert_eq!(groups(stream), groups(again), "the groups of {}", name);
        for (name, group) in &stream.groups {
            let again = &again.groups[name];
            let open = |group: &GroupView, id: Id| id > group.cursor || group.pending.iter().any(|row| row.0 == id);
            let lost = stream.entries.iter().find(|(id, _)| open(group, *id) && !open(again, *id));
            prop_assert!(lost.is_none(), "the group {} will never get {:?}: {:?}, now {:?}", name, lost, group, again);
            prop_assert!(again.cursor <= group.cursor, "the group {}: {:?}, now {:?}", name, group, again);
            prop_assert!(again.pending.iter().all(|row| group.pending.contains(row)), "{:?}, now {:?}", group, again);
        }
        let but_for_groups = |stream: &StreamView| StreamView { groups: BTreeMap::new(), ..stream.clone() };
        prop_assert_eq!(but_for_groups(stream), but_for_groups(again));
    }
    Ok(())
}

#[allow(clippy::needless_pass_by_value, reason = "what `map_err` calls")]
fn failed(error: streamlog::Error) -> TestCaseError {
    TestCaseError::fail(format!("{error:?}"))
}

fn with_steps(error: &TestCaseError, steps: &[Step]) -> TestCaseError {
    let steps: Vec<_> = steps.iter().map(|step| format!("    {step:?}\n")).collect();
    TestCaseError::fail(format!("{error}\nafter\n{}", steps.concat()))
}

/// How a broker is built; `None` with its defaults.
pub(crate) type Sizes = Option<Small>;

/// Sizes so small that entries fill segments, segments roll and the journal goes from file to file within a few steps.
#[derive(Debug, Clone)]
pub(crate) struct Small {
    pub(crate) durability: Durability,
    pub(crate) segment_bytes: u64,
    pub(crate) tail_bytes: usize,
    pub(crate) journal_file_bytes: u64,
    pub(crate) journal_bytes_max: u64,
    pub(crate) cache_bytes: usize,
    pub(crate) open_files_max: usize,
}

pub(crate) trait Build {
    fn builder(&self) -> Builder;
}

impl Build for Sizes {
    fn builder(&self) -> Builder {
        let Some(small) = self else { return Broker::builder() };
        Broker::builder()
            .durability(small.durability)
            .segment_bytes(small.segment_bytes)
            .tail_bytes(small.tail_bytes)
            .journal_file_bytes(small.journal_file_bytes)
            .checkpoint_bytes(small.journal_bytes_max / 4)
            .journal_bytes_max(small.journal_bytes_max)
            .cache_bytes(small.cache_bytes)
            .open_files_max(small.open_files_max)
    }
}

pub(crate) fn tiny(durability: Durability) -> Small {
    Small {
        durability,
        segment_bytes: 400,
        tail_bytes: 600,
        journal_file_bytes: 2048,
        journal_bytes_max: 16 << 10,
        cache_bytes: 2048,
        open_files_max: 2,
    }
}
