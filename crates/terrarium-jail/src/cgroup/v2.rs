//! cgroup v2.
//!
//! A cgroup with processes in it cannot have controllers for its children ("no internal processes"), so the run's
//! cgroup cannot simply go below terrarium's own. In order of preference it is made
//!
//! 1. below terrarium's own, if that is the root of the hierarchy, which is exempt;
//! 2. beside it, if it has no limit of its own that leaving it would loosen;
//! 3. below it after all, once the processes in it were moved into a child: only if they
//!    are terrarium alone, or the cgroup is the root of a run's own namespace (a run in a run).

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use terrarium_core::report::Enforcer;
use terrarium_core::{Bytes, JobId};

use super::{
    BOX, Counted, Held, Hierarchy, Wanted, explain, job_directory, open_for_write, read_key, read_number,
    sweep,
};
use crate::host::Host;

/// Where the processes of a cgroup go that becomes a parent.
const ASIDE: &str = "terrarium-aside";

const CONTROLLERS: [&str; 4] = ["memory", "pids", "cpuset", "cpu"];

/// A run's cgroup.
#[derive(Debug)]
pub struct V2 {
    pub(super) mount: PathBuf,
    pub(super) path: PathBuf,
    pub(super) directory: OwnedFd,
    pub(super) procs: OwnedFd,
    /// Set if this process alone was moved aside: to go back afterwards.
    moved_from: Option<PathBuf>,
}

struct Place {
    parent: PathBuf,
    moved_from: Option<PathBuf>,
}

fn writable(directory: &Path) -> bool {
    access(directory, AccessFlags::W_OK).is_ok()
        && access(&directory.join("cgroup.procs"), AccessFlags::W_OK).is_ok()
}

