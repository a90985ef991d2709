//! Rules for memory requests: ours, and those beside it.

use terrarium_core::Bytes;
use terrarium_observe::advice::memory::{self, ENOUGH_RUNS};

/// What to ask for after tasks with these peaks; `None`: what the user asked for.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) ask: fn(&[Bytes]) -> Option<Bytes>,
}

/// The name of ours: the function that `terrarium advise` calls.
pub(crate) const OURS: &str = "terrarium advise";

/// All, in the order of the table. Where not said otherwise the user's request stands for the first three tasks of a kind.
pub(crate) const RULES: &[Rule] = &[
    Rule { name: "what the user asked for", ask: |_| None },
    Rule { name: "max", ask: |peaks| max_times(peaks, 1.0) },
    Rule { name: "max × 1.1", ask: |peaks| max_times(peaks, 1.1) },
    Rule { name: "max × 1.2", ask: |peaks| max_times(peaks, 1.2) },
    Rule { name: "max × 1.5", ask: |peaks| max_times(peaks, 1.5) },
    Rule { name: OURS, ask: |peaks| enough(peaks).and_then(memory::request) },
    Rule { name: "max × 1.1, × 1.2 below three runs", ask: from_the_first },
    Rule { name: "terrarium advise, from the first run", ask: memory::request },
];

fn enough(peaks: &[Bytes]) -> Option<&[Bytes]> {
    (peaks.len() >= ENOUGH_RUNS).then_some(peaks)
}

fn max_times(peaks: &[Bytes], factor: f64) -> Option<Bytes> {
    Some(Bytes((enough(peaks)?.iter().max()?.0 as f64 * factor) as u64))
}

fn from_the_first(peaks: &[Bytes]) -> Option<Bytes> {
    let highest = peaks.iter().max()?.0 as f64;
    Some(Bytes((highest * if peaks.len() < ENOUGH_RUNS { 1.2 } else { 1.1 }) as u64))
}
