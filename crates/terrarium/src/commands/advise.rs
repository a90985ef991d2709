//! `terrarium advise`.

use crate::cli::advise::AdviseArgs;
use crate::error::CliError;

/// Returns the exit code.
pub(crate) fn run(_args: &AdviseArgs) -> Result<u8, CliError> {
    Ok(125)
}
