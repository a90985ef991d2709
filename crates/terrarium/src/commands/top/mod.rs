//! `terrarium top`: the runs of this node, live or once.

mod look;

use crate::cli::top::TopArgs;
use crate::error::CliError;

/// Returns the exit code.
pub(crate) fn run(_args: &TopArgs) -> Result<u8, CliError> {
    let _ = look::Looker::new;
    Ok(125)
}
