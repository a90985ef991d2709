//! A curve over a number, with names beside its first points.

use std::fmt::Write;

use super::frame::WIDTH;
use super::measure::{Keep, Put, SIZE, cut, width};
use super::plot::{EDGE, HEAD, Plot, Row, note};
use super::{MUTED, Place, document, pen};
use crate::curve::{CurveChart, CurvePoint};
use crate::scale;

const HEIGHT: f64 = 290.0;
/// More names than this would be a list.
const MOST_NAMES: usize = 16;
const LONGEST_NAME: f64 = 200.0;
/// From a point to its name, and to a name with a line.
const NEAR: f64 = 9.0;
const FAR: f64 = 7.0;
/// More points are not marked each.
const FEW: usize = 80;

/// A curve. In a page, all charts need different `id`s.
pub fn curve_chart(chart: &CurveChart, place: Place) -> String {
    let points = chart.known();
    let limit = chart.limit();
    let across = scale::values(chart.x, points.iter().map(|point| point.x).fold(0.0, f64::max));
    let highest = points.iter().map(|point| point.y).fold(0.0, f64::max);
    // The name of the limit stands above it.
    let values = scale::values(chart.y, limit.map_or(highest, |limit| highest.max(limit.value * 1.06)));
    let (left, top) = (Plot::left_of(&values), HEAD + 18.0);
    let plot = Plot {
        left,
        right: WIDTH - 3.0 * EDGE,
        top,
        bottom: top + HEIGHT,
        from: 0.0,
        to: across.last().map_or(1.0, |tick| tick.value),
        reach: values.last().map_or(1.0, |tick| tick.value),
    };
    let mut out = String::new();
    plot.values(&mut out, &values, &chart.y_axis);
    let mut row = Row::new();
    for tick in &across {
        let x = plot.x(tick.value);
        plot.tick(&mut out, x);
        if row.takes(x, &tick.label) {
            Put::at(x, plot.bottom + 22.0).middle().write(&mut out, &tick.label);
        }
    }
    let room = plot.right - plot.left;
    let at = Put::at((plot.left + plot.right) / 2.0, plot.bottom + 44.0).middle().muted();
    at.room(room, Keep::Start).write(&mut out, &chart.x_axis);

    let mut names = Names { taken: Vec::new(), plot: &plot };
    if points.is_empty() {
        plot.no_data(&mut out);
    } else {
        curve(&mut out, &plot, chart, &points, &mut names);
    }
    if let Some(limit) = limit {
        let y = plot.y(limit.value);
        let _ = writeln!(
            out,
            "<path class=\"c-limit\" d=\"M{:.1} {y:.1}H{:.1}\" stroke=\"{MUTED}\" stroke-width=\"1.6\" \
             stroke-dasharray=\"14 5\"/>",
            plot.left, plot.right
        );
        names.taken.push((plot.left, y - 1.0, plot.right, y + 1.0));
        names.limit(&mut out, y, &format!("{}: {}", limit.name, chart.y.phrase(limit.value)));
    }
    let named = points.iter().filter_map(|point| Some((*point, point.label.as_deref()?)));
    let named = named.filter(|(_, name)| !name.is_empty()).take(MOST_NAMES);
    names.points(
        &mut out,
        &named.map(|(point, name)| (plot.x(point.x), plot.y(point.y), name)).collect::<Vec<_>>(),
    );
    plot.base(&mut out);
    let height = note(&mut out, plot.bottom + 68.0, &chart.note);
    document(&chart.id, &chart.title, &chart.describe(), place, height, &out)
}

fn curve(out: &mut String, plot: &Plot, chart: &CurveChart, points: &[&CurvePoint], names: &mut Names<'_>) {
    let (mut d, mut dots) = (String::new(), String::new());
    let mut before: Option<(f64, f64)> = None;
    for point in points {
        let (x, y) = (plot.x(point.x), plot.y(point.y));
        match before {
            None => {
                let _ = write!(d, "M{x:.1} {y:.1}");
            }
            Some((from, level)) if chart.steps => {
                let _ = write!(d, "H{x:.1}V{y:.1}");
                names.taken.push((from, level - 1.0, x, level + 1.0));
                names.taken.push((x - 1.0, y.min(level), x + 1.0, y.max(level)));
            }
            Some((from, level)) => {
                let _ = write!(d, "L{x:.1} {y:.1}");
                // In pieces: the box of the whole would be the plot.
                for i in 0..8 {
                    let at = |i: i32| level + (y - level) * f64::from(i) / 8.0;
                    let across = |i: i32| from + (x - from) * f64::from(i) / 8.0;
                    let (a, b) = (at(i), at(i + 1));
                    names.taken.push((across(i), a.min(b), across(i + 1), a.max(b)));
                }
            }
        }
        let _ = write!(dots, "M{x:.1} {y:.1}h0");
        names.taken.push((x - 4.0, y - 4.0, x + 4.0, y + 4.0));
        before = Some((x, y));
    }
    let colour = pen(0).colour;
    if let (Some(first), Some((end, _))) = (points.first(), before) {
        let (start, bottom) = (plot.x(first.x), plot.bottom);
        let _ = writeln!(
            out,
            "<path class=\"c-fill0\" d=\"{d}V{bottom:.1}H{start:.1}Z\" fill=\"{colour}\" fill-opacity=\"0.10\"/>"
        );
        let _ = writeln!(
            out,
            "<path class=\"c-line0\" d=\"{d}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.2\" \
             stroke-linejoin=\"round\"/>"
        );
        if points.len() <= FEW || end <= start {
            let _ = writeln!(
                out,
                "<path class=\"c-line0\" d=\"{dots}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"7\" \
                 stroke-linecap=\"round\"/>"
            );
        }
    }
}

