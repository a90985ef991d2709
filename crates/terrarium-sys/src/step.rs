//! What happens between clone and exec, as data.
//!
//! The parent builds lists of [`Step`]s, which can be printed, compared in a test and
//! reviewed; [`Interpreter`] runs them in the child, allocating nothing.

use std::ffi::{CString, c_ulong};
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::calls::{
    change_directory, fd_path, loopback_up, lower_rlimit, make_directory, make_file, make_link, mount, open,
    pivot_root, prctl, probe_nproc, read_only_recursively, remove_directory, write_all,
};
use crate::landlock::Landlock;
use crate::seccomp::Filter;

/// Length of a CPU mask in bytes: 8192 CPUs, the kernel's own ceiling.
pub const AFFINITY_BYTES: usize = 1024;

/// How many paths can be held open across steps.
pub const SLOTS: usize = 64;

/// One thing to do in the child.
#[derive(Clone, Debug)]
pub enum Step {
    /// Die by SIGKILL when the parent dies.
    DieWithParent,
    /// Write `data` to a file of /proc or a cgroup, in one call.
    WriteFile {
        /// Which file.
        path: CString,
        /// What.
        data: Vec<u8>,
    },
    /// Write `data` to a descriptor opened by the parent.
    WriteFd {
        /// The descriptor.
        fd: RawFd,
        /// What.
        data: &'static [u8],
        /// What it is, for the plan.
        label: String,
    },
    /// Mounts below `/` come in from the host but do not go out.
    DetachMounts,
    /// The same for one mount only.
    DetachMount {
        /// Which.
        target: CString,
    },
    /// Make this directory the root, and the working directory.
    ChangeRoot {
        /// Which.
        path: CString,
    },
    /// Mount a new file system.
    Mount {
        /// `proc`, `tmpfs`, …
        kind: CString,
        /// Where.
        target: CString,
        /// MS_*.
        flags: c_ulong,
        /// Options of the file system.
        options: CString,
    },
    /// Hold on to a path before something covers it.
    Hold {
        /// Which.
        path: CString,
        /// Under which number (below [`SLOTS`]).
        slot: usize,
    },
    /// Make what is held, with all that is mounted below, appear at a path.
    BindHeld {
        /// Number of the held path.
        slot: usize,
        /// Where.
        target: CString,
    },
    /// Make a path appear at another, with or without what is mounted below.
    Bind {
        /// What.
        source: CString,
        /// Where.
        target: CString,
        /// With what is mounted below.
        recursive: bool,
    },
    /// Change the flags of a bind mount.
    Remount {
        /// Which.
        target: CString,
        /// MS_*, those that are there already included.
        flags: c_ulong,
    },
    /// Take a mount away.
    Unmount {
        /// Which.
        target: CString,
    },
    /// Make a directory; one that is there is fine.
    MakeDir {
        /// Which.
        path: CString,
        /// Permissions.
        mode: u32,
    },
    /// Make an empty file; one that is there is fine.
    MakeFile {
        /// Which.
        path: CString,
        /// Permissions.
        mode: u32,
    },
    /// Make a symbolic link; something that is there is fine.
    MakeLink {
        /// Where.
        path: CString,
        /// What stands in it.
        to: CString,
    },
    /// Remove an empty directory.
    RemoveDir {
        /// Which.
        path: CString,
    },
    /// Make a mount the root, and the working directory; the old root, with all that is mounted in it, appears below.
    PivotRoot {
        /// The mount.
        new_root: CString,
        /// A directory in it, for the old root.
        old: CString,
    },
    /// Make a mount and all mounts below it read-only (Linux 5.12).
    ReadOnly {
        /// Which.
        target: CString,
    },
    /// Put rules of Landlock on.
    Landlock(Landlock),
    /// Bring up `lo` of the own network namespace.
    LoopbackUp,
    /// Be called this in ps (15 bytes).
    Name {
        /// The name.
        name: CString,
    },
    /// Be the parent of every orphan among the descendants.
    AdoptOrphans,
    /// Nobody without CAP_SYS_PTRACE may look into this process or trace it.
    Undumpable,
    /// Make this cgroup the root of what the job sees of cgroups.
    CgroupNamespace,
    /// Set a resource limit.
    Rlimit {
        /// Its name, for the plan.
        name: &'static str,
        /// RLIMIT_*.
        resource: u32,
        /// Soft and hard limit; lowered, never raised.
        limit: u64,
    },
    /// Fails unless RLIMIT_NPROC is counted in this user namespace alone (Linux 5.14): before, it
    /// counts all processes of the user on the node.
    ProbeNproc,
    /// Run on these CPUs (a bit mask).
    Affinity {
        /// The mask.
        mask: Vec<u8>,
    },
    /// No setuid program and no file capability gives the job more rights.
    NoNewPrivileges,
    /// Install a seccomp filter.
    Seccomp(Filter),
    /// Give up all capabilities for good.
    DropCapabilities,
    /// Give up one capability for good.
    DropCapability {
        /// Its name, for the plan.
        name: &'static str,
        /// Its number, below 32.
        number: u32,
    },
    /// Change the working directory, by path: what was mounted over it counts.
    ChangeDir {
        /// Where to.
        path: CString,
    },
}

