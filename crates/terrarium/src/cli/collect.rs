//! Flags of `terrarium collect`, and of what the engine does.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use terrarium_core::parse_duration;

/// Flags of `terrarium collect`.
#[derive(Debug, Args)]
#[command(after_help = COLLECT_AFTER)]
pub struct CollectArgs {
    /// Collect what is there, and end [default]
    #[arg(long, conflicts_with = "daemon")]
    pub once: bool,
    /// Collect every --every, until SIGTERM
    #[arg(long)]
    pub daemon: bool,
    /// How often
    #[arg(long, value_name = "TIME", value_parser = pause, default_value = "1m", requires = "daemon")]
    pub every: Duration,
    /// Where records are [default: TERRARIUM_SPOOL; for root that of the site, for others those of the site and their own]
    #[arg(long, value_name = "DIR")]
    pub spool: Vec<PathBuf>,
    /// Where segments go, and are taken from [default: /var/lib/terrarium/segments for root, else
    /// ~/.local/share/terrarium/segments]
    #[arg(long, value_name = "DIR")]
    pub segments: Option<PathBuf>,
    /// Commit segments to this store: a directory, or s3://BUCKET/PREFIX. With --segments and without --spool nothing else is
    /// done: that is the collector of a cluster
    #[arg(long, value_name = "URL")]
    pub store: Option<OsString>,
    /// Send segments to a collector that listens, http://HOST:PORT, and remove those that it has
    #[arg(long, value_name = "URL", conflicts_with = "store")]
    pub send: Option<OsString>,
    /// Take segments from nodes at this address, such as 127.0.0.1:7411, and put them to --segments
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["send", "spool", "once", "daemon"])]
    pub listen: Option<OsString>,
    /// A file with the secret that --send and --listen share; nobody else may read it
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Rules of the site [default: /etc/terrarium/site.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Show which rule catches what in the spool; collect nothing
    #[arg(long, conflicts_with_all = ["daemon", "store", "send", "listen"])]
    pub dry_run: bool,
    /// Print JSON, an object for each look (schema terrarium.collect/1)
    #[arg(long)]
    pub json: bool,
}

fn pause(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
    let time = parse_duration(text).map_err(|e| e.to_string())?;
    if range.contains(&time) { Ok(time) } else { Err("write a time from 1s to 24h".to_owned()) }
}

/// Handed on to `terrarium-store`, help and all.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct EngineArgs {
    /// For the engine; --help tells
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<OsString>,
}

const COLLECT_AFTER: &str = "\
Examples:
  terrarium collect                                             # the end of a job, on its node
  terrarium collect --daemon --every 5m                         # a service on each node
  terrarium collect --segments /shared/segments --store /srv/terrarium    # one collector for the cluster
  terrarium collect --send http://collector:7411 --token-file /etc/terrarium/token
  terrarium collect --dry-run --rules site.toml                 # what the rules make of the records here

Exit status: 0, or 1 if something was refused or could not be read, or 125.";
