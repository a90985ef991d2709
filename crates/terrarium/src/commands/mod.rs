//! One file a command.

pub(crate) mod reap;
pub(crate) mod run;
