//! Segments: what a node makes of its spool files, and a collector commits to the store.
//!
//! A segment is written once, whole, and carries a digest of all its bytes, by which it is known ([`Id`]): the same segment that
//! comes twice is seen to be the same. The reader takes any bytes: it never panics, and needs no more memory than the limits
//! below allow. Described in docs/reference/segment.md.

#![forbid(unsafe_code)]

mod read;
mod rows;
mod write;

pub use read::{ReadError, read};
pub use rows::*;
pub use write::{Digest, Writer, rounded};

/// What it begins with.
pub const MAGIC: [u8; 8] = *b"terrsegm";

/// Version of the format.
pub const VERSION: u32 = 2;

/// The longest segment, in bytes. A writer begins a new one long before.
pub const MOST_BYTES: usize = 256 << 20;

/// The longest block, unpacked.
pub const MOST_BLOCK: usize = 8 << 20;

/// All blocks of a segment together, unpacked.
pub const MOST_UNPACKED: usize = 1 << 30;

/// What is read from a segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Who made it.
    pub head: Head,
    /// SHA-256 of its bytes up to there, in hexadecimal digits: its name.
    pub id: String,
    /// Texts that are many times the same; number 0 is empty.
    pub names: Vec<String>,
    /// Environments that its processes ran in.
    pub environments: Vec<Environment>,
    /// Modules that its processes loaded.
    pub modules: Vec<Module>,
    /// Its processes.
    pub processes: Vec<Process>,
    /// Its runs.
    pub usages: Vec<Usage>,
    /// Batch jobs.
    pub jobs: Vec<BatchJob>,
    /// Fields of science.
    pub domains: Vec<Domain>,
}

/// Kinds of blocks.
mod block {
    pub(crate) const HEAD: u8 = 1;
    pub(crate) const NAMES: u8 = 2;
    pub(crate) const ENVIRONMENTS: u8 = 3;
    pub(crate) const MODULES: u8 = 4;
    pub(crate) const PROCESSES: u8 = 5;
    pub(crate) const USAGES: u8 = 6;
    pub(crate) const JOBS: u8 = 7;
    pub(crate) const DOMAINS: u8 = 8;
    /// Holds the digest, and ends the file.
    pub(crate) const SEAL: u8 = 0xFF;
}

#[cfg(test)]
mod tests;
