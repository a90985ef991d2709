//! The record of one run: what `--report` writes.
//!
//! The schema is versioned: [`SCHEMA`] changes when a field changes its meaning or goes;
//! new fields may appear without. Described field by field in docs/reference/report.md.

use serde::{Deserialize, Serialize};

use crate::{Bytes, Finding, JobId, Tier};

/// Name and version of this schema.
pub const SCHEMA: &str = "terrarium.run/1";

/// One run from start to end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of terrarium that wrote it.
    pub terrarium: String,
    /// Name of the run on its node.
    pub job: JobId,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Working directory.
    pub directory: String,
    /// Node name.
    pub host: String,
    /// Real user ID.
    pub uid: u32,
    /// Start, seconds since 1970 UTC.
    pub started: f64,
    /// Wall-clock time, seconds.
    pub wall_seconds: f64,
    /// How it ended.
    pub end: End,
    /// What terrarium returned to its caller.
    pub exit_status: u8,
    /// What held it.
    pub tier: Tier,
    /// Ranks of a parallel job that shared the jail on this node; `None` for a job that is not one.
    #[serde(default)]
    pub ranks: Option<u32>,
    /// The limits and what enforced each.
    pub limits: Limits,
    /// CPUs that the job could use.
    #[serde(default)]
    pub cpus: Option<u64>,
    /// The program of the main process, the last that was seen in its first looks.
    #[serde(default)]
    pub executable: Option<String>,
    /// What it used.
    pub usage: Usage,
    /// What was still there when the main process had ended.
    pub left_behind: LeftBehind,
    /// Processes that were ended while the job ran, because their parent had died (`--orphans end`).
    #[serde(default)]
    pub orphans_ended: u64,
    /// Processes that could not be killed. Empty unless `end` is `survivors`.
    pub survivors: Vec<Survivor>,
    /// What its Python processes loaded; `None` in reports of versions that did not look.
    #[serde(default)]
    pub tracking: Option<Tracking>,
    /// What the user should know.
    pub findings: Vec<Finding>,
}

/// What the hook recorded of a job's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracking {
    /// Whether it recorded.
    pub state: TrackingState,
    /// Why not, or by what the user opted out.
    pub why: Option<String>,
    /// The directory of the records.
    pub spool: Option<String>,
    /// Processes with a record.
    pub processes: u64,
    /// Those of them that had Python in them.
    pub python_processes: u64,
    /// Modules that were loaded in one of them at least.
    pub modules: u64,
    /// Processes that had no record: no room, or no right.
    pub dropped: u64,
    /// Records that could not be read, or were too many to be read.
    pub unread: u64,
    /// Packages that the program or the user's own code imported, installed ones first: the first 50.
    pub direct: Vec<String>,
}

impl Tracking {
    /// Nothing was recorded.
    pub fn without(state: TrackingState, why: String) -> Self {
        Tracking {
            state,
            why: Some(why),
            spool: None,
            processes: 0,
            python_processes: 0,
            modules: 0,
            dropped: 0,
            unread: 0,
            direct: Vec::new(),
        }
    }
}

/// Whether a job was tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrackingState {
    /// Yes.
    On,
    /// No, because the user does not want it.
    OptedOut,
    /// No, because it could not be.
    Off,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum End {
    /// The main process returned.
    Exited {
        /// Its status.
        code: u8,
    },
    /// The main process was killed by a signal.
    Signaled {
        /// Its number.
        signal: i32,
    },
    /// The time limit ended it.
    TimeLimit,
    /// The kernel's out-of-memory killer ended it.
    OutOfMemory,
    /// terrarium was told to end it (SIGTERM) and the grace ran out.
    Terminated,
    /// Processes are left that cannot be killed.
    Survivors,
    /// Its init was killed from outside; the kernel then killed the rest.
    InitKilled,
}

/// What enforces a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enforcer {
    /// cgroup v2 controller.
    CgroupV2,
    /// cgroup v1 controller.
    CgroupV1,
    /// RLIMIT_DATA, in each process alone.
    RlimitData,
    /// RLIMIT_NPROC, counted in the job's own user namespace.
    RlimitNproc,
    /// RLIMIT_NPROC, counted over all processes of the user on the node: those that there were at the start are added.
    RlimitNprocUser,
    /// The supervisor answers sched_setaffinity (seccomp notification).
    Seccomp,
    /// Set at the start; the job can change it.
    Affinity,
    /// terrarium's own clock.
    Timer,
}

/// Limits of the job as a whole, where not said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// `--mem`.
    pub memory: Option<Limit<Bytes>>,
    /// `--swap`.
    pub swap: Option<Limit<Bytes>>,
    /// `--cpus`, as a list.
    pub cpus: Option<Limit<String>>,
    /// `--pids`: processes and threads together.
    pub pids: Option<Limit<u64>>,
    /// `--time`, seconds.
    pub time_seconds: Option<Limit<f64>>,
}

/// A limit and what enforces it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit<T> {
    /// The limit.
    pub value: T,
    /// What enforces it; nothing does if `None`, and a finding says why.
    pub enforced_by: Option<Enforcer>,
}

/// Where a figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Counted by the kernel for the cgroup: exact, the dead and the shared included.
    Cgroup,
    /// Added up from every process that was waited for: exact, but for children of
    /// programs that ignore SIGCHLD.
    Wait4,
    /// Looked at from time to time: short peaks are missing.
    Sampled,
    /// Looked at from time to time and added up over processes: what they share after fork counts several times, so that it
    /// is as a rule an upper bound of what was there at these moments. Of shared memory only the largest of one counts.
    SampledSum,
}

