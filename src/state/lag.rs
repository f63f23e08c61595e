//! How far a group is behind its stream: the counters of `XINFO GROUPS`, rule by rule as Redis has them.

use super::{Group, StreamState};
use crate::id::Id;

impl StreamState {
    /// Whether an entry at or after `from` was deleted from the middle.
    fn deleted_since(&self, from: Id) -> bool {
        self.length > 0 && self.max_deleted_id != Id::MIN && from <= self.max_deleted_id
    }

    /// How many entries the stream ever had up to and including `id`, where that can be told.
    pub(crate) fn count_until(&self, id: Id) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if self.length == 0 && id <= self.last_id {
            return Some(self.entries_added);
        }
        if id != Id::MIN && id < self.max_deleted_id {
            return None;
        }
        if id >= self.last_id {
            return (id == self.last_id).then_some(self.entries_added);
        }
        if self.max_deleted_id == Id::MIN || self.max_deleted_id < self.front.id {
            let before = self.entries_added - self.length;
            if id < self.front.id {
                return Some(before);
            }
            if id == self.front.id {
                return Some(before + 1);
            }
        }
        None
    }

    /// The group's `entries_read` after it was delivered `id`, the next entry after its cursor.
    pub(crate) fn entries_read_after(&self, entries_read: Option<u64>, cursor: Id, id: Id) -> Option<u64> {
        match entries_read {
            Some(read) if cursor >= self.front.id && !self.deleted_since(cursor) => Some(read.saturating_add(1)),
            _ if self.entries_added > 0 => self.count_until(id),
            other => other,
        }
    }

    /// How many entries the group has still to be delivered, where that can be told: less than none if it counts as having read more
    /// than there ever was.
    pub(crate) fn lag(&self, group: &Group) -> Option<i64> {
        if self.entries_added == 0 || self.length == 0 {
            return Some(0);
        }
        if group.cursor < self.front.id && self.max_deleted_id < self.front.id {
            return Some(self.length.cast_signed());
        }
        let read = match group.entries_read {
            Some(read) if !self.deleted_since(group.cursor) => Some(read),
            _ => self.count_until(group.cursor),
        };
        read.map(|read| self.entries_added.cast_signed() - read.cast_signed())
    }
}
