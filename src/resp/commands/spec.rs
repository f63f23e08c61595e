//! What is said of one command: how many arguments it takes, what it touches, where its keys are, what it is for.

use std::ops::BitOr;

use super::Kind;

/// A command or a subcommand as the table has it.
#[derive(Debug)]
pub(crate) struct Spec {
    /// In small letters; a subcommand's begins with its container's: `client|list`.
    pub(crate) name: &'static str,
    /// How many arguments, the name counted; negative: at least so many.
    pub(crate) arity: i32,
    pub(crate) kind: Kind,
    /// Its number among all commands and subcommands, from 0: where it is counted.
    pub(crate) row: usize,
    pub(crate) flags: Flags,
    /// ACL categories, those that do not follow from the flags.
    pub(super) categories: &'static [&'static str],
    pub(super) tips: &'static [&'static str],
    pub(super) keys: Vec<Keys>,
    pub(super) subcommands: Vec<Spec>,
    pub(super) docs: Docs,
}

/// What a page about a command says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Docs {
    pub(super) summary: &'static str,
    pub(super) since: &'static str,
    pub(super) group: &'static str,
    pub(super) complexity: &'static str,
    /// What follows the name.
    pub(super) syntax: &'static str,
}

/// What a command does and where it may be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags(u32);

impl Flags {
    pub(crate) const NONE: Flags = Flags(0);
    pub(crate) const WRITE: Flags = Flags(1);
    pub(crate) const READONLY: Flags = Flags(1 << 1);
    pub(crate) const DENYOOM: Flags = Flags(1 << 2);
    pub(crate) const ADMIN: Flags = Flags(1 << 3);
    pub(crate) const NOSCRIPT: Flags = Flags(1 << 4);
    pub(crate) const BLOCKING: Flags = Flags(1 << 5);
    pub(crate) const LOADING: Flags = Flags(1 << 6);
    pub(crate) const STALE: Flags = Flags(1 << 7);
    pub(crate) const SKIP_SLOWLOG: Flags = Flags(1 << 8);
    pub(crate) const FAST: Flags = Flags(1 << 9);
    /// It needs no password.
    pub(crate) const NO_AUTH: Flags = Flags(1 << 10);
    pub(crate) const ALLOW_BUSY: Flags = Flags(1 << 11);
    pub(crate) const MOVABLE_KEYS: Flags = Flags(1 << 12);

    pub(crate) const fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Their names, in Redis's order.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [&str; 13] = [
            "write",
            "readonly",
            "denyoom",
            "admin",
            "noscript",
            "blocking",
            "loading",
            "stale",
            "skip_slowlog",
            "fast",
            "no_auth",
            "allow_busy",
            "movablekeys",
        ];
        NAMES.into_iter().enumerate().filter(move |(bit, _)| self.0 & 1 << bit != 0).map(|(_, name)| name)
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        self.and(other)
    }
}

/// Where keys are among the arguments, and what becomes of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    pub(super) flags: &'static [&'static str],
    pub(super) notes: &'static str,
    pub(super) begin: Begin,
    /// The last key: counted from the first, or from the arguments' end if negative.
    pub(super) last: i64,
    /// Only the first half of what is left is keys.
    pub(super) half: bool,
}

/// Where the first key is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin {
    /// At this argument.
    At(usize),
    /// After this word, looked for from this argument on.
    After(&'static str, usize),
}

/// One row of the table, piece by piece.
impl Spec {
    pub(super) fn new(name: &'static str, arity: i32, flags: Flags, kind: Kind) -> Spec {
        Spec {
            name,
            arity,
            kind,
            row: 0,
            flags,
            categories: &[],
            tips: &[],
            keys: Vec::new(),
            subcommands: Vec::new(),
            docs: Docs::default(),
        }
    }

    pub(super) fn about(
        mut self,
        group: &'static str,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Spec {
        self.docs = Docs { summary, since, group, complexity, ..self.docs };
        self
    }

