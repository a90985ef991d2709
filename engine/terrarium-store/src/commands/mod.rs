//! One file a command.

pub(crate) mod check;
pub(crate) mod commit;
pub(crate) mod import;
pub(crate) mod maintain;
pub(crate) mod report;
pub(crate) mod schema;
pub(crate) mod sql;
pub(crate) mod travel;

use std::path::PathBuf;
use std::time::Duration;

use terrarium_usage::location::Location;

use crate::cli::StoreArg;
use crate::error::CliError;

/// Names another store.
const VARIABLE: &str = "TERRARIUM_STORE";

impl StoreArg {
    pub(crate) fn location(&self) -> Result<Location, CliError> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let named = self.store.clone().or_else(|| set(VARIABLE)?.into_string().ok());
        if let Some(named) = named {
            return Ok(Location::parse(&named)?);
        }
        let data = set("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || set("HOME").map(|home| PathBuf::from(home).join(".local/share"));
        let data = data.or_else(home).ok_or(CliError::NoHome)?;
        Ok(Location::parse(&data.join("terrarium/store").display().to_string())?)
    }
}

/// `90s`, `15m`, `12h`, `400d`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let bad = || "write a time such as 90s, 15m, 12h or 400d".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| bad())?;
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        _ => return Err(bad()),
    };
    number.checked_mul(unit).filter(|seconds| *seconds < 1 << 40).map(Duration::from_secs).ok_or_else(bad)
}

/// `512M`, `2G`.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let bad = || "write a size from 64M on, such as 512M or 2G".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: usize = digits.parse().map_err(|_| bad())?;
    let unit = match &text[digits.len()..] {
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return Err(bad()),
    };
    number.checked_mul(unit).filter(|size| *size >= 64 << 20).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        assert_eq!(time("400d"), Ok(Duration::from_secs(400 * 86_400)));
        assert_eq!(size("2G"), Ok(2 << 30));
        for bad in ["", "7", "d", "1y", "-1d", "99999999999999d", "1é"] {
            assert!(time(bad).is_err(), "{bad}");
        }
        for bad in ["", "1", "1M", "2T", "99999999999999999999G"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
