//! `streamlog read`: entries to standard output, as lines for people or as JSON.
//!
//! The form in JSON, chosen so that ordinary entries look ordinary and no byte is ever lost:
//!
//! - `{"id":"1526919030474-0","fields":{"sku":"A1","qty":"2"}}`: every value is a string, for a stream holds bytes and
//!   does not know what was a number.
//! - Where a name occurs twice or is not UTF-8, `fields` is an array of pairs instead, in order:
//!   `[["sku","A1"],["sku","B7"]]`.
//! - A name or value that is not UTF-8 is `{"hex":"00ff"}` in place of a string.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde::ser::{Serialize, SerializeMap, Serializer};
use streamlog::{Entry, Fields, Id};

use crate::failure::{Failure, Result};
use crate::open;

/// Prints the entries of a stream
///
/// One a line: the ID, then each field as `name=value`, in quotes where it would be unclear without.
///
/// With --json or --jsonl every entry is {"id":"…","fields":{"name":"value",…}}. Values are always strings. Where a name
/// occurs twice or is not UTF-8, "fields" is an array of [name, value] pairs; what is not UTF-8 is {"hex":"00ff"}.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory
    dir: PathBuf,
    /// The stream's name
    stream: String,
    /// Only this ID and those after it: `ms-seq`, or `ms` for all of that millisecond
    #[arg(long, value_name = "ID")]
    from: Option<Id>,
    /// Only this ID and those before it: `ms-seq`, or `ms` for all of that millisecond
    #[arg(long, value_name = "ID", value_parser = last_id)]
    to: Option<Id>,
    /// At most this many entries
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// The last first
    #[arg(long)]
    rev: bool,
    /// One JSON array of all entries
    #[arg(long, conflicts_with = "jsonl")]
    json: bool,
    /// One JSON object a line
    #[arg(long)]
    jsonl: bool,
}

/// The last ID that a text can mean.
fn last_id(text: &str) -> streamlog::Result<Id> {
    let id: Id = text.parse()?;
    Ok(if text.contains('-') { id } else { Id::new(id.ms, u64::MAX) })
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let broker = open::existing(&args.dir)?;
    let stream = open::stream(&broker, &args.dir, &args.stream)?;
    let mut range = stream.range(args.from.unwrap_or(Id::MIN)..=args.to.unwrap_or(Id::MAX));
    if args.rev {
        range = range.rev();
    }
    if let Some(count) = args.count {
        range = range.count(count);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut print = |bytes: &[u8]| out.write_all(bytes).map_err(Failure::output);
    let mut first = true;
    for entry in range {
        let entry = entry.map_err(|error| Failure::in_dir(&args.dir, &error))?;
        let line = if args.json || args.jsonl { json(&entry)? } else { text(&entry) };
        if args.json {
            print(if first { b"[\n" } else { b",\n" })?;
        }
        print(line.as_bytes())?;
        if !args.json {
            print(b"\n")?;
        }
        first = false;
    }
    if args.json {
        print(if first { b"[]\n" } else { b"\n]\n" })?;
    }
    out.flush().map_err(Failure::output)?;
    broker.close().map_err(|error| Failure::in_dir(&args.dir, &error))
}

fn text(entry: &Entry) -> String {
    let mut line = entry.id.to_string();
    for (name, value) in entry.iter() {
        line.push_str("  ");
        line.push_str(&plain(name));
        line.push('=');
        line.push_str(&plain(value));
    }
    line
}

/// Bytes as a word on a line: in quotes, with escapes, unless they are clear without.
fn plain(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| !c.is_control() && !c.is_whitespace() && c != '"') => {
            text.to_owned()
        }
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("\"{}\"", bytes.escape_ascii()),
    }
}

fn json(entry: &Entry) -> Result<String> {
    serde_json::to_string(&Object(entry)).map_err(|error| Failure::new(format!("entry {}: {error}", entry.id)))
}

struct Object<'a>(&'a Entry);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("id", &self.0.id.to_string())?;
        map.serialize_entry("fields", &FieldsJson(self.0.fields()))?;
        map.end()
    }
}

struct FieldsJson<'a>(&'a Fields);

impl Serialize for FieldsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut names: Vec<&[u8]> = self.0.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        let distinct = names.windows(2).all(|pair| pair[0] != pair[1]);
        if distinct && names.iter().all(|name| std::str::from_utf8(name).is_ok()) {
            serializer.collect_map(self.0.iter().map(|(name, value)| (Bytes(name), Bytes(value))))
        } else {
            serializer.collect_seq(self.0.iter().map(|(name, value)| (Bytes(name), Bytes(value))))
        }
    }
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(self.0) {
            return serializer.serialize_str(text);
        }
        let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
        let hex: String = self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("hex", &hex)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &[(&[u8], &[u8])]) -> Entry {
        let stream = streamlog::Broker::in_memory().unwrap().stream("s").unwrap();
        stream.entry(fields).id(Id::new(1, 0)).add().unwrap();
        stream.get(Id::new(1, 0)).unwrap().unwrap()
    }

    #[test]
    fn ordinary_entries_are_objects_and_others_lose_nothing() {
        let shown = |fields: &[(&[u8], &[u8])]| json(&entry(fields)).unwrap();
        assert_eq!(shown(&[(b"b", b"1"), (b"a", b"\n")]), r#"{"id":"1-0","fields":{"b":"1","a":"\n"}}"#);
        assert_eq!(shown(&[(b"a", b"1"), (b"a", b"2")]), r#"{"id":"1-0","fields":[["a","1"],["a","2"]]}"#);
        assert_eq!(shown(&[(b"a", &[0, 255])]), r#"{"id":"1-0","fields":{"a":{"hex":"00ff"}}}"#);
        assert_eq!(shown(&[(&[254], b"1")]), r#"{"id":"1-0","fields":[[{"hex":"fe"},"1"]]}"#);
    }

    #[test]
    fn a_line_for_people_quotes_what_would_be_unclear() {
        let fields: [(&[u8], &[u8]); 4] =
            [(b"sku", b"A1"), (b"note", b"two words"), (b"none", b""), (b"raw", b"\xff\n")];
        assert_eq!(text(&entry(&fields)), "1-0  sku=A1  note=\"two words\"  none=\"\"  raw=\"\\xff\\n\"");
    }

    #[test]
    fn an_upper_bound_without_a_sequence_number_means_the_whole_millisecond() {
        assert_eq!(last_id("5").unwrap(), Id::new(5, u64::MAX));
        assert_eq!(last_id("5-1").unwrap(), Id::new(5, 1));
    }
}
