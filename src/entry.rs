//! Entries: fields and values, all bytes, in order, duplicates allowed. Knows their layout and no files.
//!
//! ```text
//! body of an entry: for each field   | name length varint | name | value length varint | value |
//! ```
//!
//! An entry stays in this layout from the producer's call to the consumer's hands: fields are found when asked for.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use crate::codec::{put_varint, take_varint};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;

/// The field that a plain text becomes when it is added as an entry of its own: `stream.add("hello")`.
pub const DATA_FIELD: &str = "data";

/// One entry of a stream: its ID, and its fields through [`Deref`](std::ops::Deref) to [`Fields`].
///
/// ```
/// # let broker = streamlog::Broker::in_memory()?;
/// let orders = broker.stream("orders")?;
/// orders.add([("sku", "A1"), ("qty", "2")])?;
///
/// let entry = &orders.range(..).read()?[0];
/// assert_eq!(entry.get("sku"), Some(&b"A1"[..]));
/// assert_eq!(entry.text("qty")?, "2");
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The entry's ID.
    pub id: Id,
    fields: Fields,
}

impl Entry {
    pub(crate) fn new(id: Id, fields: Fields) -> Entry {
        Entry { id, fields }
    }

    /// The entry's fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The entry's fields, without the ID.
    pub fn into_fields(self) -> Fields {
        self.fields
    }
}

impl std::ops::Deref for Entry {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.fields
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("id", &self.id).field("fields", &self.fields).finish()
    }
}

/// The fields of an entry. Cloning is cheap: the bytes are shared, with those of the entries read beside it.
#[derive(Clone)]
pub struct Fields {
    buffer: Arc<Vec<u8>>,
    /// A checked body: [`is_body`] holds of these bytes.
    start: u32,
    end: u32,
}

impl Fields {
    /// The fields whose body is `range` of `buffer`; `None` if that is not a body.
    pub(crate) fn in_buffer(buffer: &Arc<Vec<u8>>, range: Range<usize>) -> Option<Fields> {
        let fields = Fields {
            buffer: Arc::clone(buffer),
            start: u32::try_from(range.start).ok()?,
            end: u32::try_from(range.end).ok()?,
        };
        is_body(fields.body()).then_some(fields)
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer[self.start as usize..self.end as usize]
    }

    /// Every field and its value, in the order they were added.
    pub fn iter(&self) -> FieldsIter<'_> {
        FieldsIter { rest: self.body() }
    }

    /// The value of the first field with this name.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref();
        self.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// The value of a field as a text.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Field`] if there is no such field or its value is not UTF-8.
    pub fn text(&self, name: impl AsRef<[u8]>) -> Result<&str> {
        let value = self.required(name.as_ref())?;
        std::str::from_utf8(value).map_err(|error| field_error(name.as_ref(), "is not UTF-8").with_source(error))
    }

    /// Every field with its value; of several fields with one name, the last.
    pub fn to_map(&self) -> HashMap<Vec<u8>, Vec<u8>> {
        self.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are no fields: never so in an entry that was added.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The value of a field, decoded from JSON.
    ///
    /// ```
    /// # let broker = streamlog::Broker::in_memory()?;
    /// # let hooks = broker.stream("hooks")?;
    /// hooks.add([("payload", r#"{"action":"opened","number":7}"#)])?;
    ///
    /// let payload: serde_json::Value = hooks.range(..).read()?[0].json("payload")?;
    /// assert_eq!(payload["number"], 7);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Field`] if there is no such field or its value is no JSON for a `T`.
    #[cfg(feature = "json")]
    pub fn json<T: serde::de::DeserializeOwned>(&self, name: impl AsRef<[u8]>) -> Result<T> {
        let value = self.required(name.as_ref())?;
        serde_json::from_slice(value).map_err(|error| {
            field_error(name.as_ref(), &format!("does not decode from JSON: {error}")).with_source(error)
        })
    }

    fn required(&self, name: &[u8]) -> Result<&[u8]> {
        self.get(name).ok_or_else(|| field_error(name, "is not in the entry"))
    }
}

