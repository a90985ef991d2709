//! What a caller asks for.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use terrarium_core::{Bytes, CpuSet, Tier};

use crate::only::Link;

/// A job and what it is to be held by. Everything is explicit: nothing is read from the environment.
#[derive(Clone, Debug)]
pub struct JailSpec {
    /// The command and its arguments; not empty.
    pub command: Vec<OsString>,
    /// The job's whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory; `None` if ours no longer has a path.
    pub directory: Option<PathBuf>,
    /// The limits.
    pub limits: Limits,
    /// What it sees.
    pub view: View,
    /// Refuse anything weaker.
    pub require: Option<Tier>,
    /// Refuse a memory limit that is not the whole job's.
    pub require_memory: bool,
    /// No setuid program works, also in the root tier. (In the user tier that is always so.)
    pub no_new_privileges: bool,
    /// From SIGTERM to SIGKILL; `None`: for ever.
    pub grace: Option<Duration>,
    /// End processes whose parent has died while the main process lives on, after the grace.
    pub end_orphans: bool,
    /// End the job when the process that started this one ends.
    pub with_parent: bool,
    /// Time from look to look at the job (see [`crate::Observer`]).
    pub look_every: Duration,
    /// How long to wait for killed processes to be gone.
    pub kill_wait: Duration,
    /// This process is one of several ranks of a parallel job on this node, which share one jail.
    pub ranks: Option<Ranks>,
    /// Whether this is a run in a run.
    pub nested: bool,
    /// Descriptors of the caller that stay open in the supervisor (never in the job).
    pub keep: Vec<RawFd>,
    /// Whether the session has a controlling terminal.
    pub has_terminal: bool,
    /// What the job's processes load is to be recorded.
    pub track: Option<Track>,
}

/// How a job is tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// The library that is loaded into each process; without symbolic links.
    pub library: PathBuf,
    /// LD_PRELOAD with the library in it.
    pub preload: OsString,
    /// A directory in which the run gets one of its own; without symbolic links.
    pub spool: PathBuf,
}

/// The ranks of a parallel job on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranks {
    /// A name that all of them have and no other job of the user.
    pub job: String,
    /// How many there are, if that is known.
    pub expected: Option<u32>,
}

/// Limits on the job as a whole.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Memory.
    pub memory: Option<Bytes>,
    /// Swap on top of memory.
    pub swap: Option<Bytes>,
    /// CPUs, by number.
    pub cpus: Option<CpuSet>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Wall-clock time.
    pub time: Option<Duration>,
}

/// What the job sees of the host. Paths are absolute, exist, and have no symlinks in them.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Nothing but these, and what a dynamic program needs; everything, if it is empty.
    pub only: Vec<Only>,
    /// Symbolic links that lead to them by the names that the caller wrote.
    pub links: Vec<Link>,
    /// These appear elsewhere.
    pub binds: Vec<Bind>,
    /// These cannot be written to.
    pub read_only: Vec<PathBuf>,
    /// These are empty.
    pub hidden: Vec<PathBuf>,
    /// Empty in the same way, but because of us: sockets by which a job could have a process
    /// started outside.
    pub sockets: Vec<PathBuf>,
    /// Device nodes that cannot be opened.
    pub denied_devices: Vec<PathBuf>,
    /// /tmp and /var/tmp are the job's own.
    pub private_tmp: bool,
    /// /dev/shm and System V IPC.
    pub shm: Shm,
    /// Shared memory of its own was asked for; else it is the host's where it cannot be had.
    pub shm_asked: bool,
    /// No network but the job's own loopback.
    pub no_network: bool,
}

/// A path that is shown at its own place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Only {
    /// Which.
    pub path: PathBuf,
    /// Nothing below it can be written to.
    pub read_only: bool,
}

/// One path shown at another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// What.
    pub source: PathBuf,
    /// Where. Must exist unless it lies in a private /tmp or /dev/shm.
    pub target: PathBuf,
}

/// Shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shm {
    /// The host's.
    Host,
    /// The job's own, at most this large.
    Private(Bytes),
}

impl Default for Shm {
    fn default() -> Self {
        Shm::Private(Bytes::mib(64))
    }
}
