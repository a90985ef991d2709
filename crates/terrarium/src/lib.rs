//! The command line: parses flags, calls the crates below, prints, and decides the exit code.
//!
//! A library only so that `xtask` can generate the man page and the completions from
//! the one definition of the flags in [`cli`].

#![forbid(unsafe_code)]

mod advice_text;
pub mod cli;
mod commands;
mod engine;
mod error;
mod history;
mod hook;
mod loaded;
mod nvml;
mod out;
mod people;
mod recorder;
mod spool;
mod summary;
mod whole_file;

use clap::Parser;
use terrarium_core::exit;

/// Runs the command line of this process; returns the exit code.
pub fn main() -> u8 {
    let cli = match cli::Cli::try_parse_from(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap as well, but go to stdout and are none.
            let _ = error.print();
            return if error.use_stderr() { exit::COULD_NOT_START } else { 0 };
        }
    };
    let result = match cli.command {
        cli::Command::Run(args) => commands::run::run(args),
        cli::Command::Reap(args) => commands::reap::run(&args),
        cli::Command::Show(args) => commands::show::run(&args),
        cli::Command::Top(args) => commands::top::run(&args),
        cli::Command::Trial(args) => commands::trial::run(*args),
        cli::Command::Advise(args) => commands::advise::run(&args),
        cli::Command::Limits(args) => commands::limits::run(&args),
        cli::Command::LimitsWorker(args) => Ok(commands::limits::worker::run(&args)),
        cli::Command::Kernel(args) => commands::kernel::run(args.command),
        cli::Command::Track(args) => commands::track::run(&args.command),
        cli::Command::Collect(args) => commands::collect::run(&args),
        cli::Command::CollectReader => commands::collect::read_environments(),
        cli::Command::Store(args) => commands::report::store(&args),
        cli::Command::Report(args) => commands::report::report(&args),
        cli::Command::Import(args) => commands::report::import(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            error.print();
            error.code()
        }
    }
}
