//! Where the program begins.
//!
//! Rust's own start-up reads /proc/self/maps to guard the stack and installs two signal handlers, which took a quarter of
//! the time that a short `terrarium run` adds, and ignores SIGPIPE, which the job would inherit. [`entry!`](crate::entry) does without.

/// Makes `$main: fn() -> u8` the program's `main`, to be used with `#![no_main]`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        /// Called by the C library.
        // SAFETY: the one `main` of the program, with the type that the C library calls.
        #[unsafe(no_mangle)]
        extern "C" fn main() -> ::core::ffi::c_int {
            $crate::entry::open_standard_files();
            ::core::ffi::c_int::from($main())
        }
    };
}

/// Points standard input, output and error at /dev/null where they are closed: else the next file to be opened would
/// take their place, and messages would go into it.
pub fn open_standard_files() {
    for fd in 0..3 {
        // SAFETY: asks about a number; then opens a constant path, which takes the lowest free number.
        unsafe {
            if libc::fcntl(fd, libc::F_GETFD) == -1 {
                libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            }
        }
    }
}
