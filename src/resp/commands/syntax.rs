//! What follows a command's name, as people write it, as the tree of arguments that `COMMAND DOCS` answers.
//!
//! ```text
//! name     a value            TOKEN value   a value behind a word         {a b}   several, one after the other
//! TOKEN    a word             a|b           one of them                   [a]     may be missing       a...   once or more
//! ```
//!
//! Knows no command.

use crate::command::Reply;

/// The arguments that this is of; an empty one has none.
pub(super) fn arguments(syntax: &str) -> Vec<Reply> {
    let mut keys = 0;
    Reader { rest: syntax }.sequence().iter().map(|argument| argument.reply(&mut keys)).collect()
}

/// One argument, or several that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Argument {
    what: What,
    token: Option<String>,
    optional: bool,
    multiple: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Value(String),
    Token,
    Block(Vec<Argument>),
    OneOf(Vec<Argument>),
}

impl Argument {
    fn of(what: What) -> Argument {
        Argument { what, token: None, optional: false, multiple: false }
    }

    fn name(&self) -> String {
        match (&self.what, &self.token) {
            (What::Value(name), _) => name.clone(),
            (_, Some(token)) => symbol(token).map_or_else(|| token.to_lowercase(), str::to_owned),
            (What::Block(parts), None) => parts.first().map_or_else(String::new, |part| part.name() + "-block"),
            (What::OneOf(parts), None) => parts.first().map_or_else(String::new, |part| part.name() + "-selector"),
            (What::Token, None) => String::new(),
        }
    }

    fn reply(&self, keys: &mut i64) -> Reply {
        let name = self.name();
        let kind = match &self.what {
            What::Value(name) => value_type(name),
            What::Token => "pure-token",
            What::Block(_) => "block",
            What::OneOf(_) => "oneof",
        };
        let mut pairs = vec![(Reply::bulk("name"), Reply::bulk(&name)), (Reply::bulk("type"), Reply::bulk(kind))];
        if matches!(self.what, What::Value(_) | What::Token) {
            pairs.push((Reply::bulk("display_text"), Reply::bulk(&name)));
        }
        if kind == "key" {
            pairs.push((Reply::bulk("key_spec_index"), Reply::Int(*keys)));
            *keys += 1;
        }
        if let Some(token) = &self.token {
            pairs.push((Reply::bulk("token"), Reply::bulk(token)));
        }
        let flags = [(self.optional, "optional"), (self.multiple, "multiple")];
        let flags: Vec<_> = flags.into_iter().filter(|(is, _)| *is).map(|(_, flag)| Reply::Status(flag)).collect();
        if !flags.is_empty() {
            pairs.push((Reply::bulk("flags"), Reply::Set(flags)));
        }
        if let What::Block(parts) | What::OneOf(parts) = &self.what {
            let parts = parts.iter().map(|part| part.reply(keys)).collect();
            pairs.push((Reply::bulk("arguments"), Reply::Array(parts)));
        }
        Reply::Map(pairs)
    }
}

fn symbol(token: &str) -> Option<&'static str> {
    Some(match token {
        "*" => "auto-id",
        "$" => "new-id",
        "=" => "equal",
        "~" => "approximately",
        _ => return None,
    })
}

fn value_type(name: &str) -> &'static str {
    match name {
        "key" | "newkey" | "source" | "destination" => "key",
        "pattern" => "pattern",
        "unix-time-milliseconds" => "unix-time",
        "count" | "milliseconds" | "numids" | "ms" | "cursor" | "index" | "protover" | "client-id" | "maxage"
        | "numreplicas" | "numlocal" | "timeout" | "destination-db" | "entries-read" | "entries-added" | "duration"
        | "maxsize" => "integer",
        _ => "string",
    }
}

