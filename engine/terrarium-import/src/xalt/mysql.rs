//! A dump of XALT's database, as mysqldump and mariadb-dump write it: the rows of `xalt_run` and `xalt_pkg`.
//!
//! The database does not keep the scheduler, and gives each package a run's number in place of its UUID. The order of tables does not
//! matter.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::io::{self, Read};

use sha2::Digest;

use super::json::{job, main_of, micros, uuid};
use crate::gather::{Gathering, Place};
use crate::join::Run;
use crate::lines::{Line, Lines};

/// Whether a line is of a dump.
pub(crate) fn is_dump(line: &[u8]) -> bool {
    [
        &b"-- MySQL dump"[..],
        b"-- MariaDB dump",
        b"/*M!",
        b"/*!",
        b"CREATE TABLE `",
        b"INSERT INTO `",
        b"DROP TABLE IF",
    ]
    .iter()
    .any(|mark| line.starts_with(mark))
}

/// Columns by their place.
type Columns = HashMap<Vec<u8>, usize>;

#[derive(Default)]
struct Dump {
    runs: Columns,
    packages: Columns,
    /// Of which table columns are being listed.
    listing: Option<bool>,
}

/// As XALT's own program makes the tables: for a dump without `CREATE TABLE`.
const RUN: &str = "run_id job_id run_uuid date syshost uuid hash_id account exec_type start_time end_time run_time probability \
    num_cores num_nodes num_threads num_gpus queue sum_runs sum_time user exec_path module_name cwd cmdline container";
const PACKAGE: &str = "pkg_id run_id program pkg_name pkg_version pkg_path";

fn columns(names: &str) -> Columns {
    names.split_whitespace().enumerate().map(|(i, name)| (name.as_bytes().to_vec(), i)).collect()
}

/// Takes a dump, of which one line was read.
pub(crate) fn read(name: &str, first: &[u8], lines: &mut Lines<'_>, into: &mut Gathering) -> io::Result<()> {
    let mut dump = Dump { runs: columns(RUN), packages: columns(PACKAGE), listing: None };
    let digest = sha2::Sha256::digest(name.as_bytes());
    let salt = digest.iter().take(8).fold(0u64, |salt, byte| salt << 8 | u64::from(*byte));
    line(&mut dump, first, salt, Place { file: name, offset: 0 }, into);
    while let Some((at, next)) = lines.next()? {
        let place = Place { file: name, offset: at };
        match next {
            Line::Text(text) => line(&mut dump, text, salt, place, into),
            Line::TooLong => into.broken(place, "a line is longer than 64 MiB"),
        }
        into.relieve()?;
    }
    Ok(())
}

fn line(dump: &mut Dump, text: &[u8], salt: u64, place: Place<'_>, into: &mut Gathering) {
    if let Some(is_runs) = dump.listing {
        if let Some(rest) = text.trim_ascii_start().strip_prefix(b"`") {
            let columns = if is_runs { &mut dump.runs } else { &mut dump.packages };
            if let Some(end) = rest.iter().position(|byte| *byte == b'`') {
                let next = columns.len();
                columns.insert(rest[..end].to_vec(), next);
            }
        } else if text.starts_with(b")") {
            dump.listing = None;
        }
        return;
    }
    for (table, is_runs) in [(&b"`xalt_run`"[..], true), (b"`xalt_pkg`", false)] {
        if let Some(rest) = text.strip_prefix(b"CREATE TABLE ").and_then(|rest| rest.strip_prefix(table)) {
            if rest.ends_with(b"(") {
                *(if is_runs { &mut dump.runs } else { &mut dump.packages }) = Columns::new();
                dump.listing = Some(is_runs);
            }
            return;
        }
        let Some(rest) = text.strip_prefix(b"INSERT INTO ").and_then(|rest| rest.strip_prefix(table)) else {
            continue;
        };
        let (named, rest) = named(rest);
        let of_table = if is_runs { &dump.runs } else { &dump.packages };
        let columns = named.as_ref().unwrap_or(of_table);
        let mut values = Values { text: rest, at: 0 };
        loop {
            let at = values.at;
            match values.row() {
                Ok(Some(row)) => {
                    let row = Row { columns, values: row };
                    let taken = if is_runs { run(&row, salt, into) } else { package(&row, salt, into) };
                    if let Err(why) = taken {
                        into.broken(Place { offset: place.offset + at as u64, ..place }, why);
                    }
                }
                Ok(None) => break,
                Err(why) => {
                    into.broken(Place { offset: place.offset + at as u64, ..place }, why);
                    break;
                }
            }
        }
        return;
    }
    if text.starts_with(b"INSERT INTO ") {
        into.counts.was("rows of other tables");
    }
}

