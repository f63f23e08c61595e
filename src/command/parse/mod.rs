//! Reading commands: which one it is, and whether it has enough arguments. What its arguments say is read next door: `take` has
//! numbers, IDs and names, `add` what adds and trims, `read` what reads, `claim` what is about pending entries, `group` what is
//! about groups and settings, `names` what is about streams as a whole.
//!
//! Knows the order in which Redis finds mistakes, and no stream: where Redis looks for one in the middle, a mistake after that
//! becomes a [`Mistaken`](super::Mistaken) command.

mod add;
mod claim;
mod group;
mod names;
mod read;
mod take;

use self::take::{invalid, name, names as all_names};
use super::text::{Family, shown};
use super::{Command, Mistaken};
use crate::error::{Error, Result};

/// How many arguments a command takes, its name counted (and its subcommand's).
#[derive(Clone, Copy)]
enum Arity {
    Exactly(usize),
    AtLeast(usize),
}
use Arity::{AtLeast, Exactly};

impl Arity {
    fn allows(self, len: usize) -> bool {
        match self {
            Exactly(args) => len == args,
            AtLeast(args) => len >= args,
        }
    }
}

type Parse = fn(&[&[u8]]) -> Result<Command>;
type Table = &'static [(&'static str, Arity, Parse)];

const COMMANDS: Table = &[
    ("xadd", AtLeast(5), add::xadd),
    ("xtrim", AtLeast(4), add::xtrim),
    ("xdel", AtLeast(3), claim::xdel),
    ("xdelex", AtLeast(5), claim::xdelex),
    ("xack", AtLeast(4), claim::xack),
    ("xackdel", AtLeast(6), claim::xackdel),
    ("xnack", AtLeast(7), claim::xnack),
    ("xlen", Exactly(2), |args| Ok(Command::XLen { key: name(args[1])? })),
    ("xrange", AtLeast(4), |args| read::range(args, false)),
    ("xrevrange", AtLeast(4), |args| read::range(args, true)),
    ("xread", AtLeast(4), read::xread),
    ("xreadgroup", AtLeast(7), read::xreadgroup),
    ("xpending", AtLeast(3), claim::xpending),
    ("xclaim", AtLeast(6), claim::xclaim),
    ("xautoclaim", AtLeast(6), claim::xautoclaim),
    ("xgroup", AtLeast(2), |args| subcommand(args, "xgroup", XGROUP)),
    ("xinfo", AtLeast(2), |args| subcommand(args, "xinfo", XINFO)),
    ("xsetid", AtLeast(3), group::xsetid),
    ("xcfgset", AtLeast(2), group::xcfgset),
    ("xidmprecord", Exactly(5), group::xidmprecord),
    ("del", AtLeast(2), |args| Ok(Command::Del { keys: all_names(&args[1..])? })),
    ("unlink", AtLeast(2), |args| Ok(Command::Unlink { keys: all_names(&args[1..])? })),
    ("exists", AtLeast(2), |args| Ok(Command::Exists { keys: all_names(&args[1..])? })),
    ("type", Exactly(2), |args| Ok(Command::Type { key: name(args[1])? })),
    ("rename", Exactly(3), |args| Ok(Command::Rename { key: name(args[1])?, to: name(args[2])? })),
    ("renamenx", Exactly(3), |args| Ok(Command::RenameNx { key: name(args[1])?, to: name(args[2])? })),
    ("copy", AtLeast(3), names::copy),
    ("keys", Exactly(2), |args| Ok(Command::Keys { pattern: args[1].to_vec() })),
    ("scan", AtLeast(2), names::scan),
    ("dbsize", Exactly(1), |_| Ok(Command::DbSize)),
    ("flushdb", AtLeast(1), |args| names::flush(args).map(Command::FlushDb)),
    ("flushall", AtLeast(1), |args| names::flush(args).map(Command::FlushAll)),
];

const XGROUP: Table = &[
    ("create", AtLeast(5), group::create),
    ("setid", AtLeast(5), group::set_id),
    ("destroy", Exactly(4), |args| Ok(Command::XGroupDestroy { key: name(args[2])?, group: name(args[3])? })),
    ("createconsumer", Exactly(5), |args| {
        Ok(Command::XGroupCreateConsumer { key: name(args[2])?, group: name(args[3])?, consumer: name(args[4])? })
    }),
    ("delconsumer", Exactly(5), |args| {
        Ok(Command::XGroupDelConsumer { key: name(args[2])?, group: name(args[3])?, consumer: name(args[4])? })
    }),
    ("help", Exactly(2), |_| Ok(Command::XGroupHelp)),
];

const XINFO: Table = &[
    ("stream", AtLeast(3), group::info_stream),
    ("groups", Exactly(3), |args| Ok(Command::XInfoGroups { key: name(args[2])? })),
    ("consumers", Exactly(4), |args| Ok(Command::XInfoConsumers { key: name(args[2])?, group: name(args[3])? })),
    ("help", Exactly(2), |_| Ok(Command::XInfoHelp)),
];

/// How many bytes of what it was given Redis repeats in an error.
const REPEATED_MAX: usize = 128;

fn find(table: Table, word: &[u8]) -> Option<&'static (&'static str, Arity, Parse)> {
    table.iter().find(|(name, ..)| name.as_bytes().eq_ignore_ascii_case(word))
}

pub(super) fn command(args: &[&[u8]]) -> Result<Command> {
    let Some(first) = args.first() else { return Err(invalid("there is no command")) };
    match find(COMMANDS, first) {
        None => Err(unknown(args)),
        Some((name, arity, _)) if !arity.allows(args.len()) => Err(wrong_arity(name)),
        Some((_, _, parse)) => parse(args),
    }
}

fn subcommand(args: &[&[u8]], container: &str, table: Table) -> Result<Command> {
    match find(table, args[1]) {
        None => {
            let (word, container) = (shown(args[1], REPEATED_MAX), container.to_uppercase());
            Err(invalid(format!("unknown subcommand '{word}'. Try {container} HELP.")))
        }
        Some((name, arity, _)) if !arity.allows(args.len()) => Err(wrong_arity(&format!("{container}|{name}"))),
        Some((_, _, parse)) => parse(args),
    }
}

/// The command with these arguments, in which `error` is found after looking for streams and groups.
fn mistaken(args: &[&[u8]], family: Family, looks: Vec<(String, Option<String>)>, error: &Error) -> Command {
    let args = args.iter().map(|arg| arg.to_vec()).collect();
    Command::Mistaken(Mistaken { args, family, looks, kind: error.kind(), message: error.to_string() })
}

fn wrong_arity(name: &str) -> Error {
    invalid(format!("wrong number of arguments for '{name}' command"))
}

/// The error of a command that is not known: it repeats how that begins.
pub(super) fn unknown(args: &[&[u8]]) -> Error {
    let mut text = String::new();
    for arg in &args[1..] {
        if text.len() >= REPEATED_MAX {
            break;
        }
        let arg = shown(arg, REPEATED_MAX - text.len());
        text.extend(["'", &arg, "' "]);
    }
    let word = shown(args[0], REPEATED_MAX);
    let with = if args.len() > 1 { ", with args beginning with: " } else { "" };
    invalid(format!("unknown command '{word}'{with}{text}"))
}
