//! Why a job could not be started.

use std::io;
use std::path::PathBuf;

use terrarium_core::Tier;
use terrarium_sys::Errno;
use terrarium_sys::step::SLOTS;
use thiserror::Error;

use crate::view::RESERVED;

/// Why a job could not be started. Nothing of it runs.
#[derive(Debug, Error)]
pub enum JailError {
    /// The view of the host cannot be made.
    #[error(transparent)]
    View(#[from] ViewError),
    /// No tier is possible here.
    #[error("the job cannot be held here: {}", list(tried))]
    NotContained {
        /// Each tier with why not.
        tried: Vec<(Tier, String)>,
    },
    /// The view that was asked for needs mounts, and there are none in the tier that there is.
    #[error("{flags}: not possible where the job gets no namespaces ({})", list(tried))]
    NeedsMounts {
        /// The flags.
        flags: String,
        /// Each better tier with why not.
        tried: Vec<(Tier, String)>,
    },
    /// A rank could not enter the jail of its job.
    #[error("this rank cannot enter the jail of its job: {why}")]
    NotJoined {
        /// Why.
        why: String,
    },
    /// `--require` asks for more than there is.
    #[error("--require {required} cannot be met: {}", list(tried))]
    TierRefused {
        /// What was asked for.
        required: Tier,
        /// Each tier with why not.
        tried: Vec<(Tier, String)>,
    },
    /// `--require-mem` and no cgroup.
    #[error("--require-mem cannot be met: no memory cgroup is to be had ({why})")]
    MemoryNotHeld {
        /// Why.
        why: String,
    },
    /// A step of the set-up failed.
    #[error("cannot {step}: {}", errno.desc())]
    Step {
        /// Which, in words.
        step: String,
        /// Why.
        errno: Errno,
    },
    /// A system call of the supervisor failed.
    #[error("{what}: {}", errno.desc())]
    System {
        /// Which.
        what: &'static str,
        /// Why.
        errno: Errno,
    },
    /// A file of the kernel could not be read.
    #[error("cannot read {what}")]
    Host {
        /// Which.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The command could not be executed.
    #[error("cannot run {command}: {}", errno.desc())]
    Exec {
        /// Its name.
        command: String,
        /// `ENOENT`: not found; `EACCES`: not executable.
        errno: Errno,
    },
    /// `--with-parent`, and the parent cannot be seen.
    #[error("--with-parent: the process that started terrarium lies outside of its PID namespace")]
    ParentOutside,
    /// The command's name or an argument holds a NUL byte.
    #[error("an argument or a variable holds a NUL byte")]
    Nul,
}

/// Why a view cannot be made.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ViewError {
    /// A path with a NUL byte.
    #[error("the path {path:?} holds a NUL byte")]
    Nul {
        /// Which.
        path: PathBuf,
    },
    /// Two wishes that exclude each other.
    #[error("{path} is named in both {first} and {second}", path = path.display())]
    Conflict {
        /// Which path.
        path: PathBuf,
        /// A flag.
        first: &'static str,
        /// Another.
        second: &'static str,
    },
    /// Hiding everything.
    #[error("/ cannot be hidden; name the directories that are to be hidden")]
    HideRoot,
    /// Something that the job has of its own.
    #[error("{flag} {path}: the job gets its own /proc and /dev/shm, and needs /dev", path = path.display())]
    OwnAnyway {
        /// A flag.
        flag: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A bind over everything.
    #[error("--bind cannot show anything at /; name the directories that are to be shown")]
    OverRoot,
    /// Too many binds.
    #[error("{count} --bind are too many; {most} are possible", most = SLOTS - RESERVED)]
    TooManyBinds {
        /// How many.
        count: usize,
    },
    /// The target of a bind is not there.
    #[error("the target {target} of --bind does not exist, and terrarium makes nothing on the host", target = target.display())]
    NoTarget {
        /// Which.
        target: PathBuf,
    },
    /// `--only /`.
    #[error("--only / shows everything; leave it out, or name less")]
    OnlyEverything,
    /// Something that is shown to every job.
    #[error("--only {}: the job sees /proc, /dev and /sys anyway", path.display())]
    ShownAnyway {
        /// The path.
        path: PathBuf,
    },
    /// Once with and once without `:ro`.
    #[error("--only {0} and --only {0}:ro are both there; which one is meant?", path.display())]
    OnlyTwice {
        /// The path.
        path: PathBuf,
    },
    /// Shown and hidden.
    #[error("--hide {} hides what --only {} shows; leave it out: what is not named is not there", hidden.display(), path.display())]
    OnlyHidden {
        /// What is to be shown.
        path: PathBuf,
        /// What is to be hidden.
        hidden: PathBuf,
    },
    /// Shown, with something over it.
    #[error("--bind to {} covers what --only {} shows; leave out one of them", target.display(), path.display())]
    OnlyCovered {
        /// What is to be shown.
        path: PathBuf,
        /// The target of the bind.
        target: PathBuf,
    },
    /// The root directory is no mount, so it cannot be exchanged.
    #[error("--only cannot be had in a chroot whose root directory is no mount")]
    OnlyInChroot,
    /// A directory over a file or the other way round.
    #[error("--bind {source_path} to {target}: one is a directory and the other is not", source_path = source_path.display(), target = target.display())]
    Kinds {
        /// What.
        source_path: PathBuf,
        /// Where.
        target: PathBuf,
    },
}

fn list(tried: &[(Tier, String)]) -> String {
    let texts: Vec<String> = tried.iter().map(|(tier, why)| format!("{tier}: {why}")).collect();
    texts.join("; ")
}
