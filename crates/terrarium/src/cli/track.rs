//! Flags of `terrarium track`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `terrarium track`.
#[derive(Debug, Args)]
pub struct TrackArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TrackCommand,
}

/// What to do with what is tracked.
#[derive(Debug, Subcommand)]
pub enum TrackCommand {
    /// Show what a process has loaded
    ///
    /// The record of a process is readable while it runs, and after any end of it. Packages that the program or the user's own
    /// code asks for stand first, then those that came with them.
    Show(ShowArgs),
}

/// Flags of `terrarium track show`.
#[derive(Debug, Args)]
#[command(after_help = SHOW_AFTER)]
pub struct ShowArgs {
    /// A record, the PID of a process whose newest record is shown, or a directory of records [default: the spools]
    #[arg(value_name = "FILE|PID|DIR")]
    pub what: Vec<PathBuf>,
    /// Where records are looked for [default: TERRARIUM_SPOOL, or those of the site and your own]
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// List every module, not only packages
    #[arg(long)]
    pub modules: bool,
    /// Print JSON, an object for each record (schema terrarium.track/1)
    #[arg(long)]
    pub json: bool,
}

const SHOW_AFTER: &str = "\
Examples:
  terrarium track show 4711
  terrarium track show --modules /dev/shm/terrarium/*
  terrarium track show --json /dev/shm/terrarium | jq -r '.modules[] | select(.direct) | .name'";
