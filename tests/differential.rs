//! Random sequences of commands, right, nearly right and wrong, on our broker and on a real Redis: the same replies and the same
//! errors. Skipped, visibly, where there is no `redis-server`.
//!
//! Debian's Redis is 7.0: what later versions added is not asked for, and what they changed is in [`KNOWN`], [`ENDS`] and `seen`.
//! `STREAMLOG_SEED` repeats a run, `STREAMLOG_SEQUENCES` says how long it is.
#![cfg(unix)]

mod common {
    pub(crate) mod answer;
    #[allow(dead_code, reason = "one command at a time is the model test's way")]
    pub(crate) mod redis;
}

use std::fmt::Write;

use common::answer::{Answer, ask};
use common::redis::Redis;
use streamlog::Broker;

type Command = Vec<Vec<u8>>;

/// What is looked at after each sequence.
const LOOKS: &[&str] = &[
    "XINFO STREAM s FULL COUNT 0",
    "XINFO STREAM t",
    "XINFO GROUPS s",
    "XPENDING s g - + 100",
    "XPENDING t g",
    "XRANGE t - +",
    "EXISTS s t u",
];

/// Values of maps that are not compared, and why.
const KNOWN: &[(&str, &str)] = &[
    ("radix-tree-keys", "we have no tree"),
    ("radix-tree-nodes", "we have no tree"),
    ("idle", "time"),
    ("inactive", "time, and since 7.2"),
    ("seen-time", "time"),
    ("active-time", "time, and since 7.2"),
    ("entries-read", "counted in another way since 7.2"),
    ("lag", "counted in another way since 7.2"),
    ("idmp-duration", "since 8.6"),
    ("idmp-maxsize", "since 8.6"),
    ("pids-tracked", "since 8.6"),
    ("iids-tracked", "since 8.6"),
    ("iids-added", "since 8.6"),
    ("iids-duplicates", "since 8.6"),
];

/// What only we say, after which two histories differ, and why.
const ENDS: &[(&str, &str)] = &[
    ("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id", "7.0 takes such an ID"),
    ("ERR the name of a ", "Redis takes any bytes for a name, none included"),
];

/// An answer without what is known to differ: fields of [`KNOWN`], times, IDs made by the clock, the wording of one error.
fn seen(answer: Answer) -> Answer {
    match answer {
        Answer::Text(text) if is_made_by_the_clock(&text) => Answer::Text(b"@".to_vec()),
        // Milliseconds since the epoch.
        Answer::Int(int) if int > 1_000_000_000_000 => Answer::Int(-2),
        // Since 7.4 another text, for `+` and `>`.
        Answer::Error(text) if text.starts_with("ERR Unbalanced ") => Answer::Error("ERR Unbalanced".to_owned()),
        Answer::Array(mut items) => {
            // A pending entry: how long ago it was delivered.
            if let [Answer::Text(_), Answer::Text(_), idle @ Answer::Int(_), Answer::Int(_)] = items.as_mut_slice() {
                *idle = Answer::Null;
            }
            let is_map = matches!(items.first(), Some(Answer::Text(name)) if name == b"name" || name == b"length");
            if !is_map {
                return Answer::Array(items.into_iter().map(seen).collect());
            }
            let pairs = items.chunks(2).filter(|pair| {
                let known = |name: &&str| pair[0] == Answer::Text(name.as_bytes().to_vec());
                !KNOWN.iter().any(|(name, _)| known(name))
            });
            Answer::Array(pairs.flatten().cloned().map(seen).collect())
        }
        other => other,
    }
}

fn is_made_by_the_clock(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits == 13 && text.get(13) == Some(&b'-')
}

/// Whether a command is one that both know, and that comes to an end.
fn is_asked(command: &Command) -> bool {
    let is = |at: usize, word: &str| command.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    let has = |word: &str| (1..command.len()).any(|at| is(at, word));
    let reads = is(0, "xread") || is(0, "xreadgroup");
    // `+` is a place to read from since 7.4.
    let newer = reads && has("+");
    let waits = reads && (1..command.len()).any(|at| is(at, "block") && !is(at + 1, "-1") && !is(at + 1, "x"));
    // To nothing Redis answers nothing.
    !newer && !waits && !command.is_empty()
}

