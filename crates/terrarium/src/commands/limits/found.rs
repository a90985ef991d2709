//! What limits there are before anything is tried: the session's own, and those of cgroups above.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use terrarium_jail::cgroup::{Hierarchy, hierarchies};
use terrarium_jail::host::Host;
use terrarium_sys::allocate::{self, Resource};

/// v1 writes "no limit" as the largest multiple of a page.
const V1_NO_LIMIT: u64 = 1 << 62;

/// What a program needs beside the memory that it takes.
const PROGRAM: u64 = 32 << 20;

/// A cgroup at or above this process with a memory limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Above {
    pub(super) path: PathBuf,
    pub(super) version: u8,
    pub(super) bytes: u64,
    /// In use now.
    pub(super) used: Option<u64>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    /// Can be had by a new process, in bytes.
    pub(super) memory_available: Option<u64>,
    /// `ulimit -X` and its value, where there is one.
    pub(super) ulimits: Vec<(char, u64)>,
    /// The tightest memory limit of a cgroup that holds for this process.
    pub(super) cgroup: Option<Above>,
    /// The batch system whose job this is, and the job's name.
    pub(super) batch_job: Option<(&'static str, String)>,
    /// In a job of terrarium's, whose own cgroup is out of sight: it is above the root of the job's cgroup namespace.
    #[serde(skip)]
    pub(super) is_hidden: bool,
}

impl Found {
    pub(super) fn look(host: &Host) -> Found {
        let available = host.read("/proc/meminfo").ok().and_then(|text| available(&text));
        let kinds = [('m', Resource::ResidentSet), ('d', Resource::Data), ('v', Resource::AddressSpace)];
        let ulimits = kinds
            .into_iter()
            .filter_map(|(letter, resource)| Some((letter, allocate::limit(resource).ok()?.0?)))
            .collect();
        let mounts = host.mounts().unwrap_or_default();
        let memberships = host.memberships().unwrap_or_default();
        let cgroup = hierarchies(&mounts, &memberships).iter().filter_map(above).min_by_key(|a| a.bytes);
        let jobs = [("Slurm", "SLURM_JOB_ID"), ("PBS", "PBS_JOBID"), ("LSF", "LSB_JOBID"), ("SGE", "JOB_ID")];
        let batch_job =
            jobs.into_iter().find_map(|(system, variable)| Some((system, std::env::var(variable).ok()?)));
        let is_hidden = cgroup.is_none() && std::env::var_os("TERRARIUM_JOB").is_some();
        Found { memory_available: available, ulimits, cgroup, batch_job, is_hidden }
    }

    /// How much may be taken at once without anybody else noticing: a quarter of what is there; and no more than the session's own
    /// limits let one process have, or they would be measured instead.
    pub(super) fn room(&self) -> u64 {
        let in_cgroup = self.cgroup.as_ref().map(|c| c.bytes.saturating_sub(c.used.unwrap_or(0)));
        let all = [self.memory_available, in_cgroup].into_iter().flatten().min();
        // Not known: as if there were 1 GiB.
        let quarter = all.unwrap_or(1 << 30) / 4;
        let own = self.ulimits.iter().filter(|(letter, _)| *letter != 'm');
        own.map(|(_, bytes)| bytes.saturating_sub(PROGRAM)).fold(quarter, u64::min)
    }
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn above(hierarchy: &Hierarchy) -> Option<Above> {
    let (version, limit, used) = match hierarchy.controllers.as_slice() {
        [] => (2, "memory.max", "memory.current"),
        named if named.iter().any(|c| c == "memory") => (1, "memory.limit_in_bytes", "memory.usage_in_bytes"),
        _ => return None,
    };
    let number = |path: &Path, file: &str| {
        fs::read_to_string(path.join(file)).ok()?.trim().parse::<u64>().ok().filter(|n| *n < V1_NO_LIMIT)
    };
    hierarchy
        .own
        .ancestors()
        .take_while(|path| path.starts_with(&hierarchy.mount))
        .filter_map(|path| {
            let bytes = number(path, limit)?;
            Some(Above { path: path.to_owned(), version, bytes, used: number(path, used) })
        })
        .min_by_key(|a| a.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_available() {
        assert_eq!(available("MemTotal: 5 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(available("MemTotal: 5 kB\n"), None);
        assert_eq!(available("MemAvailable: x kB\n"), None);
    }

    #[test]
    fn the_tightest_cgroup_above_counts() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("job/step");
        fs::create_dir_all(&own).unwrap();
        let write = |path: &str, text: &str| fs::write(root.path().join(path), text).unwrap();
        let v2 = Hierarchy { controllers: vec![], mount: root.path().into(), own: own.clone() };
        assert_eq!(above(&v2), None);
        write("job/step/memory.max", "max\n");
        write("job/memory.max", "4096\n");
        write("job/memory.current", "1024\n");
        write("memory.max", "8192\n");
        let got = above(&v2).unwrap();
        assert_eq!((got.path, got.bytes, got.used), (root.path().join("job"), 4096, Some(1024)));
        let v1 = Hierarchy { controllers: vec!["memory".into()], mount: root.path().into(), own };
        write("job/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(above(&v1), None);
        write("job/step/memory.limit_in_bytes", "512\n");
        assert_eq!(above(&v1).unwrap().version, 1);
        assert_eq!(above(&Hierarchy { controllers: vec!["pids".into()], ..v1 }), None);
    }

    #[test]
    fn room_is_a_quarter_of_what_is_left() {
        let found = |available, bytes, used| Found {
            memory_available: available,
            ulimits: vec![],
            cgroup: Some(Above { path: "/x".into(), version: 2, bytes, used }),
            batch_job: None,
            is_hidden: false,
        };
        assert_eq!(found(Some(400), 1000, None).room(), 100);
        assert_eq!(found(Some(4000), 1000, Some(200)).room(), 200);
        assert_eq!(found(None, 1000, Some(2000)).room(), 0);
    }

    #[test]
    fn the_sessions_own_limits_are_not_what_is_measured() {
        let mut found = Found {
            memory_available: Some(4 << 30),
            ulimits: vec![('m', 1), ('v', 300 << 20)],
            cgroup: None,
            batch_job: None,
            is_hidden: false,
        };
        assert_eq!(found.room(), 268 << 20);
        found.ulimits.push(('d', 1 << 20));
        assert_eq!(found.room(), 0);
    }
}
