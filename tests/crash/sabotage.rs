//! Each rule broken, one at a time: that the checker says nothing means something only if it says something then.
//!
//! Most rules are broken by a disk that lies: a sync that does nothing, or comes too late, is an order that is not kept.
//! Those that no disk can break are switches of the engine, [`Sabotage`]. Each must be noticed within so many seeds,
//! and the workload in which it was is right where nothing is broken.
//!
//! | Rule | Broken by | Noticed in |
//! |---|---|---|
//! | a write waits for the journal's sync | the sync does nothing | long workloads |
//! | a file of the journal is synced before what is in the next counts | older files are not synced | long workloads |
//! | a file of the journal has its name only when its head is synced | the sync comes after the directory's | long workloads |
//! | the name of a file of the journal is durable before its records count | the directory is not synced | long workloads |
//! | the journal is synced as far as a checkpoint reaches, then redb is committed | not synced | long workloads |
//! | segments are synced, then redb is committed | they are synced with the journal after it | long workloads |
//! | the names of segments are durable, then redb is committed | their directories are not synced | long workloads |
//! | the directory of a stream is durable, then redb is committed | `streams` is not synced | long workloads |
//! | redb is committed, then segments go | redb is synced when one is removed | long workloads |
//! | redb is committed, then files of the journal go | redb is synced when one is removed, or renamed | long workloads |
//! | what was removed is gone for good before a clean close | removals are not synced | short workloads |
//! | FORMAT has its name only when it is whole | the sync comes after the directory's | a new directory |
//! | redb has its name only when it is whole | made under its name; synced after the directory | a new directory |
//! | the names in the directory are durable before anything is | the directory is not synced | a new directory |
//! | what was replayed is published when a checkpoint has it | published at once | long workloads |
//! | the next LSN is above what redb knows | it follows the journal | crashed recoveries |
//! | files past the journal's end go before a new one is begun | they stay | long workloads |
//! | replay leaves out what a stream's rows cover | it leaves out nothing | work amid checkpoints |
//! | operations that are one are one record | a record each | long workloads |
//! | an add is seen when it is durable | at once | disks that err |

use streamlog::Sabotage;
use streamlog::sim::{FaultOp, Lie, Survival};

use super::broken::Broken;
use super::exhaust::{Exhaust, KILL_OR_SECTORS};
use super::long::{OS, amid, erring, long};
use super::trial::{Setup, Verdict};
use super::workload::{BEGUN, Letter, letter};

/// Workloads by their seeds.
type Workloads = fn(u64, Broken) -> Verdict<u64>;

/// How many may pass before the checker must have complained.
const SEEDS_MAX: u64 = 1000;

/// # Panics
///
/// If the checker does not complain, or also does where nothing is broken.
fn noticed(broken: Broken, workloads: Workloads) {
    noticed_by(broken, workloads, |_| true);
}

/// As [`noticed`]; only this complaint counts.
fn noticed_by(broken: Broken, workloads: Workloads, counts: fn(&str) -> bool) {
    let complaint = |seed| workloads(seed, broken).err().filter(|text| counts(text)).map(|text| (seed, text));
    let complaint = (0..SEEDS_MAX).find_map(complaint);
    let Some((seed, text)) = complaint else { panic!("{broken:?}: {SEEDS_MAX} seeds and no complaint") };
    println!("{broken:?}: seed {seed}: {}", text.lines().next().unwrap_or_default());
    workloads(seed, Broken::Nothing).unwrap_or_else(|text| panic!("nothing is broken: {text}"));
}

/// A directory being made, with a kind of survival for each seed.
fn making(seed: u64, broken: Broken) -> Verdict<u64> {
    let kinds =
        [Survival::Kill, Survival::Nothing, Survival::Prefix(seed), Survival::Sectors(seed), Survival::Torn(seed)];
    let survivals = &kinds[seed as usize % kinds.len()..][..1];
    let letters = [BEGUN[0]];
    Exhaust { setup: Setup::ALWAYS, begun: &[], letters: &letters, survivals, broken, in_recovery: false }.run()
}

/// Short workloads crashed everywhere, and after they are done.
fn short(seed: u64, broken: Broken) -> Verdict<u64> {
    let chosen: [&[&str]; 2] = [&["checkpoint", "trim all", "reopen"], &["checkpoint", "delete stream", "reopen"]];
    let letters: Vec<Letter> = chosen[seed as usize % 2].iter().map(|name| letter(name)).collect();
    let survivals = [Survival::Nothing];
    let (setup, survivals) = (Setup { levels: OS, ..Setup::ALWAYS }, &survivals);
    Exhaust { setup, begun: &BEGUN, letters: &letters, survivals, broken, in_recovery: false }.run()
}

