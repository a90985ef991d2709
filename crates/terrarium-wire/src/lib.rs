//! The bytes that the hook writes into a spool file, and how they are read.
//!
//! A file belongs to one process image (a forked child and a program after `exec` have files of their own). It is a
//! header of fixed fields, which the process keeps up to date ([`header`]), and records behind it, which are only ever added
//! ([`kind`]). All numbers are little-endian.
//!
//! The file is mapped into the process, so what was written survives any end of the process. It grows by whole chunks
//! ([`chunk`]), allocated before they are touched. A record is published by its first word, stored last:
//!
//! | bytes | |
//! |---|---|
//! | 0–1 | length of the payload, 1 to [`LONGEST`] |
//! | 2–3 | [`check`] of the payload |
//! | 4– | the payload: a byte that says the [`kind`], then its fields; zeros up to a multiple of 4 |
//!
//! A word of 0 is the end of what was written. [`CONTINUED`] says that the next record stands at the start of the next chunk;
//! so does the end of a chunk.
//!
//! Fields are a *number* (LEB128, at most 10 bytes), a *text* (its length as a number, then bytes, UTF-8 as a rule), or a
//! *continued text*: how many bytes it shares with the text before it of the same sort (names, origins or objects), how many
//! follow, and these. At most [`REMEMBERED`] bytes of a text are shared. A *time* is the number of microseconds since the last
//! record that had a time, or since the start.

#![no_std]
#![forbid(unsafe_code)]

pub mod header;
pub mod kind;
mod put;

pub use put::{Put, Shared};

/// The longest payload in bytes.
pub const LONGEST: usize = 0x7FFF;

/// In place of a record's first word: the records go on at the start of the next chunk.
pub const CONTINUED: u32 = u32::MAX;

/// So many bytes of a text can be shared with the next.
pub const REMEMBERED: usize = 512;

/// Where the `index`th chunk of a file begins and how long it is, in bytes. The first is a page with the header in it; then
/// 16 KiB, doubled up to 1 MiB.
pub const fn chunk(index: u32) -> (u64, u64) {
    let (mut begin, mut size, mut i) = (0, 4096, 0);
    while i < index {
        begin += size;
        size = match size {
            4096 => 16 << 10,
            0x10_0000 => 1 << 20,
            smaller => smaller * 2,
        };
        i += 1;
    }
    (begin, size)
}

/// What stands beside a payload's length: it differs if the payload is not whole. No protection against intent.
pub fn check(payload: &[u8]) -> u16 {
    let mixed = hash(payload);
    (mixed >> 48) as u16 ^ mixed as u16
}

/// A quick hash of bytes, the same everywhere.
pub fn hash(bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |state: u64, word: u64| {
        let product = (state ^ word).wrapping_mul(ODD);
        product ^ product >> 29
    };
    let mut words = bytes.chunks_exact(8);
    let mut state = bytes.len() as u64;
    for word in &mut words {
        state = mix(state, u64::from_le_bytes(word.try_into().unwrap_or_default()));
    }
    let mut last = 0;
    for (place, &byte) in words.remainder().iter().enumerate() {
        last |= u64::from(byte) << (8 * place);
    }
    mix(mix(state, last), ODD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_follow_each_other() {
        assert_eq!(chunk(0), (0, 4096));
        assert_eq!(chunk(1), (4096, 16 << 10));
        assert_eq!(chunk(2), (20 << 10, 32 << 10));
        for index in 0..40 {
            let (begin, size) = chunk(index);
            assert_eq!(begin + size, chunk(index + 1).0);
            assert!(size <= 1 << 20);
        }
    }

    #[test]
    fn a_changed_byte_changes_the_check() {
        let payload = *b"numpy.linalg._umath_linalg";
        for at in 0..payload.len() {
            let mut other = payload;
            other[at] ^= 1;
            assert_ne!(check(&payload), check(&other));
        }
        assert_ne!(check(&[0; 8]), check(&[0; 9]));
    }
}
