//! What follows from what was recorded: which packages to add to the base environment ([`cover`]), which
//! versions have known holes ([`advisories`]), which are at the end of their life ([`lifetimes`]), and which
//! changes in use are more than chance ([`significance`]).
//!
//! Nothing here asks the network, and input is treated as hostile: no bytes make a reader panic, and what it
//! keeps in memory is bounded by what it was given.

pub mod advisories;
pub mod cover;
pub mod lifetimes;
mod names;
pub mod significance;

pub use names::{compare_versions, normal_name};
