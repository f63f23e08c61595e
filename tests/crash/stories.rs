//! The faults that this checker found, each as short as it can be told.

use streamlog::sim::{Fault, FaultOp, SimDisk, Survival};
use streamlog::{Durability, ErrorKind, IdSpec};

use super::broken::Broken;
use super::exhaust::Exhaust;
use super::op::{Levels, Op};
use super::trial::{Setup, Trial};
use super::workload::{BEGUN, Letter, letter};

const SETUP: Setup = Setup { levels: Levels { writes: Durability::Os, acks: Durability::Os }, ..Setup::ALWAYS };

fn everywhere(names: &[&str], survival: Survival, in_recovery: bool) {
    let letters: Vec<Letter> = names.iter().map(|name| letter(name)).collect();
    let (broken, survivals) = (Broken::Nothing, &[survival][..]);
    let exhaust = Exhaust { setup: SETUP, begun: &BEGUN, letters: &letters, survivals, broken, in_recovery };
    exhaust.run().unwrap_or_else(|complaint| panic!("{complaint}"));
}

fn add(bytes: usize) -> Op {
    Op::Add { stream: "a", bytes, id: IdSpec::Auto, trim: None, level: None }
}

fn failing_sync_of(dir: &str, times: u64) -> Fault {
    let path_contains = Some(dir.to_owned());
    Fault { op: FaultOp::SyncDir, path_contains, after: 0, times, error: std::io::ErrorKind::Other }
}

/// The process was killed with records in the system's memory alone. The next one read them, put them into redb, and
/// then the power went: the journal ended before redb, which was taken for damage.
#[test]
fn records_that_went_to_redb_after_a_kill_may_be_missing_in_the_journal() {
    everywhere(&["add os"], Survival::Kill, true);
}

/// The journal had trimmed what redb still held in segments. Recovery flushed what came after the trim, and before that
/// removed every segment but those it knew; the power went before redb was committed, and redb's segments were gone.
#[test]
fn a_recovery_that_trims_removes_nothing_before_redb_knows() {
    everywhere(&["checkpoint", "trim all", "add os"], Survival::Kill, true);
}

/// Segments were unlinked, their directory was not synced, and the close was clean: the power went, the files came
/// back, and after a clean close nobody looked for any.
#[test]
fn what_was_unlinked_before_a_clean_close_does_not_come_back() {
    everywhere(&["checkpoint", "trim all", "reopen"], Survival::Nothing, false);
    everywhere(&["checkpoint", "delete stream", "reopen"], Survival::Nothing, false);
}

/// A new journal file was renamed into place and the directory's sync failed. The record that had asked for it was
/// refused and smaller ones went on into the old file, but recovery looked for them in the new one.
#[test]
fn writing_stops_when_a_journal_file_cannot_be_named_for_certain() {
    let failing_rename = Fault { op: FaultOp::Rename, ..failing_sync_of("journal", 1) };
    // Whose record asked for the file meets the one; the other is met by a checkpoint, and whoever writes next is told.
    for (fault, met) in [(failing_rename, ErrorKind::Io), (failing_sync_of("journal", 1), ErrorKind::WritesStopped)] {
        let mut trial = Trial::new(SETUP, SimDisk::new(1));
        trial.run(&add(10)).unwrap();
        trial.disk.inject(fault);
        while trial.run(&add(700)).is_ok() {}
        assert_eq!(trial.failed, Some(met));
        assert!(trial.run(&add(1)).is_err());
        assert_eq!(trial.failed, Some(ErrorKind::WritesStopped));
        trial.reopen_after_failure().unwrap();
    }
}

/// A checkpoint failed to sync the directory of a new segment. The next process made the segment again under the name
/// that was there; no later sync made it durable, and redb named a file that the power took.
#[test]
fn a_segment_made_again_after_its_name_could_not_be_synced_is_there_for_good() {
    for dir in ["streams/1", "streams"] {
        let mut trial = Trial::new(SETUP, SimDisk::new(1));
        trial.run(&add(10)).unwrap();
        trial.disk.inject(failing_sync_of(dir, 1));
        assert!(trial.run(&Op::Checkpoint).is_err(), "{dir}");
        trial.reopen_after_failure().unwrap();
        trial.run(&Op::Checkpoint).unwrap();
        trial.crash(Survival::Nothing, &[]).unwrap();
    }
}

/// A recovery wrote a new redb, in which a stream was deleted, and was killed before the name of the file was durable. The
/// next recovery read that file and removed the stream's segments; the power went, and the redb that came back named them.
#[test]
fn a_recovery_removes_nothing_because_of_a_redb_that_may_not_be_durable() {
    for within in 1..60 {
        for later in [6, 12] {
            let mut trial = Trial::new(SETUP, SimDisk::new(1));
            for name in ["batch", "checkpoint", "delete stream"] {
                let op = letter(name).1(trial.model.now());
                trial.run(&op).unwrap();
            }
            let back = trial.crash(Survival::Kill, &[(within, Survival::Kill), (later, Survival::Nothing)]);
            back.unwrap_or_else(|complaint| panic!("{within}, {later}: {complaint}"));
        }
    }
}

/// The first process had named the journal's first file and could not make the name durable. The next wrote a new redb,
/// which said that there is a journal, and the power went: no such file, and the directory could not be opened any more.
/// Or it was half-way with the new redb, and that stayed for ever.
#[test]
fn a_journal_whose_name_was_never_durable_is_not_missed() {
    for within in 1..60 {
        for survival in [Survival::Nothing, Survival::Sectors(within), Survival::Prefix(within)] {
            let disk = SimDisk::new(1);
            disk.inject(failing_sync_of("journal", 1));
            let mut trial = Trial::new(SETUP, disk);
            assert!(trial.live.is_none());
            let back = trial.crash(Survival::Kill, &[(within, survival)]).and_then(|()| trial.check_files());
            back.unwrap_or_else(|complaint| panic!("{within}, {survival:?}: {complaint}"));
        }
    }
}

/// Entries all of one size, in files of the journal that are used again as they are: where one ends in the one life it may end in the next,
/// and what follows then is whole, and old.
#[test]
fn what_a_journal_file_was_before_is_told_from_what_it_is() {
    let names = ["add", "add", "add", "trim all", "checkpoint"];
    for survival in [Survival::Kill, Survival::Nothing, Survival::All, Survival::Sectors(1), Survival::Torn(1)] {
        for steps in 100..110 {
            let mut trial = Trial::new(SETUP, SimDisk::new(steps));
            for name in names.into_iter().cycle().take(steps as usize) {
                let op = letter(name).1(trial.model.now());
                trial.run(&op).unwrap();
            }
            trial.crash(survival, &[]).unwrap_or_else(|complaint| panic!("{steps}, {survival:?}: {complaint}"));
        }
    }
}
