//! A collector: a site's wishes, and the environments of a node.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use sha2::{Digest, Sha256};
use terrarium_core::JobId;
use terrarium_segment::{self as segment, Environment, Head, Package};
use terrarium_spool::{Module, Place, Process};

use crate::CollectError;
use crate::ask::{Asker, Cache, Rights};
use crate::directory::Directory;
use crate::environment::{Index, Installed};
use crate::pass::{Lock, Pass, Person, Report};
use crate::take::{Meaning, cut, kind};
use crate::walk::walk;
use terrarium_site::{Class, Hits, OWN_CODE, Origin, Site, User};

/// What was read of environments is kept beside the segments.
const CACHE: &str = ".environments";

/// Directories of packages that one process loads from.
const MOST_DIRECTORIES: usize = 32;

/// A copy of a base has so much of it.
const COPY: f64 = 0.9;

/// What makes segments of spools.
#[derive(Debug)]
pub struct Collector {
    site: Rc<Site>,
    shared: Rc<std::cell::RefCell<Shared>>,
    cache: PathBuf,
    host: String,
}

/// What is the same for all users.
#[derive(Debug)]
struct Shared {
    asker: Asker,
    /// By directory.
    indices: HashMap<PathBuf, Rc<Known>>,
    /// What bases hold, as far as they were seen.
    bases: Vec<HashSet<(String, String)>>,
}

#[derive(Debug)]
struct Known {
    installed: Installed,
    index: Index,
}

/// One look at one spool.
pub struct SpoolPass<'a> {
    /// Without symbolic links.
    pub spool: &'a Path,
    /// Where segments go.
    pub segments: &'a Path,
    /// Whether the supervisor of a run is gone; `None`: that cannot be told.
    pub is_over: &'a dyn Fn(&JobId) -> Option<bool>,
    /// What the user database says of a number.
    pub user: &'a dyn Fn(u32) -> Option<User>,
}

impl Collector {
    /// `program` with `words` is what reads environments ([`crate::serve`]).
    pub fn new(site: Site, program: PathBuf, words: &[&str], segments: &Path, host: String) -> Self {
        let cache = segments.join(CACHE);
        let asker = Asker::new(program, words, Cache::open(&cache));
        let shared = Shared { asker, indices: HashMap::new(), bases: Vec::new() };
        Collector { site: Rc::new(site), shared: Rc::new(shared.into()), cache, host }
    }

    /// Takes what has ended.
    pub fn collect(&mut self, lock: &Lock, pass: &SpoolPass<'_>) -> Result<Report, CollectError> {
        let head = Head {
            cluster: self.site.cluster.clone(),
            host: self.host.clone(),
            made_ms: 0,
            terrarium: env!("CARGO_PKG_VERSION").to_owned(),
            pseudonyms: self.site.has_pseudonyms(),
            source: "terrarium".to_owned(),
        };
        let (spool, segments) = (pass.spool, pass.segments);
        let other_programs = self.site.other_programs;
        let looked = Pass { spool, segments, head, is_over: pass.is_over, other_programs };
        let mut people = |uid: u32, group: u32| {
            let user = (pass.user)(uid).unwrap_or_else(|| User::nobody(uid));
            Person { meaning: Box::new(self.of(uid, group, user)) }
        };
        let report = looked.run(lock, &mut people, &mut |_| Ok(()));
        let mut shared = self.shared.borrow_mut();
        shared.asker.end();
        shared.asker.cache.save(&self.cache);
        // An environment may change between two looks.
        shared.indices.clear();
        report
    }

    fn of(&self, uid: u32, group: u32, user: User) -> OfUser {
        // The group of the record's file is one of the user's, or that of its directory.
        let group = if user.group == u32::MAX - 1 { group } else { user.group };
        OfUser {
            name: self.site.name(&user.name),
            rights: Rights { user: uid, group },
            user,
            site: Rc::clone(&self.site),
            shared: Rc::clone(&self.shared),
            environments: HashMap::new(),
        }
    }
}

