//! raft-engine: the log of many Raft groups in one.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use super::Setting;
use crate::level::Level;
use crate::system::{Producer, System};

const SCAN_ENTRIES: u64 = 1000;
/// The messages that are scanned are the first producer's.
const FIRST_GROUP: u64 = 1;
const FILE_MIB: u64 = 32;

pub(crate) struct Raft {
    engine: Arc<Engine>,
    sync: bool,
    groups: AtomicU64,
}

/// A message of protobuf's own, with a number and bytes in it, as Raft's entries have: those are in a crate that needs `protoc`.
struct Entries;

impl MessageExt for Entries {
    type Entry = UninterpretedOption;

    fn index(entry: &UninterpretedOption) -> u64 {
        entry.get_positive_int_value()
    }
}

impl Raft {
    pub(super) fn open(setting: Setting<'_>) -> Raft {
        let sync = setting.level == Level::Always;
        let config = Config {
            dir: setting.directory.to_str().expect("UTF-8").to_owned(),
            batch_compression_threshold: ReadableSize(0),
            target_file_size: ReadableSize::mb(if sync { FILE_MIB } else { 128 }),
            // A sync is quicker where blocks are written over.
            prefill_for_recycle: sync,
            prefill_limit: sync.then_some(ReadableSize::mb(4 * FILE_MIB)),
            ..Config::default()
        };
        Raft { engine: Arc::new(Engine::open(config).expect("it opens")), sync, groups: AtomicU64::new(FIRST_GROUP) }
    }
}

impl System for Raft {
    fn producer(&self) -> Box<dyn Producer> {
        Box::new(Adding {
            engine: self.engine.clone(),
            sync: self.sync,
            group: self.groups.fetch_add(1, Ordering::Relaxed),
            next: 1,
            batch: LogBatch::default(),
            entries: Vec::new(),
        })
    }

    fn scan(&self, messages: u64) -> Option<u64> {
        let last = self.engine.last_index(FIRST_GROUP)?.min(messages);
        let (mut read, mut entries) = (0, Vec::new());
        while read < last {
            entries.clear();
            let end = (read + SCAN_ENTRIES).min(last) + 1;
            self.engine.fetch_entries_to::<Entries>(FIRST_GROUP, read + 1, end, None, &mut entries).expect("entries");
            for entry in &entries {
                black_box(entry.get_string_value().len());
            }
            read += entries.len() as u64;
        }
        Some(read)
    }
}

struct Adding {
    engine: Arc<Engine>,
    sync: bool,
    group: u64,
    next: u64,
    batch: LogBatch,
    entries: Vec<UninterpretedOption>,
}

impl Producer for Adding {
    fn add(&mut self, payload: &[u8]) {
        self.add_batch(&[payload]);
    }

    fn add_batch(&mut self, payloads: &[&[u8]]) {
        self.entries.clear();
        for payload in payloads {
            let mut entry = UninterpretedOption::new();
            entry.set_positive_int_value(self.next);
            entry.set_string_value(payload.to_vec());
            self.next += 1;
            self.entries.push(entry);
        }
        self.batch.add_entries::<Entries>(self.group, &self.entries).expect("it fits");
        self.engine.write(&mut self.batch, self.sync).expect("added");
    }
}
