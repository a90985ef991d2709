//! What is in a segment. Texts are UTF-8; what a process wrote that is none was replaced (U+FFFD) when the segment was made.
//!
//! Meaning was added on the node: users are names or pseudonyms as the site wants, paths below homes and projects are relative to
//! them, modules belong to distributions.

use serde::{Deserialize, Serialize};

/// Who made a segment, and of what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The site's name for the cluster.
    pub cluster: String,
    /// The node.
    pub host: String,
    /// When, milliseconds since 1970 UTC.
    pub made_ms: i64,
    /// Version of terrarium.
    pub terrarium: String,
    /// Users are pseudonyms, not names.
    pub pseudonyms: bool,
    /// Who recorded it: `terrarium`, or what it was imported from (`xalt`, `customs`, `slurm`, …).
    pub source: String,
}

/// How the packages of an environment were installed, as far as its files tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Manager {
    /// `*.dist-info`: pip, uv and all that follow the standard.
    DistInfo,
    /// `*.egg-info`: setuptools of old.
    EggInfo,
    /// `conda-meta`.
    Conda,
}

/// A package that an environment holds, loaded or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Name of the distribution, as it calls itself (`PyYAML`).
    pub name: String,
    /// Its version.
    pub version: String,
    /// How it was installed.
    pub manager: Manager,
    /// Top-level names that it gives to `import` (`yaml`, `_yaml`); empty if its files do not tell.
    pub imports: Vec<String>,
}

/// A Python environment: what is installed in the places that processes loaded from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// 16 hexadecimal digits, made of prefix, interpreter and all that is installed: it changes with them.
    pub id: String,
    /// Where it is, relative to a home or project as the site wants.
    pub prefix: String,
    /// What it is by the site's rules: `base`, `clone`, `overlay`, `own-venv`, `own-conda`, `system`.
    pub class: String,
    /// Version of the interpreter.
    pub python: String,
    /// When its files were read, milliseconds since 1970 UTC.
    pub seen_ms: i64,
    /// All that it holds, in the order of names.
    pub packages: Vec<Package>,
    /// Not all could be read: too many files, no right, or no answer in time.
    pub is_partial: bool,
}

/// What a module is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A file of code.
    File,
    /// A shared object.
    Extension,
    /// Built into the interpreter.
    BuiltIn,
    /// No file: frozen, or a loader that names none.
    NoFile,
    /// A namespace package.
    Namespace,
    /// Not known.
    Unknown,
}

impl Kind {
    /// As the tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Extension => "extension",
            Kind::BuiltIn => "built-in",
            Kind::NoFile => "no-file",
            Kind::Namespace => "namespace",
            Kind::Unknown => "unknown",
        }
    }

    /// Of that name.
    pub fn of(name: &str) -> Self {
        let all = [Kind::File, Kind::Extension, Kind::BuiltIn, Kind::NoFile, Kind::Namespace];
        all.into_iter().find(|kind| kind.name() == name).unwrap_or(Kind::Unknown)
    }
}

/// A module as it is in one place: what all processes that load it from there have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Module {
    /// Its full name; `(own code)` for the user's own where the site does not want their names.
    pub name: String,
    /// The distribution it came with, if there is one.
    pub distribution: Option<String>,
    /// That distribution's version.
    pub version: Option<String>,
    /// Where it lies by the site's rules: `base`, `site`, `home`, `project`, `scratch`, `container`, `user-site`, `node-local`,
    /// `system`, `python` (of the interpreter itself), `unknown`.
    pub origin: String,
    /// The directory that it was found in (`…/site-packages`), relative to a home or project; empty if it has none.
    pub place: String,
    /// What it is made from.
    pub kind: Kind,
}

impl Module {
    /// The name that `import` begins with (`scipy` of `scipy.linalg`).
    pub fn package(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }
}

/// Whether a program or its user's own code asks for a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Direct {
    /// It came along with another.
    No,
    /// It does.
    Yes,
    /// Who recorded it does not tell.
    Unknown,
}

impl Direct {
    /// As tables have it.
    pub fn known(self) -> Option<bool> {
        match self {
            Direct::No => Some(false),
            Direct::Yes => Some(true),
            Direct::Unknown => None,
        }
    }
}

impl From<bool> for Direct {
    fn from(direct: bool) -> Self {
        if direct { Direct::Yes } else { Direct::No }
    }
}

impl From<Option<bool>> for Direct {
    fn from(direct: Option<bool>) -> Self {
        direct.map_or(Direct::Unknown, Direct::from)
    }
}

