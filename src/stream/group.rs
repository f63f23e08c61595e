//! Consumer groups: made, moved, destroyed, acknowledged to (`XGROUP`, `XACK`).

use std::fmt;
use std::sync::Arc;

use super::catalog::check_name;
use super::cell::{Inner, StreamCell};
use super::core::{Plan, found};
use super::{Consumer, NO_BODIES, Stream};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::log::Lookup;
use crate::log::stream_log::Blocks;
use crate::options::Durability;
use crate::state::Change;
use crate::stream::core::Ids;

/// Where a group begins to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAt {
    /// With the first entry there is (`0`).
    Start,
    /// With the next entry to be added (`$`).
    #[default]
    End,
    /// With the first entry after this ID.
    After(Id),
    /// With the last entry there is; with the first to come if there is none (`+`).
    Last,
}

impl StartAt {
    /// The ID after which it begins.
    pub(super) fn resolve(self, inner: &Inner, blocks: Blocks<'_>) -> Lookup<Id> {
        Lookup::Found(match self {
            StartAt::Start => Id::MIN,
            StartAt::End => inner.visible_last_id,
            StartAt::After(id) => id,
            StartAt::Last => return inner.last_live_id(blocks).map(|id| id.previous().unwrap_or(Id::MIN)),
        })
    }
}

impl From<Id> for StartAt {
    fn from(id: Id) -> StartAt {
        StartAt::After(id)
    }
}

/// A consumer group of a stream, by its name. Every group is delivered every entry; within a group each entry goes to
/// one consumer, and stays pending with it until acknowledged. Cheap to clone.
#[derive(Clone)]
pub struct Group {
    stream: Stream,
    name: Arc<str>,
}

impl Stream {
    /// The group with this name, to be created or opened.
    ///
    /// ```
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// let billing = orders.group("billing").from_start().ensure()?;
    /// let audit = orders.group("audit").create()?;
    /// assert!(orders.group("audit").create().is_err(), "it exists");
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    pub fn group(&self, name: &str) -> NewGroup {
        NewGroup { group: self.named_group(name), start: StartAt::End, entries_read: None }
    }

    /// The group with this name, whether or not there is one.
    pub(crate) fn named_group(&self, name: &str) -> Group {
        Group { stream: self.clone(), name: name.into() }
    }
}

/// A group about to be created or opened: [`Stream::group`].
#[derive(Debug, Clone)]
#[must_use = "no group is made before `create` or `ensure` is called"]
pub struct NewGroup {
    group: Group,
    start: StartAt,
    entries_read: Option<u64>,
}

impl NewGroup {
    /// Begins with the first entry there is. If not said, a new group begins with the next entry to be added.
    #[allow(clippy::wrong_self_convention, reason = "it reads as it should: a group from the start")]
    pub fn from_start(self) -> NewGroup {
        self.start_at(StartAt::Start)
    }

    /// Begins where `start` says.
    pub fn start_at(mut self, start: impl Into<StartAt>) -> NewGroup {
        self.start = start.into();
        self
    }

    /// How many entries the group counts as read at its start, for its lag (`ENTRIESREAD`).
    pub fn entries_read(mut self, entries: u64) -> NewGroup {
        self.entries_read = Some(entries);
        self
    }

    /// Creates the group, and the stream if there is none (`XGROUP CREATE … MKSTREAM`).
    ///
    /// # Errors
    ///
    /// [`GroupExists`](ErrorKind::GroupExists); [`InvalidName`](ErrorKind::InvalidName); if it cannot be written.
    pub fn create(self) -> Result<Group> {
        if self.made()? {
            Ok(self.group)
        } else {
            let text = format!("the stream `{}` has a group `{}` already", self.group.stream.name(), self.group.name);
            Err(Error::new(ErrorKind::GroupExists, text))
        }
    }

    /// Creates the group if there is none. One that exists stays where it is.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](ErrorKind::InvalidName); if it cannot be written.
    pub fn ensure(self) -> Result<Group> {
        self.made()?;
        Ok(self.group)
    }

