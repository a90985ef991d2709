//! Modules: begun, loaded, done.
//!
//! importlib puts a module into `sys.modules` before it runs its code, and takes it out and puts it in again when that has
//! ended well: it is then at the end of the dictionary. So what stands behind the last module that is known to be done, the
//! *anchor*, is all that can be new, and what is there again is done. Only when the dictionary has closed its gaps, which is
//! seen by the anchor not being where it was, all of it is looked through.

use core::ffi::c_ulong;

use terrarium_wire::kind::{self, import, importer, origin};
use terrarium_wire::{hash, header};

use crate::log::Log;

use super::api::{Api, Name, Ref};
use super::importer::{self as who, Importer};
use super::open::{Open, OpenImports};
use super::table::{MOST, Table, Tag};

/// How many interpreters of a process are told apart at the same time; a power of two.
const INTERPRETERS: usize = 8;
/// The longest name of a module that is recorded.
const LONGEST: usize = 1024;
/// So often `sys` is asked for its `modules`, which may be others by now.
const ASKED_EVERY: u32 = 8;
/// Room for the names of built-in modules; a power of two.
const BUILT_IN: usize = 256;

/// How far the modules of an interpreter were looked through.
#[derive(Clone, Copy)]
struct Interpreter {
    /// Its `sys.modules`.
    modules: usize,
    /// The key of the anchor; only compared.
    anchor: usize,
    /// Where the anchor is.
    index: isize,
}

/// What was recorded of each number: bits of [`mark`].
struct Marks([u8; MOST]);

/// Bits of [`Marks`].
mod mark {
    pub(super) const LOADED: u8 = 1;
    pub(super) const DONE: u8 = 2;
    pub(super) const FAILED: u8 = 4;
}

impl Marks {
    const fn new() -> Self {
        Self([0; MOST])
    }

    fn has(&self, number: u32, mark: u8) -> bool {
        self.0.get(number as usize).is_some_and(|marks| marks & mark != 0)
    }

    fn set(&mut self, number: u32, mark: u8) {
        if let Some(marks) = self.0.get_mut(number as usize) {
            *marks |= mark;
        }
    }
}

/// An entry of `sys.modules`.
struct Entry<'a> {
    name: &'a [u8],
    key: Ref,
    module: Ref,
    index: isize,
    /// That dictionary.
    modules: usize,
    /// Whether entries are not where they were.
    moved: bool,
}

/// The modules of this process. In this order: what every Python touches lies together.
#[repr(C)]
pub(super) struct Modules {
    /// The number of the next.
    next: u32,
    /// The first that stands in this file: what came before was loaded in the process that this one was forked from.
    first: u32,
    interpreters: [Interpreter; INTERPRETERS],
    interpreter_count: usize,
    looks: u32,
    /// Microseconds since the start, of the last look.
    last_look: u64,
    /// Who began the last import.
    last_importer: Tag,
    last_reference: u64,
    /// The module that was recorded last as loaded, and the hash of its file.
    last_loaded: (u32, u64),
    built_in_count: usize,
    /// Hashes of names; 0: free.
    built_in: [u32; BUILT_IN],
    table: Table,
    marks: Marks,
    open: OpenImports,
}

impl Modules {
    pub(super) const fn new() -> Self {
        Self {
            table: Table::new(),
            marks: Marks::new(),
            next: 0,
            first: 0,
            open: OpenImports::new(),
            interpreters: [Interpreter { modules: 0, anchor: 0, index: 0 }; INTERPRETERS],
            interpreter_count: 0,
            looks: 0,
            built_in: [0; BUILT_IN],
            built_in_count: 0,
            last_look: 0,
            last_importer: Tag::NONE,
            last_reference: importer::NOBODY,
            last_loaded: (0, 0),
        }
    }

    /// In a forked child: what is loaded stands in the parent's file.
    pub(super) fn forked(&mut self) {
        self.first = self.next;
        self.open.clear();
        self.last_look = 0;
        self.last_reference = importer::NOBODY;
    }

