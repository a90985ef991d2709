//! Whether the process of a record still runs here.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use terrarium_spool::{End, Process};

/// Ticks of a second in /proc, on every architecture.
const TICKS: u64 = 100;

/// Whether the process of a record without an end runs. If the kernel tells whether its file is mapped, that is it; else a process
/// on this host that has its PID, belongs to the owner of the file, began before the record did, and runs the same program as far
/// as that can be seen. A PID may mean another process outside of its container: that one rarely passes.
pub(super) fn is_running(process: &Process, owner: u32, mapped: Option<bool>, proc: &Path) -> bool {
    process.end == End::Unknown && mapped.unwrap_or_else(|| is_here(process, owner, proc))
}

fn is_here(process: &Process, owner: u32, proc: &Path) -> bool {
    let here = fs::read_to_string(proc.join("sys/kernel/hostname")).unwrap_or_default();
    let of_host = process.host.as_ref().is_none_or(|host| *host == *here.trim_end());
    let directory = proc.join(process.pid.to_string());
    let of_owner = fs::metadata(&directory).is_ok_and(|metadata| metadata.uid() == owner);
    let program = fs::read_link(directory.join("exe")).ok();
    let of_program = match (&process.program, program) {
        (Some(ours), Some(theirs)) => ours.as_bytes() == theirs.as_os_str().as_bytes(),
        _ => true,
    };
    of_host
        && of_owner
        && of_program
        && started(proc, &directory).is_some_and(|second| second <= process.started_us / 1_000_000)
}

/// When a process started, in whole seconds since 1970.
fn started(proc: &Path, directory: &Path) -> Option<u64> {
    let stat = fs::read_to_string(proc.join("stat")).ok()?;
    let boot: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let stat = fs::read(directory.join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name may have any character in it; what follows is numbers.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    // A zombie runs no more.
    fields.next().filter(|state| !matches!(*state, "Z" | "X"))?;
    let ticks: u64 = fields.nth(18)?.parse().ok()?;
    Some(boot + ticks / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrarium_spool::sample::Sample;
    use terrarium_wire::header::{AT_ENDING, AT_PID, AT_START};

    /// This test's own process, with what is changed in its record.
    fn running(change: impl Fn(Sample) -> Sample) -> bool {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let sample = Sample::new().short(AT_PID, std::process::id()).long(AT_START, now.as_nanos() as u64);
        let process = terrarium_spool::process(&change(sample).bytes()).unwrap();
        is_running(&process, fs::metadata("/proc/self").unwrap().uid(), None, Path::new("/proc"))
    }

    #[test]
    fn a_process_that_runs_is_known_by_more_than_its_number() {
        assert!(running(|sample| sample));
        assert!(!running(|sample| sample.short(AT_ENDING, 1)));
        // The number was another's then.
        assert!(!running(|sample| sample.long(AT_START, 1_000_000_000)));
        assert!(!running(|sample| sample.text(terrarium_wire::kind::HOST, "elsewhere")));
        assert!(!running(|sample| sample.text(terrarium_wire::kind::PROGRAM, "/other")));
    }
}
