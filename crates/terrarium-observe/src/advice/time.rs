//! How much time to ask for.

use std::time::Duration;

use serde::Serialize;

/// The longest run, and almost a third more: runs of one command differ more in time than in memory (nodes, file systems).
const MARGIN: f64 = 1.3;

/// How much time to ask for, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimeAdvice {
    /// Seconds to ask for.
    pub request_seconds: u64,
    /// Runs that it was learnt from: those that ended by themselves.
    pub runs: usize,
    /// The longest of them.
    pub longest_seconds: f64,
    /// The shortest.
    pub shortest_seconds: f64,
}

/// From the times of runs that ended by themselves; `None` without any.
pub fn time(seconds: &[f64]) -> Option<TimeAdvice> {
    let known: Vec<f64> = seconds.iter().copied().filter(|s| s.is_finite() && *s >= 0.0).collect();
    let longest = known.iter().copied().reduce(f64::max)?;
    let shortest = known.iter().copied().reduce(f64::min)?;
    Some(TimeAdvice {
        request_seconds: rounded(longest * MARGIN),
        runs: known.len(),
        longest_seconds: longest,
        shortest_seconds: shortest,
    })
}

/// Rounded up to whole minutes, from an hour on to 5, from 6 hours on to 30; at least 5 minutes, below which a start on
/// another node alone can be late.
fn rounded(seconds: f64) -> u64 {
    let step = match seconds {
        s if s < 3600.0 => 60,
        s if s < 6.0 * 3600.0 => 300,
        _ => 1800,
    };
    ((seconds / f64::from(step)).ceil() as u64).saturating_mul(u64::from(step as u32)).max(300)
}

impl TimeAdvice {
    /// What is asked for.
    pub fn request(&self) -> Duration {
        Duration::from_secs(self.request_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_counts_and_short_runs_get_five_minutes() {
        let advice = time(&[3000.0, 3600.0, 2400.0]).unwrap();
        assert_eq!((advice.request_seconds, advice.runs), (4800, 3));
        assert_eq!(time(&[2.0]).unwrap().request_seconds, 300);
        assert_eq!(time(&[10.0 * 3600.0]).unwrap().request_seconds, 13 * 3600);
        assert_eq!(time(&[]), None);
        assert_eq!(time(&[f64::NAN]), None);
    }

    proptest! {
        #[test]
        fn never_less_than_the_longest(seconds in prop::collection::vec(0.0..1e7f64, 1..9)) {
            let advice = time(&seconds).unwrap();
            prop_assert!(advice.request_seconds as f64 >= advice.longest_seconds * MARGIN - 1e-6);
        }
    }
}
