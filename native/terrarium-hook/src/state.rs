//! All that is remembered, in static memory, and the lock around it.

use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use terrarium_wire::header;

use crate::kernel;
use crate::log::Log;
use crate::objects::Objects;
use crate::python::Python;

/// So many looks at the lock, some microseconds, before a record is dropped. Only threads without a common GIL meet here.
const PATIENCE: u32 = 4096;

/// What is remembered. In this order: what every process touches lies together.
#[repr(C)]
pub(crate) struct State {
    /// Where the records end that stand in each file first.
    pub(crate) preamble: usize,
    /// Made by fork, without exec.
    pub(crate) is_forked: bool,
    pub(crate) log: Log,
    pub(crate) objects: Objects,
    pub(crate) python: Python,
}

#[repr(C, align(4096))]
struct Shared {
    /// Whether somebody uses the state.
    lock: AtomicBool,
    /// The process that it belongs to; 0: nothing is recorded.
    pid: AtomicU32,
    state: UnsafeCell<State>,
}

// SAFETY: the state is reached with the lock held only.
unsafe impl Sync for Shared {}

// All zeros at first, so that it takes no room in the file and no memory until it is used.
static SHARED: Shared = Shared {
    lock: AtomicBool::new(false),
    pid: AtomicU32::new(0),
    state: UnsafeCell::new(State {
        log: Log::new(),
        objects: Objects::new(),
        python: Python::new(),
        is_forked: false,
        preamble: 0,
    }),
};

/// Whether anything is recorded in this process, or in the one that it shares its memory with (vfork).
pub(crate) fn is_on() -> bool {
    SHARED.pid.load(Ordering::Relaxed) != 0
}

/// Whether the state is this process's: a child of vfork has its parent's, a forked one may.
pub(crate) fn is_ours() -> bool {
    let pid = SHARED.pid.load(Ordering::Relaxed);
    pid != 0 && pid == kernel::pid()
}

/// From now on this process's records are kept, or not.
pub(crate) fn switch(on: bool) {
    let pid = if on { kernel::pid() } else { 0 };
    SHARED.pid.store(pid, Ordering::Relaxed);
}

/// Uses the state. If another thread does for too long nothing is done: the job does not wait for us.
pub(crate) fn with<T>(act: impl FnOnce(&mut State) -> T) -> Option<T> {
    for _ in 0..PATIENCE {
        if SHARED.lock.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            // SAFETY: the lock is held.
            let result = act(unsafe { &mut *SHARED.state.get() });
            SHARED.lock.store(false, Ordering::Release);
            return Some(result);
        }
        spin_loop();
    }
    if is_on() {
        // SAFETY: counts in the header, which is mapped as long as `pid` is set, with one atomic addition.
        unsafe { (*SHARED.state.get()).log.count(header::AT_BUSY) };
    }
    None
}

/// In a forked child: the thread that may have held the lock is not there.
pub(crate) fn unlock() {
    SHARED.lock.store(false, Ordering::Release);
}

/// The header alone, without the lock: for the end, which may come in a signal handler.
pub(crate) fn header(act: impl FnOnce(&Log)) {
    // SAFETY: only fields of the header are reached this way, and these are atomics. `Log::create` sets the pointer before
    // `switch`.
    act(unsafe { &(*SHARED.state.get()).log });
}
