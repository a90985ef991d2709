//! What must be true of the record of one process.

use std::collections::BTreeMap;

use terrarium_spool::{End, Process, State};
use terrarium_wire::kind::main;

use crate::endings::Ending;
use crate::pythons::Python;
use crate::spool::{Module, Record, Witness, loaded};
use crate::ways::{Way, other};

/// A process that its parent waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) ending: Ending,
    pub(crate) pid: i32,
    pub(crate) status: i32,
}

/// Where it was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) python: &'static Python,
    pub(crate) way: Way,
}

/// Modules that the interpreter makes itself, without importing them, and second names for others.
const NOT_IMPORTED: [&str; 14] = [
    "__main__",
    "__mp_main__",
    "builtins",
    "sys",
    "_frozen_importlib",
    "_frozen_importlib_external",
    "_imp",
    "_io",
    "_thread",
    "_warnings",
    "_weakref",
    "marshal",
    "os.path",
    "posix",
];

/// Name; who imports it first, where `*` is the payload; whether the user asks for it.
const PROBES: [(&str, &str, bool); 13] = [
    ("probe_one", "*", true),
    ("probe_deep", "probe_one", false),
    ("probe_deeper", "probe_deep", false),
    ("probe_pkg", "probe_one", true),
    ("probe_pkg.hidden", "probe_pkg", false),
    ("probe_pkg.sub", "probe_one", true),
    ("probe_pkg.other", "*", true),
    ("probe_space", "*", true),
    ("probe_space.inner", "*", true),
    ("probe_mine", "*", true),
    ("probe_of_mine", "probe_mine", true),
    ("probe_dunder", "*", true),
    ("probe_inside_broken", "probe_broken", false),
];

/// Everything that is wrong with the record of this process; empty if it is as it must be.
pub(crate) fn complaints(
    cell: Cell,
    seen: Seen,
    witness: Option<&Witness>,
    records: &[Record],
) -> Vec<String> {
    let mut wrong = Vec::new();
    let wanted = seen.ending.status(cell.way);
    if seen.status != wanted {
        wrong.push(format!("it ended with {} instead of {wanted}", seen.status));
    }
    let Some(witness) = witness else {
        wrong.push("it left no witness: it did not get to its end".to_owned());
        return wrong;
    };
    let of_it: Vec<&Record> = records.iter().filter(|record| record.process.pid as i32 == seen.pid).collect();
    // What `subprocess` forks before it executes the interpreter is a process of its own for a moment, up to 3.9.
    let is_it =
        |process: &Process| process.python.watched && (cell.way.is_forked() || process.forked_from.is_none());
    let watched: Vec<&&Record> = of_it.iter().filter(|record| is_it(&record.process)).collect();
    let [record] = watched[..] else {
        wrong.push(format!("{} records of it as a Python, {} in all", watched.len(), of_it.len()));
        return wrong;
    };
    file(record, &mut wrong);
    told(cell, record, &mut wrong);
    let process = &record.process;
    identity(cell, process, witness, records, &mut wrong);
    let modules = loaded(process, records);
    everything(witness, &modules, &mut wrong);
    probes(cell, witness, &modules, &mut wrong);
    nothing_else(cell, seen, process, &modules, &mut wrong);
    end(seen, process, &of_it, &mut wrong);
    wrong
}

fn file(record: &Record, wrong: &mut Vec<String>) {
    if record.mode != 0o100_600 {
        wrong.push(format!("its file has mode {:o}", record.mode));
    }
    if record.owner != crate::support::own_user() {
        wrong.push(format!("its file belongs to user {}", record.owner));
    }
}

fn identity(cell: Cell, process: &Process, witness: &Witness, records: &[Record], wrong: &mut Vec<String>) {
    let (major, minor, micro) = cell.python.version;
    if process.python.number() != Some(&format!("{major}.{minor}.{micro}")) && cell.way != Way::BareFork {
        wrong.push(format!("its version is {:?}", process.python.version));
    }
    if process.parent != Some(witness.parent) {
        wrong.push(format!("its parent is {:?}, not {}", process.parent, witness.parent));
    }
    if cell.way.starts_many() && cell.way != Way::Jupyter {
        let parent = records.iter().find(|record| record.process.pid == witness.parent);
        match parent {
            None => wrong.push("its parent has no record".to_owned()),
            Some(parent) if cell.way.is_forked() && process.forked_from != Some(parent.process.id) => {
                wrong.push(format!(
                    "it is not named as a fork of its parent, but of {:?}",
                    process.forked_from
                ));
            }
            Some(_) => {}
        }
    }
    if process.dropped.any() || process.stopped != terrarium_spool::Stopped::End {
        wrong.push(format!("it is not whole: {:?}, {:?}", process.dropped, process.stopped));
    }
}

/// What Python was told to run; nothing of a text that was given to it.
fn told(cell: Cell, record: &Record, wrong: &mut Vec<String>) {
    let (kind, name) = match cell.way {
        Way::Command => (main::COMMAND, ""),
        Way::Module => (main::MODULE, "payload"),
        Way::StandardInput => (main::STANDARD_INPUT, ""),
        Way::Embedded | Way::EmbeddedPrivate => (main::EMBEDDED, ""),
        Way::ZipApp => (main::SCRIPT, ".pyz"),
        Way::SubInterpreter => (main::SCRIPT, "/subinterpreter.py"),
        Way::BareFork | Way::Fork => (main::SCRIPT, "/workers.py"),
        Way::Spawn => (main::SPAWNED, ""),
        // The server is a command; what it forks has no more.
        Way::ForkServer => (main::COMMAND, ""),
        Way::Jupyter => (main::MODULE, "ipykernel_launcher"),
        _ => (main::SCRIPT, "/payload.py"),
    };
    let told = record.process.main.as_ref();
    if !told.is_some_and(|main| main.kind == kind && main.name.to_text().ends_with(name)) {
        wrong.push(format!("it was told to run {told:?}"));
    }
    if record.has_payloads_text {
        wrong.push("the text that Python was given is in its record".to_owned());
    }
}

