//! cgroups for one run, v2 and v1: where one may be made, what is written into it, what it counted.
//!
//! A run gets `terrarium-JOB/box` below (v1) or beside (v2) the cgroup that terrarium itself is in, so that whatever
//! limits that one goes on holding. The limits are on `terrarium-JOB`; the job is in `box`, which it sees as
//! the root of its cgroup namespace and of /sys/fs/cgroup: it may do there what it likes,
//! but neither see nor reach the limits.

mod v1;
mod v2;

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use terrarium_core::report::Enforcer;
use terrarium_core::{Bytes, CpuSet, JobId};

use crate::host::{Host, Membership, Mount};

pub use v1::V1;
pub use v2::V2;

/// Directories of ours start with this; the rest of the name is the [`JobId`].
pub const PREFIX: &str = "terrarium-";

/// The job's own part.
pub const BOX: &str = "box";

/// Limits that a cgroup can hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Memory of the job as a whole.
    pub memory: Option<Bytes>,
    /// Swap on top of it.
    pub swap: Option<Bytes>,
    /// CPUs, by number.
    pub cpus: Option<CpuSet>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Root: then cgroups are made also only to count.
    pub root: bool,
    /// A run in a run.
    pub nested: bool,
}

/// Which of the [`Wanted`] limits a cgroup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Memory.
    pub memory: Option<Enforcer>,
    /// Swap.
    pub swap: Option<Enforcer>,
    /// CPUs.
    pub cpus: Option<Enforcer>,
    /// Processes and threads.
    pub pids: Option<Enforcer>,
}

impl Held {
    fn or(self, other: Held) -> Held {
        Held {
            memory: self.memory.or(other.memory),
            swap: self.swap.or(other.swap),
            cpus: self.cpus.or(other.cpus),
            pids: self.pids.or(other.pids),
        }
    }
}

/// What the cgroups counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// CPU time of all that ever ran in it.
    pub cpu: Option<Duration>,
    /// Highest memory use.
    pub memory_peak: Option<Bytes>,
    /// Most processes and threads at once.
    pub tasks_peak: Option<u64>,
    /// Processes that the out-of-memory killer ended, whichever limit was met.
    pub oom_kills: u64,
    /// It was the limit of this very cgroup, as far as the kernel tells (v2).
    pub oom_here: bool,
}

/// A hierarchy that is mounted here, and where this process is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Controllers of a v1 hierarchy; empty for v2.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Directory of this process's cgroup.
    pub own: PathBuf,
}

/// The hierarchies of which this process can see its own cgroup.
pub fn hierarchies(mounts: &[Mount], memberships: &[Membership]) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for membership in memberships {
        let v2 = membership.controllers.is_empty();
        let fits = |m: &&Mount| {
            let kind = if v2 { m.kind == "cgroup2" } else { m.kind == "cgroup" };
            kind && membership.controllers.iter().all(|c| m.super_options.split(',').any(|o| o == c))
        };
        // The first place where it can be seen: the usual one. A later mount at the same place covers it.
        let place = mounts.iter().enumerate().filter(|(_, m)| fits(m)).find_map(|(i, m)| {
            let covered = mounts[i + 1..].iter().any(|later| later.point == m.point);
            // A path such as /../.. lies outside of this cgroup namespace.
            let below = membership.path.strip_prefix(&m.root).ok()?;
            let outside = below.components().any(|c| matches!(c, std::path::Component::ParentDir));
            (!covered && !outside).then_some((m, below))
        });
        let Some((mount, below)) = place else { continue };
        let own = if below.as_os_str().is_empty() { mount.point.clone() } else { mount.point.join(below) };
        found.push(Hierarchy {
            controllers: membership.controllers.clone(),
            mount: mount.point.clone(),
            own,
        });
    }
    found
}

/// The cgroups of one run.
#[derive(Debug)]
pub struct Groups {
    v2: Option<V2>,
    v1: Vec<V1>,
    /// What they hold.
    pub held: Held,
    /// Why a limit could not be had from a cgroup, for people.
    pub reasons: Vec<Reason>,
}

