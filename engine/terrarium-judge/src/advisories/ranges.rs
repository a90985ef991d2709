//! Which versions a record holds for.

use std::cmp::Ordering;

use pep440_rs::Version;

use super::cvss::Severity;
use super::record::RawEvent;
use crate::names::{Installed, compare, version};

/// What a record says of one distribution.
#[derive(Debug)]
pub(super) struct Affected {
    /// In normal form.
    pub(super) name: String,
    pub(super) severity: Option<Severity>,
    /// The exact list, sorted.
    pub(super) versions: Vec<Version>,
    /// Those of the exact list that PEP 440 does not know, sorted.
    pub(super) texts: Vec<String>,
    pub(super) ranges: Vec<Range>,
    /// Ranges left out, for they name a version that PEP 440 does not know.
    pub(super) unusable_ranges: usize,
}

impl Affected {
    /// Whether it holds for the version: as text, and as what PEP 440 makes of it, if it knows it.
    pub(super) fn holds(&self, text: &str, installed: Option<&Installed>) -> bool {
        let Some(installed) = installed else {
            return self.texts.binary_search_by(|listed| listed.as_str().cmp(text)).is_ok();
        };
        let is_listed = |version| self.versions.binary_search(version).is_ok();
        is_listed(&installed.public)
            || is_listed(&installed.full)
            || self.ranges.iter().any(|range| range.has(installed))
    }
}

/// The first fix above the version that none of the entries hold for.
pub(super) fn first_fix<'a>(
    entries: impl Iterator<Item = &'a Affected> + Clone,
    installed: &Installed,
) -> Option<String> {
    let mut fixes: Vec<&(Version, String)> = entries
        .clone()
        .flat_map(|entry| &entry.ranges)
        .flat_map(|range| &range.fixes)
        .filter(|(fix, _)| compare(installed, fix) == Ordering::Less)
        .collect();
    fixes.sort_by(|one, other| one.0.cmp(&other.0));
    let is_good = |text: &str| {
        let fix = Installed::parse(text);
        !entries.clone().any(|entry| entry.holds(text, fix.as_ref()))
    };
    fixes.into_iter().find(|(_, text)| is_good(text)).map(|(_, text)| text.clone())
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Introduced,
    Fixed,
    LastAffected,
}

/// A range of type ECOSYSTEM.
#[derive(Debug)]
pub(super) struct Range {
    /// By version; `None` is before all. Events of one version stay in the order of the record, so that
    /// "fixed in 2, introduced in 2" is affected at 2 and "introduced in 2, fixed in 2" is not.
    events: Vec<(Option<Version>, Kind)>,
    /// The range has only versions below one of these, if there are any; `None` is after all.
    limits: Vec<Option<Version>>,
    fixes: Vec<(Version, String)>,
}

impl Range {
    /// `None` if an event names what is no version.
    pub(super) fn new(raw: Vec<RawEvent>) -> Option<Self> {
        let mut range = Range { events: Vec::new(), limits: Vec::new(), fixes: Vec::new() };
        for event in raw {
            if let Some(text) = event.introduced {
                let since = if text.trim() == "0" { None } else { Some(version(&text)?) };
                range.events.push((since, Kind::Introduced));
            }
            if let Some(text) = event.fixed {
                let fix = version(&text)?;
                range.events.push((Some(fix.clone()), Kind::Fixed));
                range.fixes.push((fix, text));
            }
            if let Some(text) = event.last_affected {
                range.events.push((Some(version(&text)?), Kind::LastAffected));
            }
            if let Some(text) = event.limit {
                range.limits.push(if text.trim() == "*" { None } else { Some(version(&text)?) });
            }
        }
        range.events.sort_by(|one, other| one.0.cmp(&other.0));
        Some(range)
    }

    /// The way that the OSV schema prescribes: the last event at or below the version decides.
    fn has(&self, installed: &Installed) -> bool {
        let is_below =
            |limit: &Option<Version>| limit.as_ref().is_none_or(|limit| compare(installed, limit).is_lt());
        if !self.limits.is_empty() && !self.limits.iter().any(is_below) {
            return false;
        }
        let mut is_affected = false;
        for (at, kind) in &self.events {
            let order = at.as_ref().map_or(Ordering::Greater, |at| compare(installed, at));
            match kind {
                Kind::Introduced if order.is_ge() => is_affected = true,
                Kind::Fixed if order.is_ge() => is_affected = false,
                Kind::LastAffected if order.is_gt() => is_affected = false,
                _ => {}
            }
        }
        is_affected
    }
}
