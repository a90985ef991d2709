//! The fixed fields at the start of a file: where each stands. A field that is 0 was not written (yet).

/// The first eight bytes.
pub const MAGIC: [u8; 8] = *b"terrwire";

/// Of the layout of headers and records. A reader refuses what it does not know.
pub const VERSION: u16 = 1;

/// Length of the header in bytes; records begin here.
pub const LENGTH: usize = 256;

/// The version, 2 bytes.
pub const AT_VERSION: usize = 8;
/// [`LENGTH`] of the writer, 2 bytes.
pub const AT_LENGTH: usize = 10;
/// Bits of [`flag`], 4 bytes.
pub const AT_FLAGS: usize = 12;
/// Process ID in the process's PID namespace, 4 bytes.
pub const AT_PID: usize = 16;
/// Process ID of the parent at the start, 4 bytes; 0 also if it is outside the PID namespace.
pub const AT_PARENT: usize = 20;
/// When the record began, nanoseconds since 1970 (CLOCK_REALTIME), 8 bytes.
pub const AT_START: usize = 24;
/// What this file is called by others, unique in its spool, 8 bytes.
pub const AT_ID: usize = 32;
/// The [`AT_ID`] of the process that this one was forked from, 8 bytes.
pub const AT_FORKED_FROM: usize = 40;
/// Real user ID, 4 bytes. Who wrote the file is told by its owner only.
pub const AT_USER: usize = 48;

/// Nanoseconds from the start to the end (CLOCK_MONOTONIC), 8 bytes, written before [`AT_ENDING`].
pub const AT_ENDED: usize = 64;
/// How it ended, see [`ending`], 4 bytes.
pub const AT_ENDING: usize = 72;
/// The exit status that went with it, 4 bytes.
pub const AT_STATUS: usize = 76;
/// Nanoseconds from the start to the last attempt to execute another program in place of this one, 8 bytes. It
/// succeeded if nothing was written afterwards.
pub const AT_EXEC: usize = 80;
/// Peak resident set (VmHWM) in bytes, 8 bytes.
pub const AT_PEAK: usize = 88;
/// Nanoseconds from the start to the last look at the peak, 8 bytes.
pub const AT_PEAK_SEEN: usize = 96;
/// `import` events seen, 4 bytes.
pub const AT_IMPORTS: usize = 104;
/// Modules recorded as loaded, 4 bytes.
pub const AT_MODULES: usize = 108;
/// Records dropped because the file could not grow, 4 bytes.
pub const AT_NO_SPACE: usize = 112;
/// Records dropped because another thread was writing, 4 bytes.
pub const AT_BUSY: usize = 116;
/// Records dropped because there were too many modules or too long texts, 4 bytes.
pub const AT_TOO_MUCH: usize = 120;
/// Forked children that could not get a file of their own, 4 bytes.
pub const AT_CHILDREN_LOST: usize = 124;
/// Nanoseconds from the start to the last record, 8 bytes.
pub const AT_LAST: usize = 128;
/// Python interpreters seen in the process, 4 bytes.
pub const AT_INTERPRETERS: usize = 136;

/// Bits of [`AT_FLAGS`].
pub mod flag {
    /// The process has a CPython of 3.8 or later in it that was watched.
    pub const PYTHON: u32 = 1;
    /// Made by fork, without exec: it has loaded what [`super::AT_FORKED_FROM`] had.
    pub const FORKED: u32 = 2;
    /// One of the ranks of which only their number is wanted.
    pub const COUNTED: u32 = 4;
    /// The user does not want to be recorded: there is nothing else in the file.
    pub const OPTED_OUT: u32 = 8;
    /// An older Python: what it imports is not seen.
    pub const OLD_PYTHON: u32 = 16;
    /// [`super::super::kind::CALLED`] is recorded.
    pub const CALLS: u32 = 32;
}

/// Values of [`AT_ENDING`].
pub mod ending {
    /// exit(3), or a return from main; the status is known.
    pub const EXIT: u32 = 1;
    /// _exit(2): nothing was cleaned up; the status is known.
    pub const AT_ONCE: u32 = 2;
    /// Like [`EXIT`], where the C library does not tell the status.
    pub const FINISHED: u32 = 3;
}
