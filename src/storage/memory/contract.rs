//! The contract of the seam as one test body, run on every storage.
//!
//! Says what a caller may rely on while nothing fails; what survives a crash is tested in `sim`, which alone can
//! crash.

use std::io::ErrorKind;

use crate::storage::{File, Storage};

/// Panics if a fresh, empty storage does not keep the contract.
pub(in crate::storage) fn holds(storage: &dyn Storage) {
    a_file_reads_back_what_was_written(storage);
    creating_empties_a_file_that_exists(storage);
    renaming_replaces(storage);
    removed_files_stay_usable(storage);
    directories_nest_and_list_sorted(storage);
    missing_things_are_not_found(storage);
    a_lock_is_exclusive_until_dropped(storage);
    assert_ne!(storage.random(), storage.random());
    assert_eq!(storage.list("").unwrap(), ["LOCK"], "the checks clean up");
}

fn contents(file: &dyn File) -> Vec<u8> {
    let mut buf = vec![0xff; file.len().unwrap() as usize + 10];
    let count = file.read_at(&mut buf, 0).unwrap();
    assert_eq!(count as u64, file.len().unwrap());
    buf.truncate(count);
    buf
}

fn a_file_reads_back_what_was_written(storage: &dyn Storage) {
    let file = storage.create("f").unwrap();
    assert_eq!(file.len().unwrap(), 0);
    file.write_at(b"world", 5).unwrap();
    file.write_at(b"hello", 0).unwrap();
    assert_eq!(contents(&*file), b"helloworld");
    file.write_at(b"", 100).unwrap();
    assert_eq!(file.len().unwrap(), 10);
    file.sync().unwrap();
    storage.sync_dir("").unwrap();

    // Another handle sees the same bytes at once.
    let other = storage.open("f").unwrap();
    file.write_at(b"W", 5).unwrap();
    assert_eq!(contents(&*other), b"helloWorld");

    file.set_len(3).unwrap();
    file.set_len(6).unwrap();
    assert_eq!(contents(&*other), b"hel\0\0\0");
    file.write_at(b"x", 200_000).unwrap();
    assert_eq!(other.len().unwrap(), 200_001);
    let mut middle = [0xff; 4];
    assert_eq!(other.read_at(&mut middle, 100_000).unwrap(), 4);
    assert_eq!(middle, [0; 4]);
    assert_eq!(other.read_at(&mut middle, 199_999).unwrap(), 2);
    assert_eq!(middle[..2], *b"\0x");
    assert_eq!(other.read_at(&mut middle, 300_000).unwrap(), 0);

    let block: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    file.write_at(&block, 70_001).unwrap();
    let mut back = vec![0; block.len()];
    assert_eq!(other.read_at(&mut back, 70_001).unwrap(), block.len());
    assert_eq!(back, block);
    storage.remove("f").unwrap();
}

fn creating_empties_a_file_that_exists(storage: &dyn Storage) {
    let old = storage.create("f").unwrap();
    old.write_at(b"old", 0).unwrap();
    let new = storage.create("f").unwrap();
    assert_eq!(new.len().unwrap(), 0);
    // The same file, not another of its name.
    new.write_at(b"new", 0).unwrap();
    assert_eq!(contents(&*old), b"new");
    storage.remove("f").unwrap();
}

fn renaming_replaces(storage: &dyn Storage) {
    storage.create_dir("d").unwrap();
    let file = storage.create("f.new").unwrap();
    file.write_at(b"new", 0).unwrap();
    storage.create("f").unwrap().write_at(b"old", 0).unwrap();
    storage.rename("f.new", "f").unwrap();
    assert_eq!(storage.list("").unwrap(), ["d", "f"]);
    assert_eq!(contents(&*storage.open("f").unwrap()), b"new");
    storage.rename("f", "f").unwrap();
    storage.rename("f", "d/g").unwrap();
    assert_eq!(storage.list("").unwrap(), ["d"]);
    // The handle follows the file, not the name.
    file.write_at(b"N", 0).unwrap();
    assert_eq!(contents(&*storage.open("d/g").unwrap()), b"New");
    storage.remove("d/g").unwrap();
    storage.remove_dir("d").unwrap();
}

fn removed_files_stay_usable(storage: &dyn Storage) {
    let file = storage.create("f").unwrap();
    file.write_at(b"kept", 0).unwrap();
    storage.remove("f").unwrap();
    assert_eq!(storage.open("f").unwrap_err().kind(), ErrorKind::NotFound);
    file.write_at(b"K", 0).unwrap();
    file.sync().unwrap();
    assert_eq!(contents(&*file), b"Kept");
    let next = storage.create("f").unwrap();
    assert_eq!(next.len().unwrap(), 0);
    storage.remove("f").unwrap();
}

fn directories_nest_and_list_sorted(storage: &dyn Storage) {
    storage.create_dir("a/b/c").unwrap();
    storage.create_dir("a/b").unwrap();
    for name in ["a/b/2", "a/b/10", "a/b/1"] {
        storage.create(name).unwrap();
    }
    storage.sync_dir("a/b").unwrap();
    assert_eq!(storage.list("a/b").unwrap(), ["1", "10", "2", "c"]);
    assert_eq!(storage.list("").unwrap(), ["a"]);
    assert!(storage.remove_dir("a/b").is_err());
    assert!(storage.create("a/b").is_err());
    assert!(storage.create_dir("a/b/1").is_err());
    for name in ["a/b/2", "a/b/10", "a/b/1"] {
        storage.remove(name).unwrap();
    }
    for dir in ["a/b/c", "a/b", "a"] {
        storage.remove_dir(dir).unwrap();
    }
    assert!(storage.list("").unwrap().is_empty());
}

fn missing_things_are_not_found(storage: &dyn Storage) {
    let kinds = [
        storage.open("none").unwrap_err(),
        storage.open("none/f").unwrap_err(),
        storage.create("none/f").unwrap_err(),
        storage.rename("none", "f").unwrap_err(),
        storage.remove("none").unwrap_err(),
        storage.list("none").unwrap_err(),
        storage.remove_dir("none").unwrap_err(),
    ]
    .map(|error| error.kind());
    assert_eq!(kinds, [ErrorKind::NotFound; 7]);
    assert!(storage.list("").unwrap().is_empty());
}

fn a_lock_is_exclusive_until_dropped(storage: &dyn Storage) {
    let lock = storage.lock("LOCK").unwrap();
    assert_eq!(storage.lock("LOCK").unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(lock);
    storage.lock("LOCK").unwrap();
    assert_eq!(storage.list("").unwrap(), ["LOCK"]);
}