    /// What follows the name, as [`syntax`](super::syntax) reads it.
    pub(super) fn syntax(mut self, syntax: &'static str) -> Spec {
        self.docs.syntax = syntax;
        self
    }

    pub(super) fn categories(mut self, categories: &'static [&'static str]) -> Spec {
        self.categories = categories;
        self
    }

    pub(super) fn tips(mut self, tips: &'static [&'static str]) -> Spec {
        self.tips = tips;
        self
    }

    fn keyed(mut self, keys: Keys) -> Spec {
        self.keys.push(keys);
        self
    }

    /// This argument is a key.
    pub(super) fn key(self, at: usize, flags: &'static [&'static str]) -> Spec {
        self.keyed(Keys { flags, notes: "", begin: Begin::At(at), last: 0, half: false })
    }

    /// All arguments from this one on are keys.
    pub(super) fn keys_from(self, at: usize, flags: &'static [&'static str]) -> Spec {
        self.keyed(Keys { flags, notes: "", begin: Begin::At(at), last: -1, half: false })
    }

    /// Of the arguments after this word, looked for from `from` on, the first half are keys.
    pub(super) fn keys_after(self, word: &'static str, from: usize, flags: &'static [&'static str]) -> Spec {
        self.keyed(Keys { flags, notes: "", begin: Begin::After(word, from), last: -1, half: true })
    }

    /// What is to be said of the last key.
    pub(super) fn notes(mut self, notes: &'static str) -> Spec {
        self.keys.iter_mut().last().expect("it has keys").notes = notes;
        self
    }

    pub(super) fn with(mut self, subcommands: Vec<Spec>) -> Spec {
        self.subcommands = subcommands;
        self
    }
}

impl Spec {
    /// Whether it takes so many arguments, its name counted.
    pub(crate) fn takes(&self, arguments: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { arguments >= least } else { arguments == least }
    }

    pub(crate) fn subcommand(&self, word: &[u8]) -> Option<&Spec> {
        self.subcommands.iter().find(|sub| sub.word().as_bytes().eq_ignore_ascii_case(word))
    }

    /// The first key, the last and the step between them, where they are at the same arguments always; zeros otherwise.
    pub(super) fn key_range(&self) -> (i64, i64, i64) {
        let mut range = None;
        for keys in &self.keys {
            let Begin::At(at) = keys.begin else { continue };
            let first = i64::try_from(at).expect("commands have few arguments");
            let last = if keys.last < 0 { keys.last } else { first + keys.last };
            let (low, high) = range.unwrap_or((first, last));
            range = Some((first.min(low), if last < 0 { last } else { last.max(high) }));
        }
        range.map_or((0, 0, 0), |(first, last)| (first, last, 1))
    }

    /// Its ACL categories, those that follow from its flags included, in Redis's order.
    pub(super) fn all_categories(&self) -> impl Iterator<Item = &'static str> {
        const ORDER: [&str; 12] = [
            "@keyspace",
            "@read",
            "@write",
            "@stream",
            "@admin",
            "@fast",
            "@slow",
            "@blocking",
            "@dangerous",
            "@connection",
            "@transaction",
            "@scripting",
        ];
        let flags = self.flags;
        ORDER.into_iter().filter(move |&category| match category {
            "@read" => flags.has(Flags::READONLY),
            "@write" => flags.has(Flags::WRITE),
            "@admin" => flags.has(Flags::ADMIN),
            "@fast" => flags.has(Flags::FAST),
            "@slow" => !flags.has(Flags::FAST),
            "@blocking" => flags.has(Flags::BLOCKING),
            "@dangerous" if flags.has(Flags::ADMIN) => true,
            _ => self.categories.contains(&category),
        })
    }

    /// The name without the container's.
    pub(super) fn word(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, word)| word)
    }
}

impl PartialEq for Spec {
    fn eq(&self, other: &Spec) -> bool {
        self.name == other.name
    }
}

impl Eq for Spec {}
