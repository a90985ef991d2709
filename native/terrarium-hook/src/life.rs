//! Start, fork and end of the process: where the C library and the dynamic linker call in.

use core::arch::global_asm;
use core::ffi::{c_int, c_void};
use core::mem::transmute;
use core::sync::atomic::{AtomicPtr, Ordering};

use terrarium_wire::header::{ending, flag};
use terrarium_wire::{header, kind};

use crate::log::Log;
use crate::python::Runtime;
use crate::settings::Settings;
use crate::state::{self, State};
use crate::{elf, kernel, objects};

// Two symbols that the dynamic linker fills in if anything that the program was linked with defines them. Weak references
// are not to be had in stable Rust.
global_asm!(
    ".pushsection .data.rel.ro.terrarium_hook, \"aw\"",
    ".balign 8",
    ".weak PySys_AddAuditHook",
    ".weak Py_Initialize",
    ".hidden terrarium_hook_python",
    ".globl terrarium_hook_python",
    "terrarium_hook_python:",
    ".8byte PySys_AddAuditHook",
    ".8byte Py_Initialize",
    ".popsection",
);

// SAFETY: defined above.
unsafe extern "C" {
    static terrarium_hook_python: [usize; 2];
}

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

/// Called before the program's own code, when there is one thread.
extern "C" fn start() {
    // A program with more rights than its caller does not take orders from the caller's environment.
    if elf::is_privileged() {
        return;
    }
    let settings = Settings::read();
    let recorded = state::with(|state| {
        if !state.log.spool.set_directory(settings.spool) {
            return false;
        }
        let flags = match () {
            () if settings.opted_out => flag::OPTED_OUT,
            () if settings.only_counted => flag::COUNTED,
            () => 0,
        };
        if !state.log.create(flags, 0) || settings.opted_out {
            return false;
        }
        preamble(state, &settings);
        if !settings.only_counted {
            objects::look(state, &mut |_| {});
            // SAFETY: two words that the dynamic linker has filled in.
            let [can_be_watched, is_python] = unsafe { terrarium_hook_python };
            if can_be_watched != 0 {
                state.python.runtime = Runtime::find();
            } else if is_python != 0 {
                state.log.flag(flag::OLD_PYTHON);
            }
            state.python.settings(&settings);
        }
        true
    });
    if recorded != Some(true) {
        return;
    }
    state::switch(true);
    // By a function that nobody else can stand in for.
    if let Some(next) = elf::behind(start as *const c_void, c"_exit") {
        NEXT_EXIT.store(next.cast_mut(), Ordering::Relaxed);
    }
    at_exit();
    watch_python();
}

/// What stands in each file first.
fn preamble(state: &mut State, settings: &Settings) {
    let log = &mut state.log;
    let mut names = [0; 390];
    let host = kernel::host(&mut names);
    log.write(kind::HOST, &|put, _| put.text(host));
    let mut so_far = log.position();
    // Most paths are short, and the stack has been used so far already.
    let mut path = [0; 512];
    match kernel::link(c"/proc/self/exe", &mut path) {
        path if path.len() == 512 => long_program(log),
        path => drop(log.write(kind::PROGRAM, &|put, _| put.text(path))),
    }
    // A child's first chunk gets of this what stands in the first chunk here.
    let whole = |log: &Log, before: usize| if log.spool.index == 0 { log.position() } else { before };
    so_far = whole(log, so_far);
    for (byte, value) in (1..).zip(&settings.variables) {
        if let Some(value) = value {
            // Identifiers are short; what is not is not one.
            let value = value.get(..128).unwrap_or(value);
            log.write(kind::VARIABLE, &|put, _| {
                put.byte(byte);
                put.text(value);
            });
            so_far = whole(log, so_far);
        }
    }
    state.preamble = so_far;
}

#[inline(never)]
fn long_program(log: &mut Log) {
    let mut path = [0; 4096];
    let path = kernel::link(c"/proc/self/exe", &mut path);
    log.write(kind::PROGRAM, &|put, _| put.text(path));
}

/// Adds the audit hook, if there is a Python to be watched, and is told of forks.
fn watch_python() {
    // Not with the lock held: the hook is called for its own addition.
    let found = state::with(|state| {
        state.python.runtime.filter(|_| !core::mem::replace(&mut state.python.is_watched, true))
    });
    if let Some(Some(runtime)) = found
        && runtime.watch()
    {
        at_fork();
    }
}