/// Left, top, right, bottom.
type Area = (f64, f64, f64, f64);

/// Names that touch neither each other nor the curve.
struct Names<'a> {
    taken: Vec<Area>,
    plot: &'a Plot,
}

impl Names<'_> {
    fn is_free(&self, area: Area) -> bool {
        let Plot { left, right, top, bottom, .. } = self.plot;
        let within = area.0 >= left + 2.0
            && area.2 <= right + 2.0 * EDGE
            && area.1 >= top - 4.0
            && area.3 <= bottom - 2.0;
        let touches =
            |other: &Area| area.0 < other.2 && other.0 < area.2 && area.1 < other.3 && other.1 < area.3;
        within && !self.taken.iter().any(touches)
    }

    /// Above its line or below, to the left or to the right.
    fn limit(&mut self, out: &mut String, y: f64, name: &str) {
        let room = (self.plot.right - self.plot.left) * 0.6;
        let long = width(&cut(name, SIZE, room, Keep::Ends), SIZE);
        let (left, right) = (self.plot.left + 8.0, self.plot.right - long);
        let places = [(left, y - 7.0), (right, y - 7.0), (left, y + 18.0), (right, y + 18.0)];
        let area = |(x, base): (f64, f64)| (x, base - 13.0, x + long, base + 4.0);
        let (x, base) =
            places.into_iter().find(|place| self.is_free(area(*place))).unwrap_or((left, y - 7.0));
        self.taken.push(area((x, base)));
        Put::at(x, base).muted().room(room, Keep::Ends).write(out, name);
    }

    /// As many as there is room for, from the first on.
    fn points(&mut self, out: &mut String, points: &[(f64, f64, &str)]) {
        let before = self.taken.len();
        for count in (1..=points.len()).rev() {
            // From the right: each name stands further from the curve than the one to its right, above which or below
            // which it begins.
            let wanted = points.iter().take(count).rev();
            let places: Option<Vec<_>> = wanted.map(|point| Some((*point, self.point(*point)?))).collect();
            if let Some(places) = places {
                for ((x, y, name), (to, base)) in places {
                    write_name(out, (x, y), (to, base), name);
                }
                return;
            }
            self.taken.truncate(before);
        }
    }

    /// Takes a place beside a point, or further down or up with a line to it.
    fn point(&mut self, (x, y, name): (f64, f64, &str)) -> Option<(f64, f64)> {
        let long = width(&cut(name, SIZE, LONGEST_NAME, Keep::Ends), SIZE);
        let area = |(x, base): (f64, f64)| (x - 2.0, base - 13.0, x + long + 2.0, base + 5.0);
        let near = (x + NEAR, y + 18.0);
        if self.is_free(area(near)) {
            self.taken.push(area(near));
            return Some(near);
        }
        let far =
            (2..14).flat_map(|i| [1.0, -1.0].map(|side| (x + FAR, y + 4.0 + 18.0 * f64::from(i) * side)));
        let (place, line) = far
            .map(|place| (place, leader((x, y), place)))
            .find(|(place, line)| self.is_free(area(*place)) && self.is_free(*line))?;
        self.taken.extend([area(place), line]);
        Some(place)
    }
}

/// Where the line from a point to its name runs.
fn leader((x, y): (f64, f64), (to, base): (f64, f64)) -> Area {
    if base > y { (x, y + 5.0, to - 3.0, base - 5.0) } else { (x, base - 5.0, to - 3.0, y - 5.0) }
}

fn write_name(out: &mut String, (x, y): (f64, f64), (to, base): (f64, f64), name: &str) {
    if to - x < NEAR - 0.5 {
        let (_, high, end, low) = leader((x, y), (to, base));
        let (start, end_y) = if base > y { (high, low) } else { (low, high) };
        let _ = writeln!(
            out,
            "<path class=\"c-axis\" d=\"M{x:.1} {start:.1}L{end:.1} {end_y:.1}\" fill=\"none\" stroke=\"{MUTED}\" \
             stroke-width=\"0.8\"/>"
        );
    }
    Put::at(to, base).room(LONGEST_NAME, Keep::Ends).write(out, name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_never_overlap(places in proptest::collection::vec((0.0f64..1.0, 0.0f64..1.0, 1usize..30), 0..20)) {
            let plot = Plot { left: 60.0, right: 900.0, top: 70.0, bottom: 360.0, from: 0.0, to: 1.0, reach: 1.0 };
            let mut names = Names { taken: Vec::new(), plot: &plot };
            let mut out = String::new();
            let texts: Vec<String> = places.iter().map(|place| "x".repeat(place.2)).collect();
            let points: Vec<_> =
                places.iter().zip(&texts).map(|((x, y, _), text)| (plot.x(*x), plot.y(*y), text.as_str())).collect();
            names.points(&mut out, &points);
            prop_assert!(places.is_empty() || !names.taken.is_empty() || places[0].0 > 0.7 || places[0].1 < 0.2);
            for (i, a) in names.taken.iter().enumerate() {
                for b in &names.taken[..i] {
                    prop_assert!(a.0 >= b.2 || b.0 >= a.2 || a.1 >= b.3 || b.1 >= a.3, "{a:?} {b:?}");
                }
            }
        }
    }
}
