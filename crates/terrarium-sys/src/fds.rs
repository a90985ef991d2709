//! File descriptors: closing what was inherited, message sockets that carry descriptors.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};

/// Closes every descriptor from `first` up, except those in `keep`.
pub fn close_from(first: RawFd, keep: &[RawFd]) {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|fd| *fd >= first).collect();
    keep.sort_unstable();
    let mut from = first;
    for fd in keep {
        if fd > from {
            close_range(from, fd - 1);
        }
        from = fd + 1;
    }
    close_range(from, RawFd::MAX);
}

fn close_range(from: RawFd, to: RawFd) {
    // SAFETY: closes by number. The callers (supervisor and init, after the job was forked) own no
    // `OwnedFd` in these ranges that they use again: what they use is in `keep`.
    let result = unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
    if result == 0 {
        return;
    }
    // Before Linux 5.9.
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")
        .map(|dir| dir.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect())
        .unwrap_or_default();
    for fd in open.into_iter().filter(|fd| (from..=to).contains(fd)) {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
}

/// Points standard input and output, and with `error` standard error, at /dev/null.
pub fn let_go_of_standard_files(error: bool) {
    // SAFETY: a constant path; then dup2 onto numbers, which closes what was there.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if null < 0 {
            return;
        }
        for fd in 0..if error { 3 } else { 2 } {
            libc::dup2(null, fd);
        }
        if null > 2 {
            libc::close(null);
        }
    }
}

/// One end of a private socket that keeps message borders and can carry descriptors.
pub struct Channel(OwnedFd);

/// What came in.
#[derive(Debug)]
pub enum Incoming {
    /// A message of that many bytes, with a descriptor if one was sent.
    Message(usize, Option<OwnedFd>),
    /// Nothing at the moment.
    Nothing,
    /// The other end is closed everywhere.
    Closed,
}

impl Channel {
    /// Two connected ends.
    pub fn pair() -> Result<(Channel, Channel), Errno> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Channel(a), Channel(b)))
    }

    /// Sends one message; waits if the other end is slow.
    pub fn send(&self, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        let fds = fd.map(|fd| [fd.as_raw_fd()]);
        let control = fds.as_ref().map(|fds| [ControlMessage::ScmRights(fds)]);
        let control: &[ControlMessage<'_>] = control.as_ref().map_or(&[], |c| c);
        loop {
            match sendmsg::<()>(
                self.0.as_raw_fd(),
                &[IoSlice::new(bytes)],
                control,
                MsgFlags::MSG_NOSIGNAL,
                None,
            ) {
                Err(Errno::EINTR) => {}
                other => return other.map(drop),
            }
        }
    }

    /// Sends one message, or fails with `EAGAIN` if the other end does not read.
    pub fn try_send(&self, bytes: &[u8]) -> Result<(), Errno> {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(bytes)], &[], flags, None).map(drop)
    }

    /// Waits until there is something to take in; `false` if nothing came.
    pub fn wait(&self, time: Duration) -> bool {
        // Rounded up: a wait that ends a little early would only spin.
        let millis = time.as_micros().div_ceil(1000).min(60_000) as u16;
        poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], PollTimeout::from(millis)) == Ok(1)
    }

    /// Takes one message without waiting.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Incoming, Errno> {
        let mut space = nix::cmsg_space!([RawFd; 1]);
        let mut iov = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = match recvmsg::<()>(self.0.as_raw_fd(), &mut iov, Some(&mut space), flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Incoming::Nothing),
            Err(Errno::ECONNRESET) => return Ok(Incoming::Closed),
            Err(e) => return Err(e),
        };
        let mut fd = None;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = control {
                for raw in fds {
                    // SAFETY: the kernel just made this descriptor for us.
                    fd = Some(unsafe { OwnedFd::from_raw_fd(raw) });
                }
            }
        }
        match message.bytes {
            0 => Ok(Incoming::Closed),
            n => Ok(Incoming::Message(n, fd)),
        }
    }
}

