//! Records of XALT, in each form in which a site may have them.

pub(crate) mod json;
pub(crate) mod mysql;
pub(crate) mod syslog;

use std::io;

use crate::gather::{Gathering, Place};
use crate::json::Braces;
use crate::lines::{LONGEST, Line, Lines};
use crate::walk::Document;

/// After so many lines of something else, and none of XALT, a document is given up.
const STRANGE: usize = 1000;

/// Takes all records of a document.
pub(crate) fn read(name: &str, document: Document<'_>, into: &mut Gathering) -> io::Result<()> {
    match document {
        // The usual small file: one record, and a blank line.
        Document::Whole(bytes) if is_one(bytes) => {
            record(bytes, "", Place { file: name, offset: 0 }, into);
            Ok(())
        }
        Document::Whole(mut bytes) => lines(name, &mut bytes, into),
        Document::Stream(reader) => lines(name, reader, into),
    }
}

/// One line of JSON, and nothing behind it.
fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(b"{")
        && match memchr::memchr(b'\n', bytes) {
            Some(end) => bytes[end..].iter().all(u8::is_ascii_whitespace) && bytes[..end].ends_with(b"}"),
            None => true,
        }
}

fn record(bytes: &[u8], host: &str, place: Place<'_>, into: &mut Gathering) {
    match json::take(bytes, host, &mut into.joiner) {
        Ok(was) => into.counts.was(name_of(was)),
        Err(why) => into.broken(place, &why),
    }
}

fn name_of(was: json::Was) -> &'static str {
    match was {
        json::Was::Package => "packages",
        json::Was::Start => "starts",
        json::Was::End => "ends",
        json::Was::Link => "links",
    }
}

/// A record over several lines.
struct Open {
    /// Its first line is its first brace: then others may begin with one.
    is_pretty: bool,
    bytes: Vec<u8>,
    braces: Braces,
    at: u64,
}

fn lines(name: &str, reader: &mut dyn io::BufRead, into: &mut Gathering) -> io::Result<()> {
    let mut open: Option<Open> = None;
    let mut strange = Vec::new();
    let before = into.counts.total();
    let mut lines = Lines::new(reader, 0);
    while let Some((at, line)) = lines.next()? {
        let place = Place { file: name, offset: at };
        if into.is_done(at) {
            continue;
        }
        let line = match line {
            Line::Text(line) => line,
            Line::TooLong => {
                into.broken(place, "a line is longer than 64 MiB");
                continue;
            }
        };
        let begins = line.starts_with(b"{");
        if let Some(before) = open.take_if(|open| begins && (!open.is_pretty || open.braces.is_top())) {
            // A record never begins within another.
            into.broken(Place { file: name, offset: before.at }, "the record has no end");
        }
        if let Some(mut record_open) = open.take() {
            let end = record_open.braces.end(line);
            record_open.bytes.push(b'\n');
            record_open.bytes.extend_from_slice(&line[..end.unwrap_or(line.len())]);
            if end.is_some() {
                record(&record_open.bytes, "", Place { file: name, offset: record_open.at }, into);
            } else if record_open.bytes.len() > LONGEST {
                into.broken(Place { file: name, offset: record_open.at }, "the record has no end");
            } else {
                open = Some(record_open);
            }
            continue;
        }
        if begins {
            open = of_line(line, place, into);
        } else if syslog::is_line(line) {
            match into.assembly.line(line, (name, at)) {
                Ok(Some(whole)) => record(&whole.json, &whole.host, place, into),
                Ok(None) => into.counts.was("blocks"),
                Err(why) => into.broken(place, &why),
            }
        } else if mysql::is_dump(line) {
            let first = line.to_vec();
            mysql::read(name, &first, &mut lines, into)?;
            break;
        } else if line.iter().any(|byte| !byte.is_ascii_whitespace()) && !line.starts_with(b"POST ") {
            strange.push(at);
            if strange.len() == STRANGE && into.counts.total() == before {
                break;
            }
        }
        if open.is_none() {
            into.pause(lines.offset())?;
        }
    }
    if let Some(open) = open {
        into.broken(Place { file: name, offset: open.at }, "the record has no end");
    }
    // A file of something else is one mistake, and not one for each line.
    if into.counts.total() == before && !strange.is_empty() {
        into.broken(Place { file: name, offset: strange[0] }, "no records of XALT are in it");
        return Ok(());
    }
    strange.into_iter().for_each(|offset| into.broken(Place { file: name, offset }, "no record of XALT"));
    Ok(())
}

/// A line that begins a record: it is one, or several, or the first of several lines of one.
fn of_line(line: &[u8], place: Place<'_>, into: &mut Gathering) -> Option<Open> {
    // Most lines are one record.
    if line.ends_with(b"}")
        && let Ok(was) = json::take(line, "", &mut into.joiner)
    {
        into.counts.was(name_of(was));
        return None;
    }
    let mut rest = line;
    let mut offset = place.offset;
    while !rest.is_empty() {
        let mut braces = Braces::default();
        let Some(end) = braces.end(rest) else {
            let is_pretty = rest.trim_ascii() == b"{";
            return Some(Open { is_pretty, bytes: rest.to_vec(), braces, at: offset });
        };
        record(&rest[..end], "", Place { file: place.file, offset }, into);
        let skipped = rest[end..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        rest = &rest[end + skipped..];
        offset += (end + skipped) as u64;
        if !rest.is_empty() && !rest.starts_with(b"{") {
            into.broken(Place { file: place.file, offset }, "no record of XALT");
            return None;
        }
    }
    None
}
