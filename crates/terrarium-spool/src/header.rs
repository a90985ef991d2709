//! The header as it stands.

use super::ReadError;
use terrarium_wire::header::{self as at, MAGIC, VERSION, flag};

/// The fixed fields of a file. What is 0 was not written (yet).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where the records begin.
    pub length: usize,
    /// Bits of [`flag`].
    pub flags: u32,
    /// Process ID, in the PID namespace of the process.
    pub pid: u32,
    /// Process ID of the parent at the start; 0 also if it is outside the PID namespace.
    pub parent: u32,
    /// When the record began, nanoseconds since 1970.
    pub start: u64,
    /// What this file is called by others.
    pub id: u64,
    /// The `id` of the process that this one was forked from.
    pub forked_from: u64,
    /// Real user ID, as the process saw it: no proof of anything.
    pub user: u32,
    /// Nanoseconds from the start to the end.
    pub ended: u64,
    /// See [`terrarium_wire::header::ending`].
    pub ending: u32,
    /// The exit status that went with it.
    pub status: u32,
    /// Nanoseconds from the start to the last attempt to execute another program.
    pub exec: u64,
    /// Peak resident set in bytes.
    pub peak: u64,
    /// Nanoseconds from the start to the last look at the peak.
    pub peak_seen: u64,
    /// `import` events seen.
    pub imports: u32,
    /// Modules recorded as loaded.
    pub modules: u32,
    /// Records dropped because the file could not grow.
    pub no_space: u32,
    /// Records dropped because another thread was writing.
    pub busy: u32,
    /// Records dropped because there were too many modules or too long texts.
    pub too_much: u32,
    /// Forked children that could not get a file of their own.
    pub children_lost: u32,
    /// Nanoseconds from the start to the last record.
    pub last: u64,
    /// Python interpreters seen in the process.
    pub interpreters: u32,
}

impl Header {
    /// Reads the header at the start of a file; what follows it is not looked at.
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        let Some(magic) = bytes.get(..MAGIC.len()) else {
            return Err(if bytes.is_empty() { ReadError::Empty } else { ReadError::NotASpoolFile });
        };
        if magic != MAGIC {
            // Allocated, and ended before the first word.
            let start = &bytes[..bytes.len().min(at::LENGTH)];
            let is_blank = start.len() == at::LENGTH && start.iter().all(|byte| *byte == 0);
            return Err(if is_blank { ReadError::Empty } else { ReadError::NotASpoolFile });
        }
        let Some(fields) = bytes.get(..at::LENGTH) else {
            return Err(ReadError::Cut { length: bytes.len() });
        };
        let version = u16::from_le_bytes(array(fields, at::AT_VERSION));
        if version > VERSION {
            return Err(ReadError::Newer { version });
        }
        let length = usize::from(u16::from_le_bytes(array(fields, at::AT_LENGTH)));
        // A header may grow at its end; it stays in the first chunk.
        if version == 0 || !length.is_multiple_of(4) || !(at::LENGTH..=4096).contains(&length) {
            return Err(ReadError::NotASpoolFile);
        }
        let short = |place| u32::from_le_bytes(array(fields, place));
        let long = |place| u64::from_le_bytes(array(fields, place));
        Ok(Self {
            length,
            flags: short(at::AT_FLAGS),
            pid: short(at::AT_PID),
            parent: short(at::AT_PARENT),
            start: long(at::AT_START),
            id: long(at::AT_ID),
            forked_from: long(at::AT_FORKED_FROM),
            user: short(at::AT_USER),
            ended: long(at::AT_ENDED),
            ending: short(at::AT_ENDING),
            status: short(at::AT_STATUS),
            exec: long(at::AT_EXEC),
            peak: long(at::AT_PEAK),
            peak_seen: long(at::AT_PEAK_SEEN),
            imports: short(at::AT_IMPORTS),
            modules: short(at::AT_MODULES),
            no_space: short(at::AT_NO_SPACE),
            busy: short(at::AT_BUSY),
            too_much: short(at::AT_TOO_MUCH),
            children_lost: short(at::AT_CHILDREN_LOST),
            last: long(at::AT_LAST),
            interpreters: short(at::AT_INTERPRETERS),
        })
    }

    /// Whether a bit of [`flag`] is set.
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether it was made by fork.
    pub fn is_forked(&self) -> bool {
        self.has(flag::FORKED)
    }
}

fn array<const N: usize>(bytes: &[u8], place: usize) -> [u8; N] {
    bytes.get(place..place + N).and_then(|field| field.try_into().ok()).unwrap_or([0; N])
}
