//! The tables, column by column: what is created, written, checked and documented comes from here.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Version of all tables together; it changes when a column changes its meaning or goes. New columns may appear without.
pub const VERSION: u32 = 1;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text.
    Text,
    /// Texts.
    Texts,
    /// A whole number of 64 bits.
    Long,
    /// A whole number of 32 bits.
    Int,
    /// A number.
    Double,
    /// Yes or no.
    Bool,
    /// A moment, microseconds, UTC.
    Time,
    /// A day, UTC.
    Date,
    /// A set of numbers: a Roaring bitmap in its portable form.
    Bitmap,
}

impl Type {
    /// As Arrow has it.
    pub fn arrow(self) -> DataType {
        match self {
            Type::Text => DataType::Utf8,
            Type::Texts => DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))),
            Type::Long => DataType::Int64,
            Type::Int => DataType::Int32,
            Type::Double => DataType::Float64,
            Type::Bool => DataType::Boolean,
            Type::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Type::Date => DataType::Date32,
            Type::Bitmap => DataType::Binary,
        }
    }

    /// As people name it.
    pub fn name(self) -> &'static str {
        match self {
            Type::Text => "text",
            Type::Texts => "list of texts",
            Type::Long => "integer, 64 bits",
            Type::Int => "integer, 32 bits",
            Type::Double => "number, 64 bits",
            Type::Bool => "true, false",
            Type::Time => "timestamp, µs, UTC",
            Type::Date => "date, UTC",
            Type::Bitmap => "binary",
        }
    }
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Type,
    /// What that means, with its unit. `null` is "not known" or "none", never 0.
    pub about: &'static str,
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name, and that of its directory.
    pub name: &'static str,
    /// What a row is.
    pub about: &'static str,
    /// Columns that its directories are named by; they are in no file.
    pub partitions: &'static [&'static str],
    /// All columns.
    pub columns: &'static [Column],
}

impl Table {
    /// All columns, as Arrow has them.
    pub fn schema(&self) -> SchemaRef {
        self.only(|_| true)
    }

    /// The columns that are in files.
    pub fn in_files(&self) -> SchemaRef {
        self.only(|column| !self.partitions.contains(&column.name))
    }

    fn only(&self, wanted: impl Fn(&Column) -> bool) -> SchemaRef {
        let columns = self.columns.iter().filter(|column| wanted(column));
        Arc::new(Schema::new(columns.map(|c| Field::new(c.name, c.kind.arrow(), true)).collect::<Vec<_>>()))
    }
}

const fn column(name: &'static str, kind: Type, about: &'static str) -> Column {
    Column { name, kind, about }
}

const CLUSTER: Column = column("cluster", Type::Text, "the site's name for the cluster");
const DATE: Column = column("date", Type::Date, "day on which the process, run or job began");
const USER: Column = column("user", Type::Text, "name or pseudonym of the user: the owner of the record");

