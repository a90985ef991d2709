//! XALT's records in a system log: cut into blocks, each a line.
//!
//! `… [host] XALT_LOGGING_<cluster>: V:4 kind:run syshost:… key:run_fini_<uuid> crcStr:0x… nb:22 idx:00 value:<block>`. Version 2 is
//! packed (base64 of zlib), versions 3 and 4 are JSON as it is. Lines of several records are mixed, and lines come twice.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use serde::{Deserialize, Serialize};

const MARK: &[u8] = b"XALT_LOGGING_";

/// A record is put together of so many blocks at most,
const MOST_BLOCKS: usize = 20_000;

/// and so many are put together at once: what is older has lost a line.
const MOST_OPEN: usize = 100_000;

/// Of so many records it is known that they were whole: lines that come once more are theirs.
const MOST_DONE: usize = 50_000;

/// Records that are not whole yet.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Assembly {
    open: HashMap<String, Open>,
    began: u64,
    done: VecDeque<String>,
    is_done: HashSet<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Open {
    /// When it began, in records.
    number: u64,
    /// Where its first line is.
    place: (String, u64),
    blocks: Vec<Option<String>>,
    missing: usize,
}

/// A record that is whole.
pub(crate) struct Whole {
    pub(crate) json: Vec<u8>,
    /// The node that sent it, if the log tells.
    pub(crate) host: String,
}

/// Whether a line is of such a log.
pub(crate) fn is_line(line: &[u8]) -> bool {
    memmem::find(line, MARK).is_some()
}

impl Assembly {
    /// Takes a line of the log; the record that is whole with it.
    pub(crate) fn line(&mut self, line: &[u8], place: (&str, u64)) -> Result<Option<Whole>, String> {
        let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
        let mark = line.find("XALT_LOGGING_").ok_or("no record of XALT")?;
        let host = host(&line[..mark]);
        let rest = &line[mark..];
        let (head, value) = rest.split_once(" value:").ok_or("the line ends before `value:`")?;
        let Some(version) = field(head, "V:") else {
            return old(rest).map(|json| Some(Whole { json, host: host.to_owned() }));
        };
        let key = field(head, "key:").ok_or("no `key:`")?;
        let number = |name: &str| field(head, name).and_then(|text| text.parse::<usize>().ok());
        let (blocks, index) = (number("nb:").ok_or("no `nb:`")?, number("idx:").ok_or("no `idx:`")?);
        if blocks == 0 || blocks > MOST_BLOCKS || index >= blocks {
            return Err(format!("block {index} of {blocks}"));
        }
        let is_last = index + 1 == blocks;
        // Some loggers take the blanks at the end of a line away.
        let value = if is_last { value.trim_end() } else { value };
        let json = if blocks == 1 {
            value.to_owned()
        } else {
            let crc = field(head, "crcStr:").or_else(|| field(head, "crc:")).unwrap_or_default();
            match self.block(&format!("{crc} {key}"), (index, blocks), value, place)? {
                Some(json) => json,
                None => return Ok(None),
            }
        };
        let json = if version == "2" { unpacked(&json)? } else { json.into_bytes() };
        Ok(Some(Whole { json, host: host.to_owned() }))
    }

    fn block(
        &mut self,
        key: &str,
        (index, blocks): (usize, usize),
        value: &str,
        place: (&str, u64),
    ) -> Result<Option<String>, String> {
        if !self.open.contains_key(key) {
            if self.is_done.contains(key) {
                return Ok(None);
            }
            if self.open.len() >= MOST_OPEN {
                let oldest = self.open.iter().min_by_key(|(_, open)| open.number).map(|(key, _)| key.clone());
                oldest.and_then(|key| self.open.remove(&key));
            }
            self.began += 1;
            let open = Open {
                number: self.began,
                place: (place.0.to_owned(), place.1),
                blocks: vec![None; blocks],
                missing: blocks,
            };
            self.open.insert(key.to_owned(), open);
        }
        let Some(open) = self.open.get_mut(key) else { return Ok(None) };
        let slot = open.blocks.get_mut(index).ok_or("its blocks are counted differently in each line")?;
        if slot.is_none() {
            *slot = Some(value.to_owned());
            open.missing -= 1;
        }
        if open.missing > 0 {
            return Ok(None);
        }
        let blocks = self.open.remove(key).map(|open| open.blocks).unwrap_or_default();
        if self.done.len() >= MOST_DONE
            && let Some(oldest) = self.done.pop_front()
        {
            self.is_done.remove(&oldest);
        }
        self.done.push_back(key.to_owned());
        self.is_done.insert(key.to_owned());
        Ok(Some(padded(&blocks)))
    }