    /// `sys.builtin_module_names`.
    pub(super) fn built_in(&mut self, api: &Api, names: Ref) {
        for index in 0..api.length(names) {
            let Some(name) = api.element(names, index).and_then(|name| api.text(name)) else { continue };
            let hash = ((hash(name) >> 32) as u32).max(1);
            let mut place = hash as usize & (BUILT_IN - 1);
            while self.built_in[place] != 0 {
                place = (place + 1) & (BUILT_IN - 1);
            }
            self.built_in[place] = hash;
            self.built_in_count += 1;
            if self.built_in_count >= BUILT_IN / 4 * 3 {
                break;
            }
        }
    }

    fn is_built_in(&self, name: &[u8]) -> bool {
        let hash = ((hash(name) >> 32) as u32).max(1);
        let mut place = hash as usize & (BUILT_IN - 1);
        while self.built_in[place] != 0 {
            if self.built_in[place] == hash {
                return true;
            }
            place = (place + 1) & (BUILT_IN - 1);
        }
        false
    }

    /// An `import` event.
    pub(super) fn begin(&mut self, api: &Api, log: &mut Log, name: &[u8], file: Option<&[u8]>, now: u64) {
        let tag = Tag::of(name);
        let number = match self.known(tag) {
            Some(number) => {
                // Not the second event of an extension.
                if file.is_none() {
                    self.begin_again(api, log, number, tag, now);
                }
                Some(number)
            }
            None => self.begin_new(api, log, name, tag, now),
        };
        let open =
            number.and_then(|number| self.open.place_of(number)).and_then(|place| self.open.get(place));
        if let Some(open) = open {
            open.has_object |= file.is_some();
        }
        if let (Some(file), Some(number)) = (file, number.and_then(|number| self.in_file(number))) {
            let file = &file[..file.len().min(4096)];
            if log.write(kind::EXTENSION, &|put, texts| {
                put.number(number);
                put.continued(&texts.origins, file);
            }) {
                log.texts.origins.remember(file);
            }
        }
    }

    /// The number that a name has, unless it was tried in vain before the fork.
    fn known(&self, tag: Tag) -> Option<u32> {
        self.table.get(tag).filter(|&number| number >= self.first || self.marks.has(number, mark::LOADED))
    }

    /// An import that was tried before, and did not come to a good end: it may now.
    fn begin_again(&mut self, api: &Api, log: &mut Log, number: u32, tag: Tag, now: u64) {
        if self.marks.has(number, mark::DONE) || number < self.first {
            return;
        }
        match self.open.place_of(number).and_then(|place| self.open.get(place)) {
            Some(open) if open.index < 0 => open.started = now,
            Some(_) => {}
            None => {
                let importer = who::direct(api).map_or(Tag::NONE, |(name, _)| Tag::of(name));
                let thread = api.thread();
                self.end_siblings(log, importer, thread);
                self.open.push(Open { number, started: now, tag, importer, thread, index: -1, ..Open::NONE });
            }
        }
    }

    fn begin_new(&mut self, api: &Api, log: &mut Log, name: &[u8], tag: Tag, now: u64) -> Option<u32> {
        let thread = api.thread();
        let importer = match who::direct(api) {
            None => Importer::nobody(),
            // A parent of the package that was asked for last.
            Some((_, true))
                if self.last_reference != importer::NOBODY && log.texts.names.begins_with_and_dot(name) =>
            {
                Importer { reference: self.last_reference, name: b"", tag: self.last_importer }
            }
            Some((direct, is_import_system)) => {
                // While it is imported itself it imports for itself.
                let importer = match is_import_system && !self.is_open(direct) {
                    true => self.behind_the_import_system(api, thread),
                    false => self.importer(direct),
                };
                self.end_siblings(log, importer.tag, thread);
                importer
            }
        };
        let flags = if self.is_built_in(name) { import::BUILT_IN } else { 0 };
        let number = self.add(
            log,
            name,
            tag,
            |log, since| {
                log.write(kind::IMPORT, &|put, texts| {
                    put.number(since);
                    importer.put(put);
                    put.byte(flags);
                    put.continued(&texts.names, name);
                })
            },
            now,
        )?;
        (self.last_importer, self.last_reference) = (importer.tag, importer.reference);
        if importer.reference == importer::NAMED {
            // Its name is not at hand for the next.
            self.last_reference = importer::NOBODY;
        }
        self.open.push(Open {
            number,
            started: now,
            tag,
            importer: importer.tag,
            thread,
            index: -1,
            ..Open::NONE
        });
        Some(number)
    }