/// Processes.
pub const PROCESSES: Table = Table {
    name: "processes",
    about: "a process image: a forked child and a program after exec are processes of their own",
    partitions: &["cluster", "date"],
    columns: &[
        CLUSTER,
        DATE,
        column("process_id", Type::Long, "number of the process in this store"),
        USER,
        column("user_no", Type::Int, "number of the user, as in the bitmaps of `daily`"),
        column("host", Type::Text, "node"),
        column("started", Type::Time, "start"),
        column("ended", Type::Time, "end; of one that is `gone`, its last sign of life; null: `unknown`"),
        column(
            "end",
            Type::Text,
            "`exited`, `exited-at-once` (_exit), `finished` (status not known), `exec` (replaced by another program), `gone` (killed, crashed, or its node went), `other`, `unknown` (imported, and its source saw no end)",
        ),
        column("status", Type::Int, "exit status"),
        column("extent", Type::Text, "what was recorded: `full`, `counted` (one of many ranks), `opted-out`"),
        column("python", Type::Text, "version of the interpreter; null: no Python"),
        column("environment_id", Type::Text, "its environment, in `environments`"),
        column(
            "environment_class",
            Type::Text,
            "`base`, `clone`, `overlay`, `own-venv`, `own-conda`, `own-python`, `system`",
        ),
        column(
            "main",
            Type::Text,
            "what Python was told to run: `script`, `module`, `command`, `standard-input`, `embedded`, `spawned`, `other`",
        ),
        column("script", Type::Text, "file name of the script or name of the module, if the site keeps it"),
        column("program", Type::Text, "path of the program; below a home or a project without its name"),
        column("scheduler", Type::Text, "`slurm`, `pbs`, `lsf`, `flux`; null: in no batch job"),
        column("job_id", Type::Text, "the batch job, as the scheduler names it, without PBS's server"),
        column("array_id", Type::Text, "the job array"),
        column("array_task", Type::Text, "the task in the array"),
        column("step", Type::Text, "Slurm's step"),
        column("run", Type::Text, "the run of `terrarium run` on its node, in `job_usage`"),
        column("rank", Type::Long, "rank of a parallel job, from 0"),
        column("ranks", Type::Long, "size of the parallel job"),
        column("peak_bytes", Type::Long, "peak resident set at the last look, bytes"),
        column("import_events", Type::Int, "imports that were tried, repeated ones not counted"),
        column("modules", Type::Int, "rows of this process in `imports`"),
        column("not_loaded", Type::Int, "modules that were tried and not loaded"),
        column("dropped", Type::Int, "records that are missing"),
        column("is_cut", Type::Bool, "the record was damaged, and is here up to there"),
        column("exception", Type::Text, "type of the exception that nobody caught"),
        column(
            "objects",
            Type::Texts,
            "file names of the shared libraries mapped, extensions of Python left out",
        ),
        column("pid", Type::Int, "process ID in its namespace"),
        column("parent_pid", Type::Int, "process ID of the parent"),
        column("record", Type::Long, "the record's own number on its node (bits of an unsigned number)"),
        column("forked_from", Type::Long, "`record` of the process that this one was forked from"),
        column(
            "probability",
            Type::Double,
            "that a process like this is recorded, to six decimals; 1 for all of terrarium's own",
        ),
        column(
            "source",
            Type::Text,
            "who recorded it: `terrarium`; `xalt`, `customs`, or the name of a snapshot, if it was imported",
        ),
        column("batch", Type::Long, "the batch that brought it"),
        column(
            "doubts",
            Type::Texts,
            "what an imported record does not say or says falsely: `no-end`, `no-packages`, `no-run`, `children-merged`, `no-time`, `no-user`; docs/guide/importing.md tells what each means",
        ),
        column(
            "content",
            Type::Long,
            "fingerprint of an imported record, by which it is known when it comes again",
        ),
    ],
};

/// Modules that processes loaded.
pub const IMPORTS: Table = Table {
    name: "imports",
    about: "a module that a process loaded, once for each process; what was tried and never loaded is not here",
    partitions: &["cluster", "date"],
    columns: &[
        CLUSTER,
        DATE,
        column("process_id", Type::Long, "the process, in `processes`"),
        column(
            "module",
            Type::Text,
            "full name; `(own code)` for the user's own where the site keeps no names",
        ),
        column("package", Type::Text, "the name that import begins with: `scipy` of `scipy.linalg`"),
        column("distribution", Type::Text, "what it was installed as: `PyYAML` for `yaml`; null: none"),
        column("version", Type::Text, "the distribution's version"),
        column(
            "origin",
            Type::Text,
            "where it lies by the site's rules: `base`, `site`, `home`, `user-site`, `project`, `scratch`, `container`, `node-local`, `system`, `python` (the interpreter's own), `unknown`",
        ),
        column(
            "place",
            Type::Text,
            "directory that it was found in; below a home or a project without its name",
        ),
        column(
            "kind",
            Type::Text,
            "`file`, `extension`, `built-in`, `no-file` (frozen, or a loader of its own), `namespace`, `unknown`",
        ),
        column("imported_by", Type::Text, "module that imported it first; `__main__` is the program"),
        column(
            "direct",
            Type::Bool,
            "the program or the user's own code asks for it, also when it was loaded already; null: its source does not tell",
        ),
        column(
            "took_us",
            Type::Int,
            "what its import took at least, with all that it imported in turn: µs, three digits; null: not known",
        ),
    ],
};

