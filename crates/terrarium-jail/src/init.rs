//! The job's init: starts the main process, reaps, passes signals on, and ends everything.
//!
//! A copy of the supervisor (no exec, so no file that the job could have replaced), which
//! nobody in the job may trace. It is PID 1 of the job's namespace, or the tracer of all of its processes ([`Hold`]).
//! Signals that it has no handler for do not reach a PID 1 from inside; SIGKILL and SIGSTOP reach it only from
//! outside. A tracer's death is the death of all that it traces.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use terrarium_core::CpuSet;
use terrarium_sys::fds::{Channel, Incoming, close_from, let_go_of_standard_files};
use terrarium_sys::process::{
    self, Command, Forked, Used, WaitStatus, clone_into_cgroup, exit_now, peek_ended, signal_one, wait_for,
};
use terrarium_sys::signals::{Inherited, SignalFd};
use terrarium_sys::step::{Interpreter, Planned};
use terrarium_sys::{Errno, signals};

use crate::affinity;
use crate::children::Tender;
use crate::hold::{Hold, Tracees};
use crate::share::NAMESPACES;
use crate::totals::Totals;
use crate::tracer::{self, Thread};
use crate::view::note;
use crate::wire::{FromInit, MAX, Reached, ToInit, what};

/// What init is called in ps: also the sign by which a run in a run knows that it is one.
pub(crate) const NAME: &str = "terrarium-init";

/// How many names of what was left behind are noted.
const NAMES: usize = 32;

/// How many children are reaped before signals and messages have their turn.
const REAP_AT_ONCE: usize = 256;

/// What an init is to the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// PID 1 of its namespaces.
    Namespace,
    /// PID 1 of a jail whose main processes others start: it has none of its own.
    Jail,
    /// Starts one rank's main process in the jail of its job, and stays outside.
    Rank,
    /// Holds the job by ptrace: it has no namespace.
    Tracer,
}

/// Everything that init needs, made by the supervisor before clone.
pub(crate) struct Init<'a> {
    pub(crate) role: Role,
    /// Notes that were taken before.
    pub(crate) notes: u64,
    pub(crate) steps: &'a [Planned],
    pub(crate) job_steps: &'a [Planned],
    pub(crate) command: &'a Command,
    pub(crate) inherited: &'a Inherited,
    pub(crate) signals: &'a SignalFd,
    pub(crate) channel: Channel,
    /// The cgroup v2 directory to clone the main process into.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    /// Its cgroup.procs, for kernels that cannot.
    pub(crate) cgroup_procs: Option<BorrowedFd<'a>>,
    /// What sched_setaffinity is held to, if it is answered.
    pub(crate) cpus: Option<&'a CpuSet>,
    /// Processes whose parent has died are ended after this grace (`None` inside: never).
    pub(crate) end_orphans: Option<Option<Duration>>,
}

/// What init knows. In a tracer two threads share it.
pub(crate) struct State<'a> {
    pub(crate) hold: Hold,
    channel: &'a Channel,
    signals: &'a SignalFd,
    /// Signals seen here, not yet asked for by the supervisor.
    seen: HashMap<i32, Reached>,
    pub(crate) main_pid: i32,
    main: Option<WaitStatus>,
    /// The job was asked to end; what handles SIGTERM may finish.
    ending: bool,
    pub(crate) killing: bool,
    /// /proc is this namespace's.
    own_proc: bool,
    used: Used,
    /// Its own /proc/PID/io.
    io: Option<fs::File>,
    killed: u64,
    names: Vec<String>,
    orphans: Option<Tender>,
}

