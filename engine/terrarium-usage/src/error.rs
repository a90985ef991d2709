//! Why something failed.

use std::path::PathBuf;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no place for a store.
    #[error("`{location}` is no place for a store: {why}")]
    Location {
        /// What was named.
        location: String,
        /// Why not.
        why: String,
    },
    /// There is no store.
    #[error("there is no store at {location}")]
    NoStore {
        /// Where it was looked for.
        location: String,
    },
    /// Another process changes it.
    #[error("the store {location} is being changed by another process")]
    Busy {
        /// Which.
        location: String,
    },
    /// Made by a later version.
    #[error(
        "the store {location} has version {version} of the tables, and this program knows {}",
        crate::schema::VERSION
    )]
    Newer {
        /// Which.
        location: String,
        /// Its version.
        version: String,
    },
    /// A batch that was begun elsewhere.
    #[error("batch {number} was begun by another collector and is not whole: segment {segment} is not here")]
    Elsewhere {
        /// Which.
        number: u64,
        /// What is missing.
        segment: String,
    },
    /// A file on this machine.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The log of a table, or a commit to it.
    #[error("table {table}: {source}")]
    Table {
        /// Which.
        table: &'static str,
        /// Why.
        source: Box<deltalake_core::DeltaTableError>,
    },
    /// A file in the store.
    #[error("cannot {what} {path}: {source}")]
    Object {
        /// What was to be done.
        what: &'static str,
        /// To what.
        path: String,
        /// Why not.
        source: object_store::Error,
    },
    /// Rows could not be put together or read.
    #[error("rows of {table}: {source}")]
    Rows {
        /// Of which table.
        table: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A report cannot be had like this.
    #[error("report {report}: {why}")]
    Report {
        /// Which.
        report: &'static str,
        /// Why not, and what can.
        why: String,
    },
    /// A query.
    #[error("{0}")]
    Query(#[from] Box<datafusion::error::DataFusionError>),
    /// A file of the store's own makes no sense.
    #[error("{path} makes no sense: {why}")]
    Damaged {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
    /// Interrupted on purpose, by a test.
    #[error("interrupted")]
    Interrupted,
}

/// What comes of an operation on the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<datafusion::error::DataFusionError> for Error {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        Error::Query(Box::new(error))
    }
}
