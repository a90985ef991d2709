//! Which crate may use which: dependencies point down only.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::{Finding, entries};
use crate::Result;

/// Each package with those of ours that it may depend on, tests included. Crates of one layer
/// do not use each other: the binary joins them. A new crate needs a row.
const ALLOWED: &[(&str, &[&str])] = &[
    ("terrarium-core", &[]),
    ("terrarium-sys", &[]),
    ("terrarium-jail", &["terrarium-core", "terrarium-sys"]),
    ("terrarium-observe", &["terrarium-core"]),
    ("terrarium-batch", &[]),
    ("terrarium-chart", &["terrarium-core"]),
    ("terrarium-wire", &[]),
    ("terrarium-spool", &["terrarium-wire"]),
    ("terrarium-segment", &[]),
    ("terrarium-site", &["terrarium-sys"]),
    (
        "terrarium-collect",
        &[
            "terrarium-core",
            "terrarium-sys",
            "terrarium-segment",
            "terrarium-site",
            "terrarium-spool",
            "terrarium-wire",
        ],
    ),
    (
        "terrarium",
        &[
            "terrarium-core",
            "terrarium-sys",
            "terrarium-jail",
            "terrarium-observe",
            "terrarium-batch",
            "terrarium-chart",
            "terrarium-collect",
            "terrarium-segment",
            "terrarium-spool",
            "terrarium-wire",
        ],
    ),
    // Loaded into foreign processes, or loads foreign libraries: stands alone.
    ("terrarium-nvml", &[]),
    ("terrarium-hook", &["terrarium-wire"]),
    // Above all layers: it reads the tables from which pages are generated and checked.
    (
        "xtask",
        &[
            "terrarium",
            "terrarium-core",
            "terrarium-observe",
            "terrarium-segment",
            "terrarium-spool",
            "terrarium-wire",
        ],
    ),
];

/// A package of this repository, as cargo tells.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Relative to the root once read by [`packages`].
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line in a manifest.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Set if it lies in this repository.
    pub(crate) path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// The packages of the workspace, and those in `native/` that are workspaces of their own.
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>> {
    let mut packages = metadata(&root.join("Cargo.toml"))?;
    let native = root.join("native");
    for directory in if native.is_dir() { entries(&native)? } else { Vec::new() } {
        let manifest = directory.join("Cargo.toml");
        if manifest.is_file() && !packages.iter().any(|package| package.manifest_path == manifest) {
            packages.extend(metadata(&manifest)?);
        }
    }
    for package in &mut packages {
        if let Ok(relative) = package.manifest_path.strip_prefix(root) {
            package.manifest_path = relative.to_owned();
        }
    }
    packages.sort_by(|a, b| a.manifest_path.cmp(&b.manifest_path));
    packages.dedup_by(|a, b| a.manifest_path == b.manifest_path);
    Ok(packages)
}

fn metadata(manifest: &Path) -> Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--manifest-path"])
        .arg(manifest)
        .output()
        .map_err(|e| format!("cargo metadata: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
    Ok(metadata.packages)
}

pub(super) fn check(packages: &[Package], found: &mut Vec<Finding>) {
    for package in packages {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
            let text = format!(
                "`{}` has no row in ALLOWED of xtask/src/tidy/layers.rs: say there what it may use",
                package.name
            );
            found.push(Finding::new(&package.manifest_path, 1, text));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            if !allowed.contains(&dependency.name.as_str()) {
                let text = format!(
                    "`{}` must not use `{}`: join the two in a crate above both, or move what is shared down \
                     (the layers are in xtask/src/tidy/layers.rs)",
                    package.name, dependency.name
                );
                found.push(Finding::new(&package.manifest_path, 1, text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, uses: &[&str]) -> Package {
        let dependency =
            |name: &&str| Dependency { name: (*name).to_owned(), path: Some(PathBuf::from("x")) };
        Package {
            name: name.to_owned(),
            manifest_path: PathBuf::from("Cargo.toml"),
            dependencies: uses.iter().map(dependency).collect(),
        }
    }

    #[test]
    fn edges_point_down() {
        let mut found = Vec::new();
        check(&[package("terrarium-jail", &["terrarium-core", "terrarium-sys"])], &mut found);
        assert_eq!(found, []);
        check(
            &[package("terrarium-jail", &["terrarium-observe"]), package("terrarium-new", &[])],
            &mut found,
        );
        assert_eq!(found.len(), 2);
        assert!(found[0].text.contains("`terrarium-jail` must not use `terrarium-observe`"));
        assert!(found[1].text.contains("`terrarium-new` has no row"));
    }
}
