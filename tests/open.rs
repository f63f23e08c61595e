//! Opening a directory: one at a time, nobody else's, and only what is whole. What is not is refused with an error that
//! names the file, and nothing is touched.

#![cfg(feature = "simulation")]

#[path = "common/directory.rs"]
mod directory;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use directory::copy_dir;
use streamlog::{Broker, Builder, Error, ErrorKind, Id};
use tempfile::TempDir;

/// In the child process: the directory to hold open.
const HOLD: &str = "STREAMLOG_OPEN_HOLD";

fn builder() -> Builder {
    Broker::builder().background(false).segment_bytes(4 << 10).journal_file_bytes(64 << 10)
}

fn id(seq: u64) -> Id {
    Id::new(1, seq)
}

/// How many entries of 100 bytes [`fill`] adds.
const ENTRIES: u64 = 200;

fn text(seq: u64) -> String {
    format!("{seq:0100}")
}

fn add(broker: &Broker, first: u64, last: u64) {
    let orders = broker.stream("orders").unwrap();
    for seq in first..=last {
        orders.entry([("n", text(seq))]).id(id(seq)).add().unwrap();
    }
}

/// A broker in a new directory, with [`ENTRIES`] entries of which some are pending.
fn fill() -> (TempDir, Broker) {
    let directory = tempfile::tempdir().unwrap();
    let broker = builder().open(directory.path()).unwrap();
    add(&broker, 1, ENTRIES);
    let group = broker.stream("orders").unwrap().group("billing").from_start().create().unwrap();
    group.consumer("a").read_new().count(5).next().unwrap();
    (directory, broker)
}

/// The same, closed.
fn closed() -> TempDir {
    let (directory, broker) = fill();
    broker.close().unwrap();
    directory
}

/// What there is of the entries `1..`, which must be whole and without a gap.
fn entries(broker: &Broker) -> u64 {
    let entries = broker.stream("orders").unwrap().range(..).read().unwrap();
    for (seq, entry) in (1..).zip(&entries) {
        assert_eq!((entry.id, entry.text("n").unwrap()), (id(seq), &*text(seq)));
    }
    entries.len() as u64
}

fn assert_whole(broker: &Broker) {
    assert_eq!(entries(broker), ENTRIES);
    let group = broker.stream("orders").unwrap().group("billing").existing().unwrap();
    assert_eq!(group.pending().unwrap().count, 5);
}

fn refused(path: &Path) -> Error {
    builder().open(path).expect_err("it is refused")
}

fn refused_as(path: &Path, kind: ErrorKind) -> Error {
    let error = refused(path);
    assert_eq!(error.kind(), kind, "{error}");
    error
}

/// Refused as damaged, with this file named as the place.
fn refused_as_damaged(path: &Path, file: &str) {
    let error = refused_as(path, ErrorKind::Corrupt);
    assert_eq!(error.place().expect("a place").file, file, "{error}");
    assert!(error.to_string().contains(file), "{error}");
}

/// Every file and directory below `path`, with the files' bytes.
fn tree(path: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut tree = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tree.extend(self::tree(&path));
            tree.insert(path, None);
        } else {
            let bytes = fs::read(&path).unwrap();
            tree.insert(path, Some(bytes));
        }
    }
    tree
}

/// The files of a directory, by name.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The journal's files with records, oldest first.
fn journal(path: &Path) -> Vec<PathBuf> {
    files(&path.join("journal")).into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "log")).collect()
}

fn segments(path: &Path) -> Vec<PathBuf> {
    files(&path.join("streams/1"))
}

fn relative(path: &Path, directory: &Path) -> String {
    path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned()
}

/// Where a preallocated file's zeros begin.
fn end_of_data(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1
}

/// A copy of a directory in which one file has these bytes.
fn with_bytes(directory: &Path, file: &str, bytes: &[u8]) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_dir(directory, copy.path());
    fs::write(copy.path().join(file), bytes).unwrap();
    copy
}

