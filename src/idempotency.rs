//! Idempotent producers: words for who says that two adds are one (`XADD … IDMP`). Knows no stream.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::entry::FieldsIter;
use crate::error::{Error, ErrorKind, Result};

/// Who adds, and what makes two adds the same: the second of them adds nothing and gets the first's ID.
///
/// ```
/// use streamlog::Idempotent;
///
/// # let broker = streamlog::Broker::in_memory()?;
/// let orders = broker.stream("orders")?;
/// let first = orders.entry([("sku", "A1")]).idempotent(Idempotent::new("shop-1", "order-4711")).add()?;
/// let again = orders.entry([("sku", "A1")]).idempotent(Idempotent::new("shop-1", "order-4711")).add()?;
/// assert_eq!(first, again);
/// assert_eq!(orders.len()?, 1);
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Idempotent {
    pub(crate) producer: Vec<u8>,
    /// `None`: from the fields.
    pub(crate) id: Option<Vec<u8>>,
}

impl Idempotent {
    /// Adds of one producer with the same ID are one (`IDMP`).
    pub fn new(producer: impl AsRef<[u8]>, id: impl AsRef<[u8]>) -> Idempotent {
        Idempotent { producer: producer.as_ref().to_vec(), id: Some(id.as_ref().to_vec()) }
    }

    /// Adds of one producer with the same fields and values, in whatever order, are one (`IDMPAUTO`).
    pub fn by_content(producer: impl AsRef<[u8]>) -> Idempotent {
        Idempotent { producer: producer.as_ref().to_vec(), id: None }
    }

    /// The producer's ID.
    pub fn producer(&self) -> &[u8] {
        &self.producer
    }

    /// The ID of the add, if it is not to be made from the fields.
    pub fn id(&self) -> Option<&[u8]> {
        self.id.as_deref()
    }

    /// # Errors
    ///
    /// `InvalidArgument` if an ID is empty.
    pub(crate) fn check(&self) -> Result<()> {
        let option = if self.id.is_some() { "IDMP" } else { "IDMPAUTO" };
        let what = match &self.id {
            _ if self.producer.is_empty() => "producer",
            Some(id) if id.is_empty() => "idempotent",
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::InvalidArgument, format!("{option} requires a non-empty {what} ID")))
    }

    /// The ID of the add of an entry with these fields. One made from fields takes 16 bytes.
    pub(crate) fn key(&self, fields: FieldsIter<'_>) -> Vec<u8> {
        self.id.clone().unwrap_or_else(|| content(fields))
    }
}

/// A hash of fields that does not depend on their order. Two other entries have the same one in 2⁶⁴ by accident; somebody
/// who wants them to can have it so, and loses an entry of their own.
fn content(fields: FieldsIter<'_>) -> Vec<u8> {
    let (mut sum, mut product) = (0_u64, 1_u64);
    for (name, value) in fields {
        let field = hash(name, value);
        sum = sum.wrapping_add(field);
        // Odd, so that nothing is lost.
        product = product.wrapping_mul(field.rotate_left(32) | 1);
    }
    [sum.to_be_bytes(), product.to_be_bytes()].concat()
}

/// FNV-1a over a name's length, the name and the value, mixed: it is kept on disk, so it must never change.
fn hash(name: &[u8], value: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let len = (name.len() as u64).to_le_bytes();
    for &byte in len.iter().chain(name).chain(value) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

/// What a stream remembers of its idempotent producers (`XCFGSET`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    pub(crate) seconds: u32,
    pub(crate) ids_max: u32,
}

impl Default for Idempotency {
    /// 100 seconds, 100 IDs of each producer.
    fn default() -> Idempotency {
        Idempotency { seconds: 100, ids_max: 100 }
    }
}

impl Idempotency {
    /// The longest that an ID is remembered, in seconds.
    pub const SECONDS_MAX: u32 = 86_400;
    /// The most IDs that are remembered of one producer.
    pub const IDS_MAX: u32 = 10_000;

    /// For how long an ID is remembered (`IDMP-DURATION`): 1 to [`SECONDS_MAX`](Idempotency::SECONDS_MAX) seconds.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](ErrorKind::InvalidArgument).
    pub fn seconds(mut self, seconds: u32) -> Result<Idempotency> {
        if !(1..=Idempotency::SECONDS_MAX).contains(&seconds) {
            let text = "IDMP-DURATION must be between 1 and 86400 seconds";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        self.seconds = seconds;
        Ok(self)
    }

    /// How many IDs of each producer are remembered, the latest (`IDMP-MAXSIZE`): 1 to [`IDS_MAX`](Idempotency::IDS_MAX).
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](ErrorKind::InvalidArgument).
    pub fn ids(mut self, ids: u32) -> Result<Idempotency> {
        if !(1..=Idempotency::IDS_MAX).contains(&ids) {
            let text = "IDMP-MAXSIZE must be between 1 and 10000 entries";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        self.ids_max = ids;
        Ok(self)
    }

    /// For how long an ID is remembered.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }

    /// How many IDs of each producer are remembered.
    pub fn ids_max(&self) -> u32 {
        self.ids_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Fields, IntoFields, encode_body};
    use std::sync::Arc;

    fn key(of: &Idempotent, fields: impl IntoFields) -> Vec<u8> {
        let mut body = Vec::new();
        encode_body(fields, 1000, &mut body).unwrap();
        let len = body.len();
        of.key(Fields::in_buffer(&Arc::new(body), 0..len).unwrap().iter())
    }

    #[test]
    fn the_same_fields_in_another_order_are_the_same_content_and_nothing_else_is() {
        let auto = Idempotent::by_content("p");
        let first = key(&auto, [("a", "1"), ("b", "2"), ("a", "3")]);
        assert_eq!(first, key(&auto, [("b", "2"), ("a", "3"), ("a", "1")]));
        for other in [
            vec![("a", "1"), ("b", "2")],
            vec![("a", "2"), ("b", "1"), ("a", "3")],
            vec![("a", "1"), ("b", "2"), ("a", "3"), ("a", "3")],
            vec![("a1", ""), ("b", "2"), ("a", "3")],
        ] {
            assert_ne!(first, key(&auto, other));
        }
    }

    #[test]
    fn the_key_of_a_content_is_pinned() {
        let key = key(&Idempotent::by_content("p"), [("sku", "A1"), ("qty", "2")]);
        assert_eq!(crate::codec::hex(&key), "f45b8e146164e77ed2d5d70a9e125f8b");
    }

    #[test]
    fn limits_are_those_of_redis() {
        assert!(Idempotency::default().seconds(0).is_err());
        assert!(Idempotency::default().seconds(86_401).is_err());
        assert!(Idempotency::default().ids(0).is_err());
        assert!(Idempotency::default().ids(10_001).is_err());
        let set = Idempotency::default().seconds(86_400).unwrap().ids(10_000).unwrap();
        assert_eq!((set.duration(), set.ids_max()), (Duration::from_secs(86_400), 10_000));
        assert!(Idempotent::new("", "i").check().is_err());
        assert!(Idempotent::new("p", "").check().is_err());
        assert!(Idempotent::by_content("p").check().is_ok());
    }
}
