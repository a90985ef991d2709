//! `terrarium show`.

use crate::cli::show::ShowArgs;
use crate::error::CliError;

/// Returns the exit code.
pub(crate) fn run(_args: &ShowArgs) -> Result<u8, CliError> {
    Ok(125)
}
