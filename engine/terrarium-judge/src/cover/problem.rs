//! Owners made ready: packages numbered without gaps, owners with the same needs taken together.

use std::collections::BTreeMap;

use super::Owner;

/// What some owners lack, all the same.
pub(super) struct Bundle {
    /// Ascending, never empty.
    pub(super) needs: Vec<u32>,
    /// The same, the package that fewest bundles need first.
    pub(super) rare_first: Vec<u32>,
    /// The weight of its owners.
    pub(super) weight: u64,
}

impl Bundle {
    pub(super) fn has(&self, package: u32) -> bool {
        self.needs.binary_search(&package).is_ok()
    }
}

pub(super) struct Problem {
    /// The caller's number of each package, ascending; everything else here speaks of places in this list.
    pub(super) packages: Vec<u32>,
    /// In the order of their needs.
    pub(super) bundles: Vec<Bundle>,
    /// Of each package, the bundles that need it.
    pub(super) wanted_by: Vec<Vec<u32>>,
    /// The weight of owners who need nothing.
    pub(super) content: u64,
    /// Of each owner, the bundle; `None` for who needs nothing.
    bundle_of: Vec<Option<u32>>,
}

impl Problem {
    pub(super) fn new(owners: &[Owner]) -> Self {
        let mut packages: Vec<u32> = owners.iter().flat_map(|owner| owner.needs.iter().copied()).collect();
        packages.sort_unstable();
        packages.dedup();
        let mut content = 0u64;
        // In order, so that the result does not hang on how a hash falls.
        let mut same: BTreeMap<Vec<u32>, (u64, Vec<usize>)> = BTreeMap::new();
        for (number, owner) in owners.iter().enumerate() {
            let place = |package| packages.binary_search(package).ok().map(|place| place as u32);
            let mut needs: Vec<u32> = owner.needs.iter().filter_map(place).collect();
            needs.sort_unstable();
            needs.dedup();
            if needs.is_empty() {
                content = content.saturating_add(owner.weight);
                continue;
            }
            let (weight, numbers) = same.entry(needs).or_default();
            *weight = weight.saturating_add(owner.weight);
            numbers.push(number);
        }
        let mut wanted_by = vec![Vec::new(); packages.len()];
        let mut bundle_of = vec![None; owners.len()];
        let mut bundles = Vec::with_capacity(same.len());
        for (needs, (weight, numbers)) in same {
            let bundle = bundles.len() as u32;
            for package in &needs {
                wanted_by[*package as usize].push(bundle);
            }
            for number in numbers {
                bundle_of[number] = Some(bundle);
            }
            bundles.push(Bundle { rare_first: needs.clone(), needs, weight });
        }
        for bundle in &mut bundles {
            bundle.rare_first.sort_by_key(|package| wanted_by[*package as usize].len());
        }
        Problem { packages, bundles, wanted_by, content, bundle_of }
    }

    /// After how many packages of the order each bundle is content.
    fn ends(&self, order: &[u32]) -> Vec<usize> {
        let mut place = vec![order.len(); self.packages.len()];
        for (at, package) in order.iter().enumerate() {
            place[*package as usize] = at + 1;
        }
        let end = |bundle: &Bundle| bundle.needs.iter().map(|package| place[*package as usize]).max();
        self.bundles.iter().map(|bundle| end(bundle).unwrap_or(0)).collect()
    }

    /// After how many packages of the order each owner is content.
    pub(super) fn after(&self, order: &[u32]) -> Vec<usize> {
        let ends = self.ends(order);
        self.bundle_of.iter().map(|bundle| bundle.map_or(0, |bundle| ends[bundle as usize])).collect()
    }

    /// The area below the curve of an order of all packages.
    pub(super) fn area(&self, order: &[u32]) -> u128 {
        let ends = self.ends(order);
        let area = |(bundle, end): (&Bundle, usize)| {
            u128::from(bundle.weight) * (order.len().saturating_sub(end) + 1) as u128
        };
        self.bundles.iter().zip(ends).map(area).sum()
    }

    /// The order with each package moved to where the first owner is content who needs it. By then the order
    /// had all that owner's packages and those of everyone content before, and now it has no others: so
    /// nobody is content later than before.
    pub(super) fn cleaned(&self, order: &[u32]) -> Vec<u32> {
        let ends = self.ends(order);
        let mut bundles: Vec<usize> = (0..self.bundles.len()).collect();
        bundles.sort_by_key(|bundle| (ends[*bundle], self.bundles[*bundle].needs.len()));
        let mut is_added = vec![false; self.packages.len()];
        let mut cleaned = Vec::with_capacity(self.packages.len());
        for bundle in bundles {
            for package in &self.bundles[bundle].needs {
                if !std::mem::replace(&mut is_added[*package as usize], true) {
                    cleaned.push(*package);
                }
            }
        }
        cleaned
    }
}
