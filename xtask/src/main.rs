//! What a checkout needs besides cargo: `cargo xtask --help`.

mod bench;
mod compare;
mod generate;
mod hook_matrix;
mod replay;
mod synth;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Errors are for the person at the terminal, so their text is all there is to them.
type Result<T = ()> = std::result::Result<T, String>;

/// What a checkout of terrarium needs besides cargo.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check the house rules: layers, unsafe, printing, file sizes, documents (`cargo test -p xtask` does it as well)
    Tidy,
    /// Write the man pages and the completions from the definition of the flags
    Generate {
        /// Write nothing; fail if a file is not what would be written
        #[arg(long)]
        check: bool,
    },
    /// Measure terrarium beside its peers, in the same minutes on the same machine
    Bench(bench::BenchArgs),
    /// Try what terrarium and its peers hold, pass on and report, and print a table
    Compare(compare::CompareArgs),
    /// Start Python in every way, end it in every way, with every Python here, and look at what the hook recorded (make build first)
    HookMatrix(hook_matrix::HookMatrixArgs),
    /// Try rules for memory requests on traces of real tasks: what each would have wasted, and how often it would have failed
    Replay(replay::ReplayArgs),
    /// Make up a year of a large site, to measure queries on: segments, accounting, fields of science, and what is in them
    Synth(synth::SynthArgs),
}

/// Where the checkout lies.
fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// Where cargo puts what it builds.
fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Tidy => tidy::print(&root()),
        Task::Generate { check: false } => generate::write(&root()),
        Task::Generate { check: true } => generate::check(&root()),
        Task::Bench(args) => bench::run(&root(), &args),
        Task::Compare(args) => compare::run(&root(), &args),
        Task::HookMatrix(args) => hook_matrix::run(&root(), &args),
        Task::Replay(args) => replay::run(&args),
        Task::Synth(args) => synth::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("xtask: {text}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        super::Cli::command().debug_assert();
    }
}
