//! `terrarium limits`.

use crate::cli::limits::LimitsArgs;
use crate::error::CliError;

/// Returns the exit code.
pub(crate) fn run(_args: &LimitsArgs) -> Result<u8, CliError> {
    Ok(125)
}
