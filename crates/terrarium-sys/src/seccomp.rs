//! The job's seccomp filter, and answering what it hands to the supervisor.
//!
//! What is filtered is cheap: system calls that the filter allows whatever
//! their arguments cost nothing measurable (the kernel keeps a bitmap of them since 5.11).
//!
//! * `ioctl(TIOCSTI)` and `ioctl(TIOCLINUX)` push characters into the terminal: a job could type commands
//!   into the shell that started it. Refused with EPERM.
//! * `sched_setaffinity`, if asked for, is handed to the supervisor, which applies
//!   the wish within the job's CPUs.
//! * Where ptrace holds the job: what would make a process that is not traced.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{sock_filter, sock_fprog};
use nix::errno::Errno;

#[cfg(target_arch = "x86_64")]
mod arch {
    pub(super) const NATIVE: u32 = 0xC000_003E;
    /// i386, through `int 0x80`.
    pub(super) const COMPAT: u32 = 0x4000_0003;
    /// System calls from here up are x32, which numbers them anew.
    pub(super) const FOREIGN_NUMBERS: Option<u32> = Some(0x4000_0000);
}

#[cfg(target_arch = "aarch64")]
mod arch {
    pub(super) const NATIVE: u32 = 0xC000_00B7;
    /// 32-bit Arm.
    pub(super) const COMPAT: u32 = 0x4000_0028;
    pub(super) const FOREIGN_NUMBERS: Option<u32> = None;
}

/// The same on i386 and 32-bit Arm.
const COMPAT_IOCTL: u32 = 54;
const COMPAT_SCHED_SETAFFINITY: u32 = 241;
const COMPAT_CLONE: u32 = 120;
const COMPAT_PTRACE: u32 = 26;
/// One of the calls that have the same number everywhere.
const CLONE3: u32 = 435;

const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541C;

const OFFSET_NR: u32 = 0;
const OFFSET_ARCH: u32 = 4;
/// Lower half of the first argument (both architectures are little-endian).
const OFFSET_ARG0: u32 = 16;
/// Of the second.
const OFFSET_ARG1: u32 = 16 + 8;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// Which numbering of system calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    Native,
    Compat,
}

/// A program for the kernel's seccomp interpreter.
#[derive(Clone, Debug)]
pub struct Filter {
    program: Vec<sock_filter>,
    notifies: bool,
    label: &'static str,
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn ret(value: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: value }
}

/// Continues with the next instruction if equal, else skips `skip`.
fn unless_equal(value: u32, skip: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: 0, jf: skip, k: value }
}

/// Continues with the next instruction if at least, else skips `skip`.
fn unless_at_least(value: u32, skip: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16, jt: 0, jf: skip, k: value }
}

/// Continues with the next instruction if one of the bits is set, else skips `skip`.
fn unless_any_bit(bits: u32, skip: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16, jt: 0, jf: skip, k: bits }
}

impl Filter {
    /// Refuses to push characters into the terminal.
    pub fn terminal() -> Self {
        Self::new(
            |nr| {
                let ioctl = if nr == Numbers::Native { libc::SYS_ioctl as u32 } else { COMPAT_IOCTL };
                vec![
                    unless_equal(ioctl, 5),
                    load(OFFSET_ARG1),
                    unless_equal(TIOCSTI, 1),
                    ret(EPERM),
                    unless_equal(TIOCLINUX, 1),
                    ret(EPERM),
                    ret(ALLOW),
                ]
            },
            false,
            "refuse TIOCSTI",
        )
    }

    /// Hands sched_setaffinity to the supervisor.
    pub fn affinity() -> Self {
        Self::new(
            |nr| {
                let native = libc::SYS_sched_setaffinity as u32;
                let number = if nr == Numbers::Native { native } else { COMPAT_SCHED_SETAFFINITY };
                vec![unless_equal(number, 1), ret(NOTIFY), ret(ALLOW)]
            },
            true,
            "answer sched_setaffinity",
        )
    }

