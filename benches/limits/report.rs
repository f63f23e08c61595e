//! What the rows found: rates, where more is better, and times, where less is; as tables and as JSON.

use std::fmt;

use serde_json::{Value, json};

use crate::common::{Latencies, Ratio, Table, bytes, count, median, rate};
use crate::slice::Slice;

/// What is asked of a ratio.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    None,
}

/// A row of rates.
pub(crate) struct Rates<'a> {
    pub(crate) row: &'a str,
    pub(crate) payload: usize,
    /// What the limit is.
    pub(crate) beside: &'a str,
    pub(crate) ours: &'a [Slice],
    /// The limit's rates, by round.
    pub(crate) limit: &'a [f64],
    pub(crate) target: Target,
    /// How many checkpoints fell into the row, as far as its bytes tell.
    pub(crate) checkpoints: f64,
}

/// A row of times, of both sides by round.
pub(crate) struct Times<'a> {
    pub(crate) row: &'a str,
    pub(crate) payload: usize,
    pub(crate) beside: &'a str,
    pub(crate) ours: Vec<Latencies>,
    pub(crate) limit: Vec<Latencies>,
    /// Of the medians.
    pub(crate) target: Target,
}

pub(crate) struct Report {
    rates: Table,
    times: Table,
    json: Vec<Value>,
}

impl Default for Report {
    fn default() -> Report {
        let rates = [
            "row",
            "payload",
            "ours",
            "burst",
            "limit",
            "ratio",
            "spread",
            "target",
            "burst ratio",
            "checkpoints",
            "limit is",
        ];
        let of = |side: &str| ["p50", "p99", "p99.9", "max"].map(|name| format!("{side} {name}"));
        let mut times = vec!["row".to_owned(), "payload".to_owned()];
        times.extend(of("ours").into_iter().chain(of("limit")));
        times.extend(["p50 ratio", "spread", "p99.9 ratio", "target", "limit is"].map(str::to_owned));
        Report { rates: Table::new(rates), times: Table::new(times), json: Vec::new() }
    }
}

impl Report {
    pub(crate) fn rates(&mut self, measured: &Rates<'_>) {
        let Rates { row, payload, beside, ours, limit, target, checkpoints } = *measured;
        let sustained: Vec<_> = ours.iter().map(|slice| slice.rate).collect();
        let bursts: Vec<_> = ours.iter().map(|slice| slice.burst).collect();
        let (burst, burst_ratio) = (median(&bursts), Ratio::of(&bursts, limit));
        let ratio = Ratio::of(&sustained, limit);
        let (our, their) = (median(&sustained), median(limit));
        eprintln!("{row}, {}: {} of {}, {}", bytes(payload as f64), rate(our), rate(their), ratio.show());
        self.rates.row([
            row.to_owned(),
            bytes(payload as f64),
            rate(our),
            rate(burst),
            rate(their),
            ratio.show(),
            ratio.show_spread(),
            target.show(ratio.median),
            burst_ratio.show(),
            if checkpoints > 0.0 { count(checkpoints) } else { "—".to_owned() },
            beside.to_owned(),
        ]);
        self.json.push(json!({
            "row": row,
            "payload_bytes": payload,
            "limit_is": beside,
            "ours_per_second": our,
            "burst_per_second": burst,
            "limit_per_second": their,
            "ratio": ratio.json(),
            "burst_ratio": burst_ratio.json(),
            "target": target.json(),
            "checkpoints": checkpoints,
        }));
    }

    pub(crate) fn times(&mut self, mut measured: Times<'_>) {
        let ratio = measured.ratio(50.0);
        let late = measured.ratio(99.9);
        let Times { row, payload, beside, ours, limit, target } = measured;
        let mut ours = all(ours);
        let mut limit = all(limit);
        let mut cells = vec![row.to_owned(), bytes(payload as f64)];
        cells.extend(ours.show().into_iter().chain(limit.show()));
        eprintln!("{row}, {}: {} beside {}, {}", cells[1], ours.show()[0], limit.show()[0], ratio.show());
        cells.extend([ratio.show(), ratio.show_spread(), late.show(), target.show(ratio.median), beside.to_owned()]);
        self.times.row(cells);
        self.json.push(json!({
            "row": row,
            "payload_bytes": payload,
            "limit_is": beside,
            "ours": ours.json(),
            "limit": limit.json(),
            "p50_ratio": ratio.json(),
            "p999_ratio": late.json(),
            "target": target.json(),
        }));
    }

    pub(crate) fn json(&self) -> Value {
        json!(self.json)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.rates.is_empty() {
            writeln!(f, "Rates: more is better.\n\n{}", self.rates)?;
        }
        if !self.times.is_empty() {
            writeln!(f, "Times of a call: less is better.\n\n{}", self.times)?;
        }
        Ok(())
    }
}

impl Times<'_> {
    fn ratio(&mut self, percent: f64) -> Ratio {
        let of = |rounds: &mut [Latencies]| {
            rounds.iter_mut().map(|round| round.percentile(percent) as f64).collect::<Vec<_>>()
        };
        Ratio::of(&of(&mut self.ours), &of(&mut self.limit))
    }
}

fn all(rounds: Vec<Latencies>) -> Latencies {
    let mut all = Latencies::default();
    rounds.into_iter().for_each(|round| all.merge(round));
    all
}

impl Target {
    /// As a cell: what is asked, and whether it is so.
    fn show(self, ratio: f64) -> String {
        let mark = |met: bool| if met { "met" } else { "missed" };
        match self {
            Target::AtLeast(least) => format!("≥ {least} {}", mark(ratio >= least)),
            Target::AtMost(most) => format!("≤ {most} {}", mark(ratio <= most)),
            Target::None => "—".to_owned(),
        }
    }

    fn json(self) -> Value {
        match self {
            Target::AtLeast(least) => json!({ "at_least": least }),
            Target::AtMost(most) => json!({ "at_most": most }),
            Target::None => Value::Null,
        }
    }
}
