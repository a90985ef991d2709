//! How much memory to ask for: the rule, which `cargo xtask replay` tries on traces of real tasks.

use serde::Serialize;
use terrarium_core::Bytes;

/// From so many runs on their spread says something.
pub const ENOUGH_RUNS: usize = 3;

/// Added to every request: what libraries, caches and a longer input path cost does not shrink with the job, so that a
/// share of a small peak is no margin at all.
pub const ALWAYS_ADDED: Bytes = Bytes::mib(64);

const SMALLEST_MARGIN: f64 = 0.03;
const FEW_RUNS_MARGIN: f64 = 0.2;

/// A retry doubles what failed, so that a margin above this costs more than the retry.
const LARGEST_MARGIN: f64 = 1.0;

/// The margin above the highest peak, as a share of it.
///
/// With fewer than three runs 20 %. From then on twice the spread of the peaks (the standard deviation of their logarithms),
/// but no more than twice what the mean is below the highest (small runs among large ones widen the spread, and say nothing of
/// how much larger one may be), times √(3/n): the highest of many runs is seldom exceeded, and then by little. At least 3 %, at
/// most 100 %.
pub fn margin(peaks: &[Bytes]) -> f64 {
    let n = peaks.len();
    if n < ENOUGH_RUNS {
        return FEW_RUNS_MARGIN;
    }
    let shrunk = (ENOUGH_RUNS as f64 / n as f64).sqrt();
    let highest = peaks.iter().map(|p| p.0).max().unwrap_or(0).max(1) as f64;
    let mean = peaks.iter().map(|p| p.0 as f64).sum::<f64>() / n as f64;
    let below = 1.0 - mean / highest;
    (2.0 * spread(peaks).min(below) * shrunk).clamp(SMALLEST_MARGIN, LARGEST_MARGIN)
}

/// Standard deviation of the logarithms: for small ones, that of the peaks as a share of them. 0 for fewer than two.
pub fn spread(peaks: &[Bytes]) -> f64 {
    if peaks.len() < 2 {
        return 0.0;
    }
    let logs: Vec<f64> = peaks.iter().map(|p| (p.0.max(1) as f64).ln()).collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let squares: f64 = logs.iter().map(|l| (l - mean).powi(2)).sum();
    (squares / (logs.len() - 1) as f64).sqrt()
}

/// What to ask for after runs with these peaks; `None` without any.
pub fn request(peaks: &[Bytes]) -> Option<Bytes> {
    let highest = peaks.iter().max()?;
    let with_margin = (highest.0 as f64 * (1.0 + margin(peaks))) as u64;
    Some(rounded(Bytes(with_margin.saturating_add(ALWAYS_ADDED.0))))
}

/// What to ask for after a run that was out of memory with `limit`.
pub fn after_out_of_memory(limit: Bytes) -> Bytes {
    rounded(Bytes(limit.0.saturating_mul(2)))
}

/// Rounded up to what people write: to 8 MiB, and for more than 1 GiB to a power of two that is about a hundredth of it.
pub fn rounded(size: Bytes) -> Bytes {
    let mut step = 8 * Bytes::MIB;
    while step * 2 <= size.0 / 64 {
        step *= 2;
    }
    Bytes(size.0.div_ceil(step).saturating_mul(step))
}

/// How much memory to ask for, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryAdvice {
    /// What to ask for; `None` if that is not known.
    pub request: Option<Bytes>,
    /// The job needs at least this much: what a run had used when it was cut.
    pub at_least: Option<Bytes>,
    /// In `at_least`: whether the memory still grew when the run was cut. `None`: not known.
    pub still_growing: Option<bool>,
    /// How the request was found, in a sentence.
    pub because: String,
    /// Runs that it was learnt from.
    pub runs: usize,
    /// Lowest peak of these.
    pub lowest: Option<Bytes>,
    /// Median peak.
    pub median: Option<Bytes>,
    /// Highest peak.
    pub highest: Option<Bytes>,
    /// [`spread`] of the peaks, from two runs on.
    pub spread: Option<f64>,
    /// The highest peak is an upper bound: shared memory was counted several times.
    pub upper_bound: bool,
    /// The highest peak was seen in samples: it may have been higher for less than a second.
    pub spikes_may_be_missing: bool,
}

