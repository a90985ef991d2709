//! Documents that speak of the code: what they name must exist.

use std::path::Path;

use clap::Parser;
use terrarium_core::exit;
use terrarium_core::sample::{Kind, Metric};

use super::source::after;
use super::{Finding, read_if_there, source};
use crate::Result;

const SPEC: &str = "SPEC.md";
const EXIT_CODES: &str = "docs/reference/exit-codes.md";
const SERIES: &str = "docs/reference/series.md";

/// A word in a table that begins like this names something in the checkout.
const TOPS: &[&str] =
    &["benches/", "crates/", "docs/", "engine/", "native/", "scripts/", "share/", "tests/", "xtask/"];

pub(super) fn check(root: &Path, found: &mut Vec<Finding>) -> Result {
    if let Some(text) = read_if_there(&root.join(SPEC))? {
        spec(root, &text, found)?;
    }
    if let Some(text) = read_if_there(&root.join(EXIT_CODES))? {
        exit_codes(&text, found);
    }
    if let Some(text) = read_if_there(&root.join(SERIES))? {
        series(&text, found);
    }
    Ok(())
}

/// Each promise names a test or benchmark, which must be there.
fn spec(root: &Path, text: &str, found: &mut Vec<Finding>) -> Result {
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| line.trim_start().starts_with('|')) {
        for command in commands(line) {
            if crate::Cli::try_parse_from(command.split_whitespace().skip(1)).is_err() {
                let text = format!("there is no `{command}`: name the benchmark that shows this promise");
                found.push(Finding::new(SPEC, number, text));
            }
        }
        let separates = |c: char| c.is_whitespace() || "|`,;()[]<>".contains(c);
        for word in line.split(separates).filter(|word| TOPS.iter().any(|top| word.starts_with(top))) {
            let (path, name) = match word.split_once("::") {
                Some((path, name)) => (path, Some(name.rsplit("::").next().unwrap_or(name))),
                None => (word, None),
            };
            let path = path.trim_end_matches(['.', ':']);
            if !root.join(path).exists() {
                let text =
                    format!("`{path}` does not exist: name the test or benchmark that shows this promise");
                found.push(Finding::new(SPEC, number, text));
            } else if let Some(name) = name
                && !defines(&super::read(&root.join(path))?, name)
            {
                let text = format!(
                    "`{path}` has no `fn {name}`: name the test or benchmark that shows this promise"
                );
                found.push(Finding::new(SPEC, number, text));
            }
        }
    }
    Ok(())
}

/// A benchmark is named by the command that runs it.
fn commands(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|text| text.starts_with("cargo xtask "))
}

/// Whether a function of this name stands in the Rust source `text`.
fn defines(text: &str, name: &str) -> bool {
    let definition = format!("fn {name}");
    source::lines(text).iter().any(|line| after(&line.code, &definition).next().is_some())
}

/// docs/reference/exit-codes.md is `exit::TABLE` for people.
fn exit_codes(text: &str, found: &mut Vec<Finding>) {
    for (code, meaning) in exit::TABLE {
        if after(text, &code.to_string()).next().is_none() {
            found.push(Finding::new(
                EXIT_CODES,
                1,
                format!("exit code {code} is missing ({meaning}): add a row"),
            ));
        }
    }
}

/// docs/reference/series.md has a row for each column, as the code describes it.
fn series(text: &str, found: &mut Vec<Finding>) {
    for metric in Metric::ALL {
        let (name, meaning) = (metric.name(), metric.meaning());
        let kind = if metric.kind() == Kind::Delta { "added" } else { "now" };
        let is_row = |line: &str| {
            line.starts_with(&format!("| `{name}` | ")) && line.ends_with(&format!(" | {kind} | {meaning} |"))
        };
        if !text.lines().any(is_row) {
            let text = format!(
                "the row of the column `{name}` is missing or old: | `{name}` | unit | {kind} | {meaning} |"
            );
            found.push(Finding::new(SERIES, 1, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_name_what_exists() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("crates/a/tests")).unwrap();
        std::fs::write(root.path().join("crates/a/tests/b.rs"), "//! x\nfn holds() {}\nfn holds_more() {}\n")
            .unwrap();
        let text = "\
crates/a/tests/not-in-a-table.rs
| 1 | it holds | `crates/a/tests/b.rs::holds` |
| 2 | it holds | `crates/a/tests/b.rs::tests::hold` |
| 3 | it holds | crates/a/tests/c.rs, see `/dev/shm` and `cargo xtask bench start` |
| 4 | it holds | `crates/a/tests/b.rs` |
| 5 | it holds | `cargo xtask bench nothing` |
";
        let mut found = Vec::new();
        spec(root.path(), text, &mut found).unwrap();
        let lines: Vec<String> = found.iter().map(Finding::to_string).collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("SPEC.md:3: `crates/a/tests/b.rs` has no `fn hold`"), "{lines:?}");
        assert!(lines[1].starts_with("SPEC.md:4: `crates/a/tests/c.rs` does not exist"), "{lines:?}");
        assert!(lines[2].starts_with("SPEC.md:6: there is no `cargo xtask bench nothing`"), "{lines:?}");
    }

    #[test]
    fn the_page_has_every_code() {
        let page: String =
            exit::TABLE.iter().map(|(code, meaning)| format!("| {code} | {meaning} |\n")).collect();
        let mut found = Vec::new();
        exit_codes(&page, &mut found);
        assert_eq!(found, []);
        exit_codes(&page.replace("124", "1240"), &mut found);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn every_column_has_its_row() {
        let mut found = Vec::new();
        series("| `cpu_ms` | ms | now | wrong |\n", &mut found);
        assert_eq!(found.len(), Metric::ALL.len());
    }
}