fn field_error(name: &[u8], what: &str) -> Error {
    Error::new(ErrorKind::Field, format!("the field `{}` {what}", name.escape_ascii()))
}

impl PartialEq for Fields {
    fn eq(&self, other: &Fields) -> bool {
        self.body() == other.body()
    }
}

impl Eq for Fields {}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
        f.debug_map().entries(self.iter().map(|(name, value)| (shown(name), shown(value)))).finish()
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = FieldsIter<'a>;

    fn into_iter(self) -> FieldsIter<'a> {
        self.iter()
    }
}

/// The fields of an entry, one by one: the iterator of [`Fields::iter`].
#[derive(Debug, Clone)]
pub struct FieldsIter<'a> {
    rest: &'a [u8],
}

impl<'a> FieldsIter<'a> {
    /// The fields of a body.
    pub(crate) fn over(body: &'a [u8]) -> FieldsIter<'a> {
        FieldsIter { rest: body }
    }
}

impl<'a> Iterator for FieldsIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some((take_bytes(&mut self.rest)?, take_bytes(&mut self.rest)?))
    }
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_varint(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(bytes)
}

/// Whether these bytes are a whole number of fields, so that iterating over them ends where they end.
pub(crate) fn is_body(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        if take_bytes(&mut bytes).is_none() || take_bytes(&mut bytes).is_none() {
            return false;
        }
    }
    true
}

/// Takes the fields of one entry: what [`IntoFields`] writes to.
#[derive(Debug)]
pub struct FieldSink<'a> {
    body: &'a mut Vec<u8>,
}

impl FieldSink<'_> {
    /// Adds a field and its value after those already there.
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        for bytes in [name.as_ref(), value.as_ref()] {
            put_varint(bytes.len() as u64, self.body);
            self.body.extend_from_slice(bytes);
        }
    }
}

