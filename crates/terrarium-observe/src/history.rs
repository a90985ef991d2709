//! The history: what earlier runs used, one line of JSON a run.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use terrarium_core::report::RunReport;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its report.
    pub report: RunReport,
    /// Its series below the history's directory, if one was kept.
    #[serde(default)]
    pub series: Option<PathBuf>,
}

/// What a directory holds, oldest first.
#[derive(Debug, Default)]
pub struct History {
    /// The runs.
    pub entries: Vec<Entry>,
    /// What could not be read: file, line and reason, for people.
    pub problems: Vec<String>,
}

/// Reads all of a history; a directory that is not there is an empty one.
pub fn read(_directory: &Path) -> std::io::Result<History> {
    unimplemented!()
}
