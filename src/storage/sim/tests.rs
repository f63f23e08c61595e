//! The disk as a whole: the contract while it runs, and what a crash leaves of it.

use std::{collections::BTreeSet, io::ErrorKind, time::Instant};

use redb::{Database, ReadableDatabase, TableDefinition};

use super::*;
use crate::storage::{File, RedbFile, memory::contract};

const SEEDS: u64 = 200;

fn fault(op: FaultOp, path: &str, error: ErrorKind) -> Fault {
    Fault { op, path_contains: Some(path.to_owned()), after: 0, times: 1, error }
}

/// A file whose name and bytes are durable.
fn synced(disk: &SimDisk, path: &str, bytes: &[u8]) -> Arc<dyn File> {
    let storage = disk.storage();
    let file = storage.create(path).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
    storage.sync_dir(split(path).0).unwrap();
    file
}

fn power_losses(seed: u64) -> [Survival; 5] {
    [Survival::Nothing, Survival::All, Survival::Prefix(seed), Survival::Sectors(seed), Survival::Torn(seed)]
}

#[test]
fn the_simulated_disk_keeps_the_contract() {
    contract::holds(&*SimDisk::new(1).storage());
}

#[test]
fn what_was_synced_survives_every_crash() {
    for seed in 0..SEEDS {
        for survival in power_losses(seed).into_iter().chain([Survival::Kill]) {
            let disk = SimDisk::new(seed);
            synced(&disk, "f", &[7; 5000]);
            disk.crash();
            disk.restart(survival);
            assert_eq!(disk.read_all("f").unwrap(), [7; 5000], "{survival:?}");
        }
    }
}

#[test]
fn a_kill_keeps_what_a_later_power_loss_takes() {
    let disk = SimDisk::new(1);
    let file = synced(&disk, "f", b"old");
    file.write_at(b"new", 0).unwrap();
    disk.storage().create("g").unwrap();
    disk.restart(Survival::Kill);
    assert_eq!(disk.read_all("f").unwrap(), b"new");
    assert_eq!(disk.list_all(), ["f", "g"]);
    disk.restart(Survival::Nothing);
    assert_eq!(disk.read_all("f").unwrap(), b"old");
    assert_eq!(disk.list_all(), ["f"]);
}

#[test]
fn a_kill_leaves_pending_what_the_next_process_can_sync() {
    let disk = SimDisk::new(1);
    synced(&disk, "f", b"old").write_at(b"new", 0).unwrap();
    disk.restart(Survival::Kill);
    disk.storage().open("f").unwrap().sync().unwrap();
    disk.restart(Survival::Nothing);
    assert_eq!(disk.read_all("f").unwrap(), b"new");
}

#[test]
fn bytes_and_names_are_durable_apart() {
    let disk = SimDisk::new(1);
    let storage = disk.storage();
    storage.create("bytes").unwrap().write_at(b"x", 0).unwrap();
    storage.open("bytes").unwrap().sync().unwrap();
    disk.restart(Survival::Nothing);
    assert!(disk.list_all().is_empty(), "no sync of the directory");

    let storage = disk.storage();
    storage.create("name").unwrap().write_at(b"x", 0).unwrap();
    storage.sync_dir("").unwrap();
    disk.restart(Survival::Nothing);
    assert_eq!(disk.read_all("name").unwrap(), b"", "no sync of the file");
}

#[test]
fn a_directory_without_a_durable_name_takes_all_in_it_with_it() {
    let disk = SimDisk::new(1);
    disk.storage().create_dir("a/b").unwrap();
    synced(&disk, "a/b/f", b"x");
    disk.storage().sync_dir("a").unwrap();
    disk.restart(Survival::Nothing);
    assert!(disk.storage().list("").unwrap().is_empty());
}

#[test]
fn a_name_never_synced_shows_an_empty_shorter_zeroed_or_whole_file() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        for survival in power_losses(seed) {
            let disk = SimDisk::new(seed);
            let storage = disk.storage();
            let file = storage.create("f").unwrap();
            storage.sync_dir("").unwrap();
            file.write_at(&[7; 1000], 0).unwrap();
            disk.restart(survival);
            let bytes = disk.read_all("f").unwrap();
            seen.insert(match bytes.len() {
                0 => "empty",
                1000 if bytes.iter().all(|byte| *byte == 0) => "zeroed",
                1000 if bytes == [7; 1000] => "whole",
                1000 => "mixed",
                _ => "shorter",
            });
        }
    }
    assert_eq!(seen, BTreeSet::from(["empty", "shorter", "zeroed", "mixed", "whole"]));
}