impl From<OwnedFd> for Channel {
    fn from(fd: OwnedFd) -> Channel {
        Channel(fd)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until one of some descriptors has something to read, was hung up, or `timeout` is over; tells which.
/// A signal that is handled ends the wait as well.
pub fn wait_readable<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    timeout: Option<Duration>,
) -> Result<[bool; N], Errno> {
    let mut polled = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    let timeout = match timeout {
        // Rounded up: a wait that ends a little early would only spin.
        Some(t) => PollTimeout::try_from(t.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX),
        None => PollTimeout::NONE,
    };
    match poll(&mut polled, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    Ok(polled.map(|p| p.any() == Some(true)))
}

/// The controlling terminal of this session, if it is one of standard input, output and error.
pub fn controlling_terminal() -> Option<OwnedFd> {
    // SAFETY: asks about numbers, without pointers; the duplicate is a new descriptor that nobody else owns.
    unsafe {
        let fd = (0..3).find(|fd| libc::tcgetpgrp(*fd) >= 0)?;
        let copy = Errno::result(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3)).ok()?;
        Some(OwnedFd::from_raw_fd(copy))
    }
}

/// Makes room for this process to have so many files open, as far as its hard limit allows, and returns the limit that
/// it then has. What was started before keeps its own.
pub fn room_for_files(wanted: u64) -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    let more = wanted.min(hard);
    if more > soft && setrlimit(Resource::RLIMIT_NOFILE, more, hard).is_ok() { more } else { soft }
}

/// A terminal as it was, to be given back so.
pub struct Modes(nix::sys::termios::Termios);

/// Has a terminal hand over every key as it is, and show none; tells how it was.
pub fn make_raw(fd: BorrowedFd<'_>) -> Result<Modes, Errno> {
    use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
    let old = tcgetattr(fd)?;
    let mut raw = old.clone();
    cfmakeraw(&mut raw);
    tcsetattr(fd, SetArg::TCSANOW, &raw)?;
    Ok(Modes(old))
}

/// Gives a terminal back as it was. Waits for nothing: whoever reads what was written may be gone.
pub fn give_modes_back(fd: BorrowedFd<'_>, modes: &Modes) {
    use nix::sys::termios::{SetArg, tcsetattr};
    let _ = tcsetattr(fd, SetArg::TCSANOW, &modes.0);
}

/// Columns and lines of a terminal; `None` if it does not know, or is none, or has been hung up.
pub fn terminal_room(fd: BorrowedFd<'_>) -> Option<(u16, u16)> {
    // SAFETY: all-zero is a valid winsize, live and writable.
    unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        Errno::result(libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size)).ok()?;
        Some((size.ws_col, size.ws_row))
    }
}

/// Reads what is there; 0 at the end, or when the terminal has been hung up.
pub fn read_some(fd: BorrowedFd<'_>, into: &mut [u8]) -> usize {
    nix::unistd::read(fd, into).unwrap_or(0)
}

/// Whether this session has a controlling terminal, open here or not.
pub fn has_terminal() -> bool {
    // SAFETY: a constant path; a new descriptor that nobody else owns.
    unsafe {
        let fd = libc::open(
            c"/dev/tty".as_ptr(),
            libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY,
        );
        if fd >= 0 {
            libc::close(fd);
        }
        fd >= 0
    }
}

/// The foreground process group of a terminal.
pub fn terminal_foreground(fd: BorrowedFd<'_>) -> Option<i32> {
    // SAFETY: takes no pointers.
    let group = unsafe { libc::tcgetpgrp(fd.as_raw_fd()) };
    (group >= 0).then_some(group)
}

/// Makes this process's group the foreground of its terminal, without being stopped for asking from the background.
pub fn take_terminal(fd: BorrowedFd<'_>) {
    // SAFETY: all-zero is a valid sigset_t; the rest are plain calls on live values.
    unsafe {
        let (mut set, mut old): (libc::sigset_t, libc::sigset_t) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTTOU);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, &raw mut old);
        libc::tcsetpgrp(fd.as_raw_fd(), libc::getpgrp());
        libc::sigprocmask(libc::SIG_SETMASK, &raw const old, std::ptr::null_mut());
    }
}