/// Runs as the job's init and does not return.
pub(crate) fn run(init: &Init<'_>) -> ! {
    let channel = &init.channel;
    let tell = |message: FromInit| channel.send(&message.encode(), None);
    // Once it is closed to others' looks, it cannot open this itself.
    let own_io = fs::File::open("/proc/self/io").ok();
    let mut interpreter = Interpreter::new();
    interpreter.notes = init.notes;
    if let Err(failed) = interpreter.run(init.steps) {
        let _ = tell(FromInit::StepFailed { job: false, index: failed.index, errno: failed.errno as i32 });
        exit_now(1);
    }
    if interpreter.notes != 0 {
        let _ = tell(FromInit::Notes { notes: interpreter.notes });
    }
    // If mounting /proc failed, what is there counts PIDs as the host does: of no use here.
    let own_proc = interpreter.notes >> note::PROC & 1 == 0 && init.role != Role::Rank;
    // The main process hands over the listener of its filter through this.
    let listener_channel = init.cpus.and_then(|_| Channel::pair().ok());
    let theirs = listener_channel.as_ref().map(|(_, theirs)| theirs);
    let started = match init.role {
        Role::Tracer => tracer::start_main(init, interpreter.notes, theirs),
        Role::Namespace | Role::Rank => start_main(init, interpreter.notes, theirs).map(|pid| (pid, None)),
        Role::Jail => {
            hand_over_namespaces(channel);
            // No process has this number.
            Ok((0, None))
        }
    };
    let (main_pid, held_back) = started.unwrap_or_else(|errno| {
        let _ = tell(FromInit::Failed { what: what::FORK, errno: errno as i32 });
        exit_now(1)
    });
    // A tracer is closed from its birth until now, and nothing of the job runs yet.
    let own_io = own_io.or_else(|| fs::File::open("/proc/self/io").ok());
    let ours = listener_channel.map(|(ours, _)| ours);
    // Init must hold nothing of the job's open: not the other end of its pipes, not its files.
    let_go_of_standard_files(true);
    let mut keep = vec![channel.as_fd().as_raw_fd(), init.signals.as_fd().as_raw_fd()];
    keep.extend(ours.iter().map(|c| c.as_fd().as_raw_fd()));
    keep.extend(held_back.iter().map(AsRawFd::as_raw_fd));
    keep.extend(own_io.iter().map(AsRawFd::as_raw_fd));
    close_from(3, &keep);
    let hold = match init.role {
        Role::Tracer => Hold::Tracer(Tracees::new(main_pid)),
        Role::Rank => Hold::Rank(main_pid),
        Role::Namespace | Role::Jail => Hold::Namespace,
    };
    // A tracer's own signals, without those of its children: it waits for them.
    let forwarded = if init.role == Role::Tracer { SignalFd::forwarded().ok() } else { None };
    let signals = forwarded.as_ref().unwrap_or(init.signals);
    let state = Mutex::new(State {
        hold,
        channel,
        signals,
        seen: HashMap::new(),
        main_pid,
        main: None,
        ending: false,
        killing: false,
        own_proc,
        used: Used::default(),
        io: own_io,
        killed: 0,
        names: Vec::new(),
        // Without a /proc of its own init cannot see who they are.
        orphans: init.end_orphans.filter(|_| own_proc).map(|grace| Tender::new(grace, main_pid)),
    });
    let serve = |thread| serve(&state, channel, signals, ours, init.cpus, thread);
    match held_back {
        Some(held_back) => tracer::trace_in_a_thread(&state, held_back, serve),
        None => serve(None),
    }
    exit_now(1)
}

