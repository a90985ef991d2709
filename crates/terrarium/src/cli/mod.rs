//! The one definition of the flags: parsing, help, man page and completions come from here.

pub mod advise;
pub mod collect;
pub mod limits;
pub mod show;
pub mod top;
pub mod track;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use terrarium_core::threads::ThreadRequest;
use terrarium_core::{Bytes, CpuRequest, GpuRequest, JobId, Tier, parse_duration};

/// Contains and sizes Python jobs on shared machines.
#[derive(Debug, Parser)]
#[command(name = "terrarium", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command so that nothing of it survives, inside limits that hold
    ///
    /// Returns when no process of the job is left, however it ends and whatever it started. A summary of what it
    /// used, and of what it left behind, goes to stderr.
    #[command(after_help = RUN_AFTER, after_long_help = RUN_AFTER_LONG)]
    Run(Box<RunArgs>),
    /// List what earlier jobs left on this node, and end what was terrarium's
    ///
    /// Looks for processes and cgroups of runs whose supervisor is gone, files in /dev/shm and System V IPC objects that
    /// nobody uses, and processes that hold GPU memory. Ends the processes and removes the cgroups that carry a terrarium
    /// mark; everything else is only listed.
    Reap(ReapArgs),
    /// Show what was recorded of a job: charts in the terminal, a page, pictures
    Show(show::ShowArgs),
    /// The jobs of this node, live
    Top(top::TopArgs),
    /// A short run that says what to ask for
    ///
    /// Runs the command as `terrarium run` does, with all its options, for 10 minutes if --time says nothing else, and
    /// prints advice from this run and earlier ones. A run that its time ended shows what the job needs at least, and
    /// whether its memory was still growing.
    ///
    /// Exit status: as of `terrarium run`, but 0 if the time was over.
    Trial(Box<advise::TrialArgs>),
    /// What to ask for next time, from earlier runs of the same command
    ///
    /// Memory, CPUs, threads and time, with the runs that this is learnt from, and lines for a batch script. Runs of the
    /// same program and script count, whatever numbers and paths they were given; those with equal arguments alone once there
    /// are three.
    Advise(advise::AdviseArgs),
    /// Measure which limits on memory, CPUs and processes hold on this node
    ///
    /// Takes memory in every way that there is, under every limit that there is, each time in a jail and only for a
    /// moment, and prints which of them were stopped. Under a minute; it leaves nothing behind.
    Limits(limits::LimitsArgs),
    /// Takes memory, for `limits`.
    #[command(hide = true)]
    LimitsWorker(limits::WorkerArgs),
    /// Make Jupyter kernels that run in a jail
    ///
    /// A kernel spec of terrarium's starts each kernel by `terrarium run`: interrupt, restart and shutdown work as
    /// with any other kernel, and nothing of a kernel is left when it ends, is killed, or loses its client.
    Kernel(KernelArgs),
    /// Which libraries the Python processes of a job have loaded
    Track(track::TrackArgs),
    /// Turn records into segments, and segments into tables
    ///
    /// On a node, records of processes that have ended become sealed segments, with what only the node knows: which
    /// distribution a module belongs to, what its environment holds, whose path it is. It needs no credentials, and is fit for an
    /// epilog or a service. One collector commits the segments of all nodes to the store. Each record gets there exactly once,
    /// whatever is killed when.
    Collect(collect::CollectArgs),
    /// The tables: check, compact, rollup, expire, forget, sql, schema
    Store(collect::EngineArgs),
    /// What a centre asks: which libraries, by whom, in which jobs, from where; `list` lists 29 questions
    Report(collect::EngineArgs),
    /// Bring in what sites already have: XALT, Customs, snapshots, accounting
    Import(collect::EngineArgs),
    /// Reads what environments hold, for `collect`.
    #[command(hide = true)]
    CollectReader,
}

const RUN_AFTER: &str = "\
Examples:
  terrarium run python3 train.py
  terrarium run --mem 4G --cpus 2 --time 1h -- python3 train.py --epochs 3
  terrarium run --threads 1 -- python3 pool.py

See `terrarium run --help` for exit codes and the meaning of each limit.";

const RUN_AFTER_LONG: &str = "\
Sizes are powers of 1024: 512M, 4G, 1.5G. Times: 90s, 15m, 1h30m, 2d, 1:30:00, 1-12:00:00.