/// Why a hierarchy gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Controllers of the hierarchy; none for v2 and for all.
    pub controllers: Vec<String>,
    /// Why.
    pub why: String,
}

impl Reason {
    fn general(why: String) -> Self {
        Reason { controllers: Vec::new(), why }
    }
}

/// Whether two v1 mounts (or two of v2, which names none) are of one hierarchy.
fn same_controllers(a: &Mount, b: &Mount) -> bool {
    let names = |m: &Mount| -> Vec<String> {
        let mut names: Vec<String> = m.super_options.split(',').map(str::to_owned).collect();
        names.retain(|n| a.kind == "cgroup" && !matches!(n.as_str(), "rw" | "ro"));
        names.sort();
        names
    };
    names(a) == names(b)
}

/// Where a hierarchy's mounts are to be covered with the job's own part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cover {
    /// The mount points.
    pub mounts: Vec<PathBuf>,
    /// The `box` directory.
    pub with: PathBuf,
}

/// Where a job's cgroups are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directories<'a> {
    /// That of v2.
    pub v2: Option<&'a Path>,
    /// That of v1's memory controller.
    pub memory: Option<&'a Path>,
    /// That of v1's cpuacct controller.
    pub cpuacct: Option<&'a Path>,
}

impl Groups {
    /// No cgroup at all.
    pub fn none() -> Self {
        Groups { v2: None, v1: Vec::new(), held: Held::default(), reasons: Vec::new() }
    }

    /// Makes cgroups for a run wherever this process may, and writes the limits.
    ///
    /// What cannot be had is left out of [`Groups::held`] and explained in `reasons`: an ordinary
    /// user usually gets none. Leftovers of runs whose supervisor is gone are swept on the way.
    pub fn make(host: &Host, mounts: &[Mount], job: &JobId, wanted: &Wanted, context: Context) -> Self {
        let mut groups = Self::none();
        let Ok(memberships) = host.memberships() else {
            groups.reasons.push(Reason::general("/proc/self/cgroup cannot be read".to_owned()));
            return groups;
        };
        let all = hierarchies(mounts, &memberships);
        for hierarchy in &all {
            let reason = |why| Reason { controllers: hierarchy.controllers.clone(), why };
            if hierarchy.controllers.is_empty() {
                match V2::make(host, hierarchy, job, wanted, context.nested) {
                    Ok((v2, held)) => {
                        groups.held = groups.held.or(held);
                        groups.v2 = Some(v2);
                    }
                    Err(why) => groups.reasons.extend(why.into_iter().map(reason)),
                }
            } else {
                match V1::make(host, hierarchy, job, wanted, context.root) {
                    Ok(Some((v1, held))) => {
                        groups.held = groups.held.or(held);
                        groups.v1.push(v1);
                    }
                    Ok(None) => {}
                    Err(why) => groups.reasons.push(reason(why)),
                }
            }
        }
        if all.is_empty() {
            groups.reasons.push(Reason::general("no cgroup hierarchy is mounted".to_owned()));
        }
        groups
    }

    /// Why `controller` is not to be had; the hierarchy that has it counts most.
    pub fn why_not(&self, controller: &str) -> Option<&str> {
        let of_it = self.reasons.iter().find(|r| r.controllers.iter().any(|c| c == controller));
        of_it.or_else(|| self.reasons.iter().find(|r| r.controllers.is_empty())).map(|r| r.why.as_str())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.v2.is_none() && self.v1.is_empty()
    }

