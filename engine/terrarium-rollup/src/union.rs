//! Sets united: a job-day that is in several of them counts once.

use crate::part::Runs;

/// Unites sets: a job-day that is in several of a row counts once.
pub(crate) struct Union {
    bits: Vec<u64>,
    runs: Vec<(u64, u64)>,
}

impl Union {
    /// Below so many runs it is quicker to sort them.
    const FEW: usize = 64;

    pub(crate) fn new(job_days: usize) -> Self {
        Union { bits: vec![0; job_days.div_ceil(64)], runs: Vec::new() }
    }

    /// The runs of all these sets together.
    pub(crate) fn of(&mut self, sets: &[(&Runs, usize)]) -> &[(u64, u64)] {
        self.runs.clear();
        self.runs.extend(sets.iter().flat_map(|(runs, set)| runs.of(*set)));
        if sets.len() > 1 {
            if self.runs.len() <= Self::FEW { self.sort() } else { self.mark() }
        }
        &self.runs
    }

    fn sort(&mut self) {
        self.runs.sort_unstable();
        self.runs.dedup_by(|next, kept| {
            let is_near = next.0 <= kept.1;
            if is_near {
                kept.1 = kept.1.max(next.1);
            }
            is_near
        });
    }

    fn mark(&mut self) {
        let most = self.bits.len() as u64 * 64;
        for (start, end) in self.runs.drain(..) {
            let (start, end) = (start.min(most), end.min(most));
            if start >= end {
                continue;
            }
            let (first, last) = ((start / 64) as usize, ((end - 1) / 64) as usize);
            let (low, high) = (!0u64 << (start % 64), !0u64 >> (63 - (end - 1) % 64));
            if first == last {
                self.bits[first] |= low & high;
            } else {
                self.bits[first] |= low;
                self.bits[first + 1..last].fill(!0);
                self.bits[last] |= high;
            }
        }
        // Back to runs, and all bits are 0 again.
        let mut open: Option<u64> = None;
        for (word, bits) in self.bits.iter_mut().enumerate() {
            let mut left = std::mem::take(bits);
            let base = word as u64 * 64;
            if left == 0 || (left == !0 && open.is_some()) {
                if left == 0
                    && let Some(start) = open.take()
                {
                    self.runs.push((start, base));
                }
                continue;
            }
            let mut at = 0;
            while at < 64 {
                match open {
                    None if left == 0 => break,
                    None => {
                        let skip = left.trailing_zeros();
                        at += skip;
                        left >>= skip;
                        open = Some(base + u64::from(at));
                    }
                    Some(start) => {
                        let ones = left.trailing_ones().min(64 - at);
                        at += ones;
                        if at == 64 {
                            break;
                        }
                        left >>= ones;
                        self.runs.push((start, base + u64::from(at)));
                        open = None;
                    }
                }
            }
        }
        if let Some(start) = open {
            self.runs.push((start, most));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::part::{Asked, Key};

    proptest! {
        #[test]
        fn a_union_has_what_any_of_them_has(
            sets in prop::collection::vec(prop::collection::btree_set(0u32..300, 0..200), 1..5),
            blocks in prop::collection::vec((0u32..300, 1u32..200), 1..3),
        ) {
            let mut sets = sets;
            sets.extend(blocks.into_iter().map(|(from, length)| (from..(from + length).min(300)).collect()));
            let key = Key { package: 1, distribution: 0, version: 0, origin: 0, class: 0, asked: Asked::Yes };
            let mut runs = Runs::default();
            for set in &sets {
                runs.push(key, &set.iter().copied().collect::<Vec<_>>());
            }
            let all: std::collections::BTreeSet<u64> = sets.iter().flatten().map(|at| u64::from(*at)).collect();
            let members: Vec<(&Runs, usize)> = (0..sets.len()).map(|set| (&runs, set)).collect();
            let mut union = Union::new(300);
            for _ in 0..2 {
                let found: Vec<u64> = union.of(&members).iter().flat_map(|(from, to)| *from..*to).collect();
                prop_assert_eq!(found, all.iter().copied().collect::<Vec<_>>());
            }
            union.runs = members.iter().flat_map(|(runs, set)| runs.of(*set)).collect();
            union.mark();
            let found: Vec<u64> = union.runs.iter().flat_map(|(from, to)| *from..*to).collect();
            prop_assert_eq!(found, all.iter().copied().collect::<Vec<_>>());
        }
    }
}