/// What the processes of one user mean.
struct OfUser {
    name: String,
    user: User,
    rights: Rights,
    site: Rc<Site>,
    shared: Rc<std::cell::RefCell<Shared>>,
    /// By prefix and the directories that were loaded from.
    environments: HashMap<(String, Vec<PathBuf>), Option<Environment>>,
}

impl Meaning for OfUser {
    fn user(&self) -> &str {
        &self.name
    }

    fn path(&self, path: &str) -> String {
        self.site.locate(&self.user, path).path
    }

    fn script(&self, name: &str) -> Option<String> {
        let name = name.rsplit('/').next().unwrap_or_default();
        (self.site.scripts && !name.is_empty()).then(|| cut(name))
    }

    fn module(&mut self, process: &Process, module: &Module, name: &str) -> segment::Module {
        let path = module.origin.as_ref().map(|origin| origin.path.to_text()).unwrap_or_default();
        let row = |name: &str, package: Option<&Package>, origin: Origin, place: String| segment::Module {
            name: name.to_owned(),
            distribution: package.map(|package| package.name.clone()),
            version: package.map(|package| package.version.clone()),
            origin: origin.name().to_owned(),
            place,
            kind: kind(module),
        };
        let own = if self.site.merge_own { OWN_CODE } else { name };
        if module.place == Place::Standard {
            return row(name, None, Origin::Python, String::new());
        }
        let directory = match module.place {
            Place::Installed => site_directory(&path),
            // `pip install --target`, a source tree in PYTHONPATH: packages may be described beside them.
            Place::Own => above(&path, name),
            Place::Standard | Place::Unknown => None,
        };
        let Some(directory) = directory else {
            // It has no file, or code made it: it belongs to what its first part belongs to, or nobody knows.
            let top = name.split('.').next().unwrap_or_default();
            let sibling = process
                .modules
                .iter()
                .find(|other| other.name == *top && matches!(other.place, Place::Installed) && name != top);
            return match sibling.and_then(|other| other.origin.as_ref()) {
                Some(origin) => {
                    let directory = site_directory(&origin.path.to_text()).unwrap_or_default();
                    let known = self.known(&directory);
                    let package = known.as_ref().and_then(|k| k.index.package(&k.installed, name));
                    let location = self.site.locate(&self.user, &directory.to_string_lossy());
                    row(name, package, location.origin, cut(&location.path))
                }
                None => row(own, None, Origin::Unknown, String::new()),
            };
        };
        let known = self.known(&directory);
        let package = known.as_ref().and_then(|known| known.index.package(&known.installed, name));
        let location = self.site.locate(&self.user, &directory.to_string_lossy());
        if package.is_none() && module.place == Place::Own {
            // Where it lies could tell more than its name.
            let place = if self.site.merge_own { String::new() } else { cut(&location.path) };
            return row(own, None, location.origin, place);
        }
        row(name, package, location.origin, cut(&location.path))
    }

    fn environment(&mut self, process: &Process) -> Option<Environment> {
        let prefix = process.python.prefix.as_ref()?.to_text().trim_end_matches('/').to_owned();
        let python = cut(process.python.number().unwrap_or_default());
        let directories = directories(process, &prefix, &python);
        let key = (format!("{prefix}\0{python}"), directories);
        if let Some(known) = self.environments.get(&key) {
            return known.clone();
        }
        let environment = self.read(process, &prefix, &python, &key.1);
        self.environments.insert(key, environment.clone());
        environment
    }
}

impl OfUser {
    /// What is in a directory; asked for if need be.
    fn known(&self, directory: &Path) -> Option<Rc<Known>> {
        let mut shared = self.shared.borrow_mut();
        if let Some(known) = shared.indices.get(directory) {
            return Some(Rc::clone(known));
        }
        shared.asker.look(&[(directory.to_owned(), false)], self.rights);
        shared.remember(directory)
    }