    /// The v2 cgroup to clone the job into.
    pub fn v2_directory(&self) -> Option<BorrowedFd<'_>> {
        self.v2.as_ref().map(|v2| v2.directory.as_fd())
    }

    /// `cgroup.procs` of the v2 cgroup, for kernels that cannot clone into it.
    pub fn v2_procs(&self) -> Option<&OwnedFd> {
        self.v2.as_ref().map(|v2| &v2.procs)
    }

    /// `cgroup.procs` of each v1 cgroup, with its path.
    pub fn v1_procs(&self) -> impl Iterator<Item = (&OwnedFd, &Path)> {
        self.v1.iter().map(|g| (&g.procs, g.path.as_path()))
    }

    /// What to cover for the job: every place where the hierarchy is mounted, for one that was
    /// left open would show the limits.
    pub fn covers(&self, mounts: &[Mount]) -> Vec<Cover> {
        let v2 = self.v2.iter().map(|g| (&g.mount, &g.path));
        let all = v2.chain(self.v1.iter().map(|g| (&g.mount, &g.path)));
        all.map(|(mount, path)| {
            let own = mounts.iter().rev().find(|m| &m.point == mount && m.kind.starts_with("cgroup"));
            let mut everywhere: Vec<PathBuf> = mounts
                .iter()
                .filter(|m| own.is_some_and(|o| o.kind == m.kind && same_controllers(o, m)))
                .map(|m| m.point.clone())
                .collect();
            everywhere.sort();
            everywhere.dedup();
            Cover { mounts: everywhere, with: path.join(BOX) }
        })
        .collect()
    }

    /// Directories of the limits, for people.
    pub fn paths(&self) -> Vec<&Path> {
        self.v2.iter().map(|g| g.path.as_path()).chain(self.v1.iter().map(|g| g.path.as_path())).collect()
    }

    /// Directories in which the job as a whole is counted.
    pub fn directories(&self) -> Directories<'_> {
        let v1 = |controller: &str| {
            let has = |g: &&V1| g.controllers.iter().any(|c| c == controller);
            self.v1.iter().find(has).map(|g| g.path.as_path())
        };
        Directories {
            v2: self.v2.as_ref().map(|g| g.path.as_path()),
            memory: v1("memory"),
            cpuacct: v1("cpuacct"),
        }
    }

    /// A descriptor that becomes readable when v1's memory controller is out of memory. (v2
    /// needs none: `memory.oom.group` has the kernel end the whole job.)
    pub fn oom_event(&self) -> Option<BorrowedFd<'_>> {
        self.v1.iter().find_map(|g| g.oom_event.as_ref()).map(AsFd::as_fd)
    }

    /// Numbers of the descriptors held, for a caller that closes all others.
    pub fn descriptors(&self) -> Vec<RawFd> {
        let v2 = self.v2.iter().flat_map(|g| [&g.directory, &g.procs]);
        let v1 = self.v1.iter().flat_map(|g| std::iter::once(&g.procs).chain(&g.oom_event));
        v2.chain(v1).map(AsRawFd::as_raw_fd).collect()
    }

    /// What was counted up to now.
    pub fn counted(&self) -> Counted {
        let mut all = self.v2.as_ref().map_or_else(Counted::default, V2::counted);
        for group in &self.v1 {
            let one = group.counted();
            all.cpu = one.cpu.or(all.cpu);
            all.memory_peak = one.memory_peak.or(all.memory_peak);
            all.tasks_peak = one.tasks_peak.or(all.tasks_peak);
            all.oom_kills += one.oom_kills;
        }
        all
    }

    /// Memory in use now, where a cgroup knows.
    pub fn memory_now(&self) -> Option<Bytes> {
        self.v2.as_ref().and_then(V2::memory_now).or_else(|| self.v1.iter().find_map(V1::memory_now))
    }

    /// Removes them; the job must be gone. Returns those that would not go.
    pub fn remove(&mut self) -> Vec<PathBuf> {
        let mut left = Vec::new();
        for path in self.v2.iter().map(|g| &g.path).chain(self.v1.iter().map(|g| &g.path)) {
            if remove_tree(path, Duration::from_secs(1)).is_err() {
                left.push(path.clone());
            }
        }
        if let Some(v2) = self.v2.take() {
            v2.go_back();
        }
        self.v1.clear();
        left
    }
}

