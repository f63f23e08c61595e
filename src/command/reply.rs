//! The reply tree: what a command answers. Knows no bytes of a protocol, but which shapes the two protocols tell apart.

use crate::entry::Fields;
use crate::id::Id;

/// What a command answers.
///
/// ```
/// use streamlog::Broker;
/// use streamlog::command::{Command, Reply};
///
/// let broker = Broker::in_memory()?;
/// broker.stream("orders")?.entry([("sku", "A1")]).id(streamlog::Id::new(5, 1)).add()?;
/// let range = Command::parse(&["XRANGE", "orders", "-", "+"])?;
/// let fields = Reply::Array(vec![Reply::bulk("sku"), Reply::bulk("A1")]);
/// assert_eq!(broker.execute(&range)?, Reply::Array(vec![Reply::Array(vec![Reply::bulk("5-1"), fields])]));
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// `OK`, or another word of the server's own.
    Status(&'static str),
    /// A number.
    Int(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Nothing where there could be bytes.
    Null,
    /// Nothing where there could be an array.
    NullArray,
    /// Several replies.
    Array(Vec<Reply>),
    /// Names and values: a map in RESP3, an array of twice as many in RESP2.
    Map(Vec<(Reply, Reply)>),
    /// Streams and their entries: a map in RESP3, an array of pairs in RESP2.
    Pairs(Vec<(Reply, Reply)>),
    /// Several replies in no order, each of them once: a set in RESP3, an array in RESP2.
    Set(Vec<Reply>),
    /// Text for people: a verbatim string in RESP3, bytes in RESP2.
    Text(String),
    /// Why there is no answer, the prefix first (`ERR`): of one command in a transaction, or of the server.
    Error(String),
}

impl Reply {
    /// What a command answers that has nothing to say.
    pub const OK: Reply = Reply::Status("OK");

    /// Bytes.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(bytes.as_ref().to_vec())
    }

    pub(crate) fn id(id: Id) -> Reply {
        Reply::Bulk(id.to_string().into_bytes())
    }

    pub(crate) fn ids(ids: impl IntoIterator<Item = Id>) -> Reply {
        Reply::Array(ids.into_iter().map(Reply::id).collect())
    }

    pub(crate) fn count(count: u64) -> Reply {
        Reply::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(crate) fn flag(flag: bool) -> Reply {
        Reply::Int(flag.into())
    }

    /// A number, or nothing.
    pub(crate) fn known(count: Option<u64>) -> Reply {
        count.map_or(Reply::Null, Reply::count)
    }

    /// Fields and values, one after the other: an array in either protocol.
    pub(crate) fn fields(fields: &Fields) -> Reply {
        Reply::Array(fields.iter().flat_map(|(name, value)| [Reply::bulk(name), Reply::bulk(value)]).collect())
    }

    pub(crate) fn entry(id: Id, fields: &Fields) -> Reply {
        Reply::Array(vec![Reply::id(id), Reply::fields(fields)])
    }

    pub(crate) fn map<const LEN: usize>(pairs: [(&str, Reply); LEN]) -> Reply {
        Reply::Map(pairs.into_iter().map(|(name, value)| (Reply::bulk(name), value)).collect())
    }
}
