//! The files that were named, in one order, and what is in them: compressed files and archives are opened on the way.

use std::fs;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Archives in archives are opened so deep.
const DEEPEST: u32 = 4;

/// What is smaller is read as a whole.
const SMALL: u64 = 1 << 20;

const BUFFER: usize = 1 << 18;

/// Files below what was named, in the order of their names; links below it are not followed.
pub(crate) struct Walk {
    waiting: Vec<std::vec::IntoIter<PathBuf>>,
    /// Links and devices that were passed over.
    pub(crate) passed: u64,
}

/// A file that was found.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) modified_ms: u64,
}

impl Walk {
    pub(crate) fn new(paths: &[PathBuf]) -> Self {
        let paths: Vec<PathBuf> = paths.to_vec();
        Walk { waiting: vec![paths.into_iter()], passed: 0 }
    }
}

impl Iterator for Walk {
    type Item = Result<Found, (PathBuf, io::Error)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let is_named = self.waiting.len() == 1;
            let Some(path) = self.waiting.last_mut()?.next() else {
                self.waiting.pop();
                continue;
            };
            let meta = if is_named { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
            let meta = match meta {
                Ok(meta) => meta,
                Err(error) => return Some(Err((path, error))),
            };
            if meta.is_dir() {
                let names = fs::read_dir(&path).and_then(|entries| {
                    entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()
                });
                match names {
                    Ok(mut names) => {
                        names.sort_unstable();
                        self.waiting.push(names.into_iter());
                        continue;
                    }
                    Err(error) => return Some(Err((path, error))),
                }
            }
            // A pipe is read if it is named: `zcat x | terrarium import xalt /dev/stdin`.
            if !meta.is_file() && !is_named {
                self.passed += 1;
                continue;
            }
            let modified =
                meta.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            return Some(Ok(Found {
                path,
                size: meta.len(),
                modified_ms: modified.map_or(0, |time| time.as_millis() as u64),
            }));
        }
    }
}

/// Something with records in it.
pub(crate) enum Document<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// To be read.
    Stream(&'a mut dyn BufRead),
}

/// What a document is called: in an archive, `archive.tar:member`.
pub(crate) type Name<'a> = &'a str;

/// Counts bytes of a file as they are read.
struct Counted {
    file: fs::File,
    count: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Hands on all documents of a file.
pub(crate) fn documents(
    path: &Path,
    count: &Arc<AtomicU64>,
    take: &mut dyn FnMut(Name<'_>, Document<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let file = fs::File::open(path)?;
    let mut reader = BufReader::with_capacity(BUFFER, Counted { file, count: Arc::clone(count) });
    inside(&path.display().to_string(), &mut reader, 0, take)
}

fn inside(
    name: &str,
    reader: &mut dyn BufRead,
    depth: u32,
    take: &mut dyn FnMut(Name<'_>, Document<'_>) -> io::Result<()>,
) -> io::Result<()> {
    // Enough to see what it is.
    let mut head = Vec::with_capacity(512);
    (&mut *reader).take(512).read_to_end(&mut head)?;
    let kind = kind(&head);
    let mut whole = Cursor::new(head).chain(reader);
    match kind {
        _ if depth > DEEPEST && kind != Kind::Plain => {
            Err(io::Error::other("it is packed into itself too often"))
        }
        Kind::Zstd => {
            let unpacked = zstd::stream::read::Decoder::with_buffer(&mut whole)?;
            inside(name, &mut BufReader::with_capacity(BUFFER, unpacked), depth + 1, take)
        }
        Kind::Gzip => {
            let unpacked = flate2::bufread::MultiGzDecoder::new(&mut whole);
            inside(name, &mut BufReader::with_capacity(BUFFER, unpacked), depth + 1, take)
        }
        Kind::Tar => members(name, whole, depth, take),
        Kind::Foreign(what) => {
            Err(io::Error::other(format!("{what} is not read: unpack it, or pack it with zstd or gzip")))
        }
        Kind::Plain => take(name, Document::Stream(&mut whole)),
    }
}

/// Passes over what lies between members without copying it anywhere: for small ones that is a third of the work.
struct Forward<R> {
    reader: R,
    at: u64,
}

impl<R: BufRead> Read for Forward<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl<R: BufRead> Seek for Forward<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut left = match to {
            SeekFrom::Current(n) => u64::try_from(n).map_err(io::Error::other)?,
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        while left > 0 {
            let available = self.reader.fill_buf()?.len();
            if available == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut"));
            }
            let n = available.min(usize::try_from(left).unwrap_or(usize::MAX));
            self.reader.consume(n);
            self.at += n as u64;
            left -= n as u64;
        }
        Ok(self.at)
    }
}

