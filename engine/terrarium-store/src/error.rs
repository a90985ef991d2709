//! What an error means: its hint is decided here.

use terrarium_usage::error::Error;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("cannot write to standard output: {0}")]
    Write(std::io::Error),
    #[error("cannot write {}: {source}", path.display())]
    File { path: std::path::PathBuf, source: std::io::Error },
    #[error("there is no home to keep a store in")]
    NoHome,
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Import(#[from] terrarium_import::ImportError),
    #[error(transparent)]
    Site(#[from] terrarium_site::SiteError),
    #[error("another import is at work in {}", .0.display())]
    ImportBusy(std::path::PathBuf),
    #[error("sacct: {0}")]
    Sacct(String),
    #[error("there is no report `{0}`")]
    NoReport(String),
}

impl CliError {
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            CliError::NoHome => "name it: --store URL, or TERRARIUM_STORE=URL",
            CliError::NoReport(_) => "`terrarium report list` lists them",
            CliError::Store(Error::NoStore { .. }) => {
                "`terrarium run` a Python program first; or name the store: --store URL, or TERRARIUM_STORE=URL"
            }
            CliError::Store(Error::Busy { .. }) => "wait until it is done, and try again",
            CliError::Store(Error::Newer { .. }) => "install the newer terrarium that wrote it",
            CliError::Store(Error::Elsewhere { .. }) => {
                "start the collector that has it, or the import again; or put the segment into the folder and try again"
            }
            CliError::ImportBusy(_) => "wait until it is done, or name another place: --work DIR",
            CliError::Import(terrarium_import::ImportError::Nothing) => {
                "name files, or folders with files in them"
            }
            CliError::Import(terrarium_import::ImportError::Mapping { .. }) => {
                "docs/guide/importing.md has examples"
            }
            CliError::Sacct(_) => {
                "run it where sacct is, with the rights to see all jobs; or name a file that sacct wrote"
            }
            CliError::Store(Error::Query(_)) => "`terrarium store schema` prints tables and columns",
            _ => return None,
        })
    }
}
