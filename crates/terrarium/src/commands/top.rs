//! `terrarium top`.

use crate::cli::top::TopArgs;
use crate::error::CliError;

/// Returns the exit code.
pub(crate) fn run(_args: &TopArgs) -> Result<u8, CliError> {
    Ok(125)
}
