//! `COMMAND`: what the table says of itself.

use super::spec::{Begin, Keys, Spec};
use super::{Answer, SYNTAX, all as commands, find, help, is, refuse, rows, syntax};
use crate::command::{Reply, glob};
use crate::resp::session::Session;
use crate::resp::shared::Shared;

/// What is said of one command is some hundred times as long as its name: whoever asks for all, by name, is not to ask for more.
const TOO_MANY: &str = "more names than there are commands";

/// `COMMAND`.
pub(super) fn all(_: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    Reply::Array(commands().iter().map(row).collect()).into()
}

/// `COMMAND COUNT`.
pub(super) fn count(_: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    Reply::count(commands().len() as u64).into()
}

/// `COMMAND INFO [name …]`.
pub(super) fn info(shared: &Shared, session: &mut Session, args: &[&[u8]]) -> Answer {
    match &args[2..] {
        [] => all(shared, session, args),
        names if names.len() > rows() => refuse(TOO_MANY),
        names => Reply::Array(names.iter().map(|name| named(name).map_or(Reply::Null, row)).collect()).into(),
    }
}

/// `COMMAND DOCS [name …]`.
pub(super) fn docs(_: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    let pages = |specs: &mut dyn Iterator<Item = &'static Spec>| specs.map(titled_page).collect();
    let pages: Vec<_> = match &args[2..] {
        [] => pages(&mut commands().iter()),
        names if names.len() > rows() => return refuse(TOO_MANY),
        names => pages(&mut names.iter().filter_map(|name| named(name))),
    };
    Reply::Map(pages).into()
}

/// `COMMAND LIST [FILTERBY …]`.
pub(super) fn list(_: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    let names = |keep: &dyn Fn(&Spec) -> bool| {
        let specs = commands().iter().flat_map(|spec| std::iter::once(spec).chain(&spec.subcommands));
        Reply::Array(specs.filter(|spec| keep(spec)).map(|spec| Reply::bulk(spec.name)).collect()).into()
    };
    match &args[2..] {
        [] => names(&|_| true),
        [word, kind, what] if is(word, "FILTERBY") => match kind {
            _ if is(kind, "MODULE") => names(&|_| false),
            _ if is(kind, "ACLCAT") => names(&|spec| spec.all_categories().any(|category| is(what, &category[1..]))),
            _ if is(kind, "PATTERN") => names(&|spec| glob::matches(what, spec.name.as_bytes(), true)),
            _ => refuse(SYNTAX),
        },
        _ => refuse(SYNTAX),
    }
}

/// `COMMAND GETKEYS command …`.
pub(super) fn getkeys(_: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    keys_of(&args[2..], |key, _| Reply::bulk(key))
}

/// `COMMAND GETKEYSANDFLAGS command …`.
pub(super) fn getkeysandflags(_: &Shared, _: &mut Session, args: &[&[u8]]) -> Answer {
    keys_of(&args[2..], |key, flags| Reply::Array(vec![Reply::bulk(key), words(flags.iter().copied())]))
}

fn keys_of(args: &[&[u8]], show: impl Fn(&[u8], &[&'static str]) -> Reply) -> Answer {
    let spec = match (find(args[0]), args.get(1)) {
        (Some(spec), Some(word)) if !spec.subcommands.is_empty() => spec.subcommand(word),
        (spec, _) => spec,
    };
    let Some(spec) = spec else { return refuse("Invalid command specified") };
    if spec.keys.is_empty() {
        return refuse("The command has no key arguments");
    } else if !spec.takes(args.len()) {
        return refuse("Invalid number of arguments specified for command");
    }
    let keys = spec.keys.iter().map(|keys| keys.among(args).map(|found| (found, keys.flags)));
    let keys: Option<Vec<_>> = keys.collect();
    let shown: Vec<_> =
        keys.unwrap_or_default().iter().flat_map(|(found, flags)| found.iter().map(|key| show(key, flags))).collect();
    if shown.is_empty() { refuse("Invalid arguments specified for command") } else { Reply::Array(shown).into() }
}

impl Keys {
    /// The keys among a command's arguments; `None` if the word that they follow is not there.
    fn among<'a, 'b>(&self, args: &'b [&'a [u8]]) -> Option<&'b [&'a [u8]]> {
        let first = match self.begin {
            Begin::At(at) => at,
            Begin::After(word, from) => {
                let from = from.min(args.len());
                from + args[from..].iter().position(|arg| is(arg, word))? + 1
            }
        };
        let behind = args.get(first..)?;
        let keys = match self.last {
            0 => 1,
            _ if self.half => behind.len() / 2,
            _ => behind.len(),
        };
        Some(&behind[..keys.min(behind.len())])
    }
}

