//! Reads spool files: from the bytes of a file to what they say of a process.
//!
//! Whoever may write to the spool may write anything there. Nothing here panics on it or takes more memory than a fixed
//! multiple of what was given, and a file that was cut or changed is read up to its last whole record ([`Stopped`]).

#![forbid(unsafe_code)]

mod assemble;
mod direct;
mod fields;
mod header;
mod job;
mod process;
mod records;
mod text;

pub mod sample;

pub use assemble::{process, process_forked};
pub use direct::Places;
pub use header::Header;
pub use job::{BatchSystem, Job, Rank};
pub use process::{Dropped, End, Extent, Main, Module, Origin, OriginKind, Place, Process, Python, State};
pub use records::{Importer, Record, Records, Stopped};
pub use text::Text;

/// The longest file that is read, in bytes.
pub const MOST_BYTES: usize = 64 << 20;

/// So many modules of one file are read.
pub const MOST_MODULES: usize = 1 << 18;

/// So many bytes of texts of one file are kept.
pub const MOST_TEXT: usize = 128 << 20;

/// Why a file cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Made, and nothing written yet.
    #[error("it is empty: nothing was written to it yet")]
    Empty,
    /// Something else.
    #[error("it is no spool file")]
    NotASpoolFile,
    /// Its header is not whole.
    #[error("it is cut off after {length} bytes, in its header")]
    Cut {
        /// How long it is.
        length: usize,
    },
    /// From a later version of the format.
    #[error(
        "it has version {version} of the format, and this reader knows versions up to {}",
        terrarium_wire::header::VERSION
    )]
    Newer {
        /// Its version.
        version: u16,
    },
    /// Longer than [`MOST_BYTES`].
    #[error("it has {length} bytes, and a spool file has at most {MOST_BYTES}")]
    TooLarge {
        /// How long it is.
        length: u64,
    },
}