/// Whether process group `group` has no member left.
pub fn is_group_empty(group: i32) -> bool {
    // SAFETY: signal 0 only asks.
    group > 1 && unsafe { libc::kill(-group, 0) } == -1 && Errno::last() == Errno::ESRCH
}

/// Whether no process has this file open or mapped, also those that this user may not look into: the
/// kernel grants a write lease on it only then. `false` if that cannot be told.
pub fn is_unused(path: &std::path::Path) -> bool {
    use std::os::unix::fs::OpenOptionsExt;
    let options = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let Ok(file) = std::fs::OpenOptions::new().read(true).write(true).custom_flags(options).open(path) else {
        return false;
    };
    // Somebody who opens it in this moment has the kernel send us SIGIO.
    crate::signals::set_ignored(libc::SIGIO, true);
    // SAFETY: takes no pointers.
    let granted = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) == 0 };
    if granted {
        // SAFETY: as above.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
    }
    granted
}

/// Whether somebody has this file open to write to it, or mapped so. `None`: not to be told, because the file is another's, or on
/// a file system that does not know. Nobody who has it open is disturbed.
pub fn is_open_to_write(file: &std::fs::File) -> Option<bool> {
    // Somebody who opens it in this moment has the kernel send us SIGIO.
    crate::signals::set_ignored(libc::SIGIO, true);
    // SAFETY: takes no pointers.
    match Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) }) {
        Ok(_) => {
            // SAFETY: as above.
            unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
            Some(false)
        }
        Err(Errno::EAGAIN) => Some(true),
        Err(_) => None,
    }
}

/// Opens something to be written to that may be a pipe, without waiting for a reader.
pub fn open_to_write(path: &std::path::Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    std::fs::OpenOptions::new().write(true).custom_flags(flags).open(path)
}

/// How something is opened that may be a pipe or a terminal, without waiting for it and without getting it.
pub const NO_WAIT: i32 = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;

/// How a directory is opened so that no link is followed in its place.
pub const DIRECTORY_NO_LINK: i32 = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;

/// Opens a plain file that somebody else may have put there, without waiting for anybody: no link is followed, and what is no
/// plain file is refused.
pub fn open_plain(path: &std::path::Path) -> std::io::Result<std::fs::File> {
    use std::io::{Error, ErrorKind};
    use std::os::unix::fs::OpenOptionsExt;
    let refuse = |what| Err(Error::new(ErrorKind::InvalidInput, what));
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    // Asked first, because opening a device may do something; and again, because another may have taken its place.
    let metadata = std::fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return refuse("it is a symbolic link");
    }
    if !metadata.is_file() {
        return refuse("it is no plain file");
    }
    let file = match std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return refuse("it is a symbolic link"),
        opened => opened?,
    };
    if file.metadata()?.is_file() { Ok(file) } else { refuse("it is no plain file") }
}

/// A new eventfd, for the kernel to count events in.
pub fn event_fd() -> Result<OwnedFd, Errno> {
    // SAFETY: takes no pointers.
    let fd = Errno::result(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_borders_and_carry_a_descriptor() {
        let (a, b) = Channel::pair().unwrap();
        let mut buffer = [0u8; 16];
        assert!(matches!(b.receive(&mut buffer), Ok(Incoming::Nothing)));
        a.send(b"one", None).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        a.send(b"three", Some(file.as_fd())).unwrap();
        drop(a);
        assert!(matches!(b.receive(&mut buffer), Ok(Incoming::Message(3, None))));
        assert!(matches!(b.receive(&mut buffer), Ok(Incoming::Message(5, Some(_)))));
        // A child that another test has just forked holds the other end, too, as long as it lives.
        assert!(b.wait(Duration::from_secs(30)));
        assert!(matches!(b.receive(&mut buffer), Ok(Incoming::Closed)));
    }
}
