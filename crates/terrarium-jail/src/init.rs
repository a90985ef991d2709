//! PID 1 of the job: starts the main process, reaps, passes signals on, and ends everything.
//!
//! A copy of the supervisor (no exec, so no file that the job could have replaced), which
//! nobody in the job may trace. Signals that it has no handler for do not reach a PID 1 from inside;
//! SIGKILL and SIGSTOP reach it only from outside.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use terrarium_core::CpuSet;
use terrarium_sys::Errno;
use terrarium_sys::fds::{Channel, Incoming, close_from, let_go_of_standard_files};
use terrarium_sys::process::{
    self, Command, Forked, Namespaces, WaitStatus, clone_process, exit_now, kill_all, peek_ended, signal_all,
    signal_one, wait_for,
};
use terrarium_sys::signals::{Inherited, SignalFd};
use terrarium_sys::step::{Interpreter, Planned};

use crate::affinity;
use crate::children::Tender;
use crate::view::note;
use crate::wire::{FromInit, MAX, Reached, ToInit, what};

/// What init is called in ps: also the sign by which a run in a run knows that it is one.
pub(crate) const NAME: &str = "terrarium-init";

/// How many children are reaped before signals and messages have their turn.
const REAP_AT_ONCE: usize = 256;

/// How many names of what was left behind are noted.
const NAMES: usize = 32;

/// Everything that init needs, made by the supervisor before clone.
pub(crate) struct Init<'a> {
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

struct State<'a> {
    channel: &'a Channel,
    signals: &'a SignalFd,
    /// Signals seen here, not yet asked for by the supervisor.
    seen: HashMap<i32, Reached>,
    main_pid: i32,
    main: Option<WaitStatus>,
    /// The job was asked to end; what handles SIGTERM may finish.
    ending: bool,
    killing: bool,
    /// /proc is this namespace's.
    own_proc: bool,
    /// More may have ended than was reaped.
    reap_again: bool,
    user: Duration,
    system: Duration,
    killed: u64,
    names: Vec<String>,
    orphans: Option<Tender>,
}

/// Runs as PID 1 and does not return.
pub(crate) fn run(init: &Init<'_>) -> ! {
    let channel = &init.channel;
    let tell = |message: FromInit| channel.send(&message.encode(), None);
    let mut interpreter = Interpreter::new();
    if let Err(failed) = interpreter.run(init.steps) {
        let _ = tell(FromInit::StepFailed { job: false, index: failed.index, errno: failed.errno as i32 });
        exit_now(1);
    }
    if interpreter.notes != 0 {
        let _ = tell(FromInit::Notes { notes: interpreter.notes });
    }
    // If mounting /proc failed, what is there counts PIDs as the host does: of no use here.
    let own_proc = interpreter.notes >> note::PROC & 1 == 0;
    // The main process hands over the listener of its filter through this.
    let listener_channel = init.cpus.and_then(|_| Channel::pair().ok());
    let theirs = listener_channel.as_ref().map(|(_, theirs)| theirs);
    let main_pid = match start_main(init, interpreter.notes, theirs) {
        Ok(pid) => pid,
        Err(errno) => {
            let _ = tell(FromInit::Failed { what: what::FORK, errno: errno as i32 });
            exit_now(1)
        }
    };
    let ours = listener_channel.map(|(ours, _)| ours);
    // Init must hold nothing of the job's open: not the other end of its pipes, not its files.
    let_go_of_standard_files(true);
    let mut keep = vec![channel.as_fd().as_raw_fd(), init.signals.as_fd().as_raw_fd()];
    keep.extend(ours.iter().map(|c| c.as_fd().as_raw_fd()));
    close_from(3, &keep);
    let mut state = State {
        channel,
        signals: init.signals,
        seen: HashMap::new(),
        main_pid,
        main: None,
        ending: false,
        killing: false,
        own_proc,
        reap_again: false,
        user: Duration::ZERO,
        system: Duration::ZERO,
        killed: 0,
        names: Vec::new(),
        // Without a /proc of its own init cannot see who they are.
        orphans: init.end_orphans.filter(|_| own_proc).map(|grace| Tender::new(grace, main_pid)),
    };
    state.run(ours, init.cpus)
}

