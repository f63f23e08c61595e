//! A JSON object as the fields of an entry: what was written, not what a number type makes of it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of the object in `line`, in order, those that occur twice included: strings as they are, everything else
/// as its JSON text without the blanks between tokens.
///
/// # Errors
///
/// What is wrong with the line, for a person.
pub(super) fn fields(line: &[u8]) -> Result<Vec<(String, String)>, String> {
    let object: Object<'_> = serde_json::from_slice(line).map_err(|error| explained(&error))?;
    if object.0.is_empty() {
        return Err("the object is empty: an entry needs at least one field".to_owned());
    }
    let field = |(name, value)| value_of(value).map(|value| (name, value)).map_err(|error| explained(&error));
    object.0.into_iter().map(field).collect()
}

fn value_of(raw: &RawValue) -> serde_json::Result<String> {
    let json = raw.get();
    if json.starts_with('"') { serde_json::from_str(json) } else { Ok(compact(json)) }
}

/// The text of an error, without the line that is always the first.
fn explained(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    format!("not a JSON object: {what} at column {}", error.column())
}

struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<'de>, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Object(fields))
    }
}

/// A JSON text without the blanks between its tokens.
fn compact(json: &str) -> String {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
    let mut compact = String::with_capacity(json.len());
    let mut in_string = false;
    let mut escaped = false;
    for c in json.chars() {
        if in_string || !blank(c) {
            compact.push(c);
        }
        if !escaped && c == '"' {
            in_string = !in_string;
        }
        escaped = in_string && !escaped && c == '\\';
    }
    compact
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(line: &str) -> Vec<(String, String)> {
        fields(line.as_bytes()).unwrap()
    }

    #[test]
    fn strings_are_taken_as_they_are_and_all_else_as_compact_json() {
        let line = r#" {"b": "x \"y\" \u00e9", "a": {"k": [1, 2 , "a b"], "e": "\\"}, "n": null, "t": true, "": 1 } "#;
        let expected =
            [("b", "x \"y\" é"), ("a", r#"{"k":[1,2,"a b"],"e":"\\"}"#), ("n", "null"), ("t", "true"), ("", "1")];
        assert_eq!(pairs(line), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn numbers_keep_every_digit_and_names_may_occur_twice() {
        let line = r#"{"n":123456789012345678901234567890.10,"e":1E+2,"n":-0}"#;
        let expected = [("n", "123456789012345678901234567890.10"), ("e", "1E+2"), ("n", "-0")];
        assert_eq!(pairs(line), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_column() {
        for bad in [
            "",
            "[1]",
            "7",
            "\"a\"",
            "{",
            "{}",
            r#"{"a":1} x"#,
            r#"{"a":01}"#,
            r#"{"a":"\ud800"}"#,
            "{\"a\":\"\u{1}\"}",
        ] {
            assert!(fields(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(fields(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
        assert_eq!(fields(br#"{"a":x}"#).unwrap_err(), "not a JSON object: expected value at column 6");
    }
}
