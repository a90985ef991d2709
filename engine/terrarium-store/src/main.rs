//! `terrarium-store`: commits segments to the store, keeps it, and answers questions. Started by `terrarium`, or by itself.

mod cli;
mod commands;
mod error;
mod http;
mod out;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

/// Bad arguments, or nothing could be done.
const COULD_NOT: u8 = 125;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(COULD_NOT) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            out::note(format_args!("error: cannot start threads: {error}"));
            return ExitCode::from(COULD_NOT);
        }
    };
    let done = runtime.block_on(async {
        match &cli.command {
            Command::Commit(args) => commands::commit::run(args).await,
            Command::Listen(args) => commands::travel::listen(args),
            Command::Send(args) => commands::travel::send(args),
            Command::Check(args) => commands::check::run(args).await,
            Command::Compact(args) => commands::maintain::compact(args).await,
            Command::Rollup(args) => commands::maintain::rollup(args).await,
            Command::Expire(args) => commands::maintain::expire(args).await,
            Command::Forget(args) => commands::maintain::forget(args).await,
            Command::Sql(args) => commands::sql::run(args).await,
            Command::Schema(args) => commands::schema::run(args),
            Command::Import(args) => commands::import::run(args).await,
            Command::Report(args) => commands::report::run(args).await,
        }
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            out::note(format_args!("error: {error}"));
            if let Some(hint) = error.hint() {
                out::err(format_args!("hint: {hint}"));
            }
            ExitCode::from(COULD_NOT)
        }
    }
}
