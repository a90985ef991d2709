//! One look at a time over all processes of a job.

use std::fs;
use std::path::Path;

use terrarium_core::Bytes;

/// Thread states are read for this many threads in one look: enough to see whether too many want to
/// run, at a cost (about 2 µs each) that stays small for any job.
const THREADS_LOOKED_AT: usize = 256;

/// What /proc/PID/status tells, as far as it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Threads.
    pub threads: u64,
    /// Resident anonymous memory.
    pub anonymous: Bytes,
    /// Resident shared memory (tmpfs, System V, shared anonymous).
    pub shared: Bytes,
}

/// Reads /proc/PID/status; `None` for a process that has ended (it has no memory lines).
pub fn parse_status(text: &str) -> Option<Status> {
    let number = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let kib = |name: &str| number(name).map(|n| Bytes(n.saturating_mul(1024)));
    Some(Status { threads: number("Threads:")?, anonymous: kib("RssAnon:")?, shared: kib("RssShmem:")? })
}

/// What was seen so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampler {
    /// Looks taken.
    pub samples: u64,
    /// Most processes at once.
    pub processes_peak: u64,
    /// Most threads at once.
    pub threads_peak: u64,
    /// Largest sum of anonymous memory, with the largest shared memory of one process on top: what
    /// several processes share copy-on-write counts several times, and short peaks are missing.
    pub memory_peak: Bytes,
    /// Looks at which more threads wanted to run than 1.5 times the CPUs.
    pub crowded: u64,
    /// Most processes that had more than one thread running at once, over the crowded looks.
    pub crowded_processes: u64,
}

impl Sampler {
    /// Looks at processes in `proc`: those in `pids`, or else all that it shows but PID 1, which is the init of a job that
    /// has a /proc of its own.
    pub fn look(&mut self, proc: &Path, pids: Option<&[u32]>, cpus: usize) {
        let all = || {
            let names = fs::read_dir(proc).into_iter().flatten().flatten();
            names.filter_map(|e| e.file_name().to_str()?.parse().ok()).filter(|pid| *pid != 1).collect()
        };
        let pids = pids.map_or_else(all, <[u32]>::to_vec);
        let (mut processes, mut threads, mut shared) = (0u64, 0u64, Bytes(0));
        let (mut running, mut running_many, mut looked_at) = (0u64, 0u64, 0usize);
        let mut anonymous = 0u64;
        for pid in pids {
            let process = proc.join(pid.to_string());
            let Ok(text) = fs::read(process.join("status")) else { continue };
            let Some(status) = parse_status(&String::from_utf8_lossy(&text)) else { continue };
            processes += 1;
            threads += status.threads;
            anonymous += status.anonymous.0;
            shared = shared.max(status.shared);
            if looked_at < THREADS_LOOKED_AT {
                looked_at += status.threads as usize;
                let here = running_threads(&process);
                running += here;
                running_many += u64::from(here > 1);
            }
        }
        if processes == 0 {
            return;
        }
        self.samples += 1;
        self.processes_peak = self.processes_peak.max(processes);
        self.threads_peak = self.threads_peak.max(threads);
        self.memory_peak = self.memory_peak.max(Bytes(anonymous + shared.0));
        if running * 2 > cpus as u64 * 3 {
            self.crowded += 1;
            self.crowded_processes = self.crowded_processes.max(running_many);
        }
    }
}

/// Threads of a process that run or want to.
fn running_threads(process: &Path) -> u64 {
    let Ok(tasks) = fs::read_dir(process.join("task")) else { return 0 };
    tasks
        .flatten()
        .take(THREADS_LOOKED_AT)
        .filter(|task| {
            let text = fs::read(task.path().join("stat")).unwrap_or_default();
            // The name, in parentheses, may hold anything; the state follows the last one.
            let close = text.iter().rposition(|b| *b == b')');
            close.and_then(|at| text.get(at + 2)) == Some(&b'R')
        })
        .count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn process(root: &Path, pid: u32, threads: &[char], anonymous_kib: u64, shared_kib: u64) {
        let dir = root.join(pid.to_string());
        for (i, state) in threads.iter().enumerate() {
            let task = dir.join(format!("task/{}", pid as usize + i));
            fs::create_dir_all(&task).unwrap();
            fs::write(task.join("stat"), format!("{pid} (a) b) {state} 1 1")).unwrap();
        }
        let text = format!(
            "Name:\tx\nThreads:\t{}\nRssAnon:\t{anonymous_kib} kB\nRssShmem:\t{shared_kib} kB\n",
            threads.len()
        );
        fs::write(dir.join("status"), text).unwrap();
    }

    #[test]
    fn peaks_over_looks() {
        let dir = tempfile::tempdir().unwrap();
        let mut sampler = Sampler::default();
        sampler.look(dir.path(), None, 2);
        assert_eq!(sampler, Sampler::default(), "an empty /proc is no data, not 0");
        process(dir.path(), 1, &['S'], 999, 0);
        process(dir.path(), 2, &['R', 'R'], 100, 10);
        process(dir.path(), 3, &['R', 'R'], 50, 30);
        sampler.look(dir.path(), None, 2);
        assert_eq!((sampler.processes_peak, sampler.threads_peak), (2, 4));
        assert_eq!(sampler.memory_peak, Bytes(180 * 1024));
        assert_eq!((sampler.crowded, sampler.crowded_processes), (1, 2));
        let mut chosen = Sampler::default();
        chosen.look(dir.path(), Some(&[3, 4]), 2);
        assert_eq!((chosen.processes_peak, chosen.threads_peak), (1, 2));
        fs::remove_dir_all(dir.path().join("3")).unwrap();
        sampler.look(dir.path(), None, 2);
        assert_eq!((sampler.samples, sampler.processes_peak, sampler.crowded), (2, 2, 1));
    }

    #[test]
    fn the_dead_have_no_memory() {
        assert_eq!(parse_status("Name:\tx\nState:\tZ (zombie)\nThreads:\t1\n"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(s in "\\PC{0,80}") {
            let _ = parse_status(&s);
        }
    }
}
