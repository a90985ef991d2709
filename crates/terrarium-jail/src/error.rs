//! Why a job could not be started.

use std::io;

use terrarium_core::Tier;
use terrarium_sys::Errno;
use thiserror::Error;

use crate::view::ViewError;

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

fn list(tried: &[(Tier, String)]) -> String {
    let texts: Vec<String> = tried.iter().map(|(tier, why)| format!("{tier}: {why}")).collect();
    texts.join("; ")
}
