//! The system calls behind the steps: safe, thin, and without allocation.

use std::ffi::{CStr, c_char, c_int, c_ulong};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

pub(crate) fn prctl(option: c_int, value: c_ulong) -> Result<(), Errno> {
    // SAFETY: the options used here take a number, or a pointer to a live C string (PR_SET_NAME).
    Errno::result(unsafe { libc::prctl(option, value, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong) }).map(drop)
}

pub(crate) fn open(path: &CStr, flags: c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: a live C string; a new descriptor that nobody else owns.
    unsafe {
        let fd = Errno::result(libc::open(path.as_ptr(), flags))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

pub(crate) fn write_all(fd: RawFd, data: &[u8]) -> Result<(), Errno> {
    // SAFETY: reads `data.len()` bytes of a live slice.
    let n = Errno::result(unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) })?;
    // These files take a value whole or not at all.
    if n as usize == data.len() { Ok(()) } else { Err(Errno::EIO) }
}

pub(crate) fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: c_ulong,
    options: Option<&CStr>,
) -> Result<(), Errno> {
    let pointer = |s: Option<&CStr>| s.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: null or live C strings, as mount(2) allows for these calls.
    let result = unsafe {
        libc::mount(pointer(source), target.as_ptr(), pointer(kind), flags, pointer(options).cast())
    };
    Errno::result(result).map(drop)
}

/// Writes `/proc/self/fd/N` into `buffer`.
pub(crate) fn fd_path(fd: RawFd, buffer: &mut [u8; 40]) -> &CStr {
    const PREFIX: &[u8] = b"/proc/self/fd/";
    buffer[..PREFIX.len()].copy_from_slice(PREFIX);
    let mut digits = [0u8; 10];
    let (mut n, mut count) = (fd.max(0) as u32, 0);
    loop {
        digits[count] = b'0' + (n % 10) as u8;
        n /= 10;
        count += 1;
        if n == 0 {
            break;
        }
    }
    for i in 0..count {
        buffer[PREFIX.len() + i] = digits[count - 1 - i];
    }
    buffer[PREFIX.len() + count] = 0;
    CStr::from_bytes_until_nul(&buffer[..]).unwrap_or(c"")
}

pub(crate) fn lower_rlimit(resource: u32, limit: u64) -> Result<(), Errno> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `now` is live; the resource is one of libc's constants.
    unsafe {
        Errno::result(libc::getrlimit(resource as _, &raw mut now))?;
        now.rlim_max = now.rlim_max.min(limit);
        now.rlim_cur = now.rlim_cur.min(limit);
        Errno::result(libc::setrlimit(resource as _, &raw const now)).map(drop)
    }
}

/// Room for this process and one more: enough here, never enough if the supervisor counts too.
pub(crate) fn probe_nproc() -> Result<(), Errno> {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: live structs; the child only exits, and is waited for.
    unsafe {
        Errno::result(libc::getrlimit(libc::RLIMIT_NPROC, &raw mut before))?;
        let probe = libc::rlimit { rlim_cur: 2, rlim_max: before.rlim_max };
        Errno::result(libc::setrlimit(libc::RLIMIT_NPROC, &raw const probe))?;
        let forked = crate::process::clone_process(crate::process::Namespaces::default());
        if let Ok(crate::process::Forked::Child) = forked {
            crate::process::exit_now(0);
        }
        Errno::result(libc::setrlimit(libc::RLIMIT_NPROC, &raw const before))?;
        match forked {
            Ok(crate::process::Forked::Parent(pid)) => crate::process::wait_for(pid, true).map(drop),
            Ok(crate::process::Forked::Child) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

pub(crate) fn loopback_up() -> Result<(), Errno> {
    // SAFETY: all-zero is a valid ifreq; the ioctls read and write one.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as c_char;
        }
        let fd = Errno::result(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
        let fd = OwnedFd::from_raw_fd(fd);
        Errno::result(libc::ioctl(fd.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request))?;
        request.ifr_ifru.ifru_flags |= (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        Errno::result(libc::ioctl(fd.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request)).map(drop)
    }
}

/// Makes the mount at `new_root` the root of the mount namespace, with the old one at `old` below it.
pub(crate) fn pivot_root(new_root: &CStr, old: &CStr) -> Result<(), Errno> {
    // SAFETY: live C strings.
    Errno::result(unsafe { libc::syscall(libc::SYS_pivot_root, new_root.as_ptr(), old.as_ptr()) })?;
    // Else the working directory would still be in the old one.
    change_directory(c"/")
}

pub(crate) fn change_directory(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a live C string.
    Errno::result(unsafe { libc::chdir(path.as_ptr()) }).map(drop)
}

/// The kernel's `struct mount_attr`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// A mount and all below it, in one go and without knowing their flags (Linux 5.12).
pub(crate) fn read_only_recursively(path: &CStr) -> Result<(), Errno> {
    const MOUNT_ATTR_RDONLY: u64 = 1;
    const AT_RECURSIVE: c_int = 0x8000;
    let attr = MountAttr { set: MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, user_namespace: 0 };
    // SAFETY: a live C string, and a structure of the given size that the kernel reads.
    let result = unsafe {
        let size = size_of::<MountAttr>();
        let path = path.as_ptr();
        libc::syscall(libc::SYS_mount_setattr, libc::AT_FDCWD, path, AT_RECURSIVE, &raw const attr, size)
    };
    Errno::result(result).map(drop)
}

/// Makes a directory with exactly these permissions, whatever the umask; one that is there stays as it is.
pub(crate) fn make_directory(path: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: a live C string.
    match Errno::result(unsafe { libc::mkdir(path.as_ptr(), mode) }) {
        // SAFETY: as above.
        Ok(_) => Errno::result(unsafe { libc::chmod(path.as_ptr(), mode) }).map(drop),
        Err(Errno::EEXIST) => Ok(()),
        Err(e) => Err(e),
    }
}

/// An empty file with exactly these permissions; one that is there stays as it is.
pub(crate) fn make_file(path: &CStr, mode: u32) -> Result<(), Errno> {
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: a live C string; the new descriptor is owned at once.
    unsafe {
        let fd = match Errno::result(libc::open(path.as_ptr(), flags | libc::O_EXCL, mode)) {
            Err(Errno::EEXIST) => return Ok(()),
            other => OwnedFd::from_raw_fd(other?),
        };
        Errno::result(libc::fchmod(fd.as_raw_fd(), mode)).map(drop)
    }
}

pub(crate) fn make_link(path: &CStr, to: &CStr) -> Result<(), Errno> {
    // SAFETY: live C strings.
    match Errno::result(unsafe { libc::symlink(to.as_ptr(), path.as_ptr()) }) {
        Ok(_) | Err(Errno::EEXIST) => Ok(()),
        Err(e) => Err(e),
    }
}

pub(crate) fn remove_directory(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a live C string.
    Errno::result(unsafe { libc::rmdir(path.as_ptr()) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_paths() {
        let mut buffer = [0u8; 40];
        assert_eq!(fd_path(0, &mut buffer), c"/proc/self/fd/0");
        assert_eq!(fd_path(2_147_483_647, &mut buffer), c"/proc/self/fd/2147483647");
    }
}
