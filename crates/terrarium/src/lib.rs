//! The command line: parses flags, calls the crates below, prints, and decides the exit code.
//!
//! A library only so that `xtask` can generate the man page and the completions from
//! the one definition of the flags in [`cli`].

#![forbid(unsafe_code)]

pub mod cli;
mod commands;
mod error;
mod nvml;
mod out;
mod summary;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use terrarium_core::exit;

/// Runs the command line `args`.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match cli::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap as well, but go to stdout and are none.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::COULD_NOT_START } else { 0 });
        }
    };
    let result = match cli.command {
        cli::Command::Run(args) => commands::run::run(args),
        cli::Command::Reap(args) => commands::reap::run(&args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            error.print();
            ExitCode::from(error.code())
        }
    }
}
