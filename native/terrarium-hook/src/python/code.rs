//! Import statements in the user's own code: what they ask for may be loaded already, and then there is no event.
//!
//! The bytecode is read, not the names alone: a variable that is called `time` is no import. Statements in functions count as
//! well, also in those that are never called.

use terrarium_wire::{hash, header, kind};

use crate::log::Log;

use super::api::{Api, Name, Ref};
use super::modules::Modules;

/// How deep functions and classes may be nested in each other.
const DEPTH: usize = 16;

/// How many records are remembered, so that code that is run in a loop is recorded once; a power of two.
const RECORDED: usize = 256;

/// Where the standard library and installed packages are.
pub(super) struct Library {
    /// Each with its length.
    prefixes: [([u8; 1024], usize); 2],
    opcodes: Option<Opcodes>,
    found: Found,
    /// Hashes of what was recorded, each in the place that it says.
    recorded: [u32; RECORDED],
}

/// Numbers of bytecode instructions.
#[derive(Clone, Copy)]
struct Opcodes {
    load_const: u8,
    import_name: u8,
    extended_arg: u8,
    /// From 3.14 on; 0 before.
    load_small_int: u8,
    /// So many low bits of `import_name`'s argument say whether it is lazy; the name's place is above them.
    laziness: u32,
}

impl Opcodes {
    /// Those of a version, such as `3.11.7 (…`; `None`: not known.
    fn of(version: &[u8]) -> Option<Self> {
        let minor = version.strip_prefix(b"3.")?;
        let minor = minor.split(|byte| !byte.is_ascii_digit()).next()?;
        let (load_const, import_name, extended_arg, load_small_int, laziness) = match minor {
            b"8" | b"9" | b"10" | b"11" | b"12" => (100, 108, 144, 0, 0),
            b"13" => (83, 75, 71, 0, 0),
            b"14" => (82, 73, 69, 94, 0),
            b"15" => (81, 72, 67, 93, 2),
            _ => return None,
        };
        Some(Self { load_const, import_name, extended_arg, load_small_int, laziness })
    }
}

impl Library {
    pub(super) const fn new() -> Self {
        Self { prefixes: [([0; 1024], 0); 2], opcodes: None, found: Found::new(), recorded: [0; RECORDED] }
    }

    /// In a forked child: its file has none of it.
    pub(super) fn forked(&mut self) {
        self.recorded = [0; RECORDED];
    }

    /// `sys.prefix` and `sys.base_prefix`, of this version.
    pub(super) fn set(&mut self, version: &[u8], prefix: &[u8], base: &[u8]) {
        self.opcodes = Opcodes::of(version);
        for ((place, length), text) in self.prefixes.iter_mut().zip([prefix, base]) {
            *length = 0;
            for (to, from) in place.iter_mut().zip(text) {
                *to = *from;
                *length += 1;
            }
        }
    }

    /// Whether a file is the standard library's or an installed package's.
    fn has(&self, file: &[u8]) -> bool {
        let contains = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|window| window == part);
        if contains(file, b"/site-packages/") || contains(file, b"/dist-packages/") {
            return true;
        }
        self.prefixes.iter().any(|(prefix, length)| {
            let prefix = prefix.get(..*length).filter(|prefix| !prefix.is_empty());
            let rest = prefix.and_then(|prefix| file.strip_prefix(prefix));
            rest.is_some_and(|rest| rest.starts_with(b"/lib") && contains(rest, b"/python"))
        })
    }
}

/// Whether a file name stands for code without a file that is nobody's own: `<string>`, `<frozen …>`. What people type into
/// IPython is theirs.
fn is_made(file: &[u8]) -> bool {
    file.first() == Some(&b'<') && !file.starts_with(b"<ipython-input")
}

/// A code object that is about to be run: if it is the user's, what its import statements ask for is recorded.
pub(super) fn look(
    api: &Api,
    log: &mut Log,
    modules: &Modules,
    library: &mut Library,
    code: Ref,
    is_main: bool,
) {
    let Some(opcodes) = library.opcodes else { return };
    let Some(held) = api.attribute(code, Name::CodeFile) else { return };
    let Some(file) = api.text(held.get()) else { return };
    if !is_main && (is_made(file) || library.has(file)) {
        return;
    }
    let whose = if is_main { None } else { modules.of_file(file) };
    let whose = whose.unwrap_or_else(|| modules.importer(b"__main__"));
    let file = file.get(..1024).unwrap_or(file);
    let Some(class) = api.class(code) else { return };
    let found = &mut library.found;
    found.begin();
    found.collect(api, opcodes, code, class.get(), DEPTH);
    if found.has_too_many {
        log.count(header::AT_TOO_MUCH);
    }
    if found.count == 0 {
        return;
    }
    let hash = (hash(found.all()) ^ hash(file).rotate_left(1)) >> 32;
    let recorded = library.recorded.get_mut(hash as usize & (RECORDED - 1));
    if recorded.is_none_or(|place| core::mem::replace(place, hash as u32) != hash as u32) {
        log.write(kind::NAMES, &|put, _| {
            whose.put(put);
            put.text(file);
            put.number(found.count);
            found.each(|name| put.text(name));
        });
    }
}

/// Room for the hashes of names, of which 700 are kept; a power of two.
const SEEN: usize = 1024;

