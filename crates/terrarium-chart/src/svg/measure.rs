//! How wide texts are, and texts that are cut where there is no more room.
//!
//! Nothing here knows the font that will be used. The widths are those of DejaVu Sans, the widest of the fonts that the
//! pictures name: with any other there is more room.

use std::borrow::Cow;
use std::fmt::Write;

use super::{INK, MUTED};
use crate::escape::Escaped;

/// Hundredths of the size, from space to `~`.
const WIDTHS: [u8; 95] = [
    32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    34, 34, 84, 84, 84, 53, 100, 68, 69, 70, 77, 63, 58, 77, 75, 29, 29, 66, 56, 86, 75, 79, 60, 79, 69, 63,
    61, 73, 68, 99, 69, 61, 69, 39, 34, 39, 84, 50, 50, 61, 63, 55, 63, 62, 35, 63, 63, 28, 28, 58, 28, 97,
    63, 61, 63, 63, 41, 52, 39, 63, 59, 82, 59, 59, 52, 64, 34, 64, 84,
];

/// What a text of this size is set in, if nothing else is said.
pub(super) const SIZE: f64 = 14.0;

/// The smallest that is still read on a slide.
pub(super) const SMALL: f64 = 12.0;

fn of(c: char) -> f64 {
    let index = (c as usize).wrapping_sub(32);
    match WIDTHS.get(index) {
        Some(width) => f64::from(*width) / 100.0,
        // Stands for what cannot be shown.
        None if c.is_control() => 1.05,
        // Letters with marks, Greek, Cyrillic; then signs; what is further on may be as wide as high.
        None if (c as u32) < 0x1100 => 0.85,
        None if (0x2000..0x2300).contains(&(c as u32)) => 1.0,
        None => 1.05,
    }
}

/// Width of a text that is set in this size.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(of).sum::<f64>() * size
}

/// The widest of some texts.
pub(super) fn widest<'a>(texts: impl IntoIterator<Item = &'a str>, size: f64) -> f64 {
    texts.into_iter().map(|text| width(text, size)).fold(0.0, f64::max)
}

/// What of a text is kept when it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// The beginning.
    Start,
    /// Beginning and end: names differ in both.
    Ends,
}

/// The text, or as much of it as there is room for, with `…`.
pub(super) fn cut(text: &str, size: f64, room: f64, keep: Keep) -> Cow<'_, str> {
    // No more characters than could fit are looked at: some have thousands.
    let mut sum = 0.0;
    if text.chars().all(|c| {
        sum += of(c) * size;
        sum <= room
    }) {
        return Cow::Borrowed(text);
    }
    let room = room - size;
    let (mut from, mut to) = (0, text.len());
    let mut used = 0.0;
    let mut at_end = false;
    while let Some(rest) = text.get(from..to) {
        let next = if at_end { rest.chars().next_back() } else { rest.chars().next() };
        let Some(c) = next else { break };
        used += of(c) * size;
        if used > room {
            break;
        }
        if at_end {
            to -= c.len_utf8();
        } else {
            from += c.len_utf8();
        }
        at_end = keep == Keep::Ends && !at_end;
    }
    let end = if keep == Keep::Ends { text.get(to..).unwrap_or_default() } else { "" };
    Cow::Owned(format!("{}…{end}", text.get(..from).unwrap_or_default()))
}

/// A text in at most `most` lines; the last has what is left and may be too wide.
pub(super) fn wrap(text: &str, size: f64, room: f64, most: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if lines.len() + 1 == most {
            lines.push(rest);
            break;
        }
        let mut used = 0.0;
        let mut space = None;
        let over = rest.char_indices().find(|(i, c)| {
            used += of(*c) * size;
            space = if *c == ' ' { Some(*i) } else { space };
            used > room
        });
        let end = over.map_or(rest.len(), |(i, _)| space.unwrap_or(i).max(1));
        let Some((line, others)) = rest.split_at_checked(end) else { break };
        lines.push(line.trim_end());
        rest = others.trim_start();
    }
    lines
}

/// A text and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Put {
    x: f64,
    y: f64,
    anchor: &'static str,
    size: f64,
    class: &'static str,
    fill: &'static str,
    turn: f64,
    room: f64,
    keep: Keep,
}

impl Put {
    pub(super) fn at(x: f64, y: f64) -> Self {
        let (anchor, class, keep) = ("start", "c-ink", Keep::Ends);
        Put { x, y, anchor, size: SIZE, class, fill: INK, turn: 0.0, room: f64::MAX, keep }
    }

    pub(super) fn end(self) -> Self {
        Put { anchor: "end", ..self }
    }

    pub(super) fn middle(self) -> Self {
        Put { anchor: "middle", ..self }
    }

    pub(super) fn muted(self) -> Self {
        self.class("c-muted", MUTED)
    }

    pub(super) fn class(self, class: &'static str, fill: &'static str) -> Self {
        Put { class, fill, ..self }
    }

    pub(super) fn size(self, size: f64) -> Self {
        Put { size, ..self }
    }

    /// Degrees, clockwise.
    pub(super) fn turn(self, turn: f64) -> Self {
        Put { turn, ..self }
    }

    pub(super) fn room(self, room: f64, keep: Keep) -> Self {
        Put { room, keep, ..self }
    }

    /// What is cut has the whole text as its title, which programs show on demand.
    pub(super) fn write(self, out: &mut String, text: &str) {
        let shown = cut(text, self.size, self.room, self.keep);
        let Put { x, y, anchor, class, fill, .. } = self;
        let _ = write!(
            out,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\""
        );
        if self.size != SIZE {
            let _ = write!(out, " font-size=\"{}\"", self.size);
        }
        if self.turn != 0.0 {
            let _ = write!(out, " transform=\"rotate({} {x:.1} {y:.1})\"", self.turn);
        }
        out.push('>');
        if shown != text {
            let _ = write!(out, "<title>{}</title>", Escaped(text));
        }
        let _ = writeln!(out, "{}</text>", Escaped(&shown));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_names_keep_what_tells_them_apart() {
        assert_eq!(cut("numpy", 14.0, 60.0, Keep::Ends), "numpy");
        let text = cut("SciPy-bundle-2025.06-gfbf-2025a", 14.0, 120.0, Keep::Ends);
        assert!(text.starts_with("SciPy") && text.ends_with("2025a") && text.contains('…'), "{text}");
        assert!(cut("abcdefghijkl", 14.0, 60.0, Keep::Start).ends_with('…'));
        assert_eq!(cut(&"x".repeat(10_000), 14.0, 0.0, Keep::Ends), "…");
    }

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrap("one two three", 10.0, 50.0, 3), ["one two", "three"]);
        assert_eq!(wrap("one two three", 10.0, 50.0, 1), ["one two three"]);
        assert!(wrap(" ", 10.0, 50.0, 3).is_empty());
    }

    proptest! {
        #[test]
        fn what_is_cut_fits(text in any::<String>(), room in 14.0f64..500.0, ends in any::<bool>()) {
            let keep = if ends { Keep::Ends } else { Keep::Start };
            prop_assert!(width(&cut(&text, 14.0, room, keep), 14.0) <= room + 1e-6);
            prop_assert!(wrap(&text, 14.0, room, 3).len() <= 3);
        }
    }
}
