//! A curve: a size that grows, and what is measured at each; its table and its figures as JSON.

use std::fmt;
use std::path::Path;

use serde_json::{Value, json};
use streamlog::{Broker, Builder};

use super::child::Teller;
use super::common::{Scratch, Table, count};
use super::figure::{Bound, Figure, Unit};
use super::life;

/// How far the sizes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sizes {
    Quick,
    Usual,
    Full,
}

pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What the x axis counts.
    pub(crate) x: &'static str,
    pub(crate) sizes: &'static [u64],
    /// And these, with `--full`.
    pub(crate) sizes_full: &'static [u64],
    /// Whether each size is filled on from the one before.
    pub(crate) grows: bool,
    /// Whether opening is timed, and how much it may grow after a kill.
    pub(crate) opens: bool,
    pub(crate) open_killed: Bound,
    pub(crate) options: fn(Builder) -> Builder,
    pub(crate) fill: fn(&Broker, u64),
    pub(crate) measure: fn(&Broker, u64, &mut Teller),
}

impl Curve {
    pub(crate) fn measure(&'static self, sizes: Sizes, directory: &Path) -> Measured {
        let sizes: Vec<u64> = match sizes {
            Sizes::Quick => self.sizes[..self.sizes.len() - 1].to_vec(),
            Sizes::Usual => self.sizes.to_vec(),
            Sizes::Full => [self.sizes, self.sizes_full].concat(),
        };
        let mut scratch = Scratch::new(directory);
        let points = sizes.into_iter().enumerate().map(|(n, size)| {
            if n > 0 && !self.grows {
                scratch = Scratch::new(directory);
            }
            (size, life::live(self, size, &scratch.join("data")))
        });
        Measured { curve: self, points: points.collect() }
    }
}

/// A curve with its figures.
pub(crate) struct Measured {
    pub(crate) curve: &'static Curve,
    /// Each size, with the same figures.
    pub(crate) points: Vec<(u64, Vec<Figure>)>,
}

impl Measured {
    pub(crate) fn json(&self) -> Value {
        let points = self.points.iter().map(|(size, figures)| {
            let figures = figures.iter().map(|figure| (figure.name.clone(), json!(figure.value)));
            json!({ "size": size, "figures": figures.collect::<serde_json::Map<_, _>>() })
        });
        let units = self.points[0].1.iter().map(|figure| (figure.name.clone(), json!(figure.unit.word())));
        json!({
            "title": self.curve.title,
            "x": self.curve.x,
            "units": units.collect::<serde_json::Map<_, _>>(),
            "points": points.collect::<Vec<_>>(),
        })
    }

    /// What one more of the size takes of the memory, between the last two sizes.
    fn bytes_each(&self, at: usize) -> Option<f64> {
        let [.., (few, before), (many, after)] = &self.points[..] else { return None };
        let grown = (after[at].value - before[at].value) / (many - few) as f64;
        (after[at].unit == Unit::Bytes && grown >= 1.0).then_some(grown)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (&self.points[0], &self.points[self.points.len() - 1]);
        let mut table = Table::new([self.curve.x].into_iter().chain(first.1.iter().map(|figure| &*figure.name)));
        let mut before: Option<&Vec<Figure>> = None;
        for (size, figures) in &self.points {
            let cell = |(at, figure): (usize, &Figure)| match before {
                Some(before) => format!("{} ×{}", figure.unit.show(figure.value), growth(figure, &before[at])),
                None => figure.unit.show(figure.value),
            };
            table.row([grouped(*size)].into_iter().chain(figures.iter().enumerate().map(cell)));
            before = Some(figures);
        }
        let over_all = last.1.iter().zip(&first.1).map(|(last, first)| format!("×{}", growth(last, first)));
        table.row(["in all".to_owned()].into_iter().chain(over_all));
        let may = first.1.iter().map(|figure| match figure.bound.growth(first.0, last.0) {
            Some(growth) => format!("×{}", count(growth)),
            None => "-".to_owned(),
        });
        table.row(["it may".to_owned()].into_iter().chain(may));
        write!(f, "{table}")?;
        for (at, figure) in last.1.iter().enumerate() {
            if let Some(bytes) = self.bytes_each(at) {
                writeln!(f, "{}: {} bytes for each more", figure.name, count(bytes))?;
            }
        }
        Ok(())
    }
}

fn growth(now: &Figure, before: &Figure) -> String {
    count(now.value / before.value)
}

/// `10_000` as in code.
pub(crate) fn grouped(size: u64) -> String {
    let digits = size.to_string();
    let places = digits.len();
    let separated = |(n, digit): (usize, char)| {
        let separator = (n > 0 && (places - n).is_multiple_of(3)).then_some('_');
        separator.into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(separated).collect()
}
