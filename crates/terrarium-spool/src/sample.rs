//! Writes spool files in memory, byte for byte as a process would: for tests, fuzzers and examples.

use terrarium_wire::header::{AT_LENGTH, AT_VERSION, LENGTH, MAGIC, VERSION};
use terrarium_wire::kind::{self, importer};
use terrarium_wire::{CONTINUED, Put, Shared, chunk};

/// A file in the making.
#[derive(Debug)]
pub struct Sample {
    bytes: Vec<u8>,
    at: usize,
    chunk: u32,
    names: Shared,
    origins: Shared,
    objects: Shared,
    /// Microseconds since the start at the last record that had a time.
    time: u64,
    modules: u64,
}

/// Who imports, in a [`Sample`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "terrarium_wire::kind::importer says it")]
pub enum By<'a> {
    Nobody,
    Main,
    Named(&'a str),
    Module(u64),
}

impl Sample {
    /// A header with what all have, and the first chunk.
    pub fn new() -> Self {
        let mut sample = Self {
            bytes: vec![0; chunk(0).1 as usize],
            at: LENGTH,
            chunk: 0,
            names: Shared::new(),
            origins: Shared::new(),
            objects: Shared::new(),
            time: 0,
            modules: 0,
        };
        sample.set(0, &MAGIC);
        sample.set(AT_VERSION, &VERSION.to_le_bytes());
        sample.set(AT_LENGTH, &(LENGTH as u16).to_le_bytes());
        sample
    }

    fn set(&mut self, at: usize, field: &[u8]) {
        self.bytes[at..at + field.len()].copy_from_slice(field);
    }

    /// A header field of 4 bytes.
    pub fn short(mut self, at: usize, value: u32) -> Self {
        self.set(at, &value.to_le_bytes());
        self
    }

    /// A header field of 8 bytes.
    pub fn long(mut self, at: usize, value: u64) -> Self {
        self.set(at, &value.to_le_bytes());
        self
    }

    /// The number of modules so far.
    pub fn modules(&self) -> u64 {
        self.modules
    }