    /// The group that exists.
    ///
    /// # Errors
    ///
    /// [`NoSuchGroup`](ErrorKind::NoSuchGroup).
    pub fn existing(self) -> Result<Group> {
        self.group.info()?;
        Ok(self.group)
    }

    /// Creates the group; `false` if there is one.
    fn made(&self) -> Result<bool> {
        let Group { stream, name } = &self.group;
        check_name("group", name)?;
        stream.commit_created(stream.core().options.durability, &NO_BODIES, |inner, blocks| {
            if inner.state.group_named(name).is_some() {
                return Ok(Plan::Nothing(false));
            }
            let cursor = found!(self.start.resolve(inner, blocks));
            let entries_read = self.entries_read.map(|read| read.min(inner.state.entries_added));
            let group = inner.state.next_group;
            Ok(Plan::change(Change::CreateGroup { group, name: name.to_string(), cursor, entries_read }, true))
        })
    }
}

impl Inner {
    /// The number of a group.
    pub(super) fn group(&self, name: &str) -> Result<u32> {
        let found = self.state.group_named(name).map(|(number, _)| number);
        found.ok_or_else(|| Error::no_such_group(&self.state.name, name))
    }
}

impl Group {
    /// The group's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stream that the group reads.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The consumer with this name, which begins when it first asks for something.
    pub fn consumer(&self, name: &str) -> Consumer {
        Consumer::new(self.clone(), name)
    }

    /// Changes the group, which must be there.
    pub(super) fn change<T>(
        &self,
        level: Durability,
        mut plan: impl FnMut(&mut Inner, u32, Blocks<'_>) -> Result<Plan<T>>,
    ) -> Result<T> {
        let changed = self.stream.with_cell(|cell| self.change_in(cell, level, &mut plan));
        changed.map_err(|error| self.error(error))
    }

    /// Changes the group of this stream. That there is none is not told as that there is no group.
    pub(super) fn change_in<T>(
        &self,
        cell: &Arc<StreamCell>,
        level: Durability,
        mut plan: impl FnMut(&mut Inner, u32, Blocks<'_>) -> Result<Plan<T>>,
    ) -> Result<T> {
        self.stream.core().commit(cell, level, &NO_BODIES, |inner, blocks| {
            let group = inner.group(&self.name)?;
            plan(inner, group, blocks)
        })
    }

    /// Reads the group, which must be there.
    pub(super) fn read<T>(&self, mut read: impl FnMut(&Inner, &crate::state::Group) -> Result<T>) -> Result<T> {
        let read = self.stream.view(|inner, _| {
            let group = &inner.state.groups[&inner.group(&self.name)?];
            read(inner, group).map(crate::log::Lookup::Found)
        });
        read.map_err(|error| self.error(error))
    }

    /// A group of no stream is no group.
    pub(super) fn error(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::NoSuchStream => Error::no_such_group(self.stream.name(), &self.name),
            _ => error,
        }
    }

    /// Acknowledges these entries: they are pending no longer (`XACK`). Returns how many were.
    ///
    /// # Errors
    ///
    /// [`NoSuchGroup`](ErrorKind::NoSuchGroup); if it cannot be written.
    pub fn ack(&self, ids: &[Id]) -> Result<u64> {
        self.ack_with(ids, self.stream.core().options.ack_durability())
    }

    /// [`ack`](Group::ack) with a durability of its own.
    ///
    /// # Errors
    ///
    /// As [`ack`](Group::ack).
    pub fn ack_with(&self, ids: &[Id], durability: Durability) -> Result<u64> {
        self.change(durability, |inner, group, _| {
            let mut acked = inner.state.groups[&group].pending.present(ids);
            if !acked.is_sorted_by(|a, b| a < b) {
                acked.sort_unstable();
                acked.dedup();
            }
            if acked.is_empty() {
                return Ok(Plan::Nothing(0));
            }
            let count = acked.len() as u64;
            Ok(Plan::change(Change::Ack { group, ids: acked }, count))
        })
    }

    /// Moves the cursor: the next new entry delivered is the first after it (`XGROUP SETID`). What is pending stays so.
    ///
    /// # Errors
    ///
    /// [`NoSuchGroup`](ErrorKind::NoSuchGroup); if it cannot be written.
    pub fn set_cursor(&self, to: impl Into<StartAt>) -> Result<()> {
        self.set_cursor_and_read(to, None)
    }

    /// [`set_cursor`](Group::set_cursor), and how many entries the group counts as read there, for its lag (`ENTRIESREAD`); not
    /// known if `None`.
    ///
    /// # Errors
    ///
    /// As [`set_cursor`](Group::set_cursor).
    pub fn set_cursor_and_read(&self, to: impl Into<StartAt>, entries_read: Option<u64>) -> Result<()> {
        let to = to.into();
        self.change(self.stream.core().options.durability, |inner, group, blocks| {
            let cursor = found!(to.resolve(inner, blocks));
            let entries_read = entries_read.map(|read| read.min(inner.state.entries_added));
            Ok(Plan::change(Change::SetCursor { group, cursor, entries_read }, ()))
        })
    }

    /// Destroys the group, with what is pending in it (`XGROUP DESTROY`); returns whether there was one. Whoever waits
    /// in it is told.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn destroy(&self) -> Result<bool> {
        let destroyed = self.change(self.stream.core().options.durability, |_, group, _| {
            Ok(Plan::change(Change::DestroyGroup { group }, true))
        });
        match destroyed {
            Err(error) if error.kind() == ErrorKind::NoSuchGroup => Ok(false),
            destroyed => destroyed,
        }
    }

