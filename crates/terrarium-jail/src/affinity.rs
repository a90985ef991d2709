//! Answering sched_setaffinity for the job: what it asks for, within what it has.
//!
//! The wish is read once from the caller's memory and applied by init itself, so that changing the memory meanwhile
//! gains nothing.

use std::collections::HashSet;
use std::fs;
use std::os::fd::BorrowedFd;

use terrarium_core::CpuSet;
use terrarium_core::cpus::MAX_CPUS;
use terrarium_sys::Errno;
use terrarium_sys::process::{cpus_of, read_memory, set_affinity};
use terrarium_sys::seccomp::{AffinityRequest, answer, is_waiting, receive};
use terrarium_sys::step::AFFINITY_BYTES;

/// A CPU set as the kernel wants it.
pub(crate) fn mask(cpus: &CpuSet) -> Vec<u8> {
    let mut mask = vec![0u8; AFFINITY_BYTES];
    for cpu in cpus.iter().filter(|c| *c < MAX_CPUS) {
        mask[cpu / 8] |= 1 << (cpu % 8);
    }
    mask
}

/// Takes one request and answers it. `processes`: the job's, where not all that can be named are.
pub(crate) fn answer_one(listener: BorrowedFd<'_>, cpus: &CpuSet, processes: Option<&HashSet<i32>>) {
    let Ok(request) = receive(listener) else { return };
    let result = apply(listener, &request, cpus, processes);
    answer(listener, &request, result);
}

fn apply(
    listener: BorrowedFd<'_>,
    request: &AffinityRequest,
    cpus: &CpuSet,
    processes: Option<&HashSet<i32>>,
) -> Result<(), Errno> {
    let length = (request.length as usize).min(AFFINITY_BYTES);
    let mut wish = vec![0u8; length];
    // EPERM: a process that is closed to ptrace, also to its own tracer.
    let read = read_memory(request.caller, request.address, &mut wish)
        .map_err(|errno| if errno == Errno::EPERM { errno } else { Errno::EFAULT })?;
    if read < length {
        return Err(Errno::EFAULT);
    }
    let target = target(request)?;
    // What is not the job's is no business of ours: our rights are not to be lent.
    if processes.is_some_and(|p| !group_of(target).is_some_and(|group| p.contains(&group))) {
        return Err(Errno::EPERM);
    }
    if !is_waiting(listener, request) {
        return Err(Errno::ESRCH);
    }
    // As with a cpuset: clipped, and refused if nothing is left.
    let granted: CpuSet = cpus_of(&wish).into_iter().filter(|c| cpus.contains(*c)).collect();
    if granted.is_empty() {
        return Err(Errno::EINVAL);
    }
    set_affinity(target, &mask(&granted))
}

/// The thread meant, in our PID namespace.
fn target(request: &AffinityRequest) -> Result<i32, Errno> {
    if request.target == 0 {
        return Ok(request.caller);
    }
    if request.target < 0 {
        return Err(Errno::ESRCH);
    }
    let depth = namespace_pids(&format!("/proc/{}/status", request.caller)).len();
    if depth <= 1 {
        return Ok(request.target);
    }
    // The caller lives in a namespace of its own (a run in a run): its own threads first, they are the usual case.
    let own = format!("/proc/{}/task", request.caller);
    let found = tasks(&own).into_iter().chain(all_tasks()).find(|path| {
        let pids = namespace_pids(&format!("{path}/status"));
        pids.len() == depth && pids.last() == Some(&request.target)
    });
    let found = found.and_then(|path| path.rsplit('/').next()?.parse().ok());
    found.ok_or(Errno::ESRCH)
}

/// The process that a thread belongs to.
fn group_of(thread: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    text.lines().find_map(|l| l.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// PIDs of a thread from our namespace down to its own; empty if it is gone.
pub(crate) fn namespace_pids(status: &str) -> Vec<i32> {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("NSpid:")).unwrap_or("");
    line.split_ascii_whitespace().filter_map(|p| p.parse().ok()).collect()
}

fn tasks(directory: &str) -> Vec<String> {
    fs::read_dir(directory)
        .map(|dir| dir.flatten().filter_map(|e| e.path().to_str().map(str::to_owned)).collect())
        .unwrap_or_default()
}

fn all_tasks() -> Vec<String> {
    tasks("/proc")
        .into_iter()
        .filter(|p| p.rsplit('/').next().is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())))
        .flat_map(|p| tasks(&format!("{p}/task")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_and_back() {
        let cpus: CpuSet = "0,9,8191".parse().unwrap();
        assert_eq!(cpus_of(&mask(&cpus)), [0, 9, 8191]);
    }

    #[test]
    fn own_pid_in_the_own_namespace() {
        let pids = namespace_pids("/proc/self/status");
        assert_eq!(pids.last(), Some(&(std::process::id() as i32)));
        assert!(namespace_pids("/proc/none/status").is_empty());
    }
}