/// Asks the C library to tell when the process ends.
fn at_exit() {
    extern "C" fn ended(status: c_int, _: *mut c_void) {
        end(ending::EXIT, status);
    }
    extern "C" fn finished(_: *mut c_void) {
        end(ending::FINISHED, 0);
    }
    // Registered first, so called last.
    if let Some(on_exit) = elf::library_function(c"on_exit") {
        type OnExit = unsafe extern "C" fn(extern "C" fn(c_int, *mut c_void), *mut c_void) -> c_int;
        // SAFETY: glibc's function has this signature.
        unsafe { transmute::<*const c_void, OnExit>(on_exit)(ended, core::ptr::null_mut()) };
    } else if let Some(at_exit) = elf::library_function(c"__cxa_atexit") {
        type AtExit = unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, *mut c_void) -> c_int;
        // SAFETY: the C++ ABI's function has this signature.
        unsafe {
            transmute::<*const c_void, AtExit>(at_exit)(
                finished,
                core::ptr::null_mut(),
                core::ptr::null_mut(),
            );
        }
    }
}

/// Asks the C library to tell a child that it was forked.
fn at_fork() {
    type Handler = Option<extern "C" fn()>;
    if let Some(register) = elf::library_function(c"__register_atfork") {
        type Register = unsafe extern "C" fn(Handler, Handler, Handler, *mut c_void) -> c_int;
        // SAFETY: glibc's function has this signature; this library is never unloaded.
        unsafe {
            transmute::<*const c_void, Register>(register)(None, None, Some(forked), core::ptr::null_mut());
        }
    } else if let Some(register) = elf::library_function(c"pthread_atfork") {
        type Register = unsafe extern "C" fn(Handler, Handler, Handler) -> c_int;
        // SAFETY: POSIX's function has this signature.
        unsafe { transmute::<*const c_void, Register>(register)(None, None, Some(forked)) };
    }
}

/// In a child of a Python process, before it goes on.
extern "C" fn forked() {
    state::unlock();
    if !state::is_on() {
        return;
    }
    let recorded = state::with(|state| {
        let (parent, mapped) = (state.log.id(), state.log.spool.mapped());
        let flags = flag::FORKED | state.python.flags();
        let made = state.log.create(flags, parent);
        if made {
            state.log.copy(mapped.part(header::LENGTH, state.preamble));
            state.is_forked = true;
            state.python.forked(&mut state.log);
        } else {
            state.log.count(header::AT_CHILDREN_LOST);
            state.log.spool.forget();
        }
        mapped.unmap();
        made
    });
    state::switch(recorded == Some(true));
}

fn end(how: u32, status: c_int) {
    if !state::is_ours() {
        return;
    }
    // What a library's own start-up code did not tell. In a forked child the dynamic linker's locks may be held for ever.
    if how != ending::AT_ONCE {
        state::with(|state| {
            if !state.is_forked {
                objects::look(state, &mut |_| {});
            }
        });
    }
    state::header(|log| {
        if log.is_python() {
            log.look_at_peak();
        }
        log.end(how, status);
    });
}

/// The `_exit` behind ours: the C library's, or one of a library that somebody else preloads.
static NEXT_EXIT: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// `_exit` of the program: the same, with the status kept.
///
/// # Safety
/// As `_exit`.
#[unsafe(no_mangle)]
unsafe extern "C" fn _exit(status: c_int) -> ! {
    end(ending::AT_ONCE, status);
    let next = NEXT_EXIT.load(Ordering::Relaxed);
    if !next.is_null() {
        // SAFETY: a function of this name, found at the start; what is preloaded is never unloaded.
        unsafe { transmute::<*mut c_void, unsafe extern "C" fn(c_int)>(next)(status) };
    }
    kernel::exit(status)
}

/// `_Exit` is `_exit`.
///
/// # Safety
/// As `_exit`.
#[unsafe(no_mangle)]
unsafe extern "C" fn _Exit(status: c_int) -> ! {
    // SAFETY: the caller's.
    unsafe { _exit(status) }
}

/// The start-up code of every shared object calls this if it is there; it is meant for profilers, and a program that is
/// profiled has its own. So what is loaded later is seen at once, and a libpython before it is used.
///
/// # Safety
/// Called by the dynamic linker's caller, with the object relocated.
#[unsafe(no_mangle)]
unsafe extern "C" fn __gmon_start__() {
    if !state::is_ours() {
        return;
    }
    let found = state::with(|state| {
        let watches = !state.log.is_only_counted();
        if !watches {
            return false;
        }
        let mut runtime = None;
        let seeks = state.python.runtime.is_none();
        objects::look(state, &mut |object| {
            if seeks && runtime.is_none() {
                runtime = Runtime::of(object);
            }
        });
        state.python.runtime = state.python.runtime.or(runtime);
        seeks && runtime.is_some()
    });
    if found == Some(true) {
        watch_python();
    }
}