/// Short workloads whose recoveries are crashed everywhere.
fn recovery(_: u64, broken: Broken) -> Verdict<u64> {
    let letters = [letter("add os")];
    let setup = Setup { levels: OS, ..Setup::ALWAYS };
    let survivals = &KILL_OR_SECTORS[..1];
    Exhaust { setup, begun: &BEGUN, letters: &letters, survivals, broken, in_recovery: true }.run()
}

const fn late(file: &'static str, op: FaultOp, until: &'static str) -> Broken {
    Broken::Disk(Lie::Late { file, until: (op, until) })
}

#[test]
fn it_is_noticed_where_the_journal_is_not_synced() {
    noticed(Broken::Disk(Lie::File("journal/")), long);
}

#[test]
fn it_is_noticed_where_an_older_file_of_the_journal_is_not_synced() {
    noticed(Broken::Disk(Lie::OlderFile("journal/")), long);
}

#[test]
fn it_is_noticed_where_a_file_of_the_journal_is_named_before_its_head_is_synced() {
    noticed(late("journal/spare", FaultOp::SyncDir, "journal"), long);
}

#[test]
fn it_is_noticed_where_the_journals_directory_is_not_synced() {
    noticed(Broken::Disk(Lie::Dir("journal")), long);
}

#[test]
fn it_is_noticed_where_redb_is_committed_before_the_journal_is_synced() {
    noticed(Broken::Engine(Sabotage::CheckpointBeforeJournal), long);
}

#[test]
fn it_is_noticed_where_redb_is_committed_before_segments_are_synced() {
    noticed(late("streams/", FaultOp::Sync, "journal/"), long);
}

#[test]
fn it_is_noticed_where_the_directories_of_segments_are_not_synced() {
    noticed(Broken::Disk(Lie::Dir("streams/")), long);
}

#[test]
fn it_is_noticed_where_the_directory_of_streams_is_not_synced() {
    noticed(Broken::Disk(Lie::Dir("streams")), long);
}

#[test]
fn it_is_noticed_where_segments_go_before_redb_is_committed() {
    noticed(late("state.redb", FaultOp::Remove, "streams/"), long);
}

#[test]
fn it_is_noticed_where_files_of_the_journal_go_before_redb_is_committed() {
    noticed(late("state.redb", FaultOp::Remove, "journal/"), long);
    noticed(late("state.redb", FaultOp::Rename, "journal/"), long);
}

#[test]
fn it_is_noticed_where_what_was_removed_may_come_back() {
    noticed(Broken::Disk(Lie::Removals("streams/")), short);
    noticed(Broken::Disk(Lie::Removals("streams")), short);
}

#[test]
fn it_is_noticed_where_format_is_named_before_it_is_synced() {
    noticed(late("FORMAT.new", FaultOp::SyncDir, ""), making);
}

#[test]
fn it_is_noticed_where_redb_is_made_in_its_place_or_named_before_it_is_synced() {
    noticed(Broken::Disk(Lie::InPlace("state.redb.new", "state.redb")), making);
    noticed(late("state.redb.new", FaultOp::SyncDir, ""), making);
}

#[test]
fn it_is_noticed_where_the_root_is_not_synced() {
    noticed(Broken::Disk(Lie::Dir("")), making);
}

#[test]
fn it_is_noticed_where_what_was_replayed_is_published_before_a_checkpoint() {
    // That the old files stay is part of how it is broken.
    let came_back = |text: &str| !text.contains("the journal's files after a checkpoint");
    noticed_by(Broken::Engine(Sabotage::PublishBeforeCheckpoint), long, came_back);
}

#[test]
fn it_is_noticed_where_the_next_lsn_follows_the_journal_alone() {
    noticed(Broken::Engine(Sabotage::NumberFromJournal), recovery);
}

#[test]
fn it_is_noticed_where_files_past_the_journals_end_stay() {
    noticed(Broken::Engine(Sabotage::KeepBeyond), long);
}

#[test]
fn it_is_noticed_where_replay_does_not_ask_what_rows_cover() {
    noticed(Broken::Engine(Sabotage::ReplayTwice), amid);
}

#[test]
fn it_is_noticed_where_operations_that_are_one_are_a_record_each() {
    noticed(Broken::Engine(Sabotage::RecordEach), long);
}

#[test]
fn it_is_noticed_where_an_add_is_seen_before_it_is_synced() {
    noticed(Broken::Engine(Sabotage::PublishBeforeSync), erring);
}
