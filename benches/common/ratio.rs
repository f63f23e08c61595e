//! What two sides' measurements say beside each other: only the ratio within one round, for the disk drifts between rounds.

use serde_json::{Value, json};

use super::table::count;

/// How many times as much, or as long, one did as the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Ratio {
    /// Of measurements of the same rounds: each of `ours` by that of `theirs`.
    pub(crate) fn of(ours: &[f64], theirs: &[f64]) -> Ratio {
        assert_eq!(ours.len(), theirs.len(), "each round measures both");
        let ratios: Vec<_> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        Ratio {
            median: median(&ratios),
            min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            max: ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// As a cell of a table: the median.
    pub(crate) fn show(&self) -> String {
        count(self.median)
    }

    /// As a cell of a table: from the least to the most.
    pub(crate) fn show_spread(&self) -> String {
        format!("{}–{}", count(self.min), count(self.max))
    }

    pub(crate) fn json(self) -> Value {
        json!({ "median": self.median, "min": self.min, "max": self.max })
    }
}

/// The one in the middle; of an even number of values, between the two.
pub(crate) fn median(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "something was measured");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}
