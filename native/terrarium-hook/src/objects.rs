//! Which shared objects are mapped. Each is recorded once, when it comes.

use terrarium_wire::{hash, header, kind};

use crate::elf;
use crate::state::State;

/// How many different objects are recorded.
const ROOM: usize = 2048;

/// The objects that were recorded.
#[repr(C)]
pub(crate) struct Objects {
    /// The C library's counts of loaded and unloaded objects at the last look.
    changes: Option<(u64, u64)>,
    /// How many the list had then.
    seen: usize,
    count: usize,
    /// Hashes of their paths, in order.
    known: [u32; ROOM],
}

impl Objects {
    pub(crate) const fn new() -> Self {
        Self { changes: None, seen: 0, count: 0, known: [0; ROOM] }
    }

    /// Whether this path is new; `None`: there is no room to remember it. Only once something was unloaded an object may
    /// come that is known.
    fn add(&mut self, path: &[u8], may_be_known: bool) -> Option<bool> {
        let hash = (hash(path) >> 32) as u32;
        if may_be_known && self.known.get(..self.count)?.contains(&hash) {
            return Some(false);
        }
        *self.known.get_mut(self.count)? = hash;
        self.count += 1;
        Some(true)
    }
}

/// Records the objects that came since the last look, and shows each of them to `new`.
pub(crate) fn look(state: &mut State, new: &mut dyn FnMut(&elf::Object<'_>)) {
    let mut index = 0;
    let mut skip = None;
    elf::each(&mut |object| {
        let skip = *skip.get_or_insert_with(|| {
            let before = core::mem::replace(&mut state.objects.changes, object.changes);
            match (before, object.changes) {
                (Some(before), Some(now)) if before == now => usize::MAX,
                // New ones are at the end, as long as none went.
                (Some(before), Some(now)) if before.1 == now.1 => state.objects.seen,
                _ => 0,
            }
        });
        if skip == usize::MAX {
            return false;
        }
        index += 1;
        if index <= skip {
            return true;
        }
        new(object);
        let path = object.name.to_bytes();
        // The program has no name, and what the kernel maps has no path. A path may be relative.
        if path.contains(&b'/') {
            match state.objects.add(path, object.changes.is_none_or(|(_, unloaded)| unloaded > 0)) {
                Some(false) => {}
                Some(true) => {
                    let put =
                        state.log.write(kind::OBJECT, &|put, texts| put.continued(&texts.objects, path));
                    if put {
                        state.log.texts.objects.remember(path);
                    }
                }
                None => state.log.count(header::AT_TOO_MUCH),
            }
        }
        true
    });
    if skip != Some(usize::MAX) {
        state.objects.seen = index;
    }
}
