//! One OSV record.

use std::io::Read;

use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::Value;

use super::cvss::{Severity, Word, cvss3_base_score};
use super::ranges::{Affected, Range};
use crate::names::{normal_name, version};

/// A record may have so many bytes; the largest of PyPI's have some hundred thousand.
pub const LARGEST_RECORD: u64 = 16 << 20;

/// A record may have so many packages, ranges and events of ranges, all together. Real ones have some tens.
pub const MOST_PARTS: usize = 4096;

/// A summary is cut to so many letters.
const LONGEST_SUMMARY: usize = 300;

/// Why a record was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The input gave an error.
    #[error("cannot read the record: {source}")]
    Read {
        /// What the system says.
        source: std::io::Error,
    },
    /// It is too long.
    #[error("the record has more than {limit} bytes: it is no advisory, or take it out of the folder")]
    Large {
        /// How many it may have.
        limit: u64,
    },
    /// It is no JSON, or not that of an OSV record.
    #[error("not an OSV record: {source}; get the file anew")]
    Json {
        /// What and where.
        source: serde_json::Error,
    },
    /// It has too many packages, ranges and events of ranges.
    #[error(
        "the record {id} has {parts} packages, ranges and events, more than {limit}: take it out of the folder"
    )]
    Parts {
        /// The record's ID.
        id: String,
        /// How many it has.
        parts: usize,
        /// How many it may have.
        limit: usize,
    },
}

/// A record that was not withdrawn, with what it says of distributions on PyPI.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) aliases: Vec<String>,
    pub(super) summary: Option<String>,
    pub(super) severity: Option<Severity>,
    pub(super) published: Option<NaiveDate>,
    pub(super) affected: Vec<Affected>,
}

/// As it stands in the file. What databases fill as they like is `Value`, so that no surprise there costs the
/// record; `null` stands for "not given" everywhere.
#[derive(Deserialize)]
struct Raw {
    id: String,
    withdrawn: Option<Value>,
    published: Option<Value>,
    summary: Option<String>,
    details: Option<String>,
    aliases: Option<Vec<String>>,
    severity: Option<Vec<RawSeverity>>,
    affected: Option<Vec<RawAffected>>,
    database_specific: Option<Value>,
}

#[derive(Deserialize)]
struct RawSeverity {
    #[serde(rename = "type")]
    kind: Option<String>,
    score: Option<Value>,
}

#[derive(Deserialize)]
struct RawAffected {
    package: Option<RawPackage>,
    versions: Option<Vec<String>>,
    ranges: Option<Vec<RawRange>>,
    severity: Option<Vec<RawSeverity>>,
    database_specific: Option<Value>,
}

#[derive(Deserialize)]
struct RawPackage {
    ecosystem: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct RawRange {
    #[serde(rename = "type")]
    kind: Option<String>,
    events: Option<Vec<RawEvent>>,
}

#[derive(Deserialize)]
pub(super) struct RawEvent {
    pub(super) introduced: Option<String>,
    pub(super) fixed: Option<String>,
    pub(super) last_affected: Option<String>,
    pub(super) limit: Option<String>,
}

impl Record {
    /// `None`: it was withdrawn.
    pub(super) fn read(input: impl Read) -> Result<Option<Self>, RecordError> {
        let mut bytes = Vec::new();
        let mut input = input.take(LARGEST_RECORD + 1);
        input.read_to_end(&mut bytes).map_err(|source| RecordError::Read { source })?;
        if bytes.len() as u64 > LARGEST_RECORD {
            return Err(RecordError::Large { limit: LARGEST_RECORD });
        }
        // serde_json stops at 128 levels, so depth is no danger. A byte order mark it does not know.
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let raw: Raw = serde_json::from_slice(text).map_err(|source| RecordError::Json { source })?;
        if raw.withdrawn.is_some() {
            return Ok(None);
        }
        let packages = raw.affected.iter().flatten();
        let ranges = packages.clone().flat_map(|affected| affected.ranges.iter().flatten());
        let events = ranges.map(|range| 1 + range.events.as_ref().map_or(0, Vec::len));
        let parts = packages.count() + events.sum::<usize>();
        if parts > MOST_PARTS {
            return Err(RecordError::Parts { id: raw.id, parts, limit: MOST_PARTS });
        }
        let mut aliases = raw.aliases.unwrap_or_default();
        aliases.retain(|alias| *alias != raw.id);
        aliases.sort_unstable();
        aliases.dedup();
        // Records of PyPA's database often have no summary but details, whose first line says it.
        let line = |text: String| text.lines().map(str::trim).find(|line| !line.is_empty()).map(cut);
        Ok(Some(Record {
            summary: raw.summary.and_then(line).or_else(|| raw.details.and_then(line)),
            severity: severity(raw.severity, raw.database_specific.as_ref()),
            published: raw.published.as_ref().and_then(Value::as_str).and_then(day),
            affected: raw.affected.into_iter().flatten().filter_map(affected).collect(),
            aliases,
            id: raw.id,
        }))
    }
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(LONGEST_SUMMARY) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// The day of an RFC 3339 time, which is in UTC here.
fn day(time: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(time.get(..10)?, "%Y-%m-%d").ok()
}

fn affected(raw: RawAffected) -> Option<Affected> {
    let package = raw.package?;
    // An ecosystem may have a suffix after a colon, such as a release of a system.
    if package.ecosystem?.split(':').next() != Some("PyPI") {
        return None;
    }
    let mut unusable_ranges = 0;
    let mut ranges = Vec::new();
    for range in raw.ranges.into_iter().flatten() {
        if range.kind.as_deref() != Some("ECOSYSTEM") {
            continue;
        }
        match Range::new(range.events.unwrap_or_default()) {
            Some(range) => ranges.push(range),
            None => unusable_ranges += 1,
        }
    }
    let texts = raw.versions.unwrap_or_default();
    let mut versions: Vec<_> = texts.iter().filter_map(|text| version(text)).collect();
    versions.sort_unstable();
    let mut texts: Vec<String> = texts.into_iter().filter(|text| version(text).is_none()).collect();
    texts.sort_unstable();
    Some(Affected {
        name: normal_name(&package.name?),
        severity: severity(raw.severity, raw.database_specific.as_ref()),
        versions,
        texts,
        ranges,
        unusable_ranges,
    })
}

/// The worst of CVSS 3; else the word of the database, which is all that can be had of CVSS 4 here.
fn severity(listed: Option<Vec<RawSeverity>>, database: Option<&Value>) -> Option<Severity> {
    let scores = listed.into_iter().flatten().filter_map(|one| match (one.kind.as_deref(), one.score) {
        (Some("CVSS_V3"), Some(Value::String(vector))) => cvss3_base_score(&vector),
        _ => None,
    });
    if let Some(score) = scores.max_by(f64::total_cmp) {
        return Some(Severity { word: Word::of_score(score), score: Some(score) });
    }
    let word = database?.get("severity")?.as_str()?;
    Some(Severity { word: Word::parse(word)?, score: None })
}
