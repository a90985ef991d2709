//! The series file: Arrow IPC that pandas, polars and DuckDB read without us.

mod columns;
mod read;
mod write;

use terrarium_core::report::RunReport;
use terrarium_core::sample::{Sample, SeriesStart};
use thiserror::Error;

pub use read::read;
pub use write::Encoder;

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What was known when it began.
    pub start: SeriesStart,
    /// The looks, in order of time.
    pub samples: Vec<Sample>,
    /// The report, if the run came to its end.
    pub report: Option<RunReport>,
    /// The file is damaged: why, and that what stands before the damage is all there is.
    pub damage: Option<String>,
}

/// Why a file could not be read.
#[derive(Debug, Error)]
pub enum SeriesError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is no series of ours.
    #[error("{why}")]
    Foreign {
        /// What was found instead.
        why: String,
    },
}

/// Key of the schema's metadata that holds a [`SeriesStart`] as JSON.
const START_KEY: &str = "terrarium.start";

/// Key that holds the [`RunReport`] as JSON.
const REPORT_KEY: &str = "terrarium.report";