/// Directory of ours for a job below `parent`.
fn job_directory(parent: &Path, job: &JobId) -> PathBuf {
    parent.join(format!("{PREFIX}{job}"))
}

/// The run that a directory belongs to, by its name.
pub fn job_of(directory: &Path) -> Option<JobId> {
    directory.file_name()?.to_str()?.strip_prefix(PREFIX)?.parse().ok()
}

/// Removes a cgroup and all below it. The kernel needs a moment to let go of the last process
/// after it was waited for: EBUSY is tried again for up to `patience`.
pub fn remove_tree(path: &Path, patience: Duration) -> io::Result<()> {
    if let Ok(entries) = fs::read_dir(path) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                remove_tree(&entry.path(), patience)?;
            }
        }
    }
    let mut waited = Duration::ZERO;
    let mut pause = Duration::from_micros(50);
    loop {
        match fs::remove_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy && waited < patience => {
                std::thread::sleep(pause);
                waited += pause;
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}

/// Removes empty directories of runs beside ours whose supervisor is gone; those with processes
/// in them are `terrarium reap`'s, which says what it ends.
fn sweep(host: &Host, parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let Some(job) = job_of(&entry.path()) else { continue };
        if host.is_supervised(&job) == Some(false) {
            let _ = remove_tree(&entry.path(), Duration::ZERO);
        }
    }
}

/// Processes in a cgroup and in those below it.
pub(crate) fn pids_below(directory: &Path) -> Vec<u32> {
    let own = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<u32> = own.split_whitespace().filter_map(|p| p.parse().ok()).collect();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            pids.extend(pids_below(&entry.path()));
        }
    }
    pids
}

pub(crate) fn read_number(path: &Path) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    match text.trim() {
        "max" => None,
        n => n.parse().ok(),
    }
}

/// The value of `key` in a file of `key value` lines.
pub(crate) fn read_key(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

fn open_for_write(path: &Path) -> io::Result<OwnedFd> {
    fs::OpenOptions::new().write(true).open(path).map(OwnedFd::from)
}

/// `what failed on which file: why`, for people.
fn explain(path: &Path, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::PermissionDenied => "not permitted".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "mounted read-only".to_owned(),
        io::ErrorKind::ResourceBusy => "busy".to_owned(),
        _ => error.to_string(),
    };
    format!("{}: {why}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{parse_memberships, parse_mounts};

    #[test]
    fn own_cgroup_by_mount_and_membership() {
        let mounts = parse_mounts(
            "1 1 0:1 / /sys/fs/cgroup rw - tmpfs t rw\n\
             2 1 0:2 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             3 1 0:3 /slice /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
             4 1 0:4 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        let memberships =
            parse_memberships("4:memory:/a/b\n3:cpu,cpuacct:/slice/x\n2:pids:/y\n0::/../outside\n");
        let found = hierarchies(&mounts, &memberships);
        let own: Vec<_> = found.iter().map(|h| h.own.to_str().unwrap()).collect();
        assert_eq!(own, ["/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/cpu/x"]);
    }

    #[test]
    fn names_of_ours() {
        let job: JobId = "1-2-3".parse().unwrap();
        let path = job_directory(Path::new("/sys/fs/cgroup"), &job);
        assert_eq!(job_of(&path), Some(job));
        assert_eq!(job_of(Path::new("/sys/fs/cgroup/terrarium-x")), None);
        assert_eq!(job_of(Path::new("/sys/fs/cgroup/user.slice")), None);
    }

    #[test]
    fn files_of_the_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        assert_eq!(read_number(&file("a", "42\n")), Some(42));
        assert_eq!(read_number(&file("b", "max\n")), None);
        assert_eq!(read_key(&file("c", "oom 3\noom_kill 7\n"), "oom_kill"), Some(7));
        assert_eq!(read_key(&file("d", "oom_kill\n"), "oom_kill"), None);
        assert_eq!(read_number(&dir.path().join("none")), None);
    }
}
