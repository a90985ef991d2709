//! Writes one record into a buffer, without memory of its own.

use crate::{CONTINUED, LONGEST, REMEMBERED, check};

/// A record being written. Fields that find no room are noticed at the end.
#[derive(Debug)]
pub struct Put<'a> {
    /// From the record's first word on.
    room: &'a mut [u8],
    /// Where the next field goes.
    at: usize,
    /// Whether a field found no room.
    full: bool,
}

impl<'a> Put<'a> {
    /// A record of this kind, to stand at the start of `room`.
    pub fn new(room: &'a mut [u8], kind: u8) -> Self {
        let mut put = Self { room, at: 4, full: false };
        put.byte(kind);
        put
    }

    /// A byte.
    pub fn byte(&mut self, byte: u8) {
        match self.room.get_mut(self.at) {
            Some(place) => {
                *place = byte;
                self.at += 1;
            }
            None => self.full = true,
        }
    }

    /// A number.
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    /// A text.
    pub fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.bytes(text);
    }

    /// A continued text; [`Shared::remember`] it once the record is written.
    pub fn continued(&mut self, last: &Shared, text: &[u8]) {
        let shared = last.with(text);
        self.number(shared as u64);
        self.text(text.get(shared..).unwrap_or_default());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let room = self.room.get_mut(self.at..).and_then(|room| room.get_mut(..bytes.len()));
        match room {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.at += bytes.len();
            }
            None => self.full = true,
        }
    }

    /// The record's first word, and its length with it, a multiple of 4. `None`: there was no room, or it is too long; the
    /// bytes behind the first word are then anything. The word is still to be stored.
    pub fn end(self) -> Option<(u32, usize)> {
        let payload = self.room.get(4..self.at)?;
        let length = u16::try_from(payload.len()).ok()?;
        let whole = self.at.next_multiple_of(4);
        if self.full || payload.len() > LONGEST {
            return None;
        }
        let word = u32::from(length) | u32::from(check(payload)) << 16;
        debug_assert_ne!(word, CONTINUED);
        self.room.get_mut(self.at..whole)?.fill(0);
        Some((word, whole))
    }
}

/// The last text of a sort, with which the next is compared.
#[derive(Debug)]
pub struct Shared {
    bytes: [u8; REMEMBERED],
    length: usize,
}

impl Shared {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { bytes: [0; REMEMBERED], length: 0 }
    }

    fn so_far(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// How many bytes `text` shares with the last.
    fn with(&self, text: &[u8]) -> usize {
        let last = self.so_far();
        let (words, others) = (last.as_chunks::<8>().0, text.as_chunks::<8>().0);
        let same = words.iter().zip(others).take_while(|(a, b)| a == b).count() * 8;
        let (last, text) = (last.get(same..).unwrap_or_default(), text.get(same..).unwrap_or_default());
        same + last.iter().zip(text).take_while(|(a, b)| a == b).count()
    }

    /// Whether the last text is `text` with a dot and more behind it.
    pub fn begins_with_and_dot(&self, text: &[u8]) -> bool {
        self.so_far().strip_prefix(text).is_some_and(|rest| rest.first() == Some(&b'.'))
    }

    /// This is the last text now.
    pub fn remember(&mut self, text: &[u8]) {
        let from = self.with(text);
        self.length = text.len().min(REMEMBERED);
        if let (Some(place), Some(text)) =
            (self.bytes.get_mut(from..self.length), text.get(from..self.length))
        {
            place.copy_from_slice(text);
        }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}
