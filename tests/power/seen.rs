//! What is there after a power cut, and what that says of an operation.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use streamlog::{Broker, Id, Stream};

use crate::child::STREAMS;
use crate::entries::{Key, check_batches, read};

pub(crate) type Seen = HashMap<&'static str, SeenStream>;

/// A stream that is there.
#[derive(Debug)]
pub(crate) struct SeenStream {
    /// What is before this is not there any more.
    pub(crate) first: Id,
    pub(crate) last: Id,
    pub(crate) entries: BTreeMap<Id, Key>,
    pub(crate) groups: HashMap<String, SeenGroup>,
}

#[derive(Debug)]
pub(crate) struct SeenGroup {
    /// The last ID delivered.
    pub(crate) delivered: Id,
    pub(crate) pending: BTreeSet<Id>,
}

/// Looks at all that is there, and that it fits together.
pub(crate) fn look(broker: &Broker) -> Seen {
    let there = STREAMS.into_iter().filter(|name| broker.stream(name).unwrap().exists());
    there.map(|name| (name, SeenStream::look(&broker.stream(name).unwrap()))).collect()
}

impl SeenStream {
    fn look(stream: &Stream) -> SeenStream {
        let name = stream.name();
        let info = stream.info().unwrap();
        let entries = read(stream);
        assert_eq!(entries.len() as u64, info.length, "{name}");
        assert_eq!(entries.keys().next().copied(), info.first_id, "{name}");
        assert!(entries.last_key_value().is_none_or(|(&id, _)| id <= info.last_id), "{name}: {}", info.last_id);
        check_batches(name, &entries);
        let groups = stream.groups().unwrap().into_iter().map(|group| {
            let place = format!("{name}/{}", group.name);
            let rows = stream.group(&group.name).existing().unwrap().pending_range(..).read().unwrap();
            assert_eq!(rows.len() as u64, group.pending, "{place}");
            let pending: BTreeSet<Id> = rows.into_iter().map(|row| row.id).collect();
            let delivered = group.last_delivered_id;
            assert!(pending.last().is_none_or(|&id| id <= delivered), "{place}: what is pending was delivered");
            (group.name, SeenGroup { delivered, pending })
        });
        let groups = groups.collect();
        SeenStream { first: info.first_id.unwrap_or(Id::MAX), last: info.last_id, entries, groups }
    }
}

impl SeenGroup {
    /// Whether the entry was acknowledged, if it was ever there.
    pub(crate) fn is_done(&self, id: Id) -> bool {
        id <= self.delivered && !self.pending.contains(&id)
    }
}
