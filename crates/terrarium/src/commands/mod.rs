//! One file a command.

pub(crate) mod kernel;
pub(crate) mod only;
mod ranks;
pub(crate) mod reap;
pub(crate) mod run;
