//! Making, waiting for and becoming processes.

use std::ffi::{CString, c_char, c_int};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;

/// Which namespaces a new process gets. Missing ones are shared with the parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// CLONE_NEWUSER.
    pub user: bool,
    /// CLONE_NEWPID: the new process is PID 1 in it.
    pub pid: bool,
    /// CLONE_NEWNS.
    pub mount: bool,
    /// CLONE_NEWIPC: System V IPC and POSIX message queues.
    pub ipc: bool,
    /// CLONE_NEWNET.
    pub net: bool,
}

impl Namespaces {
    fn flags(self) -> c_int {
        let mut flags = 0;
        for (wanted, flag) in [
            (self.user, libc::CLONE_NEWUSER),
            (self.pid, libc::CLONE_NEWPID),
            (self.mount, libc::CLONE_NEWNS),
            (self.ipc, libc::CLONE_NEWIPC),
            (self.net, libc::CLONE_NEWNET),
        ] {
            if wanted {
                flags |= flag;
            }
        }
        flags
    }
}

/// Which side of a clone this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forked {
    /// The new process.
    Child,
    /// The old one, with the child's PID as it sees it.
    Parent(i32),
}

/// The kernel's `struct clone_args` up to `cgroup` (Linux 5.7).
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Copies this process into new namespaces.
///
/// The child shares nothing with the parent but open files.
///
/// Only for a single-threaded process: in the child, locks of other threads would stay locked for ever.
/// That is checked, at the price of one `readdir`, in debug builds.
pub fn clone_process(namespaces: Namespaces) -> Result<Forked, Errno> {
    debug_assert!(is_single_threaded(), "clone_process in a process with threads");
    // clone, not clone3: RHEL 8's kernel (4.18) has no clone3, and nothing else of it is needed.
    // SAFETY: no CLONE_VM and no new stack, so the child returns here on a copy of this stack like after fork. The
    // order of the last two arguments differs between architectures, but both are null.
    forked(unsafe {
        libc::syscall(
            libc::SYS_clone,
            (namespaces.flags() | libc::SIGCHLD) as libc::c_ulong,
            0usize,
            0usize,
            0usize,
            0usize,
        )
    })
}

/// Copies this process straight into a cgroup (Linux 5.7), and waits until the child executes another program or ends.
///
/// Fails with `ENOSYS` or `E2BIG` if the kernel cannot; the caller then clones without and moves the child by writing
/// to `cgroup.procs`. Only for a single-threaded process, like [`clone_process`].
pub fn clone_into_cgroup(cgroup: BorrowedFd<'_>) -> Result<Forked, Errno> {
    debug_assert!(is_single_threaded(), "clone_into_cgroup in a process with threads");
    let args = CloneArgs {
        flags: libc::CLONE_VFORK as u64 | CLONE_INTO_CGROUP,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: cgroup.as_raw_fd() as u64,
        ..CloneArgs::default()
    };
    // SAFETY: no CLONE_VM and no new stack, so the child returns here on a copy of this
    // stack like after fork; `args` is laid out as the kernel reads it and outlives the call.
    forked(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) })
}

fn forked(result: libc::c_long) -> Result<Forked, Errno> {
    match Errno::result(result)? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid as i32)),
    }
}

/// Room for the child of [`spawn_sharing`]: what it calls is shallow, execvpe's own buffers included.
const STACK: usize = 128 << 10;

/// Starts a child that runs `run` in this process's memory while this one waits, until it
/// executes another program or ends: vfork(2), with a stack of its own. Much cheaper than a copy.
///
/// `run` returns only to end the child with that status. What it changes in memory stays changed
/// here; what it changes of the process itself (directory, limits, signals) does not.
pub fn spawn_sharing(run: &mut dyn FnMut() -> i32) -> Result<i32, Errno> {
    extern "C" fn call(argument: *mut libc::c_void) -> c_int {
        // SAFETY: `argument` points to the `&mut dyn FnMut` below, whose frame waits for us.
        let run = unsafe { &mut *argument.cast::<&mut dyn FnMut() -> i32>() };
        run()
    }
    let mut stack = Vec::<u8>::with_capacity(STACK);
    let mut run: &mut dyn FnMut() -> i32 = run;
    // SAFETY: the stack is live until the child has left it, because CLONE_VFORK holds us until
    // then; it grows down from its end, which clone aligns. The child only calls `run` and ends.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(STACK);
        let top = top.sub(top as usize % 16);
        libc::clone(
            call,
            top.cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw mut run).cast(),
        )
    };
    Errno::result(pid)
}

