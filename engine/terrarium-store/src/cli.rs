//! The one definition of the flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::time;

/// The tables of what Python jobs load.
#[derive(Debug, Parser)]
#[command(name = "terrarium store", bin_name = "terrarium store", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Commit segments to the store, each exactly once; `terrarium collect --store` does this
    #[command(hide = true)]
    Commit(CommitArgs),
    /// Take segments from nodes; `terrarium collect --listen` does this
    #[command(hide = true)]
    Listen(ListenArgs),
    /// Send segments to a collector; `terrarium collect --send` does this
    #[command(hide = true)]
    Send(SendArgs),
    /// Read everything, and say whether it agrees
    Check(CheckArgs),
    /// Put the files of each day into one, and remove what was replaced
    Compact(CompactArgs),
    /// Bring the rollups up to date, which reports are quick with; once a day, after the accounting
    Rollup(RollupArgs),
    /// Remove old days for good
    Expire(ExpireArgs),
    /// Remove a person for good: from tables, earlier versions, logs, and segments that wait
    ///
    /// On a node, --spool DIR removes the person's records there as well; it may be given several times.
    Forget(ForgetArgs),
    /// Ask the tables, in SQL
    #[command(after_help = SQL_AFTER)]
    Sql(SqlArgs),
    /// Print tables and columns
    Schema(SchemaArgs),
    /// Bring in what others recorded: XALT, Customs, snapshots, accounting
    #[command(name = "import", after_help = IMPORT_AFTER)]
    Import(ImportArgs),
    /// What the tables answer; `terrarium report`
    #[command(name = "report", after_help = REPORT_AFTER)]
    Report(Box<ReportArgs>),
}

/// Where the store is.
#[derive(Debug, Args)]
pub(crate) struct StoreArg {
    /// A directory, or s3://BUCKET/PREFIX [default: TERRARIUM_STORE, or ~/.local/share/terrarium/store]
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CommitArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Folder of segments
    #[arg(long, value_name = "DIR")]
    pub(crate) segments: PathBuf,
    /// Say nothing unless something went wrong
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Print JSON (schema terrarium.commit/1)
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// Where segments are put
    #[arg(long, value_name = "DIR")]
    pub(crate) segments: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: String,
    /// The secret that nodes must know
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Folder of segments
    #[arg(long, value_name = "DIR")]
    pub(crate) segments: PathBuf,
    /// The collector that listens
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    /// The secret
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: PathBuf,
    /// Say nothing unless something went wrong
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Print JSON (schema terrarium.check/1)
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Keep what was replaced for so long: readers of earlier versions need it
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "7d")]
    pub(crate) keep: std::time::Duration,
}

