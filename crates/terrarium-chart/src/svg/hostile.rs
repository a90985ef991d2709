//! Any chart is well formed, whatever names and numbers it is given.

use super::*;
use crate::bars::{Bar, BarChart, Layout};
use crate::curve::{CurveChart, CurvePoint};
use crate::dates::{DateChart, DateLine, DatePoint};
use crate::days::Step;
use crate::heat::{HeatChart, HeatScale};
use crate::{Limit, Quantity};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Names that mean something elsewhere, or have no end.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<String>(),
        1 => Just("<script>alert(1)</script>\u{0}\u{1b}[31m\u{202e}".to_owned()),
        1 => Just("x".repeat(10_000)),
        1 => Just("名".repeat(300)),
        1 => Just("a b ".repeat(2_500)),
        2 => Just("numpy".to_owned()),
        1 => Just(String::new()),
    ]
}

fn number() -> impl Strategy<Value = f64> {
    let ends =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e308, -1e308, f64::MAX, f64::MIN_POSITIVE, -0.0, -1.0];
    prop_oneof![2 => any::<f64>(), 3 => 0.0f64..1000.0, 2 => proptest::sample::select(ends.to_vec())]
}

fn check(svg: &str) -> Result<(), TestCaseError> {
    let tree = roxmltree::Document::parse(svg).map_err(|e| TestCaseError::fail(format!("{e}: {svg}")))?;
    let known = ["svg", "title", "desc", "rect", "text", "path"];
    for node in tree.descendants().filter(|n| n.is_element()) {
        prop_assert!(known.contains(&node.tag_name().name()), "{}", node.tag_name().name());
        for attribute in node.attributes() {
            // Numbers of a million digits are no places either.
            let value = attribute.value();
            prop_assert!(!value.contains("NaN") && !value.contains("inf"), "{value}");
            let longest = value.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
            prop_assert!(longest < Some(8), "{value}");
        }
        for name in ["x", "y"].iter().filter_map(|name| node.attribute(*name)) {
            let place: f64 = name.parse().map_err(|_| TestCaseError::fail(name.to_owned()))?;
            prop_assert!((0.0..10_000.0).contains(&place), "{place}");
        }
        if let Some(size) = node.attribute("font-size") {
            prop_assert!(size.parse::<f64>().is_ok_and(|size| size >= 12.0), "{size}");
        }
        if node.tag_name().name() == "text" {
            let shown: String = node.children().filter(|n| n.is_text()).filter_map(|n| n.text()).collect();
            prop_assert!(!shown.contains("NaN"), "{shown}");
            let long = measure::width(&shown, 12.0);
            prop_assert!(long <= WIDTH, "{shown}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn dates(
        names in vec((name(), any::<bool>()), 0..11),
        points in vec((any::<i32>(), option::of(number()), option::of((number(), number()))), 0..30),
        near in vec((0..60i32, option::of(number()), option::of((number(), number()))), 0..30),
        axis in name(),
        step in 0usize..3,
        far in any::<bool>(),
    ) {
        let points = if far { points } else { near };
        let points: Vec<_> = points.into_iter().map(|(day, value, band)| DatePoint { day, value, band }).collect();
        let lines = names.iter().map(|(name, reference)| DateLine {
            name: name.clone(),
            points: points.clone(),
            reference: *reference,
        });
        let chart = DateChart {
            id: "x".to_owned(),
            title: axis.clone(),
            note: axis.clone(),
            axis,
            quantity: Quantity::Count(""),
            step: [Step::Day, Step::Week, Step::Month][step],
            lines: lines.collect(),
        };
        check(&date_chart(&chart, Place::File))?;
        check(&date_chart(&chart, Place::Page))?;
    }

    #[test]
    fn curves(
        points in vec((number(), number(), option::of(name())), 0..30),
        limit in option::of((name(), number())),
        axis in name(),
        steps in any::<bool>(),
    ) {
        let chart = CurveChart {
            id: "x".to_owned(),
            title: axis.clone(),
            x_axis: axis.clone(),
            y_axis: axis.clone(),
            note: axis,
            x: Quantity::Cpus,
            y: Quantity::Count(""),
            points: points.into_iter().map(|(x, y, label)| CurvePoint { x, y, label }).collect(),
            steps,
            limit: limit.map(|(name, value)| Limit { name, value }),
        };
        check(&curve_chart(&chart, Place::File))?;
        check(&curve_chart(&chart, Place::Page))?;
    }

    #[test]
    fn matrices(
        rows in vec(name(), 0..30),
        columns in vec(name(), 0..60),
        cells in vec(vec(option::of(prop_oneof![number(), -1.0f64..1.0]), 0..40), 0..31),
        signed in any::<bool>(),
        many in any::<bool>(),
    ) {
        let title = rows.first().cloned().unwrap_or_default();
        let columns = if many { vec!["x".to_owned(); 300] } else { columns };
        let scale = if signed { HeatScale::Signed } else { HeatScale::Share };
        let chart =
            HeatChart { id: "x".to_owned(), key: title.clone(), note: title.clone(), title, scale, rows, columns, cells };
        check(&heat_chart(&chart, Place::File))?;
        check(&heat_chart(&chart, Place::Page))?;
    }

    #[test]
    fn bars(
        bars in vec((name(), vec(number(), 0..9), option::of((number(), number()))), 0..20),
        parts in vec(name(), 0..9),
        layout in 0usize..3,
        full in any::<bool>(),
    ) {
        let title = parts.first().cloned().unwrap_or_default();
        let chart = BarChart {
            id: "x".to_owned(),
            axis: title.clone(),
            note: title.clone(),
            title,
            parts,
            bars: bars.into_iter().map(|(name, values, range)| Bar { name, values, range }).collect(),
            layout: [Layout::Stacked, Layout::Grouped, Layout::Share][layout],
            full,
        };
        check(&bar_chart(&chart, Place::File))?;
        check(&bar_chart(&chart, Place::Page))?;
    }
}
