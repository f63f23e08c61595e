//! okaywal: a write-ahead log in front of something else. Each entry is synced, one sync for all who wait.

use okaywal::{Configuration, LogVoid, WriteAheadLog};

use super::Setting;
use crate::system::{Producer, System};

/// Larger than it is by default: a segment that is full costs a new one, a rename and a sync of the directory.
const SEGMENT_BYTES: u32 = 16 << 20;
/// A segment must not grow beyond what was written of it beforehand.
const CHECKPOINT_BYTES: u64 = 15 << 20;

pub(crate) struct Wal {
    log: WriteAheadLog,
}

impl Wal {
    pub(super) fn open(setting: Setting<'_>) -> Wal {
        let configuration = Configuration::default_for(setting.directory)
            .preallocate_bytes(SEGMENT_BYTES)
            .checkpoint_after_bytes(CHECKPOINT_BYTES);
        Wal { log: configuration.open(LogVoid).expect("it opens") }
    }
}

impl System for Wal {
    fn producer(&self) -> Box<dyn Producer> {
        Box::new(Adding { log: self.log.clone() })
    }
}

struct Adding {
    log: WriteAheadLog,
}

impl Producer for Adding {
    fn add(&mut self, payload: &[u8]) {
        self.add_batch(&[payload]);
    }

    fn add_batch(&mut self, payloads: &[&[u8]]) {
        let mut entry = self.log.begin_entry().expect("an entry");
        for payload in payloads {
            entry.write_chunk(payload).expect("written");
        }
        entry.commit().expect("added");
    }
}
