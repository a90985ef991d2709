//! The exit codes of `terrarium run`. A job's own status passes through (0–255, 128+N
//! for signal N); these are ours. docs/reference/exit-codes.md is this table for people.

/// Processes of the job are left that cannot be killed; their PIDs were named.
pub const SURVIVORS: u8 = 121;
/// The job could not be held as asked (`--require`, `--require-mem`), or not at all; nothing was started.
pub const NOT_CONTAINED: u8 = 122;
/// The job ran out of memory.
pub const OUT_OF_MEMORY: u8 = 123;
/// The time limit ended the job (as in timeout(1)).
pub const TIME_LIMIT: u8 = 124;
/// Bad arguments, the job could not be started, or terrarium itself failed (as env(1), nice(1) and timeout(1) do).
pub const COULD_NOT_START: u8 = 125;
/// The command was found but is not executable.
pub const NOT_EXECUTABLE: u8 = 126;
/// The command was not found.
pub const NOT_FOUND: u8 = 127;

/// Each code with its meaning, for help texts and the man page.
pub const TABLE: &[(u8, &str)] = &[
    (SURVIVORS, "processes of the job are left that cannot be killed; their PIDs are named"),
    (NOT_CONTAINED, "the job cannot be held as asked; nothing was started"),
    (OUT_OF_MEMORY, "the job ran out of memory"),
    (TIME_LIMIT, "the time limit ended the job"),
    (COULD_NOT_START, "bad arguments, the job could not be started, or terrarium itself failed"),
    (NOT_EXECUTABLE, "the command was found but is not executable"),
    (NOT_FOUND, "the command was not found"),
];