    /// Refuses what would make a process that its tracer does not see: `CLONE_UNTRACED`. clone3(2) has its flags in memory,
    /// where a filter cannot look, and is said not to exist: C libraries then use clone(2). ptrace(2) itself is refused
    /// too: a process has one tracer, and the job must not trace what is not of the job.
    pub fn traced() -> Self {
        Self::new(
            |nr| {
                let (clone, ptrace) = match nr {
                    Numbers::Native => (libc::SYS_clone as u32, libc::SYS_ptrace as u32),
                    Numbers::Compat => (COMPAT_CLONE, COMPAT_PTRACE),
                };
                vec![
                    unless_equal(CLONE3, 1),
                    ret(ENOSYS),
                    unless_equal(ptrace, 1),
                    ret(EPERM),
                    unless_equal(clone, 3),
                    load(OFFSET_ARG0),
                    unless_any_bit(libc::CLONE_UNTRACED as u32, 1),
                    ret(EPERM),
                    ret(ALLOW),
                ]
            },
            false,
            "refuse CLONE_UNTRACED, clone3 and ptrace",
        )
    }

    /// `rules` expect the system call's number to be loaded, and always return.
    fn new(rules: impl Fn(Numbers) -> Vec<sock_filter>, notifies: bool, label: &'static str) -> Self {
        let (native, compat) = (rules(Numbers::Native), rules(Numbers::Compat));
        let foreign = arch::FOREIGN_NUMBERS.map(|first| [unless_at_least(first, 1), ret(ENOSYS)]);
        let foreign = foreign.as_ref().map_or(&[] as &[sock_filter], |f| f);
        let mut program = vec![load(OFFSET_ARCH)];
        program.push(unless_equal(arch::NATIVE, (1 + foreign.len() + native.len()) as u8));
        program.push(load(OFFSET_NR));
        program.extend_from_slice(foreign);
        program.extend(native);
        program.push(load(OFFSET_ARCH));
        program.push(unless_equal(arch::COMPAT, 1 + compat.len() as u8));
        program.push(load(OFFSET_NR));
        program.extend(compat);
        program.push(ret(ENOSYS));
        Filter { program, notifies, label }
    }

    /// Whether it hands system calls to a supervisor.
    pub fn notifies(&self) -> bool {
        self.notifies
    }

    /// What it does, for the plan.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// Installs it for this process and all that come from it; returns what the supervisor listens on.
    ///
    /// Needs no_new_privs or CAP_SYS_ADMIN. `EBUSY`: there is a supervisor already (a run in a run).
    pub fn install(&self) -> Result<Option<OwnedFd>, Errno> {
        let program = sock_fprog { len: self.program.len() as u16, filter: self.program.as_ptr().cast_mut() };
        let flags = if self.notifies { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER } else { 0 };
        // SAFETY: the program is live and of that length; the kernel checks and copies it.
        let result = unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
        };
        let fd = Errno::result(result)?;
        // SAFETY: with NEW_LISTENER the result is a new descriptor.
        Ok(self.notifies.then(|| unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// What the filter answers (for tests and the plan): runs it on one system call.
    pub fn simulate(&self, arch: u32, nr: u32, args: [u32; 2]) -> u32 {
        let (mut pc, mut acc) = (0usize, 0u32);
        loop {
            let i = self.program[pc];
            let jump = |hit: bool| usize::from(if hit { i.jt } else { i.jf });
            pc += 1;
            match u32::from(i.code) {
                c if c == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    acc = match i.k {
                        OFFSET_NR => nr,
                        OFFSET_ARCH => arch,
                        OFFSET_ARG0 => args[0],
                        _ => args[1],
                    }
                }
                c if c == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => pc += jump(acc == i.k),
                c if c == libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K => pc += jump(acc & i.k != 0),
                c if c == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => pc += jump(acc >= i.k),
                _ => return i.k,
            }
        }
    }
}

/// A sched_setaffinity that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct AffinityRequest {
    id: u64,
    /// The thread that asks, in the reader's PID namespace.
    pub caller: i32,
    /// The thread it asks for, in the caller's own PID namespace; 0 is the caller.
    pub target: i32,
    /// Length of the mask in bytes.
    pub length: u32,
    /// Where the mask is in the caller's memory.
    pub address: u64,
}

const IOCTL_RECV: libc::c_ulong = 0xC050_2100;
const IOCTL_SEND: libc::c_ulong = 0xC018_2101;
const IOCTL_ID_VALID: libc::c_ulong = 0x4008_2102;

