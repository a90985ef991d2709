//! Measuring in turn, and what is told of many measurements.

use crate::Result;

/// Measures each contender once a round, forward and back: what comes over the machine comes
/// over all, and none always follows the same one. One round before counts for nothing.
pub(super) fn in_turn<C, T>(
    runs: u32,
    contenders: &[C],
    mut once: impl FnMut(&C) -> Result<T>,
) -> Result<Vec<Vec<T>>> {
    let mut all: Vec<Vec<T>> = contenders.iter().map(|_| Vec::new()).collect();
    for contender in contenders {
        once(contender)?;
    }
    for round in 0..runs {
        for k in 0..contenders.len() {
            let k = if round % 2 == 0 { k } else { contenders.len() - 1 - k };
            all[k].push(once(&contenders[k])?);
        }
    }
    Ok(all)
}

/// What each sample says beside the one of the same round: what came over the machine came over both.
pub(super) fn paired(samples: &[f64], base: &[f64], beside: fn(f64, f64) -> f64) -> Vec<f64> {
    samples.iter().zip(base).map(|(sample, base)| beside(*sample, *base)).collect()
}

/// The value below which `share` of the samples lie, between two samples in proportion.
pub(super) fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

/// Between which two samples the median of all that could be measured lies, with a certainty of 95 %: as many are below
/// it as tosses of a coin show heads. With less than six samples even the least and the greatest are less certain.
pub(super) fn interval(samples: &[f64]) -> (f64, f64) {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let below = ((count - 1.96 * count.sqrt()) / 2.0).floor().max(0.0) as usize;
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    (at(below), at(sorted.len().saturating_sub(1 + below)))
}

#[cfg(test)]
mod tests {
    use super::super::contender::Contender;
    use super::*;

    #[test]
    fn quantiles() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&[4.0, 1.0, 2.0, 3.0], 0.5), 2.5);
        assert_eq!(quantile(&[7.0], 0.75), 7.0);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn intervals_are_those_of_tosses() {
        let samples: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert_eq!(interval(&samples), (40.0, 59.0));
        assert_eq!(interval(&[3.0, 1.0, 2.0]), (1.0, 3.0));
        assert_eq!(interval(&[7.0]), (7.0, 7.0));
        assert!(interval(&[]).0.is_nan());
    }

    #[test]
    fn pairs_are_those_of_a_round() {
        assert_eq!(paired(&[5.0, 8.0], &[1.0, 2.0], |a, b| a - b), [4.0, 6.0]);
        assert_eq!(paired(&[5.0, 8.0], &[2.0, 2.0], |a, b| a / b), [2.5, 4.0]);
    }

    #[test]
    fn forward_and_back() {
        let contenders = ["a", "b"].map(|name| Contender::plain().named(name));
        let mut order = String::new();
        let all = in_turn(2, &contenders, |contender| {
            order += &contender.name;
            Ok(order.len())
        });
        assert_eq!(order, "ababba");
        assert_eq!(all.unwrap(), [[3, 6], [4, 5]]);
    }
}
