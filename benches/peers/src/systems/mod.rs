//! The peers: which there are, what each can do in which row and at which level, and what its settings promise.

mod commitlog;
mod fjall;
mod okaywal;
mod ours;
mod raft_engine;
mod redis;
mod sqlite;
mod yaque;

use std::path::Path;

use crate::level::Level;
use crate::rows::{Row, Task};
use crate::system::System;

/// One that is measured beside streamlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    CommitLog,
    OkayWal,
    Fjall,
    RaftEngine,
    Yaque,
    Sqlite,
    Redis,
}

/// What a system is opened with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) level: Level,
    /// The program that is Redis.
    pub(crate) redis: &'a str,
}

/// Whoever is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Ours,
    Peer(Peer),
}

impl Subject {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Subject::Ours => "streamlog",
            Subject::Peer(peer) => peer.name(),
        }
    }

    pub(crate) fn named(name: &str) -> Subject {
        if name == Subject::Ours.name() { Subject::Ours } else { Subject::Peer(Peer::named(name)) }
    }

    pub(crate) fn open(self, setting: Setting<'_>) -> Box<dyn System> {
        match self {
            Subject::Ours => Box::new(ours::Ours::open(setting)),
            Subject::Peer(peer) => peer.open(setting),
        }
    }
}

impl Peer {
    pub(crate) const ALL: [Peer; 7] =
        [Peer::CommitLog, Peer::OkayWal, Peer::Fjall, Peer::RaftEngine, Peer::Yaque, Peer::Sqlite, Peer::Redis];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::CommitLog => "commitlog",
            Peer::OkayWal => "okaywal",
            Peer::Fjall => "fjall",
            Peer::RaftEngine => "raft-engine",
            Peer::Yaque => "yaque",
            Peer::Sqlite => "SQLite",
            Peer::Redis => "Redis",
        }
    }

    pub(crate) fn named(name: &str) -> Peer {
        let is = |peer: &Peer| peer.name().eq_ignore_ascii_case(name);
        Peer::ALL.into_iter().find(is).unwrap_or_else(|| panic!("{name} is no peer"))
    }

    pub(crate) fn open(self, setting: Setting<'_>) -> Box<dyn System> {
        match self {
            Peer::CommitLog => Box::new(commitlog::Log::open(setting)),
            Peer::OkayWal => Box::new(okaywal::Wal::open(setting)),
            Peer::Fjall => Box::new(fjall::Tree::open(setting)),
            Peer::RaftEngine => Box::new(raft_engine::Raft::open(setting)),
            Peer::Yaque => Box::new(yaque::Queue::open(setting)),
            Peer::Sqlite => Box::new(sqlite::Sqlite::open(setting)),
            Peer::Redis => Box::new(redis::Redis::open(setting)),
        }
    }

    /// The level at which the row is measured with this peer, and streamlog beside it; or why it is not.
    pub(crate) fn level(self, row: Row) -> Result<Level, &'static str> {
        let level = row.level();
        match (self, level, row.task()) {
            (Peer::Sqlite, ..) => Ok(level),
            // `everysec` is what people run, and what Redis's documentation recommends.
            (Peer::Redis, Level::Os, _) => Ok(Level::Interval),
            (Peer::Redis, ..) => Ok(level),
            (Peer::CommitLog, Level::Always, _) => Err("never syncs its segments"),
            (Peer::CommitLog, _, Task::Add { .. } | Task::Scan) => Ok(level),
            (Peer::OkayWal, Level::Always, Task::Add { .. }) => Ok(level),
            (Peer::OkayWal, _, Task::Add { .. }) => Err("syncs each entry"),
            (Peer::OkayWal, ..) => Err("is read only when it is opened"),
            (Peer::Fjall | Peer::RaftEngine, _, Task::Add { .. } | Task::Scan) => Ok(level),
            (Peer::Yaque, Level::Always, _) => Err("never syncs"),
            (Peer::Yaque, _, Task::Add { .. } | Task::Work { .. }) => Ok(level),
            (Peer::Yaque, ..) => Err("has one producer and one consumer"),
            (Peer::CommitLog | Peer::Fjall | Peer::RaftEngine, ..) => Err("knows no consumers"),
        }
    }

    /// What its settings are, and what they promise.
    pub(crate) fn settings(self) -> &'static str {
        match self {
            Peer::CommitLog => {
                "a segment of 1 GB with an index large enough never to be mapped anew; an append is one `write`, and nothing is \
                 ever synced"
            }
            Peer::OkayWal => {
                "segments of 16 MiB, written over again; `commit` syncs, one sync for all who wait. What is checkpointed is forgotten"
            }
            Peer::Fjall => {
                "keys are numbers; a write is one `write` to its journal (`PersistMode::Buffer`), or `SyncData` after each where it \
                 says synced; no compression; compacted before it is scanned"
            }
            Peer::RaftEngine => {
                "`write` with `sync` or without, one sync for all who wait; no compression; where it says synced its files are filled \
                 beforehand. It wants entries in order, so each producer has a Raft group of its own"
            }
            Peer::Yaque => {
                "a `send` is one `write`; the receiver's place is saved with each `commit` (`save_every_nth(1)`), which is its \
                 acknowledgement and truncates a file, which ext4 flushes; nothing else is ever synced"
            }
            Peer::Sqlite => {
                "in the process (`rusqlite`), WAL, prepared statements, one connection that has the file for itself, a checkpoint each \
                 32 MiB; `synchronous` is `NORMAL`, or `FULL` where it says synced, but for deliveries, as with streamlog. Entries \
                 stay; a delivery is a row of `pending` and the cursor moved in one transaction, an acknowledgement deletes the row"
            }
            Peer::Redis => {
                "over a unix socket, `appendonly yes` with `appendfsync everysec` (streamlog beside it at `Interval(1 s)`), or \
                 `always` where it says synced, deliveries too; batches are pipelines; the log is not rewritten meanwhile. While it \
                 syncs every second it may answer before it has written"
            }
        }
    }
}
