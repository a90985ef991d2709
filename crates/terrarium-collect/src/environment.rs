//! What a directory of installed packages holds, by the files that installers leave beside them.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize};
use terrarium_segment::{Manager, Package};
use terrarium_sys::fds::NO_WAIT;

/// Entries of a directory that are looked at,
const MOST_ENTRIES: usize = 50_000;
/// packages,
const MOST_PACKAGES: usize = 20_000;
/// names of modules that several packages share a top-level name with,
const MOST_MODULES: usize = 200_000;
/// bytes of a METADATA: name and version stand at its head,
const METADATA: u64 = 64 << 10;
/// and bytes of a list of files.
const RECORD: u64 = 16 << 20;

const LONGEST_NAME: usize = 128;
const LONGEST_VERSION: usize = 64;
const MOST_IMPORTS: usize = 256;

/// What is installed in one directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Installed {
    /// In the order of names.
    pub(crate) packages: Vec<Package>,
    /// Modules below a top-level name that several packages share (`google.cloud.storage`), and the package of each.
    pub(crate) shared: BTreeMap<String, u32>,
    /// There was more than is looked at.
    pub(crate) is_partial: bool,
}

/// By names that `import` uses: whose module it is.
#[derive(Debug, Default)]
pub(crate) struct Index {
    tops: HashMap<String, u32>,
}

impl Index {
    pub(crate) fn of(installed: &Installed) -> Self {
        let mut tops = HashMap::new();
        for (number, package) in installed.packages.iter().enumerate() {
            for name in &package.imports {
                tops.entry(name.clone()).or_insert(number as u32);
            }
        }
        // Where nothing is told, a package bears the name that it is imported by.
        for (number, package) in installed.packages.iter().enumerate().filter(|(_, p)| p.imports.is_empty()) {
            tops.entry(normal(&package.name)).or_insert(number as u32);
        }
        Index { tops }
    }

    /// The package that a module belongs to.
    pub(crate) fn package<'a>(&self, installed: &'a Installed, module: &str) -> Option<&'a Package> {
        let mut name = module;
        let number = loop {
            if let Some(number) = installed.shared.get(name) {
                break *number;
            }
            match name.rsplit_once('.') {
                Some((parent, _)) => name = parent,
                None => break *self.tops.get(name).or_else(|| self.tops.get(&normal(name)))?,
            }
        };
        installed.packages.get(number as usize)
    }
}

