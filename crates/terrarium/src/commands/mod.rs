//! One file a command.

pub(crate) mod advise;
pub(crate) mod collect;
mod interpreter;
pub(crate) mod kernel;
pub(crate) mod limits;
pub(crate) mod only;
mod ranks;
pub(crate) mod reap;
mod record;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod top;
pub(crate) mod track;
mod tracking;
pub(crate) mod trial;
mod watch;
