//! Holding processes by ptrace(2): every process and thread that comes from a seized one is traced as well, from its first
//! instruction on, and dies with the tracer.
//!
//! A tracer is a thread, not a process: when it ends, the kernel kills what it traced, in one go and under the lock that
//! fork needs to add a process.

use std::ffi::{c_int, c_uint, c_ulong};

use nix::errno::Errno;

use crate::process::{Used, WaitStatus};

/// New children are traced, and all die if this process does.
const OPTIONS: c_int = libc::PTRACE_O_EXITKILL
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE;

/// In the upper half of a stop's status word: a stop by job control, a first stop, or one that was asked for.
const EVENT_STOP: c_int = 128;

/// What happened to a traced thread, or to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is gone. Of a process that has threads, its first thread comes last.
    Ended(WaitStatus),
    /// It stopped before this signal is delivered: [`resume`] with it.
    Signal(c_int),
    /// Job control has stopped its process by this signal: [`stay_stopped`].
    Stopped(c_int),
    /// It forked, has just begun, or was continued: [`resume`] with 0.
    Trap,
}

/// Takes hold of a process and all that will come from it; it is not stopped.
///
/// `EPERM`: not allowed (Yama's ptrace_scope, SELinux's deny_ptrace, a seccomp filter), or something traces it already.
pub fn seize(pid: i32) -> Result<(), Errno> {
    request(libc::PTRACE_SEIZE, pid, OPTIONS as c_ulong)
}

/// Lets a stopped thread go on, with a signal or 0. One that was killed meanwhile is none to worry about.
pub fn resume(tid: i32, signal: c_int) {
    let _ = request(libc::PTRACE_CONT, tid, signal as c_ulong);
}

/// Leaves a thread stopped until its process is continued by SIGCONT.
pub fn stay_stopped(tid: i32) {
    let _ = request(libc::PTRACE_LISTEN, tid, 0);
}

fn request(what: c_uint, tid: i32, data: c_ulong) -> Result<(), Errno> {
    let none: c_ulong = 0;
    // SAFETY: these requests take numbers; none makes the kernel touch this process's memory.
    Errno::result(unsafe { libc::ptrace(what, tid, none, data) }).map(drop)
}

/// Waits for the next event of any traced thread or child. `None`: [`interrupt`] was called; `ECHILD`: there is neither
/// any more, nor can there be again.
pub fn wait_any() -> Result<Option<(i32, Event)>, Errno> {
    let mut status = 0;
    // SAFETY: `status` is live and writable; no usage is asked for.
    let got = unsafe { libc::wait4(-1, &raw mut status, libc::__WALL, std::ptr::null_mut()) };
    match Errno::result(got) {
        Ok(tid) => Ok(Some((tid, event(status)))),
        Err(Errno::EINTR) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Number of the calling thread.
pub fn thread_id() -> i32 {
    // The system call itself: a static glibc was linked without its gettid(), which std refers to weakly.
    // SAFETY: takes no pointers and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// Makes a thread of this process return from [`wait_any`], if it is waiting there.
pub fn interrupt(tid: i32) {
    // SAFETY: takes no pointers; a number that is no thread of this process is refused.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGRTMIN()) };
}

fn event(status: c_int) -> Event {
    if !libc::WIFSTOPPED(status) {
        return Event::Ended(WaitStatus::from_raw(status));
    }
    match (status >> 16, libc::WSTOPSIG(status)) {
        (0, signal) => Event::Signal(signal),
        (EVENT_STOP, signal) if signal != libc::SIGTRAP => Event::Stopped(signal),
        _ => Event::Trap,
    }
}

/// Sets this process's signals up for tracing: no SIGCHLD for stops, of which there are some for every fork of the job (who
/// waits is woken all the same), and [`interrupt`] works.
pub fn prepare_signals() {
    extern "C" fn nothing(_: c_int) {}
    // SAFETY: all-zero is a valid sigaction: default, no flags, empty mask. The handler does nothing; without
    // SA_RESTART it makes a waiting thread return.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        action.sa_flags = libc::SA_NOCLDSTOP;
        libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut());
        action.sa_sigaction = nothing as *const () as usize;
        action.sa_flags = 0;
        libc::sigaction(libc::SIGRTMIN(), &raw const action, std::ptr::null_mut());
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGRTMIN());
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// Whether this is the first thread of a living process (and not another thread of one).
pub fn is_process(tid: i32) -> bool {
    // SAFETY: signal 0 only asks.
    unsafe { libc::syscall(libc::SYS_tgkill, tid, tid, 0) == 0 }
}

/// Makes this process the parent of every orphan among its descendants.
pub fn adopt_orphans() -> Result<(), Errno> {
    // SAFETY: takes a number.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as c_ulong) }).map(drop)
}

/// Whether others of this user may look into this process and trace it.
pub fn set_dumpable(dumpable: bool) {
    // SAFETY: takes a number.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, c_ulong::from(dumpable)) };
}

/// What all children that were waited for have used, theirs included.
pub fn used_by_children() -> Used {
    // SAFETY: all-zero is a valid rusage, live and writable.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        Used::from(&usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_words() {
        let stopped = |signal: c_int, event: c_int| (event << 16) | (signal << 8) | 0x7f;
        assert_eq!(event(stopped(libc::SIGTRAP, 0)), Event::Signal(libc::SIGTRAP));
        assert_eq!(event(stopped(libc::SIGSTOP, 0)), Event::Signal(libc::SIGSTOP));
        assert_eq!(event(stopped(libc::SIGTRAP, libc::PTRACE_EVENT_FORK)), Event::Trap);
        assert_eq!(event(stopped(libc::SIGTRAP, EVENT_STOP)), Event::Trap);
        assert_eq!(event(stopped(libc::SIGTSTP, EVENT_STOP)), Event::Stopped(libc::SIGTSTP));
        assert_eq!(event(3 << 8), Event::Ended(WaitStatus::Exited(3)));
        assert_eq!(event(9), Event::Ended(WaitStatus::Signaled(9)));
    }

    #[test]
    fn processes_and_threads_are_told_apart() {
        let pid = std::process::id() as i32;
        assert!(is_process(pid));
        let thread = std::thread::spawn(|| is_process(thread_id()));
        assert!(!thread.join().unwrap());
    }
}
