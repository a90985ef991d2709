//! A report as a picture: which of its columns go where is written in its head.

use std::collections::BTreeMap;

use serde_json::Value;
use terrarium_chart::Quantity;
use terrarium_chart::bars::{Bar, BarChart, Layout};
use terrarium_chart::curve::{CurveChart, CurvePoint};
use terrarium_chart::dates::{DateChart, DateLine, DatePoint};
use terrarium_chart::days::Step;
use terrarium_chart::heat::{HeatChart, HeatScale};
use terrarium_chart::svg::{bar_chart, curve_chart, date_chart, heat_chart};
use terrarium_usage::report::{Answered, Chart};

use super::objects;

pub(super) use terrarium_chart::svg::Place;

/// Bars of a picture.
const MOST_BARS: usize = 20;

/// Rows and columns of a matrix.
const MOST_NAMES: usize = 20;

type Row = Value;

fn text(row: &Row, column: &str) -> String {
    match &row[column] {
        Value::String(text) => text.clone(),
        Value::Null => "—".to_owned(),
        other => other.to_string(),
    }
}

fn number(row: &Row, column: &str) -> Option<f64> {
    row[column].as_f64()
}

fn day(row: &Row, column: &str) -> Option<i32> {
    let date: chrono::NaiveDate = row[column].as_str()?.parse().ok()?;
    i32::try_from((date - chrono::NaiveDate::default()).num_days()).ok()
}

/// Draws it.
pub(super) fn draw(answered: &Answered, title: &str, note: &str, place: Place) -> String {
    let report = &answered.report;
    let rows = objects(&answered.rows);
    let (id, title, note) = (report.name.to_owned(), title.to_owned(), note.to_owned());
    match &report.chart {
        Chart::Bars { label, values, names, layout, axis } => {
            let ranged = |row: &Row| {
                // Where one value is drawn and its interval is known.
                let [value] = values.as_slice() else { return None };
                Some((number(row, &format!("{value}_least"))?, number(row, &format!("{value}_most"))?))
            };
            let bar = |row: &Row| Bar {
                name: label.iter().map(|column| text(row, column)).collect::<Vec<_>>().join(" "),
                values: values.iter().map(|column| number(row, column).unwrap_or(0.0)).collect(),
                range: ranged(row),
            };
            let layout = match layout.as_str() {
                "grouped" => Layout::Grouped,
                "share" => Layout::Share,
                _ => Layout::Stacked,
            };
            let mut bars: Vec<Bar> = rows.iter().take(MOST_BARS).map(bar).collect();
            let mut parts = names.clone();
            // A part that nothing has would only stand in the legend.
            for place in (0..parts.len()).rev().filter(|_| layout == Layout::Stacked) {
                if parts.len() > 1 && bars.iter().all(|bar| bar.values[place] == 0.0) {
                    parts.remove(place);
                    for bar in &mut bars {
                        bar.values.remove(place);
                    }
                }
            }
            let left = rows.len().saturating_sub(MOST_BARS);
            let note = if left == 0 { note } else { format!("{left} more rows are not drawn. {note}") };
            bar_chart(
                &BarChart { id, title, axis: axis.clone(), parts, bars, layout, full: false, note },
                place,
            )
        }
        Chart::Dates { x, series, values, names, reference, axis } => {
            let mut lines: BTreeMap<(usize, String), Vec<DatePoint>> = BTreeMap::new();
            let mut order: Vec<String> = Vec::new();
            let mut add = |name: String, day: i32, value: Option<f64>, first: bool| {
                let known = order.iter().position(|known| *known == name);
                let at = known.unwrap_or_else(|| {
                    order.push(name.clone());
                    order.len() - 1
                });
                let points = lines.entry((at, name)).or_default();
                if first || points.last().is_none_or(|last| last.day != day) {
                    points.push(DatePoint { day, value, band: None });
                }
            };
            for row in &rows {
                let Some(day) = day(row, x) else { continue };
                for (place, value) in values.iter().enumerate() {
                    let name = if series.is_empty() {
                        names.get(place).cloned().unwrap_or_default()
                    } else {
                        text(row, series)
                    };
                    add(name, day, number(row, value), false);
                }
            }
            let mut drawn: Vec<DateLine> = lines
                .into_iter()
                .map(|((_, name), points)| DateLine { name, points, reference: false })
                .collect();
            if !reference.is_empty() {
                let mut all: BTreeMap<i32, Option<f64>> = BTreeMap::new();
                rows.iter().filter_map(|row| Some((day(row, x)?, number(row, reference)))).for_each(
                    |(day, value)| {
                        all.insert(day, value);
                    },
                );
                let points =
                    all.into_iter().map(|(day, value)| DatePoint { day, value, band: None }).collect();
                drawn.push(DateLine { name: reference.clone(), points, reference: true });
            }
            let step = match report.step.as_deref() {
                Some("day") => Step::Day,
                Some("week") => Step::Week,
                _ => Step::Month,
            };
            let quantity = Quantity::Count("users");
            date_chart(
                &DateChart { id, title, axis: axis.clone(), quantity, step, lines: drawn, note },
                place,
            )
        }
        Chart::Heat { row, column, value, key } => {
            let mut names: Vec<String> = Vec::new();
            for name in rows.iter().map(|one| text(one, row)).chain(rows.iter().map(|one| text(one, column)))
            {
                if names.len() < MOST_NAMES && !names.contains(&name) {
                    names.push(name);
                }
            }
            let cell = |a: &String, b: &String| {
                let found = rows.iter().find(|one| text(one, row) == *a && text(one, column) == *b);
                found.and_then(|one| number(one, value))
            };
            let cells = names.iter().map(|a| names.iter().map(|b| cell(a, b)).collect()).collect();
            let (rows, columns) = (names.clone(), names.clone());
            heat_chart(
                &HeatChart {
                    id,
                    title,
                    key: key.clone(),
                    scale: HeatScale::Signed,
                    rows,
                    columns,
                    cells,
                    note,
                },
                place,
            )
        }
        Chart::Curve { x, y, label, x_axis, y_axis } => {
            let point = |row: &Row| {
                let label = row[label.as_str()].as_str().map(str::to_owned);
                Some(CurvePoint { x: number(row, x)?, y: number(row, y)?, label })
            };
            curve_chart(
                &CurveChart {
                    id,
                    title,
                    x_axis: x_axis.clone(),
                    y_axis: y_axis.clone(),
                    x: Quantity::Count("packages"),
                    y: Quantity::Count("owners"),
                    points: rows.iter().filter_map(point).collect(),
                    steps: true,
                    limit: None,
                    note,
                },
                place,
            )
        }
    }
}
