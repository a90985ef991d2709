//! From records to segments, on the node where the jobs ran.
//!
//! A spool may be written to by anybody, so nothing in it is believed but whose a file is ([`walk`]). What has ended goes into
//! segments, each record exactly once ([`seal`]).

#![forbid(unsafe_code)]

mod directory;
mod pass;
mod seal;
mod take;
mod walk;

use std::io;
use std::path::PathBuf;

pub use pass::{Lock, Pass, Report};
pub use seal::Sealed;

/// Why nothing was collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The spool is closed, or not there.
    #[error("cannot read the spool {}: {source}", directory.display())]
    Spool {
        /// Which.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing can be written.
    #[error("cannot write segments to {}: {source}", directory.display())]
    Segments {
        /// Where.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another collector is at work there.
    #[error("another collector is at work in {}", directory.display())]
    Busy {
        /// Where.
        directory: PathBuf,
    },
}

#[cfg(test)]
mod tests;
