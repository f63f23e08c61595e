//! A server that speaks the Redis protocol: every Redis client works on a log that is open in this process.
//!
//! ```text
//! options → server, listener     where it listens, its threads, how it ends
//!         ↓
//! connection   one client's loop: reads, has requests run, waits for the disk once for all it read, writes
//!              (socket: the system's; buffers: what is read and not run)
//!         ↓
//! runner       one request: found in the table, refused, queued or run     (transaction: MULTI, EXEC, WATCH)
//!         ↓
//! request      bytes to arguments: the parser, pure                encode      replies to bytes, in RESP2 or RESP3
//! session      what a connection remembers: protocol, name, password, transaction
//! commands     the table of what is known; each family a file. Those of streams are [`command`](crate::command)'s
//!         ↓
//! shared       what all connections share: the broker, clients, statistics, settings
//! ```
//!
//! It sees the broker's interface alone: it does **not** know of records, locks or files. Its threads are its own, so that a service
//! needs no async runtime to start one, and one that has a runtime is not held up by it.

mod buffers;
mod clients;
mod commands;
mod config;
mod connection;
mod encode;
mod listener;
mod memory;
mod open_files;
mod options;
pub(crate) mod request;
mod runner;
mod server;
mod session;
mod shared;
mod socket;
mod stats;
mod transaction;

pub use self::options::Builder;
pub use self::server::Server;
