//! cgroup v1: one group in each hierarchy that has something to give, below terrarium's own.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use terrarium_core::report::Enforcer;
use terrarium_core::{Bytes, JobId};
use terrarium_sys::fds::event_fd;

use super::{
    BOX, Counted, Held, Hierarchy, Wanted, explain, job_directory, open_for_write, read_key, read_number,
    sweep,
};
use crate::host::Host;

/// A run's cgroup in one hierarchy.
#[derive(Debug)]
pub struct V1 {
    pub(super) mount: PathBuf,
    pub(super) path: PathBuf,
    pub(super) controllers: Vec<String>,
    pub(super) procs: OwnedFd,
    /// Readable when the memory controller is out of memory.
    pub(super) oom_event: Option<OwnedFd>,
}

/// Values from here up mean "no limit" (the kernel rounds to pages).
const UNLIMITED: u64 = i64::MAX as u64 - (1 << 20);

impl V1 {
    /// `Ok(None)`: nothing wanted from this hierarchy.
    pub(super) fn make(
        host: &Host,
        hierarchy: &Hierarchy,
        job: &JobId,
        wanted: &Wanted,
        root: bool,
    ) -> Result<Option<(V1, Held)>, String> {
        let has = |c: &str| hierarchy.controllers.iter().any(|have| have == c);
        // Root also counts what was not limited; joining costs some milliseconds once per run.
        let useful = (has("memory") && (root || wanted.memory.is_some()))
            || (has("pids") && (root || wanted.pids.is_some()))
            || (has("cpuacct") && root)
            || (has("cpuset") && wanted.cpus.is_some());
        if !useful {
            return Ok(None);
        }
        sweep(host, &hierarchy.own);
        let path = job_directory(&hierarchy.own, job);
        match build(hierarchy, &path, wanted, &has) {
            Ok(done) => Ok(Some(done)),
            Err(why) => {
                let _ = super::remove_tree(&path, Duration::ZERO);
                Err(why)
            }
        }
    }

    pub(super) fn counted(&self) -> Counted {
        Counted {
            cpu: read_number(&self.path.join("cpuacct.usage")).map(Duration::from_nanos),
            memory_peak: read_number(&self.path.join("memory.max_usage_in_bytes")).map(Bytes),
            tasks_peak: read_number(&self.path.join("pids.peak")),
            oom_kills: read_tree_key(&self.path, "memory.oom_control", "oom_kill"),
            oom_here: false,
        }
    }

    pub(super) fn memory_now(&self) -> Option<Bytes> {
        read_number(&self.path.join("memory.usage_in_bytes")).map(Bytes)
    }
}

/// The sum of a key over a cgroup and those below: v1 counts an event only where the victim was.
fn read_tree_key(path: &Path, file: &str, key: &str) -> u64 {
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    let below: u64 = below
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| read_tree_key(&e.path(), file, key))
        .sum();
    read_key(&path.join(file), key).unwrap_or(0) + below
}

fn build(
    hierarchy: &Hierarchy,
    path: &Path,
    wanted: &Wanted,
    has: &dyn Fn(&str) -> bool,
) -> Result<(V1, Held), String> {
    let inner = path.join(BOX);
    let write = |dir: &Path, file: &str, value: &str| {
        let file = dir.join(file);
        fs::write(&file, value).map_err(|e| explain(&file, &e))
    };
    let mut held = Held::default();
    fs::create_dir(path).map_err(|e| explain(path, &e))?;
    if has("memory") {
        // Kernels of old (before 5.11) may account children apart.
        let _ = write(path, "memory.use_hierarchy", "1");
        if let Some(limit) = wanted.memory {
            write(path, "memory.limit_in_bytes", &limit.0.to_string())?;
            held.memory = Some(Enforcer::CgroupV1);
            // v1 limits memory and swap together; the file is missing if the kernel does not count swap.
            if let Some(swap) = wanted.swap {
                let both = limit.0.saturating_add(swap.0).min(UNLIMITED);
                held.swap = write(path, "memory.memsw.limit_in_bytes", &both.to_string())
                    .is_ok()
                    .then_some(Enforcer::CgroupV1);
            }
        }
    }
    if has("pids")
        && let Some(limit) = wanted.pids
    {
        write(path, "pids.max", &limit.to_string())?;
        held.pids = Some(Enforcer::CgroupV1);
    }
    if has("cpuset") {
        // Both are empty at first, and nothing can join before they are set, here and below.
        let mems = fs::read_to_string(hierarchy.own.join("cpuset.mems")).unwrap_or_default();
        let own = fs::read_to_string(hierarchy.own.join("cpuset.cpus")).unwrap_or_default();
        let cpus = wanted.cpus.as_ref().map_or_else(|| own.trim().to_owned(), ToString::to_string);
        write(path, "cpuset.cpus", &cpus)?;
        write(path, "cpuset.mems", mems.trim())?;
        fs::create_dir(&inner).map_err(|e| explain(&inner, &e))?;
        write(&inner, "cpuset.cpus", &cpus)?;
        write(&inner, "cpuset.mems", mems.trim())?;
        held.cpus = wanted.cpus.is_some().then_some(Enforcer::CgroupV1);
    } else {
        fs::create_dir(&inner).map_err(|e| explain(&inner, &e))?;
    }
    let procs = inner.join("cgroup.procs");
    let group = V1 {
        mount: hierarchy.mount.clone(),
        path: path.to_owned(),
        controllers: hierarchy.controllers.clone(),
        procs: open_for_write(&procs).map_err(|e| explain(&procs, &e))?,
        oom_event: held.memory.and_then(|_| watch_oom(path)),
    };
    Ok((group, held))
}

/// Has the kernel count out-of-memory events of this cgroup into an eventfd.
fn watch_oom(path: &Path) -> Option<OwnedFd> {
    let event = event_fd().ok()?;
    let control = fs::File::open(path.join("memory.oom_control")).ok()?;
    let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    fs::write(path.join("cgroup.event_control"), line).ok()?;
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_below_count_too() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("box");
        fs::create_dir(&below).unwrap();
        fs::write(dir.path().join("memory.oom_control"), "oom_kill 1\n").unwrap();
        fs::write(below.join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n").unwrap();
        assert_eq!(read_tree_key(dir.path(), "memory.oom_control", "oom_kill"), 3);
    }
}
