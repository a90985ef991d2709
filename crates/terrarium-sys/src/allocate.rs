//! Ways to take memory that limits see differently, each touched page by page, and the limits themselves.
//!
//! What is taken is kept until the process ends: these are for a process whose only purpose is to be stopped.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// Who sees what is written to a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// This process alone, and copies of it until one of them writes.
    Private,
    /// All copies of this process.
    Shared,
}

/// Maps memory without a file, and writes to every page.
pub fn map_anonymous(sharing: Sharing, bytes: usize) -> Result<(), Errno> {
    let flags = match sharing {
        Sharing::Private => libc::MAP_PRIVATE,
        Sharing::Shared => libc::MAP_SHARED,
    };
    map(flags | libc::MAP_ANONYMOUS, -1, 0, bytes)
}

/// Maps part of a file, and writes to every page. Where the file is shorter, or its file system full, that is a SIGBUS.
pub fn map_file(file: BorrowedFd<'_>, offset: u64, bytes: usize) -> Result<(), Errno> {
    map(libc::MAP_SHARED, file.as_raw_fd(), offset, bytes)
}

fn map(flags: i32, fd: i32, offset: u64, bytes: usize) -> Result<(), Errno> {
    let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: no address is asked for, so nothing that is mapped already is replaced.
    let start = unsafe {
        libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, fd, offset)
    };
    if start == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    // SAFETY: a new mapping of this size, writable, that nobody else in this process knows and that is never taken away.
    unsafe { touch(start.cast(), bytes) };
    Ok(())
}

/// # Safety
/// `start` must point to `bytes` writable bytes that nothing else refers to.
unsafe fn touch(start: *mut u8, bytes: usize) {
    for at in (0..bytes).step_by(4096) {
        // SAFETY: `at` is below `bytes`.
        unsafe { start.add(at).write_volatile(1) };
    }
}

/// Makes a System V segment, attaches it and writes to every page. Its name is gone at once, so that it ends with
/// the last process that has it.
pub fn system_v(bytes: usize) -> Result<(), Errno> {
    // SAFETY: takes no pointers.
    let id = Errno::result(unsafe { libc::shmget(libc::IPC_PRIVATE, bytes, libc::IPC_CREAT | 0o600) })?;
    // SAFETY: no address is asked for, so nothing that is mapped already is replaced.
    let start = unsafe { libc::shmat(id, std::ptr::null(), 0) };
    let failed = (start as isize == -1).then(Errno::last);
    crate::ipc::remove(crate::ipc::Kind::Shm, id)?;
    if let Some(errno) = failed {
        return Err(errno);
    }
    // SAFETY: attached just now with this size, writable, and never detached.
    unsafe { touch(start.cast(), bytes) };
    Ok(())
}

/// A file that is nowhere but in memory.
pub fn memory_file() -> Result<OwnedFd, Errno> {
    // SAFETY: a constant C string; a new descriptor that nobody else owns.
    unsafe {
        let fd = Errno::result(libc::memfd_create(c"terrarium".as_ptr(), libc::MFD_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// What a resource limit is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `ulimit -m`.
    ResidentSet,
    /// `ulimit -d`.
    Data,
    /// `ulimit -v`.
    AddressSpace,
    /// `ulimit -s`.
    Stack,
    /// `ulimit -u`.
    Processes,
}

impl Resource {
    fn number(self) -> u32 {
        let number = match self {
            Resource::ResidentSet => libc::RLIMIT_RSS,
            Resource::Data => libc::RLIMIT_DATA,
            Resource::AddressSpace => libc::RLIMIT_AS,
            Resource::Stack => libc::RLIMIT_STACK,
            Resource::Processes => libc::RLIMIT_NPROC,
        };
        // u32 with glibc, i32 with musl.
        number as _
    }
}

fn get(resource: Resource) -> Result<libc::rlimit, Errno> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `now` is live and writable.
    Errno::result(unsafe { libc::getrlimit(resource.number() as _, &raw mut now) })?;
    Ok(now)
}

/// The limit that holds for this process now, and the one up to which it may raise that; `None` is no limit.
pub fn limit(resource: Resource) -> Result<(Option<u64>, Option<u64>), Errno> {
    let known = |n: u64| (n != libc::RLIM_INFINITY).then_some(n);
    get(resource).map(|now| (known(now.rlim_cur), known(now.rlim_max)))
}

/// Sets the limit, for good.
pub fn set_limit(resource: Resource, value: u64) -> Result<(), Errno> {
    set(resource, libc::rlimit { rlim_cur: value, rlim_max: value })
}

/// Raises the limit as far as allowed, up to `value`; what it is then (`None`: no limit).
pub fn raise_limit(resource: Resource, value: u64) -> Result<Option<u64>, Errno> {
    let mut now = get(resource)?;
    now.rlim_cur = value.min(now.rlim_max).max(now.rlim_cur);
    set(resource, now)?;
    limit(resource).map(|(soft, _)| soft)
}

fn set(resource: Resource, limit: libc::rlimit) -> Result<(), Errno> {
    // SAFETY: reads a live struct.
    Errno::result(unsafe { libc::setrlimit(resource.number() as _, &raw const limit) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn each_way_gives_memory() {
        map_anonymous(Sharing::Private, 10_000).unwrap();
        map_anonymous(Sharing::Shared, 10_000).unwrap();
        system_v(10_000).unwrap();
        let file = std::fs::File::from(memory_file().unwrap());
        file.set_len(8192).unwrap();
        map_file(file.as_fd(), 4096, 4096).unwrap();
        assert_eq!(map_file(file.as_fd(), 1, 4096), Err(Errno::EINVAL));
        assert_eq!(map_anonymous(Sharing::Private, 0), Err(Errno::EINVAL));
    }

    #[test]
    fn limits_are_read() {
        let (soft, hard) = limit(Resource::Stack).unwrap();
        assert!(hard.is_none() || soft <= hard, "{soft:?} {hard:?}");
        assert_ne!(soft, Some(0));
    }
}
