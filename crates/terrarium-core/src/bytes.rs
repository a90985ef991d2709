//! An amount of memory, as people write it (`4G`) and as they read it (`4.0 GiB`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A number of bytes.
///
/// Units are powers of 1024, as in Slurm, `ulimit` and the kernel: `4G`, `4GiB` and `4GB`
/// are all 4 × 1024³. A bare number is refused, because tools disagree on its
/// unit (Slurm reads megabytes, Docker bytes); `0` needs none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// Why a size could not be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BytesError {
    /// Nothing, or no digits.
    #[error("`{text}` is not a size; write a number and a unit, such as 512M or 4G")]
    NotANumber {
        /// What was given.
        text: String,
    },
    /// A number without a unit.
    #[error("`{text}` has no unit; write {text}M for MiB or {text}G for GiB")]
    NoUnit {
        /// What was given.
        text: String,
    },
    /// A unit that does not exist.
    #[error("unknown unit `{unit}` in `{text}`; use K, M, G or T (powers of 1024), or B for bytes")]
    UnknownUnit {
        /// What was given.
        text: String,
        /// The part taken for a unit.
        unit: String,
    },
    /// More than 2⁶³ bytes.
    #[error("`{text}` is more memory than can be addressed")]
    TooLarge {
        /// What was given.
        text: String,
    },
}

impl Bytes {
    /// One mebibyte.
    pub const MIB: u64 = 1 << 20;

    /// Whole mebibytes.
    pub const fn mib(n: u64) -> Self {
        Bytes(n * Self::MIB)
    }

    /// The shortest form that `--mem` reads back, rounded up to whole MiB or GiB:
    /// what to write next time.
    pub fn as_argument(self) -> String {
        let mib = self.0.div_ceil(Self::MIB).max(1);
        if mib.is_multiple_of(1024) {
            format!("{}G", mib / 1024)
        } else if mib > 10 * 1024 {
            format!("{}G", mib.div_ceil(1024))
        } else {
            format!("{mib}M")
        }
    }
}

impl FromStr for Bytes {
    type Err = BytesError;

    fn from_str(s: &str) -> Result<Self, BytesError> {
        let text = s.trim();
        let own = || text.to_owned();
        let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let value: f64 = number.parse().map_err(|_| BytesError::NotANumber { text: own() })?;
        let unit = unit.trim();
        let factor: u64 = match unit.to_ascii_uppercase().as_str() {
            "" if value == 0.0 => 1,
            "" => return Err(BytesError::NoUnit { text: own() }),
            "B" => 1,
            "K" | "KB" | "KIB" => 1 << 10,
            "M" | "MB" | "MIB" => 1 << 20,
            "G" | "GB" | "GIB" => 1 << 30,
            "T" | "TB" | "TIB" => 1 << 40,
            _ => return Err(BytesError::UnknownUnit { text: own(), unit: unit.to_owned() }),
        };
        // Whole numbers take the exact path; 1.5G is exact in f64 as well.
        let bytes = match number.parse::<u64>() {
            Ok(n) => n.checked_mul(factor),
            Err(_) => Some(value * factor as f64).filter(|v| *v < i64::MAX as f64).map(|v| v as u64),
        };
        bytes.filter(|b| *b <= i64::MAX as u64).map(Bytes).ok_or_else(|| BytesError::TooLarge { text: own() })
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1023.95 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        if value >= 99.95 {
            write!(f, "{value:.0} {}", UNITS[unit])
        } else {
            write!(f, "{value:.1} {}", UNITS[unit])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("4G", 4 << 30),
            ("4GiB", 4 << 30),
            ("4gb", 4 << 30),
            ("1.5G", 3 << 29),
            ("512M", 512 << 20),
            ("64 K", 64 << 10),
            ("100B", 100),
            ("0", 0),
            ("0M", 0),
            ("2T", 2 << 40),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_unclear() {
        for (text, part) in [
            ("4096", "has no unit"),
            ("4X", "unknown unit `X`"),
            ("4Gb/s", "unknown unit"),
            ("", "not a size"),
            ("G", "not a size"),
            ("-1G", "not a size"),
            ("1.2.3G", "not a size"),
            ("99999999999T", "more memory"),
        ] {
            let error = text.parse::<Bytes>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn prints_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536 << 20, "1.5 GiB"),
            (200 << 20, "200 MiB"),
            (1023 << 20, "1023 MiB"),
            ((1 << 30) - 1, "1.0 GiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
        assert_eq!(Bytes::mib(2048).as_argument(), "2G");
        assert_eq!(Bytes::mib(1500).as_argument(), "1500M");
    }

    proptest! {
        #[test]
        fn an_argument_reads_back_and_is_never_smaller(b in 1u64..(1 << 50)) {
            let back: Bytes = Bytes(b).as_argument().parse().unwrap();
            prop_assert!(back.0 >= b);
        }

        #[test]
        fn no_text_panics(s in "\\PC{0,12}") {
            let _ = s.parse::<Bytes>();
        }
    }
}
