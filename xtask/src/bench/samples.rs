//! Measuring in turn, and what is told of many measurements.

use super::contender::Contender;
use crate::Result;

/// Measures each contender once a round, forward and back: what comes over the machine comes
/// over all, and none always follows the same one. One round before counts for nothing.
pub(super) fn in_turn<T>(
    runs: u32,
    contenders: &[Contender],
    mut once: impl FnMut(&Contender) -> Result<T>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&[4.0, 1.0, 2.0, 3.0], 0.5), 2.5);
        assert_eq!(quantile(&[7.0], 0.75), 7.0);
        assert!(quantile(&[], 0.5).is_nan());
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