/// That a process loaded a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Index in [`crate::Segment::modules`].
    pub module: u32,
    /// Index in [`crate::Segment::names`] of who imported it first; 0 is the empty name: not known.
    pub importer: u32,
    /// Whether `__main__` or the user's own code asks for it.
    pub direct: Direct,
    /// How long the import took at least, with what it imported in turn: microseconds plus 1, three significant digits. 0: not
    /// known.
    pub took: u32,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// exit(3) or a return from main.
    Exited,
    /// _exit(2).
    ExitedAtOnce,
    /// As [`End::Exited`], status not known.
    Finished,
    /// Another program took its place.
    Exec,
    /// It is gone, and said nothing: a signal, a crash, out of memory, the end of its node.
    Gone,
    /// A way that this version does not know.
    Other,
    /// Who recorded it saw no end: it was killed, runs on, or its last record was lost.
    Unknown,
}

impl End {
    /// As the tables name it.
    pub fn name(self) -> &'static str {
        match self {
            End::Exited => "exited",
            End::ExitedAtOnce => "exited-at-once",
            End::Finished => "finished",
            End::Exec => "exec",
            End::Gone => "gone",
            End::Other => "other",
            End::Unknown => "unknown",
        }
    }

    /// Of that name.
    pub fn of(name: &str) -> Self {
        let all =
            [End::Exited, End::ExitedAtOnce, End::Finished, End::Exec, End::Gone, End::Other, End::Unknown];
        all.into_iter().find(|end| end.name() == name).unwrap_or(End::Unknown)
    }
}

/// How much of a process was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extent {
    /// All.
    Full,
    /// That it was there: one of many ranks.
    Counted,
    /// That it was there: its user opted out.
    OptedOut,
}

impl Extent {
    /// As the tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Extent::Full => "full",
            Extent::Counted => "counted",
            Extent::OptedOut => "opted-out",
        }
    }
}

/// A batch job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// `slurm`, `pbs`, `lsf` or `flux`.
    pub system: String,
    /// Its name there.
    pub id: String,
    /// The array's, and the task in it.
    pub array: Option<String>,
    /// The task in the array.
    pub array_task: Option<String>,
    /// Slurm's step.
    pub step: Option<String>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// What its record is called by others on its node.
    pub record: u64,
    /// The record of the one it was forked from.
    pub forked_from: Option<u64>,
    /// Process ID in its namespace; 0: not known.
    pub pid: u32,
    /// The parent's.
    pub parent: Option<u32>,
    /// Name or pseudonym of the owner of its record.
    pub user: String,
    /// The node as it calls itself.
    pub host: String,
    /// Start, microseconds since 1970 UTC.
    pub started_us: i64,
    /// From start to end, microseconds; of one that is gone to its last sign of life.
    pub lasted_us: u64,
    /// How it ended.
    pub end: End,
    /// Exit status, if one is known.
    pub status: Option<i32>,
    /// How much was recorded.
    pub extent: Extent,
    /// Version of its Python; `None`: it is no Python. Empty: not known.
    pub python: Option<String>,
    /// Index in [`crate::Segment::environments`].
    pub environment: Option<u32>,
    /// `script`, `module`, `command`, `standard-input`, `embedded`, `spawned`, `other`; empty for no Python.
    pub main: String,
    /// Script or module, if the site keeps that.
    pub script: Option<String>,
    /// The program, relative to a home or project.
    pub program: String,
    /// The batch job.
    pub job: Option<Job>,
    /// The run of `terrarium run` on its node.
    pub run: Option<String>,
    /// Rank and size of a parallel job.
    pub rank: Option<u64>,
    /// Size.
    pub ranks: Option<u64>,
    /// Peak resident set at the last look, bytes.
    pub peak_bytes: Option<u64>,
    /// `import` events seen.
    pub import_events: u32,
    /// Modules whose import was tried and that were not loaded.
    pub not_loaded: u32,
    /// Records that are missing: dropped in the process, or unreadable.
    pub dropped: u32,
    /// The record was cut or damaged, and is here up to there.
    pub is_cut: bool,
    /// Type of the exception that nobody caught.
    pub exception: Option<String>,
    /// File names of the shared objects mapped, extensions of Python left out: indices in [`crate::Segment::names`].
    pub objects: Vec<u32>,
    /// That a process like this is recorded, in millionths; 1,000,000 for all of terrarium's own.
    pub probability: u32,
    /// What of this record is not to be believed, or is missing: indices in [`crate::Segment::names`].
    pub doubts: Vec<u32>,
    /// Fingerprint of an imported record, by which it is known when it comes again; 0: terrarium's own.
    pub content: u64,
    /// What it loaded.
    pub loads: Vec<Load>,
}

