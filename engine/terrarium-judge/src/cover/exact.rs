//! The optimum, by looking at every set of packages.

use super::{Owner, problem::Problem};

/// With more packages than this there is no exact answer: there are 2^20 sets, eight bytes each.
pub const MOST_EXACT: usize = 20;

/// The best set of packages of a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Best {
    /// The packages, ascending; fewer than asked for if there are no more.
    pub packages: Vec<u32>,
    /// The weight of the owners content with them.
    pub weight: u64,
}

/// The set of at most `k` packages that makes most owners content, by weight; of equals the one whose first
/// packages come first. `None` if owners need more than [`MOST_EXACT`] packages.
pub fn best(owners: &[Owner], k: usize) -> Option<Best> {
    let problem = Problem::new(owners);
    let weights = weights(&problem)?;
    let k = k.min(problem.packages.len());
    // The first set has the small bits, and so the packages that come first.
    let (mut chosen, mut most) = (0usize, None);
    for (set, weight) in weights.iter().enumerate() {
        if set.count_ones() as usize == k && most.is_none_or(|most| *weight > most) {
            (chosen, most) = (set, Some(*weight));
        }
    }
    let taken = |(place, package): (usize, &u32)| (chosen >> place & 1 == 1).then_some(*package);
    let packages = problem.packages.iter().enumerate().filter_map(taken).collect();
    Some(Best { packages, weight: most.unwrap_or(problem.content) })
}

/// Of each set of packages (a bit each), the weight of the owners content with it.
fn weights(problem: &Problem) -> Option<Vec<u64>> {
    let count = problem.packages.len();
    if count > MOST_EXACT {
        return None;
    }
    let mut weights = vec![0u64; 1 << count];
    weights[0] = problem.content;
    for bundle in &problem.bundles {
        let set = bundle.needs.iter().fold(0usize, |set, package| set | 1 << package);
        weights[set] = weights[set].saturating_add(bundle.weight);
    }
    // Sums over subsets, one package at a time.
    for package in 0..count {
        for set in 0..weights.len() {
            if set >> package & 1 == 1 {
                weights[set] = weights[set].saturating_add(weights[set ^ 1 << package]);
            }
        }
    }
    Some(weights)
}

/// The weight of the best set of each size from none to all packages.
#[cfg(test)]
pub(super) fn best_curve(owners: &[Owner]) -> Option<Vec<u64>> {
    let problem = Problem::new(owners);
    let weights = weights(&problem)?;
    let mut curve = vec![0; problem.packages.len() + 1];
    for (set, weight) in weights.iter().enumerate() {
        let most: &mut u64 = &mut curve[set.count_ones() as usize];
        *most = (*most).max(*weight);
    }
    Some(curve)
}
