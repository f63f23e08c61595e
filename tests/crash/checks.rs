//! What must hold of a broker that came back, each checked on its own rather than by comparing states.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use streamlog::{Broker, Id, Result};

use super::op::{Name, Op, Outcome, STREAMS, Who};
use super::trial::{Trial, Verdict};
use super::workload::GROUPS;

/// When everything that was delayed is due.
const FAR_MS: u64 = 1 << 40;

/// What callers were told, and what they asked for, each with the number of the operation.
#[derive(Debug, Default)]
pub(crate) struct Told {
    added: Vec<(usize, Name, Vec<Id>)>,
    /// Streams, whether or not the call returned: what a crash cut off may have been done.
    deleted: Vec<(usize, Name)>,
    /// Acknowledged, or tried to be.
    acked: BTreeSet<(Name, Name, Id)>,
}

impl Told {
    pub(crate) fn asked(&mut self, number: usize, op: &Op) {
        match op {
            Op::Ack { stream, group, ids, .. } | Op::AckAndDelete { stream, group, ids, .. } => {
                self.acked.extend(ids.iter().map(|&id| (*stream, *group, id)));
            }
            // Whose IDs may come again, as far as this knows.
            Op::DeleteStream(stream) | Op::SetLast { stream, .. } | Op::Copy { to: stream, .. } => {
                self.deleted.push((number, stream));
            }
            Op::Rename { stream, to, .. } => self.deleted.extend([(number, *stream), (number, *to)]),
            Op::Exec(ops) => ops.iter().for_each(|op| self.asked(number, op)),
            _ => {}
        }
    }

    pub(crate) fn returned(&mut self, number: usize, op: &Op, outcome: &Outcome) {
        if let Op::Add { stream, .. } | Op::AddOnce { stream, .. } | Op::Batch { stream, .. } = op {
            self.added.push((number, stream, outcome.ids.clone()));
        }
        if let Op::Exec(ops) = op {
            let done = ops.iter().zip(&outcome.each);
            done.for_each(|(op, got)| got.iter().for_each(|outcome| self.returned(number, op, outcome)));
        }
    }

    pub(crate) fn rewind(&mut self, count: usize) {
        self.added.retain(|(number, ..)| *number <= count);
        self.deleted.retain(|(number, _)| *number <= count);
    }

    /// The IDs given out since the stream last began.
    fn added_to(&self, stream: &str) -> impl Iterator<Item = Id> {
        let begun = self.deleted.iter().filter(|(_, name)| *name == stream).map(|(number, _)| *number).max();
        let added = self.added.iter().filter(move |(number, name, _)| *name == stream && Some(*number) > begun);
        added.flat_map(|(_, _, ids)| ids.iter().copied())
    }
}

impl Trial {
    /// Invariant 8: the files of dead segments and deleted streams go, the journal's and what a crash left half done.
    pub(crate) fn check_files(&mut self) -> Verdict {
        self.live().checkpoint().map_err(|error| format!("a checkpoint failed: {error}"))?;
        let names = self.live().streams().map_err(|error| error.to_string())?;
        let mut segments = 0;
        for name in &names {
            let info = self.live().stream(name).and_then(|stream| stream.info()).map_err(|error| error.to_string())?;
            segments += info.segments;
        }
        let schedule = self.live().schedule_size();
        segments += schedule.map_or(0, |(_, segments)| segments);
        let paths = self.disk.list_all();
        let found = paths.iter().filter(|path| path.starts_with("streams/")).count();
        if found != segments {
            return Err(format!("{found} segment files for {segments} segments: {paths:?}"));
        }
        let dirs = self.disk.storage().list("streams").map_err(|error| error.to_string())?;
        if dirs.len() > names.len() + usize::from(schedule.is_some()) {
            return Err(format!("directories {dirs:?} for {} streams, and {schedule:?} on the schedule", names.len()));
        }
        let journal: Vec<_> = paths.iter().filter_map(|path| path.strip_prefix("journal/")).collect();
        let spares = journal.iter().filter(|name| name.starts_with("spare-")).count() as u64;
        let spares_max = self.setup.checkpoint_bytes / self.setup.journal_file_bytes + 2;
        if journal.len() as u64 - spares != 1 || spares > spares_max {
            return Err(format!("the journal's files after a checkpoint: {journal:?}"));
        }
        let others: Vec<_> = paths.iter().filter(|path| !path.contains('/')).collect();
        if others != ["FORMAT", "LOCK", "state.redb"] {
            return Err(format!("the directory's files: {others:?}"));
        }
        Ok(())
    }

