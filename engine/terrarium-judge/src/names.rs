//! Names and versions of distributions, as Python's packaging rules compare them.

use std::cmp::Ordering;
use std::str::FromStr;

use pep440_rs::Version;

/// A version that is longer is no version; no real one comes near, and hostile ones stay cheap.
const LONGEST: usize = 256;

/// The name of a distribution in the normal form of PEP 503: lower case, each run of `-`, `_` and `.` as one `-`.
///
/// ```
/// assert_eq!(terrarium_judge::normal_name("Ruamel_.YAML"), "ruamel-yaml");
/// ```
pub fn normal_name(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    let mut is_in_run = false;
    for letter in name.trim().chars() {
        let is_mark = matches!(letter, '-' | '_' | '.');
        if !is_mark {
            normal.push(letter.to_ascii_lowercase());
        } else if !is_in_run {
            normal.push('-');
        }
        is_in_run = is_mark;
    }
    normal
}

/// The version, if PEP 440 knows such.
pub(crate) fn version(text: &str) -> Option<Version> {
    if text.len() > LONGEST { None } else { Version::from_str(text.trim()).ok() }
}

/// Compares two versions by PEP 440; what it does not know comes before what it knows, and is compared as text.
///
/// ```
/// assert!(terrarium_judge::compare_versions("1.9", "1.10").is_lt());
/// ```
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    version(a).cmp(&version(b)).then_with(|| a.cmp(b))
}

/// Compares an installed version with one that a rule names. As in PEP 440, the local part of the installed
/// one (`+cu118`) counts only if the rule names one as well: a build of 2.0.1 has the holes of 2.0.1.
pub(crate) fn compare(installed: &Installed, rule: &Version) -> Ordering {
    if rule.is_local() { installed.full.cmp(rule) } else { installed.public.cmp(rule) }
}

/// An installed version, with and without its local part.
pub(crate) struct Installed {
    pub(crate) full: Version,
    pub(crate) public: Version,
}

impl Installed {
    /// `None` if PEP 440 knows no such version.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let full = version(text)?;
        Some(Installed { public: full.clone().without_local(), full })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_normal() {
        for (name, normal) in [
            ("PyYAML", "pyyaml"),
            ("a-_.b", "a-b"),
            ("zope.interface", "zope-interface"),
            (" x ", "x"),
            ("", ""),
        ] {
            assert_eq!(normal_name(name), normal);
        }
    }

    #[test]
    fn local_parts_count_only_where_named() {
        let installed = Installed::parse("2.0.1+cu118").unwrap();
        assert_eq!(compare(&installed, &version("2.0.1").unwrap()), Ordering::Equal);
        assert_eq!(compare(&installed, &version("2.0.1+cu117").unwrap()), Ordering::Greater);
        assert_eq!(compare(&installed, &version("2.0.2").unwrap()), Ordering::Less);
    }

    #[test]
    fn what_is_no_version() {
        for text in ["", "abc", "1.0-", "1.99999999999999999999999", &"1.".repeat(1000), "ï", "1.0 2.0"] {
            assert!(version(text).is_none(), "{text}");
        }
        assert_eq!(version("v1.0.0-RC1"), version("1rc1"));
    }
}
