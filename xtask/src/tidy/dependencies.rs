//! Dependencies are budgeted, and each that we chose says why.

use std::path::Path;

use super::layers::Package;
use super::{Finding, read, read_if_there};
use crate::Result;

/// How many packages Cargo.lock may name, ours among them.
const BUDGET: usize = 170;

const REASONS: &str = "docs/design/dependencies.md";

pub(super) fn check(root: &Path, packages: &[Package], found: &mut Vec<Finding>) -> Result {
    let lock = root.join("Cargo.lock");
    if let Some(finding) = over_budget(&read(&lock)?) {
        found.push(finding);
    }
    if let Some(text) = read_if_there(&root.join(REASONS))? {
        without_reason(&text, packages, found);
    }
    Ok(())
}

fn over_budget(lock: &str) -> Option<Finding> {
    let count = lock.lines().filter(|line| *line == "[[package]]").count();
    let text = format!(
        "{count} packages, {BUDGET} are allowed: do without the new one, or raise BUDGET in \
         xtask/src/tidy/dependencies.rs and add a line to {REASONS}"
    );
    (count > BUDGET).then(|| Finding::new("Cargo.lock", 1, text))
}

fn without_reason(text: &str, packages: &[Package], found: &mut Vec<Finding>) {
    // A dash is part of a package's name: `serde` is not named by `serde-json`.
    let named = |c: char| !(c.is_alphanumeric() || c == '_' || c == '-');
    let words: Vec<&str> = text.split(named).collect();
    for package in packages.iter().filter(|package| !package.manifest_path.starts_with("xtask")) {
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_none()) {
            if !words.contains(&dependency.name.as_str()) {
                let text = format!(
                    "`{}` is not in {REASONS}: add a line, why it and what it costs",
                    dependency.name
                );
                found.push(Finding::new(&package.manifest_path, 1, text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::layers::Dependency;
    use super::*;

    #[test]
    fn the_budget() {
        assert_eq!(over_budget(&"[[package]]\nname = \"x\"\n".repeat(BUDGET)), None);
        assert!(
            over_budget(&"[[package]]\n".repeat(BUDGET + 1))
                .unwrap()
                .text
                .contains(&format!("{} packages", BUDGET + 1))
        );
    }

    #[test]
    fn each_has_a_reason() {
        let dependency = |name: &str, path: Option<&str>| Dependency {
            name: name.to_owned(),
            path: path.map(PathBuf::from),
        };
        let package = Package {
            name: "a".to_owned(),
            manifest_path: PathBuf::from("crates/a/Cargo.toml"),
            dependencies: vec![
                dependency("libc", None),
                dependency("serde", None),
                dependency("ours", Some("x")),
            ],
        };
        let mut found = Vec::new();
        without_reason("- `libc`: the ABI\n- serde-other, serde_json", &[package], &mut found);
        assert_eq!(found.len(), 1);
        assert!(found[0].text.starts_with("`serde` is not in"), "{found:?}");
    }
}
