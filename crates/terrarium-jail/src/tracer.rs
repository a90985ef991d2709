//! Init as a tracer: starts the main process in its hands, and follows all that comes from it.
//!
//! Init's first thread serves the supervisor, the second one traces. Nothing but its end is needed to kill the job: the kernel
//! kills all that a thread traces when it ends ([`trace`]). What was killed then becomes the first thread's to wait for, as
//! init is the parent of every orphan.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{pipe2, read, write};
use terrarium_sys::fds::Channel;
use terrarium_sys::process::{Forked, Namespaces, clone_process, exit_now, signal_one};
use terrarium_sys::{Errno, signals, trace};

use crate::init::{Init, State, become_main, lock};
use crate::wire::{FromInit, what};

/// The tracing thread, as the other one sees it.
pub(crate) struct Thread {
    tid: i32,
    /// Readable (end of file) when it is about to end.
    pub(crate) ended: OwnedFd,
}

impl Thread {
    /// Makes it end: the kernel kills all that it traces.
    pub(crate) fn end(&self) {
        use std::os::fd::AsFd;
        loop {
            // It may have looked at `killing` before that was set, and not be waiting yet: then it is told again.
            trace::interrupt(self.tid);
            let mut fds = [PollFd::new(self.ended.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::from(1u8)) == Ok(1) {
                return;
            }
        }
    }
}

/// Starts a child that will be the main process. It waits: for a byte on the pipe that is returned.
pub(crate) fn start_main(
    init: &Init<'_>,
    notes: u64,
    listener_channel: Option<&Channel>,
) -> Result<(i32, Option<OwnedFd>), Errno> {
    let (go, going) = pipe2(OFlag::O_CLOEXEC)?;
    // The child of a process that is closed to ptrace would be so too; nothing of the job runs yet.
    trace::set_dumpable(true);
    match clone_process(Namespaces::default())? {
        Forked::Child => {
            drop(going);
            // End of file: init has failed, and says so itself.
            if read(&go, &mut [0]) != Ok(1) {
                exit_now(125);
            }
            become_main(init, notes, false, listener_channel)
        }
        Forked::Parent(pid) => {
            // Signals that came to the group before it was one of it.
            let ours = signals::pending();
            if let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) {
                for signal in signals::forwarded_in(ours & !signals::pending_in(&status)) {
                    let _ = signal_one(pid, signal);
                }
            }
            Ok((pid, Some(going)))
        }
    }
}

/// Takes hold of the main process, lets it begin, and serves.
pub(crate) fn trace_in_a_thread(
    state: &Mutex<State<'_>>,
    held_back: OwnedFd,
    serve: impl FnOnce(Option<Thread>),
) {
    trace::prepare_signals();
    let fail = |what, errno: Errno| -> ! {
        lock(state).tell(&FromInit::Failed { what, errno: errno as i32 });
        exit_now(1)
    };
    let (ended, ending) = pipe2(OFlag::O_CLOEXEC).unwrap_or_else(|errno| fail(what::FORK, errno));
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        // Its stack is used for a few calls; the default would not fit into a small RLIMIT_AS.
        let builder = std::thread::Builder::new().stack_size(128 << 10);
        let spawned = builder.spawn_scoped(scope, move || {
            let main = lock(state).main_pid;
            let seized = trace::seize(main);
            trace::set_dumpable(false);
            if let Err(errno) = seized {
                fail(what::SEIZE, errno);
            }
            let _ = sender.send(Thread { tid: trace::thread_id(), ended });
            let _ = write(&held_back, b"g");
            drop(held_back);
            trace_all(state);
            drop(ending);
        });
        if let Err(error) = spawned {
            fail(what::FORK, Errno::from_raw(error.raw_os_error().unwrap_or(0)));
        }
        match receiver.recv_timeout(Duration::from_secs(60)) {
            Ok(thread) => serve(Some(thread)),
            Err(_) => exit_now(1),
        }
    });
}

/// Lets traced threads go on, and counts those that end, until none is left or all are to be killed.
fn trace_all(state: &Mutex<State<'_>>) {
    loop {
        let event = trace::wait_any();
        let mut state = lock(state);
        match event {
            Ok(Some((tid, event))) => {
                if let Some(status) = state.hold.traced(tid, event) {
                    state.child_changed(tid, status, None);
                }
            }
            Ok(None) if state.killing => return,
            Ok(None) => {}
            Err(_) => state.finish(),
        }
        // If none is known, mostly none is left. But a child that was forked just before the last one known ended may
        // not have made its first stop yet; that is waited for.
        if state.killing && !state.hold.is_empty() {
            return;
        }
    }
}
