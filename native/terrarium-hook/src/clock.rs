//! The time, as the C library reads it: without a system call where the kernel allows that.

use core::ffi::c_int;

#[repr(C)]
struct Time {
    seconds: i64,
    nanoseconds: i64,
}

// SAFETY: as the C library declares them.
#[link(name = "c")]
unsafe extern "C" {
    // In the C library itself since glibc 2.17.
    fn clock_gettime(clock: c_int, time: *mut Time) -> c_int;
}

fn read(clock: c_int) -> u64 {
    let mut time = Time { seconds: 0, nanoseconds: 0 };
    // SAFETY: writes into `time`.
    unsafe { clock_gettime(clock, &raw mut time) };
    (time.seconds as u64).wrapping_mul(1_000_000_000).wrapping_add(time.nanoseconds as u64)
}

/// Nanoseconds of a clock that never jumps (CLOCK_MONOTONIC).
pub(crate) fn now() -> u64 {
    read(1)
}

/// Nanoseconds since 1970 (CLOCK_REALTIME).
pub(crate) fn since_1970() -> u64 {
    read(0)
}