    /// For whom the import system imports: an extension module, whose own code runs without a frame, or the code that called it.
    fn behind_the_import_system<'a>(&self, api: &Api, thread: c_ulong) -> Importer<'a> {
        let extension = self
            .open
            .extension(thread)
            .and_then(|open| Some((importer::FIRST + self.in_file(open.number)?, open.tag)));
        let depth = if extension.is_some() { who::STATEMENT } else { who::DEPTH };
        match (who::beyond_the_import_system(api, depth), extension) {
            (Some(name), _) => self.importer(name),
            (None, Some((reference, tag))) => Importer { reference, name: b"", tag },
            (None, None) => Importer::nobody(),
        }
    }

    /// The module whose code is about to be run, if this is its file.
    pub(super) fn of_file(&self, file: &[u8]) -> Option<Importer<'static>> {
        let number = self.in_file(self.last_loaded.0).filter(|_| self.last_loaded.1 == hash(file))?;
        Some(Importer { reference: importer::FIRST + number, name: b"", tag: Tag::NONE })
    }

    fn is_open(&self, name: &[u8]) -> bool {
        self.table.get(Tag::of(name)).is_some_and(|number| self.open.place_of(number).is_some())
    }

    /// Whose code it is that calls itself so.
    pub(super) fn importer<'a>(&self, name: &'a [u8]) -> Importer<'a> {
        let tag = Tag::of(name);
        let reference = match self.table.get(tag).and_then(|number| self.in_file(number)) {
            _ if who::is_main(name) => importer::MAIN,
            Some(number) => importer::FIRST + number,
            None if name.is_empty() => importer::NOBODY,
            None => importer::NAMED,
        };
        Importer { reference, name: &name[..name.len().min(LONGEST)], tag }
    }

    /// The number that a module has in this file.
    fn in_file(&self, number: u32) -> Option<u64> {
        number.checked_sub(self.first).map(u64::from)
    }

    /// Writes the record of a new module and gives it its number.
    fn add(
        &mut self,
        log: &mut Log,
        name: &[u8],
        tag: Tag,
        write: impl FnOnce(&mut Log, u64) -> bool,
        now: u64,
    ) -> Option<u32> {
        let number = self.next;
        if name.len() > LONGEST || number as usize >= MOST {
            log.count(header::AT_TOO_MUCH);
            return None;
        }
        let since = log.since_last(now);
        if !write(log, since) {
            return None;
        }
        log.texts.names.remember(name);
        log.was_at(now);
        self.next += 1;
        self.table.insert(tag, number).then_some(number)
    }

    /// Code that goes on to its next import is done with the last: if that never came into `sys.modules`, it was not found, or
    /// its shared object refused.
    fn end_siblings(&mut self, log: &mut Log, importer: Tag, thread: c_ulong) {
        let mut place = 0;
        while let Some(&mut open) = self.open.get(place) {
            if open.importer != importer || open.thread != thread || open.index >= 0 {
                place += 1;
                continue;
            }
            if open.has_object {
                self.fail(log, open.number);
            }
            self.open.remove(place);
        }
    }

    /// Of the imports whose code was run, those have failed that importlib has taken out of `sys.modules`: the innermost, or any
    /// of them.
    fn fail_gone(&mut self, api: &Api, log: &mut Log, modules: Ref, any: bool) {
        let mut place = self.open.count();
        while let Some(before) = place.checked_sub(1) {
            place = before;
            let Some(&mut open) = self.open.get(place) else { return };
            if open.index < 0 || open.modules != modules as usize {
                continue;
            }
            let mut position = open.index;
            let key = api.next(modules, &mut position).map(|(key, _)| key as usize);
            if key != Some(open.key) || position != open.index + 1 {
                self.open.remove(place);
                self.fail(log, open.number);
            } else if !any {
                return;
            }
        }
    }

    /// Nobody caught an exception.
    pub(super) fn give_up(&mut self, api: &Api, log: &mut Log) {
        let Some(modules) = api.modules() else { return };
        api.alone(modules, || self.fail_gone(api, log, modules, true));
    }

    /// Once: what is tried again and again is not to fill the file.
    fn fail(&mut self, log: &mut Log, number: u32) {
        if let Some(in_file) = self.in_file(number)
            && !self.marks.has(number, mark::FAILED)
            && log.write(kind::FAILED, &|put, _| put.number(in_file))
        {
            self.marks.set(number, mark::FAILED);
        }
    }

    /// Looks through what is new in `sys.modules`.
    pub(super) fn look(&mut self, api: &Api, log: &mut Log, now: u64) {
        self.looks = self.looks.wrapping_add(1);
        let is_only = self.interpreter_count == 1 && !self.looks.is_multiple_of(ASKED_EVERY);
        let only = if is_only { api.only_modules() } else { None };
        let Some(modules) = only.or_else(|| api.modules()) else { return };
        let Some(which) = self.interpreter(api, log, modules) else { return };
        let Some(&(mut interpreter)) = self.interpreters.get(which) else { return };
        api.alone(modules, || {
            let mut position = interpreter.index;
            let anchor = api.next(modules, &mut position);
            let moved = interpreter.anchor == 0
                || anchor.is_none_or(|(key, _)| key as usize != interpreter.anchor)
                || position != interpreter.index + 1;
            if moved {
                position = 0;
            }
            while let Some((key, module)) = api.next(modules, &mut position) {
                let Some(name) = api.text(key) else { continue };
                let index = position - 1;
                let entry = Entry { name, key, module, index, modules: modules as usize, moved };
                if self.see(api, log, &entry, now) {
                    (interpreter.anchor, interpreter.index) = (key as usize, index);
                }
            }
            self.fail_gone(api, log, modules, false);
        });
        if let Some(place) = self.interpreters.get_mut(which) {
            *place = interpreter;
        }
        self.last_look = now;
    }

    fn interpreter(&mut self, api: &Api, log: &Log, modules: Ref) -> Option<usize> {
        if let Some(which) =
            self.interpreters.iter().position(|interpreter| interpreter.modules == modules as usize)
        {
            return Some(which);
        }
        // At its end it is `None`, in which nothing is found.
        api.alone(modules, || api.next(modules, &mut 0))?;
        let which = self.interpreter_count & (INTERPRETERS - 1);
        self.interpreter_count += 1;
        log.count(header::AT_INTERPRETERS);
        if let Some(place) = self.interpreters.get_mut(which) {
            *place = Interpreter { modules: modules as usize, anchor: 0, index: 0 };
        }
        Some(which)
    }

    /// A module in `sys.modules`; says whether it is done, as far as can be seen.
    fn see(&mut self, api: &Api, log: &mut Log, entry: &Entry<'_>, now: u64) -> bool {
        if who::is_main(entry.name) {
            return true;
        }
        let tag = Tag::of(entry.name);
        let number = self.known(tag);
        // In another interpreter it may be open as well.
        let place = number.and_then(|number| self.open.place_of(number)).filter(|&place| {
            self.open.get(place).is_some_and(|open| open.index < 0 || open.modules == entry.modules)
        });
        let is_loaded = number.is_some_and(|number| self.marks.has(number, mark::LOADED));
        if is_loaded && place.is_none() {
            return true;
        }
        // Attributes are looked at: code of others may run, and take the module away.
        let _held = (api.hold(entry.key), api.hold(entry.module));
        let Some(number) = number else {
            return self.see_new(api, log, entry, tag, now);
        };
        if !is_loaded {
            self.record_loaded(api, log, number, entry.module, now);
        }
        let Some(place) = place else { return true };
        let Some(open) = self.open.get(place) else { return true };
        let before = core::mem::replace(&mut open.index, entry.index);
        (open.modules, open.key) = (entry.modules, entry.key as usize);
        let is_done = match before {
            0.. if !entry.moved => entry.index > before,
            _ => !is_initializing(api, entry.module),
        };
        if is_done {
            self.done(log, place, now);
        }
        is_done
    }

    /// A module that came without an `import` event.
    fn see_new(&mut self, api: &Api, log: &mut Log, entry: &Entry<'_>, tag: Tag, now: u64) -> bool {
        let &Entry { name, key, module, index, modules, .. } = entry;
        let is_done = !is_initializing(api, module);
        // Only while its code is about to be run the frames tell who asked for it.
        let by = if is_done { None } else { who::beyond_the_import_system(api, who::DEPTH) };
        let importer = by.map_or(Importer::nobody(), |by| self.importer(by));
        let (how, file) = origin_of(api, module);
        let number = self.add(
            log,
            name,
            tag,
            |log, since| {
                log.write(kind::MODULE, &|put, texts| {
                    put.number(since);
                    importer.put(put);
                    put.continued(&texts.names, name);
                    put.byte(how);
                    put.continued(&texts.origins, file);
                })
            },
            now,
        );
        let Some(number) = number else { return true };
        log.texts.origins.remember(file);
        self.mark_loaded(log, number, file);
        if !is_done {
            self.open.push(Open {
                number,
                started: now,
                tag,
                importer: importer.tag,
                thread: api.thread(),
                index,
                modules,
                key: key as usize,
                has_object: false,
            });
        }
        is_done
    }

    fn mark_loaded(&mut self, log: &Log, number: u32, file: &[u8]) {
        self.last_loaded = (number, hash(file));
        self.marks.set(number, mark::LOADED);
        log.count_alone(header::AT_MODULES);
    }

    fn record_loaded(&mut self, api: &Api, log: &mut Log, number: u32, module: Ref, now: u64) {
        // Begun before the fork.
        let Some(in_file) = self.in_file(number) else { return };
        let (how, file) = origin_of(api, module);
        let since = log.since_last(now);
        if log.write(kind::LOADED, &|put, texts| {
            put.number(since);
            put.number(in_file);
            put.byte(how);
            put.continued(&texts.origins, file);
        }) {
            log.texts.origins.remember(file);
            log.was_at(now);
            self.mark_loaded(log, number, file);
        }
    }

    /// An import has ended well, between the last look and now.
    fn done(&mut self, log: &mut Log, place: usize, now: u64) {
        let Some(&mut open) = self.open.get(place) else { return };
        self.open.remove(place);
        self.marks.set(open.number, mark::DONE);
        if let Some(number) = self.in_file(open.number) {
            let least = self.last_look.saturating_sub(open.started);
            let most = now.saturating_sub(open.started);
            log.write(kind::DONE, &|put, _| {
                put.number(number);
                put.number(least);
                put.number(most.saturating_sub(least));
            });
        }
    }
}

