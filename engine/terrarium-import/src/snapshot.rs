//! Light snapshots: rows or objects that say which job, or user, loaded which library. A file of TOML says which column is which.

use std::io;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use sha2::Digest;

use crate::ImportError;
use crate::customs::names;
use crate::gather::{Gathering, Place};
use crate::join::Run;
use crate::lines::{Line, Lines};
use crate::times;
use crate::walk::Document;
use crate::xalt::json::job;

/// What a site's snapshots look like.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// What the tables call the source.
    pub name: String,
    /// Of rows that do not tell.
    pub cluster: Option<String>,
    /// As `jobs` names it: `pbs`, `slurm`, …
    pub scheduler: Option<String>,
    #[serde(default)]
    format: Format,
    columns: Columns,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Format {
    /// `csv` or `json-lines`; without it the first byte tells.
    kind: Option<Kind>,
    delimiter: Option<char>,
    /// Between libraries, where a column holds several.
    separator: Option<char>,
    /// Minutes east of UTC, for times without a zone.
    #[serde(default)]
    utc_offset_minutes: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Csv,
    JsonLines,
}

/// Names of columns, or of fields (`job.id` is a field in a field).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Columns {
    job: Option<String>,
    user: Option<String>,
    library: Option<String>,
    libraries: Option<String>,
    version: Option<String>,
    path: Option<String>,
    time: Option<String>,
    host: Option<String>,
    /// What tells processes of a job apart.
    process: Option<String>,
    cluster: Option<String>,
    project: Option<String>,
    queue: Option<String>,
    nodes: Option<String>,
    python: Option<String>,
    executable: Option<String>,
    script: Option<String>,
    prefix: Option<String>,
}

