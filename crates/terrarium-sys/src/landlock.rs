//! Landlock: rules on files that a process puts on itself and all its descendants, without privilege.
//!
//! Raw system calls, because the rules are put on between clone and exec, where nothing may allocate.

use std::ffi::{CStr, CString, c_void};
use std::fmt;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// What a rule allows for a path and all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// List directories, and nothing else.
    List,
    /// Read and execute.
    Read,
    /// Read and write what is there, make and remove nothing: for devices and /proc.
    Use,
    /// Everything but making device nodes.
    Write,
}

/// What may be done with one path and all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which; one that is not there, or that may not be reached, is left out.
    pub path: CString,
    /// What.
    pub access: Access,
}

/// A set of rules, to be put on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Landlock {
    /// What is not named here cannot be opened, executed, made, renamed or removed. The files that standard
    /// input, output and error are can always be opened again (/dev/stdin and its like). `None`: no rule on files.
    pub files: Option<Vec<Rule>>,
    /// No abstract socket that was made outside can be connected to (ABI 6).
    pub abstract_sockets: bool,
    /// No process outside can be signalled (ABI 6).
    pub signals: bool,
    /// A kernel with a lower ABI has none of this. 2 is the first that lets files be moved between directories.
    pub least_abi: u32,
    /// Whether such a kernel is a failure (`EOPNOTSUPP`); else nothing is done there.
    pub required: bool,
}

mod right {
    pub(super) const EXECUTE: u64 = 1;
    pub(super) const WRITE_FILE: u64 = 1 << 1;
    pub(super) const READ_FILE: u64 = 1 << 2;
    pub(super) const READ_DIR: u64 = 1 << 3;
    /// Up to MAKE_SYM.
    pub(super) const ABI_1: u64 = (1 << 13) - 1;
    /// MAKE_CHAR and MAKE_BLOCK.
    pub(super) const MAKE_DEVICE: u64 = 1 << 6 | 1 << 11;
    pub(super) const REFER: u64 = 1 << 13;
    pub(super) const TRUNCATE: u64 = 1 << 14;
    /// The only ones that a rule for a file may name.
    pub(super) const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE;
}

const SCOPE_ABSTRACT_SOCKETS: u64 = 1;
const SCOPE_SIGNALS: u64 = 1 << 1;
/// The first ABI with scopes.
pub const ABI_SCOPES: u32 = 6;

/// The first ABI that controls truncation: before, a file that may not be written to can be emptied.
pub const ABI_TRUNCATE: u32 = 3;

/// What is controlled in this ABI. Not IOCTL_DEV: a device that may be opened may be used.
fn handled(abi: u32) -> u64 {
    let refer = if abi >= 2 { right::REFER } else { 0 };
    let truncate = if abi >= 3 { right::TRUNCATE } else { 0 };
    right::ABI_1 | refer | truncate
}

fn rights(access: Access) -> u64 {
    match access {
        Access::List => right::READ_DIR,
        Access::Read => right::READ_DIR | right::READ_FILE | right::EXECUTE,
        Access::Use => right::READ_DIR | right::READ_FILE | right::WRITE_FILE | right::TRUNCATE,
        Access::Write => (right::ABI_1 & !right::MAKE_DEVICE) | right::REFER | right::TRUNCATE,
    }
}

/// The kernel's `struct landlock_ruleset_attr` of ABI 6.
#[repr(C)]
struct RulesetAttr {
    files: u64,
    network: u64,
    scoped: u64,
}

/// The kernel's `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;

/// Landlock's ABI in the running kernel; 0 if it has none, or it is switched off.
pub fn abi() -> u32 {
    let none: *const c_void = std::ptr::null();
    // SAFETY: with this flag the kernel reads no memory and makes no descriptor.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0usize, CREATE_RULESET_VERSION) };
    u32::try_from(version).unwrap_or(0)
}

impl Landlock {
    fn scopes(&self) -> u64 {
        let sockets = if self.abstract_sockets { SCOPE_ABSTRACT_SOCKETS } else { 0 };
        let signals = if self.signals { SCOPE_SIGNALS } else { 0 };
        sockets | signals
    }