/// Environments and what they hold.
pub const ENVIRONMENTS: Table = Table {
    name: "environments",
    about: "a package that an environment holds, loaded or not; an environment that has changed is another",
    partitions: &["cluster"],
    columns: &[
        CLUSTER,
        column(
            "environment_id",
            Type::Text,
            "16 hexadecimal digits, of prefix, interpreter and all that is installed",
        ),
        column("class", Type::Text, "as `environment_class` of `processes`"),
        column("prefix", Type::Text, "where it is; below a home or a project without its name"),
        column("python", Type::Text, "version of the interpreter"),
        column("seen", Type::Time, "when its files were read first"),
        column("is_partial", Type::Bool, "not all could be read"),
        column("package", Type::Text, "name of a distribution; null: the environment holds none"),
        column("version", Type::Text, "its version"),
        column("manager", Type::Text, "how it is described: `dist-info`, `egg-info`, `conda`"),
        column("import_names", Type::Texts, "names that it gives to import; empty: not told"),
    ],
};

/// Users and their numbers.
pub const USERS: Table = Table {
    name: "users",
    about: "a user, and the number that stands for him in bitmaps",
    partitions: &[],
    columns: &[column("user_no", Type::Int, "the number, from 0"), USER],
};

/// Batch jobs.
pub const JOBS: Table = Table {
    name: "jobs",
    about: "a batch job in which a process was recorded, or that accounting tells of; what only accounting knows is null until it is imported. A job that was put back into the queue has a row for each time that it ran",
    partitions: &["cluster", "date"],
    columns: &[
        CLUSTER,
        DATE,
        column("scheduler", Type::Text, "`slurm`, `pbs`, `lsf`, `flux`"),
        column("job_id", Type::Text, "as the scheduler names it"),
        column("array_id", Type::Text, "the job array"),
        column("array_task", Type::Text, "the task in it"),
        USER,
        column("first_seen", Type::Time, "start of its first process that was recorded; null: none was yet"),
        column("project", Type::Text, "account that it was charged to"),
        column("queue", Type::Text, "partition or queue"),
        column("nodes", Type::Int, "nodes allocated"),
        column("cores", Type::Int, "cores allocated, as the scheduler counts them"),
        column("gpus", Type::Int, "GPUs allocated"),
        column("submitted", Type::Time, "when it was submitted"),
        column("started", Type::Time, "when it began"),
        column("ended", Type::Time, "when it ended"),
        column("state", Type::Text, "the scheduler's word for how it ended"),
        column(
            "source",
            Type::Text,
            "who says so: `terrarium`, `xalt`, …, of which only its processes are known; or accounting: `slurm`, `pbs`, `lsf`, `swf`, `djc`",
        ),
        column("qos", Type::Text, "Slurm's quality of service"),
        column(
            "domain",
            Type::Text,
            "field of science, if the accounting says; `domains` says it for projects",
        ),
        column("exit_status", Type::Int, "exit status of its script"),
        column("signal", Type::Int, "signal that ended it"),
        column("time_limit_s", Type::Long, "time limit, seconds"),
        column("memory_bytes", Type::Long, "memory allocated on all nodes, bytes"),
        column(
            "memory_peak_bytes",
            Type::Long,
            "peak of its largest task as far as the scheduler looked, bytes",
        ),
        column("cpu_seconds", Type::Double, "CPU time, seconds"),
        column("hosts", Type::Texts, "its nodes"),
        column("restarts", Type::Int, "how often it was put back into the queue before"),
        column("het_id", Type::Text, "the leader of a heterogeneous job"),
        column("het_offset", Type::Int, "which of its components this is"),
        column("sluid", Type::Text, "Slurm's unique name of it, from 25.11 on"),
        column(
            "holds_from",
            Type::Time,
            "processes that name this job_id and began from here on are its; null: from ever",
        ),
        column("holds_until", Type::Time, "and those before this; null: for ever"),
    ],
};

