//! Bars: what there is most of.

use crate::quantity;

/// More parts than this are put together: nobody could tell them apart.
pub const MOST_PARTS: usize = 6;

/// Horizontal bars, one below the other, each of one or more parts.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// How the parts of a bar stand.
    pub layout: Layout,
    /// Values are given with all their digits: `12,345`, not `12.3k`.
    pub full: bool,
    /// A line below: where the figures come from, and what is missing in them.
    pub note: String,
}

/// How the parts of a bar stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// One after the other: the bar is as long as all together.
    #[default]
    Stacked,
    /// One below the other.
    Grouped,
    /// One after the other, each as its share of the bar: all bars are equally long.
    Share,
}

/// One bar.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bar {
    /// What people call it.
    pub name: String,
    /// A value for each part; below 0, or not finite, is no data.
    pub values: Vec<f64>,
    /// The lowest and the highest that the total may be. Drawn in [`Layout::Stacked`], and wherever there is one part.
    pub range: Option<(f64, f64)>,
}

impl Bar {
    /// All parts together.
    pub fn total(&self) -> f64 {
        self.known().map(|(_, value)| value).sum::<f64>().min(f64::MAX)
    }

    /// The parts that have a value.
    pub(crate) fn known(&self) -> impl Iterator<Item = (usize, f64)> {
        self.values.iter().copied().enumerate().filter(|(_, value)| value.is_finite() && *value >= 0.0)
    }

    /// The same with no more parts than can be told apart: the last has all others.
    pub(crate) fn gathered(&self) -> Bar {
        let mut bar = self.clone();
        if let Some(others) = self.values.get(MOST_PARTS - 1..).filter(|others| others.len() > 1) {
            let others = Bar { values: others.to_vec(), ..Bar::default() };
            bar.values.truncate(MOST_PARTS - 1);
            bar.values.push(if others.known().next().is_some() { others.total() } else { f64::NAN });
        }
        bar
    }

    /// The range, if it is one.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        let (low, high) =
            self.range.filter(|(low, high)| low.is_finite() && high.is_finite() && low <= high)?;
        (high >= 0.0).then_some((low.max(0.0), high))
    }
}

impl BarChart {
    /// Whether ranges can be drawn.
    pub(crate) fn has_ranges(&self) -> bool {
        match self.layout {
            Layout::Stacked => true,
            Layout::Grouped => self.bars.iter().all(|bar| bar.values.len() <= 1),
            Layout::Share => false,
        }
    }

    /// What the scale must reach.
    pub fn reach(&self) -> f64 {
        let longest = |bar: &Bar| match self.layout {
            Layout::Stacked => bar.total(),
            Layout::Grouped => bar.known().map(|(_, value)| value).fold(0.0, f64::max),
            Layout::Share => 100.0,
        };
        let ranges = self.bars.iter().filter(|_| self.has_ranges()).filter_map(|bar| Some(bar.range()?.1));
        self.bars.iter().map(longest).chain(ranges).fold(0.0, f64::max)
    }

    /// A value as it stands at a bar.
    pub fn format(&self, value: f64) -> String {
        if self.full { quantity::full(value) } else { quantity::number(value) }
    }

    /// Names of the parts that are drawn.
    pub(crate) fn part_names(&self) -> Vec<String> {
        let mut names = self.parts.clone();
        if names.len() > MOST_PARTS {
            names.truncate(MOST_PARTS - 1);
            names.push("others".to_owned());
        }
        names
    }

    /// The chart in words, for those who do not see it.
    pub fn describe(&self) -> String {
        let list: Vec<String> = self.bars.iter().take(5).map(|bar| self.describe_bar(bar)).collect();
        match list.len() {
            0 => format!("{}: no data.", self.title),
            _ => format!("{}, by {}: {}.", self.title, self.axis, list.join(", ")),
        }
    }

    fn describe_bar(&self, bar: &Bar) -> String {
        if bar.known().next().is_none() {
            return format!("{} no data", bar.name);
        }
        let total = bar.total();
        let mut text = format!("{} {}", bar.name, self.format(total));
        if let Some((low, high)) = bar.range().filter(|_| self.has_ranges()) {
            text += &format!(" ({} to {})", self.format(low), self.format(high));
        }
        if self.layout != Layout::Stacked && self.parts.len() > 1 {
            let share = |value: f64| match self.layout {
                Layout::Share if total > 0.0 => format!("{} %", (value / total * 100.0).round()),
                _ => self.format(value),
            };
            let parts: Vec<String> = bar
                .known()
                .filter_map(|(part, value)| Some(format!("{} {}", self.parts.get(part)?, share(value))))
                .collect();
            text += &format!(" ({})", parts.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(layout: Layout) -> BarChart {
        let bar =
            |name: &str, values: &[f64]| Bar { name: name.to_owned(), values: values.to_vec(), range: None };
        BarChart {
            title: "Use".to_owned(),
            axis: "users".to_owned(),
            parts: vec!["a".to_owned(), "b".to_owned()],
            bars: vec![bar("x", &[30.0, 10.0]), bar("y", &[f64::NAN])],
            layout,
            ..BarChart::default()
        }
    }

    #[test]
    fn the_facts_are_told() {
        for (layout, text, reach) in [
            (Layout::Stacked, "Use, by users: x 40 (35 to 50), y no data.", 50.0),
            (Layout::Grouped, "Use, by users: x 40 (a 30, b 10), y no data.", 30.0),
            (Layout::Share, "Use, by users: x 40 (a 75 %, b 25 %), y no data.", 100.0),
        ] {
            let mut chart = chart(layout);
            chart.bars[0].range = Some((35.0, 50.0));
            assert_eq!((chart.describe().as_str(), chart.reach()), (text, reach));
        }
    }

    #[test]
    fn many_parts_are_put_together() {
        let bar = Bar { values: vec![1.0, 1.0, 1.0, 1.0, 1.0, 2.0, f64::NAN, 3.0], ..Bar::default() };
        assert_eq!(bar.gathered().values, [1.0, 1.0, 1.0, 1.0, 1.0, 5.0]);
        assert_eq!(Bar { values: vec![1.0; 6], ..Bar::default() }.gathered().values, [1.0; 6]);
    }
}