    /// Puts the rules on this thread and what it will start. Needs no_new_privs or CAP_SYS_ADMIN. Allocates nothing.
    pub(crate) fn apply(&self) -> Result<(), Errno> {
        let abi = abi();
        let scopes = if abi >= ABI_SCOPES { self.scopes() } else { 0 };
        let too_old = abi < self.least_abi.max(1) || (self.required && scopes != self.scopes());
        if too_old || (self.files.is_none() && scopes == 0) {
            return if self.required && self.asks() { Err(Errno::EOPNOTSUPP) } else { Ok(()) };
        }
        let files = if self.files.is_some() { handled(abi) } else { 0 };
        let attr = RulesetAttr { files, network: 0, scoped: scopes };
        // An older kernel takes a longer structure if the rest of it is zero.
        // SAFETY: reads `attr`, which is live; a new descriptor that nobody else owns.
        let ruleset = unsafe {
            let size = size_of::<RulesetAttr>();
            let fd = libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attr, size, 0u32);
            OwnedFd::from_raw_fd(Errno::result(fd)? as RawFd)
        };
        for rule in self.files.iter().flatten() {
            let Some(fd) = open_path(&rule.path) else { continue };
            allow(&ruleset, fd.as_raw_fd(), rights(rule.access) & files, false)?;
        }
        if self.files.is_some() {
            for fd in 0..3 {
                // Where output goes to is often a file beside what is shown, and `echo > /dev/stderr` opens it again.
                allow(&ruleset, fd, (right::OF_FILES & !right::EXECUTE) & files, true)?;
            }
        }
        // SAFETY: takes no pointers.
        Errno::result(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0u32) })
            .map(drop)
    }

    fn asks(&self) -> bool {
        self.files.is_some() || self.scopes() != 0
    }
}

/// What is not there need not be allowed, and what cannot be reached could not be used.
fn open_path(path: &CStr) -> Option<OwnedFd> {
    // SAFETY: a live C string; a new descriptor that nobody else owns.
    unsafe {
        let fd = Errno::result(libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC)).ok()?;
        Some(OwnedFd::from_raw_fd(fd))
    }
}

/// Adds a rule for what `fd` refers to; with `only_file`, nothing unless that is a plain file.
fn allow(ruleset: &OwnedFd, fd: RawFd, rights: u64, only_file: bool) -> Result<(), Errno> {
    // SAFETY: all-zero is a valid stat, live and writable.
    let mode = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        match Errno::result(libc::fstat(fd, &raw mut stat)) {
            Ok(_) => stat.st_mode & libc::S_IFMT,
            Err(_) => return Ok(()),
        }
    };
    if only_file && mode != libc::S_IFREG {
        return Ok(());
    }
    let allowed = if mode == libc::S_IFDIR { rights } else { rights & right::OF_FILES };
    let rule = PathBeneath { allowed, parent: fd };
    if allowed == 0 {
        return Ok(());
    }
    // SAFETY: reads `rule`, which is live and laid out as the kernel reads it.
    let added = Errno::result(unsafe {
        let (ruleset, rule) = (ruleset.as_raw_fd(), &raw const rule);
        libc::syscall(libc::SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, rule, 0u32)
    });
    match added {
        // A file without a place (a pipe, a memfd): Landlock never stops its being opened.
        Ok(_) | Err(Errno::EBADFD) => Ok(()),
        Err(e) => Err(e),
    }
}

