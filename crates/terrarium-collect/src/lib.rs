//! From records to segments, on the node where the jobs ran.
//!
//! A spool may be written to by anybody, so nothing in it is believed but whose a file is ([`walk`]). What has ended goes into
//! segments, each record exactly once ([`seal`]), with what only the node can tell: which distribution a module belongs to and what
//! its environment holds ([`environment`], read with the rights of the record's owner by [`ask`]), and what the site calls the place
//! that it lies in ([`rules`]). Names of people are replaced here, before anything leaves the node ([`site`]).

#![forbid(unsafe_code)]

mod ask;
mod collector;
mod directory;
mod environment;
mod forget;
mod pass;
mod rules;
mod seal;
mod site;
mod take;
mod walk;

use std::io;
use std::path::PathBuf;

pub use ask::serve;
pub use collector::{Collector, SpoolPass, dry_run};
pub use forget::forget_records;
pub use pass::{Lock, Report};
pub use rules::BadPattern;
pub use seal::Sealed;
pub use site::{Site, make_key};

/// What the user database says of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, before it may become a pseudonym.
    pub name: String,
    /// The main group.
    pub group: u32,
    /// The home.
    pub home: Option<PathBuf>,
}

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
    /// The site's rules make no sense.
    #[error("{}: {why}", path.display())]
    Rules {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        why: String,
    },
    /// There is no key for pseudonyms.
    #[error("the key for pseudonyms, {}, cannot be used: {why}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

#[cfg(test)]
mod tests;
