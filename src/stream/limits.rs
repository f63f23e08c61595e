//! How much one read takes: of each stream, and of all of them together (`COUNT`, `MAXCOUNT`, `MAXSIZE`). Knows no entries.

/// What a read may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Of each stream, entries.
    pub(super) count: usize,
    /// In all, entries.
    pub(super) max_count: usize,
    /// In all, bytes; `None` for any number.
    pub(super) max_bytes: Option<u64>,
}

impl Limits {
    /// So many entries of each stream.
    pub(super) const fn each(count: usize) -> Limits {
        Limits { count, max_count: usize::MAX, max_bytes: None }
    }

    /// Whether nothing at all may be taken: there is nothing to wait for then.
    pub(super) fn is_nothing(self) -> bool {
        self.count == 0 || self.max_count == 0
    }

    /// What is left before anything was taken.
    pub(super) fn left(self) -> Left {
        Left { limits: self, taken: 0, room: Room { bytes: self.max_bytes, first: true } }
    }
}

/// How many bytes of entries may be taken.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Room {
    /// `None` for any number.
    pub(crate) bytes: Option<u64>,
    /// Whether the first entry is taken though it be larger than all of it: otherwise nobody ever gets past it.
    pub(crate) first: bool,
}

/// What a read may still take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    limits: Limits,
    taken: usize,
    room: Room,
}

impl Left {
    /// How many entries of the next stream.
    pub(super) fn count(&self) -> usize {
        self.limits.count.min(self.limits.max_count - self.taken)
    }

    /// How many bytes of entries.
    pub(super) fn room(&self) -> Room {
        self.room
    }

    /// Whether the streams that follow are left out.
    pub(super) fn is_over(&self) -> bool {
        self.taken == self.limits.max_count || self.room.bytes == Some(0) && !self.room.first
    }

    /// Takes these entries off; so much room is left.
    pub(super) fn take(&mut self, entries: usize, room: Room) {
        self.taken += entries;
        self.room = room;
    }
}