/// All that is in `sys.modules` is in the record, with the same origin.
fn everything(witness: &Witness, modules: &BTreeMap<String, Module>, wrong: &mut Vec<String>) {
    let mut missing = Vec::new();
    for (name, own_name, origin, file) in &witness.modules {
        // A second name for a module, as `os.path` is one.
        let is_alias = !own_name.is_empty() && own_name != name;
        if NOT_IMPORTED.contains(&name.as_str()) || is_alias {
            continue;
        }
        let Some(module) = modules.get(name) else {
            missing.push(name.as_str());
            continue;
        };
        let is_file = !file.is_empty() && origin == file;
        if is_file && module.origin != *file {
            wrong.push(format!("{name} is from {:?} ({}), not from {file}", module.origin, module.kind));
        }
    }
    if !missing.is_empty() {
        wrong.push(format!("not recorded: {}", missing.join(" ")));
    }
}

fn probes(cell: Cell, witness: &Witness, modules: &BTreeMap<String, Module>, wrong: &mut Vec<String>) {
    let payload = cell.way.importer();
    let mut one = |name: &str, importer: &str, direct: bool| {
        let Some(module) = modules.get(name) else {
            wrong.push(format!("{name} is not recorded"));
            return;
        };
        let importer = if importer == "*" { payload } else { importer };
        if module.importer != importer {
            wrong.push(format!("{name} was imported by {}, not by {importer}", module.importer));
        }
        if module.direct != direct {
            wrong.push(format!("{name} is {}direct", if direct { "not " } else { "" }));
        }
    };
    for (name, importer, direct) in PROBES {
        one(name, importer, direct);
    }
    let has_native = witness.modules.iter().any(|(name, ..)| name == "probe_native");
    if has_native {
        one("probe_native", "*", true);
    }
    // Who asks importlib is not told by its frames alone.
    let by_name = modules.get("probe_by_name");
    if !by_name.is_some_and(|module| module.direct || is_old_archive(cell)) {
        wrong.push("probe_by_name is not recorded as direct".to_owned());
    }
    for (name, kind) in [("probe_space", "namespace"), ("probe_pkg", "file"), ("probe_native", "extension")] {
        if let Some(module) = modules.get(name)
            && module.kind != kind
        {
            wrong.push(format!("{name} is recorded as {}, not as {kind}", module.kind));
        }
    }
    if cell.way != Way::EmbeddedPrivate && !has_native {
        wrong.push("the extension module was not loaded: the test shows less than it says".to_owned());
    }
}

/// Up to 3.9 zipimport loads modules without telling importlib of their state: one that raises at its end counts as loaded, and
/// who asks `importlib.import_module` is not known.
fn is_old_archive(cell: Cell) -> bool {
    cell.way == Way::ZipApp && cell.python.version < (3, 10, 0)
}

/// What failed to import is not counted.
fn nothing_else(
    cell: Cell,
    seen: Seen,
    process: &Process,
    modules: &BTreeMap<String, Module>,
    wrong: &mut Vec<String>,
) {
    let failed = [
        "probe_missing",
        "probe_broken",
        "probe_space.absent",
        "probe_pkg.absent",
        "probe_pkg.attribute",
        "probe_pkg.nothing",
        "probe_garbage",
        "probe_refuses",
    ];
    let is_known = |name: &str| is_old_archive(cell) && name == "probe_broken";
    for name in failed.iter().filter(|name| modules.contains_key(**name) && !is_known(name)) {
        wrong.push(format!("{name} counts as loaded, and is not"));
    }
    if seen.ending.is("importing") {
        if !modules.contains_key("probe_before_kill") {
            wrong.push("what the module had imported when it was killed is not recorded".to_owned());
        }
        let victim = process.modules.iter().find(|module| module.name.to_text() == "probe_victim");
        match victim.map(|module| module.state) {
            Some(State::Underway | State::Loaded) => {}
            other => wrong.push(format!("the module that was being imported is {other:?}")),
        }
    } else if modules.contains_key("probe_victim") {
        wrong.push("probe_victim was not imported here".to_owned());
    }
}

fn end(seen: Seen, process: &Process, of_it: &[&Record], wrong: &mut Vec<String>) {
    let status = seen.status as u32;
    let fits = match process.end {
        _ if seen.ending.is("exec") => process.end == End::Exec,
        End::Exited { status: told } => seen.status >= 0 && told == status && !seen.ending.is("os_exit"),
        End::AtOnce { status: told } => seen.status >= 0 && told == status,
        End::Finished => seen.status >= 0,
        End::Unknown => seen.status < 0,
        End::Exec | End::Other(_) => false,
    };
    if !fits {
        wrong.push(format!("its end is told as {:?}, it was {}", process.end, seen.status));
    }
    if seen.ending.is("exec") {
        let other = other().to_str().unwrap();
        let after: Vec<&Process> = of_it
            .iter()
            .map(|record| &record.process)
            .filter(|process| process.program.as_ref().is_some_and(|program| program.to_text() == other))
            .collect();
        match after[..] {
            [after] if matches!(after.end, End::Exited { status: 7 } | End::Finished) => {}
            _ => wrong.push(format!("the program after exec: {after:?}")),
        }
    }
}
