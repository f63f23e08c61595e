//! A table of text, in Markdown: its lines are aligned, so that it reads well before it is rendered too.

use std::fmt;

pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Table {
        Table { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        assert_eq!(cells.len(), self.header.len(), "a cell for each column");
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.header]).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(3)
        };
        let widths: Vec<_> = (0..self.header.len()).map(width).collect();
        let mut line = |cells: &[String]| {
            for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
                // The first column is a name, the others are figures.
                if column == 0 { write!(f, "| {cell:width$} ")? } else { write!(f, "| {cell:>width$} ")? }
            }
            writeln!(f, "|")
        };
        line(&self.header)?;
        let rules = widths.iter().enumerate();
        line(
            &rules
                .map(|(n, &width)| if n == 0 { "-".repeat(width) } else { "-".repeat(width - 1) + ":" })
                .collect::<Vec<_>>(),
        )?;
        self.rows.iter().try_for_each(|row| line(row))
    }
}

/// Three digits that count.
pub(crate) fn count(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// So many in a second: `12.3 k/s`.
pub(crate) fn rate(per_second: f64) -> String {
    format!("{}/s", scaled(per_second, 1000.0, &["", " k", " M", " G"]))
}

/// So many bytes: `12.3 MiB`.
pub(crate) fn bytes(bytes: f64) -> String {
    scaled(bytes, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"])
}

/// So many nanoseconds: `12.3 µs`.
pub(crate) fn nanos(nanos: u64) -> String {
    scaled(nanos as f64, 1000.0, &[" ns", " µs", " ms", " s"])
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= step * 0.9995 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let figure = if value.fract() == 0.0 { format!("{value:.0}") } else { count(value) };
    format!("{figure}{}", units[unit])
}
