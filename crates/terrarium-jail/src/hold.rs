//! What an init has the job's processes by: a PID namespace of which it is PID 1, or ptrace.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::Duration;

use terrarium_sys::Errno;
use terrarium_sys::process::{self, WaitStatus, Waited, peek_ended, signal_all, signal_one, wait_for};
use terrarium_sys::trace::{self, Event};

/// How many names of what was left behind are noted.
const NAMES: usize = 32;

const TERM: i32 = 15;
const CONT: i32 = 18;
const KILL: i32 = 9;

/// What the processes are held by.
pub(crate) enum Hold {
    /// This is PID 1 of the job's namespace: what is in it is the job's.
    Namespace,
    /// This traces every process and thread of the job.
    Tracer(Tracees),
}

/// The traced processes.
#[derive(Default)]
pub(crate) struct Tracees {
    main: i32,
    /// Those not yet waited for, so their PIDs can be nobody else's. Threads are not in it: a signal to the process
    /// reaches them, and a thread that executes a program loses its own number without a word.
    processes: HashSet<i32>,
    killing: bool,
    /// Names of the first that were killed.
    names: HashMap<i32, String>,
}

impl Hold {
    /// Waits for the next child that ends, or for the main process to be stopped. `ECHILD`: nothing is left.
    pub(crate) fn next(&mut self, block: bool) -> Result<Option<Waited>, Errno> {
        match self {
            Hold::Namespace => wait_for(-1, block),
            Hold::Tracer(tracees) => tracees.next(block),
        }
    }

    /// SIGKILL to every process.
    pub(crate) fn kill_all(&mut self) {
        match self {
            Hold::Namespace => drop(process::kill_all()),
            Hold::Tracer(tracees) => tracees.kill_all(),
        }
    }

    /// SIGTERM for everybody; SIGCONT so that the stopped can act on it.
    pub(crate) fn term_all(&self) {
        for signal in [TERM, CONT] {
            match self {
                Hold::Namespace => drop(signal_all(signal)),
                Hold::Tracer(tracees) => {
                    for &pid in &tracees.processes {
                        let _ = signal_one(pid, signal);
                    }
                }
            }
        }
    }

    /// Whether a signal from this sender came from the job.
    pub(crate) fn is_of_the_job(&self, sender: i32) -> bool {
        match self {
            // 0 is the kernel, and everybody outside the namespace.
            Hold::Namespace => sender != 0,
            Hold::Tracer(tracees) => tracees.processes.contains(&sender),
        }
    }

    /// The job's processes, as far as init knows them without looking.
    pub(crate) fn processes(&self) -> Option<&HashSet<i32>> {
        match self {
            Hold::Namespace => None,
            Hold::Tracer(tracees) => Some(&tracees.processes),
        }
    }

    /// While killing: the next to be waited for, by name. A dead process keeps its name until then.
    pub(crate) fn next_name(&self, noted: usize) -> Option<(i32, String)> {
        match self {
            Hold::Namespace if noted < NAMES => {
                let pid = peek_ended().ok()?;
                Some((pid, name_of(pid)?))
            }
            _ => None,
        }
    }

    /// The name of one that was killed, if it was noted then.
    pub(crate) fn noted_name(&mut self, pid: i32) -> Option<String> {
        match self {
            Hold::Namespace => None,
            Hold::Tracer(tracees) => tracees.names.remove(&pid),
        }
    }

    /// CPU time of all processes, if it is not added up from those that were waited for: a tracer waits for every
    /// process, also for those whose time is in their parents' already.
    pub(crate) fn time(&self) -> Option<(Duration, Duration)> {
        matches!(self, Hold::Tracer(_)).then(trace::time_of_children)
    }
}

fn name_of(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

impl Tracees {
    /// Takes hold of `main`, which has forked nothing yet.
    pub(crate) fn seize(main: i32) -> Result<Tracees, Errno> {
        trace::seize(main)?;
        Ok(Tracees { main, processes: HashSet::from([main]), ..Tracees::default() })
    }

    fn next(&mut self, block: bool) -> Result<Option<Waited>, Errno> {
        loop {
            let Some((tid, event)) = trace::wait_any(block)? else { return Ok(None) };
            if let Some(status) = self.handle(tid, event) {
                let (user, system) = (Duration::ZERO, Duration::ZERO);
                return Ok(Some(Waited { pid: tid, status, user, system }));
            }
        }
    }

    /// Lets a stopped thread go on as its stop requires; what is left to tell.
    fn handle(&mut self, tid: i32, event: Event) -> Option<WaitStatus> {
        match event {
            // Of a child that was not in the list, another process has waited already as its parent, or as ours before
            // that one died; of a thread there is nothing to tell.
            Event::Ended(status) => self.processes.remove(&tid).then_some(status),
            Event::Signal(signal) => {
                trace::resume(tid, signal);
                None
            }
            Event::Stopped(signal) => {
                trace::stay_stopped(tid);
                (tid == self.main).then_some(WaitStatus::Stopped(signal))
            }
            Event::Trap => {
                if !self.processes.contains(&tid) && trace::is_process(tid) {
                    self.begins(tid);
                }
                trace::resume(tid, 0);
                None
            }
        }
    }

    /// A new process, in its first stop: it has not executed anything yet.
    fn begins(&mut self, pid: i32) {
        self.processes.insert(pid);
        if self.killing {
            self.kill(pid);
        }
    }

    /// Nothing gets away meanwhile: a process that forks stops for us, and so does its child before it begins.
    fn kill_all(&mut self) {
        self.killing = true;
        for pid in self.processes.clone() {
            self.kill(pid);
        }
    }

    fn kill(&mut self, pid: i32) {
        if self.names.len() < NAMES
            && let Some(name) = name_of(pid)
        {
            self.names.insert(pid, name);
        }
        let _ = signal_one(pid, KILL);
    }
}
