//! What a consumer holds: entries delivered to it, with the means to acknowledge them.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use super::Group;
use crate::entry::{Entry, Fields};
use crate::error::Result;
use crate::id::Id;
use crate::state::Pending;

/// How an entry is delivered, and how it stood before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivery {
    /// How often it was delivered, this time included.
    pub(super) deliveries: u32,
    pub(super) deliveries_before: u32,
    pub(super) idle_ms_before: u64,
}

impl Delivery {
    /// For the first time.
    pub(super) const NEW: Delivery = Delivery { deliveries: 1, deliveries_before: 0, idle_ms_before: 0 };

    /// Once more, now.
    pub(super) fn again(row: &Pending, now_ms: u64) -> Delivery {
        Delivery::set(row, now_ms, row.deliveries.saturating_add(1))
    }

    /// Now, with this count of deliveries.
    pub(super) fn set(row: &Pending, now_ms: u64, deliveries: u32) -> Delivery {
        let idle_ms_before = if row.is_released() { 0 } else { row.idle_ms(now_ms) };
        Delivery { deliveries, deliveries_before: row.deliveries, idle_ms_before }
    }
}

/// An entry delivered to a consumer: it stays pending until [`ack`](Message::ack). Its fields are those of
/// [`Fields`], through `Deref`.
#[derive(Clone)]
pub struct Message {
    entry: Entry,
    delivery: Delivery,
    group: Group,
}

impl Message {
    /// The entry's ID.
    pub fn id(&self) -> Id {
        self.entry.id
    }

    /// How often the entry was delivered, this time included.
    pub fn deliveries(&self) -> u32 {
        self.delivery.deliveries
    }

    /// How often it had been delivered before: 0 for a new entry. With [`idle_before`](Message::idle_before) it is what
    /// `XREADGROUP … CLAIM` tells of each entry.
    pub fn deliveries_before(&self) -> u32 {
        self.delivery.deliveries_before
    }

    /// How long ago it was last delivered before this: nothing for a new entry, or one that was
    /// [given back](super::Group::nack). In whole milliseconds.
    pub fn idle_before(&self) -> Duration {
        Duration::from_millis(self.delivery.idle_ms_before)
    }

    /// The entry.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// The entry, without the means to acknowledge it.
    pub fn into_entry(self) -> Entry {
        self.entry
    }

    /// Acknowledges the entry (`XACK`); returns whether it was still pending.
    ///
    /// # Errors
    ///
    /// As [`Group::ack`].
    pub fn ack(&self) -> Result<bool> {
        Ok(self.group.ack(&[self.entry.id])? > 0)
    }
}

impl Deref for Message {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        self.entry.fields()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.entry.id)
            .field("deliveries", &self.delivery.deliveries)
            .field("fields", self.entry.fields())
            .finish_non_exhaustive()
    }
}

/// Messages delivered together; a slice of [`Message`] through `Deref`.
#[derive(Debug, Clone)]
pub struct Messages {
    group: Group,
    messages: Vec<Message>,
    deleted: Vec<Id>,
    /// Whether what was idle for too long was asked for too.
    pub(crate) claimed: bool,
}

impl Messages {
    /// Each entry with how it is delivered.
    pub(super) fn new(
        group: &Group,
        entries: Vec<Entry>,
        deliveries: impl IntoIterator<Item = Delivery>,
        deleted: Vec<Id>,
    ) -> Messages {
        let messages = entries.into_iter().zip(deliveries).map(|(entry, delivery)| Message {
            entry,
            delivery,
            group: group.clone(),
        });
        Messages { messages: messages.collect(), group: group.clone(), deleted, claimed: false }
    }

    pub(super) fn none(group: &Group) -> Messages {
        Messages { messages: Vec::new(), group: group.clone(), deleted: Vec::new(), claimed: false }
    }

    #[cfg(feature = "tokio")]
    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// The IDs of all the messages.
    pub fn ids(&self) -> Vec<Id> {
        self.messages.iter().map(Message::id).collect()
    }

    /// IDs that were pending, but whose entries were deleted or trimmed meanwhile: there is nothing to deliver of them.
    pub fn deleted(&self) -> &[Id] {
        &self.deleted
    }

    /// The messages and, each in its place, the IDs of [deleted](Messages::deleted) entries, by ID: what a read of what is
    /// pending replies, with nothing where the entry was (`XREADGROUP` with an ID).
    ///
    /// ```
    /// use streamlog::Id;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let orders = broker.stream("orders")?;
    /// # let ids = orders.add_batch([[("sku", "A1")], [("sku", "B7")]])?;
    /// let worker = orders.group("billing").from_start().ensure()?.consumer("worker-1");
    /// worker.read_new().count(2).next()?;
    /// orders.delete(&ids[..1])?;
    /// let history = worker.history(Id::MIN).read()?;
    /// let there: Vec<_> = history.with_deleted().map(|(id, message)| (id, message.is_some())).collect();
    /// assert_eq!(there, [(ids[0], false), (ids[1], true)]);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    pub fn with_deleted(&self) -> impl Iterator<Item = (Id, Option<&Message>)> {
        let deleted = self.deleted.iter().map(|&id| (id, None));
        let mut all: Vec<_> = self.iter().map(|message| (message.id(), Some(message))).chain(deleted).collect();
        all.sort_by_key(|&(id, _)| id);
        all.into_iter()
    }

    /// Acknowledges all the messages, in one record; returns how many were still pending.
    ///
    /// # Errors
    ///
    /// As [`Group::ack`].
    pub fn ack_all(&self) -> Result<u64> {
        if self.is_empty() { Ok(0) } else { self.group.ack(&self.ids()) }
    }

    /// The messages, to be kept one by one.
    pub fn into_vec(self) -> Vec<Message> {
        self.messages
    }
}

impl Deref for Messages {
    type Target = [Message];

    fn deref(&self) -> &[Message] {
        &self.messages
    }
}

impl IntoIterator for Messages {
    type Item = Message;
    type IntoIter = std::vec::IntoIter<Message>;

    fn into_iter(self) -> Self::IntoIter {
        self.messages.into_iter()
    }
}

impl<'a> IntoIterator for &'a Messages {
    type Item = &'a Message;
    type IntoIter = std::slice::Iter<'a, Message>;

    fn into_iter(self) -> Self::IntoIter {
        self.messages.iter()
    }
}
