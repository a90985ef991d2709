//! Flags of `terrarium advise` and `terrarium trial`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use terrarium_core::JobId;

use super::RunArgs;

/// For which batch system lines are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Batch {
    /// #SBATCH
    Slurm,
    /// #PBS
    Pbs,
    /// #BSUB
    Lsf,
    /// All of them
    All,
    /// None
    None,
}

/// How advice is printed.
#[derive(Clone, Copy, Debug, Args)]
pub struct AdviceOutput {
    /// Lines of a batch script for this system [default: the one whose commands are here, else all]
    #[arg(long, value_enum, value_name = "slurm|pbs|lsf|all|none")]
    pub batch: Option<Batch>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `terrarium advise`.
#[derive(Debug, Args)]
pub struct AdviseArgs {
    /// Only from the last N runs
    #[arg(long, value_name = "N", value_parser = super::at_least_one)]
    pub last: Option<u64>,
    /// Only from this run; can be repeated
    #[arg(long, value_name = "ID")]
    pub job: Vec<JobId>,
    /// Directory of the history [default: TERRARIUM_HISTORY, or terrarium/history in XDG_DATA_HOME or ~/.local/share]
    #[arg(long, value_name = "DIR")]
    pub history: Option<PathBuf>,
    /// How to print it.
    #[command(flatten)]
    pub output: AdviceOutput,
    /// The command, with its arguments [default: the one that ran last]
    #[arg(trailing_var_arg = true, value_name = "COMMAND", allow_hyphen_values = false)]
    pub command: Vec<OsString>,
}

/// Flags of `terrarium trial`.
#[derive(Debug, Args)]
pub struct TrialArgs {
    /// How to print the advice.
    #[command(flatten)]
    pub output: AdviceOutput,
    /// The run.
    #[command(flatten)]
    pub run: RunArgs,
}
