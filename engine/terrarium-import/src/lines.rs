//! Lines of any length, up to a limit, with their places.

use std::io::{self, BufRead};

/// A longer line is no record.
pub(crate) const LONGEST: usize = 64 << 20;

/// Reads lines.
pub(crate) struct Lines<'a> {
    reader: &'a mut dyn BufRead,
    buffer: Vec<u8>,
    /// Where the next line begins.
    offset: u64,
    /// Bytes of the reader's buffer that were handed out.
    lent: usize,
}

/// A line that was read.
pub(crate) enum Line<'a> {
    /// Without its end.
    Text(&'a [u8]),
    /// Longer than is read; it was passed over.
    TooLong,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(reader: &'a mut dyn BufRead, offset: u64) -> Self {
        Lines { reader, buffer: Vec::new(), offset, lent: 0 }
    }

    /// Bytes before the next line.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next line, and where it begins.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        self.reader.consume(std::mem::take(&mut self.lent));
        self.buffer.clear();
        let began = self.offset;
        // Most lines are in the reader's buffer as a whole, and need not be copied.
        let available = self.reader.fill_buf()?;
        if let Some(end) = memchr::memchr(b'\n', available) {
            self.lent = end + 1;
            self.offset += end as u64 + 1;
            let line = &self.reader.fill_buf()?[..end];
            return Ok(Some((began, Line::Text(line.strip_suffix(b"\r").unwrap_or(line)))));
        }
        let mut is_too_long = false;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                if self.offset == began {
                    return Ok(None);
                }
                break;
            }
            let (n, is_end) = match memchr::memchr(b'\n', available) {
                Some(place) => (place + 1, true),
                None => (available.len(), false),
            };
            if self.buffer.len() + n > LONGEST {
                is_too_long = true;
                self.buffer.clear();
            }
            if !is_too_long {
                self.buffer.extend_from_slice(&available[..n]);
            }
            self.reader.consume(n);
            self.offset += n as u64;
            if is_end {
                break;
            }
        }
        if is_too_long {
            return Ok(Some((began, Line::TooLong)));
        }
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        Ok(Some((began, Line::Text(line.strip_suffix(b"\r").unwrap_or(line)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_their_places() {
        let mut text: &[u8] = b"one\r\n\ntwo";
        let mut lines = Lines::new(&mut text, 10);
        let mut found = Vec::new();
        while let Some((at, Line::Text(line))) = lines.next().unwrap() {
            found.push((at, String::from_utf8_lossy(line).into_owned()));
        }
        assert_eq!(found, [(10, "one".to_owned()), (15, String::new()), (16, "two".to_owned())]);
        assert_eq!(lines.offset(), 19);
    }
}