    /// What is pending is delivered again in the order in which it was delivered, whatever the broker went through since.
    pub(crate) fn check_order(&mut self) -> Verdict {
        self.run(&Op::Reopen)?;
        let places =
            STREAMS.into_iter().flat_map(|stream| GROUPS.map(|group| Who { stream, group, consumer: "order" }));
        for who in places.filter(|who| self.model.now().group(who.stream, who.group).is_some()).collect::<Vec<_>>() {
            self.run(&Op::ReadNew { who, count: 10_000, no_ack: false, claim_idle_ms: Some(0) })?;
        }
        Ok(())
    }

    /// Invariant 3: every entry after a group's cursor is delivered, and what was pending can be claimed. Where nothing
    /// but work was done (`only_work`), every entry added is there, and was delivered or its acknowledgement asked for.
    /// Invariant 4: the next IDs are new. What is delayed comes when its time does. The broker is not what it was after this.
    pub(crate) fn drain(&mut self, only_work: bool) -> Verdict {
        let before = self.observe()?;
        for (name, seen) in &before.streams {
            let stream = self.live().stream(name).map_err(|error| error.to_string())?;
            for (group_name, group_seen) in &seen.groups {
                let what = format!("{name}/{group_name}");
                let group = stream.group(group_name).existing().map_err(|error| error.to_string())?;
                let drain = group.consumer("drain");
                let mut delivered = Vec::new();
                loop {
                    let batch = drain.read_new().count(5).next().map_err(|error| error.to_string())?;
                    if batch.is_empty() {
                        break;
                    }
                    delivered.extend(batch.ids());
                }
                let cursor = group_seen.info.last_delivered_id;
                let expected: Vec<_> = seen.entries.keys().copied().filter(|&id| id > cursor).collect();
                if delivered != expected {
                    return Err(format!("{what}: {delivered:?} were delivered, not {expected:?}"));
                }
                // What was given back for later, too.
                self.clock.set(self.now_ms + 1000);
                let claimed =
                    drain.auto_claim(Duration::ZERO).count(10_000).run().map_err(|error| error.to_string())?;
                let claimed: BTreeSet<_> = claimed.messages.ids().into_iter().collect();
                if let Some(id) =
                    group_seen.pending.keys().find(|id| seen.entries.contains_key(id) && !claimed.contains(id))
                {
                    return Err(format!("{what}: {id} was pending and cannot be claimed"));
                }
                self.clock.set(self.now_ms);
                let unaccounted = |id: &&Id| {
                    let acked =
                        self.told.acked.iter().any(|(s, g, acked)| s == name && g == group_name && acked == *id);
                    !(acked || claimed.contains(id))
                };
                if let Some(id) = seen.entries.keys().filter(|_| only_work).find(unaccounted) {
                    return Err(format!("{what}: {id} is neither acknowledged nor delivered to anybody"));
                }
            }
        }
        let entries: BTreeMap<_, _> =
            before.streams.iter().map(|(name, seen)| (name.as_str(), &seen.entries)).collect();
        for (_, stream, ids) in self.told.added.iter().filter(|_| only_work) {
            let lost = ids.iter().find(|id| !entries.get(stream).is_some_and(|entries| entries.contains_key(id)));
            if let Some(id) = lost {
                return Err(format!("{stream}: {id} was added and is not there"));
            }
        }
        self.clock.set(1);
        for name in before.streams.keys() {
            let stream = self.live().stream(name).map_err(|error| error.to_string())?;
            let id = stream.add([("next", "")]).map_err(|error| error.to_string())?;
            if let Some(old) = self.told.added_to(name).find(|&old| old >= id) {
                return Err(format!("{name}: {old} was given out, and now {id}"));
            }
        }
        self.clock.set(FAR_MS);
        let counts = |broker: &Broker| -> Result<Vec<u64>> {
            before.streams.keys().map(|name| broker.stream(name)?.len()).collect()
        };
        let all_due = |broker: &Broker| {
            let counts_before = counts(broker)?;
            while broker.due_step()? > 0 {}
            Ok::<_, streamlog::Error>((counts_before, counts(broker)?))
        };
        let added = all_due(self.live()).map_err(|error| format!("what is due cannot be added: {error}"))?;
        for ((name, seen), (before, after)) in before.streams.iter().zip(added.0.into_iter().zip(added.1)) {
            let delayed = seen.delayed.len() as u64;
            if after != before + delayed {
                return Err(format!("{name}: of {delayed} delayed entries {} were added", after - before));
            }
        }
        self.clock.set(self.now_ms);
        Ok(())
    }
}
