//! Where the history is, and putting runs into it.

use std::ffi::OsString;
use std::path::PathBuf;

use terrarium_core::Finding;
use terrarium_core::report::RunReport;
use terrarium_observe::history::{self, Entry};

use crate::recorder::{UNASKED_FROM, in_time};

/// Names another directory for the history, or switches it off.
const VARIABLE: &str = "TERRARIUM_HISTORY";

/// The directory; `None` if there is to be no history, or no home to keep it in.
pub(crate) fn directory() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    // A home that is not there is not to be made.
    let has_home = || variable("HOME").is_some_and(|home| PathBuf::from(home).is_dir());
    choose(&variable)
        .filter(|_| variable(VARIABLE).is_some() || variable("XDG_DATA_HOME").is_some() || has_home())
}

/// Where this user's own data is, unless he wants no history.
pub(crate) fn data() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if variable(VARIABLE).is_some_and(|value| value == "off") {
        return None;
    }
    // As if the history were in its place.
    let usual = choose(&|name| variable(name).filter(|_| name != VARIABLE))?;
    directory().and_then(|_| usual.parent().map(PathBuf::from))
}

fn choose(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    match variable(VARIABLE) {
        Some(value) if value == "off" => None,
        Some(directory) => Some(directory.into()),
        None => {
            // As the XDG base directory specification has it: a relative path is no path.
            let data = variable("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
            let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/share"));
            Some(data.or_else(home)?.join("terrarium/history"))
        }
    }
}

/// Adds a run, with its series if it was recorded elsewhere; what hinders it is told, for the run itself is none the worse
/// for it.
pub(crate) fn add(
    directory: &std::path::Path,
    report: &RunReport,
    series: Option<&std::path::Path>,
) -> Option<Finding> {
    let append = || {
        // An absolute path replaces the directory when it is joined to it.
        let series = series.map(PathBuf::from);
        let long = report.wall_seconds >= UNASKED_FROM.as_secs_f64();
        let find = || history::find_series(directory, &report.job.to_string());
        let series = series.or_else(|| if long { find() } else { None });
        history::append(directory, &Entry { report: report.clone(), series }).map_err(|e| e.to_string())
    };
    // For a job that took no time another process would be the most of it; and its home has just been there.
    let is_short = report.wall_seconds < 1.0;
    let appended = if is_short { append() } else { in_time(&append) };
    appended.err().map(|why| not_written(directory, &why))
}

pub(crate) fn not_written(directory: &std::path::Path, why: &str) -> Finding {
    Finding::new("history", format!("this run is not in the history ({}): {why}", directory.display()))
        .hint("name another directory (TERRARIUM_HISTORY=DIR), or switch it off (--no-record, TERRARIUM_HISTORY=off)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_is() {
        let with = |pairs: &'static [(&str, &str)]| {
            choose(&|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
        };
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[("HOME", "/h")]), Some("/h/.local/share/terrarium/history".into()));
        assert_eq!(with(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")]), Some("/d/terrarium/history".into()));
        assert_eq!(
            with(&[("HOME", "/h"), ("XDG_DATA_HOME", "d")]),
            Some("/h/.local/share/terrarium/history".into())
        );
        assert_eq!(with(&[("HOME", "/h"), ("TERRARIUM_HISTORY", "off")]), None);
        assert_eq!(with(&[("HOME", "/h"), ("TERRARIUM_HISTORY", "/x")]), Some("/x".into()));
    }
}
