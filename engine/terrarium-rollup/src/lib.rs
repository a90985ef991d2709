//! Rollups: which jobs, of whom, used which library, in a form from which any question about users, jobs and node-hours is answered
//! exactly and at once.
//!
//! A *job-day* is a batch job on a day, or what a user did outside of jobs on a day. A [`Part`] holds the job-days of a cluster and
//! a day or month, in an order in which those that load the same libraries follow each other, and for each library (in one place,
//! of one version …) the set of job-days that loaded it, as runs of that order. Filters are sets of job-days, too. As users lie side
//! by side in that order, how many users, jobs and node-hours a run has is a difference of two sums: a question costs the number of
//! runs, not that of processes. docs/design/019-rollups.md has the reasons and what was measured.

#![forbid(unsafe_code)]

mod answer;
mod build;
mod days;
mod loads;
mod merge;
mod pairs;
mod part;
mod public;
mod select;
mod set;
mod union;
mod wire;

pub use answer::{Answer, AskedOf, DURATIONS, Dimension, Group, Question, Value, answer, in_threads};
pub use build::{Builder, JobFacts, Package, ProcessFacts};
pub use loads::{Loads, loads};
pub use merge::merge;
pub use pairs::{Pair, pairs};
pub use part::{Asked, JobDays, Key, Part, Runs};
pub use public::{PublicQuestion, public};
pub use select::{Completeness, Field, Filter, completeness};
pub use set::Set;
pub use wire::{Damaged, Wanted, decode, encode, peek};

/// A hash map with a quick hash.
pub type Map<K, V> = hashbrown::HashMap<K, V, foldhash::quality::FixedState>;

#[cfg(test)]
mod tests;
