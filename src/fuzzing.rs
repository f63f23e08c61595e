//! What the fuzz targets ask of the formats: functions of any bytes, that panic where something does not hold.
//!
//! No fuzzer guesses a checksum. So [`Bytes::Sealed`] are given the right ones before they are read: what is under test is
//! then everything behind the checksum.

use std::ops::Range;
use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use crate::codec;
use crate::entry::{Fields, encode_body, is_body};
use crate::error::ErrorKind;
use crate::id::Id;
use crate::journal::file::{self, JOURNAL, JournalHeader};
use crate::journal::{recover, snapshot};
use crate::log::files::{STREAMS, segment_path, stream_dir};
use crate::log::frame::{self, Frame, HEADER_LEN, Salt};
use crate::log::header::{self, Magic};
use crate::log::segment::{At, FOOTER_VERSION, Footer, HEADER_VERSION, MAGIC, SegmentHeader};
use crate::log::survey::{Stop, Survey, read_header};
use crate::log::{Block, BlockCache, Position, Segment, SegmentFiles};
use crate::state::Change;
use crate::state::change::{self, Added, Bodies, CHANGE_VERSION, Recorded};
use crate::state::delta::{ConsumerRow, GroupRow, PendingRow, StreamRow, TurnRow};
use crate::state::producers::ProducerRow;
use crate::state::snapshot::Snapshot;
use crate::state::tables::{Meta, TURN_VERSION};
use crate::state::tombstones::Bits;
use crate::storage::{File, Memory, Storage};

/// No file counts so far: sums of what files say stay numbers. A checksum that is right says that we wrote it.
const COUNT_MAX: u64 = 1 << 62;
const MAGIC_LEN: usize = 8;
const ROW_VERSION: u8 = 1;

