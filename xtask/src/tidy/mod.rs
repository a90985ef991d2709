//! The house rules that a compiler does not know. Each finding says where and what to do.

mod dependencies;
mod documents;
mod layers;
mod source;
mod style;
mod unsafe_code;

use std::fmt;
use std::path::{Path, PathBuf};

use source::Line;

use crate::Result;

/// Something that is not as it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Relative to the root.
    file: PathBuf,
    /// From 1.
    line: usize,
    /// What is wrong, and what to do.
    text: String,
    /// Worth a look, but no failure.
    warning: bool,
}

impl Finding {
    fn new(file: impl Into<PathBuf>, line: usize, text: impl Into<String>) -> Self {
        Self { file: file.into(), line, text: text.into(), warning: false }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.warning { "warning: " } else { "" };
        write!(f, "{}:{}: {word}{}", self.file.display(), self.line, self.text)
    }
}

/// A Rust file of ours.
struct RustFile {
    /// Relative to the root.
    path: PathBuf,
    lines: Vec<Line>,
    /// Whether it begins as it should.
    documented: bool,
}

impl RustFile {
    fn new(path: impl Into<PathBuf>, text: &str) -> Self {
        Self { path: path.into(), lines: source::lines(text), documented: text.starts_with("//!") }
    }

    /// The lines with their numbers.
    fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        (1..).zip(&self.lines)
    }

    /// Whether it belongs to the sources, not the tests, of a crate in `crates/` or `engine/`; if so, of which.
    fn source_of(&self) -> Option<&str> {
        let mut parts = self.path.iter().filter_map(|part| part.to_str());
        match (parts.next(), parts.next(), parts.next()) {
            (Some("crates" | "engine"), Some(name), Some("src")) => Some(name),
            _ => None,
        }
    }
}

/// Checks everything and prints what it finds.
pub(crate) fn print(root: &Path) -> Result {
    let findings = findings(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.iter().filter(|finding| !finding.warning).count() {
        0 => Ok(()),
        count => Err(format!("{count} to mend")),
    }
}

/// Checks everything.
fn findings(root: &Path) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let packages = layers::packages(root)?;
    layers::check(&packages, &mut found);
    for file in rust_files(root)? {
        unsafe_code::check(&file, &mut found);
        style::check(&file, &mut found);
    }
    documents::check(root, &mut found)?;
    dependencies::check(root, &packages, &mut found)?;
    for path in crate::generate::stale(root)? {
        found.push(Finding::new(
            path,
            1,
            "not what the generator makes: run `cargo xtask generate` and commit",
        ));
    }
    found.sort_by(|a, b| (a.warning, &a.file, a.line).cmp(&(b.warning, &b.file, b.line)));
    Ok(found)
}

/// Every Rust file below `crates`, `engine`, `native` and `xtask`.
fn rust_files(root: &Path) -> Result<Vec<RustFile>> {
    let mut files = Vec::new();
    for top in ["crates", "engine", "native", "xtask"] {
        let top = root.join(top);
        if top.is_dir() {
            walk(root, &top, &mut files)?;
        }
    }
    Ok(files)
}

fn walk(root: &Path, directory: &Path, files: &mut Vec<RustFile>) -> Result {
    for path in entries(directory)? {
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                walk(root, &path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            files.push(RustFile::new(relative, &read(&path)?));
        }
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read = std::fs::read_dir(directory).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut paths: Vec<PathBuf> = read
        .map_err(|e| format!("{}: {e}", directory.display()))?
        .iter()
        .map(std::fs::DirEntry::path)
        .collect();
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// The text of a file that need not be there.
fn read_if_there(path: &Path) -> Result<Option<String>> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `cargo xtask tidy` checks, on this checkout.
    #[test]
    fn the_house_is_tidy() {
        let findings = findings(&crate::root()).unwrap();
        let text: Vec<String> = findings.iter().filter(|f| !f.warning).map(Finding::to_string).collect();
        assert!(text.is_empty(), "\n{}\n", text.join("\n"));
    }

    #[test]
    fn a_finding_is_a_line_that_editors_follow() {
        let mut finding = Finding::new("crates/a/src/lib.rs", 3, "mend it");
        assert_eq!(finding.to_string(), "crates/a/src/lib.rs:3: mend it");
        finding.warning = true;
        assert_eq!(finding.to_string(), "crates/a/src/lib.rs:3: warning: mend it");
    }
}