/// Numbers that look random and are the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_in(&mut self, limit: usize) -> bool {
        self.below(limit) == 0
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    /// An ID: mostly plain, sometimes of another form, sometimes none.
    fn id(&mut self) -> String {
        match self.below(24) {
            // An underscore is to be a blank.
            0 => self.of(&["5", "0", "0-0", "9", "2-", "07-01", "_7-1", "+3-1"]).to_owned(),
            1 => {
                self.of(&["bad", "-", "+", "$", "3-x", "-1-1", "18446744073709551615-18446744073709551615"]).to_owned()
            }
            _ => format!("{}-{}", 1 + self.below(7), self.below(3)),
        }
    }

    fn ids(&mut self) -> String {
        (0..=self.below(4)).map(|_| self.id()).collect::<Vec<_>>().join(" ")
    }

    fn bound(&mut self) -> String {
        match self.below(5) {
            0 => "-".to_owned(),
            1 => "+".to_owned(),
            2 => format!("({}", self.id()),
            _ => self.id(),
        }
    }

    fn number(&mut self) -> &'static str {
        self.of(&["0", "1", "1", "2", "2", "3", "4", "10", "-1", "-2", "x", "1.5", "07", "9223372036854775808"])
    }

    fn idle(&mut self) -> &'static str {
        self.of(&["0", "0", "0", "0", "100000", "100000", "-1", "x"])
    }

    fn key(&mut self) -> &'static str {
        self.of(&["s", "s", "s", "s", "t", "t", "u"])
    }

    fn group(&mut self) -> &'static str {
        self.of(&["g", "g", "g", "h", "none"])
    }

    fn consumer(&mut self) -> &'static str {
        self.of(&["a", "a", "b"])
    }

    fn maybe(&mut self, one_in: usize, words: impl FnOnce(&mut Random) -> String) -> String {
        if self.one_in(one_in) { format!(" {}", words(self)) } else { String::new() }
    }

    fn trim(&mut self) -> String {
        let about = self.of(&["", "", "= ", "~ "]);
        let limit = if self.one_in(2) {
            format!("MAXLEN {about}{}", self.number())
        } else {
            format!("MINID {about}{}", self.id())
        };
        limit + &self.maybe(6, |random| format!("LIMIT {}", random.number()))
    }

    fn words(&mut self) -> String {
        let key = self.key();
        let names = format!("{key} {}", self.group());
        let consumer = self.consumer();
        match self.below(64) {
            0..=13 => {
                let make = self.maybe(8, |_| "NOMKSTREAM".to_owned());
                let trim = self.maybe(6, Random::trim);
                let id = match self.below(12) {
                    0 => "*".to_owned(),
                    1 => format!("{}-*", self.below(8)),
                    2 => self.id(),
                    _ => format!("{}-{}", 1 + self.below(9), self.below(3)),
                };
                format!("XADD {key}{make}{trim} {id} f {}{}", self.below(100), self.maybe(4, |_| "n 1".to_owned()))
            }
            14..=16 => format!("XTRIM {key} {}", self.trim()),
            17..=19 => format!("XDEL {key} {}", self.ids()),
            20..=21 => format!("XLEN {key}"),
            22..=25 => {
                let range = self.of(&["XRANGE", "XREVRANGE"]);
                let (first, last) = (self.bound(), self.bound());
                format!("{range} {key} {first} {last}{}", self.maybe(3, |random| format!("COUNT {}", random.number())))
            }
            26..=27 => {
                let count = self.maybe(3, |random| format!("COUNT {} ", random.number()));
                let block = self.maybe(16, |random| format!("BLOCK {}", random.of(&["-1", "x"])));
                match self.below(3) {
                    0 => format!("XREAD{count}{block} STREAMS {key} t {} {}", self.id(), self.id()),
                    _ => format!("XREAD{count}{block} STREAMS {key} {}", self.of(&["0", "1-1", "3", "$", ">", "4-2"])),
                }
                .replace("  ", " ")
            }
            28..=37 => {
                let group = self.group();
                let count = self.maybe(2, |random| format!("COUNT {}", random.number()));
                let no_ack = self.maybe(6, |_| "NOACK".to_owned());
                let head = format!("XREADGROUP GROUP {group} {consumer}{count}{no_ack} STREAMS");
                let from = |random: &mut Random| match random.below(4) {
                    0 => random.id(),
                    1 => "0".to_owned(),
                    _ => ">".to_owned(),
                };
                if self.one_in(4) {
                    format!("{head} {key} t {} {}", from(self), from(self))
                } else {
                    format!("{head} {key} {}", from(self))
                }
            }
            38..=40 => format!("XACK {names} {}", self.ids()),
            41..=43 => {
                let idle = self.maybe(4, |random| format!("IDLE {}", random.idle()));
                let consumer = self.maybe(3, |random| random.consumer().to_owned());
                match self.below(3) {
                    0 => format!("XPENDING {names}"),
                    _ => {
                        format!("XPENDING {names}{idle} {} {} {}{consumer}", self.bound(), self.bound(), self.number())
                    }
                }
            }
            44..=47 => {
                let mut text = format!("XCLAIM {names} {consumer} {} {}", self.idle(), self.ids());
                text += &self.maybe(3, |_| "FORCE".to_owned());
                text += &self.maybe(4, |_| "JUSTID".to_owned());
                text += &self.maybe(6, |random| {
                    format!("IDLE {}", random.of(&["0", "5000", "200000", "-5", "x", "9223372036854775807"]))
                });
                text += &self
                    .maybe(8, |random| format!("TIME {}", random.of(&["0", "5000", "-5", "x", "9223372036854775807"])));
                text += &self.maybe(6, |random| format!("RETRYCOUNT {}", random.number()));
                text + &self.maybe(8, |random| format!("LASTID {}", random.id()))
            }
            48..=50 => {
                let count = self.maybe(3, |random| format!("COUNT {}", random.number()));
                let just_id = self.maybe(4, |_| "JUSTID".to_owned());
                format!("XAUTOCLAIM {names} {consumer} {} {}{count}{just_id}", self.idle(), self.bound())
            }
            51..=53 => {
                let at = if self.one_in(2) { "0".to_owned() } else { self.of(&["$", "0", "3-1", "bad"]).to_owned() };
                let make = self.maybe(2, |_| "MKSTREAM".to_owned());
                format!(
                    "XGROUP CREATE {names} {at}{make}{}",
                    self.maybe(6, |random| format!("ENTRIESREAD {}", random.number()))
                )
            }
            54 => format!(
                "XGROUP SETID {names} {}{}",
                self.id(),
                self.maybe(4, |random| format!("ENTRIESREAD {}", random.number()))
            ),
            55 => format!("XGROUP {} {names} {consumer}", self.of(&["CREATECONSUMER", "DELCONSUMER"])),
            56 => format!("XGROUP DESTROY {names}"),
            57 => self
                .of(&[
                    "XGROUP HELP",
                    "XINFO HELP",
                    "XGROUP BOGUS",
                    "XINFO",
                    "XBOGUS a b",
                    "XGROUP CREATE",
                    "XINFO STREAM",
                ])
                .to_owned(),
            58..=59 => match self.below(4) {
                0 => format!("XINFO STREAM {key}"),
                1 => format!("XINFO STREAM {key} FULL{}", self.maybe(2, |random| format!("COUNT {}", random.number()))),
                2 => format!("XINFO GROUPS {key}"),
                _ => format!("XINFO CONSUMERS {names}"),
            },
            60 => {
                let added = self.maybe(2, |random| format!("ENTRIESADDED {}", random.number()));
                format!(
                    "XSETID {key} {}{added}{}",
                    self.id(),
                    self.maybe(2, |random| format!("MAXDELETEDID {}", random.id()))
                )
            }
            61 => format!(
                "{} {key}{}",
                self.of(&["DEL", "UNLINK", "EXISTS", "TYPE"]),
                self.maybe(3, |random| random.key().to_owned())
            ),
            62 => format!("{} {key} {}", self.of(&["RENAME", "RENAMENX"]), self.key()),
            _ => format!("COPY {key} {}{}", self.key(), self.maybe(3, |_| "REPLACE".to_owned())),
        }
    }

    /// A command, with something wrong in some.
    fn command(&mut self) -> Command {
        let mut words = command(&self.words());
        if self.one_in(8) {
            let at = self.below(words.len());
            let junk =
                self.of(&["BOGUS", "COUNT", "LIMIT", "FORCE", "s", "0", "-1", "~", "=", "1-1", "IDLE", "STREAMS", "*"]);
            match self.below(4) {
                0 => drop(words.remove(at)),
                1 => words.insert(at, junk.as_bytes().to_vec()),
                2 => words[at] = junk.as_bytes().to_vec(),
                _ => words[at] = words[at].to_ascii_lowercase(),
            }
        }
        words
    }

    /// A sequence of commands that begins, mostly, with a stream and a group.
    fn sequence(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        if !self.one_in(8) {
            commands.push(command("XGROUP CREATE s g 0 MKSTREAM"));
        }
        for _ in 0..self.below(24) {
            let next = self.command();
            if is_asked(&next) {
                commands.extend(consumers(&next));
                commands.push(next);
            }
        }
        commands
    }
}