impl fmt::Display for Landlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Landlock:")?;
        let mut first = true;
        let mut part = |f: &mut fmt::Formatter<'_>, text: &str| {
            write!(f, "{}{text}", if std::mem::take(&mut first) { " " } else { "; " })
        };
        for (access, verb) in [
            (Access::Write, "write to"),
            (Access::Use, "use"),
            (Access::Read, "read"),
            (Access::List, "list"),
        ] {
            let all = self.files.iter().flatten().filter(|rule| rule.access == access);
            let paths: Vec<_> = all.map(|rule| rule.path.to_string_lossy()).collect();
            if !paths.is_empty() {
                part(f, &format!("{verb} {}", paths.join(" ")))?;
            }
        }
        if self.abstract_sockets {
            part(f, "no abstract sockets of others")?;
        }
        if self.signals {
            part(f, "no signals to others")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Forked, Namespaces, WaitStatus, clone_process, exit_now, wait_for};
    use crate::step::{Interpreter, Step};
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    fn c(path: &Path) -> CString {
        CString::new(path.as_os_str().as_bytes()).unwrap()
    }

    /// Runs `then` in a child that has put `landlock` on; its result is the exit status.
    fn inside(landlock: Landlock, then: impl Fn() -> u8) -> WaitStatus {
        let steps = [Step::NoNewPrivileges.into(), Step::Landlock(landlock).into()];
        match clone_process(Namespaces::default()).unwrap() {
            Forked::Child => match Interpreter::new().run(&steps) {
                Ok(()) => exit_now(i32::from(then())),
                Err(failed) => exit_now(100 + failed.errno as i32),
            },
            Forked::Parent(pid) => wait_for(pid, true).unwrap().unwrap().status,
        }
    }

    fn errno(result: std::io::Result<impl Sized>) -> i32 {
        result.err().and_then(|e| e.raw_os_error()).unwrap_or(0)
    }

    /// One bit for each answer that is not the expected one.
    fn wrong(answers: &[bool]) -> u8 {
        answers.iter().enumerate().map(|(i, ok)| u8::from(!ok) << i).sum()
    }

    fn all_of(path: &Path, access: Access) -> Rule {
        Rule { path: c(path), access }
    }

    #[test]
    fn what_is_not_named_cannot_be_opened() {
        // A kernel without it is tried in another test.
        if abi() < 2 {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["rw", "rw/sub", "ro", "none"] {
            std::fs::create_dir(path(name)).unwrap();
            std::fs::write(path(name).join("file"), "x").unwrap();
        }
        let files = Some(vec![
            all_of(&path("rw"), Access::Write),
            all_of(&path("ro"), Access::Read),
            all_of(&path("not there"), Access::Write),
        ]);
        let landlock = Landlock { files, least_abi: 2, required: true, ..Landlock::default() };
        const EACCES: i32 = Errno::EACCES as i32;
        let status = inside(landlock, || {
            let open = |name: &str| errno(std::fs::read(path(name)));
            wrong(&[
                open("rw/file") == 0,
                open("ro/file") == 0,
                open("none/file") == EACCES && open("rw/../none/file") == EACCES,
                errno(std::fs::read_dir(path("none"))) == EACCES,
                errno(std::fs::write(path("ro/file"), "y")) == EACCES,
                errno(std::fs::write(path("rw/new"), "y")) == 0,
                errno(std::fs::rename(path("rw/new"), path("rw/sub/new"))) == 0,
                errno(std::fs::hard_link(path("rw/file"), path("ro/link"))) != 0,
            ])
        });
        assert_eq!(status, WaitStatus::Exited(0));
    }

    #[test]
    fn scopes_alone_leave_files_alone() {
        if abi() < ABI_SCOPES {
            return;
        }
        let landlock = Landlock { signals: true, required: true, ..Landlock::default() };
        let parent = std::process::id() as i32;
        let status = inside(landlock, || {
            let signal = crate::process::signal_one(parent, 0);
            wrong(&[signal == Err(Errno::EPERM), errno(std::fs::read("/etc/passwd")) == 0])
        });
        assert_eq!(status, WaitStatus::Exited(0));
    }

    #[test]
    fn a_kernel_without_it() {
        let newer = Landlock { files: Some(Vec::new()), least_abi: 1000, ..Landlock::default() };
        let reads = || errno(std::fs::read("/etc/passwd")) as u8;
        assert_eq!(inside(newer.clone(), reads), WaitStatus::Exited(0));
        let required = Landlock { required: true, ..newer };
        assert_eq!(inside(required, reads), WaitStatus::Exited((100 + Errno::EOPNOTSUPP as i32) as u8));
    }

    #[test]
    fn each_abi_has_its_rights() {
        assert_eq!(handled(1), (1 << 13) - 1);
        assert_eq!(handled(2), (1 << 14) - 1);
        assert_eq!(handled(3), (1 << 15) - 1);
        assert_eq!(handled(7), handled(3));
        assert_eq!(size_of::<PathBeneath>(), 12);
    }

    #[test]
    fn reads_as_a_sentence() {
        let files = Some(vec![
            all_of(Path::new("/usr"), Access::Read),
            all_of(Path::new("/w"), Access::Write),
            all_of(Path::new("/etc"), Access::Read),
        ]);
        let landlock = Landlock { files, signals: true, ..Landlock::default() };
        assert_eq!(landlock.to_string(), "Landlock: write to /w; read /usr /etc; no signals to others");
    }
}
