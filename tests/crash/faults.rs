//! A workload on a disk that errs: what fails is not acknowledged, what is read is right, and what comes back after
//! reopening is a prefix all the same.

use std::collections::BTreeMap;
use std::io;

use streamlog::sim::{Fault, FaultOp};
use streamlog::{Broker, ErrorKind};

use super::chance::Chance;
use super::observe::Snapshot;
use super::op::Op;
use super::trial::{Ran, Trial, Verdict};
use super::workload::Manner;

const WHERE: [Option<&str>; 5] = [Some("journal/"), Some("journal/"), Some("streams/"), Some("state.redb"), None];

const OPERATIONS: [FaultOp; 11] = [
    FaultOp::Write,
    FaultOp::Write,
    FaultOp::Sync,
    FaultOp::Sync,
    FaultOp::SyncDir,
    FaultOp::Create,
    FaultOp::Rename,
    FaultOp::Remove,
    FaultOp::SetLen,
    FaultOp::Read,
    FaultOp::Open,
];

fn fault(chance: &mut Chance) -> Fault {
    let op = *chance.pick(&OPERATIONS);
    let error =
        if op == FaultOp::Write && chance.once_in(2) { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
    let times = *chance.pick(&[1, 1, u64::MAX]);
    Fault { op, path_contains: chance.pick(&WHERE).map(str::to_owned), after: chance.below(30), times, error }
}

impl Trial {
    /// Has the disk err from some time on, or run full. Returns whether it errs where it is read.
    fn trouble(&mut self, chance: &mut Chance) -> bool {
        if chance.once_in(5) {
            let free = chance.below(30_000);
            self.log.push(format!("     the disk has room for {free} bytes"));
            self.disk.set_capacity(Some(self.disk.used() + free));
            return false;
        }
        let fault = fault(chance);
        self.log.push(format!("     {fault:?}"));
        let reading = matches!(fault.op, FaultOp::Read | FaultOp::Open);
        self.disk.inject(fault);
        reading
    }

    /// Has the disk be as it was.
    pub(crate) fn heal(&self) {
        self.disk.clear_faults();
        self.disk.set_capacity(None);
    }
}

/// Operations on a disk in trouble, until one fails for it and writing stops. Returns whether one did.
pub(crate) fn until_a_failure(trial: &mut Trial, manner: Manner, chance: &mut Chance) -> Verdict<bool> {
    let manner = Manner { amid: false, ..manner };
    let reading = trial.trouble(chance);
    // Who watches reads.
    let watched = trial.watched;
    trial.watched = watched && !reading;
    let stopped = until_writing_stops(trial, manner, reading, chance);
    trial.watched = watched;
    stopped
}

fn until_writing_stops(trial: &mut Trial, manner: Manner, reading: bool, chance: &mut Chance) -> Verdict<bool> {
    for _ in 0..60 {
        let op = manner.next(chance, trial.model.now());
        // A broker that does not open again is no broker to be asked.
        if matches!(op, Op::Reopen) {
            continue;
        }
        let before = trial.model.states.len() - 1;
        match trial.run(&op) {
            Ok(Ran::Returned | Ran::Crashed) => {}
            Err(complaint) => {
                let Some(kind) = trial.failed.take() else { return Err(complaint) };
                trial.log.push(format!("     failed: {kind:?}"));
                if reading {
                    trial.heal();
                }
                if failed(trial, &op, before)? {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// An operation failed on the disk. Returns whether writing has stopped; if not, nothing or all of it was done.
fn failed(trial: &mut Trial, op: &Op, before: usize) -> Verdict<bool> {
    let seen = trial.observe()?;
    let states = &trial.model.states[before..];
    let whole = states.iter().rposition(|state| **state == seen);
    match trial.live().spare_step() {
        Err(error) if error.kind() == ErrorKind::WritesStopped => {}
        _ => {
            let Some(found) = whole else {
                let after = trial.model.now();
                return Err(format!(
                    "it failed, writing goes on, and half of it is done:\n{}",
                    after.difference(&seen)
                ));
            };
            trial.keep(before + found);
            return Ok(false);
        }
    }
    if let Op::Add { stream, .. } | Op::Batch { stream, .. } = op
        && op.makes_durable(trial.setup.levels)
    {
        let ids = |state: &Snapshot| {
            state.streams.get(*stream).and_then(|stream| stream.entries.last_key_value()).map(|(&id, _)| id)
        };
        if ids(&seen) > ids(&states[0]) {
            return Err(format!("{op:?} failed, and what it was to make durable can be seen"));
        }
    }
    if whole.is_none() {
        check_entries(&states[0], trial.model.now(), &seen)?;
    }
    trial.heal();
    for name in seen.streams.keys() {
        let added = trial.live().stream(name).and_then(|stream| stream.add([("no", "")]));
        match added {
            Err(error) if error.kind() == ErrorKind::WritesStopped => {}
            other => return Err(format!("writing had stopped, and an add gave {other:?}")),
        }
    }
    if trial.observe()? != seen {
        return Err("adds that were refused can be seen".to_owned());
    }
    Ok(true)
}

/// What can be seen while an operation is neither done nor not: entries that were there and stay, none that never were.
fn check_entries(before: &Snapshot, after: &Snapshot, seen: &Snapshot) -> Verdict {
    let none = BTreeMap::new();
    let of = |snapshot: &Snapshot, name: &str| snapshot.streams.get(name).map_or(none.clone(), |s| s.entries.clone());
    for name in seen.streams.keys() {
        let (before, after, seen) = (of(before, name), of(after, name), of(seen, name));
        if let Some((id, _)) = seen.iter().find(|(id, fields)| ![before.get(id), after.get(id)].contains(&Some(fields)))
        {
            return Err(format!("{name}: {id} is there and was never added so"));
        }
        if let Some(id) = before.keys().find(|id| after.contains_key(id) && !seen.contains_key(id)) {
            return Err(format!("{name}: {id} is gone"));
        }
    }
    Ok(())
}

impl Trial {
    /// Crashes, and comes back on a disk that errs: what cannot be opened for that is not damaged.
    pub(crate) fn crash_into_trouble(&mut self, chance: &mut Chance) -> Verdict {
        let mut kept = self.turn_off();
        for _ in 0..=chance.below(3) {
            self.restart(chance.survival(), &mut kept);
            self.trouble(chance);
            let opened = self.setup.open(&self.disk, &self.clock);
            self.heal();
            match opened {
                Ok(broker) => {
                    self.live = Some(broker);
                    self.recovered(kept)?;
                    kept = self.turn_off();
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    return Err(format!("the disk erred, and that is taken for damage: {error}"));
                }
                Err(error) => self.log.push(format!("     cannot be opened: {error}")),
            }
        }
        self.come_back(chance.survival(), kept)
    }

    /// Closes the broker in which writing has stopped, which must say so, and opens it again as a new process would.
    pub(crate) fn reopen_after_failure(&mut self) -> Verdict {
        let closed = self.live.take().map(Broker::close);
        if let Some(Ok(())) = closed {
            return Err("writing had stopped, and closing says nothing of it".to_owned());
        }
        self.crash(streamlog::sim::Survival::Kill, &[])
    }
}
