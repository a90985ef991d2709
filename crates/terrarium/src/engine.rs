//! The second program: what answers questions about many jobs carries an analytics engine, and is only started for that.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::error::CliError;

/// Its name, beside this program or in ../libexec/terrarium.
const NAME: &str = "terrarium-store";

fn find() -> Result<PathBuf, CliError> {
    let own = std::env::current_exe().unwrap_or_default();
    let directory = own.parent().unwrap_or(std::path::Path::new(""));
    let places = [directory.join(NAME), directory.join("../libexec/terrarium").join(NAME)];
    places.into_iter().find(|place| place.is_file()).ok_or(CliError::NoEngine)
}

/// Takes this program's place.
pub(crate) fn become_it(words: &[OsString]) -> Result<u8, CliError> {
    let program = find()?;
    let error = Command::new(&program).args(words).exec();
    Err(CliError::Engine { program, source: error })
}

/// Runs it to its end; its exit status.
pub(crate) fn run(words: &[&OsStr]) -> Result<u8, CliError> {
    let program = find()?;
    match Command::new(&program).args(words).status() {
        Ok(status) => Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)),
        Err(source) => Err(CliError::Engine { program, source }),
    }
}
