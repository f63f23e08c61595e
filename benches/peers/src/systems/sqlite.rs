//! SQLite as a queue: entries, what is pending with whom, and how far the group has read.
//!
//! ```text
//! entry    id INTEGER PRIMARY KEY, body BLOB
//! pending  id INTEGER PRIMARY KEY, consumer, at_ms, deliveries
//! cursor   last
//! ```

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

use super::Setting;
use crate::level::Level;
use crate::system::{Consumer, Producer, System};

/// A page is 4 KiB: a checkpoint each 32 MiB, as often as streamlog's. By default it is eight times as often.
const CHECKPOINT_PAGES: u32 = 8192;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS pending (
        id INTEGER PRIMARY KEY, consumer INTEGER NOT NULL, at_ms INTEGER NOT NULL, deliveries INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS cursor (last INTEGER NOT NULL) STRICT;
    INSERT INTO cursor SELECT 0 WHERE NOT EXISTS (SELECT * FROM cursor);
";
const ADD: &str = "INSERT INTO entry (body) VALUES (?1)";
const NEW: &str = "SELECT id, body FROM entry WHERE id > (SELECT last FROM cursor) ORDER BY id LIMIT ?1";
const DELIVER: &str = "INSERT INTO pending (id, consumer, at_ms, deliveries) VALUES (?1, ?2, ?3, 1)";
const MOVE: &str = "UPDATE cursor SET last = ?1";
const ACKNOWLEDGE: &str = "DELETE FROM pending WHERE id = ?1";
const SCAN: &str = "SELECT id, body FROM entry ORDER BY id LIMIT ?1";

/// One connection for all threads: SQLite writes one transaction at a time, and those who wait for a lock of this process are
/// quicker than those who try again.
pub(crate) struct Sqlite {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Mutex<Connection>,
    added: Condvar,
    level: Level,
}

impl Sqlite {
    pub(super) fn open(setting: Setting<'_>) -> Sqlite {
        let connection = connect(setting.directory, setting.level).expect("it opens");
        Sqlite {
            shared: Arc::new(Shared {
                connection: Mutex::new(connection),
                added: Condvar::new(),
                level: setting.level,
            }),
        }
    }
}

fn connect(directory: &Path, level: Level) -> rusqlite::Result<Connection> {
    std::fs::create_dir_all(directory).expect("a directory");
    let connection = Connection::open(directory.join("queue.db"))?;
    // What keeps other processes out saves it the shared memory.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous(level))?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "mmap_size", 1_u32 << 30)?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

fn synchronous(level: Level) -> &'static str {
    match level {
        Level::Os => "NORMAL",
        Level::Interval => panic!("it does not sync by the clock"),
        Level::Always => "FULL",
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl System for Sqlite {
    fn producer(&self) -> Box<dyn Producer> {
        Box::new(Adding { shared: self.shared.clone() })
    }

    fn consumer(&self, number: usize) -> Option<Box<dyn Consumer>> {
        Some(Box::new(Working { shared: self.shared.clone(), number: number as i64, taken: Vec::new() }))
    }

    fn scan(&self, messages: u64) -> Option<u64> {
        let connection = self.shared.lock();
        let mut scan = connection.prepare_cached(SCAN).expect("prepared");
        let mut rows = scan.query([messages as i64]).expect("rows");
        let mut read = 0;
        while let Some(row) = rows.next().expect("a row") {
            black_box((
                row.get::<_, i64>(0).expect("a number"),
                row.get_ref(1).expect("a body").as_blob().expect("bytes").len(),
            ));
            read += 1;
        }
        Some(read)
    }
}

struct Adding {
    shared: Arc<Shared>,
}

impl Producer for Adding {
    fn add(&mut self, payload: &[u8]) {
        self.shared.lock().prepare_cached(ADD).expect("prepared").execute([payload]).expect("added");
        self.shared.added.notify_one();
    }

    fn add_batch(&mut self, payloads: &[&[u8]]) {
        let connection = self.shared.lock();
        let transaction = connection.unchecked_transaction().expect("a transaction");
        {
            let mut add = transaction.prepare_cached(ADD).expect("prepared");
            for payload in payloads {
                add.execute([payload]).expect("added");
            }
        }
        transaction.commit().expect("added");
        drop(connection);
        self.shared.added.notify_one();
    }
}

struct Working {
    shared: Arc<Shared>,
    number: i64,
    taken: Vec<i64>,
}

impl Working {
    fn deliver(&mut self, connection: &Connection, count: usize) -> rusqlite::Result<()> {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let transaction = connection.unchecked_transaction()?;
        {
            let mut new = transaction.prepare_cached(NEW)?;
            let mut deliver = transaction.prepare_cached(DELIVER)?;
            let mut rows = new.query([count as i64])?;
            while let Some(row) = rows.next()? {
                let id = row.get(0)?;
                black_box(row.get_ref(1)?.as_blob().map(<[u8]>::len).ok());
                deliver.execute((id, self.number, now_ms))?;
                self.taken.push(id);
            }
            if let Some(last) = self.taken.last() {
                transaction.prepare_cached(MOVE)?.execute([last])?;
            }
        }
        transaction.commit()
    }

    fn delete(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut acknowledge = connection.prepare_cached(ACKNOWLEDGE)?;
        if let [id] = self.taken[..] {
            acknowledge.execute([id])?;
        } else {
            let transaction = connection.unchecked_transaction()?;
            for id in &self.taken {
                acknowledge.execute([id])?;
            }
            transaction.commit()?;
        }
        self.taken.clear();
        Ok(())
    }
}

impl Consumer for Working {
    fn take(&mut self, count: usize, wait: Option<Duration>) -> u64 {
        let shared = self.shared.clone();
        let mut connection = shared.lock();
        let is_always = shared.level == Level::Always;
        let set = |connection: &Connection, level| {
            connection.pragma_update(None, "synchronous", synchronous(level)).expect("set")
        };
        // streamlog's deliveries wait for no sync, and so these do not.
        if is_always {
            set(&connection, Level::Os);
        }
        self.taken.clear();
        self.deliver(&connection, count).expect("delivered");
        if let Some(wait) = wait.filter(|_| self.taken.is_empty()) {
            if is_always {
                set(&connection, Level::Always);
            }
            connection = shared.added.wait_timeout(connection, wait).unwrap_or_else(PoisonError::into_inner).0;
            if is_always {
                set(&connection, Level::Os);
            }
            self.deliver(&connection, count).expect("delivered");
        }
        if is_always {
            set(&connection, Level::Always);
        }
        self.taken.len() as u64
    }

    fn acknowledge(&mut self) {
        let shared = self.shared.clone();
        let connection = shared.lock();
        self.delete(&connection).expect("acknowledged");
    }
}
