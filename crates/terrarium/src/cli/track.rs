//! Flags of `terrarium track`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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
    /// Print what switches tracking on for more than one run: a shell, a site
    ///
    /// `terrarium run` needs none of this. Each format says in comments where it belongs, and keeps to the wish of those who do
    /// not want to be recorded (TERRARIUM_TRACK=off, or a file ~/.config/terrarium/no-track).
    Env(EnvArgs),
}

/// Flags of `terrarium track env`.
#[derive(Debug, Args)]
#[command(after_help = ENV_AFTER)]
pub struct EnvArgs {
    /// For what
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: EnvFormat,
    /// Where records go [default: /run/terrarium/spool; for sh and csh without one, a directory of the user's in memory]
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
}

/// `--format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EnvFormat {
    /// A shell of the Bourne family, by eval
    #[default]
    Sh,
    /// csh and tcsh, by source
    Csh,
    /// A module file in Tcl (Environment Modules, Lmod)
    Module,
    /// A module file in Lua (Lmod)
    Lmod,
    /// A file in /etc/profile.d
    #[value(name = "profile.d")]
    ProfileD,
    /// /etc/ld.so.preload: every process of the machine
    #[value(name = "ld.so.preload")]
    Preload,
    /// A TaskProlog of Slurm
    Slurm,
    /// A file in /etc/tmpfiles.d that makes the spool
    Tmpfiles,
}

const ENV_AFTER: &str = "\
Examples:
  eval \"$(terrarium track env)\"
  terrarium track env --format profile.d > /etc/profile.d/terrarium.sh
  terrarium track env --format tmpfiles > /etc/tmpfiles.d/terrarium.conf";

/// Flags of `terrarium track show`.
#[derive(Debug, Args)]
#[command(after_help = SHOW_AFTER)]
pub struct ShowArgs {
    /// A record, the PID of a process whose newest record is shown, or a directory of records [default: the newest in the spools]
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
  terrarium track show --modules /run/terrarium/spool/run-17-4242-4026531836/*.spool
  terrarium track show --json /run/terrarium/spool | jq -r '.modules[] | select(.direct) | .name'";
