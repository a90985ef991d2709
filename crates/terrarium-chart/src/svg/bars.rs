//! Horizontal bars.

use std::fmt::Write;

use super::frame::WIDTH;
use super::measure::{Keep, Put, SIZE, SMALL, widest, width};
use super::palette::PARTS;
use super::plot::{EDGE, LEGEND_ROW, Legend, Row, note};
use super::{GRID, MUTED, Place, document};
use crate::bars::{Bar, BarChart, Layout};
use crate::{Quantity, scale};

/// Below the title.
const TOP: f64 = 52.0;
const ROW: f64 = 26.0;
const THICK: f64 = 17.0;
/// The same for the bars of a group.
const GROUP_ROW: f64 = 17.0;
const GROUP_THICK: f64 = 14.0;
/// Longer names are cut.
const LONGEST_NAME: f64 = 240.0;
/// The square of a colour, and the space to its name.
const MARK: f64 = 20.0;

/// Where everything stands.
struct Bars<'a> {
    chart: &'a BarChart,
    left: f64,
    right: f64,
    /// The end of the scale.
    reach: f64,
}

impl Bars<'_> {
    fn x(&self, value: f64) -> f64 {
        (self.left + value / self.reach * (self.right - self.left)).clamp(self.left, self.right)
    }
}

/// A bar chart. In a page, all charts need different `id`s.
pub fn bar_chart(chart: &BarChart, place: Place) -> String {
    let gathered: Vec<Bar> = chart.bars.iter().map(Bar::gathered).collect();
    let whole = gathered.iter().flat_map(|bar| &bar.values).all(|value| value.fract() == 0.0);
    let quantity = match chart.layout {
        Layout::Share => Quantity::Percent(""),
        _ if whole => Quantity::Count(""),
        _ => Quantity::Cpus,
    };
    let ticks = scale::values(quantity, if chart.layout == Layout::Share { 100.0 } else { chart.reach() });
    let names = widest(gathered.iter().map(|bar| bar.name.as_str()), SIZE).min(LONGEST_NAME);
    let left = (EDGE + names + 10.0).max(120.0);
    let parts = chart.part_names();
    let legend = Legend::of(parts.iter().map(String::as_str).filter(|_| parts.len() > 1), left, MARK);
    let top = TOP + (legend.rows as f64 * LEGEND_ROW).max(2.0);
    let count = gathered.iter().map(|bar| bar.values.len()).max().unwrap_or(1).max(1) as f64;
    let ends: Vec<String> = gathered.iter().flat_map(|bar| told(chart, bar)).collect();
    let right = WIDTH - EDGE - 7.0 - widest(ends.iter().map(String::as_str), SIZE).clamp(46.0, 240.0);
    let row = if chart.layout == Layout::Grouped { count * GROUP_ROW + 10.0 } else { ROW };
    let bars = Bars { chart, left, right, reach: ticks.last().map_or(1.0, |tick| tick.value) };
    let bottom = top + gathered.len().max(1) as f64 * row + 6.0;

    let mut out = String::new();
    let mut labels = Row::new();
    for tick in &ticks {
        let at = bars.x(tick.value);
        let _ = writeln!(out, "<path class=\"c-grid\" d=\"M{at:.1} {top}V{bottom}\" stroke=\"{GRID}\"/>");
        if labels.takes(at, &tick.label) {
            Put::at(at, bottom + 20.0).middle().write(&mut out, &tick.label);
        }
    }
    if gathered.is_empty() {
        Put::at((left + right) / 2.0, top + 18.0).middle().muted().write(&mut out, "no data");
    }
    for (i, bar) in gathered.iter().enumerate() {
        let y = top + i as f64 * row + 6.0;
        let middle = y + if chart.layout == Layout::Grouped { row - 12.0 } else { THICK } / 2.0;
        let at = Put::at(left - 10.0, middle + 4.8).end();
        at.room(LONGEST_NAME.min(left - EDGE - 10.0), Keep::Ends).write(&mut out, &bar.name);
        match chart.layout {
            Layout::Grouped => bars.group(&mut out, bar, y),
            Layout::Stacked => bars.stack(&mut out, bar, y),
            Layout::Share => bars.share(&mut out, bar, y),
        }
    }
    let _ = writeln!(
        out,
        "<path class=\"c-axis\" d=\"M{left:.1} {top}V{bottom}\" stroke=\"{MUTED}\" stroke-width=\"1.2\"/>"
    );
    let axis = match chart.layout {
        Layout::Share if chart.axis.is_empty() => "percent".to_owned(),
        Layout::Share => format!("percent of {0} (at the end: how many {0})", chart.axis),
        _ => chart.axis.clone(),
    };
    let at = Put::at((left + right) / 2.0, bottom + 42.0).middle().muted();
    at.room(right - left, Keep::Start).write(&mut out, &axis);
    for ((name, (x, row, room)), fill) in parts.iter().zip(&legend.places).zip(&PARTS) {
        let y = TOP + 10.0 + *row as f64 * LEGEND_ROW;
        let _ = writeln!(
            out,
            "<rect class=\"{}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"14\" height=\"14\" fill=\"{}\"/>",
            fill.class,
            y - 12.0,
            fill.colour
        );
        Put::at(x + MARK, y).room(*room, Keep::Ends).write(&mut out, name);
    }
    let height = note(&mut out, bottom + 66.0, &chart.note);
    document(&chart.id, &chart.title, &chart.describe(), place, height, &out)
}