Examples:
  terrarium run python3 train.py
  terrarium run --mem 4G --cpus 2 --time 1h -- python3 train.py --epochs 3
  terrarium run --threads 1 -- python3 pool.py
  terrarium run --only . --only ~/venv:ro -- ~/venv/bin/python3 train.py
  terrarium run --hide ~/.ssh --ro ~/data --report job.json -- python3 analyse.py

Signals: INT, TERM, HUP, QUIT, USR1, USR2, WINCH, TSTP and CONT reach the command as if it were run
plainly. After TERM the job has --grace to end; SIGKILL to terrarium itself kills the job at once.

Exit status: that of the command, or 128+N if signal N killed it, or
  121  processes of the job are left that cannot be killed; their PIDs are named
  122  the job cannot be held as asked (--require, --require-mem), or not at all; nothing was started
  123  the job ran out of memory
  124  the time limit ended the job
  125  bad arguments, the job could not be started, or terrarium itself failed
  126  the command was found but is not executable
  127  the command was not found";

fn at_least_one(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(0) => Err("0 processes were allowed; the job itself is one".to_owned()),
        Ok(n) => Ok(n),
        Err(_) => Err("write a whole number, such as 500".to_owned()),
    }
}

fn size_not_zero(text: &str) -> Result<Bytes, String> {
    match text.parse::<Bytes>() {
        Ok(Bytes(0)) => {
            Err("a size of 0 leaves nothing to run in; write how much the job may use, such as 4G".to_owned())
        }
        Ok(size) => Ok(size),
        Err(error) => Err(error.to_string()),
    }
}

fn time_not_zero(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => {
            Err("a time of 0 ends the job before it starts; write how long it may run, such as 1h".to_owned())
        }
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    let time = parse_duration(text).map_err(|e| e.to_string())?;
    if range.contains(&time) { Ok(time) } else { Err("write a time from 100ms to 1h".to_owned()) }
}

fn grace(text: &str) -> Result<Grace, String> {
    match text {
        "never" => Ok(Grace(None)),
        _ => parse_duration(text).map(|d| Grace(Some(d))).map_err(|e| format!("{e}, or never")),
    }
}

fn bind(text: OsString) -> Result<BindArg, String> {
    let bytes = text.as_bytes();
    let (source, target) = match bytes.iter().position(|b| *b == b':') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, bytes),
    };
    if source.is_empty() || target.is_empty() {
        return Err("write SRC or SRC:DST".to_owned());
    }
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    Ok(BindArg { source: path(source), target: path(target) })
}

fn only(text: OsString) -> Result<OnlyArg, String> {
    let bytes = text.as_bytes();
    let (path, read_only) = match bytes.strip_suffix(b":ro") {
        Some(path) => (path, true),
        None => (bytes, false),
    };
    if path.is_empty() {
        return Err("write PATH or PATH:ro".to_owned());
    }
    Ok(OnlyArg { path: PathBuf::from(OsStr::from_bytes(path)), read_only })
}

fn shm(text: &str) -> Result<ShmArg, String> {
    match text {
        "host" => Ok(ShmArg::Host),
        _ => size_not_zero(text).map(ShmArg::Size).map_err(|e| format!("{e}; or write host")),
    }
}

/// `--grace`; `None` means never kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace(pub Option<Duration>);

/// `--bind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindArg {
    /// What.
    pub source: PathBuf,
    /// Where.
    pub target: PathBuf,
}

/// `--only`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnlyArg {
    /// What.
    pub path: PathBuf,
    /// Nothing below it can be written to.
    pub read_only: bool,
}

/// `--shm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShmArg {
    /// Share the host's.
    Host,
    /// Private, of this size.
    Size(Bytes),
}

/// `--net`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Net {
    /// The host's network
    #[default]
    Host,
    /// Only the job's own loopback
    None,
}

/// `--orphans`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Orphans {
    /// End them, with what descends from them, after --grace
    End,
    /// Leave them alone until the job ends
    #[default]
    Keep,
}

/// `--summary`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Summary {
    /// What the job used and left
    #[default]
    Full,
    /// The same in one line, for logs
    Line,
    /// None; notes are still written
    None,
}

/// Arguments of `terrarium run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// How to run it.
    #[command(flatten)]
    pub options: RunOptions,
    /// The command to run, with its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND", allow_hyphen_values = false)]
    pub command: Vec<OsString>,
}

