//! Which names were recorded: a hash table in static memory that moves twice as it fills, so that a small program touches
//! little of it.

use terrarium_wire::hash;

/// Entries of the three sizes; each is three quarters full before it moves.
const SIZES: [usize; 3] = [512, 4096, 32768];
const ALL: usize = SIZES[0] + SIZES[1] + SIZES[2];

/// The most modules that are recorded.
pub(super) const MOST: usize = SIZES[2] / 4 * 3;

/// A name's hash, as the table keeps it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u64);

impl Tag {
    /// Of no name.
    pub(super) const NONE: Self = Self(0);

    pub(super) fn of(name: &[u8]) -> Self {
        Self(hash(name) & !0xFF_FFFF)
    }
}

/// From names to numbers.
pub(super) struct Table {
    /// The upper 40 bits of a name's hash, and below them its number plus 1; 0: free.
    entries: [u64; ALL],
    /// Which size is used.
    size: usize,
    count: usize,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self { entries: [0; ALL], size: 0, count: 0 }
    }

    fn part(&self) -> (usize, usize) {
        (SIZES[..self.size].iter().sum(), SIZES[self.size])
    }

    /// Where a tag is, or would be, and its number.
    fn find(&self, tag: Tag) -> (usize, Option<u32>) {
        let (begin, size) = self.part();
        let mut place = (tag.0 >> 40) as usize % size;
        loop {
            match self.entries[begin + place] {
                0 => return (begin + place, None),
                entry if entry & !0xFF_FFFF == tag.0 => {
                    return (begin + place, Some((entry & 0xFF_FFFF) as u32 - 1));
                }
                _ => place = (place + 1) % size,
            }
        }
    }

    /// The number of a name.
    pub(super) fn get(&self, tag: Tag) -> Option<u32> {
        self.find(tag).1
    }

    /// Puts a name in that is not there yet.
    pub(super) fn insert(&mut self, tag: Tag, number: u32) -> bool {
        if self.count >= SIZES[self.size] / 4 * 3 {
            if self.size + 1 == SIZES.len() {
                return false;
            }
            let (begin, size) = self.part();
            self.size += 1;
            for place in begin..begin + size {
                let entry = self.entries[place];
                if entry != 0 {
                    let (to, _) = self.find(Tag(entry & !0xFF_FFFF));
                    self.entries[to] = entry;
                }
            }
        }
        let (place, _) = self.find(tag);
        self.entries[place] = tag.0 | u64::from(number + 1);
        self.count += 1;
        true
    }
}