/// A file's bytes, as a fuzzer gives them.
#[derive(Debug, Clone, Copy)]
pub enum Bytes<'a> {
    /// As they are.
    Raw(&'a [u8]),
    /// As frames that are given their checksums, behind the magic of such a file.
    Sealed(&'a [u8]),
}

impl<'a> Bytes<'a> {
    /// The first byte of `input` says which; `None` if there is none.
    pub fn of(input: &'a [u8]) -> Option<Bytes<'a>> {
        let (choice, bytes) = input.split_first()?;
        Some(if choice.is_multiple_of(4) { Bytes::Raw(bytes) } else { Bytes::Sealed(bytes) })
    }

    fn of_file(self, magic: Magic) -> Vec<u8> {
        match self {
            Bytes::Raw(bytes) => bytes.to_vec(),
            Bytes::Sealed(bytes) => seal([&magic, bytes].concat()),
        }
    }
}

/// Gives every frame of a file its checksum. One that claims more than there is, claims what there is.
fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut salt = Salt::new(&bytes[..MAGIC_LEN]);
    let mut start = MAGIC_LEN;
    while let Some(head) = bytes[start..].first_chunk::<HEADER_LEN>() {
        let there = bytes.len() - start - HEADER_LEN;
        let (body_len, key) = (frame::body_len(head).min(there), frame::key(head));
        let end = start + HEADER_LEN + body_len;
        frame::close(start, &mut bytes[..end]);
        frame::checksum(&salt, &mut bytes[start..end]);
        if start == MAGIC_LEN {
            salt = Salt::new(&key);
        }
        start = end;
    }
    bytes
}

/// Each frame that decodes is the one that its bytes are written from. Sealed, all of them do.
pub fn frames(bytes: Bytes<'_>) {
    const FRAMES: Magic = *b"SLOGFUZZ";
    let sealed = matches!(bytes, Bytes::Sealed(_));
    let bytes = bytes.of_file(FRAMES);
    let mut salt = Salt::new(&FRAMES);
    let mut rest = bytes.get(MAGIC_LEN..).unwrap_or_default();
    while let Ok((frame, after)) = Frame::decode(rest, &salt) {
        let mut again = Vec::new();
        frame::encode(&salt, frame, &mut again);
        assert_eq!(again, rest[..rest.len() - after.len()]);
        if rest.len() == bytes.len() - MAGIC_LEN {
            salt = Salt::new(&frame.key);
        }
        rest = after;
    }
    assert!(!sealed || rest.len() < HEADER_LEN);
}

fn stored(path: &str, dirs: &[&str], bytes: &[u8]) -> (Arc<Memory>, Arc<dyn File>) {
    let storage = Arc::new(Memory::default());
    for dir in dirs {
        storage.create_dir(dir).expect("memory has room");
    }
    let file = storage.create(path).expect("memory has room");
    file.write_at(bytes, 0).expect("memory has room");
    (storage, file)
}

/// A segment's file is read to the same end with the same entries by all who read it, and never past its end.
pub fn segment(bytes: Bytes<'_>) {
    let bytes = bytes.of_file(MAGIC);
    let decoded = header::decode::<SegmentHeader>("segment", MAGIC, HEADER_VERSION, &bytes);
    let Ok((_, head, _)) = decoded else { return };
    if head.first_ordinal > COUNT_MAX || head.base_bytes > COUNT_MAX {
        return;
    }
    let path = segment_path(head.stream, head.first_id);
    let (storage, file) = stored(&path, &[STREAMS, &stream_dir(head.stream)], &bytes);
    let (again, mut position) = read_header(&*file, &path, head.directory).expect("it was read before");
    assert_eq!(again, head);
    let encoded = header::encode(MAGIC, position.identity, HEADER_VERSION, &head);
    assert_eq!(header::decode::<SegmentHeader>("segment", MAGIC, HEADER_VERSION, &encoded).expect("ours").1, head);

    let mut entries: Vec<(Id, Vec<u8>)> = Vec::new();
    let mut survey = Survey::new(&*file, &path, &position).expect("memory is readable");
    let stop = survey.extend(&mut position, |id, body| {
        entries.push((id, body.to_vec()));
        true
    });
    let stop = stop.expect("memory is readable");
    let frames: usize = entries.iter().map(|(_, body)| HEADER_LEN + body.len()).sum();
    assert_eq!(position.end - position.begin, frames as u64);
    assert!(position.end <= bytes.len() as u64);
    assert_eq!(position.next_ordinal - position.first_ordinal, entries.len() as u64);
    assert!(entries.windows(2).all(|pair| pair[0].0 < pair[1].0));
    if let Stop::Footer(_) = stop {
        let sealed = Position { sealed: true, ..position.clone() };
        Segment::new(head.stream, sealed).read_footer(&*file).expect("there is one");
    }
    if !entries.is_empty() {
        look_up(&SegmentFiles::new(storage, 1), &Segment::new(head.stream, position), &entries);
    }
}

/// Finds every entry of a segment, by its ordinal and by its ID.
fn look_up(files: &SegmentFiles, segment: &Segment, entries: &[(Id, Vec<u8>)]) {
    let cache = BlockCache::new(1 << 20);
    let find = |at| segment.cached(at, &cache, &[]).map_or_else(|| segment.load(at, files, &cache), Ok);
    let block = |at| -> Arc<Block> { find(at).expect("a survey read it") };
    for (ordinal, (id, body)) in (segment.position.first_ordinal..).zip(entries) {
        for found in [block(At::Ordinal(ordinal)), block(At::Id(*id))] {
            let (found_id, Range { start, end }) = found.entry(ordinal);
            assert_eq!((found_id, &found.bytes()[start..end]), (*id, &body[..]));
            assert_eq!(found.ordinal_of(*id), ordinal);
        }
    }
}

/// A journal's file has records one after the other, and the same ones for whoever reads it again.
pub fn journal(bytes: Bytes<'_>) {
    let bytes = bytes.of_file(file::MAGIC);
    let decoded = header::decode::<JournalHeader>("journal", file::MAGIC, file::HEADER_VERSION, &bytes);
    let Ok((_, head, _)) = decoded else { return };
    if head.first_lsn > COUNT_MAX {
        return;
    }
    // Where the header does not say for which record the file was made, its name does.
    let first_lsn = head.first_lsn.max(1);
    let (storage, _) = stored(&file::path(first_lsn), &[JOURNAL], &bytes);
    let floor = first_lsn - 1;
    let read = || {
        let mut records: Vec<Vec<u8>> = Vec::new();
        let recovery = recover(&*storage, head.directory, floor, floor, |lsn, body| {
            records.push(body.to_vec());
            assert_eq!(lsn, floor + records.len() as u64);
            Ok(())
        });
        recovery.map(|recovery| (recovery, records)).ok()
    };
    let found = read();
    assert_eq!(found, read());
    let Some((recovery, records)) = found else { return };
    assert_eq!(recovery.last_lsn, floor + records.len() as u64);
    records.iter().for_each(|body| record(body));
    match snapshot(&*storage, head.directory, first_lsn) {
        // What it says is judged where it is used.
        Ok(snapshot) => drop(Snapshot::decode(&snapshot)),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(records.is_empty(), "a torn snapshot ends the log");
        }
    }
}

/// A record that decodes comes to the same changes when it is written and read again.
pub fn record(bytes: &[u8]) {
    let Ok(changes) = change::decode(bytes) else { return };
    let written = write(&changes);
    assert!(written.len() <= bytes.len());
    let again = change::decode(&written).expect("ours");
    assert_eq!(again.len(), changes.len());
    assert_eq!(write(&again), written);
}

