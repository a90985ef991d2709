//! The rules of a site: what a path is called, and what of people is kept. Described in docs/reference/site-toml.md.

use std::fmt;

use serde::Deserialize;

/// What a rule says of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// What the site offers to all.
    Base,
    /// Other software of the site.
    Site,
    /// Somebody's home.
    Home,
    /// A project's directory.
    Project,
    /// Scratch.
    Scratch,
    /// In a container.
    Container,
    /// `~/.local/lib`.
    UserSite,
    /// A disk or memory of the node.
    NodeLocal,
    /// The operating system.
    System,
    /// Of the interpreter itself.
    Python,
    /// No rule says.
    #[default]
    Unknown,
}

impl Origin {
    /// As tables and rules name it.
    pub fn name(self) -> &'static str {
        match self {
            Origin::Base => "base",
            Origin::Site => "site",
            Origin::Home => "home",
            Origin::Project => "project",
            Origin::Scratch => "scratch",
            Origin::Container => "container",
            Origin::UserSite => "user-site",
            Origin::NodeLocal => "node-local",
            Origin::System => "system",
            Origin::Python => "python",
            Origin::Unknown => "unknown",
        }
    }
}

/// What an environment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// What the site offers to all.
    Base,
    /// A copy of that: nine in ten of its packages, in the same versions.
    Clone,
    /// A virtual environment on top of it.
    Overlay,
    /// A virtual environment of the user's own.
    OwnVenv,
    /// A conda environment of the user's own.
    OwnConda,
    /// A Python of the user's own, as it was installed.
    OwnPython,
    /// That of the operating system.
    System,
}

impl Class {
    /// As tables and rules name it.
    pub fn name(self) -> &'static str {
        match self {
            Class::Base => "base",
            Class::Clone => "clone",
            Class::Overlay => "overlay",
            Class::OwnVenv => "own-venv",
            Class::OwnConda => "own-conda",
            Class::OwnPython => "own-python",
            Class::System => "system",
        }
    }
}

/// What a file of rules says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteFile {
    pub(crate) cluster: Option<String>,
    #[serde(default)]
    pub(crate) privacy: PrivacyTable,
    #[serde(default)]
    pub(crate) keep: KeepTable,
    #[serde(default)]
    pub(crate) origin: Vec<OriginTable>,
    #[serde(default)]
    pub(crate) environment: Vec<EnvironmentTable>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrivacyTable {
    #[serde(default)]
    pub(crate) users: Users,
    pub(crate) key_file: Option<std::path::PathBuf>,
    #[serde(default)]
    pub(crate) scripts: bool,
    #[serde(default)]
    pub(crate) own_code: OwnCode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Users {
    #[default]
    Names,
    Pseudonyms,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OwnCode {
    #[default]
    Merged,
    Named,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeepTable {
    #[serde(default = "yes")]
    pub(crate) other_programs: bool,
}

impl Default for KeepTable {
    fn default() -> Self {
        KeepTable { other_programs: true }
    }
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OriginTable {
    pub(crate) class: Origin,
    pub(crate) path: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentTable {
    pub(crate) class: Class,
    pub(crate) prefix: String,
}

/// Why a pattern is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}`: {why}")]
pub struct BadPattern {
    pub(crate) pattern: String,
    pub(crate) why: &'static str,
}

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// With `*` for any characters.
    Glob(String),
    /// `**`: any number of parts.
    Deep,
    /// A part that is a person's, or a project's, name.
    User,
    Project,
}

/// A path with some of its parts left open. It catches all that is below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    parts: Vec<Part>,
}

/// What a pattern found in a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caught<'a> {
    /// Parts of the path that it took.
    pub(crate) depth: usize,
    pub(crate) user: Option<&'a str>,
    pub(crate) project: Option<&'a str>,
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let bad = |why| BadPattern { pattern: text.to_owned(), why };
        if !text.starts_with('/') {
            return Err(bad("write an absolute path, such as /home/{user}"));
        }
        let mut parts = Vec::new();
        for part in text.split('/').filter(|part| !part.is_empty()) {
            parts.push(match part {
                "**" => Part::Deep,
                "{user}" => Part::User,
                "{project}" => Part::Project,
                "." | ".." => return Err(bad("leave `.` and `..` out")),
                _ if part.contains("**") => return Err(bad("`**` stands for whole parts: /a/**/b")),
                _ if part.contains(['{', '}']) => {
                    return Err(bad("{user} and {project} stand for whole parts, and there are no others"));
                }
                _ => Part::Glob(part.to_owned()),
            });
        }
        Ok(Pattern { text: text.to_owned(), parts })
    }
}

impl Pattern {
    /// Whether a path, in parts, is what this means or below it.
    pub(crate) fn catches<'a>(&self, path: &[&'a str]) -> Option<Caught<'a>> {
        catch(&self.parts, path, Caught::default())
    }
}

