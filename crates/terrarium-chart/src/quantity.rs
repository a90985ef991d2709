//! What the values of a chart are, and how people read them.

use std::time::Duration;

use terrarium_core::{Bytes, HumanDuration};

/// What the values are: decides ticks and texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// CPUs in use.
    Cpus,
    /// A number of things, which have this name.
    Count(&'static str),
    /// Bytes.
    Bytes,
    /// Bytes in each second.
    BytesPerSecond,
    /// Things of this name in each second.
    PerSecond(&'static str),
    /// Percent; the text says of what.
    Percent(&'static str),
}

impl Quantity {
    /// What stands at the value axis.
    pub fn axis(self) -> String {
        match self {
            Quantity::Cpus => "CPUs".to_owned(),
            Quantity::Count(what) => what.to_owned(),
            Quantity::Bytes => "bytes (powers of 1024)".to_owned(),
            Quantity::BytesPerSecond => "bytes per second (powers of 1024)".to_owned(),
            Quantity::PerSecond(what) => format!("{what} per second"),
            Quantity::Percent(of) => format!("percent of {of}"),
        }
    }

    /// A value with its unit, as short as it can be understood beside the axis' text.
    pub fn format(self, value: f64) -> String {
        match self {
            Quantity::Cpus | Quantity::Count(_) => number(value),
            Quantity::Bytes => Bytes(value.max(0.0).round() as u64).to_string(),
            Quantity::BytesPerSecond => format!("{}/s", Bytes(value.max(0.0).round() as u64)),
            Quantity::PerSecond(_) => format!("{}/s", number(value)),
            Quantity::Percent(_) => format!("{} %", number(value)),
        }
    }

    /// The same in a sentence.
    pub fn phrase(self, value: f64) -> String {
        match self {
            Quantity::Cpus if value == 1.0 => "1 CPU".to_owned(),
            Quantity::Cpus => format!("{} CPUs", number(value)),
            _ => self.format(value),
        }
    }

    /// Whether only whole numbers make sense.
    pub fn is_whole(self) -> bool {
        matches!(self, Quantity::Count(_))
    }

    /// Whether its units are powers of 1024.
    pub fn is_binary(self) -> bool {
        matches!(self, Quantity::Bytes | Quantity::BytesPerSecond)
    }
}

/// A number with two or three digits that count.
pub fn number(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        v if v < 9_999.5 => (value, ""),
        v if v < 999_500.0 => (value / 1e3, "k"),
        v if v < 999.5e6 => (value / 1e6, "M"),
        v if v < 999.5e9 => (value / 1e9, "G"),
        v if v < 999.5e12 => (value / 1e12, "T"),
        _ => return format!("{value:.1e}"),
    };
    let size = scaled.abs();
    let digits = if scaled == scaled.round() && suffix.is_empty() || size >= 99.95 {
        0
    } else if size >= 9.995 {
        1
    } else {
        2
    };
    let text = format!("{scaled:.digits$}");
    if size > 0.0 && text.trim_matches(['-', '0', '.']).is_empty() {
        return "<0.01".to_owned();
    }
    format!("{text}{suffix}")
}

/// A number with all its digits before the point, in groups of three.
pub fn full(value: f64) -> String {
    if value != value.round() && value.abs() < 999.5 || value.abs() >= 1e15 || value.is_nan() {
        return number(value);
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A moment or a span, seconds.
pub fn time(seconds: f64) -> String {
    if seconds <= 0.0 {
        return "0 s".to_owned();
    }
    HumanDuration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.001, "<0.01"),
            (0.256, "0.26"),
            (3.0, "3"),
            (3.1234, "3.12"),
            (31.234, "31.2"),
            (312.34, "312"),
            (9_999.0, "9999"),
            (12_345.0, "12.3k"),
            (999_499.0, "999k"),
            (5_000_000.0, "5.00M"),
            (2e13, "20.0T"),
            (2e300, "2.0e300"),
        ] {
            assert_eq!(number(value), text);
        }
        for (value, text) in
            [(0.0, "0"), (999.0, "999"), (-1000.0, "-1,000"), (12_345_678.0, "12,345,678"), (1.5, "1.50")]
        {
            assert_eq!(full(value), text);
        }
    }

    #[test]
    fn values_have_their_unit() {
        assert_eq!(Quantity::Bytes.format(1536.0 * 1024.0 * 1024.0), "1.5 GiB");
        assert_eq!(Quantity::BytesPerSecond.format(2048.0), "2.0 KiB/s");
        assert_eq!(Quantity::Percent("the time").format(12.5), "12.5 %");
        assert_eq!(Quantity::Cpus.phrase(2.0), "2 CPUs");
        assert_eq!(time(0.0), "0 s");
        assert_eq!(time(f64::MAX), HumanDuration(Duration::MAX).to_string());
    }
}
