//! What one connection remembers between requests.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::shared::Client;
use crate::broker::alone::Watch;

/// Which protocol replies are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

/// Which replies are written (`CLIENT REPLY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Replies {
    #[default]
    On,
    Off,
    /// The next command's is not.
    SkipNext,
    /// This command's is not.
    SkipThis,
}

/// One connection's own.
#[derive(Debug)]
pub(crate) struct Session {
    /// What others see of it.
    pub(crate) client: Arc<Client>,
    pub(crate) protocol: Protocol,
    pub(crate) authenticated: bool,
    pub(crate) replies: Replies,
    /// The commands since `MULTI`.
    pub(crate) transaction: Option<Transaction>,
    pub(crate) watches: Vec<Watch>,
    /// The names of those.
    pub(crate) watched: BTreeSet<String>,
    /// What `watched` holds: names may be many.
    pub(crate) watched_bytes: usize,
    /// The connection ends when what was answered is written (`QUIT`).
    pub(crate) ends: bool,
}

/// The commands between `MULTI` and `EXEC`.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// Each command's arguments.
    pub(crate) queued: Vec<Vec<Vec<u8>>>,
    /// What `queued` holds.
    pub(crate) bytes: usize,
    /// A command was refused: `EXEC` will be.
    pub(crate) failed: bool,
}

impl Session {
    pub(crate) fn new(client: Arc<Client>, authenticated: bool) -> Session {
        Session {
            client,
            protocol: Protocol::default(),
            authenticated,
            replies: Replies::default(),
            transaction: None,
            watches: Vec::new(),
            watched: BTreeSet::new(),
            watched_bytes: 0,
            ends: false,
        }
    }

    /// Watches nothing any more.
    pub(crate) fn unwatch(&mut self) {
        self.watches.clear();
        self.watched.clear();
        self.watched_bytes = 0;
    }

    /// There was no `MULTI`, and nothing is watched.
    pub(crate) fn forget_transaction(&mut self) {
        self.transaction = None;
        self.unwatch();
    }

    /// To be called before each command.
    pub(crate) fn begins_command(&mut self) {
        if self.replies == Replies::SkipNext {
            self.replies = Replies::SkipThis;
        }
    }

    /// To be called after each command: whether its reply is to be written.
    pub(crate) fn ends_command(&mut self) -> bool {
        match self.replies {
            Replies::On => true,
            Replies::Off | Replies::SkipNext => false,
            Replies::SkipThis => {
                self.replies = Replies::On;
                false
            }
        }
    }

    /// Lets others see how it stands (`CLIENT LIST`): to be called after each turn.
    pub(crate) fn show(&self) {
        let seen = &self.client.seen;
        let transaction = self.transaction.as_ref();
        seen.protocol.store(if self.protocol == Protocol::Resp3 { 3 } else { 2 }, Ordering::Relaxed);
        seen.queued.store(
            transaction.map_or(-1, |queue| i64::try_from(queue.queued.len()).unwrap_or(i64::MAX)),
            Ordering::Relaxed,
        );
        seen.queued_bytes.store(transaction.map_or(0, |queue| queue.bytes), Ordering::Relaxed);
        seen.watched.store(self.watches.len(), Ordering::Relaxed);
    }
}
