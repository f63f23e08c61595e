//! The journal as it goes from file to file.

use std::io;

use super::*;
use crate::storage::sim::random::Random;
use crate::storage::sim::{Fault, FaultOp, SimDisk, Survival};

const FILE_BYTES: u64 = 4096;

fn journal(disk: &SimDisk) -> Journal {
    let storage = disk.storage();
    create_dir(&*storage).unwrap();
    Journal::start(storage, [0xd1; 16], FILE_BYTES, FILE_BYTES, 1, b"").unwrap()
}

fn add(journal: &Journal, len: usize) -> Option<Lsn> {
    journal.append_record(true, |out| out.resize(out.len() + len, 7)).unwrap()
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.storage().list(JOURNAL).unwrap()
}

/// The story: each of sixteen writers that had met the end of a file made a new one, and most of those stayed empty.
#[test]
fn of_many_who_meet_the_end_of_a_file_one_makes_the_next() {
    let disk = SimDisk::new(1);
    let journal = journal(&disk);
    while add(&journal, 1000).is_some() {}
    let before = disk.operations();
    for _ in 0..4 {
        journal.rotate(1000, false, |_| Vec::new()).unwrap();
    }
    assert_eq!(names(&disk), ["00000000000000000001.log", "00000000000000000004.log"]);
    let once = disk.operations() - before;
    journal.rotate(1000, false, |_| unreachable!("there is room")).unwrap();
    assert_eq!(disk.operations() - before, once);
    assert_eq!(add(&journal, 1000), Some(4));
    // One that is larger than the room that is left, and than any file.
    journal.rotate(2 * FILE_BYTES, false, |_| Vec::new()).unwrap();
    assert_eq!(add(&journal, 2 * FILE_BYTES as usize), Some(5));
    // The room that is asked for is what is needed, to the byte.
    let journal = &self::journal(&SimDisk::new(2));
    let largest = (0..FILE_BYTES).rev().find(|&len| add(journal, len as usize).is_some()).unwrap();
    let disk = SimDisk::new(3);
    let journal = &self::journal(&disk);
    journal.rotate(largest, false, |_| unreachable!("there is room")).unwrap();
    journal.rotate(largest + 1, false, |_| Vec::new()).unwrap();
    assert!(add(journal, largest as usize + 1).is_some());
}

/// The records that an opening would find.
fn recovered(disk: &SimDisk) -> Vec<Lsn> {
    let mut found = Vec::new();
    let each = |lsn, _: &[u8]| {
        found.push(lsn);
        Ok(())
    };
    recover(&*disk.storage(), [0xd1; 16], 0, 0, each).unwrap();
    found
}

#[test]
fn what_was_not_handed_to_the_system_yet_goes_to_its_own_file_when_a_new_one_is_begun() {
    let disk = SimDisk::new(1);
    let journal = journal(&disk);
    journal.append_record(false, |out| out.resize(out.len() + 1000, 7)).unwrap().unwrap();
    journal.rotate(FILE_BYTES, false, |_| Vec::new()).unwrap();
    assert_eq!(recovered(&disk), [1]);
    add(&journal, FILE_BYTES as usize);
    assert_eq!(recovered(&disk), [1, 2]);
}

#[test]
fn a_cut_ends_behind_the_last_record_though_it_was_not_handed_to_the_system_yet() {
    let disk = SimDisk::new(1);
    let journal = journal(&disk);
    journal.append_record(false, |out| out.resize(out.len() + 1000, 7)).unwrap().unwrap();
    let Cut { last_lsn, files, mark } = journal.cut().unwrap();
    assert_eq!((last_lsn, files.len()), (1, 1));
    let file = disk.storage().open(&files[0].0).unwrap();
    file.set_len(files[0].1).unwrap();
    file.write_at(&mark, files[0].1).unwrap();
    let recovery = recover(&*disk.storage(), [0xd1; 16], 0, 0, |_, _| Ok(())).unwrap();
    assert_eq!((recovery.last_lsn, recovery.clean), (1, true));
}

#[test]
fn a_file_is_given_up_once_its_last_record_is_of_no_use_and_no_sooner() {
    let disk = SimDisk::new(1);
    let journal = journal(&disk);
    while add(&journal, 1000).is_some() {}
    journal.rotate(1000, false, |_| Vec::new()).unwrap();
    assert_eq!(add(&journal, 1000), Some(4));
    journal.release(2, 0).unwrap();
    assert_eq!(recovered(&disk), [1, 2, 3, 4]);
    journal.release(3, 0).unwrap();
    assert_eq!(recovered(&disk), [1, 2, 3, 4], "nothing of the next file is durable");
    journal.wait_synced(4, |_| {}).unwrap();
    journal.release(3, 0).unwrap();
    assert_eq!(names(&disk), ["00000000000000000004.log"]);
    journal.release(9, 0).unwrap();
    assert_eq!(names(&disk), ["00000000000000000004.log"], "the last one is written to");
}

