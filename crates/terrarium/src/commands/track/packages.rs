//! Modules by the package that they belong to.

use std::collections::{BTreeSet, HashMap, HashSet};

use terrarium_spool::{Importer, Module, Origin, Place, Process, Text};

/// A top-level module with all below it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Package<'a> {
    pub(super) name: &'a [u8],
    /// The package itself, if it was loaded in this process.
    pub(super) top: Option<&'a Module>,
    pub(super) place: Place,
    pub(super) direct: bool,
    /// How many modules below it were loaded.
    pub(super) submodules: usize,
    /// Who imported the first of it.
    pub(super) importer: &'a Importer<Text>,
    pub(super) origin: Option<&'a Origin>,
}

/// The packages of which something was loaded, in the order of their first import.
pub(super) fn packages(process: &Process) -> Vec<Package<'_>> {
    let mut packages: Vec<Package<'_>> = Vec::new();
    let mut places: HashMap<&[u8], usize> = HashMap::new();
    let mut seen: HashSet<&[u8]> = HashSet::new();
    for module in process.modules.iter().filter(|module| module.is_loaded()) {
        let full = module.name.as_bytes();
        let name = full.split(|byte| *byte == b'.').next().unwrap_or_default();
        let number = *places.entry(name).or_insert_with(|| {
            packages.push(Package {
                name,
                top: None,
                place: Place::Unknown,
                direct: false,
                submodules: 0,
                importer: &module.importer,
                origin: None,
            });
            packages.len() - 1
        });
        let package = &mut packages[number];
        package.direct |= module.direct;
        if package.place == Place::Unknown {
            package.place = module.place;
        }
        // In each sub-interpreter it is loaded anew.
        if !seen.insert(full) {
            continue;
        }
        if full == name {
            package.top = Some(module);
            package.place = if module.place == Place::Unknown { package.place } else { module.place };
        } else {
            package.submodules += 1;
        }
        if package.origin.is_none() || full == name {
            package.origin = module.origin.as_ref();
        }
    }
    packages
}

/// The packages of which code was called, where that is recorded: by the files of that code.
pub(super) fn called(process: &Process) -> BTreeSet<&[u8]> {
    let files: HashSet<&[u8]> = process.called.iter().map(Text::as_bytes).collect();
    let is_called = |module: &&Module| {
        module.is_loaded()
            && module.origin.as_ref().is_some_and(|origin| files.contains(origin.path.as_bytes()))
    };
    let names = process.modules.iter().filter(is_called).map(|module| module.name.as_bytes());
    names.map(|name| name.split(|byte| *byte == b'.').next().unwrap_or_default()).collect()
}

/// A name is shown that far where it is not the module's own: one long name may have imported all others.
const LONGEST: usize = 256;

/// The importer's name, if there is one.
pub(super) fn importer(process: &Process, importer: &Importer<Text>) -> Option<String> {
    let name = match importer {
        Importer::Nobody => return None,
        Importer::Main => return Some("__main__".to_owned()),
        Importer::Named(name) => name,
        Importer::Module(number) => &process.modules.get(*number)?.name,
    };
    let name = name.as_bytes();
    Some(String::from_utf8_lossy(&name[..name.len().min(LONGEST)]).into_owned())
}