#[derive(Debug, Args)]
pub(crate) struct RollupArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Print JSON (schema terrarium.rollup/1)
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExpireArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Remove rows about single processes, runs and jobs of days longer ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) older_than: std::time::Duration,
    /// Remove sums of days longer ago, too
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) sums_older_than: Option<std::time::Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// Name or pseudonym, as it stands in the tables
    pub(crate) user: String,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Folder of segments that are not committed yet
    #[arg(long, value_name = "DIR")]
    pub(crate) segments: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rows {
    /// Columns for people
    Table,
    /// Comma-separated values
    Csv,
    /// A list of objects
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct SqlArgs {
    /// A query; tables: processes, imports, environments, users, jobs, job_usage, domains, links, daily; views: loads, process_jobs
    pub(crate) query: String,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// How rows are printed
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Rows,
    /// What it may take before it goes to temporary files
    #[arg(long, value_name = "SIZE", value_parser = crate::commands::size, default_value = "2G")]
    pub(crate) memory: usize,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Print the page of the reference
    #[arg(long)]
    pub(crate) markdown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// Comma-separated values
    Csv,
    /// An object with the rows, and what they mean
    Json,
    /// A table for pandas, polars, DuckDB
    Parquet,
    /// A picture
    Svg,
    /// A page with the picture and the table, without scripts
    Html,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Days
    Day,
    /// Weeks, from Monday on
    Week,
    /// Months
    Month,
}

impl Step {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Step::Day => "day",
            Step::Week => "week",
            Step::Month => "month",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Which: list lists them
    #[arg(default_value = "list")]
    pub(crate) name: String,
    /// Libraries that it is about, by the names that import takes; for overhead, what is imported
    #[arg(value_name = "LIBRARY")]
    pub(crate) libraries: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// From this day on, or so long ago: 2026-11-01, 30d [default: 30d; with --public, the last month]
    #[arg(long, value_name = "DAY|TIME", help_heading = "What it is about")]
    pub(crate) since: Option<String>,
    /// Up to this day, inclusive [default: today]
    #[arg(long, value_name = "DAY", help_heading = "What it is about")]
    pub(crate) until: Option<String>,
    /// A cluster
    #[arg(long, value_name = "NAME", help_heading = "What it is about")]
    pub(crate) cluster: Option<String>,
    /// Jobs of a field of science
    #[arg(long, value_name = "FIELD", help_heading = "What it is about")]
    pub(crate) domain: Option<String>,
    /// Jobs charged to an account
    #[arg(long, value_name = "ACCOUNT", help_heading = "What it is about")]
    pub(crate) project: Option<String>,
    /// A person, by name or pseudonym
    #[arg(long, value_name = "NAME", help_heading = "What it is about")]
    pub(crate) user: Option<String>,
    /// Environments: base, clone, overlay, own (all of people's own), own-venv, own-conda, own-python, system
    #[arg(long, value_name = "CLASS", help_heading = "What it is about")]
    pub(crate) env: Option<String>,
    /// Libraries that lie in: base, site, home, user-site, project, scratch, container, node-local, system, python
    #[arg(long, value_name = "ORIGIN", help_heading = "What it is about")]
    pub(crate) origin: Option<String>,
    /// Jobs of a partition or queue
    #[arg(long, value_name = "QUEUE", help_heading = "What it is about")]
    pub(crate) queue: Option<String>,
    /// Jobs with GPUs; =no: without
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", value_parser = yes, help_heading = "What it is about")]
    pub(crate) gpu: Option<bool>,
    /// Libraries that the program or own code asks for; =no: that came along
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", value_parser = yes, help_heading = "What it is about")]
    pub(crate) direct: Option<bool>,
    /// Leave out rows of fewer people
    #[arg(long, value_name = "N", help_heading = "What it is about")]
    pub(crate) min_users: Option<i64>,
    /// Order by: users, jobs, node-hours (of top)
    #[arg(long, value_name = "COLUMN")]
    pub(crate) by: Option<String>,
    /// Steps of time (of adoption and daily)
    #[arg(long, value_enum)]
    pub(crate) step: Option<Step>,
    /// For everybody's eyes: people only, of a whole month, quarter or year, and no group from which a few could be told
    #[arg(long)]
    pub(crate) public: bool,
    /// How many a few are
    #[arg(long, value_name = "K", default_value_t = 5, requires = "public", value_parser = clap::value_parser!(u64).range(2..=1000))]
    pub(crate) people: u64,
    /// A folder of OSV records (of vulnerable)
    #[arg(long, value_name = "DIR")]
    pub(crate) advisories: Option<PathBuf>,
    /// Releases and ends of life, CSV: distribution,version,released,end_of_life (of versions)
    #[arg(long, value_name = "FILE")]
    pub(crate) releases: Option<PathBuf>,
    /// The interpreter that is measured (of overhead) [default: python3]
    #[arg(long, value_name = "PATH")]
    pub(crate) python: Option<PathBuf>,
    /// How it is printed
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
    /// To this file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Of list: the part of docs/reference/reports.md that is made from the reports
    #[arg(long, hide = true)]
    pub(crate) markdown: bool,
    /// So many rows [default: 20, of some more]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// What it may take before it goes to temporary files
    #[arg(long, value_name = "SIZE", value_parser = crate::commands::size, default_value = "2G")]
    pub(crate) memory: usize,
}

fn yes(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("write yes or no".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    pub(crate) what: ImportWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportWhat {
    /// Records of XALT: JSON files and folders of them, archives, logs of syslog, posts of curl, dumps of its database
    Xalt(RecordsArgs),
    /// Messages of NERSC's Customs, a JSON object a line
    Customs(RecordsArgs),
    /// Light snapshots (job, user, library) as CSV or JSON lines
    Snapshot(SnapshotArgs),
    /// Slurm's accounting: what sacct printed, or what it prints now
    Slurm(SlurmArgs),
    /// Accounting logs of PBS and Torque (server_priv/accounting)
    Pbs(AccountingArgs),
    /// LSF's accounting (lsb.acct)
    Lsf(AccountingArgs),
    /// Archives in the Standard Workload Format
    Swf(AccountingArgs),
    /// ALCF's public job data (ANL-ALCF-DJC-….csv)
    Djc(AccountingArgs),
    /// Projects and their fields of science: CSV with project, domain, since, until
    Domains(DomainsArgs),
}

/// What all imports share.
#[derive(Debug, Args)]
pub(crate) struct ImportCommon {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Rules of the site [default: /etc/terrarium/site.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,
    /// The cluster, in place of the one that records name
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Where to work: what is read and not committed yet, and the list of what was refused [default: in the store, or
    /// ~/.local/state/terrarium/import]
    #[arg(long, value_name = "DIR")]
    pub(crate) work: Option<PathBuf>,
    /// Say nothing unless something went wrong
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Print JSON (schema terrarium.import/1)
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RecordsArgs {
    /// Files and folders; packed ones (gz, zst) and archives (tar) are opened
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// The scheduler, for records that do not name it: slurm, pbs, lsf
    #[arg(long, value_name = "NAME")]
    pub(crate) scheduler: Option<String>,
    /// What reading may take before it goes to files
    #[arg(long, value_name = "SIZE", value_parser = crate::commands::size, default_value = "1G")]
    pub(crate) memory: usize,
    /// Rows that are committed at once, for tests
    #[arg(long, value_name = "N", default_value_t = terrarium_import::UNIT, hide = true)]
    pub(crate) unit_rows: u64,
    #[command(flatten)]
    pub(crate) common: ImportCommon,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    #[command(flatten)]
    pub(crate) records: RecordsArgs,
    /// Which column is which, in TOML: docs/guide/importing.md
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct AccountingArgs {
    /// Files and folders; packed ones (gz, zst) and archives (tar) are opened
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Where times without a zone were written: local, utc, +01:00
    #[arg(long, value_name = "ZONE", default_value = "local")]
    pub(crate) zone: terrarium_import::Zone,
    #[command(flatten)]
    pub(crate) common: ImportCommon,
}

#[derive(Debug, Args)]
pub(crate) struct SlurmArgs {
    /// What `sacct --parsable2` or `sacct --json` printed; without any, sacct is asked
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Ask sacct for jobs from this day on, or so long ago: 2026-11-01, 30d
    #[arg(long, value_name = "DAY|TIME", conflicts_with = "paths", default_value = "7d")]
    pub(crate) since: String,
    /// Where times without a zone were written: local, utc, +01:00
    #[arg(long, value_name = "ZONE", default_value = "local")]
    pub(crate) zone: terrarium_import::Zone,
    #[command(flatten)]
    pub(crate) common: ImportCommon,
}

#[derive(Debug, Args)]
pub(crate) struct DomainsArgs {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) common: ImportCommon,
}

const IMPORT_AFTER: &str = "\
Examples:
  terrarium import xalt /data/xalt/json /data/xalt/2025.tar.zst
  terrarium import xalt xalt_dump.sql.gz --scheduler slurm
  terrarium import snapshot snapshots/ --mapping snapper.toml
  terrarium import slurm --since 90d
  terrarium import pbs /var/spool/pbs/server_priv/accounting --zone -06:00
  terrarium import domains projects.csv

The same may be imported again: nothing is doubled. Interrupted, the same command goes on.
Exit status: 0, or 1 if something was refused, or 125.";

const SQL_AFTER: &str = "\
Examples:
  terrarium store sql \"SELECT package, version, count(*) FROM imports WHERE direct GROUP BY ALL ORDER BY 3 DESC LIMIT 10\"
  terrarium store sql --format csv \"SELECT date, user_count(users) FROM daily WHERE package = 'torch' GROUP BY date ORDER BY 1\"

user_count(users) counts the users in all sets of a group, each once; user_set(users) is that set, user_list(set) its numbers.
usage('package, month') is a table of users, jobs and node-hours from rollups, kept apart by what is named; docs/reference/reports.md has more.";

const REPORT_AFTER: &str = "\
Examples:
  terrarium report list
  terrarium report top --since 90d --domain Chemistry
  terrarium report frameworks torch tensorflow --since 2026-01-01 --format svg -o frameworks.svg
  terrarium report adoption numpy zstandard --since 365d --step week --format html -o adoption.html
  terrarium report vulnerable --advisories /data/osv/PyPI --env own
  terrarium report top --public --since 2026-01-01 --until 2026-03-31

docs/reference/reports.md says what a user, a job, a library and a node-hour are.";