// The options are read in many places, the command in three.
impl std::ops::Deref for RunArgs {
    type Target = RunOptions;

    fn deref(&self) -> &RunOptions {
        &self.options
    }
}

/// Options of `terrarium run`, which `terrarium kernel install` writes down for later.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// Memory of the job as a whole, such as 4G
    ///
    /// Enforced by the kernel through a memory cgroup. Where none is to be had it is set for each process
    /// alone (RLIMIT_DATA), and terrarium says what that does not stop.
    #[arg(long, value_name = "SIZE", value_parser = size_not_zero, help_heading = "Limits")]
    pub mem: Option<Bytes>,
    /// Swap on top of --mem [default: 0]
    #[arg(long, value_name = "SIZE", requires = "mem", help_heading = "Limits")]
    pub swap: Option<Bytes>,
    /// Refuse to start if --mem cannot be enforced for the job as a whole
    #[arg(long, requires = "mem", help_heading = "Limits")]
    pub require_mem: bool,
    /// CPUs: how many (2) or which (0-3,8; `3,` is CPU 3 alone)
    ///
    /// The job can narrow its CPUs (mpirun, taskset), not widen them.
    #[arg(long, value_name = "N|LIST", help_heading = "Limits")]
    pub cpus: Option<CpuRequest>,
    /// Most processes and threads at once
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Limits")]
    pub pids: Option<u64>,
    /// Wall-clock time, such as 1h30m; then SIGTERM, and SIGKILL after --grace
    #[arg(long, value_name = "TIME", value_parser = time_not_zero, help_heading = "Limits")]
    pub time: Option<Duration>,
    /// From SIGTERM (by the time limit, or sent to terrarium) to SIGKILL; or never
    #[arg(long, value_name = "TIME", value_parser = grace, default_value = "10s", help_heading = "Limits")]
    pub grace: Grace,
    /// How long to wait for killed processes to be gone before naming them as survivors
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30s", help_heading = "Limits")]
    pub kill_wait: Duration,
    /// Processes whose parent has died while the command runs: end them after --grace, or keep them
    ///
    /// Such as the workers of a pool that an interrupt ended. They get SIGTERM, and SIGKILL 2 s later, with
    /// all that descends from them. Processes whose parent lives are not touched.
    #[arg(long, value_enum, default_value_t, value_name = "end|keep", help_heading = "Limits")]
    pub orphans: Orphans,
    /// End the job, as by SIGTERM, when the process that started terrarium ends
    ///
    /// JPY_PARENT_PID, by which a Jupyter kernel watches for the same, becomes 1: in the job its parent is init.
    #[arg(long, help_heading = "Limits")]
    pub with_parent: bool,
    /// GPUs: none, or indices such as 0,1 within those visible now
    #[arg(long, value_name = "none|LIST", help_heading = "Limits")]
    pub gpus: Option<GpuRequest>,
    /// Threads that numerical libraries start in each process: auto (the job's CPUs), a number, or off
    ///
    /// Sets OMP_NUM_THREADS and its kin unless they are set. 1 is right for process pools.
    #[arg(long, value_name = "auto|N|off", default_value = "auto", help_heading = "Limits")]
    pub threads: ThreadArg,

    /// Network: the host's, or none but the job's own loopback
    #[arg(long, value_enum, default_value_t, value_name = "host|none", help_heading = "What the job sees")]
    pub net: Net,
    /// Show nothing but PATH (with :ro, read-only) and what programs need to run; can be repeated
    ///
    /// The system's programs and libraries, /etc and /sys are there read-only, /dev and /proc as always, and an empty /tmp
    /// and /var/tmp of the job's own, in memory. Everything else is not there, and nothing can be written outside of what
    /// is named. The working directory, the command, and the Python that an environment was made from must be shown; if
    /// one is not, the job is not started, and what to add is said. For a name that itself ends in :ro, put a slash behind
    /// it.
    #[arg(long, value_name = "PATH[:ro]", value_parser = OsStringValueParser::new().try_map(only), help_heading = "What the job sees")]
    pub only: Vec<OnlyArg>,
    /// Show SRC at DST (at SRC if not given), also where something else is hidden
    #[arg(long, value_name = "SRC[:DST]", value_parser = OsStringValueParser::new().try_map(bind), help_heading = "What the job sees")]
    pub bind: Vec<BindArg>,
    /// Make PATH and all below it read-only
    #[arg(long, value_name = "PATH", help_heading = "What the job sees")]
    pub ro: Vec<PathBuf>,
    /// Make PATH empty and unreadable
    #[arg(long, value_name = "PATH", help_heading = "What the job sees")]
    pub hide: Vec<PathBuf>,
    /// Give the job its own empty /tmp and /var/tmp, in memory, of the size of --shm
    #[arg(long, help_heading = "What the job sees")]
    pub private_tmp: bool,
    /// Size of the job's own /dev/shm [default: --mem, or half of the node's memory]; or share the host's
    #[arg(long, value_name = "SIZE|host", value_parser = shm, help_heading = "What the job sees")]
    pub shm: Option<ShmArg>,
    /// With --shm host: delete what the job left there, unless a process outside holds it
    #[arg(long, help_heading = "What the job sees")]
    pub clean_shm: bool,
    /// No setuid program (sudo, apptainer) gives the job more rights; always so for ordinary users
    #[arg(long, help_heading = "What the job sees")]
    pub no_new_privileges: bool,

    /// Refuse to start in a weaker tier: root, userns or ptrace
    #[arg(long, value_name = "TIER", help_heading = "Running")]
    pub require: Option<Tier>,
    /// Write the summary as JSON to this file
    #[arg(long, value_name = "FILE", help_heading = "Running")]
    pub report: Option<PathBuf>,
    /// Record a time series of what the job uses in this file (Arrow; see `terrarium show`)
    ///
    /// Without this it goes to the history, if the job takes longer than 10 s: below TERRARIUM_HISTORY, or
    /// terrarium/history in XDG_DATA_HOME or ~/.local/share. The history also keeps a line for each run, for `terrarium
    /// advise`.
    #[arg(long, value_name = "FILE", conflicts_with = "no_record", help_heading = "Running")]
    pub record: Option<PathBuf>,
    /// Keep neither a series nor a line in the history
    #[arg(long, help_heading = "Running")]
    pub no_record: bool,
    /// Do not record which libraries the job's processes load
    ///
    /// So do TERRARIUM_TRACK=off, and a file terrarium/no-track in XDG_CONFIG_HOME or ~/.config. The run then counts as
    /// opted out.
    #[arg(long, help_heading = "Running")]
    pub no_track: bool,
    /// Time from look to look at the job, from 100ms to 1h
    #[arg(long, value_name = "TIME", value_parser = interval, default_value = "1s", help_heading = "Running")]
    pub interval: Duration,
    /// Print what would be done, and start nothing
    #[arg(long, help_heading = "Running")]
    pub dry_run: bool,
    /// The summary at the end: full, one line, or none
    #[arg(long, value_enum, default_value_t, value_name = "full|line|none", help_heading = "Running")]
    pub summary: Summary,
    /// No summary and no notes, only errors
    #[arg(long, short, help_heading = "Running")]
    pub quiet: bool,
}

