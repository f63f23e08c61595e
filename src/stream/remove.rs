//! Which entries go: what a trim amounts to, given what the stream has, what is being added to it, and what its groups still
//! need. Plans only; nothing changes here.

use crate::clock::millis;
use crate::id::Id;
use crate::log::frame::HEADER_LEN;
use crate::log::segment::At;
use crate::log::stream_log::Blocks;
use crate::log::{Lookup, Segment};
use crate::state::change::{Added, Change, Front};
use crate::state::{Group, StreamState};
use crate::trim::{By, References, Trim};

/// What a trim amounts to.
pub(crate) struct Trimmed {
    pub(crate) changes: Vec<Change>,
    /// How many entries go.
    pub(crate) removed: u64,
}

impl StreamState {
    /// What `trim` amounts to, if entries go, with `added` in place already. An approximate one goes by nodes of so many entries.
    pub(crate) fn plan_trim(
        &self,
        trim: Trim,
        node_entries: u64,
        now_ms: u64,
        added: Option<Added<'_>>,
        blocks: Blocks<'_>,
    ) -> Lookup<Option<Trimmed>> {
        into_lookup(self.look_up_trim(trim, node_entries, now_ms, added, blocks))
    }

    /// As [`plan_trim`](Self::plan_trim); what must be loaded is the error, so that `?` can leave.
    fn look_up_trim(
        &self,
        trim: Trim,
        node_entries: u64,
        now_ms: u64,
        added: Option<Added<'_>>,
        blocks: Blocks<'_>,
    ) -> Result<Option<Trimmed>, Load> {
        let node = if node_entries == 0 { u64::MAX } else { node_entries };
        let view = View { state: self, added, blocks, node };
        let start = if self.length == 0 { self.log.next_ordinal() } else { self.front.ordinal };
        let excess = match trim.by {
            By::Len(max) => (self.length + view.added_len()).saturating_sub(max),
            _ => u64::MAX,
        };
        let mut target = match trim.by {
            By::Len(_) => self.tombstones.skip_live(start, excess),
            By::MinId(id) => view.ordinal_of(id)?,
            By::Age(age) => view.ordinal_of(Id::new(now_ms.saturating_sub(millis(age)), 0))?,
            By::Bytes(max) => match view.next_bytes().checked_sub(max) {
                None => return Ok(None),
                Some(from_byte) => view.ordinal_of_byte(from_byte)?,
            },
            By::All => view.next_ordinal(),
        };
        let passes = trim.references == References::Acknowledged && !self.groups.is_empty();
        if passes && matches!(trim.by, By::Len(_)) {
            // Entries behind those that are passed over go in their place.
            target = view.next_ordinal();
        }
        if trim.only_acknowledged {
            let Some(done_to) = self.acknowledged_to() else { return Ok(None) };
            if let Some(keep) = done_to.next() {
                target = target.min(view.ordinal_of(keep)?);
            }
        }
        let limit = trim.approximately.map(|at_most| at_most.entries(node_entries));
        if passes {
            return view.without_referenced(start, target, excess, limit.unwrap_or(u64::MAX));
        }
        match (limit, trim.references) {
            (None, _) => {}
            (Some(limit), References::Keep) => {
                if let By::Len(_) = trim.by {
                    // What is deleted behind the last entry that may go keeps no node.
                    target = self.tombstones.first_live(target);
                }
                target = view.whole_nodes(start, target, limit);
            }
            // What looks at each entry saves no work by whole nodes: in Redis too such a trim is approximate by its limit only.
            (Some(limit), _) => target = view.limited(start, target, limit),
        }
        if target <= start {
            return Ok(None);
        }
        let removed = view.live(start, target);
        if removed == 0 {
            return Ok(None);
        }
        let last = view.id(self.tombstones.last_live(target).unwrap_or(start))?;
        let mut changes = vec![Change::Trim { front: view.front(self.tombstones.first_live(target))?, last, removed }];
        if trim.references == References::Delete {
            changes.extend(view.references_until(last)?);
        }
        Ok(Some(Trimmed { changes, removed }))
    }

    /// Where the stream begins once the entries with these ordinals, sorted, are gone.
    pub(crate) fn front_without(&self, dead: &[u64], blocks: Blocks<'_>) -> Lookup<Front> {
        let mut ordinal = self.front.ordinal;
        loop {
            ordinal = self.tombstones.first_live(ordinal);
            if dead.binary_search(&ordinal).is_err() {
                break;
            }
            ordinal += 1;
        }
        // Not looked up: its block may be cold, or damaged, which need not concern those behind it.
        if ordinal == self.front.ordinal && self.length > 0 {
            return Lookup::Found(self.front);
        }
        into_lookup(View { state: self, added: None, blocks, node: u64::MAX }.front(ordinal))
    }
}

