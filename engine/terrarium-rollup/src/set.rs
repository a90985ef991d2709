//! Sets of small numbers: of users, and of jobs.

/// A set: a list while it is small, bits when it is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// In order.
    few: Vec<u32>,
    /// Used when `few` would be longer than [`FEW`].
    bits: Vec<u64>,
    count: usize,
}

/// The most that are in a list.
const FEW: usize = 32;

impl Set {
    /// Adds a number; it is quick where numbers come in order.
    pub fn insert(&mut self, number: u32) {
        if !self.bits.is_empty() {
            self.set(number);
            return;
        }
        match self.few.last() {
            Some(last) if *last == number => return,
            Some(last) if *last > number => match self.few.binary_search(&number) {
                Ok(_) => return,
                Err(place) => self.few.insert(place, number),
            },
            _ => self.few.push(number),
        }
        self.count += 1;
        if self.few.len() > FEW {
            let few = std::mem::take(&mut self.few);
            self.count = 0;
            for number in few {
                self.set(number);
            }
        }
    }

    fn set(&mut self, number: u32) {
        let (word, bit) = (number as usize / 64, 1u64 << (number % 64));
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        let is_new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        self.count += usize::from(is_new);
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: &Set) {
        if self.bits.is_empty() || other.bits.is_empty() {
            other.iter().for_each(|number| self.insert(number));
            return;
        }
        if self.bits.len() < other.bits.len() {
            self.bits.resize(other.bits.len(), 0);
        }
        for (mine, theirs) in self.bits.iter_mut().zip(&other.bits) {
            *mine |= theirs;
        }
        self.count = self.bits.iter().map(|word| word.count_ones() as usize).sum();
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether it has this one.
    pub fn contains(&self, number: u32) -> bool {
        match self.bits.get(number as usize / 64) {
            Some(word) => word & (1 << (number % 64)) != 0,
            None => self.few.binary_search(&number).is_ok(),
        }
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let bits = self.bits.iter().enumerate().flat_map(|(word, bits)| {
            let mut bits = *bits;
            std::iter::from_fn(move || {
                (bits != 0).then(|| {
                    let bit = bits.trailing_zeros();
                    bits &= bits - 1;
                    word as u32 * 64 + bit
                })
            })
        });
        self.few.iter().copied().chain(bits)
    }
}

impl FromIterator<u32> for Set {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut set = Set::default();
        numbers.into_iter().for_each(|number| set.insert(number));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(a in prop::collection::vec(0u32..500, 0..120), b in prop::collection::vec(0u32..500, 0..120)) {
            let (x, y): (Set, Set) = (a.iter().copied().collect(), b.iter().copied().collect());
            let p: BTreeSet<u32> = a.iter().copied().collect();
            let mut q: BTreeSet<u32> = b.iter().copied().collect();
            prop_assert_eq!(x.len(), p.len());
            prop_assert_eq!(x.iter().collect::<Vec<_>>(), p.iter().copied().collect::<Vec<_>>());
            let mut both = y.clone();
            both.extend(&x);
            q.extend(&p);
            prop_assert_eq!(both.len(), q.len());
            for number in 0..500 {
                prop_assert_eq!(both.contains(number), q.contains(&number));
            }
        }
    }
}