/// `--threads`, parsed in the core.
pub type ThreadArg = ThreadRequest;

/// Flags of `terrarium reap`.
#[derive(Debug, Args)]
pub struct ReapArgs {
    /// Only what this run left
    #[arg(long, value_name = "ID")]
    pub job: Option<JobId>,
    /// Only what belongs to this user (name or number)
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// List only, end nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Also delete files in /dev/shm and System V objects that nobody uses; needs --user unless you are an ordinary user
    #[arg(long)]
    pub clean_shm: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `terrarium kernel`.
#[derive(Debug, Args)]
pub struct KernelArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KernelCommand,
}

/// What to do with kernels.
#[derive(Debug, Subcommand)]
pub enum KernelCommand {
    /// Write a kernel spec whose kernels run in a jail
    ///
    /// The options of `terrarium run` are checked now, by starting Python with them, and written into the spec.
    /// Relative paths become absolute: a kernel starts anywhere.
    #[command(after_help = KERNEL_INSTALL_AFTER)]
    Install(Box<KernelInstallArgs>),
    /// List terrarium's kernel specs, where Jupyter would look for them
    List(KernelListArgs),
    /// Remove a kernel spec of terrarium's; no other is touched
    Remove(KernelRemoveArgs),
}

const KERNEL_INSTALL_AFTER: &str = "\
Examples:
  terrarium kernel install
  terrarium kernel install --name small --mem 4G --cpus 2
  terrarium kernel install --python ~/env/bin/python --hide ~/.ssh
  terrarium kernel install --prefix /usr/local --python /opt/python/bin/python3 --mem 8G";

