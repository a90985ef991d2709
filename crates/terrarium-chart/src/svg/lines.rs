//! What stands in the frame of a chart over time: gaps, limits, lines, and their names beside them.

use std::fmt::Write;

use super::frame::{BOTTOM, Frame, LEFT, RIGHT, TOP, Text, text};
use super::{MUTED, pen};
use crate::runs::{self, Run};
use crate::{Line, TimeChart};

/// Slices of time of which the lowest and highest points are kept: one for each pixel of a picture in its own size.
const SLICES: usize = (RIGHT - LEFT) as usize;

/// Room for a name, in characters, before it would leave the picture.
const NAME_ROOM: usize = 22;

/// From one name to the next below it.
const NAME_STEP: f64 = 20.0;

pub(super) fn gaps(out: &mut String, frame: &Frame, chart: &TimeChart) {
    let gaps = if chart.has_data() { runs::gaps(chart) } else { vec![(0.0, frame.duration)] };
    let mut marked = f64::MIN;
    for (from, to) in gaps {
        // Too short to be seen, but not to be told; and many of them in one place are one mark.
        let (from, to) = (frame.x(from).max(marked), frame.x(to).max(frame.x(from) + 1.0).min(RIGHT));
        if to <= from {
            continue;
        }
        marked = to;
        let _ = writeln!(
            out,
            "<rect class=\"c-gap\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\" fill=\"{MUTED}\" \
             fill-opacity=\"0.13\"/>",
            to - from,
            BOTTOM - TOP
        );
        if to - from > 64.0 {
            let at = Text { x: (from + to) / 2.0, y: (TOP + BOTTOM) / 2.0, anchor: "middle", muted: true };
            text(out, at, "no data");
        }
    }
}

pub(super) fn limits(out: &mut String, frame: &Frame, chart: &TimeChart) {
    for limit in chart.limits.iter().filter(|limit| chart.shows(limit)) {
        let _ = writeln!(
            out,
            "<path class=\"c-limit\" d=\"M{LEFT} {:.1}H{RIGHT}\" stroke=\"{MUTED}\" stroke-width=\"1.6\" \
             stroke-dasharray=\"14 5\"/>",
            frame.y(limit.value)
        );
    }
}

pub(super) fn lines(out: &mut String, frame: &Frame, chart: &TimeChart) {
    // The first is the most important: it comes last and lies on top.
    for (i, line) in chart.lines.iter().enumerate().rev() {
        let runs = runs::thin(&runs::of(line, chart.gap), frame.duration, SLICES);
        if runs.is_empty() {
            continue;
        }
        let pen = pen(i);
        if line.filled {
            let areas: String = runs.iter().map(|run| path(frame, run, true)).collect();
            let _ = writeln!(
                out,
                "<path class=\"c-fill{i}\" transform=\"scale(.1)\" d=\"{areas}\" fill=\"{}\" fill-opacity=\"0.16\"/>",
                pen.colour,
                i = i % super::PENS.len(),
            );
        }
        let drawn: String = runs.iter().map(|run| path(frame, run, false)).collect();
        let _ = writeln!(
            out,
            "<path class=\"c-line{i}\" transform=\"scale(.1)\" d=\"{drawn}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" \
             stroke-linejoin=\"round\" stroke-linecap=\"{}\"{}/>",
            pen.colour,
            pen.width * 10.0,
            // A point that stands alone is a dot only so.
            if runs.iter().any(|run| run.len() == 1) { "round" } else { "butt" },
            dashes(pen.dashes, 10.0),
            i = i % super::PENS.len(),
        );
    }
}

fn dashes(pattern: &str, scale: f64) -> String {
    if pattern.is_empty() {
        return String::new();
    }
    let scaled: Vec<String> =
        pattern.split(' ').filter_map(|d| d.parse::<f64>().ok()).map(|d| (d * scale).to_string()).collect();
    format!(" stroke-dasharray=\"{}\"", scaled.join(" "))
}

/// In tenths of a unit: whole numbers, each relative to the one before, are half as long.
fn path(frame: &Frame, run: &Run, filled: bool) -> String {
    let at = |point: &(f64, f64)| {
        ((frame.x(point.0) * 10.0).round() as i64, (frame.y(point.1) * 10.0).round() as i64)
    };
    let mut out = String::new();
    let Some(first) = run.first().map(at) else { return out };
    let _ = write!(out, "M{} {}", first.0, first.1);
    let mut before = first;
    for point in run.iter().skip(1).map(at) {
        if point == before {
            continue;
        }
        let _ = write!(out, "l{} {}", point.0 - before.0, point.1 - before.1);
        before = point;
    }
    if filled {
        let bottom = BOTTOM * 10.0;
        let _ = write!(out, "V{bottom}H{}Z", first.0);
    } else if before == first {
        out.push_str("h0");
    }
    out
}

/// Names to the right: of lines at their last value, of limits at their level; the far ones at the top.
pub(super) fn labels(out: &mut String, frame: &Frame, chart: &TimeChart) {
    let mut labels: Vec<(f64, Option<usize>, String)> = Vec::new();
    for (i, line) in chart.lines.iter().enumerate() {
        let y = last(line).map_or(BOTTOM, |value| frame.y(value));
        let name = if line.has_data() { line.name.clone() } else { format!("{}: no data", line.name) };
        labels.push((y, line.has_data().then_some(i), name));
    }
    for limit in &chart.limits {
        let level = chart.quantity.format(limit.value);
        if chart.shows(limit) {
            labels.push((frame.y(limit.value), None, format!("{} {level}", limit.name)));
        } else {
            labels.push((TOP, None, format!("↑ {} {level}", limit.name)));
        }
    }
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let places = spread(&labels.iter().map(|label| label.0).collect::<Vec<_>>());
    for ((_, line, name), y) in labels.iter().zip(places) {
        let start = RIGHT + 12.0;
        if let Some(i) = line {
            let pen = pen(*i);
            let _ = writeln!(
                out,
                "<path class=\"c-line{}\" d=\"M{start} {y:.1}h26\" stroke=\"{}\" stroke-width=\"{}\"{}/>",
                i % super::PENS.len(),
                pen.colour,
                pen.width + 0.6,
                dashes(pen.dashes, 1.0)
            );
        }
        let x = if line.is_some() { start + 32.0 } else { start };
        text(out, Text { x, y: y + 5.0, anchor: "start", muted: line.is_none() }, &shortened(name));
    }
}

fn last(line: &Line) -> Option<f64> {
    line.points.iter().rev().find_map(|(_, y)| y.filter(|y| y.is_finite()))
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME_ROOM {
        return name.to_owned();
    }
    name.chars().take(NAME_ROOM - 1).chain(['…']).collect()
}

/// Moves what is sorted apart, and keeps it between top and bottom.
fn spread(wanted: &[f64]) -> Vec<f64> {
    let mut places = wanted.to_vec();
    for i in 1..places.len() {
        places[i] = f64::max(places[i], places[i - 1] + NAME_STEP);
    }
    let mut ceiling = BOTTOM;
    for place in places.iter_mut().rev() {
        *place = place.min(ceiling);
        ceiling = *place - NAME_STEP;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_overlap() {
        let places = spread(&[100.0, 101.0, BOTTOM, BOTTOM, BOTTOM]);
        assert_eq!(places, [100.0, 120.0, BOTTOM - 40.0, BOTTOM - 20.0, BOTTOM]);
        assert!(spread(&[f64::MAX; 3]).is_sorted());
    }
}
