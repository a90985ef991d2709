//! Flags of `terrarium show`.

use std::path::PathBuf;

use clap::Args;

/// Flags of `terrarium show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A series that `terrarium run --record` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}