impl Mapping {
    /// Of a file.
    pub fn load(path: &Path) -> Result<Self, ImportError> {
        let failed = |why: String| ImportError::Mapping { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let mapping: Mapping =
            toml::from_str(&text).map_err(|error| failed(error.to_string().trim_end().to_owned()))?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if mapping.name.is_empty() || mapping.name.len() > 32 || !mapping.name.chars().all(is_name) {
            return Err(failed("name: write letters, digits, `-` and `_`, 32 at most".to_owned()));
        }
        if ["terrarium", "xalt", "customs", "slurm", "pbs", "lsf", "swf", "djc"]
            .contains(&mapping.name.as_str())
        {
            return Err(failed(format!("name: `{}` is another source", mapping.name)));
        }
        let columns = &mapping.columns;
        if columns.library.is_none() == columns.libraries.is_none() {
            return Err(failed(
                "[columns]: name `library` (one a row) or `libraries` (several a row)".to_owned(),
            ));
        }
        if columns.job.is_none() && columns.user.is_none() {
            return Err(failed("[columns]: name `job`, `user`, or both".to_owned()));
        }
        Ok(mapping)
    }

    /// Takes all rows of a document.
    pub(crate) fn read(&self, name: &str, document: Document<'_>, into: &mut Gathering) -> io::Result<()> {
        let mut whole;
        let reader: &mut dyn io::BufRead = match document {
            Document::Whole(bytes) => {
                whole = bytes;
                &mut whole
            }
            Document::Stream(reader) => reader,
        };
        let first = reader.fill_buf()?.iter().copied().find(|byte| !byte.is_ascii_whitespace());
        let guessed = if matches!(first, Some(b'{' | b'[')) { Kind::JsonLines } else { Kind::Csv };
        match self.format.kind.unwrap_or(guessed) {
            Kind::Csv => self.csv(name, reader, into),
            Kind::JsonLines => self.json(name, reader, into),
        }
    }

    fn csv(&self, name: &str, reader: &mut dyn io::BufRead, into: &mut Gathering) -> io::Result<()> {
        let delimiter = self.format.delimiter.and_then(|c| u8::try_from(c).ok()).unwrap_or(b',');
        let mut rows = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(reader);
        let head = match rows.byte_headers() {
            Ok(head) => head.clone(),
            Err(error) => {
                into.broken(Place { file: name, offset: 0 }, &format!("no header: {error}"));
                return Ok(());
            }
        };
        let place_of = |column: &str| head.iter().position(|name| name.trim_ascii() == column.as_bytes());
        let missing = self.columns.all().find(|column| place_of(column).is_none());
        if let Some(missing) = missing {
            into.broken(Place { file: name, offset: 0 }, &format!("there is no column `{missing}`"));
            return Ok(());
        }
        let mut row = csv::ByteRecord::new();
        loop {
            let offset = rows.position().byte();
            let more = match rows.read_byte_record(&mut row) {
                Ok(more) => more,
                Err(error) if error.is_io_error() => return Err(io::Error::other(error)),
                Err(error) => {
                    into.broken(Place { file: name, offset }, &error.to_string());
                    continue;
                }
            };
            if !more {
                return Ok(());
            }
            if into.is_done(offset) {
                continue;
            }
            let get = |column: &str| {
                let value = row.get(place_of(column)?)?;
                let text = String::from_utf8_lossy(value).trim().to_owned();
                (!text.is_empty()).then_some(Value::String(text))
            };
            if row.len() != head.len() {
                let why = format!("{} columns in place of {}", row.len(), head.len());
                into.broken(Place { file: name, offset }, &why);
            } else if let Err(why) = self.row(&get, into) {
                into.broken(Place { file: name, offset }, why);
            }
            into.pause(rows.position().byte())?;
        }
    }

    fn json(&self, name: &str, reader: &mut dyn io::BufRead, into: &mut Gathering) -> io::Result<()> {
        let mut lines = Lines::new(reader, 0);
        while let Some((at, line)) = lines.next()? {
            if into.is_done(at) {
                continue;
            }
            let place = Place { file: name, offset: at };
            match line {
                Line::TooLong => into.broken(place, "a line is longer than 64 MiB"),
                Line::Text(line) if line.iter().all(u8::is_ascii_whitespace) => {}
                Line::Text(line) => match serde_json::from_slice::<Value>(line) {
                    Ok(object) => {
                        let get = |column: &str| {
                            let mut path = column.split('.');
                            let found = object
                                .get(column)
                                .or_else(|| path.try_fold(&object, |value, part| value.get(part)));
                            found.filter(|value| !value.is_null()).cloned()
                        };
                        if let Err(why) = self.row(&get, into) {
                            into.broken(place, why);
                        }
                    }
                    Err(error) => into.broken(place, &format!("no JSON: {error}")),
                },
            }
            into.pause(lines.offset())?;
        }
        Ok(())
    }

    fn row(&self, get: &dyn Fn(&str) -> Option<Value>, into: &mut Gathering) -> Result<(), &'static str> {
        let columns = &self.columns;
        let value = |column: &Option<String>| column.as_deref().and_then(get);
        let text = |column: &Option<String>| match value(column)? {
            Value::String(text) => Some(text.trim().to_owned()).filter(|t| !t.is_empty() && t != "unknown"),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            _ => None,
        };
        let (job_id, user) = (text(&columns.job), text(&columns.user));
        if job_id.is_none() && user.is_none() {
            return Err("neither a job nor a user");
        }
        let libraries = match (value(&columns.library), value(&columns.libraries)) {
            (Some(Value::String(name)), _) => vec![(name, text(&columns.version).unwrap_or_default())],
            (_, Some(Value::String(list))) => {
                let separator = self.format.separator.unwrap_or(',');
                list.split(separator).flat_map(|word| names(&Value::String(word.to_owned()))).collect()
            }
            (_, Some(list)) => names(&list),
            _ => return Err("no library"),
        };
        let started_us = match text(&columns.time) {
            Some(time) => {
                let has_zone = time.parse::<f64>().is_ok()
                    || time.ends_with('Z')
                    || time.get(19..).is_some_and(|rest| rest.contains(['+', '-']));
                let at = times::any(&time).ok_or("a time that is none")?;
                if has_zone { at } else { at - self.format.utc_offset_minutes * 60_000_000 }
            }
            None => 0,
        };
        let cluster = text(&columns.cluster).or_else(|| self.cluster.clone()).unwrap_or_default();
        let (host, process) = (text(&columns.host).unwrap_or_default(), text(&columns.process));
        // Rows of one process: of a job, or of a user's day where no job is named.
        let day = (job_id.is_none()).then(|| started_us.div_euclid(86_400_000_000));
        let mut digest = sha2::Sha256::new();
        let parts = (&self.name, &cluster, &job_id, &user, process.as_ref().map(|p| (&host, p)), day);
        digest.update(format!("{parts:?}"));
        let key = digest.finalize().iter().take(16).fold(0u128, |key, byte| key << 8 | u128::from(*byte));
        let system =
            self.scheduler.clone().or_else(|| into.scheduler.clone()).unwrap_or_else(|| "unknown".to_owned());
        let executable = text(&columns.executable).unwrap_or_default();
        let script = text(&columns.script).unwrap_or_default();
        let run = Run {
            cluster,
            user: user.unwrap_or_default(),
            host,
            started_us,
            ended_us: (started_us != 0).then_some(started_us),
            probability: terrarium_segment::CERTAIN,
            python: Some(text(&columns.python).unwrap_or_default()),
            called: executable.clone(),
            program: executable,
            prefix: text(&columns.prefix).unwrap_or_default(),
            main: if script.is_empty() { String::new() } else { "script".to_owned() },
            script,
            job: job_id.map(|id| job(&system, &id)),
            project: text(&columns.project),
            queue: text(&columns.queue),
            nodes: text(&columns.nodes).and_then(|n| n.parse().ok()).filter(|n| *n > 0),
            ..Run::default()
        };
        into.joiner.run(key, run);
        let path = text(&columns.path).unwrap_or_default();
        into.counts.was("rows");
        into.counts.add("packages", libraries.len() as u64);
        for (name, version) in libraries {
            into.joiner.module(key, &name, &path, &version);
        }
        Ok(())
    }
}

