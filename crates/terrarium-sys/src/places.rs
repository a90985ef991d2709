//! What a path is, before anything is written to it, and without waiting for a server.

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

/// Where a file system keeps what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In the memory of this node.
    InMemory,
    /// On a disk of this node.
    OnDisk,
    /// On a server, or nobody knows where: the type's number.
    Elsewhere(u64),
}

const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58F6]; // tmpfs, ramfs

/// ext2 to ext4, XFS, Btrfs, ZFS, F2FS, bcachefs, JFS, ReiserFS; and overlayfs, which writes to one of these.
const ON_DISK: [u64; 9] = [
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0x2FC1_2FC1,
    0xF2F5_2010,
    0xCA45_1A4E,
    0x3153_464A,
    0x5265_4973,
    0x794C_7630,
];

/// Where what is at this path is kept. Only what is known to be of this node is taken for it.
pub fn kept(path: &Path) -> io::Result<Kept> {
    // The type has another width and sign on other machines.
    let kind = nix::sys::statfs::statfs(path)?.filesystem_type().0 as u64 & 0xFFFF_FFFF;
    Ok(match kind {
        kind if IN_MEMORY.contains(&kind) => Kept::InMemory,
        kind if ON_DISK.contains(&kind) => Kept::OnDisk,
        kind => Kept::Elsewhere(kind),
    })
}

/// Whether this process may make files in a directory.
pub fn may_write(directory: &Path) -> bool {
    access(directory, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// Whether something is at this path, a link to nowhere included, as far as the kernel knows without asking a disk or a server. `None`: it would have
/// to ask, or cannot answer so (before Linux 5.12).
pub fn is_there_at_once(path: &Path) -> Option<bool> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: plain numbers, for which 0 is a valid value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_CACHED;
    let size = size_of::<libc::open_how>();
    // SAFETY: a live C string, and a structure of the given size that the kernel reads.
    let opened =
        unsafe { libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, path.as_ptr(), &raw const how, size) };
    match Errno::result(opened) {
        Ok(fd) => {
            // SAFETY: a new descriptor that nobody else owns.
            drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
            Some(true)
        }
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::ELOOP) => Some(false),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_known_once_it_was_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let none = directory.path().join("none");
        assert!(!none.exists());
        // `None` where the kernel cannot say; never the opposite of what is so.
        assert_ne!(is_there_at_once(&file), Some(false));
        assert_ne!(is_there_at_once(&none), Some(true));
        assert_ne!(is_there_at_once(&file.join("below")), Some(true));
    }

    #[test]
    fn proc_is_kept_nowhere() {
        assert!(matches!(kept(Path::new("/proc")), Ok(Kept::Elsewhere(0x9FA0))));
        assert!(kept(Path::new("/no/such/path")).is_err());
        assert!(!may_write(Path::new("/no/such/path")) && may_write(&std::env::temp_dir()));
    }
}
