//! Signal masks and dispositions, and reading signals as data.

use std::ffi::c_int;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// The signal state that this process was started with, to be given to the job as it was.
#[derive(Clone)]
pub struct Inherited {
    mask: libc::sigset_t,
    sigpipe_ignored: bool,
    sigchld_ignored: bool,
    sigxfsz_ignored: bool,
}

/// Signals that are passed on to the job. SIGCHLD comes on top for the supervisor's own use.
pub const FORWARDED: &[c_int] = &[
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGWINCH,
    libc::SIGTSTP,
    libc::SIGCONT,
    libc::SIGPWR,
    libc::SIGXCPU,
];

fn is_ignored(signal: c_int) -> bool {
    // SAFETY: all-zero is a valid sigaction to be written to; a null `act` only reads.
    let mut old: libc::sigaction = unsafe { zeroed() };
    // SAFETY: `old` is live and writable.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), &raw mut old) == 0 && old.sa_sigaction == libc::SIG_IGN
    }
}

/// Sets the disposition of `signal` to default or ignore.
pub fn set_ignored(signal: c_int, ignored: bool) {
    // SAFETY: all-zero is a valid sigaction: default, no flags, empty mask.
    let mut act: libc::sigaction = unsafe { zeroed() };
    act.sa_sigaction = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: `act` is valid and no handler is installed.
    unsafe { libc::sigaction(signal, &raw const act, std::ptr::null_mut()) };
}

