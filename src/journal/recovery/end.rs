//! Where a journal ends, and where that is damage: one test for each half of the rule, at the very record where the
//! answer changes.

use super::super::file::{JournalFile, create, key, path, spare_name};
use super::super::{Journal, create_dir};
use super::*;
use crate::error::ErrorKind;
use crate::storage::Memory;

const DIRECTORY: Identity = [0xd1; 16];
const BYTES: u64 = 4096;

/// A frame of a record, with the mark that it carries.
fn record(lsn: Lsn, mark: Lsn) -> (u8, Lsn, Lsn) {
    (RECORD, lsn, mark)
}

/// The same frame, torn.
fn torn((flags, lsn, mark): (u8, Lsn, Lsn)) -> (u8, Lsn, Lsn) {
    (flags | 0x80, lsn, mark)
}

fn journal() -> Memory {
    let storage = Memory::default();
    create_dir(&storage).unwrap();
    storage
}

fn begin(storage: &Memory, first: Lsn, mark: Lsn) -> JournalFile {
    create(storage, DIRECTORY, first, mark, BYTES, b"").unwrap()
}

/// Makes a file that begins with the record `first` and holds these frames. A record's body tells its file.
fn file(storage: &Memory, first: Lsn, mark: Lsn, frames: &[(u8, Lsn, Lsn)]) {
    let made = begin(storage, first, mark);
    let mut bytes = Vec::new();
    frames.iter().for_each(|&frame| encode(&made, frame, first, &mut bytes));
    made.file.write_at(&bytes, made.head_len).unwrap();
}

fn encode(made: &JournalFile, (flags, lsn, mark): (u8, Lsn, Lsn), first: Lsn, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    let body = first.to_le_bytes();
    let body = if flags & 0x7f == RECORD { &body[..] } else { &[] };
    frame::encode(&made.head.salt, Frame { key: key(lsn, mark), flags: flags & 0x7f, body }, bytes);
    bytes[start] ^= flags >> 7;
}

/// The first LSN of the file that each record after `floor` was found in, and the rest.
fn found(storage: &Memory, floor: Lsn, covered: Lsn) -> Result<(Vec<(Lsn, Lsn)>, Recovery)> {
    let mut records = Vec::new();
    let recovery = recover(storage, DIRECTORY, floor, covered, |lsn, body| {
        records.push((lsn, Lsn::from_le_bytes(body.try_into().unwrap())));
        Ok(())
    })?;
    Ok((records, recovery))
}

fn last(storage: &Memory, floor: Lsn, covered: Lsn) -> Lsn {
    found(storage, floor, covered).unwrap().1.last_lsn
}

/// Which record is missed; it must be the first file that says so.
fn missed(storage: &Memory, floor: Lsn, covered: Lsn) -> String {
    let error = found(storage, floor, covered).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    error.to_string()
}

#[test]
fn a_lost_record_is_missed_if_a_later_ones_mark_reaches_it_and_no_sooner() {
    for (mark, is_missed) in [(0, false), (1, false), (2, true)] {
        let storage = journal();
        file(&storage, 1, 0, &[record(1, 0), torn(record(2, 0)), record(3, mark)]);
        if is_missed {
            assert!(missed(&storage, 0, 0).contains("record 2 was durable"), "mark {mark}");
        } else {
            assert_eq!(last(&storage, 0, 0), 1, "mark {mark}");
        }
    }
}

#[test]
fn a_lost_record_is_missed_if_a_later_file_begins_with_a_mark_that_reaches_it() {
    for (mark, is_missed) in [(1, false), (2, true)] {
        let storage = journal();
        file(&storage, 1, 0, &[record(1, 0), torn(record(2, 0))]);
        file(&storage, 3, mark, &[]);
        if is_missed {
            assert!(missed(&storage, 0, 0).contains("record 2 was durable"), "mark {mark}");
        } else {
            let (_, recovery) = found(&storage, 0, 0).unwrap();
            assert_eq!((recovery.last_lsn, recovery.beyond), (1, vec![path(3)]), "mark {mark}");
        }
    }
}

#[test]
fn a_lost_record_is_missed_if_redb_covers_it_and_no_sooner() {
    for (covered, is_missed) in [(1, false), (2, true), (3, true)] {
        let storage = journal();
        file(&storage, 1, 0, &[record(1, 0), torn(record(2, 0))]);
        if is_missed {
            assert!(missed(&storage, 0, covered).contains("record 2 was durable"), "covered {covered}");
        } else {
            assert_eq!(last(&storage, 0, covered), 1, "covered {covered}");
        }
    }
}

/// The story: a killed process leaves records that only the system's memory has, the next one puts them into redb, and
/// then the power goes.
#[test]
fn a_lost_record_that_redb_holds_is_needless_as_long_as_nothing_goes_beyond_redb() {
    let lost = |later: &[(u8, Lsn, Lsn)]| {
        let storage = journal();
        file(&storage, 1, 0, &[&[record(1, 0), torn(record(2, 0))], later].concat());
        storage
    };
    assert_eq!(last(&lost(&[]), 3, 3), 1);
    assert_eq!(last(&lost(&[record(3, 1)]), 3, 3), 1, "redb holds that one too");
    assert!(missed(&lost(&[record(3, 1), record(4, 1)]), 3, 3).contains("record 2 was durable"));
    assert!(missed(&lost(&[]), 1, 3).contains("record 2 was durable"), "not all of redb holds it");
    assert!(missed(&lost(&[]), 1, 2).contains("record 2 was durable"), "not all of redb holds it");
}

