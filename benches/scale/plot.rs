//! Plots: the figures of one unit of a curve as lines in an SVG, with both axes logarithmic: what grows in proportion is a line
//! at 45 degrees where a decade is as wide as high, what does not grow is level.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::curve::{Measured, grouped};
use super::figure::Unit;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 80.0;
/// The names of the lines are at their right ends.
const RIGHT: f64 = 240.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;
const NAME_HEIGHT: f64 = 17.0;

/// Told apart by those who do not see red and green too (Okabe and Ito).
const COLORS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// Writes a plot for each unit that the curve has figures of.
pub(crate) fn write_all(measured: &Measured, directory: &Path) -> Vec<PathBuf> {
    let write = |unit: Unit| {
        let lines = lines(measured, unit);
        if lines.is_empty() || measured.points.len() < 2 {
            return None;
        }
        let file = directory.join(format!("{}-{}.svg", measured.curve.name, unit.word()));
        std::fs::write(&file, draw(measured, unit, &lines)).expect("the plot can be written");
        Some(file)
    };
    Unit::ALL.into_iter().filter_map(write).collect()
}

struct Line<'a> {
    name: &'a str,
    values: Vec<f64>,
}

impl Line<'_> {
    fn last(&self) -> f64 {
        *self.values.last().expect("points")
    }
}

/// The greatest last value first.
fn lines(measured: &Measured, unit: Unit) -> Vec<Line<'_>> {
    let figures = measured.points[0].1.iter().enumerate().filter(|(_, figure)| figure.unit == unit);
    let mut lines: Vec<_> = figures
        .map(|(at, figure)| Line {
            name: &figure.name,
            values: measured.points.iter().map(|(_, figures)| figures[at].value).collect(),
        })
        .collect();
    lines.sort_by(|a, b| b.last().total_cmp(&a.last()));
    lines
}

/// A logarithmic axis: where a value lies between two places.
struct Axis {
    logarithms: RangeInclusive<f64>,
    from: f64,
    to: f64,
}

impl Axis {
    fn place(&self, value: f64) -> f64 {
        let (first, last) = (self.logarithms.start(), self.logarithms.end());
        self.from + (value.log10() - first) / (last - first) * (self.to - self.from)
    }
}

/// What stands for nothing, which has no logarithm: a tenth of the smallest.
fn shown(sizes: &[u64]) -> Vec<f64> {
    let smallest = sizes.iter().copied().find(|&size| size > 0).unwrap_or(1) as f64;
    sizes.iter().map(|&size| if size == 0 { smallest / 10.0 } else { size as f64 }).collect()
}

/// The values beside the axis, from one that is not above the lowest to one above the highest.
fn ticks(unit: Unit, lowest: f64, highest: f64) -> Vec<f64> {
    let step = if unit == Unit::Bytes { 2.0_f64 } else { 10.0 };
    let first = step.powf((lowest.ln() / step.ln()).floor());
    let mut ticks = vec![first];
    let mut value = first;
    while value <= highest {
        value *= step;
        ticks.push(value);
    }
    ticks
}

fn draw(measured: &Measured, unit: Unit, lines: &[Line<'_>]) -> String {
    let sizes: Vec<u64> = measured.points.iter().map(|(size, _)| *size).collect();
    let xs = shown(&sizes);
    let values = || lines.iter().flat_map(|line| &line.values).copied().filter(|value| *value > 0.0);
    let (lowest, highest) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let ticks = ticks(unit, lowest, highest);
    let width = xs[0].log10()..=xs[xs.len() - 1].log10();
    let x = Axis { logarithms: width, from: LEFT, to: WIDTH - RIGHT };
    let y = Axis { logarithms: ticks[0].log10()..=ticks[ticks.len() - 1].log10(), from: HEIGHT - BOTTOM, to: TOP };

    let mut svg = String::new();
    let out = &mut svg;
    head(out, measured.curve.title);
    for &value in &ticks {
        rule(out, (LEFT, y.place(value)), (WIDTH - RIGHT, y.place(value)), "#ddd");
        text(out, (LEFT - 8.0, y.place(value) + 4.0), "end", "#333", &unit.show(value));
    }
    for (&place, &size) in xs.iter().zip(&sizes) {
        rule(out, (x.place(place), TOP), (x.place(place), HEIGHT - BOTTOM), "#eee");
        text(out, (x.place(place), HEIGHT - BOTTOM + 18.0), "middle", "#333", &grouped(size));
    }
    text(out, (f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT - 18.0), "middle", "#333", measured.curve.x);

    let mut name_at = f64::NEG_INFINITY;
    for (line, color) in lines.iter().zip(COLORS.iter().cycle()) {
        let drawn = xs.iter().zip(&line.values).filter(|(_, value)| **value > 0.0);
        let places: Vec<_> = drawn.map(|(&size, &value)| (x.place(size), y.place(value))).collect();
        let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        put(out, &format!(r#"<polyline points="{}" fill="none" stroke="{color}" stroke-width="2"/>"#, path.join(" ")));
        for (x, y) in &places {
            put(out, &format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{color}"/>"#));
        }
        // Names that would lie on each other are moved down.
        name_at = (y.place(line.last()) + 4.0).max(name_at + NAME_HEIGHT);
        let name = format!("{}, {}", line.name, unit.show(line.last()));
        text(out, (WIDTH - RIGHT + 10.0, name_at), "start", color, &name);
    }
    svg.push_str("</svg>\n");
    svg
}

fn head(out: &mut String, title: &str) {
    put(
        out,
        &format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">"#
        ),
    );
    put(out, r#"<rect width="100%" height="100%" fill="white"/>"#);
    put(out, &format!(r#"<text x="{LEFT}" y="26" font-size="15" fill="black">{title}</text>"#));
}

fn rule(out: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), color: &str) {
    put(out, &format!(r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{color}"/>"#));
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, color: &str, text: &str) {
    put(out, &format!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{color}">{text}</text>"#));
}

fn put(out: &mut String, line: &str) {
    writeln!(out, "{line}").expect("a text can be written to");
}