fn is_single_threaded() -> bool {
    // A test harness has threads; its children only exec or exit, which is safe there.
    cfg!(test) || std::fs::read_dir("/proc/self/task").map_or(true, |d| d.count() == 1)
}

/// A child that has ended, or changed its state.
#[derive(Clone, Copy, Debug)]
pub struct Waited {
    /// Its PID.
    pub pid: i32,
    /// The status word of wait(2).
    pub status: WaitStatus,
    /// What it used, its waited-for children included.
    pub used: Used,
}

/// What the kernel has counted for processes that have ended: the part of rusage that Linux fills and that adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Page faults that needed no I/O.
    pub faults_minor: u64,
    /// Page faults that waited for I/O.
    pub faults_major: u64,
    /// Context switches because a thread waited for something.
    pub switches_voluntary: u64,
    /// Context switches because another thread had its turn.
    pub switches_involuntary: u64,
}

impl From<&libc::rusage> for Used {
    fn from(usage: &libc::rusage) -> Self {
        let count = |n: libc::c_long| u64::try_from(n).unwrap_or(0);
        Used {
            user: duration(usage.ru_utime),
            system: duration(usage.ru_stime),
            faults_minor: count(usage.ru_minflt),
            faults_major: count(usage.ru_majflt),
            switches_voluntary: count(usage.ru_nvcsw),
            switches_involuntary: count(usage.ru_nivcsw),
        }
    }
}

impl std::ops::AddAssign for Used {
    fn add_assign(&mut self, other: Used) {
        self.user += other.user;
        self.system += other.system;
        self.faults_minor += other.faults_minor;
        self.faults_major += other.faults_major;
        self.switches_voluntary += other.switches_voluntary;
        self.switches_involuntary += other.switches_involuntary;
    }
}

/// wait(2)'s status, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStatus {
    /// Returned with this status.
    Exited(u8),
    /// Killed by this signal.
    Signaled(i32),
    /// Stopped by this signal.
    Stopped(i32),
    /// Continued.
    Continued,
}

impl WaitStatus {
    /// From the status word of wait(2).
    pub fn from_raw(status: c_int) -> Self {
        if libc::WIFEXITED(status) {
            WaitStatus::Exited(libc::WEXITSTATUS(status) as u8)
        } else if libc::WIFSIGNALED(status) {
            WaitStatus::Signaled(libc::WTERMSIG(status))
        } else if libc::WIFSTOPPED(status) {
            WaitStatus::Stopped(libc::WSTOPSIG(status))
        } else {
            WaitStatus::Continued
        }
    }

    /// Whether the process is gone.
    pub fn is_end(self) -> bool {
        matches!(self, WaitStatus::Exited(_) | WaitStatus::Signaled(_))
    }
}

fn duration(t: libc::timeval) -> Duration {
    Duration::new(t.tv_sec.max(0) as u64, (t.tv_usec.clamp(0, 999_999) as u32) * 1000)
}

