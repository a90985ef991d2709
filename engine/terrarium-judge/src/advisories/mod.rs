//! Known holes of distributions, from a folder of OSV records (<https://ossf.github.io/osv-schema/>): one
//! JSON file each, as in the unpacked `all.zip` of the PyPI export, in nested folders or not. Offline.
//!
//! A record holds for a version if its exact list names the version or one of its ranges has it; versions are
//! compared by PEP 440, and what PEP 440 does not know is matched with the exact list only, letter by letter.
//! Records that were withdrawn, or that speak of no distribution on PyPI, are left out.
//!
//! Several databases describe one hole (GHSA and PYSEC, both in the export): [`merge`] makes one of them.

mod cvss;
mod folder;
mod ranges;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::io::Read;

use chrono::NaiveDate;

use crate::names::{Installed, normal_name};
use record::Record;

pub use cvss::{Severity, Word, cvss3_base_score};
pub use folder::{FolderError, FolderRead, Unread};
pub use record::{LARGEST_RECORD, MOST_PARTS, RecordError};

/// Known holes, by distribution.
#[derive(Debug, Default)]
pub struct Advisories {
    records: Vec<Record>,
    /// By normal name: the record, and which of its affected packages.
    by_name: HashMap<String, Vec<(usize, usize)>>,
}

/// What became of a record that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is kept.
    Kept {
        /// So many of its ranges name a version that PEP 440 does not know, and were left out; its exact
        /// list of versions still holds.
        unusable_ranges: usize,
    },
    /// It was withdrawn.
    Withdrawn,
    /// It speaks of no distribution on PyPI.
    Elsewhere,
}

/// A hole that a version has.
#[derive(Clone, Debug, PartialEq)]
pub struct Advisory {
    /// Of the record, such as `GHSA-…` or `PYSEC-…`.
    pub id: String,
    /// The same hole elsewhere, such as `CVE-…`; sorted.
    pub aliases: Vec<String>,
    /// One line; a long one is cut.
    pub summary: Option<String>,
    /// How bad it is, if the record says so.
    pub severity: Option<Severity>,
    /// The first version above this one that fixes it and does not have it again.
    pub fixed: Option<String>,
    /// When it was made known.
    pub published: Option<NaiveDate>,
}

impl Advisories {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one record: one JSON text, of at most [`LARGEST_RECORD`] bytes.
    pub fn read(&mut self, input: impl Read) -> Result<Taken, RecordError> {
        let Some(record) = Record::read(input)? else { return Ok(Taken::Withdrawn) };
        if record.affected.is_empty() {
            return Ok(Taken::Elsewhere);
        }
        for (place, affected) in record.affected.iter().enumerate() {
            let names = self.by_name.entry(affected.name.clone()).or_default();
            names.push((self.records.len(), place));
        }
        let unusable_ranges = record.affected.iter().map(|affected| affected.unusable_ranges).sum();
        self.records.push(record);
        Ok(Taken::Kept { unusable_ranges })
    }

    /// How many records are kept.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The advisories that hold for a version of a distribution, by ID. The name in any spelling.
    pub fn of(&self, distribution: &str, version: &str) -> Vec<Advisory> {
        let Some(places) = self.by_name.get(&normal_name(distribution)) else { return Vec::new() };
        let version = version.trim();
        let installed = Installed::parse(version);
        // A record may name a distribution several times, each with ranges of its own.
        let mut by_record: HashMap<usize, Vec<usize>> = HashMap::new();
        for (record, place) in places {
            by_record.entry(*record).or_default().push(*place);
        }
        let mut found = Vec::new();
        for (number, places) in by_record {
            let record = &self.records[number];
            let affected = || places.iter().map(|place| &record.affected[*place]);
            if !affected().any(|affected| affected.holds(version, installed.as_ref())) {
                continue;
            }
            found.push(Advisory {
                id: record.id.clone(),
                aliases: record.aliases.clone(),
                summary: record.summary.clone(),
                severity: affected().filter_map(|affected| affected.severity).chain(record.severity).max(),
                fixed: installed.as_ref().and_then(|installed| ranges::first_fix(affected(), installed)),
                published: record.published,
            });
        }
        found.sort_by(|one, other| one.id.cmp(&other.id));
        // The same record may lie in the folder twice.
        found.dedup();
        found
    }
}

/// Makes one of advisories that speak of the same hole: those that share an ID or an alias, also by way of a
/// third. The worst one, of equals the first by ID, gives ID and summary; the others become aliases; the
/// earliest day it was made known holds, and the highest of the fixes, for only that one fixes all.
pub fn merge(advisories: Vec<Advisory>) -> Vec<Advisory> {
    let mut groups: Vec<(BTreeSet<String>, Vec<Advisory>)> = Vec::new();
    for advisory in advisories {
        let mut names: BTreeSet<String> = advisory.aliases.iter().cloned().collect();
        names.insert(advisory.id.clone());
        let mut members = vec![advisory];
        let (same, apart): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(others, _)| !others.is_disjoint(&names));
        groups = apart;
        for (others, found) in same {
            names.extend(others);
            members.extend(found);
        }
        groups.push((names, members));
    }
    let mut merged: Vec<Advisory> = groups.into_iter().filter_map(united).collect();
    merged.sort_by(|one, other| one.id.cmp(&other.id));
    merged
}

fn united((mut names, mut members): (BTreeSet<String>, Vec<Advisory>)) -> Option<Advisory> {
    members.sort_by(|one, other| other.severity.cmp(&one.severity).then_with(|| one.id.cmp(&other.id)));
    let published = members.iter().filter_map(|member| member.published).min();
    let fixed = members.iter().filter_map(|member| member.fixed.clone()).max_by(|one, other| {
        crate::names::version(one).cmp(&crate::names::version(other)).then_with(|| one.cmp(other))
    });
    let summary = members.iter().find_map(|member| member.summary.clone());
    let first = members.into_iter().next()?;
    names.remove(&first.id);
    Some(Advisory { aliases: names.into_iter().collect(), summary, fixed, published, ..first })
}
