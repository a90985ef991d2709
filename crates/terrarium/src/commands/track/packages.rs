//! Modules by the package that they belong to.

use std::collections::HashMap;

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
    let mut seen: std::collections::HashSet<&[u8]> = std::collections::HashSet::new();
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

/// The importer's name, if there is one.
pub(super) fn importer<'a>(
    process: &'a Process,
    importer: &'a Importer<Text>,
) -> Option<std::borrow::Cow<'a, str>> {
    match importer {
        Importer::Nobody => None,
        Importer::Main => Some("__main__".into()),
        Importer::Named(name) => Some(name.to_text()),
        Importer::Module(number) => process.modules.get(*number).map(|module| module.name.to_text()),
    }
}
