//! The frame of charts with two axes of numbers or dates: scales, grid, the value axis, notes.

use std::fmt::Write;

use super::frame::WIDTH;
use super::measure::{Keep, Put, SIZE, SMALL, widest, width, wrap};
use super::{GRID, MUTED};
use crate::scale::Tick;

/// Left of everything.
pub(super) const EDGE: f64 = 16.0;
/// The axis' name stands here.
pub(super) const HEAD: f64 = 56.0;
/// From one row of a legend to the next.
pub(super) const LEGEND_ROW: f64 = 22.0;
const NOTE_ROW: f64 = 18.0;
const MOST_NOTE_ROWS: usize = 3;

/// Scales from numbers to the picture.
pub(super) struct Plot {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    /// Ends of the scale from left to right.
    pub(super) from: f64,
    pub(super) to: f64,
    /// Top of the scale from below, which begins at 0.
    pub(super) reach: f64,
}

impl Plot {
    pub(super) fn x(&self, value: f64) -> f64 {
        let share = (value - self.from) / (self.to - self.from);
        let x = self.left + share * (self.right - self.left);
        if x.is_finite() { x.clamp(self.left, self.right) } else { self.left }
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        let y = self.bottom - value / self.reach * (self.bottom - self.top);
        if y.is_finite() { y.clamp(self.top, self.bottom) } else { self.bottom }
    }

    /// What is left of the plot: the labels of the value axis, and a little.
    pub(super) fn left_of(values: &[Tick]) -> f64 {
        (EDGE + 12.0 + widest(values.iter().map(|tick| tick.label.as_str()), SIZE)).clamp(52.0, 160.0)
    }

    /// Levels, their labels, and the axis' name above.
    pub(super) fn values(&self, out: &mut String, values: &[Tick], name: &str) {
        for tick in values {
            let y = self.y(tick.value);
            if tick.value > 0.0 {
                let _ = writeln!(
                    out,
                    "<path class=\"c-grid\" d=\"M{:.1} {y:.1}H{:.1}\" stroke=\"{GRID}\"/>",
                    self.left, self.right
                );
            }
            Put::at(self.left - 10.0, y + 5.0).end().write(out, &tick.label);
        }
        Put::at(EDGE, HEAD).muted().room(WIDTH - 2.0 * EDGE, Keep::Start).write(out, name);
    }

    /// Drawn after the lines, which must not hide it.
    pub(super) fn base(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "<path class=\"c-axis\" d=\"M{:.1} {:.1}H{:.1}\" stroke=\"{MUTED}\" stroke-width=\"1.2\"/>",
            self.left, self.bottom, self.right
        );
    }

    pub(super) fn tick(&self, out: &mut String, x: f64) {
        let _ = writeln!(
            out,
            "<path class=\"c-axis\" d=\"M{x:.1} {:.1}v6\" stroke=\"{MUTED}\" stroke-width=\"1.2\"/>",
            self.bottom
        );
    }

    pub(super) fn no_data(&self, out: &mut String) {
        let (x, y) = ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0);
        Put::at(x, y).middle().muted().write(out, "no data");
    }
}

/// Labels side by side: those that would touch the one before are left out.
pub(super) struct Row(f64);

impl Row {
    pub(super) fn new() -> Self {
        Row(f64::MIN)
    }

    /// Whether there is room for it; then it is taken.
    pub(super) fn takes(&mut self, x: f64, text: &str) -> bool {
        let half = width(text, SIZE) / 2.0;
        let free = x - half >= self.0 + 8.0;
        if free {
            self.0 = x + half;
        }
        free
    }
}

/// Where the entries of a legend stand: from the left, in as many rows as they need.
pub(super) struct Legend {
    /// Left end, row, room for the name.
    pub(super) places: Vec<(f64, usize, f64)>,
    pub(super) rows: usize,
}

impl Legend {
    /// `mark` is what stands before each name.
    pub(super) fn of<'a>(names: impl IntoIterator<Item = &'a str>, left: f64, mark: f64) -> Self {
        let (mut x, mut row) = (left, 0);
        let most = (WIDTH - EDGE - left) / 2.0 - mark - 24.0;
        let mut places = Vec::new();
        for name in names {
            let room = (width(name, SIZE) + 1.0).min(most);
            if x > left && x + mark + room > WIDTH - EDGE {
                (x, row) = (left, row + 1);
            }
            places.push((x, row, room));
            x += mark + room + 24.0;
        }
        let rows = if places.is_empty() { 0 } else { row + 1 };
        Legend { places, rows }
    }
}

/// Lines below the chart. Returns where the picture ends.
pub(super) fn note(out: &mut String, y: f64, note: &str) -> f64 {
    let room = WIDTH - 2.0 * EDGE;
    let lines = wrap(note, SMALL + 1.0, room, MOST_NOTE_ROWS);
    let mut at = y;
    for line in &lines {
        Put::at(EDGE, at).muted().size(SMALL + 1.0).room(room, Keep::Start).write(out, line);
        at += NOTE_ROW;
    }
    if lines.is_empty() { y - 6.0 } else { at - NOTE_ROW + 12.0 }
}