/// Flags of `terrarium kernel install`.
#[derive(Debug, Args)]
pub struct KernelInstallArgs {
    /// Name of the kernel spec: lower-case letters, digits, `-`, `_` and `.`
    #[arg(long, default_value = "terrarium", help_heading = "The kernel spec")]
    pub name: String,
    /// What Jupyter shows [default: Python and its version, with NAME]
    #[arg(long, value_name = "TEXT", help_heading = "The kernel spec")]
    pub display_name: Option<String>,
    /// The Python of the kernels; it needs ipykernel [default: python3 in PATH]
    #[arg(long, value_name = "PATH", help_heading = "The kernel spec")]
    pub python: Option<PathBuf>,
    /// Replace a kernel spec of that name that is not terrarium's
    #[arg(long, help_heading = "The kernel spec")]
    pub replace: bool,
    /// Where to.
    #[command(flatten)]
    pub place: KernelPlace,
    /// How the kernels are run.
    #[command(flatten)]
    pub run: RunOptions,
}

/// Where kernel specs are.
#[derive(Debug, Args)]
pub struct KernelPlace {
    /// For yourself: JUPYTER_DATA_DIR, or jupyter below XDG_DATA_HOME or ~/.local/share; the default
    #[arg(long, group = "place", help_heading = "The kernel spec")]
    pub user: bool,
    /// For all who use this prefix: DIR/share/jupyter; /usr/local is for all users of the machine
    #[arg(long, value_name = "DIR", group = "place", help_heading = "The kernel spec")]
    pub prefix: Option<PathBuf>,
    /// In the environment of the Python: its sys.prefix
    #[arg(long, group = "place", help_heading = "The kernel spec")]
    pub sys_prefix: bool,
}

/// Flags of `terrarium kernel list`.
#[derive(Debug, Args)]
pub struct KernelListArgs {
    /// Look below this prefix only
    #[arg(long, value_name = "DIR")]
    pub prefix: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `terrarium kernel remove`.
#[derive(Debug, Args)]
pub struct KernelRemoveArgs {
    /// Name of the kernel spec
    pub name: String,
    /// Look below this prefix only
    #[arg(long, value_name = "DIR")]
    pub prefix: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use terrarium_core::exit;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_lists_every_exit_code() {
        for (code, meaning) in exit::TABLE {
            let line = RUN_AFTER_LONG.lines().find(|l| l.trim_start().starts_with(&code.to_string()));
            let first = meaning.split([',', ';', '(']).next().unwrap();
            assert!(line.is_some_and(|l| l.contains(first)), "{code} {meaning}");
        }
    }

    #[test]
    fn flags_after_the_command_are_its_own() {
        let cli = Cli::try_parse_from(["terrarium", "run", "--mem", "1G", "python3", "--mem", "x"]).unwrap();
        let Command::Run(run) = cli.command else { panic!("not a run") };
        assert_eq!(run.command, ["python3", "--mem", "x"]);
    }

    #[test]
    fn refusals_say_what_to_write() {
        for (args, part) in [
            (&["--mem", "0", "x"][..], "such as 4G"),
            (&["--mem", "4", "x"], "has no unit"),
            (&["--mem", "4Q", "x"], "unknown unit `Q`"),
            (&["--pids", "0", "x"], "the job itself is one"),
            (&["--cpus", "0", "x"], "at least 1"),
            (&["--time", "90", "x"], "no unit"),
            (&["--time", "0", "x"], "such as 1h"),
            (&["--gpus", "x", "x"], "not a GPU list"),
            (&["--threads", "0", "x"], "auto, off"),
            (&["--require", "strong", "x"], "root, userns or ptrace"),
            (&["--swap", "1G", "x"], "--mem"),
            (&["--bind", ":x", "x"], "SRC:DST"),
            (&["--only", ":ro", "x"], "PATH:ro"),
            (&["--nonsense", "x"], "unexpected argument"),
            (&[], "COMMAND"),
        ] {
            let all = ["terrarium", "run"].iter().chain(args);
            let error = Cli::try_parse_from(all).unwrap_err().to_string();
            assert!(error.contains(part), "{args:?}: {error}");
        }
    }
}
