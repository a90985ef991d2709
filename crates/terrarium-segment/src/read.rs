//! Reads a segment, whoever made it.

use serde::de::DeserializeOwned;
use sha2::Digest as _;

use crate::write::hexadecimal;
use crate::{Head, MAGIC, MOST_BLOCK, MOST_BYTES, MOST_UNPACKED, Segment, VERSION, block};

/// Why it is no segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Something else.
    #[error("it is no segment")]
    NotASegment,
    /// Of another version.
    #[error("it has version {version} of the format, and this reader knows version {VERSION}")]
    OtherVersion {
        /// Its version.
        version: u32,
    },
    /// It ends before its seal.
    #[error("it is cut off after {length} bytes: it has no seal")]
    Cut {
        /// Its length.
        length: usize,
    },
    /// Its bytes are not those that were sealed.
    #[error("it is damaged: its bytes are not those that were sealed")]
    Damaged,
    /// It is sealed and makes no sense.
    #[error("it is malformed at byte {offset}")]
    Malformed {
        /// Where the block begins.
        offset: usize,
    },
    /// More than is read of one.
    #[error("it is larger than a segment may be")]
    TooLarge,
}

/// All that is in a segment. Its digest is compared before anything of it is looked at.
pub fn read(bytes: &[u8]) -> Result<Segment, ReadError> {
    if bytes.len() > MOST_BYTES {
        return Err(ReadError::TooLarge);
    }
    let Some(rest) = bytes.strip_prefix(&MAGIC) else { return Err(ReadError::NotASegment) };
    let cut = ReadError::Cut { length: bytes.len() };
    let (version, _) = rest.split_first_chunk::<4>().ok_or(cut.clone())?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(ReadError::OtherVersion { version });
    }
    let mut segment = Segment { id: sealed(bytes, &cut)?, ..Segment::default() };
    let mut at = MAGIC.len() + 4;
    let mut unpacked = 0usize;
    let mut has_head = false;
    loop {
        let offset = at;
        let malformed = ReadError::Malformed { offset };
        let block = next(bytes, &mut at).ok_or(cut.clone())?;
        if block.kind == block::SEAL {
            let ends = at == bytes.len() && has_head && is_consistent(&segment);
            return if ends { Ok(segment) } else { Err(malformed) };
        }
        unpacked += block.length;
        if block.length > MOST_BLOCK || unpacked > MOST_UNPACKED {
            return Err(ReadError::TooLarge);
        }
        let rows = zstd::bulk::decompress(block.packed, block.length).map_err(|_| malformed.clone())?;
        if rows.len() != block.length {
            return Err(malformed);
        }
        let taken = match block.kind {
            block::HEAD if !has_head => {
                has_head = true;
                postcard::from_bytes::<Head>(&rows).map(|head| segment.head = head).ok()
            }
            block::NAMES => take(&rows, &mut segment.names),
            block::ENVIRONMENTS => take(&rows, &mut segment.environments),
            block::MODULES => take(&rows, &mut segment.modules),
            block::PROCESSES => take(&rows, &mut segment.processes),
            block::USAGES => take(&rows, &mut segment.usages),
            block::JOBS => take(&rows, &mut segment.jobs),
            block::DOMAINS => take(&rows, &mut segment.domains),
            _ => None,
        };
        taken.ok_or(malformed)?;
    }
}

struct Block<'a> {
    kind: u8,
    /// Unpacked.
    length: usize,
    packed: &'a [u8],
}

fn next<'a>(bytes: &'a [u8], at: &mut usize) -> Option<Block<'a>> {
    let rest = bytes.get(*at..)?;
    let (kind, rest) = rest.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (size, rest) = rest.split_first_chunk::<4>()?;
    let size = u32::from_le_bytes(*size) as usize;
    let packed = rest.get(..size)?;
    *at += 9 + size;
    Some(Block { kind: *kind, length: u32::from_le_bytes(*length) as usize, packed })
}

/// The digest, if it is that of the bytes before the seal.
fn sealed(bytes: &[u8], cut: &ReadError) -> Result<String, ReadError> {
    let mut at = MAGIC.len() + 4;
    loop {
        let before = at;
        let block = next(bytes, &mut at).ok_or(cut.clone())?;
        if block.kind == block::SEAL {
            let digest: [u8; 32] = sha2::Sha256::digest(&bytes[..before]).into();
            return if block.packed == digest && block.length == digest.len() {
                Ok(hexadecimal(&digest))
            } else {
                Err(ReadError::Damaged)
            };
        }
    }
}

fn take<T: DeserializeOwned>(mut rows: &[u8], into: &mut Vec<T>) -> Option<()> {
    while !rows.is_empty() {
        let (row, rest) = postcard::take_from_bytes(rows).ok()?;
        // A row takes a byte at least, so there is an end.
        if rest.len() == rows.len() {
            return None;
        }
        into.push(row);
        rows = rest;
    }
    Some(())
}

/// No number leads outside.
fn is_consistent(segment: &Segment) -> bool {
    let names = segment.names.len();
    let modules = segment.modules.len();
    segment.names.first().is_some_and(String::is_empty)
        && segment.processes.iter().all(|process| {
            process.environment.is_none_or(|i| (i as usize) < segment.environments.len())
                && process.objects.iter().chain(&process.doubts).all(|i| (*i as usize) < names)
                && process
                    .loads
                    .iter()
                    .all(|load| (load.module as usize) < modules && (load.importer as usize) < names)
        })
}