#[test]
fn a_second_handle_on_a_directory_is_refused_until_the_first_is_closed() {
    let (directory, broker) = fill();
    let before = tree(directory.path());
    for _ in 0..3 {
        let error = refused_as(directory.path(), ErrorKind::Locked);
        assert!(error.is_retryable());
    }
    assert!(tree(directory.path()) == before, "the refused ones touched nothing");
    add(&broker, ENTRIES + 1, ENTRIES + 1);
    let kept = broker.clone();
    broker.close().unwrap();
    let broker = builder().open(directory.path()).unwrap();
    assert_eq!(kept.stream("orders").unwrap().add("x").unwrap_err().kind(), ErrorKind::Closed);
    drop(kept);
    refused_as(directory.path(), ErrorKind::Locked);
    assert_eq!(entries(&broker), ENTRIES + 1);
}

/// No test: what the child process of the next one runs.
#[test]
fn holds_a_directory_open_until_it_is_killed() {
    let Some(path) = std::env::var_os(HOLD) else { return };
    let broker = builder().open(path).unwrap();
    add(&broker, ENTRIES + 1, ENTRIES + 3);
    println!("\nopen");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn another_processs_directory_is_refused_until_that_process_is_gone() {
    let directory = closed();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_a_directory_open_until_it_is_killed", "--nocapture"])
        .env(HOLD, directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "open"), "the child opens the directory");
    refused_as(directory.path(), ErrorKind::Locked);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(entries(&builder().open(directory.path()).unwrap()), ENTRIES + 3);
}

#[test]
fn a_refused_opening_lets_the_lock_go() {
    let directory = closed();
    let format = fs::read(directory.path().join("FORMAT")).unwrap();
    fs::write(directory.path().join("FORMAT"), "nonsense").unwrap();
    refused_as_damaged(directory.path(), "FORMAT");
    fs::write(directory.path().join("FORMAT"), format).unwrap();
    assert_whole(&builder().open(directory.path()).unwrap());
}

#[test]
fn a_directory_that_holds_something_else_is_refused_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["notes.txt", "src/lib.rs", ".git/HEAD", "streams/of/water"] {
        let path = directory.path().join(name.split('/').next().unwrap());
        let file = directory.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "mine").unwrap();
        let before = tree(directory.path());
        let error = refused_as(directory.path(), ErrorKind::ForeignDirectory);
        assert!(!error.is_retryable());
        assert!(tree(directory.path()) == before, "{name}");
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
    builder().open(directory.path()).unwrap().close().unwrap();
}

#[test]
fn a_new_an_empty_and_a_hardly_begun_directory_are_begun() {
    let directory = tempfile::tempdir().unwrap();
    let new = directory.path().join("a/b/c");
    builder().open(&new).unwrap().close().unwrap();
    let empty = directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    builder().open(&empty).unwrap().close().unwrap();
    // What a process that was killed right at the beginning leaves.
    let begun = directory.path().join("begun");
    fs::create_dir(&begun).unwrap();
    fs::write(begun.join("LOCK"), "").unwrap();
    fs::write(begun.join("FORMAT.new"), "stre").unwrap();
    builder().open(&begun).unwrap().close().unwrap();
    fs::remove_dir_all(begun.join("journal")).unwrap();
    fs::remove_file(begun.join("state.redb")).unwrap();
    fs::write(begun.join("state.redb.new"), "half of it").unwrap();
    builder().open(&begun).unwrap().close().unwrap();
    assert!(!begun.join("FORMAT.new").exists() && !begun.join("state.redb.new").exists());
}