/// Blocks the signals to be forwarded, and SIGCHLD, so that they are read from a [`SignalFd`].
///
/// Signals that the caller ignores (SIGHUP under nohup, SIGINT in a script's background) are passed on as well: the job
/// inherits that it ignores them, and may have set a handler since. Only SIGTERM is then left alone, for it
/// would have us end the job.
pub fn take_over() -> Result<(Inherited, SignalFd), Errno> {
    // SAFETY: all-zero is a valid sigset_t to be filled.
    let (mut block, mut old): (libc::sigset_t, libc::sigset_t) = unsafe { (zeroed(), zeroed()) };
    let (sigchld_ignored, sigpipe_ignored) = (is_ignored(libc::SIGCHLD), is_ignored(libc::SIGPIPE));
    // Nobody may read our messages; the job is to be looked after all the same.
    set_ignored(libc::SIGPIPE, true);
    // Nor may a limit on file sizes end us for writing a report.
    let sigxfsz_ignored = is_ignored(libc::SIGXFSZ);
    set_ignored(libc::SIGXFSZ, true);
    // SAFETY: sigset functions on live sets; sigprocmask writes only `old`.
    let fd = unsafe {
        libc::sigemptyset(&raw mut block);
        libc::sigaddset(&raw mut block, libc::SIGCHLD);
        for &signal in FORWARDED {
            if signal != libc::SIGTERM || !is_ignored(signal) {
                libc::sigaddset(&raw mut block, signal);
            }
        }
        Errno::result(libc::sigprocmask(libc::SIG_BLOCK, &raw const block, &raw mut old))?;
        // With SIGCHLD ignored the kernel would reap our children itself.
        set_ignored(libc::SIGCHLD, false);
        Errno::result(libc::signalfd(-1, &raw const block, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?
    };
    // SAFETY: signalfd returned a new descriptor that nobody else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok((Inherited { mask: old, sigpipe_ignored, sigchld_ignored, sigxfsz_ignored }, SignalFd(fd)))
}

impl Inherited {
    /// Gives the state back, in the child that will become the job.
    pub fn restore(&self) {
        set_ignored(libc::SIGPIPE, self.sigpipe_ignored);
        set_ignored(libc::SIGCHLD, self.sigchld_ignored);
        set_ignored(libc::SIGXFSZ, self.sigxfsz_ignored);
        // SAFETY: `mask` was filled by sigprocmask.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.mask, std::ptr::null_mut()) };
    }
}

/// A set of signals, as /proc prints them: bit `n - 1` for signal `n`.
pub type Set = u64;

/// Signals that have been sent to this process and are blocked.
pub fn pending() -> Set {
    // SAFETY: all-zero is a valid sigset_t to be filled; the functions take live sets.
    unsafe {
        let mut set: libc::sigset_t = zeroed();
        libc::sigpending(&raw mut set);
        (1..=64).filter(|signal| libc::sigismember(&raw const set, *signal) == 1).map(bit).sum()
    }
}

/// The same of another process, by its /proc/PID/status.
pub fn pending_in(status: &str) -> Set {
    let field = |name| status.lines().find_map(|line: &str| line.strip_prefix(name));
    let set = |name| field(name).and_then(|text| Set::from_str_radix(text.trim(), 16).ok()).unwrap_or(0);
    set("SigPnd:") | set("ShdPnd:")
}

/// Those of a set that are passed on to the job.
pub fn forwarded_in(set: Set) -> impl Iterator<Item = c_int> {
    FORWARDED.iter().copied().filter(move |signal| set & bit(*signal) != 0)
}

fn bit(signal: c_int) -> Set {
    1 << (signal - 1)
}

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Which.
    pub signal: c_int,
    /// Who sent it, in the reader's PID namespace: 0 for the kernel (the terminal) and for a process
    /// outside the namespace.
    pub sender: i32,
}

/// Signals as a stream of data.
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Of those to be forwarded alone: they are blocked already.
    pub fn forwarded() -> Result<SignalFd, Errno> {
        // SAFETY: all-zero is a valid sigset_t; sigset functions on a live set; a new descriptor that nobody else owns.
        unsafe {
            let mut set: libc::sigset_t = zeroed();
            libc::sigemptyset(&raw mut set);
            for &signal in FORWARDED {
                libc::sigaddset(&raw mut set, signal);
            }
            let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            Ok(SignalFd(OwnedFd::from_raw_fd(Errno::result(fd)?)))
        }
    }

    /// The next signal, if there is one.
    pub fn next(&self) -> Option<Received> {
        // SAFETY: all-zero is a valid signalfd_siginfo to be written to.
        let mut info: libc::signalfd_siginfo = unsafe { zeroed() };
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes at most `size` bytes into `info`.
        let n = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size) };
        (n == size as isize)
            .then_some(Received { signal: info.ssi_signo as c_int, sender: info.ssi_pid as i32 })
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Stops this process with `signal` (SIGSTOP, or SIGTSTP and its kin with their default action),
/// until somebody continues it.
pub fn stop_self(signal: c_int) {
    // SAFETY: all-zero is a valid sigset_t to be filled.
    let mut set: libc::sigset_t = unsafe { zeroed() };
    // SAFETY: plain signal calls on a live set; the signal is sent while blocked or not blockable,
    // and unblocking it delivers it right here. No handler runs.
    unsafe {
        libc::kill(libc::getpid(), signal);
        if signal != libc::SIGSTOP {
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, signal);
            let mut old: libc::sigset_t = zeroed();
            libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, &raw mut old);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const old, std::ptr::null_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_signals_are_seen_from_both_sides() {
        // One that stays blocked in this thread, and is nobody else's in the tests.
        let signal = libc::SIGWINCH;
        // SAFETY: plain signal calls on a live set; the signal is ignored by default.
        unsafe {
            let mut set: libc::sigset_t = zeroed();
            libc::sigaddset(&raw mut set, signal);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            assert_eq!(pending() & bit(signal), 0);
            libc::pthread_kill(libc::pthread_self(), signal);
        }
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert_eq!(forwarded_in(pending()).collect::<Vec<_>>(), [signal]);
        assert_eq!(pending_in(&status), bit(signal));
        assert_eq!(pending_in("ShdPnd:\t0000000000004001\nSigPnd:\t0000000000000002\n"), 0x4003);
        assert_eq!(pending_in("ShdPnd: what is this\n"), 0);
    }

    #[test]
    fn dispositions_are_seen_and_set() {
        // SIGURG is used by nothing here, so other tests are not disturbed.
        assert!(!is_ignored(libc::SIGURG));
        set_ignored(libc::SIGURG, true);
        assert!(is_ignored(libc::SIGURG));
        set_ignored(libc::SIGURG, false);
        assert!(!is_ignored(libc::SIGURG));
    }
}
