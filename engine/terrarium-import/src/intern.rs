//! Texts that are many times the same, once.

use std::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;

/// Groups of texts with numbers. A group is one name, or what tells a module from others.
#[derive(Default)]
pub(crate) struct Interner<const N: usize> {
    bytes: String,
    /// Of each group: where each text ends.
    ends: Vec<[u32; N]>,
    starts: Vec<usize>,
    table: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
}

impl<const N: usize> Interner<N> {
    /// The number of a group.
    pub(crate) fn of(&mut self, texts: [&str; N]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        for text in texts {
            hasher.write(text.as_bytes());
            hasher.write_u8(0xFF);
        }
        let hash = hasher.finish();
        let (bytes, ends, starts) = (&self.bytes, &self.ends, &self.starts);
        let found = self.table.find(hash, |number| group(bytes, starts, ends, *number) == texts);
        if let Some(number) = found {
            return *number;
        }
        let number = self.ends.len() as u32;
        self.starts.push(self.bytes.len());
        let mut places = [0; N];
        let mut length = 0;
        for (place, text) in places.iter_mut().zip(texts) {
            self.bytes.push_str(text);
            length += text.len() as u32;
            *place = length;
        }
        self.ends.push(places);
        let (bytes, ends, starts, hasher) = (&self.bytes, &self.ends, &self.starts, &self.hasher);
        self.table.insert_unique(hash, number, |number| {
            let mut again = hasher.build_hasher();
            for text in group(bytes, starts, ends, *number) {
                again.write(text.as_bytes());
                again.write_u8(0xFF);
            }
            again.finish()
        });
        number
    }

    /// The texts of a number that was given.
    pub(crate) fn texts(&self, number: u32) -> [&str; N] {
        group(&self.bytes, &self.starts, &self.ends, number)
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes that it takes, about.
    pub(crate) fn size(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * (4 * N + 8) + self.table.capacity() * 5
    }
}

fn group<'a, const N: usize>(
    bytes: &'a str,
    starts: &[usize],
    ends: &[[u32; N]],
    number: u32,
) -> [&'a str; N] {
    let start = starts[number as usize];
    let mut from = start;
    ends[number as usize].map(|end| {
        let until = start + end as usize;
        let text = &bytes[from..until];
        from = until;
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_has_the_same_number() {
        let mut interner = Interner::<2>::default();
        for i in 0..10_000 {
            assert_eq!(interner.of([&format!("a{i}"), "b"]), i);
        }
        assert_eq!(interner.of(["a77", "b"]), 77);
        assert_eq!(interner.texts(77), ["a77", "b"]);
        // What stands in which text counts.
        assert_ne!(interner.of(["a77b", ""]), 77);
        assert_eq!(interner.len(), 10_001);
        assert!(interner.size() > 50_000);
    }
}