fn write(changes: &[(u64, Recorded<'_>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (stream, recorded) in changes {
        match recorded {
            Recorded::Change(change) => change::encode_change(*stream, change, &mut out),
            Recorded::Added(entries) => {
                let (mut ids, mut bodies) = (Vec::new(), Bodies::default());
                for (id, body) in entries.clone() {
                    ids.push(id);
                    bodies.bytes.extend_from_slice(body);
                    bodies.end_body();
                    entry(body);
                }
                change::encode_added(*stream, Added { ids: &ids, bodies: &bodies }, &mut out);
            }
        }
    }
    out
}

/// A body that decodes has the same fields when it is written and read again.
pub fn entry(body: &[u8]) {
    let fields = |body: &[u8]| Fields::in_buffer(&Arc::new(body.to_vec()), 0..body.len());
    let Some(found) = fields(body) else { return assert!(!is_body(body)) };
    assert!(is_body(body));
    if body.is_empty() {
        // Nobody can write it, and it reads as what it is.
        return assert!(found.is_empty());
    }
    let mut written = Vec::new();
    let pairs: Vec<_> = found.iter().collect();
    encode_body(&pairs, usize::MAX, &mut written).expect("it has fields");
    assert!(written.len() <= body.len());
    let again = fields(&written).expect("ours");
    assert!(again.iter().eq(found.iter()));
    assert_eq!(pairs.len(), found.len());
}

/// Values of redb, headers, footers, changes and snapshots that decode are the same when they are written and read again.
/// The first byte of `input` says which.
pub fn value(input: &[u8]) {
    let Some((&choice, bytes)) = input.split_first() else { return };
    match choice % 13 {
        0 => value_of::<Meta>(ROW_VERSION, bytes),
        1 => value_of::<StreamRow>(ROW_VERSION, bytes),
        2 => value_of::<GroupRow>(ROW_VERSION, bytes),
        3 => value_of::<ConsumerRow>(ROW_VERSION, bytes),
        4 => {
            value_of::<PendingRow>(ROW_VERSION, bytes);
            value_of::<TurnRow>(TURN_VERSION, bytes);
        }
        5 => value_of::<Bits>(ROW_VERSION, bytes),
        6 => value_of::<Snapshot>(ROW_VERSION, bytes),
        7 => value_of::<Change>(CHANGE_VERSION, bytes),
        8 => value_of::<Footer>(FOOTER_VERSION, bytes),
        9 => value_of::<SegmentHeader>(HEADER_VERSION, bytes),
        10 => record(bytes),
        11 => value_of::<ProducerRow>(ROW_VERSION, bytes),
        _ => entry(bytes),
    }
}

fn value_of<T: Serialize + DeserializeOwned>(version: u8, bytes: &[u8]) {
    let encoded = |value: &T| {
        let mut out = Vec::new();
        codec::encode(version, value, &mut out);
        out
    };
    assert!(codec::unseal::<T>(version, bytes).map_or(true, |value| codec::seal(version, &value).len() <= bytes.len()));
    let Ok(value) = codec::decode::<T>(version, bytes) else { return };
    let written = encoded(&value);
    assert!(written.len() <= bytes.len());
    assert_eq!(encoded(&codec::decode(version, &written).expect("ours")), written);
    let sealed = codec::seal(version, &value);
    assert_eq!(encoded(&codec::unseal(version, &sealed).expect("ours")), written);
}

/// Bytes of a client: they are the same requests in whatever pieces they come, each within the limits.
#[cfg(feature = "resp")]
pub fn requests(input: &[u8]) {
    use crate::resp::request::{Limits, Parser};
    let Some((&choice, bytes)) = input.split_first() else { return };
    // Small, so that a fuzzer reaches them.
    let limits = Limits { arguments: 20, bulk_bytes: 300, request_bytes: 1000, stranger: choice & 1 == 1 };
    let parse = |piece: usize| {
        let (mut parser, mut begin, mut requests) = (Parser::default(), 0, Vec::new());
        for end in (0..bytes.len()).step_by(piece).chain([bytes.len()]) {
            loop {
                match parser.parse(&bytes[begin..end.max(begin)], &limits) {
                    Ok(None) => break,
                    Ok(Some(len)) => {
                        let args: Vec<_> = parser.args(&bytes[begin..]).map(<[u8]>::to_vec).collect();
                        let in_all: usize = args.iter().map(Vec::len).sum();
                        assert!(len > 0 && in_all < len && args.len() == parser.arguments());
                        requests.push(args);
                        parser.forget();
                        begin += len;
                    }
                    Err(error) => return (requests, Some(error)),
                }
            }
        }
        (requests, None)
    };
    let whole = parse(usize::MAX);
    assert_eq!(parse(1), whole);
    assert_eq!(parse(usize::from(choice).max(1)), whole);
    for args in whole.0 {
        let mut written = format!("*{}\r\n", args.len()).into_bytes();
        for arg in &args {
            written.extend(format!("${}\r\n", arg.len()).into_bytes());
            written.extend([arg, &b"\r\n"[..]].concat());
        }
        let large =
            Limits { arguments: usize::MAX, bulk_bytes: usize::MAX, request_bytes: usize::MAX, stranger: false };
        let mut parser = Parser::default();
        assert_eq!(parser.parse(&written, &large), Ok(Some(written.len())));
        assert!(parser.args(&written).eq(args.iter().map(Vec::as_slice)));
    }
}
