//! What an init has the job's processes by: a PID namespace of which it is PID 1, or ptrace.

use std::collections::HashSet;

use terrarium_sys::process::{Used, WaitStatus, kill_all, signal_all, signal_one};
use terrarium_sys::trace::{self, Event};

use crate::affinity::namespace_pids;

const KILL: i32 = 9;
const TERM: i32 = 15;
const CONT: i32 = 18;

/// What the processes are held by.
pub(crate) enum Hold {
    /// This is PID 1 of the job's namespace: what is in it is the job's.
    Namespace,
    /// The main process is one rank in the jail of its job, whose own init has the rest.
    Rank(i32),
    /// A thread of this process traces every process and thread of the job.
    Tracer(Tracees),
}

/// The traced processes.
pub(crate) struct Tracees {
    main: i32,
    /// Those not yet waited for, so their PIDs can be nobody else's (but for the moment from the kernel's report of an end
    /// to ours). Threads are not in it: a signal to the process
    /// reaches them, and a thread that executes a program loses its own number without a word.
    processes: HashSet<i32>,
}

impl Hold {
    /// Lets a traced thread go on as its stop requires. `Some`: its process has ended, or the main process was stopped.
    pub(crate) fn traced(&mut self, tid: i32, event: Event) -> Option<WaitStatus> {
        match self {
            Hold::Namespace | Hold::Rank(_) => None,
            Hold::Tracer(tracees) => tracees.handle(tid, event),
        }
    }

    /// Whether no traced process is known.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Hold::Tracer(tracees) if tracees.processes.is_empty())
    }

    /// SIGKILL to all; what is traced dies with its tracer instead.
    pub(crate) fn kill_all(&self) {
        match self {
            Hold::Namespace => drop(kill_all()),
            Hold::Rank(main) => drop(signal_one(*main, KILL)),
            Hold::Tracer(_) => {}
        }
    }

    /// SIGTERM for everybody; SIGCONT so that the stopped can act on it.
    pub(crate) fn term_all(&self) {
        for signal in [TERM, CONT] {
            match self {
                Hold::Namespace => drop(signal_all(signal)),
                Hold::Rank(main) => drop(signal_one(*main, signal)),
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
            // Seen from here, what is in the jail has one number more than we have.
            Hold::Rank(_) => {
                let numbers = |pid: &str| namespace_pids(&format!("/proc/{pid}/status")).len();
                numbers(&sender.to_string()) > numbers("self")
            }
            Hold::Tracer(tracees) => tracees.processes.contains(&sender),
        }
    }

    /// The job's processes, as far as init knows them without looking.
    pub(crate) fn processes(&self) -> Option<&HashSet<i32>> {
        match self {
            Hold::Namespace | Hold::Rank(_) => None,
            Hold::Tracer(tracees) => Some(&tracees.processes),
        }
    }

    /// What all processes used, if it is not added up from those that were waited for: a tracer waits for every
    /// process, also for those whose use is in their parents' already.
    pub(crate) fn used(&self) -> Option<Used> {
        matches!(self, Hold::Tracer(_)).then(trace::used_by_children)
    }
}

impl Tracees {
    /// To begin with, the main process.
    pub(crate) fn new(main: i32) -> Tracees {
        Tracees { main, processes: HashSet::from([main]) }
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
                    self.processes.insert(tid);
                }
                trace::resume(tid, 0);
                None
            }
        }
    }
}