/// `COMMAND HELP`.
pub(super) fn help_page(_: &Shared, _: &mut Session, _: &[&[u8]]) -> Answer {
    help(&[
        "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "(no subcommand)",
        "    Return details about all commands.",
        "COUNT",
        "    Return how many commands there are.",
        "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
        "    Return the names of commands.",
        "INFO [<command-name> ...]",
        "    Return details about these commands, or about all.",
        "DOCS [<command-name> ...]",
        "    Return what these commands are for, or all.",
        "GETKEYS <full-command>",
        "    Return the keys of a command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys of a command, and what becomes of them.",
    ])
}

/// The command or subcommand (`client|list`) of this name.
fn named(name: &[u8]) -> Option<&'static Spec> {
    match name.iter().position(|&byte| byte == b'|') {
        None => find(name),
        Some(at) => find(&name[..at])?.subcommand(&name[at + 1..]),
    }
}

fn words(words: impl Iterator<Item = &'static str>) -> Reply {
    Reply::Set(words.map(Reply::Status).collect())
}

/// What `COMMAND INFO` says of a command.
fn row(spec: &Spec) -> Reply {
    let (first, last, step) = spec.key_range();
    Reply::Array(vec![
        Reply::bulk(spec.name),
        Reply::Int(spec.arity.into()),
        words(spec.flags.names()),
        Reply::Int(first),
        Reply::Int(last),
        Reply::Int(step),
        words(spec.all_categories()),
        Reply::Set(spec.tips.iter().map(Reply::bulk).collect()),
        Reply::Set(spec.keys.iter().map(key_spec).collect()),
        match spec.subcommands.as_slice() {
            [] => Reply::Set(Vec::new()),
            subcommands => Reply::Array(subcommands.iter().map(row).collect()),
        },
    ])
}

fn key_spec(keys: &Keys) -> Reply {
    let (kind, begin) = match keys.begin {
        Begin::At(at) => ("index", Reply::map([("index", Reply::count(at as u64))])),
        Begin::After(word, from) => {
            ("keyword", Reply::map([("keyword", Reply::bulk(word)), ("startfrom", Reply::count(from as u64))]))
        }
    };
    let limit = if keys.half { 2 } else { 0 };
    let range = [("lastkey", Reply::Int(keys.last)), ("keystep", Reply::Int(1)), ("limit", Reply::Int(limit))];
    let typed = |kind: &str, spec| Reply::map([("type", Reply::bulk(kind)), ("spec", spec)]);
    let notes = Some(keys.notes).filter(|notes| !notes.is_empty());
    let pairs = notes.map(|notes| (Reply::bulk("notes"), Reply::bulk(notes))).into_iter().chain([
        (Reply::bulk("flags"), words(keys.flags.iter().copied())),
        (Reply::bulk("begin_search"), typed(kind, begin)),
        (Reply::bulk("find_keys"), typed("range", Reply::map(range))),
    ]);
    Reply::Map(pairs.collect())
}

fn titled_page(spec: &Spec) -> (Reply, Reply) {
    let mut pairs = Vec::new();
    let docs = &spec.docs;
    for (name, text) in
        [("summary", docs.summary), ("since", docs.since), ("group", docs.group), ("complexity", docs.complexity)]
    {
        pairs.push((Reply::bulk(name), Reply::bulk(text)));
    }
    let arguments = syntax::arguments(docs.syntax);
    if !arguments.is_empty() {
        pairs.push((Reply::bulk("arguments"), Reply::Array(arguments)));
    }
    if !spec.subcommands.is_empty() {
        pairs.push((Reply::bulk("subcommands"), Reply::Map(spec.subcommands.iter().map(titled_page).collect())));
    }
    (Reply::bulk(spec.name), Reply::Map(pairs))
}
