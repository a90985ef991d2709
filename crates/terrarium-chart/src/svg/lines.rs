//! What stands in the frame of a chart over time: gaps, limits, lines, and their names beside them.

use std::fmt::Write;

use super::frame::{BOTTOM, Frame, LEFT, RIGHT, TOP, Text, text};
use super::{MUTED, pen};
use crate::runs::{self, Run, Slice};
use crate::{Line, TimeChart};

/// Slices of time of which the lowest and highest points are kept: one for each pixel of a picture in its own size.
const SLICES: usize = (RIGHT - LEFT) as usize;

/// From so many points on, a line would be a block.
const DENSE: usize = 2 * SLICES;

/// Room for a name, in characters, before it would leave the picture.
const NAME_ROOM: usize = 22;

/// The same, beside a piece of the line.
const LINE_NAME_ROOM: usize = 18;

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
    // The first has no gaps of its own: dashes on top of it let both be seen.
    for (i, line) in chart.lines.iter().enumerate() {
        let runs = runs::of(line, chart.gap);
        if runs.iter().map(Vec::len).sum::<usize>() > DENSE {
            dense(out, frame, i, line.filled, &runs::slices(&runs, frame.duration, SLICES / 2));
        } else {
            sparse(out, frame, i, line.filled, &runs::thin(&runs, frame.duration, SLICES));
        }
    }
}

/// Whether any line of the chart is drawn as mean and band.
pub(super) fn has_bands(chart: &TimeChart) -> bool {
    chart.lines.iter().any(|line| runs::of(line, chart.gap).iter().map(Vec::len).sum::<usize>() > DENSE)
}

/// Each point can be told from the next.
fn sparse(out: &mut String, frame: &Frame, i: usize, filled: bool, runs: &[Run]) {
    if filled {
        fill(
            out,
            i,
            &runs.iter().map(|run| path(frame, run) + &bottom(frame, run)).collect::<String>(),
            "0.16",
        );
    }
    let (dots, lines): (Vec<&Run>, Vec<&Run>) = runs.iter().partition(|run| run.len() == 1);
    stroke(out, i, &lines.into_iter().map(|run| path(frame, run)).collect::<String>());
    dot(out, i, &dots.into_iter().map(|run| path(frame, run) + "h0").collect::<String>());
}

/// The mean as a line, in a band from the lowest to the highest. The band's edge keeps a moment visible.
fn dense(out: &mut String, frame: &Frame, i: usize, filled: bool, runs: &[Vec<Slice>]) {
    let mut bands = String::new();
    for run in runs {
        let there = run.iter().map(|s| (s.at, s.high));
        let back = run.iter().rev().map(|s| (s.at, s.low));
        bands += &path(frame, &there.chain(back).collect::<Run>());
        bands.push('Z');
    }
    let means: Vec<Run> = runs.iter().map(|run| run.iter().map(|s| (s.at, s.mean)).collect()).collect();
    if filled {
        fill(
            out,
            i,
            &means.iter().map(|run| path(frame, run) + &bottom(frame, run)).collect::<String>(),
            "0.10",
        );
    }
    let _ = writeln!(
        out,
        "<path class=\"c-fill{0} c-line{0}\" transform=\"scale(.1)\" d=\"{bands}\" fill=\"{1}\" stroke=\"{1}\" fill-opacity=\"0.28\" stroke-opacity=\"0.6\" \
         stroke-width=\"10\" stroke-linejoin=\"round\"/>",
        i % super::PENS.len(),
        pen(i).colour
    );
    sparse(out, frame, i, false, &means);
}

fn fill(out: &mut String, i: usize, d: &str, opacity: &str) {
    if !d.is_empty() {
        let (i, colour) = (i % super::PENS.len(), pen(i).colour);
        let _ = writeln!(
            out,
            "<path class=\"c-fill{i}\" transform=\"scale(.1)\" d=\"{d}\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>"
        );
    }
}

fn stroke(out: &mut String, i: usize, d: &str) {
    if !d.is_empty() {
        let (pen, i) = (pen(i), i % super::PENS.len());
        let _ = writeln!(
            out,
            "<path class=\"c-line{i}\" transform=\"scale(.1)\" d=\"{d}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" \
             stroke-linejoin=\"round\"{}/>",
            pen.colour,
            pen.width * 10.0,
            dashes(pen.dashes, 10.0)
        );
    }
}

/// Points that stand alone: lines without length and with round ends.
fn dot(out: &mut String, i: usize, d: &str) {
    if !d.is_empty() {
        let (colour, i) = (pen(i).colour, i % super::PENS.len());
        let _ = writeln!(
            out,
            "<path class=\"c-line{i}\" transform=\"scale(.1)\" d=\"{d}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"34\" \
             stroke-linecap=\"round\"/>"
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
fn path(frame: &Frame, run: &Run) -> String {
    let mut out = String::new();
    let mut before: Option<(i64, i64)> = None;
    for point in run {
        let point = ((frame.x(point.0) * 10.0).round() as i64, (frame.y(point.1) * 10.0).round() as i64);
        let _ = match before {
            None => write!(out, "M{} {}", point.0, point.1),
            Some(before) if before != point => write!(out, "l{} {}", point.0 - before.0, point.1 - before.1),
            Some(_) => Ok(()),
        };
        before = Some(point);
    }
    out
}

/// From the end of a run along the time axis to below its beginning.
fn bottom(frame: &Frame, run: &Run) -> String {
    let Some(first) = run.first() else { return String::new() };
    format!("V{}H{}Z", BOTTOM * 10.0, (frame.x(first.0) * 10.0).round() as i64)
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
        let level = chart.quantity.phrase(limit.value);
        // Above the lines that meet it.
        if chart.shows(limit) {
            labels.push((frame.y(limit.value) - 0.1, None, format!("{}: {level}", limit.name)));
        } else {
            labels.push((TOP - 0.1, None, format!("↑ {}: {level}", limit.name)));
        }
    }
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let places = spread(&labels.iter().map(|label| label.0).collect::<Vec<_>>());
    for ((_, line, name), y) in labels.iter().zip(places) {
        let start = RIGHT + 12.0;
        if let Some(i) = line {
            let pen = pen(*i);
            if chart
                .lines
                .get(*i)
                .is_some_and(|line| runs::of(line, chart.gap).iter().all(|run| run.len() == 1))
            {
                let places: String = [3, 13, 23]
                    .iter()
                    .map(|x| format!("M{} {}h0", start * 10.0 + f64::from(x * 10), (y * 10.0).round()))
                    .collect();
                dot(out, *i, &places);
            } else {
                let _ = writeln!(
                    out,
                    "<path class=\"c-line{}\" d=\"M{start} {y:.1}h26\" stroke=\"{}\" stroke-width=\"{}\"{}/>",
                    i % super::PENS.len(),
                    pen.colour,
                    pen.width + 0.6,
                    dashes(pen.dashes, 1.0)
                );
            }
        }
        let x = if line.is_some() { start + 32.0 } else { start };
        text(
            out,
            Text { x, y: y + 5.0, anchor: "start", muted: line.is_none() },
            &shortened(name, if line.is_some() { LINE_NAME_ROOM } else { NAME_ROOM }),
        );
    }
}

fn last(line: &Line) -> Option<f64> {
    line.points.iter().rev().find_map(|(_, y)| y.filter(|y| y.is_finite()))
}

fn shortened(name: &str, room: usize) -> String {
    if name.chars().count() <= room {
        return name.to_owned();
    }
    name.chars().take(room - 1).chain(['…']).collect()
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