/// A step with what its failure means.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What to do.
    pub step: Step,
    /// `None`: a failure ends the run. `Some(n)`: it is noted as number `n` (below 64) and the run goes on.
    pub note: Option<u8>,
    /// Whether it is run at all.
    pub when: When,
}

/// Whether a step is run, by the notes taken before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// It is.
    #[default]
    Always,
    /// Only if this note was taken.
    Noted(u8),
    /// Only if it was not.
    NotNoted(u8),
}

impl Planned {
    /// A step whose failure is noted.
    pub fn noting(step: Step, note: u8) -> Self {
        Planned { step, note: Some(note), when: When::Always }
    }
}

impl From<Step> for Planned {
    fn from(step: Step) -> Self {
        Planned { step, note: None, when: When::Always }
    }
}

/// Which step failed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Index into the list.
    pub index: usize,
    /// Why.
    pub errno: Errno,
}

/// Runs steps. Allocates nothing.
pub struct Interpreter {
    held: [RawFd; SLOTS],
    /// What the supervisor listens on, if a filter with a listener was installed.
    pub listener: Option<OwnedFd>,
    /// Bit n: a step with note n failed.
    pub notes: u64,
}

impl Default for Interpreter {
    fn default() -> Self {
        Self::new()
    }
}

impl Interpreter {
    /// Nothing held yet.
    pub fn new() -> Self {
        Interpreter { held: [-1; SLOTS], listener: None, notes: 0 }
    }

    /// Runs all of them, or up to the first whose failure matters.
    pub fn run(&mut self, steps: &[Planned]) -> Result<(), Failed> {
        for (index, planned) in steps.iter().enumerate() {
            let noted = |note: u8| self.notes >> note & 1 == 1;
            match planned.when {
                When::Noted(note) if !noted(note) => continue,
                When::NotNoted(note) if noted(note) => continue,
                _ => {}
            }
            match (self.one(&planned.step), planned.note) {
                (Ok(()), _) => {}
                (Err(_), Some(note)) => self.notes |= 1 << note,
                (Err(errno), None) => return Err(Failed { index, errno }),
            }
        }
        Ok(())
    }