#[test]
fn a_file_in_the_directorys_place_and_what_the_system_refuses_are_errors_of_the_system() {
    let directory = closed();
    refused_as(&directory.path().join("FORMAT"), ErrorKind::Io);
    assert_whole(&builder().open(directory.path()).unwrap());
    let (journal, redb) = (directory.path().join("journal"), directory.path().join("state.redb"));
    let aside = directory.path().join("aside");
    fs::rename(&journal, &aside).unwrap();
    fs::write(&journal, "a file").unwrap();
    refused_as(directory.path(), ErrorKind::Io);
    fs::remove_file(&journal).unwrap();
    fs::rename(&aside, &journal).unwrap();
    fs::rename(&redb, &aside).unwrap();
    fs::create_dir(&redb).unwrap();
    refused_as(directory.path(), ErrorKind::Io);
    fs::remove_dir(&redb).unwrap();
    fs::rename(&aside, &redb).unwrap();
    assert_whole(&builder().open(directory.path()).unwrap());
}

#[cfg(unix)]
#[test]
fn a_directory_or_file_without_permission_is_an_error_of_the_system() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = closed();
    let allow = |name: &str, mode| {
        fs::set_permissions(directory.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    allow("", 0o500);
    if fs::write(directory.path().join("probe"), "").is_ok() {
        // Root is refused nothing.
        eprintln!("skipped: this user may write anywhere");
        fs::remove_file(directory.path().join("probe")).unwrap();
        return allow("", 0o700);
    }
    let entries = || (tree(&directory.path().join("journal")), tree(&directory.path().join("streams")));
    let before = entries();
    refused_as(&directory.path().join("new"), ErrorKind::Io);
    allow("", 0o700);
    for (name, before) in [("FORMAT", 0o600), ("state.redb", 0o600), ("journal", 0o700), ("LOCK", 0o600)] {
        allow(name, 0);
        refused_as(directory.path(), ErrorKind::Io);
        allow(name, before);
    }
    assert!(entries() == before);
    assert_whole(&builder().open(directory.path()).unwrap());
}

#[test]
fn a_newer_format_is_refused_as_such_and_not_touched() {
    let directory = closed();
    let format = fs::read_to_string(directory.path().join("FORMAT")).unwrap();
    let newer = with_bytes(directory.path(), "FORMAT", format.replace("streamlog 1", "streamlog 2").as_bytes());
    let before = tree(newer.path());
    let error = refused_as(newer.path(), ErrorKind::NewerFormat);
    assert!(error.to_string().contains("format 2"), "{error}");
    assert!(tree(newer.path()) == before);

    let file = &journal(directory.path())[0];
    let mut bytes = fs::read(file).unwrap();
    bytes[..8].copy_from_slice(b"SLOGJL02");
    let newer = with_bytes(directory.path(), &relative(file, directory.path()), &bytes);
    let before = (tree(&newer.path().join("journal")), tree(&newer.path().join("streams")));
    refused_as(newer.path(), ErrorKind::NewerFormat);
    assert!((tree(&newer.path().join("journal")), tree(&newer.path().join("streams"))) == before);
}

#[test]
fn a_segment_of_a_newer_format_is_refused_when_it_is_read() {
    let directory = closed();
    let file = &segments(directory.path())[0];
    let mut bytes = fs::read(file).unwrap();
    bytes[..8].copy_from_slice(b"SLOGSG02");
    fs::write(file, bytes).unwrap();
    let broker = builder().open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    assert_eq!(orders.range(..).read().unwrap_err().kind(), ErrorKind::NewerFormat);
    assert!(orders.get(id(ENTRIES)).unwrap().is_some(), "others are read");
}

#[test]
fn a_damaged_format_file_is_refused_whatever_was_flipped() {
    let directory = closed();
    let format = fs::read(directory.path().join("FORMAT")).unwrap();
    for bit in (0..format.len() * 8).step_by(7) {
        let mut bytes = format.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let damaged = with_bytes(directory.path(), "FORMAT", &bytes);
        match builder().open(damaged.path()) {
            // Another case of a letter, or another line's end, says the same.
            Ok(broker) => assert_whole(&broker),
            Err(error) => {
                let kinds = [ErrorKind::Corrupt, ErrorKind::NewerFormat];
                assert!(kinds.contains(&error.kind()), "bit {bit}: {error}");
            }
        }
    }
    for len in 0..format.len() - 1 {
        let cut = with_bytes(directory.path(), "FORMAT", &format[..len]);
        refused_as_damaged(cut.path(), "FORMAT");
    }
    let missing = with_bytes(directory.path(), "FORMAT", &format);
    fs::remove_file(missing.path().join("FORMAT")).unwrap();
    let before = tree(missing.path());
    refused_as_damaged(missing.path(), "FORMAT");
    assert!(tree(missing.path()) == before);
}

#[test]
fn another_directorys_journal_is_refused() {
    let (directory, other) = (closed(), closed());
    for file in journal(directory.path()) {
        fs::remove_file(file).unwrap();
    }
    let file = &journal(other.path())[0];
    let name = relative(file, other.path());
    fs::copy(file, directory.path().join(&name)).unwrap();
    refused_as_damaged(directory.path(), &name);
}

#[test]
fn what_is_missing_is_named() {
    let directory = closed();
    let copy = tempfile::tempdir().unwrap();
    copy_dir(directory.path(), copy.path());
    fs::remove_dir_all(copy.path().join("journal")).unwrap();
    refused_as_damaged(copy.path(), "journal");
    for file in journal(directory.path()) {
        fs::remove_file(file).unwrap();
    }
    refused_as_damaged(directory.path(), "journal");
}

/// Before the first checkpoint redb knows of no record, and an empty journal looked like one never begun: the broker
/// opened with nothing in it.
#[test]
fn a_journal_lost_before_the_first_checkpoint_is_missed() {
    let (directory, broker) = fill();
    broker.crash();
    for file in journal(directory.path()) {
        fs::remove_file(file).unwrap();
    }
    refused_as_damaged(directory.path(), "journal");
}

#[test]
fn a_missing_segment_is_named_when_it_is_read_and_the_others_are_read() {
    for crashed in [false, true] {
        let (directory, broker) = fill();
        broker.checkpoint().unwrap();
        if crashed {
            broker.crash();
        } else {
            broker.close().unwrap();
        }
        let file = &segments(directory.path())[1];
        fs::remove_file(file).unwrap();
        let broker = builder().open(directory.path()).unwrap();
        let orders = broker.stream("orders").unwrap();
        let error = orders.range(..).read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let place = error.place().unwrap();
        assert_eq!((place.stream.as_deref(), &place.file), (Some("orders"), &relative(file, directory.path())));
        assert!(orders.get(id(1)).unwrap().is_some() && orders.get(id(ENTRIES)).unwrap().is_some());
        add(&broker, ENTRIES + 1, ENTRIES + 1);
        broker.close().unwrap();
    }
}

/// A directory as a kill leaves it, with 10 entries that only the journal has, and where their last record ends there.
fn with_a_tail() -> (TempDir, String, Vec<u8>, usize) {
    let directory = tempfile::tempdir().unwrap();
    let broker = builder().open(directory.path()).unwrap();
    add(&broker, 1, 10);
    broker.checkpoint().unwrap();
    add(&broker, 11, 20);
    broker.crash();
    let file = journal(directory.path()).pop().unwrap();
    let bytes = fs::read(&file).unwrap();
    let end = end_of_data(&bytes);
    let name = relative(&file, directory.path());
    (directory, name, bytes, end)
}

/// Opens a copy with this journal file, and sees to it that there is a prefix of at least `durable` entries, which
/// stays, and can be added to. Returns how many.
fn recovers(directory: &Path, name: &str, bytes: &[u8], durable: u64) -> u64 {
    let torn = with_bytes(directory, name, bytes);
    let broker = builder().open(torn.path()).unwrap();
    let there = entries(&broker);
    assert!((durable..=20).contains(&there), "{there} entries");
    add(&broker, there + 1, there + 1);
    broker.crash();
    assert_eq!(entries(&builder().open(torn.path()).unwrap()), there + 1);
    there
}

#[test]
fn a_journal_cut_anywhere_in_its_tail_gives_the_records_before() {
    let (directory, name, bytes, end) = with_a_tail();
    let mut there = 20;
    for cut in (0..1200).step_by(43) {
        let left = recovers(directory.path(), &name, &bytes[..end - cut], 10);
        assert!(left <= there && (cut > 0 || left == 20));
        there = left;
        // The system may have kept the length and lost the bytes.
        let mut zeroed = bytes.clone();
        zeroed[end - cut..].fill(0);
        assert_eq!(recovers(directory.path(), &name, &zeroed, 10), left, "{cut} bytes");
    }
    assert!(there < 15);
}

#[test]
fn garbage_behind_the_last_record_means_nothing() {
    let (directory, name, bytes, end) = with_a_tail();
    let garbage: Vec<u8> = (0..5000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for cut in [0, 1, 60] {
        for (len, fill) in [(1, 0xff), (24, 0xff), (25, 0), (5000, 0xa5)] {
            let mut written = bytes.clone();
            let at = end - cut;
            written[at..at + len].copy_from_slice(&garbage[..len]);
            recovers(directory.path(), &name, &written, 19);
            written[at..at + len].fill(fill);
            recovers(directory.path(), &name, &written, 19);
        }
        // A record of before behind it is no record of now: its number is taken.
        let mut again = bytes.clone();
        again.copy_within(end - 200..end, end + 7);
        again[end - cut..end].fill(0);
        recovers(directory.path(), &name, &again, 19);
    }
    // Bytes past the preallocated ones.
    let longer = [bytes, garbage].concat();
    assert_eq!(recovers(directory.path(), &name, &longer, 20), 20);
}

#[test]
fn a_bit_flipped_in_the_durable_journal_is_damage_at_its_place() {
    let (directory, name, bytes, end) = with_a_tail();
    // Each record says that the one before it was durable: only the last may be torn.
    for bit in ((40 * 8)..(end - 300) * 8).step_by(241) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let damaged = with_bytes(directory.path(), &name, &flipped);
        let error = refused_as(damaged.path(), ErrorKind::Corrupt);
        let place = error.place().unwrap();
        assert_eq!(place.file, name);
        let distance = (bit / 8).abs_diff(place.offset as usize);
        assert!(distance < 200, "bit {bit} of byte {} was found at {}", bit / 8, place.offset);
    }
}

#[test]
fn a_bit_flipped_in_a_closed_journal_is_damage_or_changes_nothing() {
    let directory = closed();
    let file = journal(directory.path()).pop().unwrap();
    let name = relative(&file, directory.path());
    let bytes = fs::read(&file).unwrap();
    let end = end_of_data(&bytes);
    let mut refused = 0;
    for bit in (0..(end + 100) * 8).step_by(2803) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let damaged = with_bytes(directory.path(), &name, &flipped);
        match builder().open(damaged.path()) {
            Ok(broker) => {
                assert!(bit / 8 >= end - 25, "byte {} was not missed", bit / 8);
                assert_whole(&broker);
            }
            Err(error) => {
                assert!([ErrorKind::Corrupt, ErrorKind::NewerFormat].contains(&error.kind()), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 10);
}

#[test]
fn a_bit_flipped_in_a_segment_is_damage_at_its_place_and_the_rest_is_read() {
    let directory = closed();
    let files = segments(directory.path());
    assert!(files.len() > 4);
    let file = &files[1];
    let name = relative(file, directory.path());
    let bytes = fs::read(file).unwrap();
    for bit in (0..bytes.len() * 8).step_by(1103) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(file, &flipped).unwrap();
        let broker = builder().open(directory.path()).unwrap();
        let orders = broker.stream("orders").unwrap();
        let mut missed = 0;
        for seq in 1..=ENTRIES {
            match orders.get(id(seq)) {
                Ok(entry) => assert_eq!(entry.unwrap().text("n").unwrap(), text(seq), "bit {bit}"),
                Err(error) => {
                    missed += 1;
                    match error.kind() {
                        ErrorKind::Corrupt => {
                            let place = error.place().unwrap();
                            assert_eq!((place.stream.as_deref(), &place.file), (Some("orders"), &name));
                            assert!(place.offset <= bit as u64 / 8, "bit {bit}: {error}");
                        }
                        kind => assert!(kind == ErrorKind::NewerFormat && bit < 64, "bit {bit}: {error}"),
                    }
                }
            }
        }
        let of_version = (48..64).contains(&bit);
        assert!(missed <= 1 || of_version, "bit {bit}: {missed} entries, and not one");
        if missed > 0 {
            let group = orders.group("audit").from_start().ensure().unwrap();
            let worker = group.consumer("a");
            let kind = loop {
                match worker.read_new().count(1000).next() {
                    Ok(batch) => assert!(!batch.is_empty(), "it is not skipped"),
                    Err(error) => break error.kind(),
                }
            };
            assert!([ErrorKind::Corrupt, ErrorKind::NewerFormat].contains(&kind), "bit {bit}");
            assert!(orders.range(..).read().is_err());
            let scanned: Vec<_> = orders.range(..).iter().collect();
            let backwards: Vec<_> = orders.range(..).rev().iter().collect();
            for scanned in [&scanned, &backwards] {
                let (last, before) = scanned.split_last().unwrap();
                assert_eq!(last.as_ref().unwrap_err().kind(), kind);
                assert!(before.iter().all(Result::is_ok));
            }
            let met = scanned.len() + backwards.len() - 2;
            assert!(met as u64 == ENTRIES - missed || of_version, "bit {bit}: all but that one, from both ends");
            group.destroy().unwrap();
        }
        broker.close().unwrap();
    }
    fs::write(file, &bytes).unwrap();
    assert_whole(&builder().open(directory.path()).unwrap());
}

#[test]
fn a_segment_cut_or_emptied_is_damage_when_it_is_read() {
    for len in [0, 7, 60, 1000] {
        let directory = closed();
        let file = &segments(directory.path())[1];
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..len]).unwrap();
        let broker = builder().open(directory.path()).unwrap();
        let orders = broker.stream("orders").unwrap();
        let error = orders.range(..).read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(error.place().unwrap().file, relative(file, directory.path()));
        assert!(orders.get(id(1)).unwrap().is_some() && orders.get(id(ENTRIES)).unwrap().is_some());
    }
}

