//! From records to segments, on the node where the jobs ran.
//!
//! A spool may be written to by anybody, so nothing in it is believed but whose a file is ([`walk`]). What has ended goes into
//! segments, each record exactly once ([`seal`]), with what only the node can tell: which distribution a module belongs to and what
//! its environment holds ([`environment`], read with the rights of the record's owner by [`ask`]), and what the site calls the place
//! that it lies in ([`terrarium_site`]). Names of people are replaced here, before anything leaves the node.

#![forbid(unsafe_code)]

mod ask;
mod collector;
mod directory;
mod environment;
mod forget;
mod pass;
mod seal;
mod take;
mod walk;

use std::io;
use std::path::PathBuf;

pub use ask::serve;
pub use collector::{Collector, SpoolPass, dry_run};
pub use forget::forget_records;
pub use pass::{Lock, Report};
pub use seal::Sealed;
pub use terrarium_site::{BadPattern, Site, SiteError, User, make_key};

/// Why nothing was collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The site's rules make no sense.
    #[error(transparent)]
    Site(#[from] terrarium_site::SiteError),
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
