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
    /// Those that do not follow from the flags.
    pub(super) categories: &'static [&'static str],
    pub(super) tips: &'static [&'static str],
    pub(super) keys: &'static [Keys],
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

impl Spec {
    /// Whether it takes so many arguments, its name counted.
    pub(crate) fn takes(&self, arguments: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { arguments >= least } else { arguments == least }
    }

    pub(crate) fn subcommand(&self, word: &[u8]) -> Option<&Spec> {
        self.subcommands.iter().find(|sub| sub.word().as_bytes().eq_ignore_ascii_case(word))
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
