//! `check`: what was written is whole, what was damaged is found and bounded, and nothing is changed by looking.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use streamlog::{Broker, Builder, Durability, ErrorKind, Id, Report, Trim, check};
use tempfile::TempDir;

fn builder() -> Builder {
    Broker::builder().durability(Durability::Os).segment_bytes(4096).journal_file_bytes(16 << 10)
}

fn id(n: u64) -> Id {
    Id::new(n, 0)
}

/// Segments, deletions in the middle, a hollow segment, a trim, groups with pending entries, an empty stream, a deleted one.
fn fill(broker: &Broker) {
    let orders = broker.stream("orders").unwrap();
    let billing = orders.group("billing").from_start().ensure().unwrap();
    let worker = billing.consumer("worker");
    for n in 1..=600 {
        orders.entry([("n", n.to_string()), ("padding", "x".repeat(n as usize % 50))]).id(id(n)).add().unwrap();
        if n % 4 == 0 {
            let batch = worker.read_new().count(3).next().unwrap();
            billing.ack(&batch.iter().map(streamlog::Message::id).take(2).collect::<Vec<_>>()).unwrap();
        }
    }
    orders.delete(&(300..=400).map(id).chain([id(500)]).collect::<Vec<_>>()).unwrap();
    orders.trim(Trim::min_id(id(20))).unwrap();
    broker.stream("empty").unwrap().create().unwrap();
    broker.stream("deleted").unwrap().add([("n", "1")]).unwrap();
    broker.stream("deleted").unwrap().delete_stream().unwrap();
}

fn closed() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let broker = builder().open(directory.path()).unwrap();
    fill(&broker);
    broker.close().unwrap();
    // Opened once more, so that segments were sealed, continued and hollowed by different lives.
    let broker = builder().open(directory.path()).unwrap();
    broker.stream("orders").unwrap().entry([("n", "601")]).id(id(601)).add().unwrap();
    broker.close().unwrap();
    directory
}

/// Every file with its bytes.
fn bytes(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                files.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    files
}

