//! commitlog: segments and an index of each, one writer.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};

use super::Setting;
use crate::system::{Producer, System};

/// What a segment of a gigabyte can hold at most of messages worth measuring: an index that has to grow is mapped anew.
const INDEX_ITEMS: usize = 16 << 20;
const SCAN_BYTES: usize = 1 << 20;

pub(crate) struct Log {
    directory: PathBuf,
    /// Open for scans, since the first: only one may have the log open while somebody adds.
    read: OnceLock<CommitLog>,
}

impl Log {
    pub(super) fn open(setting: Setting<'_>) -> Log {
        Log { directory: setting.directory.to_owned(), read: OnceLock::new() }
    }
}

fn opened(directory: &Path) -> CommitLog {
    let mut options = LogOptions::new(directory);
    options.index_max_items(INDEX_ITEMS).message_max_bytes(64 << 20);
    CommitLog::new(options).expect("it opens")
}

impl System for Log {
    fn producer(&self) -> Box<dyn Producer> {
        Box::new(Adding { log: opened(&self.directory), buffer: MessageBuf::default() })
    }

    fn scan(&self, messages: u64) -> Option<u64> {
        let log = self.read.get_or_init(|| opened(&self.directory));
        let mut read = 0;
        while read < messages {
            let found = log.read(read, ReadLimit::max_bytes(SCAN_BYTES)).expect("messages");
            if found.is_empty() {
                break;
            }
            for message in found.iter() {
                black_box(message.payload().len());
            }
            read += found.len() as u64;
        }
        Some(read)
    }
}

struct Adding {
    log: CommitLog,
    buffer: MessageBuf,
}

impl Producer for Adding {
    fn add(&mut self, payload: &[u8]) {
        self.add_batch(&[payload]);
    }

    fn add_batch(&mut self, payloads: &[&[u8]]) {
        self.buffer.clear();
        for payload in payloads {
            self.buffer.push(payload).expect("it fits");
        }
        self.log.append(&mut self.buffer).expect("added");
    }
}
