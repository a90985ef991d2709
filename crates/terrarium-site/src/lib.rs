//! The rules of a site (docs/reference/site-toml.md): which places and environments are what, and what of people is kept.
//!
//! All records pass through them before anything leaves the node or is imported, so that no table ever holds a name or a path that
//! the site does not want.

#![forbid(unsafe_code)]

mod rules;
mod site;

use std::path::PathBuf;

pub use rules::{BadPattern, Class, Origin};
pub use site::{Hits, Location, OWN_CODE, Site, make_key};

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

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// They make no sense.
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
