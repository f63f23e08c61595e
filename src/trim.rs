//! What may go: one trim, and the retention that a stream keeps. Words only; `stream::trim` applies them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::Id;

/// How much of a stream's beginning to remove (`XTRIM`).
///
/// ```
/// use std::time::Duration;
/// use streamlog::Trim;
///
/// # let broker = streamlog::Broker::in_memory()?;
/// # let orders = broker.stream("orders")?;
/// # orders.add([("sku", "A1")])?;
/// orders.trim(Trim::max_len(1000))?;
/// orders.trim(Trim::max_age(Duration::from_secs(86_400)).only_acknowledged())?;
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trim {
    pub(crate) by: By,
    pub(crate) only_acknowledged: bool,
    /// Whole nodes only, and no more entries than this.
    pub(crate) approximately: Option<AtMost>,
    pub(crate) references: References,
}

/// What becomes of an entry's places in the pending lists of groups when the entry is removed, and of the entry while it
/// has such places.
///
/// An entry is **referenced** while some group has not been delivered it yet or has it pending. With no group none is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum References {
    /// The entry goes; what is pending of it stays pending until it is acknowledged or claimed (`KEEPREF`).
    #[default]
    Keep,
    /// The entry goes, and with it all that is pending of it, in every group (`DELREF`); what is pending goes though the entry
    /// went before, if it is named.
    Delete,
    /// Only an entry that is not referenced goes (`ACKED`).
    Acknowledged,
}

/// What became of one entry that was to be removed: the answer of `XDELEX` and `XACKDEL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Removal {
    /// There was nothing: no such entry, or none pending (`-1`).
    Missing,
    /// It is gone (`1`).
    Removed,
    /// It stays, for it is referenced still (`2`).
    Referenced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Len(u64),
    MinId(Id),
    Age(Duration),
    Bytes(u64),
    All,
}

impl Trim {
    const fn by(by: By) -> Trim {
        Trim { by, only_acknowledged: false, approximately: None, references: References::Keep }
    }

    /// Keeps the last `entries` entries (`MAXLEN`).
    pub const fn max_len(entries: u64) -> Trim {
        Trim::by(By::Len(entries))
    }

    /// Removes the entries with smaller IDs (`MINID`).
    pub const fn min_id(id: Id) -> Trim {
        Trim::by(By::MinId(id))
    }

    /// Removes the entries whose IDs are older than this.
    pub const fn max_age(age: Duration) -> Trim {
        Trim::by(By::Age(age))
    }

    /// Keeps the last entries that take at most this many bytes in the log. Entries deleted from between them count
    /// until their segment goes.
    pub const fn max_bytes(bytes: u64) -> Trim {
        Trim::by(By::Bytes(bytes))
    }

    /// Removes what every group has been delivered and has acknowledged. With no group that is nothing.
    pub const fn acknowledged() -> Trim {
        Trim::by(By::All).only_acknowledged()
    }

    /// Keeps, in any case, the first entry that some group has not acknowledged and all after it. With no group it
    /// keeps everything.
    #[must_use]
    pub const fn only_acknowledged(mut self) -> Trim {
        self.only_acknowledged = true;
        self
    }

    /// Removes only whole nodes of 100 entries, as Redis does to save work (`~`), and 10,000 entries at most; never more than
    /// without this. With [`References::Delete`] and [`References::Acknowledged`], which look at each entry, nodes are not kept whole.
    #[must_use]
    pub const fn approximately(mut self) -> Trim {
        self.approximately = Some(AtMost::Nodes);
        self
    }

    /// [`approximately`](Trim::approximately), and at most so many entries (`~ … LIMIT`); 0 for any number.
    #[must_use]
    pub const fn approximately_at_most(mut self, entries: u64) -> Trim {
        self.approximately = Some(AtMost::Entries(if entries == 0 { u64::MAX } else { entries }));
        self
    }

    /// What becomes of what is pending of the entries that go (`KEEPREF`, `DELREF`, `ACKED`); [`References::Keep`] if not said.
    /// With [`References::Acknowledged`] entries that stay are passed over, and others behind them go.
    #[must_use]
    pub const fn references(mut self, references: References) -> Trim {
        self.references = references;
        self
    }
}

/// Entries of one node, deleted ones included: what Redis's `stream-node-max-entries` is unless it is set.
pub(crate) const NODE_ENTRIES: u64 = 100;

/// How many entries an approximate trim removes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtMost {
    /// A hundred nodes.
    Nodes,
    Entries(u64),
}

impl AtMost {
    /// So many entries, if a node has this many (0: any number): Redis's bounds.
    pub(crate) fn entries(self, node_entries: u64) -> u64 {
        match self {
            AtMost::Nodes if node_entries == 0 => 10_000,
            AtMost::Nodes => node_entries.saturating_mul(100).min(1_000_000),
            AtMost::Entries(entries) => entries,
        }
    }
}

/// What a stream keeps of itself, applied in the background about every second and whenever a segment is full. An entry
/// goes when any of the limits says so; the disk shrinks by whole segments.
///
/// ```
/// use std::time::Duration;
/// use streamlog::Retention;
///
/// # let broker = streamlog::Broker::in_memory()?;
/// # let orders = broker.stream("orders")?;
/// orders.set_retention(Retention::default().max_age(Duration::from_secs(86_400)).max_bytes(1 << 30))?;
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retention {
    pub(crate) max_len: Option<u64>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) acknowledged: bool,
    pub(crate) only_acknowledged: bool,
}

impl Retention {
    /// At most this many entries.
    #[must_use]
    pub const fn max_len(mut self, entries: u64) -> Retention {
        self.max_len = Some(entries);
        self
    }

    /// No entries whose IDs are older than this.
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Retention {
        self.max_age = Some(age);
        self
    }

    /// At most this many bytes of entries.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: u64) -> Retention {
        self.max_bytes = Some(bytes);
        self
    }

    /// Nothing that every group has acknowledged. With no group everything stays.
    #[must_use]
    pub const fn acknowledged(mut self) -> Retention {
        self.acknowledged = true;
        self
    }

    /// Whatever the other limits say, keeps the first entry that some group has not acknowledged and all after it.
    #[must_use]
    pub const fn only_acknowledged(mut self) -> Retention {
        self.only_acknowledged = true;
        self
    }

    /// The trims that this amounts to.
    pub(crate) fn trims(self) -> impl Iterator<Item = Trim> {
        let limits =
            [self.max_len.map(Trim::max_len), self.max_age.map(Trim::max_age), self.max_bytes.map(Trim::max_bytes)];
        let only_acknowledged = self.only_acknowledged;
        let limits = limits.into_iter().flatten().map(move |trim| Trim { only_acknowledged, ..trim });
        limits.chain(self.acknowledged.then_some(Trim::acknowledged()))
    }
}
