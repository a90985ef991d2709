//! Bars: what there is most of.

use crate::quantity;

/// Horizontal bars, one below the other, each of one or more parts.
#[derive(Clone, Debug, PartialEq)]
pub struct BarChart {
    /// Short name: lower-case letters and `-`. It becomes a file name and part of XML names.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// What the values are, with their unit: `users`.
    pub axis: String,
    /// Names of the parts; none are shown if there is only one.
    pub parts: Vec<String>,
    /// In the order in which they are drawn.
    pub bars: Vec<Bar>,
    /// A line below: where the figures come from, and what is missing in them.
    pub note: String,
}

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What people call it.
    pub name: String,
    /// A value for each part; below 0, or not finite, is no data.
    pub values: Vec<f64>,
}

impl Bar {
    /// All parts together.
    pub fn total(&self) -> f64 {
        self.values.iter().filter(|value| value.is_finite() && **value > 0.0).sum()
    }
}

impl BarChart {
    /// What the scale must reach.
    pub fn reach(&self) -> f64 {
        self.bars.iter().map(Bar::total).filter(|total| total.is_finite()).fold(0.0, f64::max)
    }

    /// The chart in words, for those who do not see it.
    pub fn describe(&self) -> String {
        let shown = self.bars.iter().take(5);
        let list: Vec<String> =
            shown.map(|bar| format!("{} {}", bar.name, quantity::number(bar.total()))).collect();
        match list.len() {
            0 => format!("{}: no data.", self.title),
            _ => format!("{}, by {}: {}.", self.title, self.axis, list.join(", ")),
        }
    }
}