#[test]
fn a_rename_that_replaces_leaves_one_of_the_two_files() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        for survival in power_losses(seed) {
            let disk = SimDisk::new(seed);
            synced(&disk, "f", b"old");
            let storage = disk.storage();
            let new = storage.create("f.new").unwrap();
            new.write_at(b"new", 0).unwrap();
            new.sync().unwrap();
            storage.rename("f.new", "f").unwrap();
            disk.restart(survival);
            let bytes = disk.read_all("f").expect("never neither");
            seen.insert((String::from_utf8(bytes).unwrap(), disk.list_all().len()));
        }
    }
    let outcomes = [("old", 1), ("old", 2), ("new", 1)];
    assert_eq!(seen, outcomes.map(|(bytes, names)| (bytes.to_owned(), names)).into());
}

#[test]
fn a_removed_name_may_come_back_until_the_directory_is_synced() {
    let disk = SimDisk::new(1);
    let file = synced(&disk, "f", b"kept");
    disk.storage().remove("f").unwrap();
    drop(file);
    disk.restart(Survival::Nothing);
    assert_eq!(disk.read_all("f").unwrap(), b"kept");
    disk.storage().remove("f").unwrap();
    disk.storage().sync_dir("").unwrap();
    disk.restart(Survival::Nothing);
    assert!(disk.list_all().is_empty());
}

#[test]
fn files_and_names_survive_independently_of_each_other() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        let (a, b) = (synced(&disk, "a", b"0"), synced(&disk, "b", b"0"));
        a.write_at(b"1", 0).unwrap();
        b.write_at(b"1", 0).unwrap();
        disk.storage().create("c").unwrap();
        disk.restart(Survival::Prefix(seed));
        let names = disk.list_all().len();
        seen.insert((disk.read_all("a"), disk.read_all("b"), names));
    }
    assert_eq!(seen.len(), 8);
}

#[test]
fn every_operation_from_the_crash_on_fails_until_the_restart() {
    let disk = SimDisk::new(1);
    let storage = disk.storage();
    let file = storage.create("f").unwrap();
    let lock = storage.lock("LOCK").unwrap();
    disk.crash_at(disk.operations() + 2);
    storage.create("g").unwrap();
    assert_eq!(storage.create("h").unwrap_err().to_string(), "simulated crash");
    assert!(disk.is_off());
    assert_eq!(disk.list_all(), ["LOCK", "f", "g"]);
    let dead = |storage: &dyn Storage, file: &dyn File| {
        assert!(file.read_at(&mut [0], 0).is_err() && file.len().is_err());
        assert!(file.write_at(b"x", 0).is_err() && file.sync().is_err());
        assert!(storage.open("f").is_err() && storage.list("").is_err());
        assert!(storage.lock("LOCK").is_err() && storage.sync_dir("").is_err());
    };
    dead(&*storage, &*file);
    dead(&*disk.storage(), &*file);
    disk.restart(Survival::Kill);
    dead(&*storage, &*file);

    // The dead boot's lock is free, and dropping it does not release the new one.
    let held = disk.storage().lock("LOCK").unwrap();
    drop(lock);
    assert_eq!(disk.storage().lock("LOCK").unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(held);
    disk.storage().lock("LOCK").unwrap();
    assert_eq!(disk.read_all("f").unwrap(), b"");
}

#[test]
fn a_write_at_the_crash_is_done_in_part() {
    let mut lens = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        let file = disk.storage().create("f").unwrap();
        disk.crash_at(2);
        assert_eq!(file.write_at(&[7; 4], 0).unwrap_err().kind(), ErrorKind::Other);
        disk.restart(Survival::Kill);
        lens.insert(disk.read_all("f").unwrap().len());
    }
    assert_eq!(lens, (0..=4).collect());
}

#[test]
fn a_sync_at_the_crash_may_have_been_done() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        let file = synced(&disk, "f", b"00");
        file.write_at(b"1", 0).unwrap();
        file.write_at(b"1", 1).unwrap();
        disk.crash_at(disk.operations() + 1);
        file.sync().unwrap_err();
        disk.restart(Survival::Nothing);
        seen.insert(disk.read_all("f").unwrap());
    }
    assert_eq!(seen, [b"00", b"10", b"11"].map(|bytes| bytes.to_vec()).into());
}

#[test]
fn a_failed_sync_is_never_made_good_by_the_next() {
    let disk = SimDisk::new(1);
    let file = synced(&disk, "f", b"old");
    file.write_at(b"new", 0).unwrap();
    disk.inject(fault(FaultOp::Sync, "f", ErrorKind::Other));
    file.sync().unwrap_err();
    file.sync().unwrap();
    disk.restart(Survival::Kill);
    assert_eq!(disk.read_all("f").unwrap(), b"new");
    disk.storage().open("f").unwrap().sync().unwrap();
    for seed in 0..SEEDS {
        disk.restart(Survival::Sectors(seed));
        assert_eq!(disk.read_all("f").unwrap(), b"old");
    }
}

