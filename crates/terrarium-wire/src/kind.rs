//! What a record says: the first byte of its payload, and its fields in order. New kinds may come, without a time and without
//! continued texts of the sorts that there are, and new fields behind those of a kind: a reader passes over what it does not
//! know.

/// Text: the host's name.
pub const HOST: u8 = 1;
/// Text: the program's path, as the kernel tells it.
pub const PROGRAM: u8 = 2;
/// A byte: which [`variable`]; text: its value.
pub const VARIABLE: u8 = 3;
/// Continued text (objects): a shared object that is mapped.
pub const OBJECT: u8 = 4;
/// Text: what `Py_GetVersion` says.
pub const PYTHON: u8 = 5;
/// Texts: `sys.prefix`, `sys.base_prefix`, `sys.executable`.
pub const PREFIX: u8 = 6;
/// A byte: which [`main`]; text: script or module; text: working directory.
pub const MAIN: u8 = 7;
/// Text: an argument behind the script or module. Only if the site asks.
pub const ARGUMENT: u8 = 8;
/// Time; importer; a byte of [`import`] flags; continued text (names): full name. The import has begun; the module gets the
/// next number, from 0.
pub const IMPORT: u8 = 9;
/// Time; number of a module with an [`IMPORT`]; a byte of [`origin`]; continued text (origins). It is loaded.
pub const LOADED: u8 = 10;
/// Time; importer; continued text (names): full name; a byte of [`origin`]; continued text (origins). Loaded without an `import`
/// event (`importlib.import_module`). The module gets the next number.
pub const MODULE: u8 = 11;
/// Number of a module; microseconds that its import took at least; so much more that it may have taken. The import has ended
/// well.
pub const DONE: u8 = 12;
/// Number of a module; continued text (origins): a shared object that is about to be loaded for it. That it is mapped
/// afterwards, or a [`LOADED`], tells that it was.
pub const EXTENSION: u8 = 16;
/// Number of a module. Its code was run, but its import did not end well; a [`DONE`] that comes later says that it did.
pub const FAILED: u8 = 17;
/// Importer: whose code; text: its file; number n; n texts: what its import statements ask for, as `name`, `.name` (a dot for
/// each level) or `name:item,item`.
pub const NAMES: u8 = 13;
/// Text: type of the exception that nobody caught.
pub const EXCEPTION: u8 = 14;
/// Text: file of a code object that was called.
pub const CALLED: u8 = 15;

/// An importer is a number: 0 nobody known, 1 `__main__`, 2 a text with its name follows, from 3 on the number of a module plus 3.
pub mod importer {
    /// Not known, or none (the interpreter itself).
    pub const NOBODY: u64 = 0;
    /// The program itself.
    pub const MAIN: u64 = 1;
    /// A text follows: what its `__name__` says.
    pub const NAMED: u64 = 2;
    /// The first module.
    pub const FIRST: u64 = 3;
}

/// Bits in an [`IMPORT`].
pub mod import {
    /// Built into the interpreter: it cannot fail to load.
    pub const BUILT_IN: u8 = 1;
}

/// Where a module comes from.
pub mod origin {
    /// A file; its path follows.
    pub const FILE: u8 = 0;
    /// The interpreter, or a loader that names no file; an empty text follows.
    pub const NO_FILE: u8 = 1;
    /// A namespace package; the path of its first portion follows.
    pub const NAMESPACE: u8 = 2;
}

/// How Python was told what to run.
pub mod main {
    /// `python FILE`.
    pub const SCRIPT: u8 = 1;
    /// `python -m NAME`.
    pub const MODULE: u8 = 2;
    /// `python -c`; its text is never recorded.
    pub const COMMAND: u8 = 3;
    /// Standard input, not a terminal or not known.
    pub const STANDARD_INPUT: u8 = 4;
    /// A program that has Python inside.
    pub const EMBEDDED: u8 = 5;
    /// `multiprocessing`'s spawn: a worker.
    pub const SPAWNED: u8 = 6;
}

/// The variables of the environment that are looked at, and nothing else of it.
pub mod variable {
    /// Each with its byte; from 1. New ones are added at the end.
    pub const NAMES: [&str; 24] = [
        "TERRARIUM_RUN",
        "SLURM_JOB_ID",
        "SLURM_STEP_ID",
        "SLURM_ARRAY_JOB_ID",
        "SLURM_ARRAY_TASK_ID",
        "SLURM_CLUSTER_NAME",
        "SLURM_PROCID",
        "SLURM_NTASKS",
        "SLURM_STEP_NUM_TASKS",
        "PBS_JOBID",
        "PBS_ARRAY_INDEX",
        "LSB_JOBID",
        "LSB_JOBINDEX",
        "FLUX_JOB_ID",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "PMIX_RANK",
        "PMI_RANK",
        "PMI_SIZE",
        "MV2_COMM_WORLD_RANK",
        "MV2_COMM_WORLD_SIZE",
        "PALS_RANKID",
        "FLUX_TASK_RANK",
        "FLUX_JOB_SIZE",
    ];
}