fn command(words: &str) -> Command {
    words.split(' ').map(|word| word.replace('_', " ").into_bytes()).collect()
}

/// The consumers that a command makes even if it gets nothing, as Redis does since 7.2: made by commands of their own.
fn consumers(asked: &Command) -> Vec<Command> {
    let word = |at: usize| String::from_utf8_lossy(asked.get(at).map_or(b"", Vec::as_slice)).into_owned();
    let made = |key: &str, group: &str, name: &str| command(&format!("XGROUP CREATECONSUMER {key} {group} {name}"));
    match word(0).to_ascii_uppercase().as_str() {
        "XCLAIM" | "XAUTOCLAIM" => vec![made(&word(1), &word(2), &word(3))],
        "XREADGROUP" => ["s", "t", "u"].iter().map(|key| made(key, &word(2), &word(3))).collect(),
        _ => Vec::new(),
    }
}

/// The first command that is answered in two ways: which, what Redis says, what we say.
fn difference(redis: &mut Redis, commands: &[Command]) -> Option<(Command, Answer, Answer)> {
    let all = commands.iter().cloned().chain(LOOKS.iter().map(|look| command(look)));
    let all: Vec<Command> = [command("FLUSHALL")].into_iter().chain(all).collect();
    let wanted = redis.call_all(&all);
    let broker = Broker::in_memory().unwrap();
    for (asked, want) in all.into_iter().zip(wanted).skip(1) {
        let (want, got) = (seen(want), seen(ask(&broker, &asked)));
        if matches!(&got, Answer::Error(text) if ENDS.iter().any(|(end, _)| text.starts_with(end))) {
            break;
        }
        if want != got {
            return Some((asked, want, got));
        }
    }
    None
}