/// Processes that name no job, and the one that they were in.
pub const LINKS: Table = Table {
    name: "links",
    about: "a process that names no batch job, and the only one that its user had there and then: found by user, node and time when accounting is imported",
    partitions: &["cluster", "date"],
    columns: &[
        CLUSTER,
        DATE,
        column("process_id", Type::Long, "the process, in `processes`"),
        column("scheduler", Type::Text, "as in `jobs`"),
        column("job_id", Type::Text, "as in `jobs`"),
    ],
};

/// Fields of science.
pub const DOMAINS: Table = Table {
    name: "domains",
    about: "a project's field of science, for a time",
    partitions: &[],
    columns: &[
        column("project", Type::Text, "as in `jobs`"),
        column("domain", Type::Text, "the field"),
        column("since", Type::Date, "first day; null: always"),
        column("until", Type::Date, "last day; null: for ever"),
    ],
};

/// What runs used.
pub const JOB_USAGE: Table = Table {
    name: "job_usage",
    about: "a run of `terrarium run` on a node, and what it used",
    partitions: &["cluster", "date"],
    columns: &[
        CLUSTER,
        DATE,
        column("run", Type::Text, "name of the run on its node"),
        USER,
        column("host", Type::Text, "node"),
        column("scheduler", Type::Text, "as in `processes`"),
        column("job_id", Type::Text, "as in `processes`"),
        column("started", Type::Time, "start"),
        column("wall_seconds", Type::Double, "wall-clock time, seconds"),
        column(
            "end",
            Type::Text,
            "`exited`, `signaled`, `time-limit`, `out-of-memory`, `terminated`, `survivors`, `init-killed`, `lost` (its supervisor was killed)",
        ),
        column("exit_status", Type::Int, "what terrarium returned"),
        column("tier", Type::Text, "what held it: `root`, `userns`, `ptrace`"),
        column("ranks", Type::Int, "ranks that shared it"),
        column("cpu_seconds", Type::Double, "CPU time, seconds"),
        column("cpus", Type::Long, "CPUs that it could use"),
        column("memory_peak_bytes", Type::Long, "peak memory, bytes"),
        column("memory_limit_bytes", Type::Long, "memory limit, bytes"),
        column("processes_peak", Type::Long, "most processes at once"),
        column("left_behind", Type::Long, "processes that the main process left behind, and that were ended"),
        column("gpus", Type::Int, "GPUs that it could see"),
        column("gpus_used", Type::Int, "GPUs that it used"),
        column("gpu_use_percent", Type::Double, "mean use of those, percent of one"),
        column("gpu_memory_peak_bytes", Type::Long, "peak memory on all GPUs, bytes"),
        column("tracking", Type::Text, "`on`, `off`, `opted-out`"),
        column("processes_dropped", Type::Long, "processes that could not be recorded"),
    ],
};

/// Sums of a day.
pub const DAILY: Table = Table {
    name: "daily",
    about: "what was loaded on a day, added up over the processes of a batch; compaction adds batches up. A process counts a package once",
    partitions: &["cluster", "date"],
    columns: &[
        CLUSTER,
        DATE,
        column(
            "package",
            Type::Text,
            "as in `imports`; null: all processes with Python, whatever they loaded",
        ),
        column("distribution", Type::Text, "as in `imports`"),
        column("version", Type::Text, "as in `imports`"),
        column("origin", Type::Text, "as in `imports`"),
        column("environment_class", Type::Text, "as in `processes`"),
        column(
            "direct",
            Type::Bool,
            "some module of it was asked for by the program or the user's own code; null: the source does not tell",
        ),
        column("processes", Type::Long, "processes"),
        column("modules", Type::Long, "rows in `imports`"),
        column("import_us", Type::Long, "sum over processes of the longest import of the package, µs"),
        column("users", Type::Bitmap, "set of `user_no`"),
    ],
};

/// All of them, in the order in which a batch is committed: what others refer to comes first, sums last.
pub const TABLES: [&Table; 9] =
    [&USERS, &DOMAINS, &ENVIRONMENTS, &PROCESSES, &IMPORTS, &JOBS, &JOB_USAGE, &LINKS, &DAILY];

/// The table of this name.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.into_iter().find(|table| table.name == name)
}
