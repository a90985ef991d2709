//! Charts of figures over time, as SVG, as text for a terminal, and in words. Of what reports tell, as SVG and in words:
//! [`bars`], lines over [`dates`], a [`curve`], a matrix ([`heat`]).
//!
//! A chart is data ([`TimeChart`]); [`svg`], [`text`] and [`words`] turn it into what people see. What the three have in
//! common: where nothing is known nothing is drawn, and no line leads over it.

#![forbid(unsafe_code)]

pub mod bars;
pub mod curve;
pub mod dates;
pub mod days;
pub mod escape;
pub mod heat;
pub mod quantity;
pub mod runs;
pub mod scale;
pub mod svg;
pub mod text;
pub mod words;

pub use quantity::Quantity;

/// A moment (seconds since the start) and what was so then; `None` is "no data".
pub type Point = (f64, Option<f64>);

/// Lines over time, on one scale that begins at 0.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeChart {
    /// Short name: lower-case letters and `-`. It becomes a file name and part of XML names.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// What the values are.
    pub quantity: Quantity,
    /// Length of the time axis, seconds.
    pub duration: f64,
    /// A longer time between two points is a gap, seconds.
    pub gap: f64,
    /// What is drawn; the first is the most important.
    pub lines: Vec<Line>,
    /// What the values are to be compared with.
    pub limits: Vec<Limit>,
}

/// One line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What people call it.
    pub name: String,
    /// In order of time.
    pub points: Vec<Point>,
    /// The space below it is filled.
    pub filled: bool,
}

/// A level that the values are compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// What people call it.
    pub name: String,
    /// The level.
    pub value: f64,
}

/// A limit further above the data than this is told and not drawn: it would press the data flat.
const LIMIT_IN_SIGHT: f64 = 4.0;

impl TimeChart {
    /// Whether any line has a value.
    pub fn has_data(&self) -> bool {
        self.lines.iter().any(Line::has_data)
    }

    /// The highest value of all lines; 0 without data.
    pub fn highest(&self) -> f64 {
        let values = self.lines.iter().flat_map(|line| &line.points).filter_map(|(_, y)| *y);
        values.filter(|y| y.is_finite()).fold(0.0, f64::max)
    }

    /// Whether a limit is near enough to be drawn.
    pub fn shows(&self, limit: &Limit) -> bool {
        limit.value.is_finite() && limit.value <= self.highest() * LIMIT_IN_SIGHT
    }

    /// What the scale must reach.
    pub fn reach(&self) -> f64 {
        let limits = self.limits.iter().filter(|limit| self.shows(limit)).map(|limit| limit.value);
        limits.fold(self.highest(), f64::max)
    }
}

impl Line {
    /// Whether it has a value.
    pub fn has_data(&self) -> bool {
        self.points.iter().any(|(x, y)| x.is_finite() && y.is_some_and(f64::is_finite))
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    pub(crate) fn line(name: &str, points: &[Point]) -> Line {
        Line { name: name.to_owned(), points: points.to_vec(), filled: false }
    }

    pub(crate) fn chart(quantity: Quantity, duration: f64, lines: Vec<Line>) -> TimeChart {
        let (id, title) = ("test".to_owned(), "Test".to_owned());
        TimeChart { id, title, quantity, duration, gap: 3.0, lines, limits: vec![] }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{chart, line};
    use super::*;

    #[test]
    fn a_far_limit_does_not_press_the_data_flat() {
        let mut chart = chart(Quantity::Cpus, 2.0, vec![line("a", &[(1.0, Some(2.0)), (2.0, None)])]);
        chart.limits =
            vec![Limit { name: "near".to_owned(), value: 8.0 }, Limit { name: "far".to_owned(), value: 8.1 }];
        assert_eq!(chart.reach(), 8.0);
        assert!(chart.has_data());
    }
}
