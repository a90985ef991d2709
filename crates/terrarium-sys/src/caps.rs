//! Giving up capabilities.

use nix::errno::Errno;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// Gives up every capability, and with the bounding set the way to get one back by exec,
/// also as (mapped) root. A user namespace that the job makes itself has its own, as it should.
pub fn drop_all() -> Result<(), Errno> {
    for cap in 0..64 {
        // SAFETY: takes no pointers.
        match Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, cap, 0, 0, 0) }) {
            Ok(_) => {}
            // The kernel knows no more of them.
            Err(Errno::EINVAL) => break,
            Err(e) => return Err(e),
        }
    }
    let header = Header { version: VERSION_3, pid: 0 };
    let data = [Data::default(); 2];
    // SAFETY: version 3 reads one header and two data records, all live.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// May open any file of a file system by its number (open_by_handle_at), whatever part of it is mounted.
pub const DAC_READ_SEARCH: u32 = 2;

/// Gives up one capability (below 32), and the way to get it back by exec.
pub fn drop_one(cap: u32) -> Result<(), Errno> {
    // SAFETY: takes no pointers.
    let bounded = Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_READ, cap, 0, 0, 0) })?;
    if bounded == 1 {
        // SAFETY: takes no pointers.
        Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, cap, 0, 0, 0) })?;
    }
    let header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 writes two data records, both live.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    for set in [&mut data[0].effective, &mut data[0].permitted, &mut data[0].inheritable] {
        *set &= !(1 << cap);
    }
    // SAFETY: version 3 reads one header and two data records, all live.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}
