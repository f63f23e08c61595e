//! The calls that wait, as futures: what they do is their namesakes'. Here is only who waits, and for what.

use super::{Batch, Fetch, Group, Message, Messages, NewEntry, Read, ReadGroup, ReadNew, ReadStreams, Stream};
use crate::entry::{Entry, IntoFields};
use crate::error::Result;
use crate::id::Id;

impl Stream {
    /// [`add`](Stream::add) as a [future](crate#futures).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> streamlog::Result<()> {
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// let (first, second) = tokio::join!(orders.add_async([("sku", "A1")]), orders.add_async([("sku", "B7")]));
    /// assert!(first? < second?); // one sync for both
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`add`](Stream::add).
    pub async fn add_async(&self, fields: impl IntoFields) -> Result<Id> {
        self.entry(fields).add_async().await
    }

    /// [`add_batch`](Stream::add_batch) as a [future](crate#futures).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> streamlog::Result<()> {
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// let ids = orders.add_batch_async([[("sku", "A1")], [("sku", "B7")]]).await?;
    /// assert_eq!(ids.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`add_batch`](Stream::add_batch).
    pub async fn add_batch_async<I>(&self, entries: I) -> Result<Vec<Id>>
    where
        I: IntoIterator<Item: IntoFields>,
    {
        self.core().settled(|| self.add_batch(entries)).await
    }
}

impl<F: IntoFields> NewEntry<'_, F> {
    /// [`add`](NewEntry::add) as a [future](crate#futures).
    ///
    /// ```
    /// use streamlog::Trim;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> streamlog::Result<()> {
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// orders.entry([("sku", "A1")]).trim(Trim::max_len(1000)).add_async().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`add`](NewEntry::add).
    pub async fn add_async(self) -> Result<Id> {
        self.stream().core().settled(|| self.add()).await
    }
}

impl Batch<'_> {
    /// [`add`](Batch::add) as a [future](crate#futures).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> streamlog::Result<()> {
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let orders = broker.stream("orders")?;
    /// let mut batch = orders.batch();
    /// batch.push([("sku", "A1")])?;
    /// assert_eq!(batch.add_async().await?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`add`](Batch::add).
    pub async fn add_async(self) -> Result<Vec<Id>> {
        self.stream().core().settled(|| self.add()).await
    }
}

impl Group {
    /// [`ack`](Group::ack) as a [future](crate#futures).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> streamlog::Result<()> {
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let orders = broker.stream("orders")?;
    /// # let billing = orders.group("billing").ensure()?;
    /// let id = orders.add_async([("sku", "A1")]).await?;
    /// billing.consumer("worker-1").read_new().next_async().await?;
    /// assert_eq!(billing.ack_async(&[id]).await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`ack`](Group::ack).
    pub async fn ack_async(&self, ids: &[Id]) -> Result<u64> {
        self.stream().core().settled(|| self.ack(ids)).await
    }
}

impl Message {
    /// [`ack`](Message::ack) as a [future](crate#futures).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> streamlog::Result<()> {
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let orders = broker.stream("orders")?;
    /// # let worker = orders.group("billing").ensure()?.consumer("worker-1");
    /// # orders.add([("sku", "A1")])?;
    /// for message in &worker.fetch().next_async().await? {
    ///     assert!(message.ack_async().await?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`ack`](Message::ack).
    pub async fn ack_async(&self) -> Result<bool> {
        self.group().stream().core().settled(|| self.ack()).await
    }
}

impl Messages {
    /// [`ack_all`](Messages::ack_all) as a [future](crate#futures).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> streamlog::Result<()> {
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let orders = broker.stream("orders")?;
    /// # let worker = orders.group("billing").ensure()?.consumer("worker-1");
    /// # orders.add([("sku", "A1")])?;
    /// let batch = worker.fetch().count(100).next_async().await?;
    /// assert_eq!(batch.ack_all_async().await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`ack_all`](Messages::ack_all).
    pub async fn ack_all_async(&self) -> Result<u64> {
        self.group().stream().core().settled(|| self.ack_all()).await
    }
}

impl Fetch {
    /// [`next`](Fetch::next) as a [future](crate#futures).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> streamlog::Result<()> {
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let orders = broker.stream("orders")?;
    /// let worker = orders.group("billing").ensure()?.consumer("worker-1");
    /// let fetch = worker.fetch().count(100).block(Duration::from_secs(1));
    /// let (batch, added) = tokio::join!(fetch.next_async(), orders.add_async([("sku", "A1")]));
    /// assert_eq!(batch?.ids(), [added?]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`next`](Fetch::next).
    pub async fn next_async(self) -> Result<Messages> {
        self.found().await
    }
}

impl ReadNew {
    /// [`next`](ReadNew::next) as a [future](crate#futures).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> streamlog::Result<()> {
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let orders = broker.stream("orders")?;
    /// let worker = orders.group("billing").ensure()?.consumer("worker-1");
    /// let read = worker.read_new().block_forever();
    /// let (batch, added) = tokio::join!(read.next_async(), orders.add_async([("sku", "A1")]));
    /// assert_eq!(batch?.ids(), [added?]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`next`](ReadNew::next).
    pub async fn next_async(self) -> Result<Messages> {
        self.found().await
    }
}

impl Read {
    /// [`next`](Read::next) as a [future](crate#futures).
    ///
    /// ```
    /// use streamlog::StartAt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> streamlog::Result<()> {
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let orders = broker.stream("orders")?;
    /// let read = orders.read(StartAt::End).block_forever();
    /// let (found, added) = tokio::join!(read.next_async(), orders.add_async([("sku", "A1")]));
    /// assert_eq!(found?[0].id, added?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`next`](Read::next).
    pub async fn next_async(self) -> Result<Vec<Entry>> {
        self.found().await
    }
}

impl ReadStreams {
    /// [`next`](ReadStreams::next) as a [future](crate#futures).
    ///
    /// ```
    /// use streamlog::StartAt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> streamlog::Result<()> {
    /// # let broker = streamlog::Broker::in_memory()?;
    /// let read = broker.read([("orders", StartAt::End), ("refunds", StartAt::End)])?.block_forever();
    /// let refunds = broker.stream("refunds")?;
    /// let (found, added) = tokio::join!(read.next_async(), refunds.add_async([("sku", "A1")]));
    /// assert_eq!(found?[0].0, "refunds");
    /// # added?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`next`](ReadStreams::next).
    pub async fn next_async(self) -> Result<Vec<(String, Vec<Entry>)>> {
        self.found().await
    }
}

impl ReadGroup {
    /// [`next`](ReadGroup::next) as a [future](crate#futures).
    ///
    /// ```
    /// use streamlog::GroupStart;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> streamlog::Result<()> {
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let (orders, refunds) = (broker.stream("orders")?, broker.stream("refunds")?);
    /// # orders.group("billing").ensure()?;
    /// # refunds.group("billing").ensure()?;
    /// let streams = [("orders", GroupStart::New), ("refunds", GroupStart::New)];
    /// let read = broker.read_group("billing", "worker-1", streams)?.block_forever();
    /// let (found, added) = tokio::join!(read.next_async(), refunds.add_async([("sku", "A1")]));
    /// assert_eq!(found?[0].0, "refunds");
    /// # added?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`next`](ReadGroup::next).
    pub async fn next_async(self) -> Result<Vec<(String, Messages)>> {
        self.found().await
    }
}