fn catch<'a>(parts: &[Part], path: &[&'a str], mut so_far: Caught<'a>) -> Option<Caught<'a>> {
    let Some((part, rest)) = parts.split_first() else { return Some(so_far) };
    if *part == Part::Deep {
        // The fewest parts that do.
        return (0..=path.len())
            .find_map(|n| catch(rest, &path[n..], Caught { depth: so_far.depth + n, ..so_far.clone() }));
    }
    let (name, below) = path.split_first()?;
    match part {
        Part::Glob(glob) if !is_like(glob.as_bytes(), name.as_bytes()) => return None,
        Part::User => so_far.user = Some(name),
        Part::Project => so_far.project = Some(name),
        _ => {}
    }
    so_far.depth += 1;
    catch(rest, below, so_far)
}

/// `*` is any characters; the rest is itself.
fn is_like(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if g < glob.len() && glob[g] == b'*' {
            star = Some((g, n));
            g += 1;
        } else if g < glob.len() && glob[g] == name[n] {
            g += 1;
            n += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            g = at + 1;
            n = from + 1;
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|byte| *byte == b'*')
}

/// What holds where the site says nothing, in this order, after its own rules.
pub(crate) const USUAL: &[(Origin, &str)] = &[
    (Origin::UserSite, "/home/{user}/.local/lib"),
    (Origin::Home, "/home/{user}"),
    (Origin::Home, "/root"),
    (Origin::Home, "/users/{user}"),
    (Origin::Home, "/u/{user}"),
    (Origin::Home, "/global/homes/*/{user}"),
    (Origin::Scratch, "/scratch/{user}"),
    (Origin::Scratch, "/lustre/*/{user}"),
    (Origin::Project, "/project/{project}"),
    (Origin::Project, "/projects/{project}"),
    (Origin::Project, "/work/{project}"),
    (Origin::Site, "/opt"),
    (Origin::Site, "/sw"),
    (Origin::Site, "/apps"),
    (Origin::Site, "/soft"),
    (Origin::Site, "/cvmfs"),
    (Origin::Site, "/usr/local"),
    (Origin::NodeLocal, "/tmp"),
    (Origin::NodeLocal, "/var/tmp"),
    (Origin::NodeLocal, "/dev/shm"),
    (Origin::NodeLocal, "/local"),
    (Origin::System, "/usr"),
    (Origin::System, "/lib"),
    (Origin::System, "/lib64"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(path: &str) -> Vec<&str> {
        path.split('/').filter(|part| !part.is_empty()).collect()
    }

    #[test]
    fn patterns_catch_what_is_below_them() {
        let cases = [
            ("/home/{user}", "/home/ada/venv/lib", Some((2, Some("ada"), None))),
            ("/home/{user}", "/home", None),
            ("/home/{user}", "/homes/ada", None),
            ("/opt/python/*", "/opt/python/3.11/lib", Some((3, None, None))),
            ("/opt/conda-*-base", "/opt/conda-2024-base/x", Some((2, None, None))),
            ("/opt/conda-*-base", "/opt/conda-2024/x", None),
            ("/lustre/**/{project}/env", "/lustre/a/b/chem/env/lib", Some((5, None, Some("chem")))),
            ("/**/site-packages", "/a/b/site-packages/numpy", Some((3, None, None))),
            ("/", "/anything", Some((0, None, None))),
        ];
        for (pattern, path, expected) in cases {
            let pattern: Pattern = pattern.parse().unwrap();
            let path = parts(path);
            let caught = pattern.catches(&path).map(|c| (c.depth, c.user, c.project));
            assert_eq!(caught, expected, "{pattern} {path:?}");
        }
    }

    #[test]
    fn bad_patterns_say_what_to_write() {
        for (pattern, word) in
            [("home", "absolute"), ("/a/../b", "leave"), ("/a**", "whole parts"), ("/{group}", "no others")]
        {
            let error = pattern.parse::<Pattern>().unwrap_err().to_string();
            assert!(error.contains(word) && error.contains(pattern), "{error}");
        }
    }

    #[test]
    fn the_usual_ones_are_patterns() {
        assert!(USUAL.iter().all(|(_, pattern)| pattern.parse::<Pattern>().is_ok()));
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "/[a-z*{}/.]{0,30}", path in "[a-z*/]{0,40}") {
            if let Ok(pattern) = pattern.parse::<Pattern>() {
                let _ = pattern.catches(&parts(&path));
            }
        }

        #[test]
        fn a_star_is_any_characters(a in "[a-z]{0,5}", b in "[a-z]{0,5}", c in "[a-z]{0,9}") {
            let (glob, name) = (format!("{a}*{b}"), format!("{a}{c}{b}"));
            prop_assert!(is_like(glob.as_bytes(), name.as_bytes()));
        }
    }
}
