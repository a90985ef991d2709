//! What is loaded into every process of a job (`LD_PRELOAD`), and writes down what Python imports.
//!
//! It may find itself in anything: a shell, a Fortran program, a Python of any version. So it has no std, no memory but static
//! memory and what it maps, no locks that wait, and of the C library's functions few: [`terrarium_wire`] says what it writes.
//!
//! | | |
//! |---|---|
//! | [`life`] | start, fork and end of the process: where the C library calls in |
//! | [`settings`] | what the environment says |
//! | [`spool`] | the file: made, mapped, grown |
//! | [`log`] | one record after the other |
//! | [`state`] | all that is remembered, and the lock around it |
//! | [`objects`] | which shared objects are mapped |
//! | [`elf`] | symbols of loaded objects, without dlsym |
//! | [`clock`] | the time, without a system call |
//! | [`kernel`] | system calls |
//! | [`python`] | the audit hook |

#![no_std]

mod clock;
mod elf;
mod kernel;
mod life;
mod log;
mod objects;
mod python;
mod settings;
mod spool;
mod state;

/// Nothing here can panic, and the linker proves it: a release build has no code left that could come here, for it would need a
/// function that nobody has.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(not(debug_assertions))]
    {
        // SAFETY: nobody has it.
        unsafe extern "C" {
            fn terrarium_hook_can_panic() -> !;
        }
        // SAFETY: never called.
        unsafe { terrarium_hook_can_panic() }
    }
    #[cfg(debug_assertions)]
    kernel::exit(134)
}
