//! Symbols of loaded objects, looked up as the dynamic linker does it. dlsym is in a library of its own in older C libraries, and
//! does not find what was loaded for one caller only (an embedded libpython).

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::offset_of;
use core::{ptr, slice};

/// `ElfW(Phdr)` of 64-bit machines.
#[repr(C)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical: u64,
    in_file: u64,
    in_memory: u64,
    align: u64,
}

/// `ElfW(Sym)`.
#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: u64,
    size: u64,
}

/// `struct dl_phdr_info`.
#[repr(C)]
struct Info {
    base: usize,
    name: *const c_char,
    segments: *const Segment,
    count: u16,
    added: u64,
    removed: u64,
}

// SAFETY: as the C library declares them.
#[link(name = "c")]
unsafe extern "C" {
    fn dl_iterate_phdr(
        callback: unsafe extern "C" fn(*const Info, usize, *mut c_void) -> c_int,
        data: *mut c_void,
    ) -> c_int;
    fn getauxval(kind: u64) -> u64;
}

/// A loaded object.
pub(crate) struct Object<'a> {
    base: usize,
    segments: &'a [Segment],
    /// Its path; empty for the program itself.
    pub(crate) name: &'a CStr,
    /// How many objects were ever loaded and unloaded, where the C library tells.
    pub(crate) changes: Option<(u64, u64)>,
}

