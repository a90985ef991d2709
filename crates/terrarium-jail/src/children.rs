//! Reads who init's children are, and does what [`Orphans`] decides.

use std::fs;
use std::time::{Duration, Instant};

use terrarium_sys::process::PidFd;

use crate::host::{Stat, parse_stat};
use crate::orphans::{Deed, Id, Look, Orphans, Process};
use crate::wire::FromInit;

/// Programs that become daemons of their own accord and belong to a process of the job: an argument ends in this. The
/// adapter of debugpy, by which a notebook is debugged, ends with its kernel.
const SPARED: &[&str] = &["debugpy/adapter"];

/// Looks after orphans, for a process that gets them as children: PID 1 of a namespace, or a child subreaper.
pub(crate) struct Tender {
    orphans: Orphans,
    began: Instant,
}

impl Tender {
    /// `main` is the child that is no orphan.
    pub(crate) fn new(grace: Option<Duration>, main: i32) -> Self {
        Tender { orphans: Orphans::new(grace, main), began: Instant::now() }
    }

    /// How long [`Tender::tend`] has nothing to do, in milliseconds.
    pub(crate) fn pause(&self) -> u16 {
        // Rounded up: a wait that ends a little early would only spin.
        let left = self.orphans.next_look().saturating_sub(self.began.elapsed());
        left.as_micros().div_ceil(1000).min(1000) as u16
    }

    /// A child was waited for.
    pub(crate) fn gone(&mut self, pid: i32) {
        self.orphans.gone(pid);
    }

    /// Looks, if it is time to, and ends what is to be ended. What is to be told is handed over.
    pub(crate) fn tend(&mut self, tell: &mut dyn FnMut(FromInit)) {
        let now = self.began.elapsed();
        if now < self.orphans.next_look() {
            return;
        }
        for deed in self.orphans.look(now, &children(), &mut Proc) {
            match deed {
                Deed::Term(id) => signal(id, &[15, 18]),
                Deed::Kill(id) => signal(id, &[9]),
                Deed::Tell(ended, names) => tell(FromInit::OrphansEnded { ended, names }),
            }
        }
    }
}

/// A descendant may end between being seen and being signalled, and its PID be used again: the handle is made first, then
/// the start is compared, then the signal is sent to the handle.
fn signal(id: Id, signals: &[i32]) {
    let Ok(handle) = PidFd::open(id.pid as u32) else { return };
    if stat(id.pid).is_some_and(|s| s.start_ticks == id.start) {
        for signal in signals {
            let _ = handle.signal(*signal);
        }
    }
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?))
}

/// The children of this process. A tracer has two threads, and each of them children of its own.
fn children() -> Vec<i32> {
    let mut children = Vec::new();
    for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(text) => {
                children.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()))
            }
            // A kernel without CONFIG_PROC_CHILDREN, or a thread that has ended.
            Err(_) => {
                let own = std::process::id();
                return stats().filter(|(_, s)| s.parent == own).map(|(pid, _)| pid).collect();
            }
        }
    }
    children
}

fn stats() -> impl Iterator<Item = (i32, Stat)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).filter_map(|pid| Some((pid, stat(pid)?)))
}

struct Proc;

impl Look for Proc {
    fn all(&mut self) -> Vec<Process> {
        // The dead that nobody has waited for yet are none.
        stats()
            .filter(|(_, s)| !matches!(s.state, 'Z' | 'X'))
            .map(|(pid, s)| Process {
                id: Id { pid, start: s.start_ticks },
                parent: s.parent as i32,
                name: s.name,
            })
            .collect()
    }

    fn handles_term(&mut self, pid: i32) -> bool {
        fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|s| crate::init::status_handles_term(&s))
    }

    fn is_spared(&mut self, pid: i32) -> bool {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|text| is_spared(&text))
    }
}

fn is_spared(command: &[u8]) -> bool {
    command.split(|b| *b == 0).any(|word| SPARED.iter().any(|name| word.ends_with(name.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debuggers_adapter_is_known_by_its_command_line() {
        assert!(is_spared(b"/usr/bin/python3\0/x/debugpy/adapter\0--for-server\x0041\0"));
        assert!(!is_spared(b"/usr/bin/python3\0/x/debugpy/adapter.py\0"));
        assert!(!is_spared(b""));
    }

    #[test]
    fn sees_its_own_children() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        assert!(children().contains(&pid));
        assert!(stats().any(|(p, s)| p == pid && s.parent == std::process::id()));
        let seen = Proc.all().into_iter().find(|p| p.id.pid == pid).unwrap();
        assert!(!Proc.handles_term(pid));
        // Not the one that was seen.
        signal(Id { pid, start: seen.id.start + 1 }, &[9]);
        assert!(child.try_wait().unwrap().is_none());
        signal(seen.id, &[15, 18]);
        child.wait().unwrap();
        assert!(Proc.all().iter().all(|p| p.id != seen.id));
    }
}
