//! `terrarium track`: what Python processes load.

mod alive;
mod env;
mod forks;
mod json;
mod packages;
mod show;
mod spool;
#[cfg(test)]
mod tests;
mod text;

use crate::cli::track::TrackCommand;
use crate::error::CliError;

/// Returns the exit code.
pub(crate) fn run(command: &TrackCommand) -> Result<u8, CliError> {
    match command {
        TrackCommand::Show(args) => show::run(args),
        TrackCommand::Env(args) => env::run(args),
    }
}
