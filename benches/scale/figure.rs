//! A figure: what was measured at one size, and how a process tells it to the one that started it.

use super::common;

/// What a figure counts. Of times and bytes less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unit {
    Seconds,
    Bytes,
    PerSecond,
}

impl Unit {
    pub(crate) const ALL: [Unit; 3] = [Unit::Seconds, Unit::Bytes, Unit::PerSecond];

    /// As part of a file's name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Unit::Seconds => "time",
            Unit::Bytes => "memory",
            Unit::PerSecond => "rate",
        }
    }

    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::Seconds => common::nanos((value * 1e9).round() as u64),
            Unit::Bytes => common::bytes(value),
            Unit::PerSecond => common::rate(value),
        }
    }
}

/// How much a figure may grow with the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Constant,
    Logarithm,
    /// It is shown, and nothing was promised of it.
    None,
}

impl Bound {
    const ALL: [Bound; 3] = [Bound::Constant, Bound::Logarithm, Bound::None];

    fn word(self) -> &'static str {
        match self {
            Bound::Constant => "constant",
            Bound::Logarithm => "logarithm",
            Bound::None => "none",
        }
    }

    /// How many times as much the last may be as the first; `None` where nothing is promised.
    pub(crate) fn growth(self, first: u64, last: u64) -> Option<f64> {
        // Of one thing too the logarithm is something.
        let steps = |size: u64| (size as f64 + 2.0).log2();
        match self {
            Bound::Constant => Some(1.0),
            Bound::Logarithm => Some(steps(last) / steps(first)),
            Bound::None => None,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) bound: Bound,
    pub(crate) value: f64,
}

impl Figure {
    /// As a line of a process's output.
    pub(crate) fn line(&self) -> String {
        format!("figure\t{}\t{}\t{:e}\t{}", self.unit.word(), self.bound.word(), self.value, self.name)
    }

    pub(crate) fn of_line(line: &str) -> Option<Figure> {
        let words: Vec<_> = line.strip_prefix("figure\t")?.split('\t').collect();
        let [unit, bound, value, name] = words[..] else { return None };
        Some(Figure {
            name: name.to_owned(),
            unit: Unit::ALL.into_iter().find(|known| known.word() == unit)?,
            bound: Bound::ALL.into_iter().find(|known| known.word() == bound)?,
            value: value.parse().ok()?,
        })
    }
}
