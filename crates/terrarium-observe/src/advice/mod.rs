//! What to tell the user, from what was seen: pure functions over reports and samples.
//!
//! `command` says which runs are of the same command, `evidence` which of them count, `memory`, `cpus` and `time` what to ask
//! for, `growth` whether a run that was cut was still growing, `python` what the interpreter does with memory, `batch` how the
//! request is written for a batch system. [`advise`] joins them.

mod advise;
pub mod batch;
pub mod command;
pub mod cpus;
pub mod evidence;
pub mod growth;
pub mod memory;
pub mod python;
mod threads;
pub mod time;

pub use advise::{Advice, BatchLines, Run, SCHEMA, Use, advise, is_enough};
pub use threads::oversubscription;
