//! What was counted when it was last recorded: a text with the tools and then a line for each path.

use std::fmt;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/recorded.txt");

/// So much more or less than recorded is named. Two runs of one program differ by less than a hundredth.
const TOLERANCE: f64 = 0.05;

/// So much more fails. What the compiler inlines differs with the directory that the crate is built in: of an entry's scan that was 12 %.
const FAILS: f64 = 0.25;

pub(crate) struct Record {
    pub(crate) tools: String,
    /// Each path with its instructions for each operation.
    pub(crate) paths: Vec<(String, f64)>,
}

impl Record {
    /// What is recorded; `None` if nothing is.
    pub(crate) fn read() -> Option<Record> {
        let text = std::fs::read_to_string(FILE).ok()?;
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let tools = lines.next()?.to_owned();
        let paths = lines.map(|line| {
            let (instructions, name) = line.trim_start().split_once("  ").expect("a figure and a path");
            (name.to_owned(), instructions.parse().expect("a figure"))
        });
        Some(Record { tools, paths: paths.collect() })
    }

    pub(crate) fn write(&self) {
        let mut text = String::from(
            "# Instructions for each operation: see benches/instructions/main.rs. Written by\n\
             #   cargo bench --bench instructions -- --record\n\n",
        );
        text.extend([&self.tools, "\n\n"]);
        text.extend(self.paths.iter().map(|(name, instructions)| format!("{instructions:10.1}  {name}\n")));
        std::fs::write(FILE, text).expect("the record is written");
    }

    pub(crate) fn of(&self, name: &str) -> Option<f64> {
        self.paths.iter().find(|(path, _)| path == name).map(|&(_, instructions)| instructions)
    }

    /// With the lines of `before` whose paths were not counted now, where only some were.
    pub(crate) fn or_else(mut self, before: Option<Record>) -> Record {
        let there = |name: &str| super::PATHS.iter().position(|path| path.name == name);
        for (name, instructions) in before.into_iter().flat_map(|before| before.paths) {
            if self.of(&name).is_none() && there(&name).is_some() {
                self.paths.push((name, instructions));
            }
        }
        self.paths.sort_by_key(|(name, _)| there(name));
        self
    }
}

/// A count beside what was recorded.
pub(crate) struct Verdict {
    recorded: Option<f64>,
    change: f64,
}

impl Verdict {
    pub(crate) fn of(counted: f64, recorded: Option<f64>) -> Verdict {
        Verdict { recorded, change: recorded.map_or(0.0, |recorded| counted / recorded - 1.0) }
    }

    pub(crate) fn fails(&self) -> bool {
        self.recorded.is_none() || self.change > FAILS
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(recorded) = self.recorded else { return write!(f, "{:>12}", "none") };
        let word = match self.change {
            change if change > TOLERANCE => "  MORE",
            change if change < -TOLERANCE => "  less",
            _ => "",
        };
        write!(f, "{recorded:12.1} {:+7.1}%{word}", self.change * 100.0)
    }
}