/// Takes the next request. `ENOENT`: the caller was killed meanwhile.
pub fn receive(listener: BorrowedFd<'_>) -> Result<AffinityRequest, Errno> {
    // SAFETY: all-zero is valid, and what the kernel requires it to be.
    let mut notif: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    const { assert!(size_of::<libc::seccomp_notif>() == 80) };
    // SAFETY: the kernel writes one seccomp_notif into a live one.
    Errno::result(unsafe { libc::ioctl(listener.as_raw_fd(), IOCTL_RECV as _, &raw mut notif) })?;
    Ok(AffinityRequest {
        id: notif.id,
        caller: notif.pid as i32,
        target: notif.data.args[0] as i32,
        length: notif.data.args[1] as u32,
        address: notif.data.args[2],
    })
}

/// Whether the asking thread is still the one that waits: to be called after reading its memory,
/// because its PID may have been taken over by another process.
pub fn is_waiting(listener: BorrowedFd<'_>, request: &AffinityRequest) -> bool {
    // SAFETY: the kernel reads one u64.
    unsafe { libc::ioctl(listener.as_raw_fd(), IOCTL_ID_VALID as _, &raw const request.id) == 0 }
}

/// Lets the asking thread go on with this result.
pub fn answer(listener: BorrowedFd<'_>, request: &AffinityRequest, result: Result<(), Errno>) {
    let response = libc::seccomp_notif_resp {
        id: request.id,
        val: 0,
        error: result.err().map_or(0, |e| -(e as i32)),
        flags: 0,
    };
    const { assert!(size_of::<libc::seccomp_notif_resp>() == 24) };
    // SAFETY: the kernel reads one seccomp_notif_resp. An error means that the thread is gone.
    unsafe { libc::ioctl(listener.as_raw_fd(), IOCTL_SEND as _, &raw const response) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_is_filtered() {
        let (ioctl, set) = (libc::SYS_ioctl as u32, libc::SYS_sched_setaffinity as u32);
        let filter = Filter::terminal();
        assert_eq!(filter.simulate(arch::NATIVE, ioctl, [0, TIOCSTI]), EPERM);
        assert_eq!(filter.simulate(arch::NATIVE, ioctl, [0, TIOCLINUX]), EPERM);
        assert_eq!(filter.simulate(arch::NATIVE, ioctl, [0, 0x5401]), ALLOW);
        assert_eq!(filter.simulate(arch::NATIVE, set, [0, TIOCSTI]), ALLOW);
        assert_eq!(filter.simulate(arch::COMPAT, COMPAT_IOCTL, [0, TIOCSTI]), EPERM);
        assert_eq!(filter.simulate(arch::COMPAT, 3, [0, 0]), ALLOW);
        assert!(!filter.notifies());

        let filter = Filter::affinity();
        assert_eq!(filter.simulate(arch::NATIVE, set, [0, 0]), NOTIFY);
        assert_eq!(filter.simulate(arch::NATIVE, ioctl, [0, TIOCSTI]), ALLOW);
        assert_eq!(filter.simulate(arch::COMPAT, COMPAT_SCHED_SETAFFINITY, [0, 0]), NOTIFY);
        assert_eq!(filter.simulate(arch::COMPAT, 3, [0, 0]), ALLOW);
        assert!(filter.notifies());

        let filter = Filter::traced();
        let clone = libc::SYS_clone as u32;
        let (thread, untraced) = (0x003d_0f00, libc::CLONE_UNTRACED as u32);
        for (arch, clone) in [(arch::NATIVE, clone), (arch::COMPAT, COMPAT_CLONE)] {
            assert_eq!(filter.simulate(arch, clone, [thread, 0]), ALLOW);
            assert_eq!(filter.simulate(arch, clone, [thread | untraced, 0]), EPERM);
            assert_eq!(filter.simulate(arch, CLONE3, [0, 0]), ENOSYS);
        }
        assert_eq!(filter.simulate(arch::NATIVE, libc::SYS_ptrace as u32, [0, 0]), EPERM);
        assert_eq!(filter.simulate(arch::COMPAT, COMPAT_PTRACE, [0, 0]), EPERM);
        assert_eq!(filter.simulate(arch::NATIVE, set, [untraced, 0]), ALLOW);

        for filter in [Filter::terminal(), Filter::affinity(), Filter::traced()] {
            assert_eq!(filter.simulate(0x1234, 3, [0, 0]), ENOSYS);
            #[cfg(target_arch = "x86_64")]
            assert_eq!(filter.simulate(arch::NATIVE, 0x4000_0000 + 203, [0, 0]), ENOSYS);
        }
    }
}
