//! Commands that change a stream, or which streams there are.

use super::or;
use crate::broker::Broker;
use crate::command::{Reply, XAdd, XCfgSet, XSetId};
use crate::error::{ErrorKind, Result};
use crate::id::Id;
use crate::trim::{References, Removal};

impl Broker {
    pub(super) fn xadd(&self, add: &XAdd) -> Result<Reply> {
        let stream = self.stream(&add.key)?;
        let mut entry = stream.entry(&add.fields).id(add.id);
        if let Some(trim) = add.trim {
            entry = entry.trim(trim);
        }
        if let Some(once) = &add.idempotent {
            entry = entry.idempotent(once.clone());
        }
        if !add.no_make_stream {
            return entry.add().map(Reply::id);
        }
        or(entry.existing_stream().add().map(Reply::id), ErrorKind::NoSuchStream, Reply::Null)
    }

    pub(super) fn xdelex(&self, key: &str, references: References, ids: &[Id]) -> Result<Reply> {
        self.on(key, nothing_of(ids.len()), |stream| stream.remove(ids, references).map(removals))
    }

    pub(super) fn xackdel(&self, key: &str, group: &str, references: References, ids: &[Id]) -> Result<Reply> {
        let done = self.group(key, group).and_then(|group| group.ack_and_delete(ids, references));
        or(done.map(removals), ErrorKind::NoSuchGroup, nothing_of(ids.len()))
    }

    pub(super) fn xcfgset(&self, set: &XCfgSet) -> Result<Reply> {
        let stream = self.stream(&set.key)?;
        let mut settings = stream.idempotency()?;
        if let Some(seconds) = set.seconds {
            settings = settings.seconds(seconds)?;
        }
        if let Some(ids) = set.ids {
            settings = settings.ids(ids)?;
        }
        stream.set_idempotency(settings).map(|()| Reply::OK)
    }

    pub(super) fn xsetid(&self, set: &XSetId) -> Result<Reply> {
        let stream = self.stream(&set.key)?;
        let mut run = stream.set_last_id(set.last_id);
        if let Some(entries) = set.entries_added {
            run = run.entries_added(entries);
        }
        if let Some(id) = set.max_deleted_id {
            run = run.max_deleted_id(id);
        }
        run.set().map(|()| Reply::OK)
    }
}

/// What becomes of so many IDs where there is no stream, or no group.
pub(super) fn nothing_of(ids: usize) -> Reply {
    Reply::Array(std::iter::repeat_n(Removal::Missing, ids).map(removal).collect())
}

fn removals(removals: Vec<Removal>) -> Reply {
    Reply::Array(removals.into_iter().map(removal).collect())
}

fn removal(removal: Removal) -> Reply {
    Reply::Int(match removal {
        Removal::Missing => -1,
        Removal::Removed => 1,
        Removal::Referenced => 2,
    })
}