/// Starts the main process, straight into its cgroup where the kernel can.
fn start_main(init: &Init<'_>, notes: u64, listener_channel: Option<&Channel>) -> Result<i32, Errno> {
    if init.cgroup.is_some() {
        match clone_process(Namespaces::default(), init.cgroup) {
            Ok(Forked::Child) => become_main(init, notes, true, listener_channel),
            Ok(Forked::Parent(pid)) => return Ok(pid),
            Err(Errno::ENOSYS | Errno::E2BIG | Errno::EINVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    process::spawn_sharing(&mut || become_main(init, notes, false, listener_channel))
}

fn become_main(init: &Init<'_>, notes: u64, joined: bool, listener_channel: Option<&Channel>) -> ! {
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

impl State<'_> {
    fn tell(&self, message: &FromInit) {
        // The supervisor may be gone; then the closed channel is seen in the loop.
        let _ = self.channel.send(&message.encode(), None);
    }

    fn run(&mut self, mut listener_channel: Option<Channel>, cpus: Option<&CpuSet>) -> ! {
        let mut listener: Option<OwnedFd> = None;
        loop {
            let mut fds = vec![
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.channel.as_fd(), PollFlags::POLLIN),
            ];
            if let Some(fd) = &listener {
                fds.push(PollFd::new(fd.as_fd(), PollFlags::POLLIN));
            } else if let Some(channel) = &listener_channel {
                fds.push(PollFd::new(channel.as_fd(), PollFlags::POLLIN));
            }
            // Only while the rest of an ending job may still finish is there something to look at.
            let waiting = self.ending && self.main.is_some() && !self.killing;
            let timeout = match (std::mem::take(&mut self.reap_again), waiting) {
                (true, _) => PollTimeout::ZERO,
                (_, true) => PollTimeout::from(50u8),
                _ => self.orphans.as_ref().map_or(PollTimeout::NONE, |o| PollTimeout::from(o.pause())),
            };
            let _ = poll(&mut fds, timeout);
            let third = fds.get(2).and_then(PollFd::revents).unwrap_or(PollFlags::empty());
            if third.contains(PollFlags::POLLIN) {
                if let (Some(fd), Some(cpus)) = (&listener, cpus) {
                    affinity::answer_one(fd.as_fd(), cpus);
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
            self.read_signals();
            self.read_channel();
            self.reap();
            self.tend_orphans();
            if waiting && self.main.is_some() && self.own_proc && !handles_term() {
                self.kill();
            }
        }
    }

    fn read_signals(&mut self) {
        while let Some(received) = self.signals.next() {
            let reached = if received.sender == 0 { Reached::FromOutside } else { Reached::FromInside };
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
                        term_all();
                    }
                    Some(ToInit::Kill) => self.kill(),
                    Some(ToInit::SendProc) => self.send_proc(),
                    None => {}
                },
                Ok(Incoming::Nothing) => return,
                // The supervisor is dead: so is the job. (Its death also sends SIGKILL here, but
                // that is bound to the thread that made us and can come too early to be armed.)
                Ok(Incoming::Closed) | Err(_) => {
                    let _ = kill_all();
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
        if let Some(orphans) = &mut self.orphans {
            orphans.gone(child.pid);
        }
        self.user += child.user;
        self.system += child.system;
    }

    fn reap(&mut self) {
        // Processes that fork and end without pause could hold us here for ever: the rest of the
        // loop has its turn, and nothing is reaped any more once it is time to kill.
        for _ in 0..REAP_AT_ONCE {
            match wait_for(-1, false) {
                Ok(Some(child)) if child.status.is_end() => {
                    self.count(&child);
                    if child.pid == self.main_pid {
                        self.main_ended(child.status);
                        if !self.ending {
                            self.end_quickly();
                        }
                    }
                }
                Ok(Some(child)) => {
                    if let WaitStatus::Stopped(signal) = child.status
                        && child.pid == self.main_pid
                    {
                        self.tell(&FromInit::Stopped { signal });
                    }
                }
                Ok(None) => return,
                Err(_) if self.main.is_some() => self.finish(),
                Err(_) => return,
            }
        }
        self.reap_again = true;
    }

    /// The main process has ended: so does the rest, if there is any.
    fn end_quickly(&mut self) -> ! {
        match wait_for(-1, false) {
            Err(_) => self.finish(),
            Ok(Some(child)) if child.status.is_end() => self.count(&child),
            Ok(_) => {}
        }
        self.kill()
    }

    fn main_ended(&mut self, status: WaitStatus) {
        self.main = Some(status);
        if self.ending {
            self.tell(&FromInit::MainEnded { status });
            term_all();
        }
    }

    /// Kills and reaps all that is left, and ends.
    fn kill(&mut self) -> ! {
        self.killing = true;
        if let Some(status) = self.main {
            self.tell(&FromInit::MainEnded { status });
        }
        self.tell(&FromInit::Killing);
        let _ = kill_all();
        loop {
            // A dead process keeps its name until it is waited for.
            let name = if self.own_proc && self.names.len() < NAMES { self.wait_for_name() } else { None };
            match wait_for(-1, true) {
                Ok(Some(child)) if child.status.is_end() => {
                    self.count(&child);
                    if child.pid == self.main_pid && self.main.is_none() {
                        self.main = Some(child.status);
                        self.tell(&FromInit::MainEnded { status: child.status });
                    } else if child.status == WaitStatus::Signaled(9) {
                        self.killed += 1;
                        if let Some((pid, name)) = name
                            && pid == child.pid
                        {
                            self.names.push(name);
                        }
                    }
                }
                Ok(_) => {}
                Err(_) => self.finish(),
            }
        }
    }

    /// The next process to be waited for, by name.
    fn wait_for_name(&self) -> Option<(i32, String)> {
        let pid = peek_ended().ok()?;
        let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
        Some((pid, String::from_utf8_lossy(&name).trim_end().to_owned()))
    }

    /// No child is left. What else could be in the namespace (a process that entered from outside)
    /// is killed by the kernel when this process ends, and waited for before the supervisor sees it end.
    fn finish(&mut self) -> ! {
        let names = std::mem::take(&mut self.names);
        let main = self.main.unwrap_or(WaitStatus::Signaled(9));
        self.tell(&FromInit::Done { main, user: self.user, system: self.system, killed: self.killed, names });
        exit_now(0)
    }
}

/// SIGTERM for everybody; SIGCONT so that the stopped can act on it.
fn term_all() {
    let _ = signal_all(15);
    let _ = signal_all(18);
}

/// Whether some process is left that has a handler for SIGTERM, or holds it back: one that may still be
/// finishing. One that ignores it will not end for it, however long one waits.
fn handles_term() -> bool {
    let Ok(entries) = fs::read_dir("/proc") else { return true };
    entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != 1)
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok())
        .any(|status| status_handles_term(&status))
}

pub(crate) fn status_handles_term(status: &str) -> bool {
    const TERM: u64 = 1 << (15 - 1);
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
    let has = |name: &str| {
        field(name).and_then(|v| u64::from_str_radix(v, 16).ok()).is_some_and(|mask| mask & TERM != 0)
    };
    let dead = field("State:").is_some_and(|s| s.starts_with(['Z', 'X']));
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