/// Shows each loaded object to `look`, until that says false.
pub(crate) fn each(look: &mut dyn FnMut(&Object<'_>) -> bool) {
    // SAFETY: called by the C library, with its own structure and the pointer given below.
    unsafe extern "C" fn one(info: *const Info, size: usize, data: *mut c_void) -> c_int {
        // SAFETY: the C library shows a valid structure for the time of the call; `data` is the pointer given below.
        let (info, look) = unsafe { (&*info, &mut *data.cast::<&mut dyn FnMut(&Object<'_>) -> bool>()) };
        let name = match info.name.is_null() {
            true => c"",
            // SAFETY: a C string that lives as long as the object is loaded.
            false => unsafe { CStr::from_ptr(info.name) },
        };
        // SAFETY: the C library's pointer and count.
        let segments = unsafe { slice::from_raw_parts(info.segments, usize::from(info.count)) };
        let tells = size >= offset_of!(Info, removed) + 8;
        let object = Object {
            base: info.base,
            segments,
            name,
            // SAFETY of reading: the structure is as long as `size` says.
            changes: tells.then_some((info.added, info.removed)),
        };
        c_int::from(!look(&object))
    }
    let mut look = look;
    // SAFETY: `one` gets `look` back while it is alive.
    unsafe { dl_iterate_phdr(one, (&raw mut look).cast()) };
}

/// Whether the kernel runs this program with more rights than its caller has.
pub(crate) fn is_privileged() -> bool {
    // SAFETY: reads what the kernel gave; 23 is AT_SECURE.
    unsafe { getauxval(23) != 0 }
}

/// A function of the C library, that one and no other of the same name.
pub(crate) fn library_function(name: &CStr) -> Option<*const c_void> {
    let mut found = None;
    each(&mut |object| {
        let file = object.name.to_bytes().rsplit(|&b| b == b'/').next().unwrap_or_default();
        if file.starts_with(b"libc.so") || file.starts_with(b"libc-") || file.starts_with(b"ld-musl") {
            found = object.symbol(name);
        }
        found.is_none()
    });
    found
}

/// The function of this name in the first object behind the one that holds `own`.
pub(crate) fn behind(own: *const c_void, name: &CStr) -> Option<*const c_void> {
    let (mut found, mut is_behind) = (None, false);
    each(&mut |object| {
        if is_behind {
            found = object.symbol(name);
        } else {
            is_behind = object.holds(own as usize);
        }
        found.is_none()
    });
    found
}

/// What a symbol table needs.
struct Tables {
    symbols: *const Symbol,
    strings: *const u8,
    gnu_hash: *const u32,
    hash: *const u32,
}

impl Object<'_> {
    /// The address of a function or variable that this object defines.
    pub(crate) fn symbol(&self, name: &CStr) -> Option<*const c_void> {
        let tables = self.tables()?;
        // SAFETY: the tables are those that the dynamic linker uses.
        let symbol = unsafe {
            match (tables.gnu_hash.is_null(), tables.hash.is_null()) {
                (false, _) => by_gnu_hash(&tables, name),
                (true, false) => by_hash(&tables, name),
                (true, true) => None,
            }
        }?;
        Some(self.base.wrapping_add(symbol.value as usize) as *const c_void)
    }

    fn holds(&self, address: usize) -> bool {
        let is_loaded = |segment: &&Segment| segment.kind == 1;
        self.segments.iter().filter(is_loaded).any(|segment| {
            let offset = address.wrapping_sub(self.base.wrapping_add(segment.address as usize));
            (offset as u64) < segment.in_memory
        })
    }

    fn tables(&self) -> Option<Tables> {
        let dynamic = self.segments.iter().find(|segment| segment.kind == 2)?;
        let mut at = self.base.wrapping_add(dynamic.address as usize) as *const [u64; 2];
        let mut tables =
            Tables { symbols: ptr::null(), strings: ptr::null(), gnu_hash: ptr::null(), hash: ptr::null() };
        loop {
            // SAFETY: a list in memory that ends with a tag of 0.
            let [tag, value] = unsafe { at.read() };
            // Some linkers relocate these addresses in place, others do not.
            let address = match (value as usize) < self.base {
                true => self.base.wrapping_add(value as usize),
                false => value as usize,
            };
            match tag {
                0 => break,
                4 => tables.hash = address as *const u32,
                5 => tables.strings = address as *const u8,
                6 => tables.symbols = address as *const Symbol,
                0x6fff_fef5 => tables.gnu_hash = address as *const u32,
                _ => {}
            }
            // SAFETY: not the last.
            at = unsafe { at.add(1) };
        }
        (!tables.symbols.is_null() && !tables.strings.is_null()).then_some(tables)
    }
}

/// # Safety
/// The tables are a loaded object's.
unsafe fn matches(tables: &Tables, index: u32, name: &CStr) -> Option<&'static Symbol> {
    // SAFETY: an index from the object's own hash table.
    unsafe {
        let symbol = &*tables.symbols.add(index as usize);
        let own = CStr::from_ptr(tables.strings.add(symbol.name as usize).cast());
        // Functions and variables that are defined here; not those that a resolver would have to find (kind 10).
        let usable = symbol.section != 0 && symbol.value != 0 && matches!(symbol.info & 15, 0..=2);
        (usable && own == name).then_some(symbol)
    }
}

/// # Safety
/// The tables are a loaded object's.
unsafe fn by_gnu_hash(tables: &Tables, name: &CStr) -> Option<&'static Symbol> {
    let mut hash = 5381_u32;
    for &byte in name.to_bytes() {
        hash = hash.wrapping_mul(33).wrapping_add(u32::from(byte));
    }
    let table = tables.gnu_hash;
    // SAFETY: the layout of DT_GNU_HASH: four words, a filter of 64-bit words, buckets, chains.
    unsafe {
        let [buckets, first, filters, shift] = table.cast::<[u32; 4]>().read();
        if buckets == 0 || filters == 0 {
            return None;
        }
        let filter = table.add(4).cast::<u64>();
        let word = filter.add((hash / 64 % filters) as usize).read_unaligned();
        if word >> (hash % 64) & word >> ((hash >> shift) % 64) & 1 == 0 {
            return None;
        }
        let bucket = filter.add(filters as usize).cast::<u32>();
        let chain = bucket.add(buckets as usize);
        let mut index = bucket.add((hash % buckets) as usize).read();
        if index < first {
            return None;
        }
        loop {
            let own = chain.add((index - first) as usize).read();
            if own | 1 == hash | 1
                && let Some(symbol) = matches(tables, index, name)
            {
                return Some(symbol);
            }
            if own & 1 != 0 {
                return None;
            }
            index += 1;
        }
    }
}

/// # Safety
/// The tables are a loaded object's.
unsafe fn by_hash(tables: &Tables, name: &CStr) -> Option<&'static Symbol> {
    let mut hash = 0_u32;
    for &byte in name.to_bytes() {
        hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xF000_0000;
        hash = (hash ^ high >> 24) & !high;
    }
    // SAFETY: the layout of DT_HASH: two words, buckets, chains.
    unsafe {
        let [buckets, _] = tables.hash.cast::<[u32; 2]>().read();
        if buckets == 0 {
            return None;
        }
        let bucket = tables.hash.add(2);
        let chain = bucket.add(buckets as usize);
        let mut index = bucket.add((hash % buckets) as usize).read();
        while index != 0 {
            if let Some(symbol) = matches(tables, index, name) {
                return Some(symbol);
            }
            index = chain.add(index as usize).read();
        }
        None
    }
}
