//! A stream in the model: entries by ID, counters, and what trims, deletions and tombstones mean for lag.

use std::collections::BTreeMap;
use std::time::Duration;

use streamlog::command::Command;
use streamlog::{ErrorKind, Id, IdSpec, References, Removal, StartAt, Trim};

use super::group::Group;
use super::producers::Producers;
use crate::common::operation::{Fields, Retention};

#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    pub(crate) entries: BTreeMap<Id, Fields>,
    pub(crate) last_id: Id,
    pub(crate) entries_added: u64,
    pub(crate) max_deleted_id: Id,
    pub(crate) trimmed_to: Id,
    pub(crate) retention: Retention,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) producers: Producers,
}

pub(crate) fn next_id(spec: IdSpec, last: Id, now_ms: u64) -> Result<Id, ErrorKind> {
    let id = match (spec, last.next()) {
        (_, None) => return Err(ErrorKind::IdsExhausted),
        (IdSpec::Auto, Some(next)) => next.max(Id::new(now_ms, 0)),
        (IdSpec::AutoSeq(ms), _) if ms == last.ms => Id::new(ms, last.seq.checked_add(1).ok_or(ErrorKind::IdTooSmall)?),
        (IdSpec::AutoSeq(ms), _) => Id::new(ms, 0),
        (IdSpec::Exact(id), _) => id,
    };
    if id > last { Ok(id) } else { Err(ErrorKind::IdTooSmall) }
}

impl Stream {
    pub(super) fn resolve(&self, start: StartAt) -> Id {
        match start {
            StartAt::Start => Id::MIN,
            StartAt::End => self.last_id,
            StartAt::After(id) => id,
            StartAt::Last => self.entries.keys().next_back().and_then(|id| id.previous()).unwrap_or(Id::MIN),
        }
    }

    pub(crate) fn first_id(&self) -> Option<Id> {
        self.entries.keys().next().copied()
    }

    pub(super) fn set_last(&mut self, id: Id, entries_added: Option<u64>, max_deleted_id: Id) -> Result<(), String> {
        let too_small = |than| Err(format!("ERR The ID specified in XSETID is smaller than {than}"));
        if id < self.max_deleted_id {
            return too_small("current max_deleted_entry_id");
        }
        if self.entries.keys().next_back().is_some_and(|top| id < *top) {
            return too_small("the target stream top item");
        }
        if entries_added.is_some_and(|entries| entries < self.entries.len() as u64) {
            let text = "ERR The entries_added specified in XSETID is smaller than the target stream length";
            return Err(text.to_owned());
        }
        (self.last_id, self.trimmed_to) = (id, self.trimmed_to.min(id));
        self.entries_added = entries_added.unwrap_or(self.entries_added);
        if max_deleted_id != Id::MIN {
            self.max_deleted_id = max_deleted_id;
        }
        Ok(())
    }

    fn is_referenced(&self, id: Id) -> bool {
        self.groups.values().any(|group| id > group.cursor || group.pending.contains_key(&id))
    }

    pub(super) fn remove(&mut self, id: Id, references: References) -> Removal {
        if references == References::Acknowledged && self.is_referenced(id) {
            return Removal::Referenced;
        }
        self.forget(id, references);
        if self.entries.remove(&id).is_none() {
            return Removal::Missing;
        }
        self.max_deleted_id = self.max_deleted_id.max(id);
        Removal::Removed
    }

    /// What becomes of what is pending of an entry that is gone.
    fn forget(&mut self, id: Id, references: References) {
        if references == References::Delete {
            self.groups.values_mut().for_each(|group| drop(group.pending.remove(&id)));
        }
    }

