//! The records in a spool, and what a process said of itself.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use terrarium_spool::{Importer, Process};

const PAYLOADS: &[u8] = b"Whoever started us";

/// One file of a spool.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    /// A line of tests/python/hook/payload.py is in it.
    pub(crate) has_payloads_text: bool,
    pub(crate) process: Process,
}

/// All files of a spool, read whole; a file that cannot be read is an error.
pub(crate) fn records(spool: &Path) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    for entry in fs::read_dir(spool).map_err(|e| e.to_string())?.flatten() {
        if entry.file_name() == "drops" {
            continue;
        }
        let path = entry.path();
        let metadata = fs::symlink_metadata(&path).map_err(|e| e.to_string())?;
        let bytes = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let process = terrarium_spool::process(&bytes).map_err(|e| format!("{}: {e}", path.display()))?;
        let has_payloads_text = bytes.windows(PAYLOADS.len()).any(|window| window == PAYLOADS);
        records.push(Record { mode: metadata.mode(), owner: metadata.uid(), has_payloads_text, process });
    }
    Ok(records)
}

/// A module as a record tells it.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) importer: String,
    pub(crate) direct: bool,
    pub(crate) origin: String,
    pub(crate) kind: &'static str,
}

/// What a process has loaded, by name: its own record, and of those that it was forked from what it does not have itself.
pub(crate) fn loaded<'a>(of: &'a Process, all: &'a [Record]) -> BTreeMap<String, Module> {
    let mut found = BTreeMap::new();
    let mut next = Some(of);
    while let Some(process) = next {
        for module in process.modules.iter().filter(|module| module.is_loaded()) {
            let importer = match &module.importer {
                Importer::Nobody => "nobody".to_owned(),
                Importer::Main => "__main__".to_owned(),
                Importer::Named(name) => name.to_text().into_owned(),
                Importer::Module(number) => process
                    .modules
                    .get(*number)
                    .map_or("?".to_owned(), |importer| importer.name.to_text().into_owned()),
            };
            let origin =
                module.origin.as_ref().map(|origin| origin.path.to_text().into_owned()).unwrap_or_default();
            let kind = module.origin.as_ref().map_or("unknown", |origin| origin.kind.name());
            let module_ = Module { importer, direct: module.direct, origin, kind };
            found.entry(module.name.to_text().into_owned()).or_insert(module_);
        }
        next = process
            .forked_from
            .and_then(|id| all.iter().map(|record| &record.process).find(|other| other.id == id));
    }
    found
}

/// What a process told of itself before its end.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) parent: u32,
    /// Name in `sys.modules`; the name, the origin and the file that the module itself says.
    pub(crate) modules: Vec<(String, String, String, String)>,
}

pub(crate) fn witness(out: &Path, pid: i32) -> Option<Witness> {
    let text = fs::read_to_string(out.join(pid.to_string())).ok()?;
    let mut lines = text.lines();
    let parent = lines.next()?.split_once('\t')?.1.parse().ok()?;
    let modules = lines.map(|line| {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut next = || fields.next().unwrap_or_default();
        (next(), next(), next(), next())
    });
    Some(Witness { parent, modules: modules.collect() })
}
