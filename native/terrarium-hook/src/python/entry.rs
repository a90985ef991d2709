//! The memory in which CPython keeps the audit hook in its list.
//!
//! CPython takes it when the hook is added, and frees it when the interpreter ends. In between it may have been told to check what
//! is freed (`-X dev`, `PYTHONMALLOC=debug`), and would abort over memory that was taken before. So that is given back to where it
//! came from.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::api::Api;

/// `PyMemAllocatorEx`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Allocator {
    context: *mut c_void,
    malloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    calloc: unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    realloc: unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void, *mut c_void),
}

struct Kept(UnsafeCell<Option<Allocator>>);

// SAFETY: each is written once, before what reads it is given to CPython.
unsafe impl Sync for Kept {}

impl Kept {
    fn get(&self) -> Option<Allocator> {
        // SAFETY: as above.
        unsafe { *self.0.get() }
    }

    fn set(&self, allocator: Allocator) {
        // SAFETY: as above.
        unsafe { *self.0.get() = Some(allocator) }
    }
}

/// Where the memory came from.
static BEFORE: Kept = Kept(UnsafeCell::new(None));
/// What frees everything else at the end.
static AT_END: Kept = Kept(UnsafeCell::new(None));
/// The memory.
static ENTRY: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// A pointer to the next, one to the function, and one for the function.
const SIZE: usize = 3 * size_of::<usize>();

/// Adds the hook by this function, and remembers the memory that is taken for it.
pub(super) fn noted(api: &Api, add: impl FnOnce() -> bool) -> bool {
    // SAFETY: called by CPython in place of the function before it.
    unsafe extern "C" fn note(context: *mut c_void, size: usize) -> *mut c_void {
        let Some(before) = BEFORE.get() else { return ptr::null_mut() };
        // SAFETY: as it would have been called without us.
        let memory = unsafe { (before.malloc)(context, size) };
        if size == SIZE {
            ENTRY.store(memory, Ordering::Relaxed);
        }
        memory
    }
    let before = api.raw_allocator();
    BEFORE.set(before);
    api.set_raw_allocator(Allocator { malloc: note, ..before });
    let is_added = add();
    api.set_raw_allocator(before);
    is_added
}

/// CPython is about to free its list.
pub(super) fn before_free(api: &Api) {
    // SAFETY: called by CPython in place of the function before it.
    unsafe extern "C" fn free(context: *mut c_void, memory: *mut c_void) {
        let entry = ENTRY.load(Ordering::Relaxed);
        let is_it = !memory.is_null() && memory == entry;
        let Some(allocator) = (if is_it { BEFORE.get() } else { AT_END.get() }) else { return };
        if is_it {
            // Others may get this memory afterwards.
            ENTRY.store(ptr::null_mut(), Ordering::Relaxed);
        }
        let context = if is_it { allocator.context } else { context };
        // SAFETY: what gave this memory takes it back.
        unsafe { (allocator.free)(context, memory) };
    }
    let Some(before) = BEFORE.get() else { return };
    let now = api.raw_allocator();
    let is_same = ptr::fn_addr_eq(before.free, now.free) && before.context == now.context;
    if is_same || AT_END.get().is_some() {
        return;
    }
    AT_END.set(now);
    // All but `free` is as it was, so a thread that reads it meanwhile finds what fits together.
    api.set_raw_allocator(Allocator { free, ..now });
}