    fn one(&mut self, step: &Step) -> Result<(), Errno> {
        match step {
            Step::DieWithParent => prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong),
            Step::WriteFile { path, data } => {
                let fd = open(path, libc::O_WRONLY | libc::O_CLOEXEC)?;
                write_all(fd.as_raw_fd(), data)
            }
            Step::WriteFd { fd, data, .. } => write_all(*fd, data),
            Step::DetachMounts => mount(None, c"/", None, libc::MS_REC | libc::MS_SLAVE, None),
            Step::DetachMount { target } => mount(None, target, None, libc::MS_SLAVE, None),
            Step::ChangeRoot { path } => {
                // SAFETY: live C strings.
                Errno::result(unsafe { libc::chroot(path.as_ptr()) })?;
                change_directory(c"/")
            }
            Step::Mount { kind, target, flags, options } => {
                let options = (!options.is_empty()).then_some(options.as_c_str());
                mount(Some(kind), target, Some(kind), *flags, options)
            }
            Step::Hold { path, slot } => {
                let fd = open(path, libc::O_PATH | libc::O_CLOEXEC)?;
                // Stays open until the init closes what it does not know.
                self.held[*slot] = std::os::fd::IntoRawFd::into_raw_fd(fd);
                Ok(())
            }
            Step::BindHeld { slot, target } => {
                let mut buffer = [0u8; 40];
                let source = fd_path(self.held[*slot], &mut buffer);
                mount(Some(source), target, None, libc::MS_BIND | libc::MS_REC, None)
            }
            Step::Bind { source, target, recursive } => {
                let rec = if *recursive { libc::MS_REC } else { 0 };
                mount(Some(source), target, None, libc::MS_BIND | rec, None)
            }
            Step::Remount { target, flags } => {
                mount(None, target, None, libc::MS_REMOUNT | libc::MS_BIND | *flags, None)
            }
            Step::Unmount { target } => {
                // SAFETY: a live C string.
                Errno::result(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(drop)
            }
            Step::MakeDir { path, mode } => make_directory(path, *mode),
            Step::MakeFile { path, mode } => make_file(path, *mode),
            Step::MakeLink { path, to } => make_link(path, to),
            Step::RemoveDir { path } => remove_directory(path),
            Step::PivotRoot { new_root, old } => pivot_root(new_root, old),
            Step::ReadOnly { target } => read_only_recursively(target),
            Step::Landlock(landlock) => landlock.apply(),
            Step::LoopbackUp => loopback_up(),
            Step::Name { name } => prctl(libc::PR_SET_NAME, name.as_ptr() as c_ulong),
            Step::AdoptOrphans => crate::trace::adopt_orphans(),
            Step::Undumpable => prctl(libc::PR_SET_DUMPABLE, 0),
            Step::CgroupNamespace => {
                // SAFETY: takes no pointers.
                Errno::result(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }).map(drop)
            }
            Step::Rlimit { resource, limit, .. } => lower_rlimit(*resource, *limit),
            Step::ProbeNproc => probe_nproc(),
            Step::Affinity { mask } => crate::process::set_affinity(0, mask),
            Step::NoNewPrivileges => prctl(libc::PR_SET_NO_NEW_PRIVS, 1),
            Step::Seccomp(filter) => {
                if let Some(listener) = filter.install()? {
                    self.listener = Some(listener);
                }
                Ok(())
            }
            Step::DropCapabilities => crate::caps::drop_all(),
            Step::DropCapability { number, .. } => crate::caps::drop_one(*number),
            Step::ChangeDir { path } => change_directory(path),
        }
    }
}

const MOUNT_FLAGS: &[(c_ulong, &str)] = &[
    (libc::MS_RDONLY, "ro"),
    (libc::MS_NOSUID, "nosuid"),
    (libc::MS_NODEV, "nodev"),
    (libc::MS_NOEXEC, "noexec"),
    (libc::MS_NOATIME, "noatime"),
    (libc::MS_NODIRATIME, "nodiratime"),
    (libc::MS_RELATIME, "relatime"),
];