fn members(
    archive: &str,
    reader: impl BufRead,
    depth: u32,
    take: &mut dyn FnMut(Name<'_>, Document<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut name = String::new();
    let mut archive_reader = tar::Archive::new(Forward { reader, at: 0 });
    for entry in archive_reader.entries_with_seek()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        name.clear();
        name.push_str(archive);
        name.push(':');
        name.push_str(&String::from_utf8_lossy(&entry.path_bytes()));
        let size = entry.size();
        if size > SMALL {
            inside(&name, &mut BufReader::with_capacity(BUFFER, entry), depth + 1, take)?;
            continue;
        }
        bytes.clear();
        entry.read_to_end(&mut bytes)?;
        match kind(&bytes[..bytes.len().min(512)]) {
            Kind::Plain => take(&name, Document::Whole(&bytes))?,
            _ => inside(&name, &mut Cursor::new(&bytes), depth + 1, take)?,
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Zstd,
    Gzip,
    Tar,
    Foreign(&'static str),
    Plain,
}

fn kind(head: &[u8]) -> Kind {
    match head {
        [0x28, 0xB5, 0x2F, 0xFD, ..] => Kind::Zstd,
        [0x1F, 0x8B, ..] => Kind::Gzip,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Kind::Foreign("bzip2"),
        [0xFD, b'7', b'z', b'X', b'Z', ..] => Kind::Foreign("xz"),
        [b'P', b'K', 3, 4, ..] => Kind::Foreign("zip"),
        _ if head.get(257..262) == Some(b"ustar") => Kind::Tar,
        _ => Kind::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(path: &Path) -> io::Result<Vec<(String, String)>> {
        let mut all = Vec::new();
        documents(path, &Arc::default(), &mut |name, document| {
            let mut text = String::new();
            match document {
                Document::Whole(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
                Document::Stream(reader) => drop(reader.read_to_string(&mut text)?),
            }
            all.push((name.rsplit('/').next().unwrap().to_owned(), text));
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn packed_in_any_way_it_is_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mut builder = tar::Builder::new(Vec::new());
        let packed = zstd::encode_all(&b"two"[..], 1).unwrap();
        for (name, bytes) in [("a.json", &b"one"[..]), ("b.json.zst", &packed)] {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_cksum();
            builder.append_data(&mut header, name, bytes).unwrap();
        }
        let tar = builder.into_inner().unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&tar).unwrap();
        fs::write(at("x.tar"), &tar).unwrap();
        fs::write(at("x.tar.gz"), gz.finish().unwrap()).unwrap();
        fs::write(at("x.tar.zst"), zstd::encode_all(&tar[..], 1).unwrap()).unwrap();
        for name in ["x.tar", "x.tar.gz", "x.tar.zst"] {
            let found = read(&at(name)).unwrap();
            let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(texts, ["one", "two"], "{name}");
            assert_eq!(found[0].0, format!("{name}:a.json"));
        }
        fs::write(at("x.xz"), b"\xFD7zXZ\0").unwrap();
        assert!(read(&at("x.xz")).unwrap_err().to_string().contains("unpack"));
        // A cut archive gives what is whole, and then says so.
        let cut = zstd::encode_all(&tar[..], 1).unwrap();
        fs::write(at("cut.tar.zst"), &cut[..cut.len() - 5]).unwrap();
        assert!(read(&at("cut.tar.zst")).is_err());
    }

    #[test]
    fn files_come_in_order_and_links_are_left() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b/2", "a/1", "c"] {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", directory.path().join("a/link")).unwrap();
        let mut walk = Walk::new(&[directory.path().to_owned(), directory.path().join("none")]);
        let names: Vec<String> = walk
            .by_ref()
            .map(|found| match found {
                Ok(found) => found.path.strip_prefix(directory.path()).unwrap().display().to_string(),
                Err((path, _)) => format!("!{}", path.file_name().unwrap().to_string_lossy()),
            })
            .collect();
        assert_eq!(names, ["a/1", "b/2", "c", "!none"]);
        assert_eq!(walk.passed, 1);
    }
}