/// A figure with its source.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured<T> {
    /// The figure.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

impl<T> Measured<T> {
    /// Counted by the cgroup.
    pub fn cgroup(value: T) -> Self {
        Measured { value, source: Source::Cgroup }
    }

    /// Added up by waiting.
    pub fn wait4(value: T) -> Self {
        Measured { value, source: Source::Wait4 }
    }

    /// Seen in samples.
    pub fn sampled(value: T) -> Self {
        Measured { value, source: Source::Sampled }
    }

    /// Seen in samples, added up over processes.
    pub fn sampled_sum(value: T) -> Self {
        Measured { value, source: Source::SampledSum }
    }
}

/// What a job used. `None` means "not known", never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time of all processes, the dead and the daemonised too, seconds.
    pub cpu_seconds: Option<Measured<f64>>,
    /// Highest memory use of the job.
    pub memory_peak: Option<Measured<Bytes>>,
    /// The peak met the limit: what the job would have used without it is not known.
    pub memory_saturated: bool,
    /// Highest working set: memory without file pages that were not used lately.
    #[serde(default)]
    pub memory_working_set_peak: Option<Measured<Bytes>>,
    /// Highest sum of anonymous and shared memory: what cannot be dropped and read again.
    #[serde(default)]
    pub memory_anonymous_shared_peak: Option<Measured<Bytes>>,
    /// Time in which some thread waited for memory, seconds (PSI of the cgroup).
    #[serde(default)]
    pub memory_pressure_seconds: Option<f64>,
    /// Most processes at once.
    pub processes_peak: Option<Measured<u64>>,
    /// Most threads at once.
    pub threads_peak: Option<Measured<u64>>,
    /// Page faults that needed no I/O.
    #[serde(default)]
    pub faults_minor: Option<Measured<u64>>,
    /// Page faults that waited for I/O.
    #[serde(default)]
    pub faults_major: Option<Measured<u64>>,
    /// Times a thread waited for something.
    #[serde(default)]
    pub switches_voluntary: Option<Measured<u64>>,
    /// Times a thread had to make room for another.
    #[serde(default)]
    pub switches_involuntary: Option<Measured<u64>>,
    /// Bytes read by read(2) and its kin.
    #[serde(default)]
    pub read: Option<Measured<Bytes>>,
    /// Bytes written by write(2) and its kin.
    #[serde(default)]
    pub written: Option<Measured<Bytes>>,
    /// GPUs, where the driver was asked.
    #[serde(default)]
    pub gpu: Option<GpuUsage>,
    /// Looks taken.
    #[serde(default)]
    pub samples: u64,
}

/// What a job used of GPUs, as seen in samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpuUsage {
    /// GPUs that the job could see.
    pub devices: u32,
    /// GPUs on which a process of the job was seen.
    pub used: u32,
    /// Use of those GPUs on average, percent of one (the driver's figure: time in which some kernel ran).
    pub use_percent: Option<f64>,
    /// Most memory of the job's processes, all GPUs together.
    pub memory_peak: Option<Bytes>,
}

/// What a job left behind when its main process had ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// Processes that had to be killed.
    pub processes: u64,
    /// Names of the first of them, with how often.
    pub names: Vec<(String, u64)>,
    /// Files and IPC objects in what the job shared with the host (`--shm host`).
    pub shared: Vec<SharedObject>,
}

/// A file in /dev/shm or a System V IPC object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedObject {
    /// `/dev/shm/NAME`, or `sysv shm 42`, `sysv sem 42`, `sysv queue 42`.
    pub name: String,
    /// Its size.
    pub bytes: Bytes,
    /// A living process outside the job uses it.
    pub held: bool,
    /// It was deleted.
    pub deleted: bool,
}

/// A process that could not be killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survivor {
    /// PID on the host.
    pub pid: u32,
    /// Its name (comm).
    pub name: String,
    /// State letter of /proc/PID/stat (`D`: waits in the kernel).
    pub state: char,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_reads_back() {
        let report = RunReport {
            schema: SCHEMA.to_owned(),
            terrarium: "0.1.0".to_owned(),
            job: "12-34-56".parse().unwrap(),
            command: vec!["python3".to_owned(), "x.py".to_owned()],
            directory: "/home/a".to_owned(),
            host: "n1".to_owned(),
            uid: 1000,
            started: 1.5,
            wall_seconds: 2.0,
            end: End::Exited { code: 3 },
            exit_status: 3,
            tier: Tier::Userns,
            ranks: None,
            limits: Limits {
                memory: Some(Limit { value: Bytes::mib(5), enforced_by: Some(Enforcer::RlimitData) }),
                ..Limits::default()
            },
            cpus: Some(2),
            executable: None,
            usage: Usage::default(),
            left_behind: LeftBehind::default(),
            orphans_ended: 2,
            survivors: vec![],
            tracking: Some(Tracking::without(TrackingState::OptedOut, "--no-track".to_owned())),
            findings: vec![Finding::new("x", "y").hint("z")],
        };
        let json = serde_json::to_string(&report).unwrap();
        assert!(json.contains(r#""end":{"kind":"exited","code":3}"#), "{json}");
        assert!(json.contains(r#""enforced_by":"rlimit-data""#), "{json}");
        assert!(json.contains(r#""state":"opted-out""#), "{json}");
        assert_eq!(serde_json::from_str::<RunReport>(&json).unwrap(), report);
    }
}