/// Waits for child `pid` (-1: any), also for stops and continues. `block` = false returns `None` if
/// there is nothing to tell; `ECHILD` means that there is no child at all.
pub fn wait_for(pid: i32, block: bool) -> Result<Option<Waited>, Errno> {
    let flags = libc::WUNTRACED | libc::WCONTINUED | if block { 0 } else { libc::WNOHANG };
    let mut status = 0;
    // SAFETY: all-zero is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live, writable values of the right type.
        let got = unsafe { libc::wait4(pid, &raw mut status, flags | libc::__WALL, &raw mut usage) };
        match Errno::result(got) {
            Ok(0) => return Ok(None),
            Ok(pid) => {
                return Ok(Some(Waited {
                    pid,
                    status: WaitStatus::from_raw(status),
                    used: Used::from(&usage),
                }));
            }
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Waits until a child has ended and returns its PID, leaving it to be waited for.
pub fn peek_ended() -> Result<i32, Errno> {
    peek(0)
}

/// A child that has ended and was not waited for; `ECHILD` if there is none at the moment.
pub fn ended_child() -> Result<i32, Errno> {
    match peek(libc::WNOHANG) {
        Ok(0) => Err(Errno::ECHILD),
        other => other,
    }
}

fn peek(flags: c_int) -> Result<i32, Errno> {
    // SAFETY: all-zero is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is live and writable.
    let got = unsafe {
        libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOWAIT | libc::__WALL | flags)
    };
    Errno::result(got)?;
    // SAFETY: waitid has filled the SIGCHLD part of the union.
    Ok(unsafe { info.si_pid() })
}

/// What to execute, laid out for execve(2) before clone, so that the child need not allocate.
pub struct Command {
    file: CString,
    // Point into the CStrings beside them, whose heap memory does not move with this struct.
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    _strings: (Vec<CString>, Vec<CString>),
}

impl Command {
    /// `args` is the command and its arguments, `env` holds `NAME=VALUE`.
    ///
    /// # Panics
    /// If `args` is empty.
    pub fn new(args: Vec<CString>, env: Vec<CString>) -> Self {
        let end = std::iter::once(std::ptr::null());
        let argv = args.iter().map(|s| s.as_ptr()).chain(end.clone()).collect();
        let envp = env.iter().map(|s| s.as_ptr()).chain(end).collect();
        let file = args.first().expect("a command has at least its own name").clone();
        Command { file, argv, envp, _strings: (args, env) }
    }

    /// Becomes the command, searching `PATH` as a shell does. Returns only to say why not:
    /// `ENOENT` not found, `EACCES` found but not executable.
    pub fn exec(&self) -> Errno {
        // SAFETY: both arrays end in null and point to strings that `self` keeps alive.
        unsafe { libc::execvpe(self.file.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        Errno::last()
    }
}

/// Ends this process at once: no destructors, no flushing of what was inherited from the parent.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: takes no pointer and does not return.
    unsafe { libc::_exit(status) }
}

/// SIGKILL to every process of this PID namespace but the caller; only for its PID 1.
///
/// The kernel does it under the lock that fork needs to add a process, so nothing that forks meanwhile gets away:
/// a fork that has not been added yet sees the signal and is undone.
pub fn kill_all() -> Result<(), Errno> {
    signal_all(libc::SIGKILL)
}

/// A signal to every process of this PID namespace but the caller; refused with `EPERM` unless the
/// caller is PID 1, where -1 cannot mean "everything of this user".
pub fn signal_all(signal: i32) -> Result<(), Errno> {
    if std::process::id() != 1 {
        return Err(Errno::EPERM);
    }
    // SAFETY: takes no pointers.
    match Errno::result(unsafe { libc::kill(-1, signal) }) {
        Ok(_) | Err(Errno::ESRCH) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Sends `signal` to one process.
pub fn signal_one(pid: i32, signal: i32) -> Result<(), Errno> {
    // 0 and negative numbers would reach groups of processes.
    if pid <= 0 {
        return Err(Errno::EINVAL);
    }
    // SAFETY: takes no pointers.
    Errno::result(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Lets go of the pages of the program's code that were touched at the start, and are not needed to wait: they come back
/// from the page cache when they are.
pub fn forget_program() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let here = forget_program as *const () as usize;
    for (start, end) in code(&maps, here) {
        // SAFETY: code that is mapped from a file, and is not writable, is what the file holds (it has no relocations; what
        // has is data, read-only or not), so that dropping its pages changes nothing that can be read or executed. The range
        // is one line of the kernel's list of our own mappings.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
}

/// The mappings of code of the file that is mapped at an address.
fn code(maps: &str, address: usize) -> Vec<(usize, usize)> {
    let parse = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
        let (access, _offset, device, inode) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let is_code = access == "r-xp";
        Some((start, end, is_code, format!("{device} {inode}")))
    };
    let all: Vec<_> = maps.lines().filter_map(parse).collect();
    let Some((.., file)) = all.iter().find(|m| (m.0..m.1).contains(&address)) else { return Vec::new() };
    all.iter().filter(|m| m.2 && m.3 == *file).map(|m| (m.0, m.1)).collect()
}

/// What this process is called in ps; 15 bytes count.
pub fn set_name(name: &str) {
    if let Ok(name) = CString::new(name) {
        let _ = crate::calls::prctl(libc::PR_SET_NAME, name.as_ptr() as libc::c_ulong);
    }
}

/// A handle to one process: what is done through it never reaches a later process with the same PID.
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Of the process that has this PID now (Linux 5.3).
    pub fn open(pid: u32) -> Result<PidFd, Errno> {
        // SAFETY: takes no pointers; a new descriptor that nobody else owns.
        unsafe {
            let fd = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0))?;
            Ok(PidFd(OwnedFd::from_raw_fd(fd as i32)))
        }
    }

    /// SIGKILL.
    pub fn kill(&self) -> Result<(), Errno> {
        self.signal(libc::SIGKILL)
    }

    /// Any signal.
    pub fn signal(&self, signal: i32) -> Result<(), Errno> {
        let none: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: a null siginfo means that of kill(2).
        let result =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal, none, 0) };
        Errno::result(result).map(drop)
    }
}

