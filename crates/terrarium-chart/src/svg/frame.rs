//! The frame of a chart: where its parts stand, grid and axes.

use std::fmt::Write;

use super::{GRID, INK, MUTED};
use crate::escape::Escaped;
use crate::scale::{Tick, TimeAxis};
use crate::{TimeChart, scale};

pub(super) const WIDTH: f64 = 960.0;
pub(super) const HEIGHT: f64 = 340.0;

/// What the title takes of it.
pub(super) const TITLE_HEIGHT: f64 = 38.0;

/// The plot's edges. To the right of it stand the names of the lines.
pub(super) const LEFT: f64 = 92.0;
pub(super) const RIGHT: f64 = WIDTH - 186.0;
pub(super) const TOP: f64 = 72.0;
pub(super) const BOTTOM: f64 = HEIGHT - 52.0;

/// Scales from seconds and values to the picture.
pub(super) struct Frame {
    pub(super) duration: f64,
    top: f64,
    values: Vec<Tick>,
    time: TimeAxis,
    text: String,
}

impl Frame {
    pub(super) fn of(chart: &TimeChart) -> Self {
        let duration = if chart.duration.is_finite() && chart.duration > 0.0 { chart.duration } else { 1.0 };
        let values = scale::values(chart.quantity, chart.reach());
        let top = values.last().map_or(1.0, |tick| tick.value);
        Frame { duration, top, values, time: scale::time(duration, 8), text: chart.quantity.axis() }
    }

    pub(super) fn x(&self, seconds: f64) -> f64 {
        (LEFT + seconds / self.duration * (RIGHT - LEFT)).clamp(LEFT, RIGHT)
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        (BOTTOM - value / self.top * (BOTTOM - TOP)).clamp(TOP, BOTTOM)
    }

    pub(super) fn grid(&self, out: &mut String) {
        for tick in self.values.iter().skip(1) {
            let y = self.y(tick.value);
            let _ = writeln!(out, "<path class=\"c-grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"{GRID}\"/>");
        }
    }

    /// Drawn after the lines, which must not hide them.
    pub(super) fn axes(&self, out: &mut String, bands: bool) {
        let _ = writeln!(
            out,
            "<path class=\"c-axis\" d=\"M{LEFT} {BOTTOM}H{RIGHT}\" stroke=\"{MUTED}\" stroke-width=\"1.2\"/>"
        );
        text(out, Text { x: 16.0, y: TOP - 18.0, anchor: "start", muted: true }, &self.text);
        for tick in &self.values {
            let at = Text { x: LEFT - 10.0, y: self.y(tick.value) + 5.0, anchor: "end", muted: false };
            text(out, at, &tick.label);
        }
        for tick in &self.time.ticks {
            let x = self.x(tick.value);
            let _ = writeln!(
                out,
                "<path class=\"c-axis\" d=\"M{x:.1} {BOTTOM}v6\" stroke=\"{MUTED}\" stroke-width=\"1.2\"/>"
            );
            text(out, Text { x, y: BOTTOM + 22.0, anchor: "middle", muted: false }, &tick.label);
        }
        let at = Text { x: (LEFT + RIGHT) / 2.0, y: HEIGHT - 10.0, anchor: "middle", muted: true };
        let bands = if bands { "; line: mean, band: lowest to highest" } else { "" };
        text(out, at, &format!("time since the start ({}){bands}", self.time.unit));
    }
}

/// Where a text stands.
pub(super) struct Text {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) anchor: &'static str,
    pub(super) muted: bool,
}

pub(super) fn text(out: &mut String, at: Text, what: &str) {
    let (class, colour) = if at.muted { ("c-muted", MUTED) } else { ("c-ink", INK) };
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{}\" fill=\"{colour}\">{}</text>",
        at.x,
        at.y,
        at.anchor,
        Escaped(what)
    );
}
