//! What earlier runs left: finding it, and ending what carries our mark.
//!
//! A run's mark is its [`JobId`]: in the names of its cgroups and in `TERRARIUM_JOB` in the environment of its processes. The ID itself
//! tells whether its supervisor lives; runs whose supervisor lives are never touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use terrarium_core::JobId;
use terrarium_core::report::Survivor;
use terrarium_sys::process::{PidFd, user};

use crate::cgroup::{job_of, pids_below, remove_tree};
use crate::host::Host;
use crate::own_tmp;
use crate::survivors;

/// Which leftovers.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of this run only.
    pub job: Option<JobId>,
    /// Of this user only.
    pub uid: Option<u32>,
}

/// A marked process whose supervisor is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// PID, name and state.
    pub process: Survivor,
    /// Owner.
    pub uid: u32,
    /// Its run.
    pub job: JobId,
    /// It is below the run's own init. Else it only inherited the mark in its environment, as a batch
    /// job does that was submitted from the run: that is no reason to end it.
    pub in_jail: bool,
}

/// A cgroup of a run whose supervisor is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Where.
    pub path: PathBuf,
    /// Owner.
    pub uid: u32,
    /// Its run.
    pub job: JobId,
    /// Processes in it.
    pub pids: Vec<u32>,
}

/// A directory for temporary files of a run whose supervisor is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Where.
    pub path: PathBuf,
    /// Owner.
    pub uid: u32,
    /// Its run.
    pub job: JobId,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Leftovers {
    /// cgroups.
    pub groups: Vec<Group>,
    /// Processes.
    pub processes: Vec<Process>,
    /// Directories for temporary files.
    pub directories: Vec<Directory>,
    /// Runs that are alive and were left alone.
    pub alive: Vec<JobId>,
    /// Runs in another PID namespace, of which nothing can be said from here.
    pub elsewhere: Vec<JobId>,
}

/// Looks for leftovers; ends nothing.
pub fn find(host: &Host, selection: &Selection) -> Leftovers {
    let mut found = Leftovers::default();
    let mut states = BTreeMap::new();
    let mut is_left = |job: JobId| -> bool {
        let state = *states.entry(job).or_insert_with(|| host.is_supervised(&job));
        state == Some(false) && selection.job.is_none_or(|wanted| wanted == job)
    };
    for group in groups(host) {
        if is_left(group.job) && selection.uid.is_none_or(|uid| uid == group.uid) {
            found.groups.push(group);
        }
    }
    for pid in host.pids() {
        let Some(process) = marked(host, pid) else { continue };
        if is_left(process.job) && selection.uid.is_none_or(|uid| uid == process.uid) {
            found.processes.push(process);
        }
    }
    for directory in directories(host) {
        if is_left(directory.job) && selection.uid.is_none_or(|uid| uid == directory.uid) {
            found.directories.push(directory);
        }
    }
    for (job, state) in states {
        match state {
            Some(true) => found.alive.push(job),
            Some(false) => {}
            None => found.elsewhere.push(job),
        }
    }
    found
}

/// The mark in the environment of a process, if it has one and we may read it.
pub(crate) fn mark(host: &Host, pid: u32) -> Option<JobId> {
    let environment = fs::read(host.path(format!("/proc/{pid}/environ"))).ok()?;
    environment
        .split(|b| *b == 0)
        .find_map(|v| std::str::from_utf8(v.strip_prefix(b"TERRARIUM_JOB=")?).ok()?.parse().ok())
}

/// A process that carries a mark, if `pid` is one.
fn marked(host: &Host, pid: u32) -> Option<Process> {
    let job = mark(host, pid)?;
    let stat = host.stat(pid)?;
    let uid = fs::metadata(host.path(format!("/proc/{pid}"))).ok()?.uid();
    Some(Process {
        process: Survivor { pid, name: stat.name, state: stat.state },
        uid,
        job,
        in_jail: is_below_init(host, pid),
    })
}

/// Whether an ancestor of the process is PID 1 of a run: an init of ours.
fn is_below_init(host: &Host, pid: u32) -> bool {
    let mut pid = pid;
    for _ in 0..1000 {
        let Some(stat) = host.stat(pid) else { return false };
        let status = host.read(format!("/proc/{pid}/status")).unwrap_or_default();
        let pids = status.lines().find_map(|l| l.strip_prefix("NSpid:")).unwrap_or("");
        let pids: Vec<&str> = pids.split_ascii_whitespace().collect();
        if stat.name == crate::init::NAME && pids.len() > 1 && pids.last() == Some(&"1") {
            return true;
        }
        if stat.parent <= 1 {
            return false;
        }
        pid = stat.parent;
    }
    false
}

fn directories(host: &Host) -> Vec<Directory> {
    let entries = fs::read_dir(host.path(own_tmp::PLACE)).into_iter().flatten().flatten();
    let directory = |entry: fs::DirEntry| {
        let job = entry.file_name().to_str()?.strip_prefix(own_tmp::PREFIX)?.parse().ok()?;
        let meta = fs::symlink_metadata(entry.path()).ok()?;
        meta.is_dir().then(|| Directory { path: entry.path(), uid: meta.uid(), job })
    };
    entries.filter_map(directory).collect()
}

