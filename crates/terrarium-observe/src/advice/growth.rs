//! Whether a job was still growing when it was cut, and whether it gave memory back.

use terrarium_core::sample::{Metric, Sample};

/// Looks that are needed to tell.
const ENOUGH: usize = 6;

/// Whether memory was still growing at the end of these samples: the highest of the last quarter of the time is more than 2 %
/// (and 4 MiB) above the highest before. `None` if there are too few to tell.
///
/// A job that swings (grows and shrinks by epochs) has met its top before, and is not called growing.
pub fn still_growing(samples: &[Sample]) -> Option<bool> {
    // What was sampled moves up and down; a peak alone would do as well, but is not there without a cgroup.
    let column = [Metric::MemoryAnonymousShared, Metric::MemoryWorkingSet, Metric::MemoryPeak]
        .into_iter()
        .find(|m| samples.iter().filter(|s| s.get(*m).is_some()).count() >= ENOUGH)?;
    let known: Vec<(i64, i64)> = samples.iter().filter_map(|s| Some((s.time_ms, s.get(column)?))).collect();
    let (first, last) = (known.first()?.0, known.last()?.0);
    let cut = last - (last - first) / 4;
    let highest = |late: bool| known.iter().filter(|(t, _)| (*t > cut) == late).map(|(_, v)| *v).max();
    let (before, after) = (highest(false)?, highest(true)?);
    Some(after.saturating_sub(before) > (before / 50).max(4 << 20))
}

/// Whether memory was given back before the end: that is more than a tenth below the top. `None` if there are too few to tell.
pub fn gave_back(samples: &[Sample]) -> Option<bool> {
    let known: Vec<i64> = samples.iter().filter_map(|s| s.get(Metric::MemoryAnonymousShared)).collect();
    if known.len() < ENOUGH {
        return None;
    }
    let top = *known.iter().max()?;
    // The last looks may have met the job while it ended.
    let end = *known.iter().rev().take(3).max()?;
    Some(end < top / 10 * 9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn series(mib: impl IntoIterator<Item = i64>) -> Vec<Sample> {
        mib.into_iter()
            .enumerate()
            .map(|(i, mib)| {
                let mut sample = Sample::at(i as i64 * 1000);
                sample.set(Metric::MemoryAnonymousShared, Some(mib << 20));
                sample
            })
            .collect()
    }

    #[test]
    fn growth_is_seen_and_swings_are_not() {
        assert_eq!(still_growing(&series((0..20).map(|i| 100 + 10 * i))), Some(true));
        assert_eq!(still_growing(&series((0..20).map(|i| (100 + 100 * i).min(900)))), Some(false));
        assert_eq!(still_growing(&series((0..40).map(|i| 100 + 100 * (i % 5)))), Some(false));
        assert_eq!(still_growing(&series([1, 2, 3])), None, "too few looks");
        assert_eq!(still_growing(&[]), None);
        let empty: Vec<Sample> = (0..20).map(Sample::at).collect();
        assert_eq!(still_growing(&empty), None, "no data is not 0");
    }

    #[test]
    fn what_is_kept_is_told_from_what_is_given_back() {
        assert_eq!(gave_back(&series((0..20).map(|i| (100 + 100 * i).min(900)))), Some(false));
        assert_eq!(gave_back(&series((0..20).map(|i| if i < 15 { 900 } else { 100 }))), Some(true));
        assert_eq!(
            gave_back(&series((0..20).map(|i| if i < 19 { 900 } else { 10 }))),
            Some(false),
            "its end"
        );
        assert_eq!(gave_back(&series([1])), None);
    }

    proptest! {
        #[test]
        fn no_series_panics(values in prop::collection::vec((any::<i32>(), any::<i64>()), 0..30)) {
            let samples: Vec<Sample> = values.into_iter().map(|(t, v)| {
                let mut sample = Sample::at(i64::from(t));
                sample.set(Metric::MemoryAnonymousShared, Some(v));
                sample
            }).collect();
            let _ = (still_growing(&samples), gave_back(&samples));
        }
    }
}
