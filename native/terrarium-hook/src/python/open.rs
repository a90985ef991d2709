//! Imports that were begun and have not ended.

use super::table::Tag;

/// How many are followed to their end at the same time: nested in each other, and in threads.
const MOST: usize = 64;

/// An import that was begun.
#[derive(Clone, Copy)]
pub(super) struct Open {
    pub(super) number: u32,
    /// Microseconds since the start.
    pub(super) started: u64,
    /// Who imports it.
    pub(super) importer: Tag,
    /// In which thread, see [`crate::kernel::thread`].
    pub(super) thread: usize,
    /// Where it is in `sys.modules`; negative: not there yet.
    pub(super) index: isize,
    /// Whether it was given up; it may come to its end for all that.
    pub(super) is_given_up: bool,
    /// Whether a shared object was named for it: one that refuses stays mapped.
    pub(super) has_object: bool,
}

/// Those that are open, the first begun first.
pub(super) struct OpenImports {
    list: [Open; MOST],
    count: usize,
}

impl OpenImports {
    pub(super) const fn new() -> Self {
        let none = Open {
            number: 0,
            started: 0,
            importer: Tag::NONE,
            thread: 0,
            index: 0,
            is_given_up: false,
            has_object: false,
        };
        Self { list: [none; MOST], count: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    fn all(&self) -> &[Open] {
        self.list.get(..self.count).unwrap_or_default()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn get(&mut self, place: usize) -> Option<&mut Open> {
        self.list.get_mut(..self.count)?.get_mut(place)
    }

    /// Where a module is in the list.
    pub(super) fn place_of(&self, number: u32) -> Option<usize> {
        self.all().iter().rposition(|open| open.number == number)
    }

    /// Adds one. If there is no room the first goes, which has been open for longest: nobody will know how long it took.
    pub(super) fn push(&mut self, open: Open) {
        if self.count == MOST {
            self.remove(0);
        }
        if let Some(place) = self.list.get_mut(self.count) {
            *place = open;
            self.count += 1;
        }
    }

    pub(super) fn remove(&mut self, place: usize) {
        if let Some([_, rest @ ..]) = self.list.get(place..self.count) {
            let count = rest.len();
            for at in place..place + count {
                if let Some(&next) = self.list.get(at + 1)
                    && let Some(this) = self.list.get_mut(at)
                {
                    *this = next;
                }
            }
            self.count = place + count;
        }
    }
}
