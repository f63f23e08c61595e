//! Random sequences of commands, asked of two: the first command of each that is answered in two ways, and the shortest sequence that
//! shows it. Knows no server.
//!
//! `STREAMLOG_SEED` repeats a run, `STREAMLOG_SEQUENCES` says how long it is.

use std::fmt::Write;

use super::answer::Answer;
use super::ask::{Command, Random};
use super::redis::Version;

/// What is looked at after each sequence.
pub(crate) const LOOKS: &[&str] = &[
    "XINFO STREAM s FULL COUNT 0",
    "XINFO STREAM t",
    "XINFO GROUPS s",
    "XINFO CONSUMERS s g",
    "XPENDING s g - + 100",
    "XPENDING t g",
    "XRANGE t - +",
    "EXISTS s t u",
];

/// A command that is answered in two ways: which, what Redis says, what we say.
pub(crate) struct Difference {
    pub(crate) asked: Command,
    pub(crate) want: Answer,
    pub(crate) got: Answer,
}

/// Leaves out one command after the other that the difference does not need.
fn shortest(mut commands: Vec<Command>, difference: &mut impl FnMut(&[Command]) -> Option<Difference>) -> Vec<Command> {
    let mut at = commands.len();
    while at > 0 {
        at -= 1;
        let mut fewer = commands.clone();
        fewer.remove(at);
        if difference(&fewer).is_some() {
            commands = fewer;
            at = at.min(commands.len());
        }
    }
    commands
}

fn shown(command: &Command) -> String {
    let words: Vec<String> = command.iter().map(|word| word.escape_ascii().to_string()).collect();
    words.join(" ")
}

/// A run shows so many differences, one of each kind of command.
const SHOWN_MAX: usize = 12;

/// Compares so many sequences, if not said otherwise: what `sequence` makes for a Redis of this version, with what `difference` finds.
///
/// # Panics
///
/// If it finds anything.
pub(crate) fn are_answered_alike(
    version: Version,
    sequences: u64,
    mut sequence: impl FnMut(&mut Random) -> Vec<Command>,
    mut difference: impl FnMut(&[Command]) -> Option<Difference>,
) {
    let number = |variable: &str| std::env::var(variable).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("STREAMLOG_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let sequences = number("STREAMLOG_SEQUENCES").unwrap_or(sequences);
    let mut found = Vec::new();
    let mut text = String::new();
    for index in 0..sequences {
        let commands = sequence(&mut Random::new(seed ^ index.wrapping_mul(0xd134_2543_de82_ef95), version));
        let Some(seen_first) = difference(&commands) else { continue };
        let kind = seen_first.asked[0].to_ascii_uppercase();
        if found.contains(&kind) {
            continue;
        }
        found.push(kind);
        let commands = shortest(commands, &mut difference);
        // What depends on the time may not be seen again.
        let Difference { asked, want, got } = difference(&commands).unwrap_or(seen_first);
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