pub(crate) fn groups(host: &Host) -> Vec<Group> {
    let mut found = Vec::new();
    for mount in host.mounts().unwrap_or_default() {
        if mount.kind == "cgroup" || mount.kind == "cgroup2" {
            walk(&host.path(&mount.point), 0, &mut found);
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|a, b| a.path == b.path);
    found
}

fn walk(directory: &Path, depth: usize, found: &mut Vec<Group>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        let path = entry.path();
        if let Some(job) = job_of(&path) {
            let uid = entry.metadata().map_or(u32::MAX, |m| m.uid());
            found.push(Group { pids: pids_below(&path), path, uid, job });
        } else if depth < 16 {
            walk(&path, depth + 1, found);
        }
    }
}

/// What came of ending them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Processes that were killed and are gone.
    pub processes: Vec<Survivor>,
    /// cgroups that were removed.
    pub groups: Vec<PathBuf>,
    /// Processes that would not die.
    pub survivors: Vec<Survivor>,
    /// Directories that were removed.
    pub directories: Vec<PathBuf>,
    /// cgroups that could not be removed, with why.
    pub groups_left: Vec<(PathBuf, String)>,
}

/// Ends what was found: kills until the cgroups and the list are empty, or `patience` is over.
pub fn end(host: &Host, selection: &Selection, patience: Duration) -> Ended {
    let mut ended = Ended::default();
    let start = Instant::now();
    loop {
        // Looked for anew each time: what was killed may have forked before.
        let found = find(host, selection);
        let mut targets: Vec<Survivor> =
            found.processes.iter().filter(|p| p.in_jail).map(|p| p.process.clone()).collect();
        for pid in found.groups.iter().flat_map(|g| &g.pids) {
            if let Some(stat) = host.stat(*pid) {
                targets.push(Survivor { pid: *pid, name: stat.name, state: stat.state });
            }
        }
        targets.retain(|t| !matches!(t.state, 'Z' | 'X'));
        targets.sort_by_key(|t| t.pid);
        targets.dedup_by_key(|t| t.pid);
        if targets.is_empty() || start.elapsed() > patience {
            ended.processes.retain(|p| !targets.iter().any(|t| t.pid == p.pid));
            ended.survivors = targets;
            for group in found.groups {
                match remove_tree(&group.path, Duration::from_millis(500)) {
                    Ok(()) => ended.groups.push(group.path),
                    Err(e) => ended.groups_left.push((group.path, e.to_string())),
                }
            }
            // Of a run of which nothing is left; and nobody else's.
            let user = user();
            for directory in found.directories {
                if ended.survivors.is_empty() && (user == 0 || user == directory.uid) {
                    own_tmp::remove(&directory.path);
                    if !directory.path.exists() {
                        ended.directories.push(directory.path);
                    }
                }
            }
            return ended;
        }
        survivors::thaw(host, &targets);
        for target in targets {
            // The descriptor names this very process; that it is still the one that was meant is
            // looked at once more through it.
            let Ok(process) = PidFd::open(target.pid) else { continue };
            let still = marked(host, target.pid)
                .is_some_and(|p| found.processes.iter().any(|f| f.job == p.job))
                || found.groups.iter().any(|g| pids_below(&g.path).contains(&target.pid));
            if still && process.kill().is_ok() && !ended.processes.iter().any(|p| p.pid == target.pid) {
                ended.processes.push(target);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_and_the_living_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let make = |pid: u32, environment: &str, start: u64| {
            let proc = dir.path().join(format!("proc/{pid}"));
            fs::create_dir_all(&proc).unwrap();
            let stat = format!("{pid} (job) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0 0");
            fs::write(proc.join("stat"), stat).unwrap();
            fs::write(proc.join("environ"), environment).unwrap();
        };
        fs::create_dir_all(dir.path().join("proc/self/ns")).unwrap();
        std::os::unix::fs::symlink("pid:[5]", dir.path().join("proc/self/ns/pid")).unwrap();
        fs::write(dir.path().join("proc/self/mountinfo"), "").unwrap();
        make(50, "A=b\0", 7);
        make(51, "A=b\0TERRARIUM_JOB=50-7-5\0", 8);
        make(52, "TERRARIUM_JOB=50-6-5\0", 9);
        make(53, "TERRARIUM_JOB=50-7-99\0", 9);
        make(54, "TERRARIUM_JOB=rubbish\0", 9);
        let found = find(&Host::at(dir.path()), &Selection::default());
        assert_eq!(found.processes.iter().map(|p| p.process.pid).collect::<Vec<_>>(), [52]);
        assert_eq!(found.alive, ["50-7-5".parse().unwrap()]);
        assert_eq!(found.elsewhere, ["50-7-99".parse().unwrap()]);
        let other = Selection { job: Some("50-1-5".parse().unwrap()), uid: None };
        assert!(find(&Host::at(dir.path()), &other).processes.is_empty());
    }
}