/// The names found in a code object, each once.
struct Found {
    /// Each with its length, two bytes, before it.
    bytes: [u8; 16 << 10],
    length: usize,
    count: u64,
    /// Hashes of the names, open addressing; 0: free.
    seen: [u32; SEEN],
    has_too_many: bool,
}

impl Found {
    const fn new() -> Self {
        Self { bytes: [0; 16 << 10], length: 0, count: 0, seen: [0; SEEN], has_too_many: false }
    }

    fn begin(&mut self) {
        // Only what was used: a page that was never touched stays so.
        if self.count > 0 {
            self.seen = [0; SEEN];
        }
        (self.length, self.count, self.has_too_many) = (0, 0, false);
    }

    fn all(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn each(&self, mut act: impl FnMut(&[u8])) {
        let mut rest = self.all();
        while let Some((length, behind)) = rest.split_first_chunk() {
            let Some((name, next)) = behind.split_at_checked(usize::from(u16::from_le_bytes(*length))) else {
                break;
            };
            act(name);
            rest = next;
        }
    }

    /// The names in a code object and in those inside it.
    fn collect(&mut self, api: &Api, opcodes: Opcodes, code: Ref, class: Ref, deeper: usize) {
        let (Some(bytes), Some(constants), Some(names)) = (
            api.attribute(code, Name::Code),
            api.attribute(code, Name::Constants),
            api.attribute(code, Name::Names),
        ) else {
            return;
        };
        if let Some(bytes) = api.bytes(bytes.get()) {
            self.read(api, opcodes, bytes, constants.get(), names.get());
        }
        if deeper == 0 {
            return;
        }
        for index in 0..api.length(constants.get()) {
            let Some(inner) = api.element(constants.get(), index) else { continue };
            if api.class(inner).is_some_and(|other| other.get() == class) {
                self.collect(api, opcodes, inner, class, deeper - 1);
            }
        }
    }

    fn read(&mut self, api: &Api, opcodes: Opcodes, bytes: &[u8], constants: Ref, names: Ref) {
        let mut extended = 0_usize;
        // What the last two instructions put on the stack: how many levels up, and which items.
        let (mut level, mut items) = (Value::Other, Value::Other);
        for &[opcode, low] in bytes.as_chunks().0 {
            let argument = extended << 8 | usize::from(low);
            if opcode == opcodes.extended_arg {
                extended = argument & 0xFF_FFFF;
                continue;
            }
            extended = 0;
            // The room behind an instruction for what the interpreter remembers.
            if opcode == 0 {
                continue;
            }
            if opcode == opcodes.import_name
                && let place = (argument >> opcodes.laziness).cast_signed()
                && let Some(name) = api.element(names, place).and_then(|name| api.text(name))
            {
                let level = match level {
                    Value::Number(level) => level as i64,
                    Value::Constant(index) => {
                        api.element(constants, index).and_then(|level| api.number(level)).unwrap_or(0)
                    }
                    Value::Other => 0,
                };
                let items = match items {
                    Value::Constant(index) => api.element(constants, index),
                    _ => None,
                };
                self.add(api, level.clamp(0, 16) as usize, name, items);
            }
            let value = match opcode {
                _ if opcode == opcodes.load_const => Value::Constant(argument.cast_signed()),
                _ if opcode == opcodes.load_small_int => Value::Number(argument),
                _ => Value::Other,
            };
            (level, items) = (items, value);
        }
    }

    /// Adds a name, with the items that are imported from it: a tuple, or `None`.
    fn add(&mut self, api: &Api, level: usize, name: &[u8], items: Option<Ref>) {
        let begin = self.length;
        let mut fits =
            self.push(&[0; 2]) && self.push([b'.'; 16].get(..level).unwrap_or_default()) && self.push(name);
        let items = items.filter(|&items| api.is_true(items));
        for index in 0..items.map_or(0, |items| api.length(items)) {
            let item = items.and_then(|items| api.text(api.element(items, index)?));
            fits &= self.push(if index == 0 { b":" } else { b"," }) && self.push(item.unwrap_or_default());
        }
        let length = self.length.saturating_sub(begin + 2);
        let Some(length) = u16::try_from(length).ok().filter(|_| fits && self.count < 700) else {
            self.has_too_many = true;
            self.length = begin;
            return;
        };
        let Some((first, text)) =
            self.bytes.get_mut(begin..self.length).and_then(|entry| entry.split_first_chunk_mut())
        else {
            return;
        };
        *first = length.to_le_bytes();
        let hash = ((hash(text) >> 32) as u32).max(1);
        let mut place = hash as usize & (SEEN - 1);
        while self.seen[place] != 0 && self.seen[place] != hash {
            place = (place + 1) & (SEEN - 1);
        }
        if self.seen[place] == hash {
            self.length = begin;
        } else {
            self.seen[place] = hash;
            self.count += 1;
        }
    }

    fn push(&mut self, bytes: &[u8]) -> bool {
        let room = self.bytes.get_mut(self.length..).and_then(|room| room.get_mut(..bytes.len()));
        let Some(place) = room else { return false };
        place.copy_from_slice(bytes);
        self.length += bytes.len();
        true
    }
}

/// What an instruction puts on the stack.
#[derive(Clone, Copy)]
enum Value {
    /// A constant, by its place.
    Constant(isize),
    Number(usize),
    Other,
}