/// The story: the record that a new file was begun for was too large for it. The larger file made in its place took its
/// name, and must not go with it.
#[test]
fn a_file_that_took_the_place_of_an_empty_one_is_not_given_up_in_its_place() {
    let disk = SimDisk::new(1);
    let journal = journal(&disk);
    journal.rotate(2 * FILE_BYTES, false, |_| Vec::new()).unwrap();
    add(&journal, 2 * FILE_BYTES as usize).unwrap();
    journal.release(0, 0).unwrap();
    assert_eq!(recovered(&disk), [1]);
}

/// The story: a full disk left half a spare for ever, which took up the room that was missing.
#[test]
fn a_file_that_could_not_be_made_leaves_nothing_behind() {
    let first = ["00000000000000000001.log"];
    for op in [FaultOp::Create, FaultOp::Write, FaultOp::Sync] {
        let disk = SimDisk::new(1);
        let journal = journal(&disk);
        let fail = |after| {
            let path_contains = Some("spare".to_owned());
            disk.inject(Fault { op, path_contains, after, times: 1, error: io::ErrorKind::StorageFull });
        };
        add(&journal, FILE_BYTES as usize / 2);
        fail(0);
        journal.prepare_spare().unwrap_err();
        assert_eq!(names(&disk), first, "a spare, {op:?}");
        fail(0);
        journal.rotate(FILE_BYTES / 2, false, |_| Vec::new()).unwrap_err();
        assert_eq!(names(&disk), first, "a file without a spare, {op:?}");
        if op == FaultOp::Write {
            assert!(journal.prepare_spare().unwrap());
            fail(0);
            journal.rotate(FILE_BYTES / 2, false, |_| Vec::new()).unwrap_err();
            assert_eq!(names(&disk), first, "the snapshot of a file from a spare");
            for (after, what) in [(0, "header"), (1, "zeros"), (2, "snapshot")] {
                fail(after);
                journal.rotate(FILE_BYTES / 2, false, |_| Vec::new()).unwrap_err();
                assert_eq!(names(&disk), first, "the {what} of a file without a spare");
            }
        }
        assert_eq!(add(&journal, 10), Some(2), "nothing has changed");
        assert!(journal.prepare_spare().unwrap());
        journal.rotate(FILE_BYTES / 2, false, |_| Vec::new()).unwrap();
        assert_eq!(add(&journal, 10), Some(3));
        assert_eq!(names(&disk), ["00000000000000000001.log", "00000000000000000003.log"]);
    }
}

