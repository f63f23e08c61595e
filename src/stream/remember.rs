//! Remembering an idempotent add after the fact (`XIDMPRECORD`): for an entry that was carried over from elsewhere.

use super::Stream;
use super::core::{Plan, found};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::idempotency::Idempotent;
use crate::state::change::Change;

impl Stream {
    /// Remembers that this entry, which must be there, is what an [idempotent](super::NewEntry::idempotent) add became: the same
    /// add returns its ID from now on (`XIDMPRECORD`). Returns whether that was not remembered before.
    ///
    /// ```
    /// use streamlog::Idempotent;
    ///
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// let id = orders.add([("sku", "A1")])?;
    /// assert!(orders.remember_add(id, &Idempotent::new("shop", "order-1"))?);
    /// assert_eq!(orders.entry([("sku", "A1")]).idempotent(Idempotent::new("shop", "order-1")).add()?, id);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSuchStream`](ErrorKind::NoSuchStream); [`InvalidArgument`](ErrorKind::InvalidArgument) if there is no such entry, if the add
    /// is remembered as another entry, or goes [by content](Idempotent::by_content); if it cannot be written.
    pub fn remember_add(&self, entry: Id, add: &Idempotent) -> Result<bool> {
        let wrong = |text: &str| Error::new(ErrorKind::InvalidArgument, text);
        let (producer, id) = (add.producer(), add.id().ok_or_else(|| wrong("an add by content has no ID of its own"))?);
        if producer.is_empty() {
            return Err(wrong("producer ID must be non-empty"));
        }
        if id.is_empty() {
            return Err(wrong("idempotent ID must be non-empty"));
        }
        self.change(self.core().options.durability, |inner, blocks| {
            let mut ordinals = found!(inner.ordinals(entry, entry, blocks));
            if !ordinals.any(|ordinal| !inner.state.tombstones.contains(ordinal)) {
                return Err(wrong("No such message in stream"));
            }
            let now_ms = self.core().clock.now_ms();
            match inner.state.producers.find(producer, id, now_ms) {
                None => {
                    let (producer, id) = (producer.to_vec(), id.to_vec());
                    Ok(Plan::change(Change::Produced { producer, id, entry, now_ms }, true))
                }
                Some(other) if other == entry => Ok(Plan::Nothing(false)),
                Some(_) => Err(wrong("IID already exists for this producer with a different stream ID")),
            }
        })
    }
}