    fn read(
        &self,
        process: &Process,
        prefix: &str,
        python: &str,
        directories: &[PathBuf],
    ) -> Option<Environment> {
        let mut shared = self.shared.borrow_mut();
        let mut asked: Vec<(PathBuf, bool)> = directories.iter().map(|d| (d.clone(), false)).collect();
        let conda = Path::new(prefix).to_owned();
        asked.push((conda.clone(), true));
        let has_answered = shared.asker.look(&asked, self.rights);
        let mut packages: BTreeSet<Package> = BTreeSet::new();
        let mut is_partial = !has_answered;
        for directory in directories {
            if let Some(known) = shared.remember(directory) {
                is_partial |= known.installed.is_partial;
                // Those of a venv's base are the base's.
                if directory.starts_with(prefix) {
                    packages.extend(known.installed.packages.iter().cloned());
                }
            }
        }
        let conda = shared.asker.cache.installed(&conda, true).cloned().unwrap_or_default();
        let is_conda = !conda.packages.is_empty();
        let names: HashSet<String> = packages.iter().map(|p| p.name.to_ascii_lowercase()).collect();
        packages.extend(conda.packages.into_iter().filter(|p| !names.contains(&p.name.to_ascii_lowercase())));
        let class = self.class(&mut shared, process, prefix, is_conda, &packages);
        let location = self.site.locate(&self.user, prefix);
        let mut digest = Sha256::new();
        let mut add = |text: &str| {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        };
        // What is one person's is another environment than that of the next in a place of the same name.
        if !matches!(class, Class::Base | Class::System) {
            add(&self.name);
        }
        [&location.path, python, class.name()].into_iter().for_each(&mut add);
        packages.iter().flat_map(|package| [&package.name, &package.version]).for_each(|text| add(text));
        let id =
            digest.finalize().iter().take(8).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        Some(Environment {
            id,
            prefix: cut(&location.path),
            class: class.name().to_owned(),
            python: python.to_owned(),
            seen_ms: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |now| now.as_millis() as i64),
            packages: packages.into_iter().collect(),
            is_partial,
        })
    }

    fn class(
        &self,
        shared: &mut Shared,
        process: &Process,
        prefix: &str,
        is_conda: bool,
        packages: &BTreeSet<Package>,
    ) -> Class {
        if let Some(class) = self.site.environment(prefix) {
            if class == Class::Base {
                let base = packages.iter().map(|p| (p.name.clone(), p.version.clone())).collect();
                if !shared.bases.contains(&base) && shared.bases.len() < 64 {
                    shared.bases.push(base);
                }
            }
            return class;
        }
        let is_copy = |base: &HashSet<(String, String)>| {
            let same =
                packages.iter().filter(|p| base.contains(&(p.name.clone(), p.version.clone()))).count();
            !base.is_empty() && same as f64 >= base.len() as f64 * COPY
        };
        if shared.bases.iter().any(is_copy) {
            return Class::Clone;
        }
        let base = process.python.base_prefix.as_ref().map(|base| base.to_text());
        if process.python.is_venv() {
            let on_base = base.is_some_and(|base| self.site.environment(&base) == Some(Class::Base));
            return if on_base { Class::Overlay } else { Class::OwnVenv };
        }
        match self.site.locate(&self.user, prefix).origin {
            _ if is_conda => Class::OwnConda,
            Origin::System | Origin::Site => Class::System,
            _ => Class::OwnPython,
        }
    }
}

impl Shared {
    fn remember(&mut self, directory: &Path) -> Option<Rc<Known>> {
        if let Some(known) = self.indices.get(directory) {
            return Some(Rc::clone(known));
        }
        let installed = self.asker.cache.installed(directory, false)?.clone();
        let known = Rc::new(Known { index: Index::of(&installed), installed });
        self.indices.insert(directory.to_owned(), Rc::clone(&known));
        Some(known)
    }
}