    /// Records that were never whole, with where they began.
    pub(crate) fn rest(&mut self) -> Vec<(String, u64, String)> {
        let mut all: Vec<_> = self.open.drain().map(|(_, open)| open).collect();
        all.sort_by_key(|open| open.number);
        all.into_iter()
            .map(|open| {
                let why = format!("{} of its {} blocks are missing", open.missing, open.blocks.len());
                (open.place.0, open.place.1, why)
            })
            .collect()
    }
}

/// Blocks but the last have one length; where a logger cut blanks off, they are put back.
fn padded(blocks: &[Option<String>]) -> String {
    let length = blocks.iter().take(blocks.len() - 1).flatten().map(String::len).max().unwrap_or(0);
    let mut all = String::new();
    for (i, block) in blocks.iter().flatten().enumerate() {
        all.push_str(block);
        if i + 1 < blocks.len() && block.len() < length && length - block.len() < 16 {
            all.extend(std::iter::repeat_n(' ', length - block.len()));
        }
    }
    all
}

/// The word before the mark, if it is a node's name: `2021-06-10T00:00:00-04:00 p0199 XALT_LOGGING_…`, `Nov 22 00:54:39 n1 XALT_…`.
fn host(front: &str) -> &str {
    let word = front.trim_end().rsplit(' ').next().unwrap_or_default();
    let is_name = word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    if is_name { word } else { "" }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let at = head.find(&format!(" {name}"))? + 1 + name.len();
    head[at..].split(' ').next().filter(|value| !value.is_empty())
}

fn unpacked(text: &str) -> Result<Vec<u8>, String> {
    let packed = STANDARD.decode(text.trim()).map_err(|error| format!("no base64: {error}"))?;
    let mut json = Vec::new();
    flate2::read::ZlibDecoder::new(&packed[..])
        .take(64 << 20)
        .read_to_end(&mut json)
        .map_err(|error| format!("not packed by zlib: {error}"))?;
    Ok(json)
}

/// Version 1: `XALT_LOGGING_<cluster> run:<base64>`.
fn old(rest: &str) -> Result<Vec<u8>, String> {
    let value =
        rest.split_once("run:").or_else(|| rest.split_once("link:")).ok_or("no version, and no record")?;
    STANDARD.decode(value.1.trim()).map_err(|error| format!("no base64: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(of: &[&str]) -> (Vec<String>, Assembly) {
        let mut assembly = Assembly::default();
        let mut whole = Vec::new();
        for (i, line) in of.iter().enumerate() {
            if let Some(found) = assembly.line(line.as_bytes(), ("log", i as u64)).unwrap() {
                whole.push(format!("{}|{}", found.host, String::from_utf8(found.json).unwrap()));
            }
        }
        (whole, assembly)
    }

    #[test]
    fn blocks_in_any_order_and_twice() {
        let block = |key: &str, i: usize, value: &str| {
            format!(
                "2021-06-10T00:00:00-04:00 p0199 XALT_LOGGING_pitzer: V:4 kind:run nb:3 syshost:pitzer key:{key} crc:0x1 idx:{i} value:{value}"
            )
        };
        let all = [
            block("a", 1, "\"x\":"),
            block("b", 0, "{"),
            block("a", 0, "{    "),
            block("a", 1, "\"x\":"),
            block("a", 2, "1}"),
            block("a", 2, "1}"),
        ];
        let (whole, mut assembly) = lines(&all.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(whole, ["p0199|{    \"x\": 1}"]);
        assert_eq!(assembly.rest(), [("log".to_owned(), 1, "2 of its 3 blocks are missing".to_owned())]);
    }

    #[test]
    fn packed_and_broken_ones() {
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packer, b"{\"y\":2}").unwrap();
        let value = STANDARD.encode(packer.finish().unwrap());
        let line = format!("XALT_LOGGING_x V:2 kind:pkg idx:0 nb:1 syshost:x key:k value:{value}");
        assert_eq!(lines(&[&line]).0, ["|{\"y\":2}"]);
        let mut assembly = Assembly::default();
        for bad in [
            "XALT_LOGGING_x V:2 kind:pkg idx:0 nb:1 syshost:x key:k value:%%%",
            "XALT_LOGGING_x V:4 kind:pkg idx:9 nb:1 syshost:x key:k value:a",
            "XALT_LOGGING_x V:4 kind:pkg idx:0 nb:99999999 syshost:x key:k value:a",
            "XALT_LOGGING_x V:4 kind:pkg idx:0 nb:1",
            "nothing",
        ] {
            assert!(assembly.line(bad.as_bytes(), ("log", 0)).is_err(), "{bad}");
        }
    }
}
