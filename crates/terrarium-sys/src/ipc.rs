//! Deleting System V IPC objects.

use nix::errno::Errno;

/// The three kinds of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Shared memory segment.
    Shm,
    /// Semaphore set.
    Sem,
    /// Message queue.
    Queue,
}

/// Deletes the object with this ID. A segment lives on until the last process has detached it.
pub fn remove(kind: Kind, id: i32) -> Result<(), Errno> {
    // SAFETY: IPC_RMID ignores the last argument.
    let result = unsafe {
        match kind {
            Kind::Shm => libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()),
            Kind::Sem => libc::semctl(id, 0, libc::IPC_RMID),
            Kind::Queue => libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()),
        }
    };
    Errno::result(result).map(drop)
}

/// The last process to act on the first semaphore of a set; `None` if we may not know.
pub fn last_semaphore_pid(id: i32) -> Option<u32> {
    // SAFETY: GETPID takes no fourth argument.
    let pid = unsafe { libc::semctl(id, 0, libc::GETPID) };
    u32::try_from(pid).ok()
}