#[test]
fn faults_fail_their_operation_and_leave_the_rest_alone() {
    let disk = SimDisk::new(1);
    let storage = disk.storage();
    let file = synced(&disk, "f", b"old");
    let kinds = [FaultOp::Open, FaultOp::Read, FaultOp::Create, FaultOp::Rename, FaultOp::Remove, FaultOp::SetLen];
    for op in kinds {
        disk.inject(fault(op, "f", ErrorKind::PermissionDenied));
    }
    let errors = [
        storage.open("f").unwrap_err(),
        file.read_at(&mut [0], 0).unwrap_err(),
        storage.create("f").unwrap_err(),
        storage.rename("f", "g").unwrap_err(),
        storage.remove("f").unwrap_err(),
        file.set_len(0).unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::PermissionDenied));
    assert_eq!(disk.read_all("f").unwrap(), b"old");
    storage.rename("f", "g").unwrap();
    // Aimed by the name the file has now.
    disk.inject(fault(FaultOp::Write, "g", ErrorKind::Other));
    file.write_at(b"new", 0).unwrap_err();
    file.write_at(b"new", 0).unwrap();
}

#[test]
fn a_full_disk_takes_what_fits_and_writes_over_what_it_has() {
    let disk = SimDisk::new(1);
    let file = synced(&disk, "f", &[0; 8192]);
    assert_eq!(disk.used(), 8192);
    disk.set_capacity(Some(12_288));
    let other = disk.storage().create("g").unwrap();
    other.set_len(1 << 30).unwrap();
    assert_eq!(disk.used(), 8192);
    assert_eq!(other.write_at(&[1; 5000], 0).unwrap_err().kind(), ErrorKind::StorageFull);
    let mut bytes = [0; 5000];
    other.read_at(&mut bytes, 0).unwrap();
    assert!(bytes[..4096] == [1; 4096] && bytes[4096..] == [0; 904]);
    file.write_at(&[2; 8192], 0).unwrap();
    assert_eq!(file.write_at(b"x", 8192).unwrap_err().kind(), ErrorKind::StorageFull);
    disk.storage().remove("g").unwrap();
    file.write_at(b"x", 8192).unwrap();
}

#[test]
fn a_sync_that_is_a_lie_says_ok_and_loses_the_bytes() {
    let disk = SimDisk::new(1);
    disk.lie(Lie::File("journal"));
    synced(&disk, "journal.log", b"lost");
    synced(&disk, "other.log", b"kept");
    disk.restart(Survival::Nothing);
    assert_eq!(disk.read_all("journal.log").unwrap(), b"");
    assert_eq!(disk.read_all("other.log").unwrap(), b"kept");
    disk.lie(Lie::Dir(""));
    synced(&disk, "unnamed", b"lost");
    disk.restart(Survival::Nothing);
    assert_eq!(disk.list_all(), ["journal.log", "other.log"]);
}

#[test]
fn a_late_sync_is_done_with_what_it_waits_for_and_makes_durable_what_there_was() {
    let disk = SimDisk::new(1);
    disk.write_all("dir/f", b"");
    disk.write_all("dir/g", b"");
    disk.lie(Lie::Late { file: "dir/f", until: (FaultOp::Remove, "dir/g") });
    let file = disk.storage().open("dir/f").unwrap();
    file.write_at(b"late", 0).unwrap();
    file.sync().unwrap();
    file.write_at(b"r", 4).unwrap();
    disk.restart(Survival::Nothing);
    assert_eq!(disk.read_all("dir/f").unwrap(), b"");
    let file = disk.storage().open("dir/f").unwrap();
    file.write_at(b"late", 0).unwrap();
    file.sync().unwrap();
    file.write_at(b"r", 4).unwrap();
    disk.storage().remove("dir/g").unwrap();
    disk.restart(Survival::Nothing);
    assert_eq!(disk.read_all("dir/f").unwrap(), b"late");
}

#[test]
fn lies_are_told_of_what_they_are_about_and_of_nothing_else() {
    let disk = SimDisk::new(1);
    for path in ["dir/1.log", "dir/2.log", "dir/3.tmp", "dir/sub/f", "g"] {
        disk.write_all(path, b"");
    }
    disk.lie(Lie::OlderFile("dir/"));
    for path in ["dir/1.log", "dir/2.log"] {
        let file = disk.storage().open(path).unwrap();
        file.write_at(b"kept?", 0).unwrap();
        file.sync().unwrap();
    }
    disk.lie(Lie::Removals("dir/"));
    let storage = disk.storage();
    storage.remove("dir/sub/f").unwrap();
    storage.sync_dir("dir/sub").unwrap();
    storage.remove("g").unwrap();
    storage.sync_dir("").unwrap();
    disk.lie(Lie::InPlace("new", "name"));
    synced(&disk, "new", b"there");
    storage.rename("new", "name").unwrap();
    disk.restart(Survival::Nothing);
    assert_eq!(disk.list_all(), ["dir/1.log", "dir/2.log", "dir/3.tmp", "dir/sub/f", "name"]);
    assert_eq!([disk.read_all("dir/1.log"), disk.read_all("dir/2.log")], [Some(vec![]), Some(b"kept?".to_vec())]);
    assert_ne!(disk.storage().random(), disk.storage().random());
}