    pub(super) fn trim(&mut self, trim: Trim, now_ms: u64) -> u64 {
        let Trimming { limit, only_acknowledged, references } = Trimming::of(trim);
        let from = |id: Id| self.entries.range(id..).next().map(|(id, _)| *id);
        // Those before this one may go, and so many.
        let (keep, most) = match limit {
            Limit::Len(max) => (None, self.entries.len().saturating_sub(usize::try_from(max).unwrap())),
            Limit::MinId(min) => (from(min), usize::MAX),
            Limit::AgeMs(age) => (from(Id::new(now_ms.saturating_sub(age), 0)), usize::MAX),
            Limit::None => (None, usize::MAX),
        };
        let mut doomed: Vec<Id> =
            self.entries.keys().copied().filter(|id| keep.is_none_or(|keep| *id < keep)).collect();
        if references == References::Acknowledged {
            doomed.retain(|&id| !self.is_referenced(id));
        }
        doomed.truncate(most);
        if only_acknowledged {
            let done = |group: &Group, id| id <= group.cursor && group.pending.keys().all(|&pending| id < pending);
            doomed.retain(|&id| !self.groups.is_empty() && self.groups.values().all(|group| done(group, id)));
        }
        for id in &doomed {
            if self.first_id() == Some(*id) {
                self.trimmed_to = *id;
            }
            self.entries.remove(id);
            self.forget(*id, references);
        }
        doomed.len() as u64
    }

    pub(super) fn apply_retention(&mut self, now_ms: u64) {
        let Retention { max_len, max_age_ms, acknowledged, only_acknowledged } = self.retention;
        let limits = [max_len.map(Trim::max_len), max_age_ms.map(Duration::from_millis).map(Trim::max_age)];
        for trim in limits.into_iter().flatten() {
            self.trim(if only_acknowledged { trim.only_acknowledged() } else { trim }, now_ms);
        }
        if acknowledged {
            self.trim(Trim::acknowledged(), now_ms);
        }
    }

    /// Whether an entry from `id` on may have been deleted from the middle.
    fn tombstone_from(&self, id: Id) -> bool {
        self.max_deleted_id != Id::MIN && id <= self.max_deleted_id
    }

    /// How many entries there ever were up to `id`, as far as can be told without having counted.
    fn estimate(&self, id: Id) -> Option<u64> {
        let first = self.first_id()?;
        if (id != Id::MIN && id < self.max_deleted_id) || id > self.last_id {
            return None;
        }
        let before_first = self.entries_added - self.entries.len() as u64;
        match id {
            id if id == self.last_id => Some(self.entries_added),
            _ if self.tombstone_from(first) => None,
            id if id < first => Some(before_first),
            id if id == first => Some(before_first + 1),
            _ => None,
        }
    }

    pub(crate) fn lag(&self, group: &Group) -> Option<i64> {
        let Some(first) = self.first_id() else { return Some(0) };
        if group.cursor < first && self.max_deleted_id < first {
            return Some(self.entries.len().cast_signed() as i64);
        }
        let counted = group.entries_read.filter(|_| !self.tombstone_from(group.cursor));
        let read = counted.or_else(|| self.estimate(group.cursor))?;
        Some(self.entries_added.cast_signed() - read.cast_signed())
    }

    pub(super) fn entries_read_after(&self, group: &Group, id: Id) -> Option<u64> {
        let counts = self.first_id().is_some_and(|first| group.cursor >= first) && !self.tombstone_from(group.cursor);
        group.entries_read.filter(|_| counts).map(|read| read + 1).or_else(|| self.estimate(id))
    }
}

/// What a [`Trim`] says.
struct Trimming {
    limit: Limit,
    only_acknowledged: bool,
    references: References,
}

enum Limit {
    Len(u64),
    MinId(Id),
    AgeMs(u64),
    None,
}

impl Trimming {
    /// Read off its words: it tells nothing otherwise.
    fn of(trim: Trim) -> Trimming {
        let words = Command::XTrim { key: String::new(), trim }.to_args();
        let words: Vec<&str> = words[2..].iter().map(|word| str::from_utf8(word).expect("words are texts")).collect();
        let limit = match words[0] {
            "MAXLEN" => Limit::Len(words[1].parse().expect("a length")),
            "MINID" => Limit::MinId(words[1].parse().expect("an ID")),
            "MAXAGE" => Limit::AgeMs(words[1].parse().expect("milliseconds")),
            "ALL" => Limit::None,
            other => panic!("the model knows no trim by {other}"),
        };
        let references = match &words {
            words if words.contains(&"DELREF") => References::Delete,
            words if words.contains(&"ACKED") => References::Acknowledged,
            _ => References::Keep,
        };
        Trimming { limit, only_acknowledged: words.contains(&"ONLYACKED"), references }
    }
}
