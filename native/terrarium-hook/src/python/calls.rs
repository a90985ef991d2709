//! Which packages are really called, not only imported: CPython tells of the first call of each function (`sys.monitoring`, from
//! 3.12 on), and never again of the same. Only if it was asked for.

use core::ffi::{c_long, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use terrarium_wire::header::flag;
use terrarium_wire::{hash, header, kind};

use crate::state;

use super::api::{Api, Method, Name, Ref};
use super::watched;

/// Tool numbers that CPython's documentation leaves free, in the order in which they are tried.
const TOOLS: [c_long; 2] = [4, 3];
/// `sys.monitoring.events.PY_START`.
const START: c_long = 1;
/// `CO_OPTIMIZED`: functions have it; the bodies of modules and classes, which run when they are imported, do not.
const OPTIMIZED: i64 = 1;
/// How many different files are recorded; a power of two, of which three quarters are used.
const ROOM: usize = 4096;

/// The files whose functions were called.
pub(super) struct Calls {
    /// Whether they are asked for.
    pub(super) wanted: bool,
    /// Hashes of their names, open addressing; 0: free.
    known: [u32; ROOM],
    count: usize,
}

impl Calls {
    pub(super) const fn new() -> Self {
        Self { wanted: false, known: [0; ROOM], count: 0 }
    }

    /// Whether this file is new; `None`: there is no room to remember it.
    fn add(&mut self, file: &[u8]) -> Option<bool> {
        let hash = ((hash(file) >> 32) as u32).max(1);
        let mut place = hash as usize & (ROOM - 1);
        loop {
            match self.known[place] {
                0 if self.count >= ROOM / 4 * 3 => return None,
                0 => {
                    self.known[place] = hash;
                    self.count += 1;
                    return Some(true);
                }
                known if known == hash => return Some(false),
                _ => place = (place + 1) & (ROOM - 1),
            }
        }
    }
}

/// A function that takes an array of arguments (METH_FASTCALL).
static CALLED: Method =
    Method { name: c"terrarium_called".as_ptr(), function: called, flags: 0x80, doc: ptr::null() };

/// What `called` returns so that it is not called again for the same function.
static DISABLE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Asks CPython to tell of calls. With the GIL, and without the lock: Python code of others may run.
pub(super) fn watch(api: &Api) -> Option<()> {
    let monitoring = api.sys(c"monitoring")?;
    let function = api.new_function(&CALLED)?;
    let name = api.new_text(c"terrarium")?;
    let use_tool = api.attribute(monitoring, Name::UseTool)?;
    let tool = TOOLS.into_iter().find_map(|tool| {
        let tool = api.new_number(tool)?;
        api.call(use_tool.get(), &[&tool, &name])?;
        Some(tool)
    })?;
    let events = api.new_number(START)?;
    // Kept for ever, as the function is.
    let disable = api.attribute(monitoring, Name::Disable)?;
    DISABLE.store(api.give(disable.get()), Ordering::Relaxed);
    let register = api.attribute(monitoring, Name::RegisterCallback)?;
    api.call(register.get(), &[&tool, &events, &function])?;
    api.call(api.attribute(monitoring, Name::SetEvents)?.get(), &[&tool, &events])?;
    state::with(|state| state.log.flag(flag::CALLS))
}

/// A function is called for the first time: its code object, and a place in it.
// SAFETY: called by CPython, with an array of `count` arguments and the GIL.
unsafe extern "C" fn called(_: Ref, arguments: *const Ref, count: isize) -> Ref {
    let Some(api) = watched() else { return ptr::null_mut() };
    if count > 0 && state::is_on() {
        // SAFETY: CPython's array of `count` arguments.
        let code = unsafe { arguments.read() };
        let is_function = api
            .attribute(code, Name::CodeFlags)
            .and_then(|flags| api.number(flags.get()))
            .is_some_and(|flags| flags & OPTIMIZED != 0);
        if is_function
            && let Some(file) = api.attribute(code, Name::CodeFile)
            && let Some(file) = api.text(file.get())
            && file.first() != Some(&b'<')
        {
            let file = file.get(..1024).unwrap_or(file);
            state::with(|state| match state.python.calls.add(file) {
                Some(false) => {}
                Some(true) => {
                    state.log.write(kind::CALLED, &|put, _| put.text(file));
                }
                None => state.log.count(header::AT_TOO_MUCH),
            });
        }
    }
    api.give(DISABLE.load(Ordering::Relaxed))
}
