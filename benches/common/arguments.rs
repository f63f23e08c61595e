//! The words of the command line, taken one option at a time; what nobody took is a mistake.

use std::fmt::Display;
use std::str::FromStr;

pub(crate) struct Arguments {
    words: Vec<String>,
}

impl Arguments {
    /// Those of this process. Cargo puts `--bench` among them, which says nothing.
    pub(crate) fn of_process() -> Arguments {
        Arguments { words: std::env::args().skip(1).filter(|word| word != "--bench").collect() }
    }

    /// Whether the option is there, as `--quick`.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() < before
    }

    /// The value of the option, as `--rounds 5`, if it is there; the last of several.
    pub(crate) fn value<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        self.values(name).pop()
    }

    /// All values of the option, as `--payload 16,100 --payload 1024`.
    pub(crate) fn values<T: FromStr<Err: Display>>(&mut self, name: &str) -> Vec<T> {
        let mut values = Vec::new();
        while let Some(at) = self.words.iter().position(|word| word == name) {
            self.words.remove(at);
            if at == self.words.len() {
                refuse(&format!("{name} wants a value"));
            }
            let list = self.words.remove(at);
            values.extend(
                list.split(',')
                    .map(|word| word.parse().unwrap_or_else(|error| refuse(&format!("{name} {word}: {error}")))),
            );
        }
        values
    }

    /// Ends the process, with `usage`, if there are words left, or if help was asked for.
    pub(crate) fn finish(mut self, usage: &str) {
        if self.flag("--help") {
            println!("{usage}");
            std::process::exit(0);
        }
        if let Some(word) = self.words.first() {
            refuse(&format!("what is {word}?\n\n{usage}"));
        }
    }
}

/// Ends the process: what was asked for is not to be had.
pub(crate) fn refuse(text: &str) -> ! {
    eprintln!("{text}");
    std::process::exit(2);
}