#[test]
fn each_record_after_the_floor_is_found_once_and_in_the_last_file_that_can_have_it() {
    let storage = journal();
    // What came after the end when the second file was begun: of no account since.
    file(&storage, 1, 0, &[record(1, 0), record(2, 1), record(3, 2)]);
    file(&storage, 3, 2, &[record(3, 2), record(4, 2)]);
    let all = [(1, 1), (2, 1), (3, 3), (4, 3)];
    for floor in 0..=4 {
        let (records, recovery) = found(&storage, floor, floor).unwrap();
        assert_eq!(records, all[floor as usize..], "floor {floor}");
        assert_eq!((recovery.last_lsn, recovery.used), (4, vec![path(1), path(3)]), "floor {floor}");
    }
    assert!(missed(&journal_from(2), 0, 0).contains("no file of it holds record 1"));
    assert_eq!(last(&journal_from(2), 1, 1), 2);
}

fn journal_from(first: Lsn) -> Memory {
    let storage = journal();
    file(&storage, first, first - 1, &[record(first, first - 1)]);
    storage
}

/// A file before the floor's need not be whole any more, nor be there.
#[test]
fn files_whose_records_redb_all_has_are_not_read() {
    let storage = journal();
    file(&storage, 1, 0, &[torn(record(1, 0))]);
    file(&storage, 3, 2, &[record(3, 2)]);
    let (records, recovery) = found(&storage, 2, 2).unwrap();
    assert_eq!((records, recovery.last_lsn), (vec![(3, 3)], 3));
    assert_eq!(recovery.used, [path(1), path(3)]);
}

#[test]
fn nothing_is_taken_from_a_file_that_does_not_follow_the_last_record() {
    let storage = journal();
    file(&storage, 1, 0, &[record(1, 0)]);
    file(&storage, 3, 0, &[record(3, 0)]);
    storage.create(&spare_name(7)).unwrap();
    let (records, recovery) = found(&storage, 0, 0).unwrap();
    assert_eq!((records, recovery.last_lsn), (vec![(1, 1)], 1));
    assert_eq!(recovery.beyond, [path(3), spare_name(7)], "and it goes, with the spares");
}

#[test]
fn a_record_out_of_its_order_is_damage() {
    for frames in [[record(1, 0), record(3, 0)], [record(2, 0), record(3, 0)], [record(1, 0), record(1, 0)]] {
        let storage = journal();
        file(&storage, 1, 0, &frames);
        assert!(missed(&storage, 0, 0).contains("out of its order"), "{frames:?}");
    }
}

#[test]
fn a_journal_is_closed_if_a_mark_is_its_last_frame() {
    let mark = (MARK, 1, 1);
    for (frames, clean) in [
        (vec![record(1, 0)], false),
        (vec![record(1, 0), mark], true),
        (vec![record(1, 0), mark, record(2, 1)], false),
        (vec![record(1, 0), torn(mark)], false),
    ] {
        let storage = journal();
        file(&storage, 1, 0, &frames);
        assert_eq!(found(&storage, 0, 0).unwrap().1.clean, clean, "{frames:?}");
    }
}

#[test]
fn a_file_of_another_directory_or_of_another_name_is_damage() {
    let storage = journal();
    file(&storage, 1, 0, &[record(1, 0)]);
    let error = recover(&storage, [0xee; 16], 0, 0, |_, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("another directory"), "{error}");
    file(&storage, 2, 0, &[record(2, 0)]);
    storage.rename(&path(2), &path(3)).unwrap();
    assert!(missed(&storage, 0, 0).contains("it was made for record 2"));
    storage.rename(&path(3), &path(1)).unwrap();
    assert!(missed(&storage, 0, 0).contains("it was made for record 2"));
}

/// A file that was given up and gone on in, of which the power left what it was before: no byte of its new life, or some.
#[test]
fn what_a_file_has_of_its_former_life_ends_the_log_unless_something_of_its_new_one_was_durable() {
    for (mark, is_missed) in [(4, false), (5, true)] {
        let storage = journal();
        let former = begin(&storage, 1, 0);
        let mut bytes = Vec::new();
        (1..=2).for_each(|lsn| encode(&former, record(lsn, 0), 1, &mut bytes));
        former.file.write_at(&bytes, former.head_len).unwrap();
        file(&storage, 4, 2, &[record(4, 2)]);
        storage.rename(&path(1), &path(5)).unwrap();
        // Redb has what the former life had.
        let (records, recovery) = found(&storage, 3, 3).unwrap();
        assert_eq!((records, recovery.last_lsn), (vec![(4, 4)], 4));
        assert_eq!(recovery.used, [path(4), path(5)], "the next file takes its name");
        assert!(missed(&storage, 0, 0).contains("no file of it holds record 1"));
        assert!(missed(&storage, 3, 5).contains("record 5 was durable"), "redb knows it");
        assert_eq!(snapshot(&storage, DIRECTORY, 5).unwrap_err().kind(), ErrorKind::Corrupt);
        // Somewhere behind them there is a record of the new life.
        let behind = former.head_len + bytes.len() as u64 + 100;
        let mut bytes = Vec::new();
        encode(&former, record(6, mark), 5, &mut bytes);
        former.file.write_at(&bytes, behind).unwrap();
        if is_missed {
            assert!(missed(&storage, 3, 3).contains("record 5 was durable"), "mark {mark}");
        } else {
            assert_eq!(last(&storage, 3, 3), 4, "mark {mark}");
        }
    }
}