/// A stream as it will be with the entries being added.
struct View<'a> {
    state: &'a StreamState,
    added: Option<Added<'a>>,
    blocks: Blocks<'a>,
    /// How many entries a node has.
    node: u64,
}

/// A block to be loaded, as an error: so `?` leaves a look-up that needs several.
type Load = Box<(Segment, At)>;

fn or_load<T>(lookup: Lookup<T>) -> Result<T, Load> {
    match lookup {
        Lookup::Found(value) => Ok(value),
        Lookup::Load(segment, at) => Err(Box::new((segment, at))),
    }
}

fn into_lookup<T>(result: Result<T, Load>) -> Lookup<T> {
    match result {
        Ok(value) => Lookup::Found(value),
        Err(load) => Lookup::Load(load.0, load.1),
    }
}

impl View<'_> {
    /// How many entries with these ordinals are there.
    fn live(&self, from: u64, to: u64) -> u64 {
        to - from - self.state.tombstones.count(from, to)
    }

    /// The end of the whole nodes from `start` on that end by `target` and have at most `limit` entries.
    fn whole_nodes(&self, start: u64, target: u64, limit: u64) -> u64 {
        let (mut at, mut left) = (start, limit);
        while at < target {
            let end = self.node_end(at);
            let entries = self.live(at, end);
            if end > target || entries > left {
                break;
            }
            (at, left) = (end, left - entries);
        }
        at
    }

    /// Where the node ends that this entry is in.
    fn node_end(&self, at: u64) -> u64 {
        (at / self.node + 1).saturating_mul(self.node).min(self.next_ordinal())
    }

    /// Where to stop before `target`: at the node with whose entries those that go could be more than `limit`.
    fn limited(&self, start: u64, target: u64, limit: u64) -> u64 {
        let (mut at, mut left) = (start, limit);
        while at < target {
            let end = self.node_end(at);
            if self.live(at, end) > left {
                break;
            }
            let next = end.min(target);
            left -= self.live(at, next);
            at = next;
        }
        at
    }

    /// The ordinal of the first pending entry with an ID from `from` to `to` that is in the stream, and its ID.
    fn next_pending(&self, mut from: Id, to: Id) -> Result<Option<(u64, Id)>, Load> {
        while from <= to && self.state.length > 0 {
            let first = |group: &Group| group.pending.range(from..=to).next().map(|(&id, _)| id);
            let Some(id) = self.state.groups.values().filter_map(first).min() else { break };
            if let Some(ordinal) = self.ordinal_with(id)? {
                return Ok(Some((ordinal, id)));
            }
            let Some(next) = id.next() else { break };
            from = next;
        }
        Ok(None)
    }

    /// The ordinal of the entry with this ID, if it is there.
    fn ordinal_with(&self, id: Id) -> Result<Option<u64>, Load> {
        let ordinal = self.ordinal_of(id)?;
        let there = ordinal < self.next_ordinal() && !self.state.tombstones.contains(ordinal);
        Ok(if there && self.id(ordinal)? == id { Some(ordinal) } else { None })
    }

    /// Takes up to `most` of the entries before `target` that no group needs, passing over those that one does, and stops before
    /// the node with whose entries they could be more than `limit`.
    fn without_referenced(&self, start: u64, target: u64, most: u64, limit: u64) -> Result<Option<Trimmed>, Load> {
        let tombstones = &self.state.tombstones;
        let delivered = self.state.groups.values().map(|group| group.cursor).min().unwrap_or(Id::MAX);
        let end = match delivered.next() {
            Some(new) => target.min(self.ordinal_of(new)?),
            None => target,
        };
        if start >= end || most == 0 {
            return Ok(None);
        }
        // One after the other, as the walk comes to them: of many that are pending most may lie behind what goes.
        let mut referenced = self.next_pending(self.state.front.id, delivered)?;
        let (mut runs, mut removed): (Vec<(u64, u64)>, u64) = (Vec::new(), 0);
        let mut at = tombstones.first_live(start);
        // Where the stream then begins: at what is passed over first.
        let mut front = None;
        let mut node_end = start;
        while at < end && removed < most {
            if at >= node_end {
                node_end = self.node_end(at);
                if self.live(at, node_end) > limit.saturating_sub(removed) {
                    break;
                }
            }
            if let Some((_, id)) = referenced.filter(|(ordinal, _)| *ordinal == at) {
                front = front.or(Some(at));
                referenced = id.next().map_or(Ok(None), |next| self.next_pending(next, delivered))?;
            } else {
                match runs.last_mut() {
                    Some((first, len)) if *first + *len == at => *len += 1,
                    _ => runs.push((at, 1)),
                }
                removed += 1;
            }
            at = tombstones.first_live(at + 1);
        }
        if removed == 0 {
            return Ok(None);
        }
        let front = self.front(front.unwrap_or(at))?;
        let last = match runs.iter().take_while(|(first, _)| *first < front.ordinal).last() {
            Some((first, len)) => self.id(first + len - 1)?,
            None => Id::MIN,
        };
        let change = if runs.iter().all(|(first, _)| *first < front.ordinal) {
            Change::Trim { front, last, removed }
        } else {
            Change::TrimSome { runs, front, last, removed }
        };
        Ok(Some(Trimmed { changes: vec![change], removed }))
    }

    /// The changes that take from the pending lists the entries that are there, up to that with the ID `last`.
    fn references_until(&self, last: Id) -> Result<Vec<Change>, Load> {
        let mut changes = Vec::new();
        for (&group, state) in self.state.groups.iter().filter(|_| self.state.length > 0) {
            if last < self.state.front.id {
                continue;
            }
            let mut ids = Vec::new();
            for &id in state.pending.range(self.state.front.id..=last).map(|(id, _)| id) {
                // What was deleted before stays pending; of a copy not even the place where it was is left.
                if self.ordinal_with(id)?.is_some() {
                    ids.push(id);
                }
            }
            if !ids.is_empty() {
                changes.push(Change::Ack { group, ids });
            }
        }
        Ok(changes)
    }

    fn added_len(&self) -> u64 {
        self.added.map_or(0, |added| added.ids.len() as u64)
    }

    fn next_ordinal(&self) -> u64 {
        self.state.log.next_ordinal() + self.added_len()
    }

    /// The bytes of the frames of the first `count` entries being added.
    fn added_bytes(&self, count: u64) -> u64 {
        self.added.map_or(0, |added| {
            added.bodies.iter().take(count as usize).map(|body| (HEADER_LEN + body.len()) as u64).sum()
        })
    }

    fn next_bytes(&self) -> u64 {
        self.state.log.next_bytes() + self.added_bytes(self.added_len())
    }

    fn ordinal_of(&self, id: Id) -> Result<u64, Load> {
        if id > self.state.last_id {
            let before = self.added.map_or(0, |added| added.ids.partition_point(|&added| added < id));
            return Ok(self.state.log.next_ordinal() + before as u64);
        }
        or_load(self.state.log.ordinal_of(id, self.blocks))
    }

    fn ordinal_of_byte(&self, byte: u64) -> Result<u64, Load> {
        let mut next = self.state.log.next_bytes();
        if byte < next {
            return or_load(self.state.log.ordinal_of_byte(byte, self.blocks));
        }
        let mut ordinal = self.state.log.next_ordinal();
        for body in self.added.iter().flat_map(|added| added.bodies.iter()) {
            if next >= byte {
                break;
            }
            next += (HEADER_LEN + body.len()) as u64;
            ordinal += 1;
        }
        Ok(ordinal)
    }

    /// The ID of an entry that is there, deleted or not.
    fn id(&self, ordinal: u64) -> Result<Id, Load> {
        let next = self.state.log.next_ordinal();
        match ordinal.checked_sub(next) {
            Some(index) => Ok(self.added.map_or(Id::MIN, |added| added.ids[index as usize])),
            None => or_load(self.state.log.page(ordinal, self.blocks)).map(|page| page.id(ordinal)),
        }
    }

    /// The front of a stream whose first entry has this ordinal.
    fn front(&self, ordinal: u64) -> Result<Front, Load> {
        let next = self.state.log.next_ordinal();
        let bytes = match ordinal.checked_sub(next) {
            Some(count) => self.state.log.next_bytes() + self.added_bytes(count),
            None => or_load(self.state.log.bytes_before(ordinal, self.blocks))?,
        };
        let id = if ordinal >= self.next_ordinal() { Id::MIN } else { self.id(ordinal)? };
        Ok(Front { ordinal, bytes, id })
    }
}
