//! A place where processes of one user on one node find each other: an abstract socket, which leaves nothing behind.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, connect, getsockopt, listen, socket,
};

use crate::fds::Channel;

/// What came of it.
pub enum Meeting {
    /// Nobody was there: others will come to this.
    First(Listener),
    /// Somebody of this user was.
    Joined(Channel),
    /// Somebody else holds the place.
    Taken,
}

/// Who was first waits for the others here.
pub struct Listener(OwnedFd);

fn new_socket() -> Result<OwnedFd, Errno> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
}

/// Takes the place called `name` (at most 100 bytes), or goes to who has it.
pub fn meet(name: &str) -> Result<Meeting, Errno> {
    let address = UnixAddr::new_abstract(name.as_bytes())?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let fd = new_socket()?;
        match bind(fd.as_raw_fd(), &address) {
            Ok(()) => {
                listen(&fd, Backlog::MAXCONN)?;
                return Ok(Meeting::First(Listener(fd)));
            }
            Err(Errno::EADDRINUSE) => {}
            Err(e) => return Err(e),
        }
        match connect(fd.as_raw_fd(), &address) {
            Ok(()) if peer(fd.as_fd()).is_some_and(|(user, _)| user == crate::process::user()) => {
                return Ok(Meeting::Joined(Channel::from(fd)));
            }
            Ok(()) => return Ok(Meeting::Taken),
            // Not listening yet, or just gone.
            Err(Errno::ECONNREFUSED) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(e) => return Err(e),
        }
    }
}

/// User and PID of the process at the other end when it connected, or began to listen.
fn peer(fd: BorrowedFd<'_>) -> Option<(u32, i32)> {
    getsockopt(&fd, PeerCredentials).ok().map(|c| (c.uid(), c.pid()))
}

impl Listener {
    /// The next who came, if it is of this user, and its PID.
    pub fn accept(&self) -> Option<(Channel, i32)> {
        let fd = accept4(self.0.as_raw_fd(), SockFlag::SOCK_CLOEXEC).ok()?;
        // SAFETY: a new descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let (user, pid) = peer(fd.as_fd())?;
        (user == crate::process::user()).then(|| (Channel::from(fd), pid))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fds::Incoming;

    #[test]
    fn the_first_waits_and_the_second_joins() {
        let name = format!("terrarium-test-{}", std::process::id());
        let Meeting::First(listener) = meet(&name).unwrap() else { panic!("somebody is there") };
        let Meeting::Joined(channel) = meet(&name).unwrap() else { panic!("nobody is there") };
        let (other, pid) = listener.accept().unwrap();
        assert_eq!(pid, std::process::id() as i32);
        channel.send(b"hello", None).unwrap();
        assert!(matches!(other.receive(&mut [0; 16]), Ok(Incoming::Message(5, None))));
        drop(listener);
        assert!(matches!(meet(&name), Ok(Meeting::First(_))));
    }
}
