//! The records of a file, one after the other, up to the last whole one.

use super::fields::{Fields, Last};
use super::{Header, MOST_BYTES, ReadError};
use terrarium_wire::kind::{self, importer, variable};
use terrarium_wire::{CONTINUED, LONGEST, check, chunk};

/// Why there are no more records. Offsets are in bytes from the start of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing more was written.
    End,
    /// What stands here is not whole: the file was cut, or its bytes have changed.
    Torn {
        /// Where it would begin.
        offset: u64,
    },
    /// It is whole and makes no sense.
    Malformed {
        /// Where it begins.
        offset: u64,
    },
    /// More than a reader takes from one file.
    TooMuch {
        /// Where the rest begins.
        offset: u64,
    },
}

/// Who imported something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Importer<T> {
    /// Not known, or nobody but the interpreter.
    Nobody,
    /// `__main__`.
    Main,
    /// A module without a number in this file.
    Named(T),
    /// The module with this number.
    Module(usize),
}

/// What one record says; see [`terrarium_wire::kind`]. Times are microseconds since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "terrarium_wire::kind says it")]
pub enum Record<'a> {
    Host(&'a [u8]),
    Program(&'a [u8]),
    Variable { name: &'static str, value: &'a [u8] },
    Object(Vec<u8>),
    Python(&'a [u8]),
    Prefix { prefix: &'a [u8], base: &'a [u8], executable: &'a [u8] },
    Main { kind: u8, name: &'a [u8], directory: &'a [u8] },
    Argument(&'a [u8]),
    Import { time: u64, importer: Importer<&'a [u8]>, flags: u8, name: Vec<u8> },
    Extension { module: usize, path: Vec<u8> },
    Failed { module: usize },
    Loaded { time: u64, module: usize, origin: u8, path: Vec<u8> },
    Module { time: u64, importer: Importer<&'a [u8]>, name: Vec<u8>, origin: u8, path: Vec<u8> },
    Done { module: usize, at_least: u64, at_most: u64 },
    Names { importer: Importer<&'a [u8]>, file: &'a [u8], names: Vec<&'a [u8]> },
    Exception(&'a [u8]),
    Called(&'a [u8]),
    Unknown { kind: u8 },
}

/// Iterates over the records of a file. What it keeps is bounded, whatever the file says.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    /// Where the next record begins, and which chunk that is in.
    at: usize,
    chunk: u32,
    stopped: Option<Stopped>,
    /// Microseconds since the start at the last record that had a time.
    time: u64,
    modules: usize,
    names: Last,
    origins: Last,
    objects: Last,
}

impl<'a> Records<'a> {
    /// The header, and the records behind it.
    pub fn of(bytes: &'a [u8]) -> Result<(Header, Self), ReadError> {
        if bytes.len() > MOST_BYTES {
            return Err(ReadError::TooLarge { length: bytes.len() as u64 });
        }
        let header = Header::read(bytes)?;
        if header.length > bytes.len() {
            return Err(ReadError::Cut { length: bytes.len() });
        }
        let records = Self {
            bytes,
            at: header.length,
            chunk: 0,
            stopped: None,
            time: 0,
            modules: 0,
            names: Last::default(),
            origins: Last::default(),
            objects: Last::default(),
        };
        Ok((header, records))
    }

    /// Where the next record begins: also where the reading stopped.
    pub fn offset(&self) -> u64 {
        self.at as u64
    }

    /// Why there were no more; `None` before the last.
    pub fn stopped(&self) -> Option<Stopped> {
        self.stopped
    }

    /// The payload of the next record, and where the one after it begins.
    fn payload(&mut self) -> Result<(&'a [u8], usize), Stopped> {
        loop {
            let offset = self.at as u64;
            let (begin, size) = chunk(self.chunk);
            let end = usize::try_from(begin + size).unwrap_or(usize::MAX);
            if self.at == self.bytes.len() {
                return Err(Stopped::End);
            }
            if self.at == end {
                self.chunk += 1;
                continue;
            }
            let torn = Stopped::Torn { offset };
            let word = self.bytes.get(self.at..self.at + 4).and_then(|word| word.try_into().ok());
            let word = u32::from_le_bytes(word.ok_or(torn)?);
            match word {
                0 => return Err(Stopped::End),
                CONTINUED if end > self.bytes.len() => return Err(torn),
                CONTINUED => {
                    self.chunk += 1;
                    self.at = end;
                    continue;
                }
                _ => {}
            }
            let length = usize::from(word as u16);
            let next = (self.at + 4 + length).next_multiple_of(4);
            if length == 0 || length > LONGEST || next > end {
                return Err(Stopped::Malformed { offset });
            }
            let payload = self.bytes.get(self.at + 4..self.at + 4 + length).ok_or(torn)?;
            if next > self.bytes.len() || check(payload) != (word >> 16) as u16 {
                return Err(torn);
            }
            return Ok((payload, next));
        }
    }

    fn record(&mut self, payload: &'a [u8]) -> Option<Record<'a>> {
        let mut fields = Fields(payload);
        let fields = &mut fields;
        // What follows the fields that are known was added by a newer writer.
        Some(match fields.byte()? {
            kind::HOST => Record::Host(fields.text()?),
            kind::PROGRAM => Record::Program(fields.text()?),
            kind::VARIABLE => {
                let (number, value) = (fields.byte()?, fields.text()?);
                match usize::from(number).checked_sub(1)? {
                    place if place < variable::NAMES.len() => {
                        Record::Variable { name: variable::NAMES[place], value }
                    }
                    // Added later.
                    _ => Record::Unknown { kind: kind::VARIABLE },
                }
            }
            kind::OBJECT => {
                let object = fields.continued(&self.objects)?;
                self.objects.remember(&object);
                Record::Object(object)
            }
            kind::PYTHON => Record::Python(fields.text()?),
            kind::PREFIX => {
                Record::Prefix { prefix: fields.text()?, base: fields.text()?, executable: fields.text()? }
            }
            kind::MAIN => {
                Record::Main { kind: fields.byte()?, name: fields.text()?, directory: fields.text()? }
            }
            kind::ARGUMENT => Record::Argument(fields.text()?),
            kind::IMPORT => {
                let time = self.later(fields)?;
                let (importer, flags) = (self.importer(fields)?, fields.byte()?);
                let name = fields.continued(&self.names)?;
                self.names.remember(&name);
                (self.time, self.modules) = (time, self.modules + 1);
                Record::Import { time, importer, flags, name }
            }
            kind::LOADED => {
                let (time, module) = (self.later(fields)?, self.number(fields)?);
                let (origin, path) = self.origin(fields)?;
                self.time = time;
                Record::Loaded { time, module, origin, path }
            }
            kind::MODULE => {
                let (time, importer) = (self.later(fields)?, self.importer(fields)?);
                let name = fields.continued(&self.names)?;
                let (origin, path) = self.origin(fields)?;
                self.names.remember(&name);
                (self.time, self.modules) = (time, self.modules + 1);
                Record::Module { time, importer, name, origin, path }
            }
            kind::DONE => {
                let (module, at_least) = (self.number(fields)?, fields.number()?);
                Record::Done { module, at_least, at_most: at_least.checked_add(fields.number()?)? }
            }
            kind::EXTENSION => {
                let (module, path) = (self.number(fields)?, fields.continued(&self.origins)?);
                self.origins.remember(&path);
                Record::Extension { module, path }
            }
            kind::FAILED => Record::Failed { module: self.number(fields)? },
            kind::NAMES => {
                let (importer, file) = (self.importer(fields)?, fields.text()?);
                let count = fields.number()?;
                // Each is a byte at least, so that this is soon over if there are fewer.
                let names = (0..count).map(|_| fields.text()).collect::<Option<_>>()?;
                Record::Names { importer, file, names }
            }
            kind::EXCEPTION => Record::Exception(fields.text()?),
            kind::CALLED => Record::Called(fields.text()?),
            kind => Record::Unknown { kind },
        })
    }

    fn later(&self, fields: &mut Fields<'_>) -> Option<u64> {
        self.time.checked_add(fields.number()?)
    }

    /// A module that was named before.
    fn number(&self, fields: &mut Fields<'_>) -> Option<usize> {
        usize::try_from(fields.number()?).ok().filter(|number| *number < self.modules)
    }

    fn importer(&self, fields: &mut Fields<'a>) -> Option<Importer<&'a [u8]>> {
        Some(match fields.number()? {
            importer::NOBODY => Importer::Nobody,
            importer::MAIN => Importer::Main,
            importer::NAMED => Importer::Named(fields.text()?),
            number => {
                let module = usize::try_from(number - importer::FIRST).ok()?;
                Importer::Module(Some(module).filter(|module| *module < self.modules)?)
            }
        })
    }

    fn origin(&mut self, fields: &mut Fields<'_>) -> Option<(u8, Vec<u8>)> {
        let kind = fields.byte()?;
        let path = fields.continued(&self.origins)?;
        self.origins.remember(&path);
        Some((kind, path))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.stopped.is_some() {
            return None;
        }
        match self.payload() {
            Err(stopped) => {
                self.stopped = Some(stopped);
                None
            }
            Ok((payload, next)) => {
                let record = self.record(payload);
                match &record {
                    Some(_) => self.at = next,
                    None => self.stopped = Some(Stopped::Malformed { offset: self.at as u64 }),
                }
                record
            }
        }
    }
}
