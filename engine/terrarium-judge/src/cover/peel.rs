//! The order backward: from all packages, the one whose owners weigh least goes, and with it these owners.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::problem::Problem;

pub(super) fn order(problem: &Problem) -> Vec<u32> {
    let mut weight: Vec<u128> = (problem.wanted_by.iter())
        .map(|bundles| {
            bundles.iter().map(|bundle| u128::from(problem.bundles[*bundle as usize].weight)).sum()
        })
        .collect();
    // Of packages that weigh the same the last by name goes first, and so stands last.
    let mut left: BTreeSet<(u128, Reverse<u32>)> =
        weight.iter().enumerate().map(|(package, weight)| (*weight, Reverse(package as u32))).collect();
    let mut is_lost = vec![false; problem.bundles.len()];
    let mut order = Vec::with_capacity(weight.len());
    while let Some((_, Reverse(package))) = left.pop_first() {
        order.push(package);
        for bundle in &problem.wanted_by[package as usize] {
            if std::mem::replace(&mut is_lost[*bundle as usize], true) {
                continue;
            }
            let bundle = &problem.bundles[*bundle as usize];
            for other in &bundle.needs {
                let sum = &mut weight[*other as usize];
                if left.remove(&(*sum, Reverse(*other))) {
                    *sum -= u128::from(bundle.weight);
                    left.insert((*sum, Reverse(*other)));
                }
            }
        }
    }
    order.reverse();
    order
}