/// [`Process::probability`] of what is always recorded.
pub const CERTAIN: u32 = 1_000_000;

/// A batch job as its scheduler's accounting tells of it, or another that knows. A job that was put back into the queue has a row for
/// each time that it ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchJob {
    /// `slurm`, `pbs`, `lsf`, …
    pub system: String,
    /// Its name there, in the form of [`job_id`].
    pub id: String,
    /// The array's name.
    pub array: Option<String>,
    /// The task in the array.
    pub array_task: Option<String>,
    /// The leader of a heterogeneous job,
    pub het: Option<String>,
    /// and which of its components this is.
    pub het_offset: Option<u32>,
    /// Slurm's unique name of it, from 25.11 on.
    pub sluid: Option<String>,
    /// How often it was put back into the queue before.
    pub restarts: u32,
    /// Name or pseudonym of its user.
    pub user: Option<String>,
    /// The account that it is charged to.
    pub project: Option<String>,
    /// Partition or queue.
    pub queue: Option<String>,
    /// Slurm's quality of service.
    pub qos: Option<String>,
    /// Field of science, if the accounting says.
    pub domain: Option<String>,
    /// Submitted, microseconds since 1970 UTC.
    pub submitted_us: Option<i64>,
    /// Start.
    pub started_us: Option<i64>,
    /// End.
    pub ended_us: Option<i64>,
    /// The scheduler's word for how it is or ended.
    pub state: Option<String>,
    /// Exit status of its script.
    pub exit_status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Nodes allocated.
    pub nodes: Option<u32>,
    /// Cores (as the scheduler counts them) allocated.
    pub cores: Option<u32>,
    /// GPUs allocated.
    pub gpus: Option<u32>,
    /// Memory allocated on all nodes, bytes.
    pub memory_bytes: Option<u64>,
    /// Time limit, seconds.
    pub time_limit_s: Option<u64>,
    /// CPU time used, seconds.
    pub cpu_seconds: Option<f64>,
    /// Peak memory of its largest task, as far as the scheduler looked, bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Nodes.
    pub hosts: Vec<String>,
}

/// One name for a job, whoever writes it: without PBS's server (`123[4].pbs1` is `123[4]`), without Slurm's step (`39.batch` is
/// `39`) and without blanks.
pub fn job_id(system: &str, id: &str) -> String {
    let id = id.trim();
    match system {
        "pbs" | "slurm" => id.split('.').next().unwrap_or_default().to_owned(),
        _ => id.to_owned(),
    }
}

/// A project's field of science, for some time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Domain {
    /// The account.
    pub project: String,
    /// The field.
    pub domain: String,
    /// First day, days since 1970 UTC; `None`: always.
    pub since: Option<i32>,
    /// Last day; `None`: for ever.
    pub until: Option<i32>,
}

/// What a run of `terrarium run` used: its report without names and paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// The run on its node: what [`Process::run`] says.
    pub run: String,
    /// Name or pseudonym of its user.
    pub user: String,
    /// The node.
    pub host: String,
    /// The batch job.
    pub job: Option<Job>,
    /// Start, microseconds since 1970 UTC.
    pub started_us: i64,
    /// Wall-clock time, seconds.
    pub wall_seconds: f64,
    /// `exited`, `signaled`, `time-limit`, `out-of-memory`, `terminated`, `survivors`, `failed`.
    pub end: String,
    /// What terrarium returned.
    pub exit_status: u8,
    /// `root`, `userns`, `ptrace`.
    pub tier: String,
    /// Ranks that shared it.
    pub ranks: Option<u32>,
    /// CPU time, seconds.
    pub cpu_seconds: Option<f64>,
    /// CPUs that it could use.
    pub cpus: Option<u64>,
    /// Peak memory, bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Memory limit, bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Most processes at once.
    pub processes_peak: Option<u64>,
    /// Left behind by the main process.
    pub left_behind: u64,
    /// GPUs it was given, and used.
    pub gpus: Option<u32>,
    /// Those used.
    pub gpus_used: Option<u32>,
    /// Their mean use, percent.
    pub gpu_use_percent: Option<f64>,
    /// Their peak memory, bytes.
    pub gpu_memory_peak_bytes: Option<u64>,
    /// `on`, `off` or `opted-out`.
    pub tracking: String,
    /// Processes that could not be recorded.
    pub processes_dropped: u64,
}