pub(crate) fn enter_namespace(fd: std::os::fd::RawFd) -> Result<(), Errno> {
    // SAFETY: takes no pointers; the kernel checks what the descriptor is.
    Errno::result(unsafe { libc::setns(fd, 0) }).map(drop)
}

/// Makes this process the leader of a process group of its own.
pub fn leave_group() {
    // SAFETY: takes no pointers.
    unsafe { libc::setpgid(0, 0) };
}

/// Can be read (poll) once the process has ended.
impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The parent of this process: 0 if it lies outside of the PID namespace.
pub fn parent() -> u32 {
    // SAFETY: takes no pointers and cannot fail.
    unsafe { libc::getppid() as u32 }
}

/// CPUs this thread may run on, as numbers.
pub fn allowed_cpus() -> Result<Vec<usize>, Errno> {
    allowed_cpus_of(0)
}

/// CPUs that a process may run on; 0 is this thread.
pub fn allowed_cpus_of(pid: i32) -> Result<Vec<usize>, Errno> {
    let mut mask = vec![0u8; crate::step::AFFINITY_BYTES];
    // SAFETY: the kernel writes at most the given length into `mask`.
    let n = Errno::result(unsafe {
        libc::syscall(libc::SYS_sched_getaffinity, pid, mask.len(), mask.as_mut_ptr())
    })?;
    mask.truncate(n as usize);
    Ok(cpus_of(&mask))
}

/// The numbers of the bits set in a CPU mask.
pub fn cpus_of(mask: &[u8]) -> Vec<usize> {
    (0..mask.len() * 8).filter(|i| mask[i / 8] >> (i % 8) & 1 == 1).collect()
}

/// Sets the CPUs of one thread (`0`: this one) from a bit mask.
pub fn set_affinity(tid: i32, mask: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads `mask.len()` bytes of a live slice.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid, mask.len(), mask.as_ptr()) })
        .map(drop)
}

/// Reads memory of another process into `into`; how many bytes could be read.
pub fn read_memory(pid: i32, address: u64, into: &mut [u8]) -> Result<usize, Errno> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: into.len() };
    // SAFETY: `local` covers `into`, which is writable; `remote` is only used as an address in
    // the other process, and the kernel checks it.
    let n =
        Errno::result(unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) })?;
    Ok(n as usize)
}

/// Real user ID.
pub fn user() -> u32 {
    // SAFETY: takes no pointers and cannot fail.
    unsafe { libc::getuid() }
}

