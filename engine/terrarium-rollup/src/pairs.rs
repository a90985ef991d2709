//! What is used together, job-day by job-day.

use crate::answer::{AskedOf, in_threads};
use crate::part::Part;
use crate::select::{Filter, Selected, Selection};

/// Two libraries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// One,
    pub package: String,
    /// and the other.
    pub other: String,
    /// Job-days that loaded both,
    pub together: u64,
    /// the one,
    pub of_package: u64,
    /// the other,
    pub of_other: u64,
    /// and that ran Python, whatever they loaded.
    pub of_all: u64,
}

/// Counts pairs of these libraries, each with each, itself included.
pub fn pairs(parts: &[AskedOf<'_>], filter: &Filter, packages: &[String]) -> Vec<Pair> {
    let selection = Selection::new(parts, filter);
    let work: Vec<(&Part, &Selected)> = parts.iter().map(|(part, _)| *part).zip(&selection.parts).collect();
    let n = packages.len();
    let mut all = vec![0u64; n * n + 1];
    for counts in in_threads(&work, |(part, selected)| of_part(part, selected, filter, packages)) {
        all.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let pair = |at: usize| {
        let (a, b) = (at / n, at % n);
        Pair {
            package: packages[a].clone(),
            other: packages[b].clone(),
            together: all[at],
            of_package: all[a * n + a],
            of_other: all[b * n + b],
            of_all: all[n * n],
        }
    };
    (0..n * n).map(pair).collect()
}

/// Job-days of each pair, row by row, and of all.
fn of_part(part: &Part, selected: &Selected, filter: &Filter, packages: &[String]) -> Vec<u64> {
    let n = packages.len();
    let mut counts = vec![0; n * n + 1];
    if filter.cluster.as_ref().is_some_and(|cluster| *cluster != part.cluster) {
        return counts;
    }
    let words = selected.place.len().div_ceil(64);
    let mut sets = vec![vec![0u64; words]; n + 1];
    let text = |number: u32| part.texts[number as usize].as_str();
    for (set, key) in part.libraries.keys.iter().enumerate() {
        let place = match key.package {
            0 => Some(n),
            package => packages.iter().position(|wanted| wanted == text(package)),
        };
        let is_wanted = filter.has_class(text(key.class))
            && (key.package == 0
                || filter.origin.as_deref().is_none_or(|origin| text(key.origin) == origin)
                    && filter.direct.is_none_or(|direct| key.asked.known() == Some(direct)));
        let Some(place) = place.filter(|_| is_wanted) else { continue };
        for run in part.libraries.of(set) {
            let (from, to) = selected.run(run);
            (from..to).for_each(|at| sets[place][at / 64] |= 1 << (at % 64));
        }
    }
    let count =
        |a: &[u64], b: &[u64]| a.iter().zip(b).map(|(a, b)| u64::from((a & b).count_ones())).sum::<u64>();
    for a in 0..n {
        for b in a..n {
            let both = count(&sets[a], &sets[b]);
            (counts[a * n + b], counts[b * n + a]) = (both, both);
        }
    }
    counts[n * n] = count(&sets[n], &sets[n]);
    counts
}
