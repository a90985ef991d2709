//! `terrarium trial`.

use crate::cli::advise::TrialArgs;
use crate::error::CliError;

/// Returns the exit code.
pub(crate) fn run(_args: &TrialArgs) -> Result<u8, CliError> {
    Ok(125)
}