/// Checks, and asserts that looking changed nothing.
fn look(directory: &Path) -> Report {
    let before = bytes(directory);
    let report = check(directory).unwrap();
    assert!(bytes(directory) == before, "a check changes nothing");
    report
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut segments: Vec<_> =
        fs::read_dir(directory.join("streams/1")).unwrap().map(|segment| segment.unwrap().path()).collect();
    segments.sort();
    segments
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Where `text` is in the file.
fn find(path: &Path, text: &str) -> usize {
    let bytes = fs::read(path).unwrap();
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap()
}

#[test]
fn what_was_closed_is_whole() {
    let directory = closed();
    let report = look(directory.path());
    assert_eq!(report.problems, []);
    assert_eq!(report.warnings, []);
    let figures = report.figures;
    assert_eq!((figures.streams, figures.groups, figures.entries), (2, 1, 601 - 19 - 102));
    assert!(figures.segments > 5 && figures.pending > 50, "{figures:?}");
    assert_eq!(figures.records, 0);
}

#[test]
fn what_a_killed_process_leaves_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let broker = builder().open(directory.path()).unwrap();
    fill(&broker);
    let copied = tempfile::tempdir().unwrap();
    for (path, bytes) in bytes(directory.path()) {
        let to = copied.path().join(path.strip_prefix(directory.path()).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    let report = look(copied.path());
    assert_eq!(report.problems, []);
    assert!(report.figures.records > 0 && report.warnings.iter().any(|warning| warning.what.contains("not closed")));
    assert_eq!(report.figures.entries, 600 - 19 - 102);
}

#[test]
fn a_directory_that_is_open_empty_or_not_ours_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(check(directory.path()).unwrap_err().kind(), ErrorKind::ForeignDirectory);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    assert_eq!(check(directory.path().join("none")).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "looking makes nothing");
    fs::write(directory.path().join("notes.txt"), "mine").unwrap();
    assert_eq!(check(directory.path()).unwrap_err().kind(), ErrorKind::ForeignDirectory);
    let directory = closed();
    let broker = builder().open(directory.path()).unwrap();
    assert_eq!(check(directory.path()).unwrap_err().kind(), ErrorKind::Locked);
    drop(broker);
    fs::write(directory.path().join("FORMAT"), "streamlog 2\n").unwrap();
    assert_eq!(check(directory.path()).unwrap_err().kind(), ErrorKind::NewerFormat);
}

#[test]
fn each_damaged_range_of_a_segment_is_found_with_what_it_costs() {
    let directory = closed();
    let segment = &segments(directory.path())[2];
    let bytes = fs::read(segment).unwrap();
    let at = |n: u64| find(segment, &format!("\x01n\x03{n}"));
    let first =
        (100..600).find(|n| bytes.windows(6).any(|window| window == format!("\x01n\x03{n}").as_bytes())).unwrap();
    flip(segment, at(first + 3) + 4);
    let zeros = at(first + 10)..at(first + 12);
    let mut bytes = fs::read(segment).unwrap();
    bytes[zeros].fill(0);
    fs::write(segment, bytes).unwrap();
    let report = look(directory.path());
    let losses: Vec<_> =
        report.problems.iter().map(|problem| (problem.loss.entries, problem.loss.ids.clone())).collect();
    let between = |before, after| Some(id(before).next().unwrap()..=id(after).previous().unwrap());
    let expected = [(1, between(first + 2, first + 4)), (3, between(first + 9, first + 13))];
    assert_eq!(losses, expected, "{:#?}", report.problems);
    let place = &report.problems[0].place;
    assert_eq!(place.stream.as_deref(), Some("orders"));
    assert!(segment.ends_with(&place.file) && place.offset > 0, "{place:?}");
}

#[test]
fn a_cut_a_missing_and_an_exchanged_segment_are_found_with_what_they_cost() {
    let directory = closed();
    let all = segments(directory.path());
    let entries = |report: &Report| -> Vec<u64> { report.problems.iter().map(|found| found.loss.entries).collect() };

    let cut = fs::read(&all[2]).unwrap();
    fs::write(&all[2], &cut[..cut.len() / 2]).unwrap();
    let lost = entries(&look(directory.path()));
    assert!(lost.len() == 1 && lost[0] > 5, "{lost:?}");
    fs::write(&all[2], &cut).unwrap();

    fs::remove_file(&all[2]).unwrap();
    let report = look(directory.path());
    let missing = entries(&report);
    assert!(missing.len() == 1 && missing[0] > lost[0] && report.problems[0].what.contains("missing"), "{report:?}");

    fs::copy(&all[3], &all[2]).unwrap();
    let report = look(directory.path());
    assert_eq!(entries(&report).iter().sum::<u64>(), missing[0], "{report:#?}");
    assert!(report.problems.iter().any(|problem| problem.what.contains("another segment's file")), "{report:#?}");
}

#[test]
fn a_damaged_footer_or_header_costs_nothing_and_is_found() {
    let directory = closed();
    let segment = &segments(directory.path())[2];
    let bytes = fs::read(segment).unwrap();
    for at in [20, 60, bytes.len() - 1] {
        flip(segment, at);
        let report = look(directory.path());
        assert!(!report.is_ok() && report.problems.iter().all(|found| found.loss.is_nothing()), "{at}: {report:#?}");
        fs::write(segment, &bytes).unwrap();
    }
    assert!(look(directory.path()).is_ok());
}

#[test]
fn damage_in_redb_the_journal_and_format_is_found_with_what_it_costs() {
    let directory = closed();
    let redb = directory.path().join("state.redb");
    let bytes = fs::read(&redb).unwrap();
    fs::write(&redb, &bytes[..bytes.len() / 2]).unwrap();
    let report = look(directory.path());
    assert!(report.problems.len() == 1 && report.problems[0].loss.redelivers, "{report:#?}");
    assert_eq!(report.figures.entries, 601 - 19 - 102, "all are there");
    fs::write(&redb, &bytes).unwrap();

    let format = directory.path().join("FORMAT");
    let text = fs::read(&format).unwrap();
    for damage in [None, Some(0), Some(text.len() - 5)] {
        match damage {
            None => fs::remove_file(&format).unwrap(),
            Some(at) => flip(&format, at),
        }
        let report = look(directory.path());
        assert!(report.problems.len() == 1 && report.problems[0].place.file == "FORMAT", "{damage:?}: {report:#?}");
        fs::write(&format, &text).unwrap();
    }

    let journal = fs::read_dir(directory.path().join("journal")).unwrap().next().unwrap().unwrap().path();
    flip(&journal, 60);
    let report = look(directory.path());
    assert!(report.problems.iter().all(|problem| problem.place.file.starts_with("journal/")), "{report:#?}");
    assert!(!report.is_ok());
    fs::remove_file(&redb).unwrap();
    let report = look(directory.path());
    assert!(report.problems.iter().any(|problem| problem.loss.groups), "{report:#?}");
    assert_eq!(report.figures.streams, 1, "an empty stream has no segments to tell of it");
}

#[test]
fn unknown_names_are_no_problem_and_are_named() {
    let directory = closed();
    for name in ["notes.txt", "journal/notes.txt", "streams/notes.txt", "streams/1/notes.txt"] {
        fs::write(directory.path().join(name), "mine").unwrap();
    }
    let report = look(directory.path());
    assert!(report.is_ok(), "{report:#?}");
    let files: Vec<_> = report.warnings.iter().map(|warning| warning.file.as_str()).collect();
    assert_eq!(files, ["notes.txt", "journal/notes.txt", "streams/1/notes.txt", "streams/notes.txt"]);
}

#[test]
fn of_a_large_segment_each_damaged_range_is_counted_by_its_block() {
    let directory = tempfile::tempdir().unwrap();
    let broker = builder().segment_bytes(400 << 10).open(directory.path()).unwrap();
    let orders = broker.stream("orders").unwrap();
    let mut batch = orders.batch();
    (1..=4000).for_each(|n| batch.push([("n", format!("{n:04}-{}", "x".repeat(100)))]).unwrap());
    batch.add().unwrap();
    broker.close().unwrap();
    let segment = &segments(directory.path())[0];
    let mut bytes = fs::read(segment).unwrap();
    assert!(bytes.len() > 400 << 10, "sealed, of several blocks");
    let mut zero = |from: u64, to: u64| {
        let at = |n: u64| bytes.windows(5).position(|window| window == format!("{n:04}-").as_bytes()).unwrap();
        let range = at(from)..at(to);
        bytes[range].fill(0);
    };
    zero(100, 103);
    zero(1000, 1010);
    zero(1020, 1022);
    zero(2000, 2001);
    fs::write(segment, bytes).unwrap();
    let report = look(directory.path());
    let lost: Vec<_> = report.problems.iter().map(|problem| problem.loss.entries).collect();
    assert_eq!(lost.len(), 4, "{:#?}", report.problems);
    assert_eq!((lost[0], lost[1] + lost[2], lost[3]), (4, 11 + 3, 2), "{lost:?}");
}

/// To recovery it is the journal's torn end; where redb is lost as well it is all that there would have been.
#[test]
fn a_bit_flipped_in_the_snapshot_of_the_last_journal_file_is_warned_of() {
    let directory = closed();
    let files = fs::read_dir(directory.path().join("journal")).unwrap().map(|file| file.unwrap().path());
    let journal = files.filter(|path| !path.to_string_lossy().contains("spare")).max().unwrap();
    assert_eq!(look(directory.path()).warnings.len(), 0);
    flip(&journal, find(&journal, "orders"));
    let warnings = format!("{:?}", look(directory.path()).warnings);
    assert!(warnings.contains("torn or damaged") && warnings.contains("its snapshot"), "{warnings}");
}
