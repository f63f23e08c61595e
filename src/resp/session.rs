//! What one connection remembers between requests.

use std::sync::Arc;

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
