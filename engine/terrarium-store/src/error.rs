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
                "start the collector that has it, or put the segment into the folder and try again"
            }
            CliError::Store(Error::Query(_)) => "`terrarium store schema` prints tables and columns",
            _ => return None,
        })
    }
}
