//! A stream of JSON that may be anything: made UTF-8, and held where it would fill the memory.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use crate::lines::LONGEST;

/// Nothing is nested deeper in what Slurm writes.
const DEEPEST: usize = 1000;

/// A value that is kept may be as long as this.
const LONGEST_VALUE: u64 = 4 << 20;

/// Where the stream is.
#[derive(Default)]
pub(crate) struct Meter {
    read: Cell<u64>,
    until: Cell<Option<u64>>,
    why: Cell<Option<&'static str>>,
}

impl Meter {
    /// Bytes that were read.
    pub(crate) fn read(&self) -> u64 {
        self.read.get()
    }

    /// A value that is kept begins.
    pub(crate) fn begin(&self) {
        self.until.set(Some(self.read.get() + LONGEST_VALUE));
    }

    /// It ended.
    pub(crate) fn end(&self) {
        self.until.set(None);
    }

    /// Why the stream was held, if it was.
    pub(crate) fn why(&self) -> Option<&'static str> {
        self.why.get()
    }

    fn hold(&self, why: &'static str) -> io::Error {
        self.why.set(Some(why));
        io::Error::other(why)
    }
}

/// Hands on the bytes of another reader.
pub(crate) struct Held<R> {
    input: R,
    meter: Rc<Meter>,
    /// Read, and not yet known to be UTF-8.
    raw: Vec<u8>,
    clean: Vec<u8>,
    at: usize,
    is_over: bool,
    is_string: bool,
    is_escaped: bool,
    string_length: usize,
    depth: usize,
}

impl<R: Read> Held<R> {
    pub(crate) fn new(input: R, meter: Rc<Meter>) -> Self {
        Held {
            input,
            meter,
            raw: Vec::new(),
            clean: Vec::new(),
            at: 0,
            is_over: false,
            is_string: false,
            is_escaped: false,
            string_length: 0,
            depth: 0,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.clean.clear();
        self.at = 0;
        while self.clean.is_empty() && !self.is_over {
            let kept = self.raw.len();
            self.raw.resize(kept + (64 << 10), 0);
            let read = match self.input.read(&mut self.raw[kept..]) {
                Ok(read) => read,
                Err(error) => {
                    self.raw.truncate(kept);
                    if error.kind() == io::ErrorKind::Interrupted {
                        continue;
                    }
                    return Err(error);
                }
            };
            self.is_over = read == 0;
            self.raw.truncate(kept + read);
            self.cleanse();
        }
        let clean = std::mem::take(&mut self.clean);
        let watched = clean.iter().try_for_each(|byte| self.watch(*byte));
        self.clean = clean;
        watched
    }

    /// Makes UTF-8 of what was read; a character that is cut at the end waits for its rest.
    fn cleanse(&mut self) {
        let mut used = 0;
        for chunk in self.raw.utf8_chunks() {
            self.clean.extend_from_slice(chunk.valid().as_bytes());
            used += chunk.valid().len();
            let invalid = chunk.invalid().len();
            if invalid == 0 || (used + invalid == self.raw.len() && invalid < 4 && !self.is_over) {
                break;
            }
            self.clean.extend_from_slice("\u{fffd}".as_bytes());
            used += invalid;
        }
        self.raw.drain(..used);
    }

    fn watch(&mut self, byte: u8) -> io::Result<()> {
        if self.is_string {
            self.string_length += 1;
            let is_quote = byte == b'"' && !self.is_escaped;
            self.is_escaped = byte == b'\\' && !self.is_escaped;
            self.is_string = !is_quote;
            if self.string_length > LONGEST {
                return Err(self.meter.hold("a text is longer than 16 MiB"));
            }
            return Ok(());
        }
        match byte {
            b'"' => (self.is_string, self.string_length) = (true, 0),
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if self.depth > DEEPEST {
            return Err(self.meter.hold("it is nested too deep"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Held<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.meter.until.get().is_some_and(|until| self.meter.read.get() > until) {
            return Err(self.meter.hold("a value is longer than 4 MiB"));
        }
        if self.at == self.clean.len() {
            self.fill()?;
        }
        let length = into.len().min(self.clean.len() - self.at);
        into[..length].copy_from_slice(&self.clean[self.at..self.at + length]);
        self.at += length;
        self.meter.read.set(self.meter.read.get() + length as u64);
        Ok(length)
    }
}
