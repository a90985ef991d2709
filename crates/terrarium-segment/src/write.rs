//! Writes a segment.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;
use sha2::Digest as _;

use crate::{BatchJob, Domain, Environment, Head, MAGIC, MOST_BLOCK, Module, Process, Usage, VERSION, block};

/// A block is written when it has so many bytes; a single row may take it further.
const BLOCK: usize = 1 << 20;

const LEVEL: i32 = 3;

/// The digest of what was written: the name of the segment.
pub type Digest = String;

/// Rows of one kind, serialised one behind the other.
#[derive(Default)]
struct Block {
    kind: u8,
    bytes: Vec<u8>,
}

/// Puts a segment together. What is written refers to what was written before it.
pub struct Writer<W: Write> {
    out: Hashed<W>,
    names: HashMap<Box<str>, u32>,
    modules: HashMap<Module, u32>,
    environments: u32,
    /// In the order in which they must be in the file: a row refers to rows of the blocks before it.
    blocks: [Block; 7],
    packer: zstd::bulk::Compressor<'static>,
    rows: u64,
}

const NAMES: usize = 0;
const ENVIRONMENTS: usize = 1;
const MODULES: usize = 2;
const PROCESSES: usize = 3;
const USAGES: usize = 4;
const JOBS: usize = 5;
const DOMAINS: usize = 6;

impl<W: Write> Writer<W> {
    /// Begins one.
    pub fn new(out: W, head: &Head) -> io::Result<Self> {
        let kinds = [
            block::NAMES,
            block::ENVIRONMENTS,
            block::MODULES,
            block::PROCESSES,
            block::USAGES,
            block::JOBS,
            block::DOMAINS,
        ];
        let mut packer = zstd::bulk::Compressor::new(LEVEL)?;
        packer.include_checksum(true)?;
        let mut writer = Writer {
            out: Hashed { out, digest: sha2::Sha256::new(), length: 0 },
            names: HashMap::new(),
            modules: HashMap::new(),
            environments: 0,
            blocks: kinds.map(|kind| Block { kind, bytes: Vec::new() }),
            packer,
            rows: 0,
        };
        writer.out.write_all(&MAGIC)?;
        writer.out.write_all(&VERSION.to_le_bytes())?;
        let head = postcard::to_extend(head, Vec::new()).map_err(io::Error::other)?;
        writer.block(block::HEAD, &head)?;
        writer.name("");
        Ok(writer)
    }

    /// The number of a text.
    pub fn name(&mut self, text: &str) -> u32 {
        if let Some(number) = self.names.get(text) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.names.insert(text.into(), number);
        put(&mut self.blocks[NAMES], text);
        number
    }

    /// The number of a module.
    pub fn module(&mut self, module: &Module) -> u32 {
        if let Some(number) = self.modules.get(module) {
            return *number;
        }
        let number = self.modules.len() as u32;
        self.modules.insert(module.clone(), number);
        put(&mut self.blocks[MODULES], module);
        number
    }

    /// The number of an environment, which the caller gives once.
    pub fn environment(&mut self, environment: &Environment) -> u32 {
        put(&mut self.blocks[ENVIRONMENTS], environment);
        self.environments += 1;
        self.environments - 1
    }

    /// A process; its numbers are those that this writer gave.
    pub fn process(&mut self, process: &Process) -> io::Result<()> {
        self.rows += process.loads.len() as u64;
        put(&mut self.blocks[PROCESSES], process);
        self.flush(BLOCK)
    }

    /// A run.
    pub fn usage(&mut self, usage: &Usage) -> io::Result<()> {
        put(&mut self.blocks[USAGES], usage);
        self.flush(BLOCK)
    }

    /// A batch job.
    pub fn job(&mut self, job: &BatchJob) -> io::Result<()> {
        put(&mut self.blocks[JOBS], job);
        self.flush(BLOCK)
    }

    /// A project's field of science.
    pub fn domain(&mut self, domain: &Domain) -> io::Result<()> {
        put(&mut self.blocks[DOMAINS], domain);
        self.flush(BLOCK)
    }

    /// How many module rows were written.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many bytes are in the file so far.
    pub fn length(&self) -> u64 {
        self.out.length
    }

    /// Seals it: without this it is no segment.
    pub fn finish(mut self) -> io::Result<(W, Digest)> {
        self.flush(0)?;
        let digest: [u8; 32] = self.out.digest.clone().finalize().into();
        self.out.write_all(&[block::SEAL])?;
        self.out.write_all(&(digest.len() as u32).to_le_bytes())?;
        self.out.write_all(&(digest.len() as u32).to_le_bytes())?;
        self.out.write_all(&digest)?;
        self.out.out.flush()?;
        Ok((self.out.out, hexadecimal(&digest)))
    }

    /// Writes all blocks if one has more than so many bytes: they refer to each other.
    fn flush(&mut self, most: usize) -> io::Result<()> {
        if self.blocks.iter().all(|block| block.bytes.len() <= most) {
            return Ok(());
        }
        for i in 0..self.blocks.len() {
            let Block { kind, bytes } = std::mem::take(&mut self.blocks[i]);
            if !bytes.is_empty() {
                self.block(kind, &bytes)?;
            }
            self.blocks[i] = Block { kind, bytes: Vec::new() };
        }
        Ok(())
    }

    fn block(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        // Rows are bounded by those who make them; one that is larger could not be read.
        if bytes.len() > MOST_BLOCK {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a row is too large for a segment"));
        }
        let packed = self.packer.compress(bytes)?;
        self.out.write_all(&[kind])?;
        self.out.write_all(&(bytes.len() as u32).to_le_bytes())?;
        self.out.write_all(&(packed.len() as u32).to_le_bytes())?;
        self.out.write_all(&packed)
    }
}

fn put<T: Serialize + ?Sized>(block: &mut Block, row: &T) {
    let bytes = std::mem::take(&mut block.bytes);
    // Writing to memory, of types that all can be written.
    block.bytes = postcard::to_extend(row, bytes).unwrap_or_default();
}

/// Three significant digits: what is beyond them is noise, and takes room.
pub fn rounded(micros: u64) -> u32 {
    let mut unit = 1;
    while micros / unit >= 1000 {
        unit *= 10;
    }
    u32::try_from(micros / unit * unit).unwrap_or(u32::MAX - 1)
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Hashed<W> {
    out: W,
    digest: sha2::Sha256,
    length: u64,
}

impl<W: Write> Hashed<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.length += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}
