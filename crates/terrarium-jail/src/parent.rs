//! Watches the process that started terrarium (`--with-parent`).

use terrarium_sys::Errno;
use terrarium_sys::process::{PidFd, parent};

use crate::error::JailError;

/// What is known of it.
pub(crate) enum Parent {
    /// Nobody asked, or its end was told already.
    NotWatched,
    /// Its handle can be read when it has ended.
    Watched(PidFd),
    /// It ended before it could be watched.
    Gone,
}

impl Parent {
    /// PDEATHSIG would be simpler, but it fires when the thread that started us ends, not the process: a server that
    /// starts its jobs from a pool of threads would end them.
    pub(crate) fn watch(wanted: bool) -> Result<Self, JailError> {
        if !wanted {
            return Ok(Parent::NotWatched);
        }
        let pid = parent();
        if pid == 0 {
            return Err(JailError::ParentOutside);
        }
        match PidFd::open(pid) {
            // It may have ended in between, and its PID be used again: then we have another parent by now.
            Ok(handle) if parent() == pid => Ok(Parent::Watched(handle)),
            Ok(_) | Err(Errno::ESRCH) => Ok(Parent::Gone),
            Err(errno) => Err(JailError::System { what: "--with-parent: watching the parent", errno }),
        }
    }

    pub(crate) fn handle(&self) -> Option<&PidFd> {
        match self {
            Parent::Watched(handle) => Some(handle),
            _ => None,
        }
    }
}