/// Lowest, median and highest.
pub fn order(peaks: &[Bytes]) -> Option<(Bytes, Bytes, Bytes)> {
    let mut sorted = peaks.to_vec();
    sorted.sort_unstable();
    Some((*sorted.first()?, sorted[sorted.len() / 2], *sorted.last()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mib(sizes: &[u64]) -> Vec<Bytes> {
        sizes.iter().map(|n| Bytes::mib(*n)).collect()
    }

    #[test]
    fn equal_runs_need_little_more() {
        assert_eq!(request(&mib(&[4000, 4000, 4000])), Some(Bytes::mib(4224)));
        assert_eq!(request(&mib(&[300, 300, 300])), Some(Bytes::mib(376)));
        assert_eq!(request(&[]), None);
    }

    #[test]
    fn fewer_than_three_runs_need_a_fifth_more() {
        for peaks in [mib(&[4000]), mib(&[3000, 4000])] {
            assert_eq!(request(&peaks), Some(rounded(Bytes::mib(4864))));
        }
    }

    #[test]
    fn spread_widens_the_margin_and_runs_narrow_it() {
        let some = mib(&[800, 1000, 900]);
        let many: Vec<Bytes> = some.iter().copied().cycle().take(48).collect();
        assert!(margin(&some) > 0.15 && margin(&some) < 0.3, "{}", margin(&some));
        assert!(margin(&many) < margin(&some) / 3.0, "{}", margin(&many));
        assert_eq!(margin(&mib(&[1, 1000, 100_000])), 1.0);
        // One small run among large ones.
        assert!(margin(&mib(&[10, 1000, 1000, 1000, 1000, 1000])) < 0.3);
    }

    #[test]
    fn an_out_of_memory_end_doubles() {
        assert_eq!(after_out_of_memory(Bytes::mib(1024)), Bytes::mib(2048));
    }

    proptest! {
        #[test]
        fn a_request_is_never_below_the_highest_peak(peaks in prop::collection::vec(1u64..1 << 42, 1..40)) {
            let peaks: Vec<Bytes> = peaks.into_iter().map(Bytes).collect();
            let highest = peaks.iter().max().unwrap().0;
            let asked = request(&peaks).unwrap().0;
            prop_assert!(asked >= highest + ALWAYS_ADDED.0);
            prop_assert!(asked as f64 <= (highest as f64 * 2.0 + ALWAYS_ADDED.0 as f64) * 1.02 + 8.0 * Bytes::MIB as f64);
        }

        #[test]
        fn order_of_runs_does_not_matter(mut peaks in prop::collection::vec(1u64..1 << 40, 1..20)) {
            let forth: Vec<Bytes> = peaks.iter().copied().map(Bytes).collect();
            peaks.reverse();
            let back: Vec<Bytes> = peaks.into_iter().map(Bytes).collect();
            let difference = (margin(&forth) - margin(&back)).abs();
            prop_assert!(difference < 1e-9);
        }

        #[test]
        fn rounding_adds_little(size in 1u64..1 << 50) {
            let up = rounded(Bytes(size)).0;
            prop_assert!(up >= size && up - size < 8 * Bytes::MIB + size / 60);
            prop_assert_eq!(rounded(Bytes(up)).0, up);
        }

        #[test]
        fn no_size_overflows(peaks in prop::collection::vec(any::<u64>(), 0..5)) {
            let peaks: Vec<Bytes> = peaks.into_iter().map(Bytes).collect();
            let _ = (request(&peaks), spread(&peaks), order(&peaks), peaks.first().map(|p| after_out_of_memory(*p)));
        }
    }
}
