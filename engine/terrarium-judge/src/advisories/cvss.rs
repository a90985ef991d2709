//! How bad a hole is: the base score of CVSS 3, and the word for it.

use std::cmp::Ordering;

/// How bad a hole is, in a word; the bounds of scores are those of CVSS 3 (section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// Score 0.
    None,
    /// Up to 3.9.
    Low,
    /// Up to 6.9; GitHub says "moderate".
    Medium,
    /// Up to 8.9.
    High,
    /// From 9.
    Critical,
}

impl Word {
    pub(super) fn of_score(score: f64) -> Self {
        match score {
            score if score >= 9.0 => Word::Critical,
            score if score >= 7.0 => Word::High,
            score if score >= 4.0 => Word::Medium,
            score if score > 0.0 => Word::Low,
            _ => Word::None,
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match word.trim().to_ascii_lowercase().as_str() {
            "none" => Word::None,
            "low" => Word::Low,
            "moderate" | "medium" => Word::Medium,
            "high" => Word::High,
            "critical" => Word::Critical,
            _ => return None,
        })
    }

    /// The word in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Word::None => "none",
            Word::Low => "low",
            Word::Medium => "medium",
            Word::High => "high",
            Word::Critical => "critical",
        }
    }
}

/// How bad a hole is. Of two the worse word is greater, then the higher score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Severity {
    /// In a word.
    pub word: Word,
    /// The base score of CVSS 3, 0 to 10; `None` if the record has no such vector.
    pub score: Option<f64>,
}

impl Eq for Severity {}

impl PartialOrd for Severity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Severity {
    fn cmp(&self, other: &Self) -> Ordering {
        let score = |severity: &Severity| severity.score.unwrap_or(-1.0);
        self.word.cmp(&other.word).then(score(self).total_cmp(&score(other)))
    }
}

/// The base score (0 to 10, one decimal) of a vector of CVSS 3.0 or 3.1, such as
/// `CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H` (9.8); metrics that are not of the base score are passed
/// over. `None` if it is no such vector, lacks a base metric or has one twice.
pub fn cvss3_base_score(vector: &str) -> Option<f64> {
    let rest = vector.trim().strip_prefix("CVSS:3.")?;
    let rest = rest.strip_prefix("0/").or_else(|| rest.strip_prefix("1/"))?;
    const NAMES: [&str; 8] = ["AV", "AC", "PR", "UI", "S", "C", "I", "A"];
    let mut values: [Option<&str>; 8] = [None; 8];
    for part in rest.split('/').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once(':')?;
        if let Some(place) = NAMES.iter().position(|known| *known == name)
            && values[place].replace(value).is_some()
        {
            return None;
        }
    }
    let [vector, complexity, privileges, interaction, scope, secrecy, integrity, availability] = values;
    let is_changed = match scope? {
        "U" => false,
        "C" => true,
        _ => return None,
    };
    let vector = weight(vector?, &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)])?;
    let complexity = weight(complexity?, &[("L", 0.77), ("H", 0.44)])?;
    let of_privileges: &[_] = if is_changed {
        &[("N", 0.85), ("L", 0.68), ("H", 0.5)]
    } else {
        &[("N", 0.85), ("L", 0.62), ("H", 0.27)]
    };
    let privileges = weight(privileges?, of_privileges)?;
    let interaction = weight(interaction?, &[("N", 0.85), ("R", 0.62)])?;
    let loss = |value: Option<&str>| weight(value?, &[("H", 0.56), ("L", 0.22), ("N", 0.0)]);
    let sum = 1.0 - (1.0 - loss(secrecy)?) * (1.0 - loss(integrity)?) * (1.0 - loss(availability)?);
    let impact = if is_changed { 7.52 * (sum - 0.029) - 3.25 * (sum - 0.02).powi(15) } else { 6.42 * sum };
    if impact <= 0.0 {
        return Some(0.0);
    }
    let ease = 8.22 * vector * complexity * privileges * interaction;
    let factor = if is_changed { 1.08 } else { 1.0 };
    Some(rounded_up((factor * (impact + ease)).min(10.0)))
}

fn weight(value: &str, weights: &[(&str, f64)]) -> Option<f64> {
    weights.iter().find(|(known, _)| *known == value).map(|(_, weight)| *weight)
}

/// Up to one decimal, as CVSS 3.1 prescribes it (appendix A), which holds for fractions that binary has not.
fn rounded_up(score: f64) -> f64 {
    let exact = (score * 100_000.0).round() as u32;
    if exact.is_multiple_of(10_000) {
        f64::from(exact) / 100_000.0
    } else {
        f64::from(exact / 10_000 + 1) / 10.0
    }
}
