//! Imports that were begun and have not ended.

use core::ffi::c_ulong;

use super::table::Tag;

/// How many are followed to their end at the same time: nested in each other, and in threads.
const MOST: usize = 128;

/// An import that was begun.
#[derive(Clone, Copy)]
pub(super) struct Open {
    pub(super) number: u32,
    /// Microseconds since the start.
    pub(super) started: u64,
    /// Its own name.
    pub(super) tag: Tag,
    /// Who imports it, and in which thread.
    pub(super) importer: Tag,
    pub(super) thread: c_ulong,
    /// Where it is in `sys.modules`; negative: not there yet.
    pub(super) index: isize,
    /// Which `sys.modules` that is, and its key there; only compared.
    pub(super) modules: usize,
    pub(super) key: usize,
    /// Whether a shared object was named for it: one that refuses stays mapped.
    pub(super) has_object: bool,
}

impl Open {
    /// Nothing is known yet. All zeros, as what is static here is to be.
    pub(super) const NONE: Self = Self {
        number: 0,
        started: 0,
        tag: Tag::NONE,
        importer: Tag::NONE,
        thread: 0,
        index: 0,
        modules: 0,
        key: 0,
        has_object: false,
    };
}

/// Those that are open, the first begun first.
pub(super) struct OpenImports {
    list: [Open; MOST],
    count: usize,
}

impl OpenImports {
    pub(super) const fn new() -> Self {
        Self { list: [Open::NONE; MOST], count: 0 }
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

    /// The extension module whose own code runs in this thread, if what runs is not Python code that it imports in turn.
    pub(super) fn extension(&self, thread: c_ulong) -> Option<Open> {
        let innermost = self
            .all()
            .iter()
            .rev()
            .find(|open| open.thread == thread && (open.index >= 0 || open.has_object));
        innermost.copied().filter(|open| open.has_object)
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
