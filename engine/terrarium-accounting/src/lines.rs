//! Lines of an input that may be anything.

use std::io::{self, BufRead};

/// A line may be as long as this; longer ones are skipped.
pub(crate) const LONGEST: usize = 16 << 20;

/// A line, without its end.
pub(crate) struct Line {
    /// Where it begins, bytes from the start.
    pub(crate) offset: u64,
    /// Counts from 1.
    pub(crate) number: u64,
    /// `None`: it is too long.
    pub(crate) text: Option<String>,
}

/// Why a line that is too long is broken.
pub(crate) const TOO_LONG: &str = "the line is longer than 16 MiB";

/// Reads lines, and keeps no more than one of [`LONGEST`] in memory.
pub(crate) struct Lines<R> {
    input: R,
    offset: u64,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Lines { input, offset: 0, number: 0 }
    }

    /// The next line; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        let offset = self.offset;
        let mut bytes = Vec::new();
        let mut is_long = false;
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                break;
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(buffer.len());
            if bytes.len() + length > LONGEST {
                is_long = true;
                bytes = Vec::new();
            }
            if !is_long {
                bytes.extend_from_slice(&buffer[..length]);
            }
            let used = length + usize::from(end.is_some());
            self.input.consume(used);
            self.offset += used as u64;
            if end.is_some() {
                break;
            }
        }
        if self.offset == offset {
            return Ok(None);
        }
        self.number += 1;
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if offset == 0 && bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        Ok(Some(Line { offset, number: self.number, text: (!is_long).then_some(text) }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_have_their_place() {
        let mut lines = Lines::new(BufReader::with_capacity(3, &b"\xef\xbb\xbfab\r\n\n\xff\nlast"[..]));
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            seen.push((line.offset, line.number, line.text.unwrap()));
        }
        let wanted = [(0, 1, "ab"), (7, 2, ""), (8, 3, "\u{fffd}"), (10, 4, "last")];
        assert_eq!(seen, wanted.map(|(offset, number, text)| (offset, number, text.to_owned())));
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped() {
        let mut bytes = vec![b'x'; LONGEST + 1];
        bytes.extend_from_slice(b"\nnext\n");
        let mut lines = Lines::new(&bytes[..]);
        assert!(lines.next().unwrap().unwrap().text.is_none());
        let next = lines.next().unwrap().unwrap();
        assert_eq!((next.offset, next.text.as_deref()), (LONGEST as u64 + 2, Some("next")));
        assert!(lines.next().unwrap().is_none());
    }
}