    /// Where the next record begins.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// A record of any kind with these fields. One that is too long for any file is left out, as a process would.
    pub fn record(&mut self, kind: u8, fields: impl Fn(&mut Put<'_>)) -> bool {
        loop {
            let (begin, size) = chunk(self.chunk);
            let end = (begin + size) as usize;
            let mut put = Put::new(&mut self.bytes[self.at..end], kind);
            fields(&mut put);
            if let Some((word, length)) = put.end() {
                self.set(self.at, &word.to_le_bytes());
                self.at += length;
                return true;
            }
            // What was tried leaves bytes behind.
            self.bytes[self.at..end].fill(0);
            let mut room = vec![0; terrarium_wire::LONGEST + 8];
            let mut put = Put::new(&mut room, kind);
            fields(&mut put);
            if put.end().is_none() {
                return false;
            }
            if self.at < end {
                self.set(self.at, &CONTINUED.to_le_bytes());
            }
            self.chunk += 1;
            let (begin, size) = chunk(self.chunk);
            self.at = begin as usize;
            self.bytes.resize((begin + size) as usize, 0);
        }
    }

    /// A record of one text.
    pub fn text(mut self, kind: u8, text: &str) -> Self {
        self.record(kind, |put| put.text(text.as_bytes()));
        self
    }

    /// A variable of the environment; one that is not in the list is left out.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        if let Some(place) = kind::variable::NAMES.iter().position(|other| *other == name) {
            self.record(kind::VARIABLE, |put| {
                put.byte(place as u8 + 1);
                put.text(value.as_bytes());
            });
        }
        self
    }

    /// Prefix, base prefix and executable.
    pub fn prefix(mut self, prefix: &str, base: &str, executable: &str) -> Self {
        self.record(kind::PREFIX, |put| {
            [prefix, base, executable].iter().for_each(|t| put.text(t.as_bytes()))
        });
        self
    }

    /// What Python was told to run.
    pub fn main(mut self, main: u8, name: &str, directory: &str) -> Self {
        self.record(kind::MAIN, |put| {
            put.byte(main);
            put.text(name.as_bytes());
            put.text(directory.as_bytes());
        });
        self
    }

    /// A mapped shared object.
    pub fn object(mut self, path: &str) -> Self {
        let objects = std::mem::take(&mut self.objects);
        let written = self.record(kind::OBJECT, |put| put.continued(&objects, path.as_bytes()));
        self.objects = objects;
        if written {
            self.objects.remember(path.as_bytes());
        }
        self
    }

    fn later(&mut self, time: u64) -> u64 {
        let delta = time.saturating_sub(self.time);
        self.time += delta;
        delta
    }

    /// An import begins, `time` microseconds after the start. Returns the module's number.
    pub fn import(&mut self, time: u64, by: By<'_>, flags: u8, name: &[u8]) -> Option<u64> {
        let time = self.later(time);
        let names = std::mem::take(&mut self.names);
        let written = self.record(kind::IMPORT, |put| {
            put.number(time);
            by.put(put);
            put.byte(flags);
            put.continued(&names, name);
        });
        self.names = names;
        written.then(|| {
            self.names.remember(name);
            self.modules += 1;
            self.modules - 1
        })
    }

    /// A shared object is about to be loaded for a module.
    pub fn extension(&mut self, module: u64, path: &[u8]) {
        let origins = std::mem::take(&mut self.origins);
        let written = self.record(kind::EXTENSION, |put| {
            put.number(module);
            put.continued(&origins, path);
        });
        self.origins = origins;
        if written {
            self.origins.remember(path);
        }
    }

    /// The import of a module did not end well.
    pub fn failed(&mut self, module: u64) {
        self.record(kind::FAILED, |put| put.number(module));
    }

    /// A module of which the import began is loaded.
    pub fn loaded(&mut self, time: u64, module: u64, origin: u8, path: &[u8]) {
        let time = self.later(time);
        let origins = std::mem::take(&mut self.origins);
        let written = self.record(kind::LOADED, |put| {
            put.number(time);
            put.number(module);
            put.byte(origin);
            put.continued(&origins, path);
        });
        self.origins = origins;
        if written {
            self.origins.remember(path);
        }
    }

    /// A module is there without an import. Returns its number.
    pub fn module(&mut self, time: u64, by: By<'_>, name: &[u8], origin: u8, path: &[u8]) -> Option<u64> {
        let time = self.later(time);
        let (names, origins) = (std::mem::take(&mut self.names), std::mem::take(&mut self.origins));
        let written = self.record(kind::MODULE, |put| {
            put.number(time);
            by.put(put);
            put.continued(&names, name);
            put.byte(origin);
            put.continued(&origins, path);
        });
        (self.names, self.origins) = (names, origins);
        written.then(|| {
            self.names.remember(name);
            self.origins.remember(path);
            self.modules += 1;
            self.modules - 1
        })
    }

    /// The import of a module has ended well.
    pub fn done(&mut self, module: u64, at_least: u64, more: u64) {
        self.record(kind::DONE, |put| [module, at_least, more].into_iter().for_each(|n| put.number(n)));
    }

    /// What the import statements of a piece of code ask for.
    pub fn names(&mut self, by: By<'_>, file: &str, names: &[&str]) {
        self.record(kind::NAMES, |put| {
            by.put(put);
            put.text(file.as_bytes());
            put.number(names.len() as u64);
            names.iter().for_each(|name| put.text(name.as_bytes()));
        });
    }

    /// A file of a module that somebody imported, in one go.
    pub fn file(&mut self, time: u64, by: By<'_>, name: &str, path: &str) -> u64 {
        let number = self.import(time, by, 0, name.as_bytes()).unwrap_or(0);
        self.loaded(time + 10, number, kind::origin::FILE, path.as_bytes());
        number
    }

    /// The file as it would lie in a spool.
    pub fn bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Default for Sample {
    fn default() -> Self {
        Self::new()
    }
}

impl By<'_> {
    fn put(self, put: &mut Put<'_>) {
        match self {
            By::Nobody => put.number(importer::NOBODY),
            By::Main => put.number(importer::MAIN),
            By::Named(name) => {
                put.number(importer::NAMED);
                put.text(name.as_bytes());
            }
            By::Module(number) => put.number(number.saturating_add(importer::FIRST)),
        }
    }
}