/// `PyYAML` and `pyyaml`, `ruamel.yaml` and `ruamel_yaml` are the same.
fn normal(name: &str) -> String {
    name.chars().map(|c| if matches!(c, '-' | '.') { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Reads a `site-packages`, or a directory like one.
pub(crate) fn read(directory: &Path) -> io::Result<Installed> {
    let mut found = Installed::default();
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        if names.len() == MOST_ENTRIES {
            found.is_partial = true;
            break;
        }
        names.push(entry?.file_name());
    }
    names.sort();
    // Where a package's list of files is, for those that share a name.
    let mut lists = Vec::new();
    for name in &names {
        let Some(name) = name.to_str() else { continue };
        let path = directory.join(name);
        let package = if name.ends_with(".dist-info") {
            dist_info(&path, name)
        } else if name.ends_with(".egg-info") {
            egg_info(&path, name)
        } else {
            None
        };
        let Some(package) = package else { continue };
        if found.packages.len() == MOST_PACKAGES {
            found.is_partial = true;
            break;
        }
        found.packages.push(package);
        lists.push(path.join("RECORD"));
    }
    share(&mut found, &lists);
    Ok(found)
}

/// What conda says is installed below a prefix: names of files tell.
pub(crate) fn conda(prefix: &Path) -> Vec<Package> {
    let entries = fs::read_dir(prefix.join("conda-meta")).into_iter().flatten().flatten();
    let names = entries.take(MOST_ENTRIES).filter_map(|entry| entry.file_name().into_string().ok());
    let mut packages: Vec<Package> = names
        .filter_map(|name| {
            let mut parts = name.strip_suffix(".json")?.rsplitn(3, '-');
            let (_, version, name) = (parts.next()?, parts.next()?, parts.next()?);
            Some(Package {
                name: text(name, LONGEST_NAME)?,
                version: text(version, LONGEST_VERSION)?,
                manager: Manager::Conda,
                imports: Vec::new(),
            })
        })
        .take(MOST_PACKAGES)
        .collect();
    packages.sort();
    packages
}

fn dist_info(path: &Path, name: &str) -> Option<Package> {
    let (of_name, of_version) = name.strip_suffix(".dist-info")?.rsplit_once('-')?;
    let (name, version) = head(&path.join("METADATA"), of_name, of_version)?;
    let imports = match top_level(&path.join("top_level.txt")) {
        Some(imports) => imports,
        None => of_record(&path.join("RECORD")),
    };
    Some(Package { name, version, manager: Manager::DistInfo, imports })
}

fn egg_info(path: &Path, name: &str) -> Option<Package> {
    let stem = name.strip_suffix(".egg-info")?;
    // `name-version-pyX.Y`; the version may be missing.
    let mut parts = stem.splitn(3, '-');
    let (of_name, of_version) = (parts.next()?, parts.next().unwrap_or(""));
    let is_directory = path.is_dir();
    let info = if is_directory { path.join("PKG-INFO") } else { path.to_owned() };
    let (name, version) = head(&info, of_name, of_version)?;
    let imports = if is_directory { top_level(&path.join("top_level.txt")) } else { None };
    Some(Package { name, version, manager: Manager::EggInfo, imports: imports.unwrap_or_default() })
}

/// Name and version as a file of metadata begins; else those of its directory.
fn head(path: &Path, of_name: &str, of_version: &str) -> Option<(String, String)> {
    let (mut name, mut version) = (None, None);
    if let Some(file) = plain(path) {
        for line in BufReader::new(file.take(METADATA)).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            // The head ends with an empty line.
            if line.is_empty() || (name.is_some() && version.is_some()) {
                break;
            }
            match line.split_once(':') {
                Some(("Name", value)) if name.is_none() => name = text(value.trim(), LONGEST_NAME),
                Some(("Version", value)) if version.is_none() => {
                    version = text(value.trim(), LONGEST_VERSION)
                }
                _ => {}
            }
        }
    }
    let name = name.or_else(|| text(of_name, LONGEST_NAME))?;
    Some((name, version.or_else(|| text(of_version, LONGEST_VERSION)).unwrap_or_default()))
}

fn top_level(path: &Path) -> Option<Vec<String>> {
    let mut names = String::new();
    plain(path)?.take(METADATA).read_to_string(&mut names).ok()?;
    let mut names: Vec<String> =
        names.lines().filter_map(|line| text(line.trim(), LONGEST_NAME)).take(MOST_IMPORTS).collect();
    names.sort();
    names.dedup();
    (!names.is_empty()).then_some(names)
}

/// Paths of a list of installed files, relative to the directory.
fn files(path: &Path) -> impl Iterator<Item = String> {
    let lines = plain(path).into_iter().flat_map(|file| BufReader::new(file.take(RECORD)).split(b'\n'));
    lines.map_while(Result::ok).filter_map(|line| {
        let line = String::from_utf8(line).ok()?;
        // `path,hash,size`; a path with a comma in it is quoted, and no module.
        let path = line.split(',').next()?.trim().to_owned();
        let outside = path.starts_with(['"', '/']) || path.split('/').any(|part| part == "..");
        (!path.is_empty() && !outside).then_some(path)
    })
}

fn of_record(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for file in files(path) {
        let Some(module) = module_of(&file) else { continue };
        let top = module.split('.').next().unwrap_or_default();
        if names.last().is_none_or(|last| last != top) {
            match text(top, LONGEST_NAME) {
                Some(top) if names.len() < MOST_IMPORTS && !names.contains(&top) => names.push(top),
                _ => {}
            }
        }
    }
    names.sort();
    names
}

/// The name by which a file is imported.
fn module_of(file: &str) -> Option<String> {
    let (directory, name) = file.rsplit_once('/').unwrap_or(("", file));
    let stem = match name.strip_suffix(".py") {
        Some(stem) => stem,
        // `x.cpython-311-x86_64-linux-gnu.so`, `x.abi3.so`, `x.so`.
        None => name.strip_suffix(".so")?.split('.').next()?,
    };
    let is_name = |part: &str| !part.is_empty() && !part.contains(['.', '-', ' ']);
    let parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    if !parts.iter().all(|part| is_name(part)) || !is_name(stem) {
        return None;
    }
    let stem = if stem == "__init__" { None } else { Some(stem) };
    let all: Vec<&str> = parts.into_iter().chain(stem).collect();
    (!all.is_empty()).then(|| all.join("."))
}

/// Of packages that share a top-level name each module has its own.
fn share(found: &mut Installed, lists: &[std::path::PathBuf]) {
    let mut owners: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, package) in found.packages.iter().enumerate() {
        for name in &package.imports {
            owners.entry(name).or_default().push(number);
        }
    }
    let mut shared: Vec<(String, Vec<usize>)> = owners
        .into_iter()
        .filter(|(_, all)| all.len() > 1)
        .map(|(name, all)| (name.to_owned(), all))
        .collect();
    shared.sort();
    for (top, all) in shared {
        for number in all {
            for module in files(&lists[number]).filter_map(|file| module_of(&file)) {
                let below = module.strip_prefix(&top).is_some_and(|rest| rest.starts_with('.'));
                if found.shared.len() == MOST_MODULES {
                    found.is_partial = true;
                    return;
                }
                if below && module.len() <= 512 {
                    found.shared.entry(module).or_insert(number as u32);
                }
            }
        }
    }
}

/// A plain file, opened without waiting. Links are followed: installers make them, and this process has the rights of whoever
/// made them.
fn plain(path: &Path) -> Option<File> {
    let file = OpenOptions::new().read(true).custom_flags(NO_WAIT).open(path).ok()?;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.nlink() > 0).then_some(file)
}