    /// Creates a consumer if there is none with this name (`XGROUP CREATECONSUMER`); returns whether there was none.
    ///
    /// # Errors
    ///
    /// [`NoSuchGroup`](ErrorKind::NoSuchGroup); [`InvalidName`](ErrorKind::InvalidName); if it cannot be written.
    pub fn create_consumer(&self, name: &str) -> Result<bool> {
        check_name("consumer", name)?;
        self.change(self.stream.core().options.durability, |inner, group, _| {
            let now_ms = self.stream.core().clock.now_ms();
            let mut changes = Vec::new();
            inner.state.groups[&group].consumer_or_created(group, name, now_ms, &mut changes);
            let created = !changes.is_empty();
            Ok(if created { Plan::Write { ids: Ids::None, changes, value: true } } else { Plan::Nothing(false) })
        })
    }

    /// Deletes a consumer (`XGROUP DELCONSUMER`). What was pending with it is **never delivered again**: claim it first
    /// if it matters. Returns how many entries that were.
    ///
    /// # Errors
    ///
    /// [`NoSuchGroup`](ErrorKind::NoSuchGroup); if it cannot be written.
    pub fn delete_consumer(&self, name: &str) -> Result<u64> {
        self.change(self.stream.core().options.durability, |inner, group, _| {
            let state = &inner.state.groups[&group];
            let Some(consumer) = state.consumer_named(name) else { return Ok(Plan::Nothing(0)) };
            let pending = state.consumers[&consumer].pending.len() as u64;
            Ok(Plan::change(Change::DeleteConsumer { group, consumer }, pending))
        })
    }
}

impl crate::state::Group {
    /// The number of a consumer; if there is none, `changes` gets its creation.
    pub(super) fn consumer_or_created(&self, group: u32, name: &str, now_ms: u64, changes: &mut Vec<Change>) -> u32 {
        self.consumer_named(name).unwrap_or_else(|| {
            let consumer = self.next_consumer;
            changes.push(Change::CreateConsumer { group, consumer, name: name.to_owned(), now_ms });
            consumer
        })
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("stream", &self.stream.name()).field("name", &self.name).finish()
    }
}