/// What stands at the end of a bar, or of each of a group.
fn told(chart: &BarChart, bar: &Bar) -> Vec<String> {
    if chart.layout == Layout::Grouped && !chart.has_ranges() {
        return bar.values.iter().map(|value| one(chart, *value)).collect();
    }
    if bar.known().next().is_none() {
        return vec!["no data".to_owned()];
    }
    let total = chart.format(bar.total());
    match bar.range().filter(|_| chart.has_ranges()) {
        Some((low, high)) => vec![format!("{total} ({}–{})", chart.format(low), chart.format(high))],
        None => vec![total],
    }
}

fn one(chart: &BarChart, value: f64) -> String {
    if value.is_finite() && value >= 0.0 { chart.format(value) } else { "no data".to_owned() }
}

impl Bars<'_> {
    /// One coloured piece. A little space to the next lets both be seen where colours are alike.
    fn piece(&self, out: &mut String, part: usize, (from, to): (f64, f64), y: f64, thick: f64) {
        let fill = &PARTS[part % PARTS.len()];
        let gap = if to - from > 4.0 { 1.0 } else { 0.0 };
        let _ = writeln!(
            out,
            "<rect class=\"{}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{thick}\" fill=\"{}\"/>",
            fill.class,
            (to - from - gap).max(1.0),
            fill.colour
        );
    }

    fn end(&self, out: &mut String, x: f64, base: f64, text: &str) {
        let at = Put::at(x + 7.0, base);
        let at = if text == "no data" { at.muted() } else { at };
        at.room(WIDTH - EDGE / 2.0 - x - 7.0, Keep::Start).write(out, text);
    }

    fn stack(&self, out: &mut String, bar: &Bar, y: f64) {
        let mut sum = 0.0;
        for (part, value) in bar.known().filter(|(_, value)| *value > 0.0) {
            self.piece(out, part, (self.x(sum), self.x(sum + value)), y, THICK);
            sum += value;
        }
        let end = self.range(out, bar, y + THICK / 2.0).unwrap_or(0.0).max(self.x(sum));
        for text in told(self.chart, bar) {
            self.end(out, end, y + THICK - 4.0, &text);
        }
    }

    fn group(&self, out: &mut String, bar: &Bar, y: f64) {
        let ranges = self.chart.has_ranges();
        for ((part, value), text) in bar.values.iter().enumerate().zip(told(self.chart, bar)) {
            let y = y + part as f64 * GROUP_ROW;
            let mut end = self.left;
            if value.is_finite() && *value >= 0.0 {
                end = self.x(*value);
                if *value > 0.0 {
                    self.piece(out, part, (self.left, end), y, GROUP_THICK);
                }
            }
            if ranges {
                end = self.range(out, bar, y + GROUP_THICK / 2.0).unwrap_or(0.0).max(end);
            }
            self.end(out, end, y + GROUP_THICK - 2.0, &text);
        }
    }

    fn share(&self, out: &mut String, bar: &Bar, y: f64) {
        let total = bar.total();
        let mut sum = 0.0;
        // The shares of numbers whose sum is no number are of no use, but they must not be NaN.
        for (part, value) in bar.known().filter(|(_, value)| *value > 0.0) {
            let share = value / total * 100.0;
            let (from, to) = (self.x(sum), self.x(sum + share));
            sum += share;
            self.piece(out, part, (from, to), y, THICK);
            let text = format!("{} %", share.round());
            if width(&text, SMALL) + 8.0 <= to - from {
                let (class, fill) = PARTS[part % PARTS.len()].on;
                let at = Put::at((from + to) / 2.0, y + THICK - 4.5).middle().size(SMALL);
                at.class(class, fill).write(out, &text);
            }
        }
        let end = if sum > 0.0 { self.right } else { self.left };
        for text in told(self.chart, bar) {
            self.end(out, end, y + THICK - 4.0, &text);
        }
    }

    /// From the lowest to the highest that the total may be; returns where it ends.
    fn range(&self, out: &mut String, bar: &Bar, y: f64) -> Option<f64> {
        let (low, high) = bar.range()?;
        let (low, high) = (self.x(low), self.x(high));
        let d = format!("M{low:.1} {y:.1}H{high:.1}M{low:.1} {:.1}v8M{high:.1} {:.1}v8", y - 4.0, y - 4.0);
        // On a bar of any colour, and beside it: dark with a light seam.
        for (class, colour, width) in [("c-seam", "#ffffff", 4.0), ("c-range", "#1b1f24", 1.6)] {
            let _ = writeln!(
                out,
                "<path class=\"{class}\" d=\"{d}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
            );
        }
        Some(high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars::Bar;
    use proptest::prelude::*;

    fn chart(bars: &[(&str, &[f64])]) -> BarChart {
        BarChart {
            id: "top".to_owned(),
            title: "Most used".to_owned(),
            axis: "users".to_owned(),
            parts: vec!["direct".to_owned(), "came along".to_owned()],
            bars: bars
                .iter()
                .map(|(n, v)| Bar { name: (*n).to_owned(), values: v.to_vec(), range: None })
                .collect(),
            note: "12 users".to_owned(),
            ..BarChart::default()
        }
    }

    #[test]
    fn a_bar_is_as_long_as_its_value() {
        let svg = bar_chart(&chart(&[("numpy", &[6.0, 4.0]), ("yaml", &[5.0, 0.0])]), Place::File);
        let tree = roxmltree::Document::parse(&svg).unwrap();
        let width = |n: roxmltree::Node<'_, '_>| n.attribute("width").unwrap().parse::<f64>().unwrap();
        let bars: Vec<f64> = tree
            .descendants()
            .filter(|n| n.tag_name().name() == "rect" && n.attribute("height") == Some("17"))
            .map(width)
            .collect();
        assert_eq!(bars.len(), 3);
        assert!((bars[0] / bars[2] - 6.0 / 5.0).abs() < 0.01, "{bars:?}");
        assert!(svg.contains(">10<") && svg.contains("Most used, by users: numpy 10, yaml 5."));
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        assert!(bar_chart(&chart(&[]), Place::File).contains("no data"));
    }

    proptest! {
        #[test]
        fn any_chart_is_well_formed(
            name in any::<String>(),
            values in proptest::collection::vec(any::<f64>(), 0..9),
            place in proptest::bool::ANY,
        ) {
            let mut chart = chart(&[(&name, &values), ("b", &[1.0])]);
            (chart.title, chart.note) = (name.clone(), name);
            let svg = bar_chart(&chart, if place { Place::File } else { Place::Page });
            let tree = roxmltree::Document::parse(&svg).unwrap();
            for attribute in tree.descendants().flat_map(|n| n.attributes().collect::<Vec<_>>()) {
                prop_assert!(!attribute.value().contains("NaN") && !attribute.value().contains("inf"), "{svg}");
            }
        }
    }
}