/// The columns that a statement names itself.
fn named(text: &[u8]) -> (Option<Columns>, &[u8]) {
    let text = text.trim_ascii_start();
    let Some(list) = text.strip_prefix(b"(") else { return (None, text) };
    let Some(end) = list.iter().position(|byte| *byte == b')') else { return (None, text) };
    let names = list[..end].split(|byte| *byte == b',');
    let columns = names.enumerate().map(|(i, name)| {
        let name = name.trim_ascii();
        (name.strip_prefix(b"`").and_then(|name| name.strip_suffix(b"`")).unwrap_or(name).to_vec(), i)
    });
    (Some(columns.collect()), &list[end + 1..])
}

/// A value; none is NULL.
type Value<'a> = Option<Cow<'a, [u8]>>;

struct Row<'a> {
    columns: &'a Columns,
    values: Vec<Value<'a>>,
}

impl Row<'_> {
    fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.values.get(*self.columns.get(name.as_bytes())?)?.as_deref()
    }

    fn text(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(self.bytes(name)?).trim().to_owned();
        Some(text).filter(|text| !text.is_empty() && text != "unknown")
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

/// A run's number stands for it in the whole dump.
fn key(salt: u64, number: &str) -> u128 {
    let mut hasher = std::hash::DefaultHasher::new();
    (salt, number).hash(&mut hasher);
    // Never one of a UUID's: those have a version in the middle.
    u128::from(salt) << 80 | u128::from(hasher.finish())
}

fn package(row: &Row<'_>, salt: u64, into: &mut Gathering) -> Result<(), &'static str> {
    let number = row.text("run_id").ok_or("a package without a run_id")?;
    let name = row.text("pkg_name").ok_or("a package without a name")?;
    let key = key(salt, &number);
    into.joiner.module(key, &name, &row.text("pkg_path").unwrap_or_default(), "");
    if let Some(version) = row.text("pkg_version") {
        into.joiner.python(key, &version);
    }
    into.counts.was("packages");
    Ok(())
}

fn run(row: &Row<'_>, salt: u64, into: &mut Gathering) -> Result<(), &'static str> {
    let number = row.text("run_id").ok_or("a run without a run_id")?;
    let identity = row.text("run_uuid").and_then(|text| uuid(&text)).ok_or("a run without a run_uuid")?;
    let started_us = row.number("start_time").and_then(micros).ok_or("a run without a start_time")?;
    let ended_us =
        row.number("end_time").filter(|end| *end > 0.0).and_then(micros).map(|end| end.max(started_us));
    let command = row.bytes("cmdline").map(command).unwrap_or_default();
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let (main, script) = main_of(&words);
    let count = |name: &str| row.number(name).filter(|n| (1.0..1e9).contains(n));
    let scheduler = into.scheduler.clone();
    let certain = f64::from(terrarium_segment::CERTAIN);
    let run = Run {
        identity: Some(identity),
        cluster: row.text("syshost").unwrap_or_default(),
        user: row.text("user").unwrap_or_default(),
        started_us,
        ended_us,
        probability: count_of(row.number("probability"), certain),
        program: row.text("exec_path").unwrap_or_default(),
        called: words.first().copied().unwrap_or_default().to_owned(),
        main: if words.is_empty() { String::new() } else { main.to_owned() },
        script: script.to_owned(),
        job: row.text("job_id").map(|id| {
            let system = match &scheduler {
                Some(system) => system.as_str(),
                None if id.contains('[') => "pbs",
                None => "unknown",
            };
            job(system, &id)
        }),
        project: row.text("account"),
        queue: row.text("queue"),
        nodes: count("num_nodes").filter(|nodes| *nodes > 1.0).map(|n| n as u32),
        tasks: count("num_cores").map(|n| n as u64),
        ..Run::default()
    };
    into.counts.was(if ended_us.is_some() { "ends" } else { "starts" });
    into.joiner.run(key(salt, &number), run);
    Ok(())
}

fn count_of(probability: Option<f64>, certain: f64) -> u32 {
    let probability = probability.filter(|p| *p > 0.0 && *p <= 1.0).unwrap_or(1.0);
    ((probability * certain).round() as u32).max(1)
}

/// What MySQL's COMPRESS made: the length, and zlib.
fn command(bytes: &[u8]) -> Vec<String> {
    let mut json = Vec::new();
    let packed = bytes.get(4..).unwrap_or_default();
    let unpacked = flate2::read::ZlibDecoder::new(packed).take(1 << 20).read_to_end(&mut json);
    let json = if unpacked.is_ok() { &json[..] } else { bytes };
    serde_json::from_slice(json).unwrap_or_default()
}

/// Rows of a statement.
struct Values<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Values<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The next `(…)`; none at the `;`.
    fn row(&mut self) -> Result<Option<Vec<Value<'a>>>, &'static str> {
        loop {
            match self.peek() {
                Some(b'(') => break,
                Some(b';') | None => return Ok(None),
                // `VALUES`, blanks and the comma between rows.
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let mut row = Vec::with_capacity(32);
        loop {
            row.push(self.value()?);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b')') => {
                    self.at += 1;
                    return Ok(Some(row));
                }
                _ => return Err("a row ends in the middle"),
            }
        }
    }

    fn value(&mut self) -> Result<Value<'a>, &'static str> {
        if self.text[self.at..].starts_with(b"_binary ") {
            self.at += 8;
        }
        if self.peek() == Some(b'\'') {
            return self.quoted().map(Some);
        }
        let rest = &self.text[self.at..];
        let length =
            rest.iter().position(|byte| matches!(byte, b',' | b')')).ok_or("a row ends in the middle")?;
        self.at += length;
        let word = &rest[..length];
        Ok(match word {
            b"NULL" => None,
            [b'0', b'x', digits @ ..] => Some(Cow::Owned(hexadecimal(digits))),
            word => Some(Cow::Borrowed(word)),
        })
    }

    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, &'static str> {
        self.at += 1;
        let start = self.at;
        let mut changed: Option<Vec<u8>> = None;
        loop {
            let rest = &self.text[self.at..];
            let n = memchr::memchr2(b'\'', b'\\', rest).ok_or("a text has no end")?;
            if let Some(changed) = &mut changed {
                changed.extend_from_slice(&rest[..n]);
            }
            self.at += n;
            let is_escape = self.text[self.at] == b'\\';
            let next = self.text.get(self.at + 1).copied();
            if !is_escape && next != Some(b'\'') {
                let end = self.at;
                self.at += 1;
                return Ok(changed.map_or(Cow::Borrowed(&self.text[start..end]), Cow::Owned));
            }
            let byte = match next {
                Some(b'n') if is_escape => b'\n',
                Some(b't') if is_escape => b'\t',
                Some(b'r') if is_escape => b'\r',
                Some(b'0') if is_escape => 0,
                Some(b'Z') if is_escape => 0x1A,
                Some(other) => other,
                None => return Err("a text has no end"),
            };
            changed.get_or_insert_with(|| self.text[start..self.at].to_vec()).push(byte);
            self.at += 2;
        }
    }
}

fn hexadecimal(digits: &[u8]) -> Vec<u8> {
    let value = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    digits.chunks(2).map(|pair| pair.iter().fold(0u8, |byte, digit| byte << 4 | value(*digit))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_all_that_mysql_escapes() {
        let text = br"VALUES (1,'a\'b\\c\n,)',NULL,0x4142,_binary 'x''y'),(2,'','z',-1.5,'e');";
        let mut values = Values { text, at: 0 };
        let first = values.row().unwrap().unwrap();
        let show = |row: &[Option<Cow<'_, [u8]>>]| -> Vec<String> {
            row.iter()
                .map(|v| v.as_ref().map_or("-".to_owned(), |v| String::from_utf8_lossy(v).into_owned()))
                .collect()
        };
        assert_eq!(show(&first), ["1", "a'b\\c\n,)", "-", "AB", "x'y"]);
        assert_eq!(show(&values.row().unwrap().unwrap()), ["2", "", "z", "-1.5", "e"]);
        assert!(values.row().unwrap().is_none());
        for bad in [&b"VALUES (1,'a"[..], b"VALUES (1", b"VALUES (1,'a\\", b"VALUES (", b"("] {
            assert!(Values { text: bad, at: 0 }.row().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn columns_are_named_or_listed() {
        let (columns, rest) = named(b" (`a`, `b`) VALUES (1,2);");
        assert_eq!(columns.unwrap().get(&b"b"[..]), Some(&1));
        assert_eq!(rest, b" VALUES (1,2);");
        assert!(named(b" VALUES (1)").0.is_none());
    }
}