/// On a full disk those who add must not take what acknowledgements need.
#[test]
fn the_last_spare_is_for_records_that_add_nothing() {
    let disk = SimDisk::new(1);
    let journal = journal(&disk);
    add(&journal, FILE_BYTES as usize / 2);
    while journal.prepare_spare().unwrap() {}
    disk.set_capacity(Some(0));
    assert!(journal.prepare_spare().is_ok_and(|made| !made), "enough are ready");
    journal.rotate(FILE_BYTES / 2, true, |_| Vec::new()).unwrap();
    assert_eq!(add(&journal, FILE_BYTES as usize / 2), Some(2));
    let refused = journal.rotate(FILE_BYTES / 2, true, |_| Vec::new()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    journal.rotate(FILE_BYTES / 2, false, |_| Vec::new()).unwrap();
    assert_eq!(add(&journal, FILE_BYTES as usize / 2), Some(3));
    let refused = journal.rotate(FILE_BYTES / 2, false, |_| Vec::new()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull, "it is given up");
}

/// The story: each eight megabytes all who added waited for two syncs, of the new file's head and of its name.
#[test]
fn a_new_file_is_gone_on_in_without_a_sync_and_the_next_sync_covers_its_name_and_its_head() {
    let disk = SimDisk::new(1);
    let journal = journal(&disk);
    disk.storage().sync_dir("").unwrap();
    add(&journal, 1000);
    journal.prepare_spare().unwrap();
    for op in [FaultOp::Sync, FaultOp::SyncDir] {
        disk.inject(Fault { op, path_contains: None, after: 0, times: 1, error: io::ErrorKind::Other });
    }
    journal.rotate(FILE_BYTES - 1000, false, |_| b"snapshot".to_vec()).unwrap();
    assert_eq!(add(&journal, 1000), Some(2));
    disk.clear_faults();
    journal.wait_synced(2, |_| {}).unwrap();
    disk.crash();
    disk.restart(Survival::Nothing);
    assert_eq!(recovered(&disk), [1, 2]);
    assert_eq!(snapshot(&*disk.storage(), [0xd1; 16], 2).unwrap(), b"snapshot");
}

/// The story: a checkpoint gave up files while one was begun, and its sync of the directory failed. That said, the next sync found the
/// directory clean; what was in the new file was told to be durable, and its name was not.
#[test]
fn a_sync_of_the_directory_that_failed_is_not_believed_away() {
    let disk = SimDisk::new(1);
    let journal = journal(&disk);
    disk.storage().sync_dir("").unwrap();
    let rotate = || {
        journal.prepare_spare().unwrap();
        journal.rotate(FILE_BYTES - 100, false, |_| b"snapshot".to_vec()).unwrap();
    };
    add(&journal, 1000);
    rotate();
    add(&journal, 1000);
    journal.wait_synced(2, |_| {}).unwrap();
    rotate();
    assert_eq!(add(&journal, 1000), Some(3));
    let path_contains = None;
    disk.inject(Fault { op: FaultOp::SyncDir, path_contains, after: 0, times: 1, error: io::ErrorKind::Other });
    journal.release(1, 4).unwrap_err();
    assert_eq!(journal.wait_synced(3, |_| {}).unwrap_err().kind(), ErrorKind::WritesStopped);
    disk.crash();
    disk.restart(Survival::Nothing);
    assert_eq!(recover(&*disk.storage(), [0xd1; 16], 1, 1, |_, _| Ok(())).unwrap().last_lsn, 2);
}

/// The story: a checkpoint synced all of the journal, and so each entry that was to survive a kill and no more went to the disk twice.
#[test]
fn a_checkpoint_syncs_no_file_that_holds_only_what_redb_has() {
    for is_noted in [false, true] {
        let disk = SimDisk::new(1);
        let journal = journal(&disk);
        disk.storage().sync_dir("").unwrap();
        add(&journal, 1000);
        for lsn in 2..=4 {
            journal.rotate(FILE_BYTES - 100, false, |_| b"snapshot".to_vec()).unwrap();
            assert_eq!(add(&journal, 1000), Some(lsn));
        }
        for not_synced in [1, 2, 4] {
            let path_contains = Some(file::path(not_synced));
            disk.inject(Fault { op: FaultOp::Sync, path_contains, after: 0, times: 1, error: io::ErrorKind::Other });
        }
        journal.sync_between(2, 3, |_| unreachable!("nothing counts as durable yet")).unwrap();
        assert_eq!(journal.synced_lsn(), 0);
        journal.release(2, 4).unwrap();
        assert_eq!(recovered(&disk), [1, 2, 3, 4], "nothing is given up yet");
        if is_noted {
            journal.note_durable(2, 3);
            assert_eq!(journal.synced_lsn(), 3);
            journal.release(2, 4).unwrap();
        }
        disk.clear_faults();
        disk.crash();
        disk.restart(Survival::Nothing);
        if is_noted {
            let recovery = recover(&*disk.storage(), [0xd1; 16], 2, 3, |_, _| Ok(())).unwrap();
            assert_eq!(recovery.last_lsn, 3);
            assert_eq!(recovery.used, [file::path(3), file::path(4)], "that name went along");
        } else {
            assert_eq!(recovered(&disk), [] as [Lsn; 0], "the one prefix that there is");
        }
    }
}

/// Files are gone on in again and again as they are, synced or not; whatever mixture of their lives a power cut leaves, what was durable is
/// found, and of the rest one prefix.
#[test]
fn of_files_with_many_lives_a_power_cut_leaves_what_was_durable_and_one_prefix() {
    for seed in 0..400 {
        let disk = SimDisk::new(seed);
        let journal = journal(&disk);
        disk.storage().sync_dir("").unwrap();
        let mut random = Random::new(seed);
        let (mut floor, mut covered) = (0, 0);
        for _ in 0..=random.below(200) {
            let lsn = journal.last_lsn() + 1;
            let len = random.below(1500) as usize + 8;
            let encode = |out: &mut Vec<u8>| out.extend(lsn.to_be_bytes().iter().cycle().take(len));
            while journal.append_record(true, encode).unwrap().is_none() {
                journal.rotate(len as u64, false, |_| vec![7; len % 100]).unwrap();
            }
            match random.below(20) {
                0 => journal.wait_synced(lsn, |_| {}).unwrap(),
                1 | 2 => {
                    floor += random.below(lsn - floor + 1);
                    covered = floor.max(covered);
                    covered += random.below(lsn - covered + 1);
                    journal.sync_between(floor, covered, |_| {}).unwrap();
                    journal.note_durable(floor, covered);
                    journal.release(floor, 3).unwrap();
                }
                _ => {}
            }
        }
        let (synced, last) = (journal.synced_lsn(), journal.last_lsn());
        disk.crash();
        disk.restart(match seed % 4 {
            0 => Survival::Nothing,
            1 => Survival::Prefix(seed),
            2 => Survival::Torn(seed),
            _ => Survival::Sectors(seed),
        });
        let mut found = floor;
        let each = |lsn: Lsn, body: &[u8]| {
            assert_eq!((lsn, &body[..8]), (found + 1, &lsn.to_be_bytes()[..]), "seed {seed}");
            found = lsn;
            Ok(())
        };
        let recovery = recover(&*disk.storage(), [0xd1; 16], floor, covered, each)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(found, recovery.last_lsn.max(floor), "seed {seed}");
        assert!((synced..=last).contains(&found), "seed {seed}: {found} of {synced} to {last}");
    }
}
