//! The order forward: the bundle that makes most owners content for each package added comes first.

use std::cmp::Ordering;

use super::problem::Problem;

/// How far the packages added so far have brought everyone.
struct State<'a> {
    problem: &'a Problem,
    is_added: Vec<bool>,
    /// The bundles that are not content, and some that have become so.
    left: Vec<u32>,
    /// Of each bundle, how many packages are still missing.
    missing: Vec<u32>,
    /// Of each bundle, the weight of the bundles (itself among them) that are content once it is.
    gain: Vec<u64>,
    /// Of each bundle, the place in `rare_first` of the rarest package still missing.
    rarest: Vec<usize>,
    /// Of each package, the bundles whose rarest missing package it is: who lies within a set of packages
    /// stands below one of them, and popular packages have short lists.
    below: Vec<Vec<u32>>,
    /// Scratch: packages of the set being looked at carry its number.
    mark: Vec<u64>,
    marks: u64,
}

/// A bundle, or two: what they bring, and what they cost.
#[derive(Clone, Copy)]
struct Offer {
    bundle: u32,
    /// Weight made content for each package. Equal parts of whole numbers are equal as fractions, too.
    rate: f64,
    cost: u32,
}

impl Offer {
    fn new(bundle: u32, gain: u64, cost: u32) -> Self {
        Offer { bundle, rate: gain as f64 / f64::from(cost), cost }
    }

    /// More per package is better, then fewer packages, then the name.
    fn beats(&self, other: &Offer) -> bool {
        let order = self.rate.total_cmp(&other.rate);
        order.then(other.cost.cmp(&self.cost)).then(other.bundle.cmp(&self.bundle)) == Ordering::Greater
    }
}

/// The order; of so many bundles as `paired` says, the best by themselves, each pair is looked at together.
pub(super) fn order(problem: &Problem, paired: usize) -> Vec<u32> {
    let mut state = State::new(problem);
    let mut order = Vec::with_capacity(problem.packages.len());
    while let Some(bundle) = state.choose(paired) {
        for package in &problem.bundles[bundle as usize].needs {
            if !state.is_added[*package as usize] {
                order.push(*package);
                state.add(*package);
            }
        }
    }
    order
}

impl<'a> State<'a> {
    fn new(problem: &'a Problem) -> Self {
        let packages = problem.packages.len();
        let mut state = State {
            problem,
            is_added: vec![false; packages],
            left: (0..problem.bundles.len() as u32).collect(),
            missing: problem.bundles.iter().map(|bundle| bundle.needs.len() as u32).collect(),
            gain: vec![0; problem.bundles.len()],
            rarest: vec![0; problem.bundles.len()],
            below: vec![Vec::new(); packages],
            mark: vec![0; packages],
            marks: 0,
        };
        for bundle in 0..problem.bundles.len() {
            state.file(bundle, None);
        }
        state
    }

    /// Files a bundle below the rarest package it still misses, and tells all bundles that hold it what it
    /// brings. Those that have `added` held it before and know.
    fn file(&mut self, bundle: usize, added: Option<u32>) {
        let inner = &self.problem.bundles[bundle];
        let rest = &inner.rare_first[self.rarest[bundle]..];
        let Some(skip) = rest.iter().position(|package| !self.is_added[*package as usize]) else { return };
        if skip > 0 || added.is_none() {
            self.below[rest[skip] as usize].push(bundle as u32);
        }
        self.rarest[bundle] += skip;
        let rest = &rest[skip..];
        for outer in &self.problem.wanted_by[rest[0] as usize] {
            let holder = &self.problem.bundles[*outer as usize];
            if self.missing[*outer as usize] >= self.missing[bundle]
                && added.is_none_or(|added| !holder.has(added))
                && rest[1..].iter().all(|package| self.is_added[*package as usize] || holder.has(*package))
            {
                let gain = &mut self.gain[*outer as usize];
                *gain = gain.saturating_add(inner.weight);
            }
        }
    }

    fn add(&mut self, package: u32) {
        let problem = self.problem;
        self.is_added[package as usize] = true;
        let wanted_by = &problem.wanted_by[package as usize];
        for bundle in wanted_by {
            self.missing[*bundle as usize] -= 1;
        }
        let mut content = 0u64;
        for bundle in wanted_by {
            if self.missing[*bundle as usize] == 0 {
                content = content.saturating_add(problem.bundles[*bundle as usize].weight);
            } else {
                self.file(*bundle as usize, Some(package));
            }
        }
        // Who is content lacked this package only, so all that miss it held them.
        for bundle in wanted_by {
            let gain = &mut self.gain[*bundle as usize];
            *gain = gain.saturating_sub(content);
        }
    }

    /// The bundle to add next; `None` when all are content.
    fn choose(&mut self, paired: usize) -> Option<u32> {
        self.left.retain(|bundle| self.missing[*bundle as usize] > 0);
        // The best few, best first. Hardly any of the thousands gets as far as being put in.
        let mut offers: Vec<Offer> = Vec::with_capacity(paired + 1);
        for bundle in &self.left {
            let place = *bundle as usize;
            let offer = Offer::new(*bundle, self.gain[place], self.missing[place]);
            if offers.len() == paired && offers.last().is_some_and(|last| !offer.beats(last)) {
                continue;
            }
            let place = offers.iter().position(|other| offer.beats(other)).unwrap_or(offers.len());
            offers.insert(place, offer);
            offers.truncate(paired);
        }
        let mut best = *offers.first()?;
        for (place, first) in offers.iter().enumerate() {
            for second in &offers[place + 1..] {
                let pair = self.pair(first, second);
                if pair.beats(&best) {
                    best = pair;
                }
            }
        }
        Some(best.bundle)
    }

    /// Two bundles together. The better of them stands for both: once it is added, the other is cheaper.
    fn pair(&mut self, first: &Offer, second: &Offer) -> Offer {
        self.marks += 1;
        let mut union = Vec::with_capacity((first.cost + second.cost) as usize);
        for offer in [first, second] {
            for package in &self.problem.bundles[offer.bundle as usize].needs {
                let place = *package as usize;
                if !self.is_added[place] && self.mark[place] != self.marks {
                    self.mark[place] = self.marks;
                    union.push(*package);
                }
            }
        }
        let mut gain = 0u64;
        for package in &union {
            for inner in &self.below[*package as usize] {
                let bundle = &self.problem.bundles[*inner as usize];
                let rest = &bundle.rare_first[self.rarest[*inner as usize]..];
                let is_held = |package: &u32| {
                    self.is_added[*package as usize] || self.mark[*package as usize] == self.marks
                };
                if rest[0] == *package && self.missing[*inner as usize] > 0 && rest.iter().all(is_held) {
                    gain = gain.saturating_add(bundle.weight);
                }
            }
        }
        Offer::new(first.bundle, gain, union.len() as u32)
    }
}