#[test]
fn unknown_files_are_left_alone() {
    let (directory, broker) = fill();
    broker.stream("brief").unwrap().add("x").unwrap();
    broker.checkpoint().unwrap();
    let unknown = [
        "notes.txt",
        "backup/of/something",
        "journal/notes.txt",
        "journal/12.log",
        "journal/spare-parts.txt",
        "streams/notes.txt",
        "streams/007/notes.txt",
        "streams/1/notes.txt",
        "streams/1/1-1.log",
        "streams/2/notes.txt",
        "streams/2/more/notes.txt",
    ];
    for name in unknown {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "mine").unwrap();
    }
    assert!(broker.stream("brief").unwrap().delete_stream().unwrap());
    broker.checkpoint().unwrap();
    broker.crash();
    let broker = builder().open(directory.path()).unwrap();
    assert_whole(&broker);
    add(&broker, ENTRIES + 1, ENTRIES + 100);
    broker.stream("orders").unwrap().trim(streamlog::Trim::max_len(ENTRIES)).unwrap();
    broker.close().unwrap();
    builder().open(directory.path()).unwrap().close().unwrap();
    for name in unknown {
        assert_eq!(fs::read_to_string(directory.path().join(name)).unwrap(), "mine", "{name}");
    }
}

#[test]
fn options_that_make_no_sense_are_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    for builder in [builder().segment_bytes(0), builder().journal_file_bytes(0), builder().max_entry_bytes(0)] {
        assert_eq!(builder.open(directory.path()).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert!(tree(directory.path()).is_empty());
}