/// Whether importlib is running the module's code.
fn is_initializing(api: &Api, module: Ref) -> bool {
    let spec = api.namespace(module).and_then(|namespace| api.item(namespace, Name::Spec));
    let initializing = spec.and_then(|spec| api.attribute(spec, Name::Initializing));
    initializing.is_some_and(|initializing| api.is_true(initializing.get()))
}

/// Where a module comes from: no code of its own is run to find out.
fn origin_of<'a>(api: &Api, module: Ref) -> (u8, &'a [u8]) {
    let Some(namespace) = api.namespace(module) else { return (origin::NO_FILE, b"") };
    let cut = |text: &'a [u8]| &text[..text.len().min(4096)];
    if let Some(file) = api.item(namespace, Name::File).and_then(|file| api.text(file)) {
        return (origin::FILE, cut(file));
    }
    // A namespace package has a list that is computed anew when a search path changes; what it holds now is enough.
    let path = api.item(namespace, Name::Path);
    let portions = path.and_then(|path| api.rare_attribute(path, c"_path"));
    let first = portions.and_then(|portions| api.list_element(portions.get(), 0));
    match first.and_then(|first| api.text(first)) {
        Some(first) => (origin::NAMESPACE, cut(first)),
        None => (origin::NO_FILE, b""),
    }
}
