//! Which names were recorded: a hash table in static memory that moves twice as it fills, so that a small program touches
//! little of it.

use terrarium_wire::hash;

/// Entries of the three sizes, powers of two; each is three quarters full before it moves.
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
#[repr(C)]
pub(super) struct Table {
    /// Which size is used.
    size: usize,
    count: usize,
    /// The upper 40 bits of a name's hash, and below them its number plus 1; 0: free.
    entries: [u64; ALL],
}

impl Table {
    pub(super) const fn new() -> Self {
        Self { entries: [0; ALL], size: 0, count: 0 }
    }

    /// Where the part that is used begins, and how many entries it has.
    fn part(&self) -> (usize, usize) {
        match self.size {
            0 => (0, SIZES[0]),
            1 => (SIZES[0], SIZES[1]),
            _ => (SIZES[0] + SIZES[1], SIZES[2]),
        }
    }

    /// The place of a tag, or the one where it would go, and its number.
    fn find(&self, tag: Tag) -> Option<(usize, Option<u32>)> {
        let (begin, size) = self.part();
        let mut place = (tag.0 >> 40) as usize & (size - 1);
        loop {
            match *self.entries.get(begin + place)? {
                0 => return Some((begin + place, None)),
                entry if entry & !0xFF_FFFF == tag.0 => {
                    return Some((begin + place, Some((entry & 0xFF_FFFF) as u32 - 1)));
                }
                _ => place = (place + 1) & (size - 1),
            }
        }
    }

    /// Puts an entry where its tag goes.
    fn put(&mut self, entry: u64) -> bool {
        let free = self.find(Tag(entry & !0xFF_FFFF)).and_then(|(place, _)| self.entries.get_mut(place));
        free.map(|free| *free = entry).is_some()
    }

    /// The number of a name.
    pub(super) fn get(&self, tag: Tag) -> Option<u32> {
        self.find(tag)?.1
    }

    /// Gives a name its number, or another; false: the table is full.
    pub(super) fn insert(&mut self, tag: Tag, number: u32) -> bool {
        let (begin, size) = self.part();
        if self.count >= size / 4 * 3 {
            if self.size == 2 {
                return false;
            }
            self.size += 1;
            for place in begin..begin + size {
                let entry = self.entries.get(place).copied().unwrap_or_default();
                if entry != 0 {
                    self.put(entry);
                }
            }
        }
        self.count += 1;
        self.put(tag.0 | u64::from(number + 1))
    }
}
