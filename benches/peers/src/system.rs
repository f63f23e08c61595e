//! What is measured, as the rows see it: something that is open in a directory, takes messages from producers, gives them to
//! consumers, and can be read through. Knows no row and no peer.

use std::time::Duration;

/// Open in a directory, at a level that it was opened with.
pub(crate) trait System: Send + Sync {
    /// One that adds; each thread has its own.
    fn producer(&self) -> Box<dyn Producer>;

    /// One of several that share the messages among them; each thread has its own. `None` for what is no queue.
    fn consumer(&self, _number: usize) -> Option<Box<dyn Consumer>> {
        None
    }

    /// Reads at least so many messages from the first on, or all if there are fewer; returns how many. `None` for what cannot be
    /// read through.
    fn scan(&self, _messages: u64) -> Option<u64> {
        None
    }

    /// The process that does the writing.
    fn process(&self) -> u32 {
        std::process::id()
    }

    /// What that process has sent through sockets, which the system counts as written too.
    fn sent_bytes(&self) -> u64 {
        0
    }

    /// Closes it in good order.
    fn close(self: Box<Self>) {}

    /// Leaves it as it is when it is killed: a server is, and what is in this process will be with it.
    fn abandon(self: Box<Self>) {
        std::mem::forget(self);
    }
}

pub(crate) trait Producer: Send {
    /// Adds one message: it is as durable as the level says when this returns.
    fn add(&mut self, payload: &[u8]);

    /// Adds as many messages as there are payloads in one call, transaction or pipeline, whichever is fastest.
    fn add_batch(&mut self, payloads: &[&[u8]]);
}

pub(crate) trait Consumer: Send {
    /// Takes up to so many messages, looks at their payloads, and keeps in mind what is to be acknowledged; waits so long for the
    /// first. Returns how many. A message that was taken and not acknowledged is given out again after a crash.
    fn take(&mut self, count: usize, wait: Option<Duration>) -> u64;

    /// Acknowledges what was taken: as durable as the level says when this returns.
    fn acknowledge(&mut self);
}