/// Where the packages are that a process could load, and those that it did load.
fn directories(process: &Process, prefix: &str, python: &str) -> Vec<PathBuf> {
    let mut found: BTreeSet<PathBuf> = BTreeSet::new();
    let installed = process.modules.iter().filter(|module| module.place == Place::Installed);
    let mut last = PathBuf::new();
    for origin in installed.filter_map(|module| module.origin.as_ref()) {
        // Neighbours have the same.
        if !last.as_os_str().is_empty()
            && origin.path.as_bytes().starts_with(last.as_os_str().as_encoded_bytes())
        {
            continue;
        }
        if let Some(directory) = site_directory(&origin.path.to_text())
            && found.len() < MOST_DIRECTORIES
        {
            last = directory.clone();
            found.insert(directory);
        }
    }
    let mut numbers = python.split('.');
    if let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) {
        for library in
            [format!("lib/python{major}.{minor}/site-packages"), format!("lib/python{major}/dist-packages")]
        {
            found.insert(Path::new(prefix).join(library));
        }
    }
    found.into_iter().collect()
}

/// `…/site-packages` of a path in it.
fn site_directory(path: &str) -> Option<PathBuf> {
    let mut end = 0;
    let mut last = None;
    for part in path.split('/') {
        end += part.len() + 1;
        if matches!(part, "site-packages" | "dist-packages") {
            last = Some(end - 1);
            // The first: what is vendored in a package is the package's.
            break;
        }
    }
    last.map(|end| PathBuf::from(&path[..end]))
}

/// The directory that a module was found in: above as many directories as its name has parts.
fn above(path: &str, name: &str) -> Option<PathBuf> {
    let mut directory = Path::new(path);
    let file = directory.file_stem()?.to_str()?;
    let is_package = file == "__init__" || !name.ends_with(file.split('.').next().unwrap_or(file));
    let ups = name.split('.').count() + usize::from(is_package);
    for _ in 0..ups {
        directory = directory.parent()?;
    }
    directory.is_absolute().then(|| directory.to_owned())
}

/// Which rule says what of the records in these spools, as lines of a table.
pub fn dry_run(
    spools: &[PathBuf],
    site: &Site,
    user: &dyn Fn(u32) -> Option<User>,
) -> Result<Vec<String>, CollectError> {
    let mut hits = Hits::default();
    let mut records = 0;
    for path in spools {
        let failed = |source| CollectError::Spool { directory: path.clone(), source };
        let spool = Directory::open(path).map_err(failed)?;
        // What runs is looked at too: nothing is taken.
        let found = walk(spool, &|_| Some(true)).map_err(failed)?;
        for entry in found.entries {
            let Ok(record) = entry.read() else { continue };
            let Ok(process) = terrarium_spool::process(&record.bytes) else { continue };
            let owner = user(record.owner).unwrap_or_else(|| User::nobody(record.owner));
            records += 1;
            for module in process.modules.iter().filter(|module| module.is_loaded()) {
                let Some(origin) = &module.origin else { continue };
                if module.place != Place::Standard {
                    let path = origin.path.to_text();
                    let directory =
                        site_directory(&path).or_else(|| Some(Path::new(path.as_ref()).parent()?.to_owned()));
                    hits.add(site.locate(&owner, &directory.unwrap_or_default().to_string_lossy()));
                }
            }
        }
    }
    let mut lines = vec![format!(
        "{records} records of processes that have ended; modules of Python itself are left out"
    )];
    lines.extend(hits.lines(site));
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_modules_were_found() {
        assert_eq!(
            site_directory("/v/lib/python3.11/site-packages/a/b.py"),
            Some("/v/lib/python3.11/site-packages".into())
        );
        assert_eq!(site_directory("/v/site-packages/a/site-packages/b.py"), Some("/v/site-packages".into()));
        assert_eq!(site_directory("/v/x.py"), None);
        assert_eq!(above("/p/libs/yaml/__init__.py", "yaml"), Some("/p/libs".into()));
        assert_eq!(above("/p/libs/yaml/reader.py", "yaml.reader"), Some("/p/libs".into()));
        assert_eq!(above("/p/six.py", "six"), Some("/p".into()));
        assert_eq!(above("six.py", "six"), None);
    }
}