/// Its new life is shorter than the former one was.
#[test]
fn records_of_a_files_former_life_do_not_follow_those_of_its_new_one() {
    let storage = journal();
    file(&storage, 3, 2, &[record(3, 2), record(4, 2), record(1, 0), record(2, 0)]);
    let (records, recovery) = found(&storage, 2, 2).unwrap();
    assert_eq!((records, recovery.last_lsn), (vec![(3, 3), (4, 3)], 4));
}

/// A journal that did not end where its file does, for a mark has to have room there.
#[test]
fn a_file_filled_to_its_last_byte_can_be_closed_and_is_found_whole() {
    for len in 0..40 {
        let storage = std::sync::Arc::new(journal());
        let journal = Journal::start(storage.clone(), DIRECTORY, 1024, 1024, 1, b"").unwrap();
        let add = |len| journal.append_record(true, |out| out.resize(out.len() + len, 7)).unwrap().is_some();
        while add(60 + len) {}
        journal.close().unwrap();
        assert_eq!(storage.open(&path(1)).unwrap().len().unwrap(), 1024, "it has not grown: {len}");
        let recovery = recover(&*storage, DIRECTORY, 0, 0, |_, _| Ok(())).unwrap();
        assert_eq!((recovery.last_lsn, recovery.clean), (journal.last_lsn(), true), "{len}");
    }
}

/// A file that was gone on in and whose head no sync covered: `frames` are behind a snapshot that is torn.
fn file_with_torn_head(storage: &Memory, first: Lsn, mark: Lsn, frames: &[(u8, Lsn, Lsn)]) {
    file(storage, first, mark, frames);
    let opened = storage.open(&path(first)).unwrap();
    let mut bytes = vec![0; BYTES as usize];
    opened.read_at(&mut bytes, 0).unwrap();
    let (_, _, begin) = header::decode::<JournalHeader>("", MAGIC, HEADER_VERSION, &bytes).unwrap();
    opened.write_at(&[bytes[begin] ^ 1], begin as u64).unwrap();
}

#[test]
fn a_torn_snapshot_ends_the_log_unless_something_after_it_was_durable() {
    for (mark, is_missed) in [(1, false), (2, true)] {
        let storage = journal();
        file(&storage, 1, 0, &[record(1, 0)]);
        file_with_torn_head(&storage, 2, 1, &[record(2, 1), record(3, mark)]);
        if is_missed {
            assert!(missed(&storage, 0, 0).contains("record 2 was durable"), "mark {mark}");
        } else {
            let (records, recovery) = found(&storage, 0, 0).unwrap();
            assert_eq!((records, recovery.last_lsn), (vec![(1, 1)], 1), "mark {mark}");
            assert_eq!(recovery.used, [path(1), path(2)], "the next file takes its name");
        }
    }
    let storage = journal();
    file(&storage, 1, 0, &[record(1, 0)]);
    file_with_torn_head(&storage, 2, 1, &[record(2, 1)]);
    assert!(missed(&storage, 0, 2).contains("record 2 was durable"), "redb knows it");
    file(&storage, 3, 2, &[]);
    assert!(missed(&storage, 0, 0).contains("record 2 was durable"), "a later file does");
    assert_eq!(snapshot(&storage, DIRECTORY, 2).unwrap_err().kind(), ErrorKind::Corrupt);
}

/// Files of before the first record was left to the snapshot's key.
#[test]
fn a_file_whose_header_says_what_it_was_made_for_is_held_to_it() {
    for (said, fits) in [(0, true), (1, true), (2, false)] {
        let storage = journal();
        file(&storage, 1, 0, &[record(1, 0)]);
        let opened = storage.open(&path(1)).unwrap();
        let mut bytes = vec![0; BYTES as usize];
        opened.read_at(&mut bytes, 0).unwrap();
        let (identity, _, _) = header::decode::<JournalHeader>("", MAGIC, HEADER_VERSION, &bytes).unwrap();
        let head = JournalHeader { directory: DIRECTORY, first_lsn: said, mark: 0 };
        opened.write_at(&header::encode(MAGIC, identity, HEADER_VERSION, &head), 0).unwrap();
        if fits {
            assert_eq!(last(&storage, 0, 0), 1, "{said}");
        } else {
            assert!(missed(&storage, 0, 0).contains("it was made for record 2"));
        }
    }
}
