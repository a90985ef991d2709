//! Flags of `terrarium top`.

use std::time::Duration;

use clap::Args;
use terrarium_core::{JobId, parse_duration};

/// Flags of `terrarium top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Time from look to look [default: 2s, with --once and --json 1s]
    #[arg(long, short = 'i', value_name = "TIME", value_parser = interval)]
    pub interval: Option<Duration>,
    /// Print one table and end: also done where standard input or output is no terminal
    #[arg(long)]
    pub once: bool,
    /// Print JSON, once (schema terrarium.top/1)
    #[arg(long)]
    pub json: bool,
    /// Only jobs of this user (name or number)
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Only this job (its name, or the PID that the table shows), with its processes
    #[arg(long, value_name = "ID", value_parser = which)]
    pub job: Option<Which>,
}

/// A job, as people name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// By its full name.
    Id(JobId),
    /// By its supervisor's PID.
    Pid(u32),
}

fn which(text: &str) -> Result<Which, String> {
    match text.parse() {
        Ok(pid) => Ok(Which::Pid(pid)),
        Err(_) => text.parse().map(Which::Id).map_err(|e: terrarium_core::job_id::BadJobId| e.to_string()),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(time) if time < Duration::from_millis(100) => {
            Err("at least 100ms: looking costs CPU time".to_owned())
        }
        Ok(time) if time > Duration::from_secs(3600) => Err("at most 1h".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}