pub(crate) fn lock<'a, 'b>(state: &'a Mutex<State<'b>>) -> MutexGuard<'a, State<'b>> {
    // A thread that panicked has ended the process: panics abort.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So that ranks can enter them. Init is closed to everybody else's looks, to its supervisor's too.
fn hand_over_namespaces(channel: &Channel) {
    for (kind, name) in NAMESPACES.iter().enumerate() {
        if let Ok(file) = fs::File::open(format!("/proc/self/ns/{name}")) {
            let _ = channel.send(&FromInit::Namespace { kind }.encode(), Some(file.as_fd()));
        }
    }
    let _ = channel.send(&FromInit::Namespace { kind: NAMESPACES.len() }.encode(), None);
}

/// Starts the main process, straight into its cgroup where the kernel can.
fn start_main(init: &Init<'_>, notes: u64, listener_channel: Option<&Channel>) -> Result<i32, Errno> {
    let own_status = fs::File::open("/proc/self/status").ok();
    let begin = |joined| -> i32 {
        if let Some(status) = &own_status {
            catch_up(status);
        }
        become_main(init, notes, joined, listener_channel)
    };
    if let Some(cgroup) = init.cgroup {
        match clone_into_cgroup(cgroup) {
            Ok(Forked::Child) => exit_now(begin(true)),
            Ok(Forked::Parent(pid)) => return Ok(pid),
            Err(Errno::ENOSYS | Errno::E2BIG | Errno::EINVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    process::spawn_sharing(&mut || begin(false))
}

/// In the main process: takes the signals that came to the group before it was one of it. Init, which is told of them
/// too and believes that they were for both, waits meanwhile and has not read any.
fn catch_up(status_of_init: &fs::File) {
    let Ok(text) = std::io::read_to_string(status_of_init) else { return };
    // In this order: the kernel signals the youngest member of a group first.
    let missed = signals::pending_in(&text) & !signals::pending();
    for signal in signals::forwarded_in(missed) {
        let _ = signal_one(std::process::id() as i32, signal);
    }
}

pub(crate) fn become_main(
    init: &Init<'_>,
    notes: u64,
    joined: bool,
    listener_channel: Option<&Channel>,
) -> ! {
    let tell = |message: FromInit| init.channel.send(&message.encode(), None);
    let mut interpreter = Interpreter::new();
    interpreter.notes = notes;
    if let (false, Some(procs)) = (joined, init.cgroup_procs)
        && let Err(errno) = nix::unistd::write(procs, b"0")
    {
        let _ = tell(FromInit::StepFailed { job: true, index: usize::MAX, errno: errno as i32 });
        exit_now(125);
    }
    if let Err(failed) = interpreter.run(init.job_steps) {
        let _ = tell(FromInit::StepFailed { job: true, index: failed.index, errno: failed.errno as i32 });
        exit_now(125);
    }
    if interpreter.notes != notes {
        let _ = tell(FromInit::Notes { notes: interpreter.notes });
    }
    if let (Some(channel), Some(listener)) = (listener_channel, &interpreter.listener) {
        let _ = channel.send(b"l", Some(listener.as_fd()));
    }
    init.inherited.restore();
    let errno = init.command.exec();
    let _ = tell(FromInit::ExecFailed { errno: errno as i32 });
    exit_now(127)
}

/// Answers the supervisor and the job's requests, and, unless a tracing thread does, reaps.
fn serve(
    state_of_all: &Mutex<State<'_>>,
    channel: &Channel,
    signals: &SignalFd,
    mut listener_channel: Option<Channel>,
    cpus: Option<&CpuSet>,
    tracer: Option<Thread>,
) -> ! {
    let mut listener: Option<OwnedFd> = None;
    // More may have ended than was reaped.
    let mut reap_again = false;
    // Only while the rest of an ending job may still finish is there something to look at.
    let mut waiting = false;
    loop {
        let mut fds = vec![
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(channel.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(fd) = &listener {
            fds.push(PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        } else if let Some(channel) = &listener_channel {
            fds.push(PollFd::new(channel.as_fd(), PollFlags::POLLIN));
        }
        if let Some(tracer) = &tracer {
            fds.insert(2, PollFd::new(tracer.ended.as_fd(), PollFlags::POLLIN));
        }
        let timeout = match (reap_again, waiting) {
            (true, _) => PollTimeout::ZERO,
            (_, true) => PollTimeout::from(50u8),
            _ => lock(state_of_all)
                .orphans
                .as_ref()
                .map_or(PollTimeout::NONE, |orphans| PollTimeout::from(orphans.pause())),
        };
        let _ = poll(&mut fds, timeout);
        let third = fds
            .get(2 + usize::from(tracer.is_some()))
            .and_then(PollFd::revents)
            .unwrap_or(PollFlags::empty());
        let mut state = lock(state_of_all);
        if third.contains(PollFlags::POLLIN) {
            if let (Some(fd), Some(cpus)) = (&listener, cpus) {
                affinity::answer_one(fd.as_fd(), cpus, state.hold.processes());
            } else if let Some(channel) = listener_channel.take()
                && let Ok(Incoming::Message(_, Some(fd))) = channel.receive(&mut [0; 4])
            {
                listener = Some(fd);
            }
        } else if third.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
            // No thread is left that has the filter, or the main process never installed one.
            listener = None;
            listener_channel = None;
        }
        state.read_signals();
        state.read_channel();
        if tracer.is_none() {
            reap_again = state.reap();
        }
        state.tend_orphans();
        if waiting && state.main.is_some() && state.own_proc && !handles_term(state.hold.processes()) {
            state.kill();
        }
        if state.killing {
            match &tracer {
                None => state.hold.kill_all(),
                Some(tracer) => {
                    drop(state);
                    tracer.end();
                    state = lock(state_of_all);
                }
            }
            state.reap_the_killed();
        }
        // The end of a traced main process is learnt in the other thread.
        waiting = state.ending && (state.main.is_some() || tracer.is_some());
    }
}

impl State<'_> {
    pub(crate) fn tell(&self, message: &FromInit) {
        // The supervisor may be gone; then the closed channel is seen in the loop.
        let _ = self.channel.send(&message.encode(), None);
    }

    fn read_signals(&mut self) {
        while let Some(received) = self.signals.next() {
            let inside = self.hold.is_of_the_job(received.sender);
            let reached = if inside { Reached::FromInside } else { Reached::FromOutside };
            self.seen.insert(received.signal, reached);
        }
    }

    fn read_channel(&mut self) {
        let mut buffer = [0u8; MAX];
        loop {
            match self.channel.receive(&mut buffer) {
                Ok(Incoming::Message(n, _)) => match ToInit::decode(&buffer[..n]) {
                    Some(ToInit::Forward(signal)) => self.forward(signal),
                    Some(ToInit::Ending) => self.ending = true,
                    Some(ToInit::TermAll) => {
                        self.ending = true;
                        self.hold.term_all();
                    }
                    Some(ToInit::Kill) => self.kill(),
                    Some(ToInit::SendProc) => self.send_proc(),
                    None => {}
                },
                Ok(Incoming::Nothing) => return,
                // The supervisor is dead: so is the job. (Its death also sends SIGKILL here, but
                // that is bound to the thread that made us and can come too early to be armed.)
                Ok(Incoming::Closed) | Err(_) => {
                    // A tracer's end is that of all that it traces; that of PID 1 too, but this is as sure.
                    self.hold.kill_all();
                    exit_now(1);
                }
            }
        }
    }

    /// Sees that the main process gets a signal once.
    ///
    /// The supervisor, init and the main process start out in one process group. A signal to the group (Ctrl-C,
    /// `kill %1`) reaches all three by itself; one to the supervisor alone reaches only it. The
    /// kernel signals the youngest member of a group first, so when the supervisor has its copy, init
    /// has its own: that init saw one tells the two cases apart.
    fn forward(&mut self, signal: i32) {
        self.read_signals();
        let reached = self.seen.remove(&signal).unwrap_or(Reached::No);
        if reached == Reached::No && self.main.is_none() {
            let _ = signal_one(self.main_pid, signal);
        }
        self.tell(&FromInit::Forwarded { signal, reached });
    }

    fn send_proc(&self) {
        if let Some(proc) = self.own_proc.then(|| fs::File::open("/proc").ok()).flatten() {
            let _ = self.channel.send(&FromInit::Proc { main: self.main_pid }.encode(), Some(proc.as_fd()));
        }
    }

    /// What is left of a job that is being ended is not theirs to wait for.
    fn tend_orphans(&mut self) {
        let channel = self.channel;
        match &mut self.orphans {
            Some(orphans) if !self.ending && self.main.is_none() => {
                orphans.tend(&mut |message| {
                    let _ = channel.send(&message.encode(), None);
                });
            }
            orphans => *orphans = None,
        }
    }

    fn count(&mut self, child: &process::Waited) {
        if child.status.is_end() {
            if let Some(orphans) = &mut self.orphans {
                orphans.gone(child.pid);
            }
            self.used += child.used;
        }
    }

    /// Reaps what has ended; whether there may be more.
    fn reap(&mut self) -> bool {
        // Processes that fork and end without pause could hold us here for ever: the rest of the
        // loop has its turn, and nothing is reaped any more once it is time to kill.
        for _ in 0..REAP_AT_ONCE {
            match wait_for(-1, false) {
                Ok(Some(child)) => {
                    self.count(&child);
                    if child.pid == self.main_pid && child.status.is_end() && !self.ending {
                        self.main = Some(child.status);
                        self.reap_the_last();
                    }
                    self.child_changed(child.pid, child.status, None);
                    if self.killing {
                        return false;
                    }
                }
                Ok(None) => return false,
                Err(_) if self.main.is_some() => self.finish(),
                Err(_) => return false,
            }
        }
        true
    }

    /// The main process has ended: mostly it was the last, and nothing has to be killed.
    fn reap_the_last(&mut self) {
        match wait_for(-1, false) {
            Err(_) => self.finish(),
            Ok(Some(child)) => self.count(&child),
            Ok(None) => {}
        }
    }

    /// A child, or a traced process, has ended; or the main process was stopped.
    pub(crate) fn child_changed(&mut self, pid: i32, status: WaitStatus, name: Option<String>) {
        match status {
            // While a tracer ends, its thread's stops of all kinds come out here; only job control's are told.
            WaitStatus::Stopped(signal) if pid == self.main_pid && !self.killing => {
                self.tell(&FromInit::Stopped { signal });
            }
            WaitStatus::Stopped(_) | WaitStatus::Continued => {}
            _ if pid == self.main_pid => {
                self.main = Some(status);
                if self.ending || self.killing {
                    self.tell(&FromInit::MainEnded { status });
                }
                match (self.killing, self.ending) {
                    (true, _) => {}
                    (_, true) => self.hold.term_all(),
                    _ => self.kill(),
                }
            }
            WaitStatus::Signaled(9) if self.killing => {
                self.killed += 1;
                self.names.extend(name);
            }
            _ => {}
        }
    }

    /// From here on all that is left is killed.
    fn kill(&mut self) {
        if self.killing {
            return;
        }
        self.killing = true;
        if let Some(status) = self.main.filter(|_| !self.ending) {
            self.tell(&FromInit::MainEnded { status });
        }
        self.tell(&FromInit::Killing);
    }

    /// Waits for all that was killed, and ends.
    fn reap_the_killed(&mut self) -> ! {
        loop {
            // A dead process keeps its name until it is waited for.
            let next = if self.own_proc && self.names.len() < NAMES { peek_ended().ok() } else { None };
            let name = next.and_then(name_of);
            match wait_for(-1, true) {
                Ok(Some(child)) => {
                    self.count(&child);
                    self.child_changed(child.pid, child.status, name.filter(|_| Some(child.pid) == next));
                }
                Ok(None) => {}
                Err(_) => self.finish(),
            }
        }
    }

    /// Nothing is left. What else could be in the namespace (a process that entered from outside)
    /// is killed by the kernel when this process ends, and waited for before the supervisor sees it end.
    pub(crate) fn finish(&mut self) -> ! {
        let names = std::mem::take(&mut self.names);
        let main = self.main.unwrap_or(WaitStatus::Signaled(9));
        let used = self.hold.used().unwrap_or(self.used);
        let io = self.io.as_ref().and_then(|file| std::io::read_to_string(file).ok());
        let totals = Totals::new(used, &io.unwrap_or_default());
        self.tell(&FromInit::Done { main, totals, killed: self.killed, names });
        exit_now(0)
    }
}

/// Whether some process is left that has a handler for SIGTERM, or holds it back: one that may still be
/// finishing. One that ignores it will not end for it, however long one waits.
///
/// `processes`: the job's; `None` for all but PID 1.
fn handles_term(processes: Option<&HashSet<i32>>) -> bool {
    let all = || {
        let names = fs::read_dir("/proc").into_iter().flatten().flatten();
        names.filter_map(|e| e.file_name().to_str()?.parse().ok()).filter(|pid| *pid != 1).collect()
    };
    processes
        .cloned()
        .unwrap_or_else(all)
        .into_iter()
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok())
        .any(|status| status_handles_term(&status))
}

/// The name of a process, also of a dead one.
fn name_of(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

pub(crate) fn status_handles_term(status: &str) -> bool {
    const TERM: u64 = 1 << (15 - 1);
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
    let has = |name: &str| {
        field(name).and_then(|v| u64::from_str_radix(v, 16).ok()).is_some_and(|mask| mask & TERM != 0)
    };
    // A dead first thread does not make a dead process.
    let alone = field("Threads:").is_none_or(|n| n == "1");
    let dead = alone && field("State:").is_some_and(|s| s.starts_with(['Z', 'X']));
    !dead && (has("SigCgt:") || (has("SigBlk:") && !has("SigIgn:")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_still_be_finishing() {
        let status = |state: &str, blocked: &str, ignored: &str, caught: &str| {
            status_handles_term(&format!(
                "Name:\tx\nState:\t{state}\nSigBlk:\t{blocked}\nSigIgn:\t{ignored}\nSigCgt:\t{caught}\n"
            ))
        };
        let (no, term) = ("0000000000000000", "0000000000004000");
        assert!(status("S (sleeping)", no, no, term));
        assert!(status("S (sleeping)", term, no, no));
        assert!(!status("S (sleeping)", no, term, no));
        assert!(!status("S (sleeping)", no, no, no));
        assert!(!status("Z (zombie)", no, no, term));
    }
}
