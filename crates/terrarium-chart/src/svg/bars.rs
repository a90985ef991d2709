//! Horizontal bars.

use std::fmt::Write;

use super::frame::{Text, WIDTH, text};
use super::{GRID, MUTED, Place, document, pen};
use crate::bars::BarChart;
use crate::{Quantity, quantity, scale};

/// Names stand to the left of the bars, values to the right.
const LEFT: f64 = 250.0;
const RIGHT: f64 = WIDTH - 90.0;
/// Below the title.
const TOP: f64 = 74.0;
const ROW: f64 = 26.0;
const THICK: f64 = 17.0;
/// Axis, its name, the note.
const BELOW: f64 = 74.0;

/// Characters of a name that fit to the left.
const LONGEST: usize = 31;

/// Patterns in the order of the parts: told apart in black and white too.
const OPACITIES: [f64; 4] = [1.0, 0.62, 0.82, 0.45];

/// A bar chart. In a page, all charts need different `id`s.
pub fn bar_chart(chart: &BarChart, place: Place) -> String {
    let rows = chart.bars.len().max(1) as f64;
    let bottom = TOP + rows * ROW + 6.0;
    let whole = chart.bars.iter().flat_map(|bar| &bar.values).all(|value| value.fract() == 0.0);
    let quantity = if whole { Quantity::Count("") } else { Quantity::Cpus };
    let ticks = scale::values(quantity, chart.reach());
    let top = ticks.last().map_or(1.0, |tick| tick.value);
    let x = |value: f64| (LEFT + value / top * (RIGHT - LEFT)).clamp(LEFT, RIGHT);
    let mut out = String::new();
    for tick in &ticks {
        let at = x(tick.value);
        let _ = writeln!(out, "<path class=\"c-grid\" d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"{GRID}\"/>");
        text(&mut out, Text { x: at, y: bottom + 20.0, anchor: "middle", muted: false }, &tick.label);
    }
    if chart.bars.is_empty() {
        let at = Text { x: (LEFT + RIGHT) / 2.0, y: TOP + 18.0, anchor: "middle", muted: true };
        text(&mut out, at, "no data");
    }
    for (i, bar) in chart.bars.iter().enumerate() {
        let y = TOP + i as f64 * ROW + 6.0;
        let base = y + THICK - 4.0;
        text(&mut out, Text { x: LEFT - 10.0, y: base, anchor: "end", muted: false }, &short(&bar.name));
        let mut sum = 0.0;
        for (part, value) in bar.values.iter().enumerate().filter(|(_, v)| v.is_finite() && **v > 0.0) {
            let (from, to) = (x(sum), x(sum + value));
            sum += value;
            let (index, opacity) = (part % OPACITIES.len(), OPACITIES[part % OPACITIES.len()]);
            let _ = writeln!(
                out,
                "<rect class=\"c-fill{index}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{THICK}\" \
                 fill=\"{}\" fill-opacity=\"{opacity}\"/>",
                (to - from).max(1.0),
                pen(part).colour
            );
        }
        let at = Text { x: x(sum) + 7.0, y: base, anchor: "start", muted: false };
        text(&mut out, at, &quantity::number(bar.total()));
    }
    let _ = writeln!(
        out,
        "<path class=\"c-axis\" d=\"M{LEFT} {TOP}V{bottom}\" stroke=\"{MUTED}\" stroke-width=\"1.2\"/>"
    );
    let at = Text { x: (LEFT + RIGHT) / 2.0, y: bottom + 42.0, anchor: "middle", muted: true };
    text(&mut out, at, &chart.axis);
    text(&mut out, Text { x: 16.0, y: bottom + 62.0, anchor: "start", muted: true }, &chart.note);
    if chart.parts.len() > 1 {
        legend(&mut out, &chart.parts);
    }
    document(&chart.id, &chart.title, &chart.describe(), place, bottom + BELOW, &out)
}

fn legend(out: &mut String, parts: &[String]) {
    let mut at = LEFT;
    for (i, part) in parts.iter().enumerate() {
        let _ = writeln!(
            out,
            "<rect class=\"c-fill{}\" x=\"{at:.1}\" y=\"48\" width=\"14\" height=\"14\" fill=\"{}\" fill-opacity=\"{}\"/>",
            i % OPACITIES.len(),
            pen(i).colour,
            OPACITIES[i % OPACITIES.len()]
        );
        text(out, Text { x: at + 20.0, y: 60.0, anchor: "start", muted: false }, part);
        at += 46.0 + 7.6 * part.chars().count() as f64;
    }
}

/// What is too long keeps its beginning and its end.
fn short(name: &str) -> String {
    let length = name.chars().count();
    if length <= LONGEST {
        return name.to_owned();
    }
    let start: String = name.chars().take(LONGEST / 2).collect();
    let end: String = name.chars().skip(length - LONGEST / 2).collect();
    format!("{start}…{end}")
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
            bars: bars.iter().map(|(n, v)| Bar { name: (*n).to_owned(), values: v.to_vec() }).collect(),
            note: "12 users".to_owned(),
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