/// Without control characters, not empty, and not longer than names are.
fn text(value: &str, longest: usize) -> Option<String> {
    let is_name = !value.is_empty() && value.len() <= longest && !value.chars().any(char::is_control);
    is_name.then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write(base: &Path, path: &str, content: &str) {
        let path = base.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn packages_by_what_installers_leave() {
        let base = tempfile::tempdir().unwrap();
        let at = |path: &str, content: &str| write(base.path(), path, content);
        at(
            "PyYAML-6.0.1.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: PyYAML\nVersion: 6.0.1\n\nName: no\n",
        );
        at("PyYAML-6.0.1.dist-info/top_level.txt", "_yaml\nyaml\n");
        at("numpy-1.26.4.dist-info/METADATA", "Name: numpy\nVersion: 1.26.4\n");
        at(
            "numpy-1.26.4.dist-info/RECORD",
            "../../../bin/f2py,,\nnumpy/__init__.py,sha256=x,1\nnumpy/core/_m.cpython-311-x86_64-linux-gnu.so,,\nnumpy.libs/libopenblas.so,,\n",
        );
        at(
            "google_cloud_storage-2.0.dist-info/RECORD",
            "google/cloud/storage/__init__.py,,\ngoogle/cloud/storage/blob.py,,\n",
        );
        at("google_auth-1.0.dist-info/RECORD", "google/auth/__init__.py,,\n");
        at("old-3.egg-info/PKG-INFO", "Name: Old\nVersion: 3\n");
        at("old-3.egg-info/top_level.txt", "oldie\n");
        at("six-1.16.0-py3.11.egg-info", "Name: six\nVersion: 1.16.0\n");
        at("broken.dist-info/METADATA", "\n");
        at("yaml/__init__.py", "");
        let installed = read(base.path()).unwrap();
        let index = Index::of(&installed);
        let of = |module: &str| {
            index.package(&installed, module).map(|p| format!("{} {}", p.name, p.version)).unwrap_or_default()
        };
        assert_eq!(of("yaml"), "PyYAML 6.0.1");
        assert_eq!(of("yaml.reader"), "PyYAML 6.0.1");
        assert_eq!(of("numpy.core._m"), "numpy 1.26.4");
        assert_eq!(of("google.cloud.storage.blob"), "google_cloud_storage 2.0");
        assert_eq!(of("google.auth"), "google_auth 1.0");
        assert_eq!(
            (of("oldie"), of("six"), of("mine")),
            ("Old 3".into(), "six 1.16.0".into(), String::new())
        );
        assert_eq!(installed.packages.len(), 6, "{installed:?}");
    }

    #[test]
    fn conda_tells_by_names() {
        let base = tempfile::tempdir().unwrap();
        write(base.path(), "conda-meta/mkl-2023.1.0-h213fc3f_46344.json", "{}");
        write(base.path(), "conda-meta/scikit-learn-1.3.0-py311_0.json", "{}");
        write(base.path(), "conda-meta/history", "");
        let names: Vec<String> =
            conda(base.path()).into_iter().map(|p| format!("{} {}", p.name, p.version)).collect();
        assert_eq!(names, ["mkl 2023.1.0", "scikit-learn 1.3.0"]);
    }

    #[test]
    fn a_pipe_in_place_of_a_file_holds_nobody() {
        let base = tempfile::tempdir().unwrap();
        let info = base.path().join("x-1.dist-info");
        fs::create_dir(&info).unwrap();
        for name in ["METADATA", "top_level.txt", "RECORD"] {
            assert!(std::process::Command::new("mkfifo").arg(info.join(name)).status().unwrap().success());
        }
        assert_eq!(read(base.path()).unwrap().packages[0].name, "x");
    }

    /// A real environment, made by the Python of this machine.
    #[test]
    fn pip_is_in_a_real_environment() {
        let base = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("python3").args(["-m", "venv"]).arg(base.path()).output();
        if !made.is_ok_and(|made| made.status.success()) {
            assert!(std::env::var_os("TERRARIUM_REQUIRE_ALL").is_none(), "python3 makes no venv here");
            return;
        }
        let lib = fs::read_dir(base.path().join("lib")).unwrap().flatten().next().unwrap();
        let installed = read(&lib.path().join("site-packages")).unwrap();
        let pip = Index::of(&installed).package(&installed, "pip._internal").cloned().unwrap();
        assert_eq!(pip.name, "pip");
        assert!(pip.version.starts_with(|c: char| c.is_ascii_digit()), "{pip:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(metadata: Vec<u8>, record: Vec<u8>, top: Vec<u8>) {
            let base = tempfile::tempdir().unwrap();
            for (info, name, bytes) in
                [("a-1.dist-info", "METADATA", &metadata), ("a-1.dist-info", "RECORD", &record),
                 ("b-1.dist-info", "RECORD", &record), ("c-1.egg-info", "top_level.txt", &top)]
            {
                fs::create_dir_all(base.path().join(info)).unwrap();
                fs::write(base.path().join(info).join(name), bytes).unwrap();
            }
            let installed = read(base.path()).unwrap();
            let index = Index::of(&installed);
            let _ = index.package(&installed, &String::from_utf8_lossy(&record));
        }
    }
}
