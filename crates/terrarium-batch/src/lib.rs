//! Batch systems and parallel launchers: which job, and which rank of it, a process is.

#![forbid(unsafe_code)]

mod ranks;

pub use ranks::{Ancestor, Rank, may_be_rank, rank};
