//! What a consumer holds: entries delivered to it, with the means to acknowledge them.

use std::fmt;
use std::ops::Deref;

use super::Group;
use crate::entry::{Entry, Fields};
use crate::error::Result;
use crate::id::Id;

/// An entry delivered to a consumer: it stays pending until [`ack`](Message::ack). Its fields are those of
/// [`Fields`], through `Deref`.
#[derive(Clone)]
pub struct Message {
    entry: Entry,
    deliveries: u32,
    group: Group,
}

impl Message {
    /// The entry's ID.
    pub fn id(&self) -> Id {
        self.entry.id
    }

    /// How often the entry was delivered, this time included.
    pub fn deliveries(&self) -> u32 {
        self.deliveries
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
            .field("deliveries", &self.deliveries)
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
}

impl Messages {
    pub(super) fn new(group: &Group, entries: Vec<Entry>, deliveries: &[u32], deleted: Vec<Id>) -> Messages {
        let messages = entries.into_iter().enumerate().map(|(index, entry)| Message {
            entry,
            deliveries: deliveries.get(index).copied().unwrap_or(1),
            group: group.clone(),
        });
        Messages { messages: messages.collect(), group: group.clone(), deleted }
    }

    /// The IDs of all the messages.
    pub fn ids(&self) -> Vec<Id> {
        self.messages.iter().map(Message::id).collect()
    }

    /// IDs that were pending, but whose entries were deleted or trimmed meanwhile: there is nothing to deliver of them.
    pub fn deleted(&self) -> &[Id] {
        &self.deleted
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
