//! What a connection has read and not executed. A connection that is idle holds no memory here: buffers go back to their thread,
//! which keeps a few.

use std::cell::RefCell;

/// Room for one read: several requests of a pipeline, or a piece of a large one.
pub(super) const READ_BYTES: usize = 16 << 10;

/// A buffer that grew past this is not kept.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// Buffers that a thread keeps: as many as it can need at a time are few, for each turn ends before the next begins.
const KEPT_MAX: usize = 32;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub(super) fn take() -> Vec<u8> {
    KEPT.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Empties a buffer and gives it back.
pub(super) fn give_back(buffer: &mut Vec<u8>) {
    let mut buffer = std::mem::take(buffer);
    if buffer.capacity() == 0 || buffer.capacity() > KEPT_BYTES_MAX {
        return;
    }
    buffer.clear();
    KEPT.with_borrow_mut(|kept| {
        if kept.len() < KEPT_MAX {
            kept.push(buffer);
        }
    });
}

/// What was read and not executed.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// What is before this is executed.
    begin: usize,
}

impl Input {
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }

    /// The first `len` bytes are executed.
    pub(super) fn consume(&mut self, len: usize) {
        self.begin += len;
    }

    /// Where more bytes go, with room for some. What is executed is dropped first: of what is left then, nothing is a whole
    /// request, so that no byte is moved twice.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = take();
        }
        self.bytes.drain(..self.begin);
        self.begin = 0;
        // Twice as large each time, as bytes come: whatever a length promises.
        if self.bytes.capacity() - self.bytes.len() < READ_BYTES / 2 {
            self.bytes.reserve(READ_BYTES);
        }
        &mut self.bytes
    }

    /// Room that is allocated and not used.
    pub(super) fn free(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Gives the memory back, if there is nothing in it.
    pub(super) fn rest(&mut self) {
        if self.begin == self.bytes.len() {
            self.begin = 0;
            give_back(&mut self.bytes);
        }
    }
}
