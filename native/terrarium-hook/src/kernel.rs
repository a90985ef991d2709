//! System calls, without the C library: that would change `errno`, and the program may look at it.

use core::ffi::CStr;
use core::ptr;

use syscalls::{Errno, Sysno, syscall};

/// What went wrong.
pub(crate) type Result<T> = core::result::Result<T, Errno>;

const CURRENT_DIRECTORY: isize = -100;

/// Flags of open(2).
pub(crate) mod open {
    pub(crate) const READ: u32 = 0;
    pub(crate) const READ_WRITE: u32 = 2;
    pub(crate) const CREATE: u32 = 0o100;
    pub(crate) const NEW: u32 = 0o200;
    pub(crate) const NO_WAITING: u32 = 0o4000;
    #[cfg(target_arch = "x86_64")]
    pub(crate) const NO_LINK: u32 = 0o400_000;
    #[cfg(target_arch = "aarch64")]
    pub(crate) const NO_LINK: u32 = 0o100_000;
    /// Of every file here.
    pub(super) const CLOSED_BY_EXEC: u32 = 0o2_000_000;
}

/// An open file; closed when it is dropped.
pub(crate) struct File(usize);

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours.
        let _ = unsafe { syscall!(Sysno::close, self.0) };
    }
}

impl File {
    pub(crate) fn open(path: &CStr, flags: u32, mode: u32) -> Result<Self> {
        let flags = flags | open::CLOSED_BY_EXEC;
        // SAFETY: the path is a C string.
        unsafe { syscall!(Sysno::openat, CURRENT_DIRECTORY, path.as_ptr(), flags, mode) }.map(Self)
    }

    /// Reads from the current position; the bytes that were read.
    pub(crate) fn read<'a>(&self, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
        // SAFETY: the buffer is as long as is said.
        let length = unsafe { syscall!(Sysno::read, self.0, buffer.as_mut_ptr(), buffer.len())? };
        Ok(buffer.get(..length).unwrap_or_default())
    }

    pub(crate) fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<usize> {
        // SAFETY: the buffer is as long as is said.
        unsafe { syscall!(Sysno::pread64, self.0, buffer.as_mut_ptr(), buffer.len(), at) }
    }

    pub(crate) fn write_at(&self, bytes: &[u8], at: u64) -> Result<usize> {
        // SAFETY: the bytes are as many as is said.
        unsafe { syscall!(Sysno::pwrite64, self.0, bytes.as_ptr(), bytes.len(), at) }
    }

    /// Gets blocks for a part of the file.
    pub(crate) fn allocate(&self, begin: u64, size: u64) -> Result<()> {
        // SAFETY: only numbers.
        unsafe { syscall!(Sysno::fallocate, self.0, 0, begin, size) }.map(drop)
    }

    /// The number of its file system's kind, as statfs(2) has it.
    pub(crate) fn file_system(&self) -> Result<u64> {
        // The kind is the first field of 120 bytes.
        let mut stat = [0_u64; 16];
        // SAFETY: longer than the structure.
        unsafe { syscall!(Sysno::fstatfs, self.0, stat.as_mut_ptr())? };
        Ok(stat[0])
    }

    /// Maps a part of the file for reading and writing, shared.
    pub(crate) fn map(&self, begin: u64, size: u64) -> Result<*mut u8> {
        let (read_write, shared) = (3, 1);
        // SAFETY: a new mapping at an address that the kernel chooses.
        let at = unsafe { syscall!(Sysno::mmap, 0, size, read_write, shared, self.0, begin)? };
        Ok(ptr::with_exposed_provenance_mut(at))
    }
}

/// # Safety
/// Nothing may point into the mapping any more.
pub(crate) unsafe fn unmap(at: *mut u8, size: usize) {
    // SAFETY: the caller's.
    let _ = unsafe { syscall!(Sysno::munmap, at, size) };
}

pub(crate) fn unlink(path: &CStr) {
    // SAFETY: the path is a C string.
    let _ = unsafe { syscall!(Sysno::unlinkat, CURRENT_DIRECTORY, path.as_ptr(), 0) };
}

/// Where a symbolic link leads.
pub(crate) fn link<'a>(path: &CStr, buffer: &'a mut [u8]) -> &'a [u8] {
    // SAFETY: the path is a C string, the buffer as long as is said.
    let length = unsafe {
        syscall!(Sysno::readlinkat, CURRENT_DIRECTORY, path.as_ptr(), buffer.as_mut_ptr(), buffer.len())
    };
    length.ok().and_then(|length| buffer.get(..length)).unwrap_or_default()
}

/// The host's name, which lies in the buffer.
pub(crate) fn host(buffer: &mut [u8; 390]) -> &[u8] {
    // SAFETY: six fields of 65 bytes.
    let _ = unsafe { syscall!(Sysno::uname, buffer.as_mut_ptr()) };
    let name = buffer.get(65..130).unwrap_or_default();
    name.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// How large a file may become, in bytes (RLIMIT_FSIZE).
pub(crate) fn largest_file() -> u64 {
    let mut limit = [u64::MAX; 2];
    // SAFETY: two numbers; 1 is RLIMIT_FSIZE.
    let _ = unsafe { syscall!(Sysno::prlimit64, 0, 1, 0, limit.as_mut_ptr()) };
    limit[0]
}

pub(crate) fn pid() -> u32 {
    // SAFETY: no arguments.
    unsafe { syscall!(Sysno::getpid) }.unwrap_or_default() as u32
}

/// 0: outside this PID namespace.
pub(crate) fn parent() -> u32 {
    // SAFETY: no arguments.
    unsafe { syscall!(Sysno::getppid) }.unwrap_or_default() as u32
}

/// Real user ID.
pub(crate) fn user() -> u32 {
    // SAFETY: no arguments.
    unsafe { syscall!(Sysno::getuid) }.unwrap_or_default() as u32
}

/// Ends the process.
pub(crate) fn exit(status: i32) -> ! {
    loop {
        // SAFETY: does not come back.
        let _ = unsafe { syscall!(Sysno::exit_group, status) };
    }
}