#[test]
fn what_happens_meanwhile_happens_once_and_in_its_place() {
    let disk = SimDisk::new(1);
    for path in ["dir/f", "other"] {
        disk.write_all(path, b"");
    }
    let storage = disk.storage();
    let (file, other) = (storage.open("dir/f").unwrap(), storage.open("other").unwrap());
    let inner = Arc::clone(&other);
    disk.meanwhile("dir/", 1, move || inner.write_at(b"!", inner.len().unwrap()).unwrap());
    other.write_at(b"1", 0).unwrap();
    file.write_at(b"2", 0).unwrap();
    assert_eq!(disk.read_all("other").unwrap(), b"1");
    file.sync().unwrap();
    assert_eq!(disk.read_all("other").unwrap(), b"1!");
    file.sync().unwrap();
    assert_eq!(disk.read_all("other").unwrap(), b"1!");
    assert!(!disk.forget_meanwhile());
}

#[test]
fn damage_and_replaced_files_are_durable() {
    let disk = SimDisk::new(1);
    disk.write_all("a/b/f", b"abc");
    assert!(disk.flip_bit("a/b/f", 8));
    assert!(!disk.flip_bit("a/b/f", 24) && !disk.flip_bit("none", 0));
    disk.write_all("empty", b"not yet");
    disk.write_all("empty", b"");
    disk.write_all("g", b"x");
    assert!(disk.remove("g") && !disk.remove("g"));
    disk.restart(Survival::Nothing);
    assert_eq!(disk.read_all("a/b/f").unwrap(), b"acc");
    assert_eq!(disk.read_all("empty").unwrap(), b"");
    assert_eq!(disk.list_all(), ["a/b/f", "empty"]);
    assert_eq!(disk.operations(), 0);
}

#[test]
fn the_same_seed_and_calls_give_the_same_disk() {
    let run = || {
        let disk = SimDisk::new(7);
        let storage = disk.storage();
        for name in ["a", "b", "c"] {
            let file = storage.create(name).unwrap();
            storage.sync_dir("").unwrap();
            file.write_at(&storage.random().repeat(200), 0).unwrap();
        }
        disk.restart(Survival::Sectors(3));
        disk.list_all().iter().map(|path| disk.read_all(path)).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
    assert_ne!(SimDisk::new(1).storage().random(), SimDisk::new(2).storage().random());
}

/// redb itself, as a second opinion: a database that promises crash safety must find it kept here.
#[test]
fn redb_keeps_its_commits_on_this_disk_through_every_crash() {
    const NUMBERS: TableDefinition<u64, u64> = TableDefinition::new("numbers");
    let open = |disk: &SimDisk| {
        let file = disk.storage().open("state.redb")?;
        let opened = Database::builder().set_cache_size(1 << 20).create_with_backend(RedbFile::new(file).0);
        opened.map_err(std::io::Error::other)
    };
    let started = Instant::now();
    let mut crashes = 0;
    for seed in 0..30 {
        let disk = SimDisk::new(seed);
        disk.storage().create("state.redb").unwrap();
        disk.storage().sync_dir("").unwrap();
        drop(open(&disk).unwrap());
        let mut committed = 0;
        for depth in 0..4 {
            let mut random = Random::new(seed * 10 + depth);
            disk.crash_at(disk.operations() + 1 + random.below(60));
            let mut tried = committed;
            if let Ok(database) = open(&disk) {
                while !disk.is_off() {
                    let Ok(transaction) = database.begin_write() else {
                        break;
                    };
                    tried = committed + 1;
                    let written = transaction.open_table(NUMBERS).is_ok_and(|mut table| table.insert(0, tried).is_ok());
                    if written && transaction.commit().is_ok() {
                        committed = tried;
                    }
                }
            }
            disk.crash();
            let survival = power_losses(random.next())[random.below(5) as usize];
            disk.restart(survival);
            crashes += 1;
            let database = open(&disk).unwrap_or_else(|error| panic!("{seed} {survival:?}: {error}"));
            let transaction = database.begin_read().unwrap();
            let found = match transaction.open_table(NUMBERS) {
                Ok(table) => table.get(0).unwrap().map_or(0, |value| value.value()),
                Err(_) => 0,
            };
            assert!(found == committed || found == tried, "{seed} {survival:?}");
            committed = found;
        }
    }
    println!("{crashes} crashes in {:?}", started.elapsed());
}
