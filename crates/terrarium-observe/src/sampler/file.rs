//! Files of the kernel that are read again and again: kept open as long as there is room.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// More is never read of a file: what the kernel writes for one look is far smaller, but for a process with
/// thousands of groups.
const MOST: usize = 16 << 10;

/// Where files are read into, and how many may still be kept open.
#[derive(Debug)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    room: usize,
}

/// A file that is perhaps kept open.
#[derive(Debug, Default)]
pub(super) struct Kept(Option<File>);

impl Reader {
    pub(super) fn new(room: usize) -> Self {
        Reader { buffer: vec![0; MOST], room }
    }

    /// Reads a file from its beginning. One that was kept open is opened anew if it has become unreadable: its
    /// process has ended, and another may have its number.
    pub(super) fn read(&mut self, kept: &mut Kept, path: impl FnOnce() -> String) -> io::Result<&[u8]> {
        let length = match kept.0.as_ref().map(|file| file.read_at(&mut self.buffer, 0)) {
            Some(Ok(length)) => length,
            failed => {
                if failed.is_some() {
                    self.close(kept);
                }
                let file = File::open(path())?;
                let length = file.read_at(&mut self.buffer, 0)?;
                if self.room > 0 {
                    self.room -= 1;
                    kept.0 = Some(file);
                }
                length
            }
        };
        let text = &self.buffer[..length];
        // A line that is cut off could say anything.
        let whole = if length < MOST { length } else { text.iter().rposition(|b| *b == b'\n').unwrap_or(0) };
        Ok(&text[..whole])
    }

    /// Reads a file that is looked at once.
    pub(super) fn read_once(&mut self, path: &Path) -> io::Result<&[u8]> {
        let length = File::open(path)?.read_at(&mut self.buffer, 0)?;
        Ok(&self.buffer[..length])
    }

    pub(super) fn close(&mut self, kept: &mut Kept) {
        if kept.0.take().is_some() {
            self.room += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_end_to_open_files_and_to_their_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("a"), "1\n").unwrap();
        std::fs::write(path("b"), "line\n".repeat(10_000)).unwrap();
        let mut reader = Reader::new(1);
        let (mut a, mut b) = (Kept::default(), Kept::default());
        assert_eq!(reader.read(&mut a, || path("a")).unwrap(), b"1\n");
        let long = reader.read(&mut b, || path("b")).unwrap();
        assert!(long.len() < MOST && long.ends_with(b"line"));
        assert!(a.0.is_some() && b.0.is_none());
        std::fs::write(path("a"), "2\n").unwrap();
        assert_eq!(reader.read(&mut a, || unreachable!()).unwrap(), b"2\n");
        reader.close(&mut a);
        assert_eq!(reader.room, 1);
    }
}