impl Columns {
    fn all(&self) -> impl Iterator<Item = &str> {
        let all = [
            &self.job,
            &self.user,
            &self.library,
            &self.libraries,
            &self.version,
            &self.path,
            &self.time,
            &self.host,
            &self.process,
            &self.cluster,
            &self.project,
            &self.queue,
            &self.nodes,
            &self.python,
            &self.executable,
            &self.script,
            &self.prefix,
        ];
        all.into_iter().filter_map(|column| column.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(text: &str) -> Result<Mapping, ImportError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mapping.toml");
        std::fs::write(&path, text).unwrap();
        Mapping::load(&path)
    }

    fn read(mapping: &Mapping, text: &str) -> (Gathering, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let mut gathering = Gathering::open(directory.path(), "x", 1 << 20, None).unwrap();
        mapping.read("rows", Document::Whole(text.as_bytes()), &mut gathering).unwrap();
        (gathering, directory)
    }

    const CSV: &str = "name = 'snooper'\ncluster = 'polaris'\nscheduler = 'pbs'\n[columns]\njob = 'job'\nuser = 'user'\n\
        library = 'lib'\nversion = 'version'\ntime = 'at'\n";

    #[test]
    fn rows_of_a_job_are_one_process() {
        let rows = "job,user,lib,version,at\n7.srv,ada,numpy,1.26,2024-09-10 10:00:00\n7.srv,ada,\"scipy\",,2024-09-10 09:00:00\n\
            8.srv,bob,numpy,,2024-09-11\n";
        let (gathering, _directory) = read(&mapping(CSV).unwrap(), rows);
        assert_eq!(gathering.joiner.entries.len(), 2);
        let entry = &gathering.joiner.entries[0];
        let run = entry.run.as_ref().unwrap();
        assert_eq!((run.job.as_ref().unwrap().id.as_str(), run.cluster.as_str()), ("7", "polaris"));
        assert_eq!(Some(run.started_us), times::any("2024-09-10T09:00:00Z"));
        assert_eq!(run.ended_us, times::any("2024-09-10T10:00:00Z"));
        assert_eq!(entry.modules.len(), 2);
        assert_eq!(gathering.refused.count(), 0);
    }

    #[test]
    fn objects_with_lists() {
        let text = "name = 'snooper'\n[format]\nutc_offset_minutes = 60\n[columns]\njob = 'job.id'\nlibraries = 'mods'\ntime = 'at'\n";
        let rows = "{\"job\":{\"id\":7},\"mods\":[\"numpy\",{\"name\":\"yaml\",\"version\":\"6\"}],\"at\":\"2024-09-10T10:00:00\"}\n\
            {\"mods\":[]}\n{\"job\":{\"id\":8},\"mods\":7}\nx\n";
        let (gathering, _directory) = read(&mapping(text).unwrap(), rows);
        assert_eq!(gathering.joiner.entries.len(), 2, "a job without libraries is one");
        assert_eq!(gathering.joiner.entries[0].modules.len(), 2);
        assert_eq!(
            Some(gathering.joiner.entries[0].run.as_ref().unwrap().started_us),
            times::any("2024-09-10T09:00:00Z")
        );
        assert_eq!(gathering.refused.count(), 2);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, word) in [
            ("name = 'xalt'\n[columns]\njob = 'j'\nlibrary = 'l'\n", "another source"),
            ("name = 'a b'\n[columns]\njob = 'j'\nlibrary = 'l'\n", "letters"),
            ("name = 'a'\n[columns]\njob = 'j'\n", "libraries"),
            ("name = 'a'\n[columns]\nlibrary = 'l'\n", "user"),
            ("name = 'a'\n[columns]\njob = 'j'\nlibary = 'l'\n", "libary"),
        ] {
            let error = mapping(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
        let (gathering, _directory) = read(&mapping(CSV).unwrap(), "job,user\n1,ada\n");
        assert!(gathering.refused.first()[0].contains("no column `lib`"));
        let (gathering, _directory) =
            read(&mapping(CSV).unwrap(), "job,user,lib,version,at\n1,ada,x\n,,x,,\n1,ada,x,,never\n");
        assert_eq!(gathering.refused.count(), 3);
    }
}