struct Flags(c_ulong);

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (_, name) in MOUNT_FLAGS.iter().filter(|(bit, _)| self.0 & bit != 0) {
            write!(f, "{}{name}", if first { "" } else { "," })?;
            first = false;
        }
        if first { f.write_str("rw") } else { Ok(()) }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |c: &CString| c.to_string_lossy().into_owned();
        match self {
            Step::DieWithParent => write!(f, "die with the supervisor"),
            Step::WriteFile { path, data } => {
                write!(f, "write {:?} to {}", String::from_utf8_lossy(data), s(path))
            }
            Step::WriteFd { label, .. } => write!(f, "{label}"),
            Step::DetachMounts => write!(f, "keep mounts from reaching the host"),
            Step::DetachMount { target } => {
                write!(f, "keep mounts below {} from reaching the host", s(target))
            }
            Step::ChangeRoot { path } => write!(f, "make {} the root", s(path)),
            Step::Mount { kind, target, flags, options } => {
                let options = if options.is_empty() { String::new() } else { format!(",{}", s(options)) };
                write!(f, "mount {} on {} ({}{options})", s(kind), s(target), Flags(*flags))
            }
            Step::Hold { path, slot } => write!(f, "hold {} as {slot}", s(path)),
            Step::BindHeld { slot, target } => write!(f, "bind held {slot} on {}", s(target)),
            Step::Bind { source, target, recursive } => {
                let all = if *recursive { " with all below" } else { "" };
                write!(f, "bind {} on {}{all}", s(source), s(target))
            }
            Step::Remount { target, flags } => write!(f, "make {} {}", s(target), Flags(*flags)),
            Step::Unmount { target } => write!(f, "unmount {}", s(target)),
            Step::MakeDir { path, mode } => write!(f, "make directory {} ({mode:03o})", s(path)),
            Step::MakeFile { path, mode } => write!(f, "make file {} ({mode:03o})", s(path)),
            Step::MakeLink { path, to } => write!(f, "make link {} to {}", s(path), s(to)),
            Step::RemoveDir { path } => write!(f, "remove directory {}", s(path)),
            Step::PivotRoot { new_root, old } => {
                write!(f, "make {} the root, with the old one at {}", s(new_root), s(old))
            }
            Step::ReadOnly { target } => write!(f, "make {} and all below ro", s(target)),
            Step::Landlock(landlock) => landlock.fmt(f),
            Step::LoopbackUp => write!(f, "bring up lo"),
            Step::Name { name } => write!(f, "be called {}", s(name)),
            Step::AdoptOrphans => write!(f, "become the parent of orphans"),
            Step::Undumpable => write!(f, "close init to ptrace"),
            Step::CgroupNamespace => write!(f, "show the job its own cgroup as the root"),
            Step::Rlimit { name, limit, .. } => write!(f, "limit {name} to {limit}"),
            Step::ProbeNproc => write!(f, "see whether RLIMIT_NPROC counts this job alone"),
            Step::Affinity { mask } => {
                write!(f, "run on CPUs")?;
                crate::process::cpus_of(mask).iter().try_for_each(|cpu| write!(f, " {cpu}"))
            }
            Step::NoNewPrivileges => write!(f, "no new privileges"),
            Step::Seccomp(filter) => write!(f, "seccomp: {}", filter.label()),
            Step::DropCapabilities => write!(f, "drop all capabilities"),
            Step::DropCapability { name, .. } => write!(f, "drop {name}"),
            Step::ChangeDir { path } => write!(f, "change to {}", s(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn c(s: &str) -> CString {
        CString::new(s).unwrap()
    }

    #[test]
    fn stops_at_the_first_step_that_matters() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| c(dir.path().join(name).to_str().unwrap());
        let steps = [
            Step::MakeDir { path: path("d"), mode: 0o755 }.into(),
            Planned::noting(Step::WriteFile { path: path("no/such"), data: vec![] }, 3),
            Planned {
                step: Step::MakeDir { path: path("never"), mode: 0o755 },
                note: None,
                when: When::NotNoted(3),
            },
            Step::MakeFile { path: path("d/f"), mode: 0o600 }.into(),
            Step::WriteFile { path: path("d/f"), data: b"12".to_vec() }.into(),
            Step::MakeFile { path: path("no/f"), mode: 0o600 }.into(),
            Step::MakeDir { path: path("never"), mode: 0o755 }.into(),
        ];
        let mut interpreter = Interpreter::new();
        assert_eq!(interpreter.run(&steps), Err(Failed { index: 5, errno: Errno::ENOENT }));
        assert_eq!(interpreter.notes, 1 << 3);
        assert_eq!(std::fs::read(dir.path().join("d/f")).unwrap(), b"12");
        assert!(!dir.path().join("never").exists());
    }

    #[test]
    fn steps_read_as_sentences() {
        let step = Step::Mount {
            kind: c("tmpfs"),
            target: c("/dev/shm"),
            flags: libc::MS_NOSUID | libc::MS_NODEV,
            options: c("mode=1777,size=4k"),
        };
        assert_eq!(step.to_string(), "mount tmpfs on /dev/shm (nosuid,nodev,mode=1777,size=4k)");
        let step = Step::Rlimit { name: "RLIMIT_DATA", resource: libc::RLIMIT_DATA, limit: 5 };
        assert_eq!(step.to_string(), "limit RLIMIT_DATA to 5");
    }
}

/// MS_* flags for a caller that has no libc of its own.
pub mod flags {
    use std::ffi::c_ulong;

    /// Read-only.
    pub const RDONLY: c_ulong = libc::MS_RDONLY;
    /// Set-user-ID bits have no effect.
    pub const NOSUID: c_ulong = libc::MS_NOSUID;
    /// Device nodes cannot be opened.
    pub const NODEV: c_ulong = libc::MS_NODEV;
    /// Nothing can be executed.
    pub const NOEXEC: c_ulong = libc::MS_NOEXEC;
    /// Access times are not kept.
    pub const NOATIME: c_ulong = libc::MS_NOATIME;
    /// Access times of directories are not kept.
    pub const NODIRATIME: c_ulong = libc::MS_NODIRATIME;
    /// Access times are kept roughly.
    pub const RELATIME: c_ulong = libc::MS_RELATIME;
}

/// RLIMIT_* for a caller that has no libc of its own.
pub mod rlimit {
    /// Private writable memory, per process.
    pub const DATA: u32 = libc::RLIMIT_DATA;
    /// Processes and threads of a user in a user namespace.
    pub const NPROC: u32 = libc::RLIMIT_NPROC;
}
