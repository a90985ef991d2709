//! Text for a terminal: what jobs chose to be called never reaches it raw, and everything has a known width.

use std::time::Duration;

use terrarium_core::Bytes;
use unicode_width::UnicodeWidthChar;

/// Ends of lines and tabs become blanks; what else is not to be shown as it is becomes `?`: control characters, and all that takes no room of its own (marks that
/// reverse the direction of writing, or pile up).
pub(crate) fn clean(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() || c.width().unwrap_or(0) == 0 => '?',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Columns that a cleaned text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Cleaned, and cut to `columns` at most.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    // Long ones are not read to their end: one character takes a column at least, once cleaned.
    let text = clean(&text.chars().take(columns + 1).collect::<String>());
    if width(&text) <= columns {
        return text;
    }
    let mut out = String::new();
    let mut room = columns.saturating_sub(1);
    for c in text.chars() {
        let Some(left) = room.checked_sub(c.width().unwrap_or(0)) else { break };
        room = left;
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// Exactly `columns` wide.
pub(crate) fn fit(text: &str, columns: usize, right: bool) -> String {
    let text = cut(text, columns);
    let pad = " ".repeat(columns - width(&text));
    if right { pad + &text } else { text + &pad }
}

/// The same for a terminal that has no Unicode.
pub(crate) fn ascii(text: &str) -> String {
    let plain = |c: char| match c {
        '…' => '~',
        '≤' => '<',
        '└' => '`',
        '─' | '—' | '·' => '-',
        '↑' => '^',
        '↓' => 'v',
        '▁' => '.',
        '▂' | '▃' => ':',
        '▄' | '▅' => '+',
        '▆' | '▇' => '*',
        '█' => '#',
        c if c.is_ascii() => c,
        _ => '?',
    };
    // A wide character keeps its room.
    text.chars().flat_map(|c| std::iter::repeat_n(plain(c), c.width().unwrap_or(1).max(1))).collect()
}

/// `1:02:03`, `3-04:05` (days-hours:minutes), `12:34`.
pub(crate) fn clock(time: Duration) -> String {
    let s = time.as_secs();
    let (days, hours, minutes) = (s / 86400, s / 3600 % 24, s / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}:{:02}", s % 60),
        (0, _) => format!("{hours}:{minutes:02}:{:02}", s % 60),
        _ => format!("{days}-{hours:02}:{minutes:02}"),
    }
}

/// `1.2 G`: as `--mem` takes it, with a blank.
pub(crate) fn size(bytes: Bytes) -> String {
    bytes.to_string().replace("iB", "")
}

/// A curve of the newest values, the highest (or `top`) as a full block; what is not known stays empty.
pub(crate) fn curve(values: &[Option<f64>], columns: usize, top: f64) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let top = values.iter().flatten().fold(top, |a, b| a.max(*b));
    let from = values.len().saturating_sub(columns);
    let block = |value: &Option<f64>| match value {
        Some(v) if top > 0.0 => BLOCKS[((v / top * 8.0) as usize).min(7)],
        Some(_) => BLOCKS[0],
        None => ' ',
    };
    values[from..].iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hostile_is_left() {
        let name = "a\x1b[2J\u{9b}31m\u{202e}b\r\n\te\u{301}\u{200b}";
        let cleaned = clean(name);
        assert_eq!(cleaned, "a?[2J?31m?b?  e??");
        assert_eq!(width(&cleaned), cleaned.chars().count());
    }

    #[test]
    fn widths_are_kept() {
        assert_eq!(fit("abc", 5, false), "abc  ");
        assert_eq!(fit("abc", 5, true), "  abc");
        assert_eq!(fit("abcdef", 5, false), "abcd…");
        // Two columns each: half of one is never shown.
        assert_eq!(fit("漢字漢字", 6, false), "漢字… ");
        assert_eq!(fit("漢", 1, false), "…");
        assert_eq!(fit("x", 0, false), "");
        let long = "x".repeat(1 << 20);
        assert_eq!(width(&fit(&long, 80, false)), 80);
        for text in ["漢字…≤█", "└─ é"] {
            assert!(ascii(text).is_ascii());
            assert_eq!(ascii(text).len(), width(text));
        }
    }

    #[test]
    fn times_and_curves() {
        let clock = |s| clock(Duration::from_secs(s));
        assert_eq!([clock(59), clock(3723), clock(273_900)], ["0:59", "1:02:03", "3-04:05"]);
        assert_eq!(curve(&[Some(0.0), None, Some(1.0), Some(2.0)], 3, 0.0), " ▅█");
        assert_eq!(curve(&[Some(0.0)], 9, 0.0), "▁");
        assert_eq!(curve(&[Some(1.0)], 9, 4.0), "▃");
    }
}
