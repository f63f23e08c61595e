//! fjall: a tree of sorted keys, here the messages' numbers.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::Setting;
use crate::level::Level;
use crate::system::{Producer, System};

pub(crate) struct Tree {
    database: Database,
    messages: Keyspace,
    next: Arc<AtomicU64>,
    persist: PersistMode,
    /// Whether it was compacted for a scan: it is once.
    compacted: std::sync::Once,
}

impl Tree {
    pub(super) fn open(setting: Setting<'_>) -> Tree {
        let persist = match setting.level {
            Level::Os => PersistMode::Buffer,
            Level::Interval => panic!("it does not sync by the clock"),
            Level::Always => PersistMode::SyncData,
        };
        // Or it would hand over to the system what is synced right after.
        let manual = setting.level == Level::Always;
        let database = Database::builder(setting.directory).manual_journal_persist(manual).open().expect("it opens");
        let options = || KeyspaceCreateOptions::default().manual_journal_persist(manual);
        let messages = database.keyspace("messages", options).expect("a keyspace");
        Tree { database, messages, next: Arc::default(), persist, compacted: std::sync::Once::new() }
    }
}

impl System for Tree {
    fn producer(&self) -> Box<dyn Producer> {
        Box::new(Adding {
            database: self.database.clone(),
            messages: self.messages.clone(),
            next: self.next.clone(),
            persist: self.persist,
        })
    }

    fn scan(&self, messages: u64) -> Option<u64> {
        self.compacted.call_once(|| {
            self.messages.rotate_memtable_and_wait().expect("written");
            self.messages.major_compact().expect("compacted");
        });
        let pairs = self.messages.iter().take(messages as usize);
        let read = pairs.map(|pair| black_box(pair.into_inner().expect("a message").1.len()));
        Some(read.count() as u64)
    }
}

struct Adding {
    database: Database,
    messages: Keyspace,
    next: Arc<AtomicU64>,
    persist: PersistMode,
}

impl Adding {
    fn key(&self) -> [u8; 8] {
        self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes()
    }
}

impl Producer for Adding {
    fn add(&mut self, payload: &[u8]) {
        self.messages.insert(self.key(), payload).expect("added");
        if self.persist != PersistMode::Buffer {
            self.database.persist(self.persist).expect("synced");
        }
    }

    fn add_batch(&mut self, payloads: &[&[u8]]) {
        let mut batch = self.database.batch().durability(Some(self.persist));
        for &payload in payloads {
            batch.insert(&self.messages, self.key(), payload);
        }
        batch.commit().expect("added");
    }
}