/// What can be added as an entry: arrays, slices, vectors and maps of name and value, the [`Fields`] of another
/// entry, and plain texts (as the one field [`DATA_FIELD`]).
///
/// ```
/// use std::collections::BTreeMap;
///
/// # let broker = streamlog::Broker::in_memory()?;
/// let stream = broker.stream("s")?;
/// stream.add([("sku", "A1"), ("qty", "2")])?;
/// stream.add(vec![(b"raw".to_vec(), vec![0, 159, 146, 150])])?;
/// stream.add(&BTreeMap::from([("sku", "A1")]))?;
/// stream.add("a line of text")?;
/// # Ok::<(), streamlog::Error>(())
/// ```
pub trait IntoFields {
    /// Pushes every field to `sink`, in order.
    fn into_fields(self, sink: &mut FieldSink<'_>);
}

/// The body that `fields` makes, appended to `out`.
///
/// # Errors
///
/// `InvalidArgument` if there are no fields; `TooLarge` if the body is over `limit` bytes.
pub(crate) fn encode_body(fields: impl IntoFields, limit: usize, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    fields.into_fields(&mut FieldSink { body: out });
    let len = out.len() - start;
    if len == 0 {
        return Err(Error::new(ErrorKind::InvalidArgument, "an entry needs at least one field"));
    }
    if len > limit {
        out.truncate(start);
        return Err(Error::too_large("an entry", len, limit));
    }
    Ok(())
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>, const LEN: usize> IntoFields for [(N, V); LEN] {
    fn into_fields(self, sink: &mut FieldSink<'_>) {
        self.as_slice().into_fields(sink);
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> IntoFields for Vec<(N, V)> {
    fn into_fields(self, sink: &mut FieldSink<'_>) {
        self.as_slice().into_fields(sink);
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> IntoFields for &[(N, V)] {
    fn into_fields(self, sink: &mut FieldSink<'_>) {
        for (name, value) in self {
            sink.push(name, value);
        }
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>, const LEN: usize> IntoFields for &[(N, V); LEN] {
    fn into_fields(self, sink: &mut FieldSink<'_>) {
        self.as_slice().into_fields(sink);
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> IntoFields for &Vec<(N, V)> {
    fn into_fields(self, sink: &mut FieldSink<'_>) {
        self.as_slice().into_fields(sink);
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> IntoFields for &BTreeMap<N, V> {
    fn into_fields(self, sink: &mut FieldSink<'_>) {
        for (name, value) in self {
            sink.push(name, value);
        }
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> IntoFields for BTreeMap<N, V> {
    fn into_fields(self, sink: &mut FieldSink<'_>) {
        (&self).into_fields(sink);
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>, S: BuildHasher> IntoFields for &HashMap<N, V, S> {
    fn into_fields(self, sink: &mut FieldSink<'_>) {
        for (name, value) in self {
            sink.push(name, value);
        }
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>, S: BuildHasher> IntoFields for HashMap<N, V, S> {
    fn into_fields(self, sink: &mut FieldSink<'_>) {
        (&self).into_fields(sink);
    }
}

impl IntoFields for &Fields {
    fn into_fields(self, sink: &mut FieldSink<'_>) {
        sink.body.extend_from_slice(self.body());
    }
}

impl IntoFields for Fields {
    fn into_fields(self, sink: &mut FieldSink<'_>) {
        (&self).into_fields(sink);
    }
}

impl IntoFields for &str {
    fn into_fields(self, sink: &mut FieldSink<'_>) {
        sink.push(DATA_FIELD, self);
    }
}

impl IntoFields for String {
    fn into_fields(self, sink: &mut FieldSink<'_>) {
        self.as_str().into_fields(sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(from: impl IntoFields) -> Fields {
        let mut body = Vec::new();
        encode_body(from, 1000, &mut body).unwrap();
        let len = body.len();
        Fields::in_buffer(&Arc::new(body), 0..len).unwrap()
    }

    #[test]
    fn fields_keep_their_order_and_their_duplicates() {
        let fields = fields([("a", "1"), ("b", ""), ("a", "2")]);
        let seen: Vec<_> = fields.iter().collect();
        assert_eq!(seen, [(&b"a"[..], &b"1"[..]), (b"b", b""), (b"a", b"2")]);
        assert_eq!(fields.get("a"), Some(&b"1"[..]), "the first");
        assert_eq!(fields.to_map()[&b"a"[..]], b"2", "the last");
        assert_eq!(fields.len(), 3);
    }

    #[test]
    fn the_layout_of_a_body_is_pinned() {
        assert_eq!(fields([("sku", "A1"), ("", "x")]).body(), b"\x03sku\x02A1\x00\x01x");
        let long = "v".repeat(200);
        assert_eq!(&fields([("n", &long)]).body()[..5], b"\x01n\xc8\x01v");
    }

    #[test]
    fn an_entry_without_fields_or_over_the_limit_is_refused() {
        let mut body = b"before".to_vec();
        let none: [(&str, &str); 0] = [];
        assert_eq!(encode_body(none, 10, &mut body).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(encode_body([("name", "value")], 10, &mut body).unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(body, b"before", "nothing stays behind");
    }

    #[test]
    fn bytes_that_are_no_body_are_refused() {
        for bad in [&b"\x03sk"[..], b"\x03sku", b"\x03sku\x02A", b"\x80", b"\x01a\x01bx"] {
            assert!(Fields::in_buffer(&Arc::new(bad.to_vec()), 0..bad.len()).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_missing_field_and_a_value_that_is_no_text_are_errors_that_name_the_field() {
        let fields = fields([("raw", [0xff, 0xfe])]);
        assert_eq!(fields.text("sku").unwrap_err().to_string(), "the field `sku` is not in the entry");
        assert_eq!(fields.text("raw").unwrap_err().kind(), ErrorKind::Field);
    }
}