/// Leaves out one command after the other that the difference does not need.
fn shortest(redis: &mut Redis, mut commands: Vec<Command>) -> Vec<Command> {
    let mut at = commands.len();
    while at > 0 {
        at -= 1;
        let mut fewer = commands.clone();
        fewer.remove(at);
        if difference(redis, &fewer).is_some() {
            commands = fewer;
            at = at.min(commands.len());
        }
    }
    commands
}

fn shown(command: &Command) -> String {
    command.iter().map(|word| format!("{} ", word.escape_ascii())).collect()
}

/// A run shows so many differences, one of each kind of command.
const SHOWN_MAX: usize = 12;

#[test]
fn random_commands_are_answered_as_redis_answers_them() {
    let Some(mut redis) = Redis::start_or_skip("random_commands_are_answered_as_redis_answers_them") else { return };
    let number = |variable: &str| std::env::var(variable).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("STREAMLOG_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let sequences = number("STREAMLOG_SEQUENCES").unwrap_or(10_000);
    let mut found = Vec::new();
    let mut text = String::new();
    for index in 0..sequences {
        let commands = Random(seed ^ index.wrapping_mul(0xd134_2543_de82_ef95)).sequence();
        let Some((asked, ..)) = difference(&mut redis, &commands) else { continue };
        let kind = asked[0].to_ascii_uppercase();
        if found.contains(&kind) {
            continue;
        }
        found.push(kind);
        let commands = shortest(&mut redis, commands);
        let (asked, want, got) = difference(&mut redis, &commands).expect("it differs");
        for command in &commands {
            writeln!(text, "  {}", shown(command)).unwrap();
        }
        writeln!(text, "at {}\n  Redis {want:?}\n  we    {got:?}\n", shown(&asked)).unwrap();
        if found.len() == SHOWN_MAX {
            break;
        }
    }
    assert!(found.is_empty(), "STREAMLOG_SEED={seed}:\n{text}");
}