fn words(path: &Path) -> Vec<String> {
    fs::read_to_string(path).map(|t| t.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
}

/// Enables what can be enabled for the children of `directory`; which then are.
fn enable(directory: &Path) -> Vec<String> {
    let file = directory.join("cgroup.subtree_control");
    let enabled = words(&file);
    let available = words(&directory.join("cgroup.controllers"));
    let missing: Vec<String> = CONTROLLERS
        .iter()
        .filter(|c| available.iter().any(|a| a == *c) && !enabled.iter().any(|e| e == *c))
        .map(|c| format!("+{c}"))
        .collect();
    if missing.is_empty() {
        return enabled;
    }
    // One refused controller refuses the whole line: then one by one.
    if fs::write(&file, missing.join(" ")).is_err() {
        for one in &missing {
            let _ = fs::write(&file, one);
        }
    }
    words(&file)
}

impl V2 {
    pub(super) fn make(
        host: &Host,
        hierarchy: &Hierarchy,
        job: &JobId,
        wanted: &Wanted,
        nested: bool,
    ) -> Result<(V2, Held), Vec<String>> {
        let place = find_place(hierarchy, nested)?;
        sweep(host, &place.parent);
        let path = job_directory(&place.parent, job);
        let built = build(hierarchy, &place, &path, wanted);
        built.map_err(|why| {
            let _ = super::remove_tree(&path, Duration::ZERO);
            vec![why]
        })
    }

    pub(super) fn counted(&self) -> Counted {
        Counted {
            cpu: read_key(&self.path.join("cpu.stat"), "usage_usec").map(Duration::from_micros),
            memory_peak: read_number(&self.path.join("memory.peak")).map(Bytes),
            tasks_peak: read_number(&self.path.join("pids.peak")),
            oom_kills: read_key(&self.path.join("memory.events"), "oom_kill").unwrap_or(0),
            // Kills are counted in every cgroup above the victim, so those of a run in this run
            // as well; the event itself, where the limit was met.
            oom_here: read_key(&self.path.join("memory.events.local"), "oom").unwrap_or(0) > 0,
        }
    }

    pub(super) fn memory_now(&self) -> Option<Bytes> {
        read_number(&self.path.join("memory.current")).map(Bytes)
    }

    /// After the run: this process returns to where it was, and the cgroup there is as it was found.
    pub(super) fn go_back(&self) {
        let Some(from) = &self.moved_from else { return };
        let off: Vec<String> =
            words(&from.join("cgroup.subtree_control")).iter().map(|c| format!("-{c}")).collect();
        let _ = fs::write(from.join("cgroup.subtree_control"), off.join(" "));
        if fs::write(from.join("cgroup.procs"), "0").is_ok() {
            let _ = fs::remove_dir(from.join(ASIDE));
        }
    }
}

/// Whether the cgroup itself limits anything: then a job beside it would escape that.
fn has_limit(cgroup: &Path) -> bool {
    let limited =
        |file: &str| fs::read_to_string(cgroup.join(file)).is_ok_and(|t| !t.trim().starts_with("max"));
    let cpus = fs::read_to_string(cgroup.join("cpuset.cpus")).is_ok_and(|t| !t.trim().is_empty());
    cpus || ["memory.max", "memory.high", "memory.swap.max", "pids.max", "cpu.max"].into_iter().any(limited)
}

fn find_place(hierarchy: &Hierarchy, nested: bool) -> Result<Place, Vec<String>> {
    let own = &hierarchy.own;
    let mut why = Vec::new();
    // Only the root of the whole hierarchy has no cgroup.type.
    let is_root = !own.join("cgroup.type").exists();
    let controllers = words(&own.join("cgroup.controllers"));
    if !CONTROLLERS.iter().any(|c| controllers.iter().any(|have| have == c)) && is_root {
        return Err(vec![format!("{}: no controllers for cgroup v2 (they are used by v1)", own.display())]);
    }
    if is_root {
        return if writable(own) {
            Ok(Place { parent: own.clone(), moved_from: None })
        } else {
            Err(vec![format!("{}: not permitted", own.display())])
        };
    }
    if own != &hierarchy.mount
        && !has_limit(own)
        && let Some(parent) = own.parent()
    {
        if writable(parent) && enable(parent).iter().any(|c| c == "memory" || c == "pids") {
            return Ok(Place { parent: parent.to_owned(), moved_from: None });
        }
        why.push(format!("{}: not delegated to this user", parent.display()));
    }
    if !writable(own) {
        why.push(format!("{}: not delegated to this user", own.display()));
        return Err(why);
    }
    if has_limit(own) {
        why.push(format!("{}: has a limit of its own, which leaving it would loosen", own.display()));
    }
    let pids = words(&own.join("cgroup.procs"));
    let alone = pids.len() == 1 && pids[0] == std::process::id().to_string();
    // In a run, the root of the cgroup namespace is the `box` of the outer one.
    let is_box = nested && own == &hierarchy.mount;
    if !alone && !is_box {
        why.push(format!("{}: holds other processes as well", own.display()));
        return Err(why);
    }
    let aside = own.join(ASIDE);
    if let Err(e) = fs::create_dir(&aside)
        && e.kind() != io::ErrorKind::AlreadyExists
    {
        why.push(explain(&aside, &e));
        return Err(why);
    }
    for pid in &pids {
        // One that ended meanwhile is fine; one that stays makes enabling fail, which is seen below.
        let _ = fs::write(aside.join("cgroup.procs"), pid);
    }
    if enable(own).iter().any(|c| c == "memory" || c == "pids") {
        let moved_from = (alone && !is_box).then(|| own.clone());
        return Ok(Place { parent: own.clone(), moved_from });
    }
    why.push(format!("{}: has no memory or pids controller to give", own.display()));
    Err(why)
}

fn build(hierarchy: &Hierarchy, place: &Place, path: &Path, wanted: &Wanted) -> Result<(V2, Held), String> {
    let make = |dir: &Path| fs::create_dir(dir).map_err(|e| explain(dir, &e));
    make(path)?;
    let limit = |file: &str, wanted: Option<u64>| -> Option<Enforcer> {
        fs::write(path.join(file), wanted?.to_string()).is_ok().then_some(Enforcer::CgroupV2)
    };
    let mut held = Held {
        memory: limit("memory.max", wanted.memory.map(|b| b.0)),
        swap: limit("memory.swap.max", wanted.swap.map(|b| b.0)),
        pids: limit("pids.max", wanted.pids),
        cpus: None,
    };
    // The whole job or nothing: a job that lost one worker usually hangs.
    let _ = fs::write(path.join("memory.oom.group"), "1");
    if let Some(set) = &wanted.cpus {
        let done = fs::write(path.join("cpuset.cpus"), set.to_string()).is_ok();
        held.cpus = done.then_some(Enforcer::CgroupV2);
    }
    // For runs inside of this one.
    enable(path);
    let inner = path.join(BOX);
    make(&inner)?;
    let open = |p: &Path| fs::File::open(p).map(OwnedFd::from).map_err(|e| explain(p, &e));
    let procs = inner.join("cgroup.procs");
    let group = V2 {
        mount: hierarchy.mount.clone(),
        path: path.to_owned(),
        directory: open(&inner)?,
        procs: open_for_write(&procs).map_err(|e| explain(&procs, &e))?,
        moved_from: place.moved_from.clone(),
    };
    Ok((group, held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hierarchy_without_controllers_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "hugetlb\n").unwrap();
        let hierarchy = Hierarchy { controllers: vec![], mount: dir.path().into(), own: dir.path().into() };
        let why = find_place(&hierarchy, false).err().unwrap();
        assert!(why[0].contains("used by v1"), "{why:?}");
    }

    #[test]
    fn a_cgroup_of_somebody_else_is_not_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("session.scope");
        fs::create_dir(&own).unwrap();
        for (file, text) in [
            ("cgroup.type", "domain\n"),
            ("cgroup.controllers", "memory pids\n"),
            ("cgroup.procs", "1\n2\n"),
            ("cgroup.subtree_control", ""),
        ] {
            fs::write(own.join(file), text).unwrap();
        }
        let hierarchy = Hierarchy { controllers: vec![], mount: dir.path().into(), own: own.clone() };
        let why = find_place(&hierarchy, false).err().unwrap();
        assert!(why.last().unwrap().contains("other processes"), "{why:?}");
        assert!(!own.join(ASIDE).exists());
    }
}
