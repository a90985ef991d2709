//! Flags of `terrarium show`.

use std::path::PathBuf;

use clap::Args;

/// Flags of `terrarium show`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct ShowArgs {
    /// A series that `terrarium run --record` wrote, or the name of a job in the history [default: the last run that has a
    /// series there]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Write one page with all charts and tables, which needs nothing else; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write each chart as a picture into this directory
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
    /// Write all looks as CSV, an empty cell for no data; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Print lowest, mean, 95th percentile, highest and total of each metric as JSON
    #[arg(long)]
    pub json: bool,
}

const AFTER: &str = "\
Without flags, charts go to the terminal. A page and the pictures hold no scripts and need no network; \
print the page from a browser for paper.

Examples:
  terrarium show job.arrow
  terrarium show job.arrow --html job.html --svg pictures
  terrarium show job.arrow --csv - | head -n 3";
