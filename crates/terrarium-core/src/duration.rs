//! Spans of time, as people and batch systems write them.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// Why a span of time could not be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DurationError {
    /// No form that is known.
    #[error("`{text}` is not a span of time; write 90s, 15m, 1h30m, 2d, 1:30:00 or 1-12:00:00")]
    Unreadable {
        /// What was given.
        text: String,
    },
    /// A number without a unit.
    #[error("`{text}` has no unit; write {text}s for seconds or {text}m for minutes")]
    NoUnit {
        /// What was given.
        text: String,
    },
    /// Longer than 100 years.
    #[error("`{text}` is too long")]
    TooLong {
        /// What was given.
        text: String,
    },
}

/// Reads `90s`, `500ms`, `1h30m`, `2d`, and the clock forms `H:MM:SS` and `D-HH:MM:SS`.
///
/// A bare number is refused (Slurm reads minutes, `timeout` seconds), except `0`.
/// `M:SS` is refused too: Slurm reads `1:30` as a minute and a half, people as one and a half hours.
pub fn parse_duration(s: &str) -> Result<Duration, DurationError> {
    let text = s.trim();
    let bad = || DurationError::Unreadable { text: text.to_owned() };
    if text.is_empty() {
        return Err(bad());
    }
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DurationError::NoUnit { text: text.to_owned() });
    }
    let span = if text.contains(':') { clock(text).ok_or_else(bad)? } else { units(text).ok_or_else(bad)? };
    if span > Duration::from_secs(100 * 366 * 86_400) {
        return Err(DurationError::TooLong { text: text.to_owned() });
    }
    Ok(span)
}

fn clock(text: &str) -> Option<Duration> {
    let (days, rest) = match text.split_once('-') {
        Some((d, rest)) => (digits(d)?, rest),
        None => (0, text),
    };
    let fields: Vec<&str> = rest.split(':').collect();
    let [h, m, s] = fields[..] else { return None };
    let (h, m, s) = (digits(h)?, digits(m)?, digits(s)?);
    if m > 59 || s > 59 || (days > 0 && h > 23) {
        return None;
    }
    let seconds = days.checked_mul(86_400)?.checked_add(h.checked_mul(3600)?)?;
    Some(Duration::from_secs(seconds.checked_add(m * 60 + s)?))
}

fn digits(s: &str) -> Option<u64> {
    (!s.is_empty() && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse().ok()).flatten()
}

fn units(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let value: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let scale = match rest[..end].trim() {
            "ms" => 0.001,
            "s" | "sec" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        rest = &rest[end..];
        total = total.checked_add(Duration::try_from_secs_f64(value * scale).ok()?)?;
    }
    Some(total)
}

/// A span printed as people say it: `340 ms`, `2.4 s`, `3 min 05 s`, `2 h 03 min`, `1 d 4 h`.
#[derive(Clone, Copy, Debug)]
pub struct HumanDuration(pub Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.as_secs();
        match s {
            0 if self.0.as_millis() < 10 => write!(f, "{:.1} ms", self.0.as_secs_f64() * 1e3),
            0 => write!(f, "{} ms", self.0.as_millis()),
            1..=59 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            60..=3599 => write!(f, "{} min {:02} s", s / 60, s % 60),
            3600..=86_399 => write!(f, "{} h {:02} min", s / 3600, s / 60 % 60),
            _ => write!(f, "{} d {} h", s / 86_400, s / 3600 % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_usual_forms() {
        for (text, ms) in [
            ("90s", 90_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("2d", 172_800_000),
            ("1:30:00", 5_400_000),
            ("1-12:00:00", 129_600_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn refuses_what_batch_systems_read_differently() {
        for (text, part) in [
            ("90", "no unit"),
            ("1:30", "not a span"),
            ("", "not a span"),
            ("10x", "not a span"),
            ("1h-", "not a span"),
            ("1:99:00", "not a span"),
            ("99999999d", "too long"),
        ] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn prints_the_two_largest_units() {
        for (ms, text) in [
            (2, "2.0 ms"),
            (340, "340 ms"),
            (2_440, "2.4 s"),
            (185_000, "3 min 05 s"),
            (7_380_000, "2 h 03 min"),
            (100_800_000, "1 d 4 h"),
        ] {
            assert_eq!(HumanDuration(Duration::from_millis(ms)).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(s in "[0-9dhms:. -]{0,14}") {
            let _ = parse_duration(&s);
        }
    }
}
