//! Processes that do not die: finding them, freeing what can be freed, naming the rest.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use terrarium_core::report::Survivor;

use crate::cgroup::{hierarchies, pids_below};
use crate::host::{Host, parse_memberships};

/// All processes below `init` (a PID of this namespace), itself not included.
///
/// In a PID namespace orphans become init's children, so parentage reaches all of them but those
/// that entered from outside; those are not the job's.
pub(crate) fn below(host: &Host, init: u32) -> Vec<Survivor> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut stats = HashMap::new();
    for pid in host.pids() {
        if let Some(stat) = host.stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
            stats.insert(pid, stat);
        }
    }
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut todo = vec![init];
    while let Some(pid) = todo.pop() {
        for &child in children.get(&pid).into_iter().flatten() {
            if seen.insert(child) {
                todo.push(child);
                let stat = &stats[&child];
                if !stat.is_dead() {
                    found.push(Survivor { pid: child, name: stat.name.clone(), state: stat.state });
                }
            }
        }
    }
    found.sort_by_key(|s| s.pid);
    found
}

/// The status word of the main process, if it has ended and its init has not waited for it.
///
/// Only root's jobs can hold their init, and there the main process is the first that init starts.
pub(crate) fn dead_main(host: &Host, init: u32) -> Option<i32> {
    let main = host.pids().into_iter().find(|pid| {
        let Ok(status) = host.read(format!("/proc/{pid}/status")) else { return false };
        let pids = status.lines().find_map(|l| l.strip_prefix("NSpid:")).unwrap_or("");
        let last = pids.split_ascii_whitespace().last();
        last == Some("2") && host.stat(*pid).is_some_and(|s| s.parent == init)
    })?;
    host.stat(main).filter(|s| s.is_dead()).map(|s| s.exit_code)
}

/// Thaws v1 freezer cgroups that hold nothing but these processes: a frozen process cannot die there.
/// (In v2 it can.)
pub(crate) fn thaw(host: &Host, survivors: &[Survivor]) {
    let Ok(mounts) = host.mounts() else { return };
    let ours: HashSet<u32> = survivors.iter().map(|s| s.pid).collect();
    let mut done = HashSet::new();
    for survivor in survivors {
        let Ok(text) = host.read(format!("/proc/{}/cgroup", survivor.pid)) else { continue };
        for hierarchy in hierarchies(&mounts, &parse_memberships(&text)) {
            if hierarchy.controllers.iter().any(|c| c == "freezer") && done.insert(hierarchy.own.clone()) {
                thaw_one(&hierarchy.own, &hierarchy.mount, &ours);
            }
        }
    }
}

/// Thaws `group`, and its parents where one of them was the one frozen.
fn thaw_one(group: &Path, mount: &Path, ours: &HashSet<u32>) {
    let mut group = group;
    while group != mount {
        // All that would be thawed with it must be ours.
        let pids = pids_below(group);
        if pids.is_empty() || !pids.iter().all(|p| ours.contains(p)) {
            return;
        }
        let _ = fs::write(group.join("freezer.state"), "THAWED");
        let Some(parent) = group.parent() else { return };
        group = parent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(root: &Path, pid: u32, parent: u32, name: &str, state: char) {
        let dir = root.join(format!("proc/{pid}"));
        fs::create_dir_all(&dir).unwrap();
        let stat = format!("{pid} ({name}) {state} {parent} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0");
        fs::write(dir.join("stat"), stat).unwrap();
    }

    #[test]
    fn descendants_only_and_no_zombies() {
        let dir = tempfile::tempdir().unwrap();
        for (pid, parent, name, state) in [
            (1, 0, "init", 'S'),
            (7, 1, "other", 'S'),
            (10, 1, "us", 'S'),
            (11, 10, "a b", 'D'),
            (12, 11, "c", 'S'),
            (13, 11, "z", 'Z'),
        ] {
            process(dir.path(), pid, parent, name, state);
        }
        let found = below(&Host::at(dir.path()), 10);
        let brief: Vec<_> = found.iter().map(|s| (s.pid, s.name.as_str(), s.state)).collect();
        assert_eq!(brief, [(11, "a b", 'D'), (12, "c", 'S')]);
    }

    #[test]
    fn a_freezer_with_strangers_in_it_stays() {
        let dir = tempfile::tempdir().unwrap();
        let group = dir.path().join("g");
        fs::create_dir(&group).unwrap();
        fs::write(group.join("freezer.state"), "FROZEN").unwrap();
        let state = || fs::read_to_string(group.join("freezer.state")).unwrap();
        fs::write(group.join("cgroup.procs"), "5\n6\n").unwrap();
        thaw_one(&group, dir.path(), &HashSet::from([5]));
        assert_eq!(state(), "FROZEN");
        let beside = dir.path().join("g/other");
        fs::create_dir(&beside).unwrap();
        fs::write(beside.join("cgroup.procs"), "7\n").unwrap();
        thaw_one(&group, dir.path(), &HashSet::from([5, 6]));
        assert_eq!(state(), "FROZEN");
        thaw_one(&group, dir.path(), &HashSet::from([5, 6, 7]));
        assert_eq!(state(), "THAWED");
    }
}
