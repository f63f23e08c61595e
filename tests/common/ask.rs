//! Random sequences of commands, as words: right, nearly right and wrong. Knows what is in which version, and asks for no more; knows
//! no server.

use super::known::OURS;
use super::redis::Version;

pub(crate) type Command = Vec<Vec<u8>>;

/// A millisecond to come, for streams whose IDs go on from one that is given: `*` makes the same ones everywhere.
const TO_COME_MS: usize = 99_000_000_000_000;

/// Whether a command is one that both know, and that comes to an end; `copied` is whether a stream was copied before.
fn is_asked(command: &Command, version: Version, copied: bool) -> bool {
    let is = |at: usize, word: &str| command.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    let has = |word: &str| (1..command.len()).any(|at| is(at, word));
    let reads = is(0, "xread") || is(0, "xreadgroup");
    // `+` is a place to read from since 7.4.
    let newer = version < (7, 4) && reads && has("+");
    let waits = reads && (1..command.len()).any(|at| is(at, "block") && !is(at + 1, "-1") && !is(at + 1, "x"));
    // A copy of ours has nothing that is deleted; in one of Redis's a deleted entry keeps its node, which is looked at by its last ID.
    let by_deleted = copied && has("minid") && has("~");
    // To nothing Redis answers nothing.
    !newer && !waits && !by_deleted && !command.is_empty()
}

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Random {
    state: u64,
    version: Version,
    /// The entries that the sequence has added so far, were there one stream: their IDs are most IDs that are asked for.
    added: usize,
    /// The millisecond before that of the first entry.
    begin_ms: usize,
}

impl Random {
    pub(crate) fn new(seed: u64, version: Version) -> Random {
        Random { state: seed, version, added: 0, begin_ms: 0 }
    }

    /// Whether all is asked for that we have and 8.6 has.
    fn asks_all(&self) -> bool {
        self.version >= OURS
    }

    fn is_to_come(&self) -> bool {
        self.begin_ms > 0
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
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
        match self.below(40) {
            // An underscore is to be a blank.
            0 => self.of(&["5", "0", "0-0", "9", "2-", "07-01", "_7-1", "+3-1"]).to_owned(),
            // A producer whose add fails is counted by Redis until it looks for what is expired: where adds of producers are, none is to fail
            // for want of an ID.
            1 if self.is_to_come() => self.of(&["bad", "-", "+", "$", "3-x", "-1-1"]).to_owned(),
            1 => {
                self.of(&["bad", "-", "+", "$", "3-x", "-1-1", "18446744073709551615-18446744073709551615"]).to_owned()
            }
            _ => {
                let ms = self.begin_ms + 1 + self.below(self.added + 1);
                let seqs = if self.is_to_come() { self.below(6) } else { self.below(8) / 6 };
                format!("{ms}-{seqs}")
            }
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
        if self.one_in(6) {
            return self.of(&["-1", "-2", "x", "1.5", "07", "9223372036854775808"]);
        }
        self.of(&["0", "1", "1", "2", "2", "3", "4", "10"])
    }

    fn idle(&mut self) -> &'static str {
        if self.one_in(10) {
            return self.of(&["-1", "x"]);
        }
        self.of(&["0", "0", "0", "100000"])
    }