/// What is left to read.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// Arguments up to the end, or to a bracket that closes.
    fn sequence(&mut self) -> Vec<Argument> {
        let mut arguments = Vec::new();
        while self.begins() {
            arguments.push(self.argument());
        }
        arguments
    }

    fn begins(&mut self) -> bool {
        self.rest = self.rest.trim_start();
        !self.rest.is_empty() && !self.rest.starts_with([']', '}'])
    }

    /// One argument, with the word before it.
    fn argument(&mut self) -> Argument {
        let first = self.one_of();
        let is_word = first.what == What::Token && !first.multiple && !first.optional;
        if is_word && self.begins() && !self.rest.starts_with('[') {
            let next = self.one_of();
            if next.token.is_none() {
                return Argument { token: first.token, ..next };
            }
            // Two words: the first is by itself, and there is nothing to say so in the tree but a block.
            return Argument::of(What::Block(vec![first, next]));
        }
        first
    }

    fn one_of(&mut self) -> Argument {
        let first = self.unit();
        if !self.rest.starts_with('|') {
            return first;
        }
        let mut parts = vec![first];
        while let Some(rest) = self.rest.strip_prefix('|') {
            self.rest = rest;
            parts.push(self.unit());
        }
        Argument::of(What::OneOf(parts))
    }

    fn unit(&mut self) -> Argument {
        let mut argument = match self.rest.as_bytes()[0] {
            bracket @ (b'[' | b'{') => {
                self.rest = &self.rest[1..];
                let mut parts = self.sequence();
                self.rest = &self.rest[1..];
                let one = if parts.len() == 1 { parts.remove(0) } else { Argument::of(What::Block(parts)) };
                Argument { optional: bracket == b'[', ..one }
            }
            _ => {
                let end = self.rest.find([' ', '|', ']', '}']).unwrap_or(self.rest.len());
                let end = self.rest[..end].find("...").unwrap_or(end);
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                if word.contains(|letter: char| letter.is_ascii_lowercase()) {
                    Argument::of(What::Value(word.to_owned()))
                } else {
                    Argument { token: Some(word.to_owned()), ..Argument::of(What::Token) }
                }
            }
        };
        if let Some(rest) = self.rest.strip_prefix("...") {
            self.rest = rest;
            argument.multiple = true;
        }
        argument
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(syntax: &str) -> Vec<Argument> {
        Reader { rest: syntax }.sequence()
    }

    fn value(name: &str) -> Argument {
        Argument::of(What::Value(name.to_owned()))
    }

    fn word(token: &str) -> Argument {
        Argument { token: Some(token.to_owned()), ..Argument::of(What::Token) }
    }

    #[test]
    fn words_values_choices_and_brackets_become_a_tree() {
        assert_eq!(read(""), []);
        assert_eq!(read("key id..."), [value("key"), Argument { multiple: true, ..value("id") }]);
        let count = Argument { token: Some("COUNT".to_owned()), optional: true, ..value("count") };
        assert_eq!(read("[COUNT count]"), [count]);
        let either = Argument::of(What::OneOf(vec![word("*"), value("id")]));
        let pair = Argument { multiple: true, ..Argument::of(What::Block(vec![value("field"), value("value")])) };
        assert_eq!(read("*|id {field value}..."), [either, pair]);
        let group =
            Argument { token: Some("GROUP".to_owned()), ..Argument::of(What::Block(vec![value("g"), value("c")])) };
        assert_eq!(read("GROUP {g c} [NOACK]"), [group, Argument { optional: true, ..word("NOACK") }]);
        let sign = Argument { optional: true, ..Argument::of(What::OneOf(vec![word("="), word("~")])) };
        let by = Argument::of(What::OneOf(vec![word("MAXLEN"), word("MINID")]));
        assert_eq!(read("MAXLEN|MINID [=|~] threshold"), [by, sign, value("threshold")]);
    }

    #[test]
    fn every_key_says_which_it_is() {
        let Reply::Map(second) = &arguments("source destination")[1] else { panic!("a map") };
        assert!(second.contains(&(Reply::bulk("key_spec_index"), Reply::Int(1))));
    }

    #[test]
    fn the_syntax_of_every_command_is_read_to_its_end() {
        for spec in super::super::all().iter().flat_map(|spec| std::iter::once(spec).chain(&spec.subcommands)) {
            let mut reader = Reader { rest: spec.docs.syntax };
            reader.sequence();
            assert_eq!(reader.rest, "", "{}", spec.name);
        }
    }
}
