//! Reading a backlog that is larger than the caches of the engine, from first to last: as a user would, one by one, and in large
//! pages. The limit reads the same files, a mebibyte at a time, and computes a checksum of the bytes; a nearer one computes a checksum
//! of each entry's, as whoever is to know which entry is damaged must. All find them in the system's cache.

use std::fs::{self, File};
use std::hint::black_box;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use streamlog::{Broker, Durability, Entry, Stream};

use crate::common::in_turns;
use crate::ours::{FIELD, fill, open, payload, rest};
use crate::report::{Rates, Report, Target};
use crate::setting::Setting;
use crate::slice::Slice;

const BACKLOG_BYTES: usize = 512 << 20;
const BACKLOG_ENTRIES_MAX: usize = 8_000_000;
const PAGE_BYTES: usize = 4 << 20;
const READ_BYTES: usize = 1 << 20;

pub(crate) fn scan(setting: &Setting, report: &mut Report) {
    for bytes in setting.payloads(&[16, 100, 1024, 16384]) {
        let scratch = setting.scratch();
        let entries = setting.scaled((BACKLOG_BYTES / (bytes + 32)).min(BACKLOG_ENTRIES_MAX));
        let value = payload(bytes);
        let broker = open(Broker::builder().durability(Durability::Os), &scratch);
        fill(&broker.stream("s").expect("a stream"), &value, entries);
        // When it is opened again all of it is in segments.
        broker.close().expect("a close");
        let broker = open(Broker::builder(), &scratch);
        let stream = broker.stream("s").expect("a stream");
        rest(&scratch);
        let files = segments(&scratch.join("data"));
        let entry_bytes =
            files.iter().map(|file| fs::metadata(file).expect("a segment").len()).sum::<u64>() / entries as u64;
        let page = (PAGE_BYTES / (bytes + 32)).max(1);
        let sides = in_turns(setting.rounds, 4, |side, _| {
            let began = Instant::now();
            match side {
                0 => assert_eq!(one_by_one(&stream, bytes), entries),
                1 => assert_eq!(in_pages(&stream, bytes, page), entries),
                _ => {
                    let piece = if side == 2 { READ_BYTES } else { entry_bytes as usize };
                    black_box(files.iter().map(|file| read_through(file, piece)).fold(0, |all, crc| all ^ crc));
                }
            }
            entries as f64 / began.elapsed().as_secs_f64()
        });
        let of = |side: usize| {
            let slices = sides[side].iter().map(|&rate| Slice { rate, burst: rate, done: entries as u64 });
            slices.collect::<Vec<_>>()
        };
        for (side, row) in ["scan, one by one", "scan, in large pages"].into_iter().enumerate() {
            report.rates(&Rates {
                row,
                payload: bytes,
                beside: &format!("pread of 1 MiB + crc of the same files, {entry_bytes} B an entry"),
                ours: &of(side),
                limit: &sides[2],
                target: Target::AtLeast(0.4),
                checkpoints: 0.0,
            });
        }
        report.rates(&Rates {
            row: "scan, one by one: each entry checked",
            payload: bytes,
            beside: &format!("pread of 1 MiB + a crc each {entry_bytes} B"),
            ours: &of(0),
            limit: &sides[3],
            target: Target::None,
            checkpoints: 0.0,
        });
    }
}

/// Looks at each entry's field: whoever reads entries wants what is in them.
fn look(entry: &Entry, bytes: usize) {
    assert_eq!(entry.fields().get(FIELD).map(<[u8]>::len), Some(bytes), "the entry that was added");
}

fn one_by_one(stream: &Stream, bytes: usize) -> usize {
    let entries = stream.range(..).iter();
    entries.map(|entry| look(&entry.expect("an entry"), bytes)).count()
}

fn in_pages(stream: &Stream, bytes: usize, page: usize) -> usize {
    let (mut after, mut count) = (Bound::Unbounded, 0);
    loop {
        let entries = stream.range((after, Bound::Unbounded)).count(page).read().expect("a page");
        let Some(last) = entries.last() else { return count };
        after = Bound::Excluded(last.id);
        entries.iter().for_each(|entry| look(entry, bytes));
        count += entries.len();
    }
}

/// All files of the streams, in the order of their entries.
fn segments(data: &Path) -> Vec<PathBuf> {
    let list = |path: &Path| {
        let entries = fs::read_dir(path).expect("a directory");
        entries.map(|entry| entry.expect("an entry of a directory").path()).collect::<Vec<_>>()
    };
    let mut files: Vec<_> = list(&data.join("streams")).iter().flat_map(|stream| list(stream)).collect();
    files.sort();
    assert!(!files.is_empty(), "the backlog is in segments");
    files
}

/// Reads a file, and computes a checksum of each so many bytes.
fn read_through(path: &Path, piece_bytes: usize) -> u32 {
    let file = File::open(path).expect("a segment");
    let mut bytes = vec![0; READ_BYTES];
    let (mut offset, mut all) = (0, 0);
    loop {
        let len = file.read_at(&mut bytes, offset).expect("bytes of a segment");
        if len == 0 {
            return all;
        }
        all ^= bytes[..len].chunks(piece_bytes).map(crc32fast::hash).fold(0, |all, crc| all ^ crc);
        offset += len as u64;
    }
}