    fn key(&mut self) -> &'static str {
        self.of(&["s", "s", "s", "s", "s", "s", "s", "s", "t", "t", "u"])
    }

    fn group(&mut self) -> &'static str {
        self.of(&["g", "g", "g", "g", "g", "g", "h", "none"])
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
        limit + &self.maybe(6, |random| format!("LIMIT {}", random.number())) + &self.references(3)
    }

    /// What becomes of references, in one of so many.
    fn references(&mut self, one_in: usize) -> String {
        if !self.asks_all() {
            return String::new();
        }
        let twice = self.maybe(16, |random| random.of(&["KEEPREF", "ACKED"]).to_owned());
        self.maybe(one_in, |random| random.of(&["KEEPREF", "DELREF", "ACKED", "ACKED"]).to_owned() + &twice)
    }

    /// `IDS`, and how many there are, or another number.
    fn counted_ids(&mut self) -> String {
        let ids = self.ids();
        let number = match self.below(24) {
            0 => self.number().to_owned(),
            1 => (ids.split(' ').count() + 1).to_string(),
            _ => ids.split(' ').count().to_string(),
        };
        format!("IDS {number} {ids}")
    }

    /// One of few producers, and of few of its IDs.
    fn once(&mut self) -> String {
        let (producer, id) = (self.of(&["p", "p", "q"]), self.of(&["i", "j", "k", "l"]));
        if self.one_in(2) { format!(" IDMP {producer} {id}") } else { format!(" IDMPAUTO {producer}") }
    }

    fn words(&mut self) -> String {
        match self.below(64) {
            0..=25 => self.about_entries(),
            26..=37 => self.reading(),
            38..=56 => self.in_a_group(),
            _ => self.about_streams(),
        }
    }

    fn about_entries(&mut self) -> String {
        let key = self.key();
        match self.below(26) {
            0..=1 if self.asks_all() => format!("XDELEX {key}{} {}", self.references(2), self.counted_ids()),
            2..=4 if self.is_to_come() => {
                let make = self.maybe(16, |_| "NOMKSTREAM".to_owned());
                let trim = self.maybe(8, Random::trim);
                let twice = if self.one_in(24) { self.once() } else { String::new() };
                let id = if self.one_in(16) { self.id() } else { "*".to_owned() };
                format!("XADD {key}{make}{}{twice}{trim} {id} f {}", self.once(), self.below(3))
            }
            0..=13 => {
                let make = self.maybe(8, |_| "NOMKSTREAM".to_owned());
                let trim = self.maybe(6, Random::trim);
                self.added += 1;
                let (ms, seq) = (self.begin_ms + self.added, self.below(8) / 6);
                let id = match self.below(48) {
                    0 => "*".to_owned(),
                    7..=20 if self.is_to_come() => "*".to_owned(),
                    1..=3 => format!("{ms}-*"),
                    4..=6 => self.id(),
                    _ => format!("{ms}-{seq}"),
                };
                format!("XADD {key}{make}{trim} {id} f {}{}", self.below(100), self.maybe(4, |_| "n 1".to_owned()))
            }
            14..=16 => format!("XTRIM {key} {}", self.trim()),
            17..=19 => format!("XDEL {key} {}", self.ids()),
            20..=21 => format!("XLEN {key}"),
            _ => {
                let range = self.of(&["XRANGE", "XREVRANGE"]);
                let (first, last) = (self.bound(), self.bound());
                format!("{range} {key} {first} {last}{}", self.maybe(3, |random| format!("COUNT {}", random.number())))
            }
        }
    }

    fn reading(&mut self) -> String {
        let (key, consumer) = (self.key(), self.consumer());
        match self.below(12) {
            0..=1 => {
                let count = self.maybe(3, |random| format!("COUNT {} ", random.number()));
                let block = self.maybe(16, |random| format!("BLOCK {}", random.of(&["-1", "x"])));
                match self.below(3) {
                    0 => format!("XREAD{count}{block} STREAMS {key} t {} {}", self.id(), self.id()),
                    _ => format!("XREAD{count}{block} STREAMS {key} {}", self.from()),
                }
                .replace("  ", " ")
            }
            _ => {
                let group = self.group();
                let count = self.maybe(2, |random| format!("COUNT {}", random.number()));
                let no_ack = self.maybe(6, |_| "NOACK".to_owned());
                let claim =
                    if self.asks_all() && self.one_in(3) { format!(" CLAIM {}", self.idle()) } else { String::new() };
                let head = format!("XREADGROUP GROUP {group} {consumer}{count}{claim}{no_ack} STREAMS");
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
        }
    }

    fn from(&mut self) -> String {
        match self.below(6) {
            0 => self.id(),
            1 => self.of(&["0", "1-1", "3", "$", ">", "4-2"]).to_owned(),
            2 => "+".to_owned(),
            _ => "0".to_owned(),
        }
    }

    fn in_a_group(&mut self) -> String {
        let (names, consumer) = (format!("{} {}", self.key(), self.group()), self.consumer());
        match self.below(19) {
            0 if self.asks_all() => format!("XACKDEL {names}{} {}", self.references(2), self.counted_ids()),
            0..=2 => format!("XACK {names} {}", self.ids()),
            3..=5 => {
                let idle = self.maybe(4, |random| format!("IDLE {}", random.idle()));
                let consumer = self.maybe(3, |random| random.consumer().to_owned());
                match self.below(3) {
                    0 => format!("XPENDING {names}"),
                    _ => {
                        format!("XPENDING {names}{idle} {} {} {}{consumer}", self.bound(), self.bound(), self.number())
                    }
                }
            }
            6..=9 => {
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
            10..=12 => {
                let count = self.maybe(3, |random| format!("COUNT {}", random.number()));
                let just_id = self.maybe(4, |_| "JUSTID".to_owned());
                format!("XAUTOCLAIM {names} {consumer} {} {}{count}{just_id}", self.idle(), self.bound())
            }
            13..=15 => {
                let at = if self.one_in(2) { "0".to_owned() } else { self.of(&["$", "0", "3-1", "bad"]).to_owned() };
                let make = self.maybe(2, |_| "MKSTREAM".to_owned());
                format!(
                    "XGROUP CREATE {names} {at}{make}{}",
                    self.maybe(6, |random| format!("ENTRIESREAD {}", random.number()))
                )
            }
            16 => format!(
                "XGROUP SETID {names} {}{}",
                self.id(),
                self.maybe(4, |random| format!("ENTRIESREAD {}", random.number()))
            ),
            17 => format!("XGROUP {} {names} {consumer}", self.of(&["CREATECONSUMER", "DELCONSUMER"])),
            _ => format!("XGROUP DESTROY {names}"),
        }
    }

    fn about_streams(&mut self) -> String {
        let key = self.key();
        match self.below(7) {
            0 => self
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
            2 if self.asks_all() => {
                let settings = ["IDMP-DURATION", "IDMP-MAXSIZE"].map(|setting| {
                    let value = self.of(&["100", "1000", "2", "1", "0", "-1", "86400", "86401", "10000", "10001", "x"]);
                    self.maybe(2, |_| format!("{setting} {value}"))
                });
                let twice = if self.one_in(12) { &settings[0] } else { "" };
                format!("XCFGSET {key}{}{twice}", settings.concat())
            }
            1..=2 => match self.below(4) {
                0 => format!("XINFO STREAM {key}"),
                1 => format!("XINFO STREAM {key} FULL{}", self.maybe(2, |random| format!("COUNT {}", random.number()))),
                2 => format!("XINFO GROUPS {key}"),
                _ => format!("XINFO CONSUMERS {key} {}", self.group()),
            },
            3 => {
                let added = self.maybe(2, |random| format!("ENTRIESADDED {}", random.number()));
                format!(
                    "XSETID {key} {}{added}{}",
                    self.id(),
                    self.maybe(2, |random| format!("MAXDELETEDID {}", random.id()))
                )
            }
            4 => format!(
                "{} {key}{}",
                self.of(&["DEL", "UNLINK", "EXISTS", "TYPE"]),
                self.maybe(3, |random| random.key().to_owned())
            ),
            5 => format!("{} {key} {}", self.of(&["RENAME", "RENAMENX"]), self.key()),
            _ => format!("COPY {key} {}{}", self.key(), self.maybe(3, |_| "REPLACE".to_owned())),
        }
    }

    /// A command, with something wrong in some.
    fn command(&mut self) -> Command {
        let mut words = command(&self.words());
        if self.one_in(12) {
            let at = self.below(words.len());
            let junk =
                self.of(&["BOGUS", "COUNT", "LIMIT", "FORCE", "s", "0", "-1", "~", "=", "1-1", "IDLE", "STREAMS", "*"]);
            let newer = self.of(&["IDS", "CLAIM", "ACKED", "DELREF", "IDMP", "IDMPAUTO", "+", "$", ">", "MAXLEN"]);
            let junk = if self.asks_all() && self.one_in(3) { newer } else { junk };
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
    pub(crate) fn sequence(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        if self.asks_all() && self.one_in(3) {
            self.begin_ms = TO_COME_MS;
        }
        if !self.one_in(8) {
            let add = |index| command(&format!("XADD s {}-0 f {index}", self.begin_ms + index));
            commands.extend([command("XGROUP CREATE s g 0 MKSTREAM"), add(1), add(2)]);
            self.added = 2;
        }
        let mut copied = false;
        for _ in 0..self.below(40) {
            let next = self.command();
            if is_asked(&next, self.version, copied) {
                copied |= next[0].eq_ignore_ascii_case(b"copy");
                if self.version < (7, 2) {
                    commands.extend(consumers(&next));
                }
                commands.push(next);
            }
        }
        commands
    }

    /// A sequence some of whose commands are in transactions, right, nearly right and wrong.
    pub(crate) fn transactions(&mut self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        for asked in self.sequence() {
            // A consumer is made for the very next command.
            let apart = commands.last().is_none_or(|last| last.get(1).is_none_or(|word| word != b"CREATECONSUMER"));
            if apart && self.one_in(5) {
                let word = self.of(&["MULTI", "MULTI", "MULTI", "EXEC", "EXEC", "EXEC", "DISCARD", "WATCH", "UNWATCH"]);
                let key = self.maybe(2, |random| random.key().to_owned());
                let words = if word == "WATCH" { format!("WATCH {}{key}", self.key()) } else { word.to_owned() };
                // In some a word too many.
                commands.push(command(&(words + &self.maybe(20, |random| random.key().to_owned()))));
            }
            commands.push(asked);
        }
        commands.push(command(self.of(&["EXEC", "DISCARD"])));
        commands
    }

    /// These bytes, cut anywhere or nowhere.
    pub(crate) fn pieces<'a>(&mut self, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let cuts = if self.one_in(2) { 0 } else { self.below(12) };
        let mut ends: Vec<usize> = (0..cuts).map(|_| self.below(bytes.len())).chain([bytes.len()]).collect();
        ends.sort_unstable();
        let mut begin = 0;
        ends.into_iter().map(|end| &bytes[std::mem::replace(&mut begin, end)..end]).collect()
    }
}

/// The words of a command; an underscore is a blank in one.
pub(crate) fn command(words: &str) -> Command {
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