/// Memory of the node in bytes; 0 if it cannot be told.
pub fn memory_total() -> u64 {
    // SAFETY: all-zero is a valid sysinfo, live and writable.
    unsafe {
        let mut info: libc::sysinfo = std::mem::zeroed();
        if libc::sysinfo(&raw mut info) == 0 { info.totalram * u64::from(info.mem_unit) } else { 0 }
    }
}

/// The node's name.
pub fn host_name() -> String {
    let mut buffer = [0u8; 256];
    // SAFETY: the length is that of the buffer, less one for the final NUL.
    if unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) } != 0 {
        return String::new();
    }
    let end = buffer.iter().position(|b| *b == 0).unwrap_or(0);
    String::from_utf8_lossy(&buffer[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Waited {
        let args: Vec<CString> = args.iter().map(|a| CString::new(*a).unwrap()).collect();
        let command = Command::new(args, vec![c"PATH=/usr/bin:/bin".to_owned(), c"A=b".to_owned()]);
        match clone_process(Namespaces::default()).unwrap() {
            Forked::Child => {
                let e = command.exec();
                exit_now(if e == Errno::ENOENT { 127 } else { 126 })
            }
            Forked::Parent(pid) => wait_for(pid, true).unwrap().unwrap(),
        }
    }

    #[test]
    fn status_and_cpu_time_of_a_child() {
        assert_eq!(run(&["sh", "-c", "exit 7"]).status, WaitStatus::Exited(7));
        assert_eq!(run(&["sh", "-c", "kill -9 $$"]).status, WaitStatus::Signaled(9));
        assert_eq!(run(&["sh", "-c", "test $A = b"]).status, WaitStatus::Exited(0));
        assert_eq!(run(&["no-such-command"]).status, WaitStatus::Exited(127));
        let busy = run(&["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"]);
        assert!(busy.used.user + busy.used.system > Duration::ZERO);
    }

    #[test]
    fn signals_to_everybody_are_for_pid_1_only() {
        assert_eq!(signal_all(0), Err(Errno::EPERM));
        assert_eq!(signal_one(0, 0), Err(Errno::EINVAL));
        assert_eq!(signal_one(-1, 0), Err(Errno::EINVAL));
    }

    #[test]
    fn masks_and_numbers_agree() {
        assert_eq!(cpus_of(&[0b101, 0b1]), [0, 2, 8]);
        assert!(!allowed_cpus().unwrap().is_empty());
    }

    #[test]
    fn a_handle_tells_the_end_of_a_process() {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let handle = PidFd::open(child.id()).unwrap();
        let ended = |millis: u16| {
            let mut fds = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::from(millis)).unwrap() == 1
        };
        assert!(!ended(0));
        handle.signal(libc::SIGTERM).unwrap();
        assert!(ended(10_000));
        child.wait().unwrap();
        assert_eq!(handle.signal(0), Err(Errno::ESRCH));
        assert!(parent() > 0);
    }

    #[test]
    fn only_code_of_the_program_itself_is_let_go_of() {
        let maps = "00400000-00401000 r--p 00000000 fe:00 77 /bin/x\n00401000-00500000 r-xp 00001000 fe:00 77 /bin/x\n\
                    00500000-00510000 rw-p 00100000 fe:00 77 /bin/x\n7f0000000000-7f0000001000 r-xp 0 fe:00 78 /lib/y\n\
                    7f0000002000-7f0000003000 rwxp 0 fe:00 77 /bin/x\nwhat is this\n";
        assert_eq!(super::code(maps, 0x401234), [(0x401000, 0x500000)]);
        assert_eq!(super::code(maps, 0x1), []);
        // Nothing is different afterwards.
        super::forget_program();
        assert_eq!(super::code(maps, 0x1), []);
    }

    #[test]
    fn reads_its_own_memory() {
        let data = *b"terrarium";
        let mut got = [0u8; 9];
        let n = read_memory(std::process::id() as i32, data.as_ptr() as u64, &mut got);
        assert_eq!((n, &got), (Ok(9), &data));
        assert_eq!(read_memory(std::process::id() as i32, 8, &mut got), Err(Errno::EFAULT));
    }
}
