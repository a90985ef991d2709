//! What is recorded of imports, against what happened: in the order of the statements of attacks/outcomes.py.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use terrarium_spool::{Importer, Module, Process, State};

use crate::pythons::{self, Python};
use crate::spool::records;
use crate::support::{self, compiled, directory, hook, numbered, requires, run, scripts};

fn plain() -> impl Iterator<Item = &'static Python> {
    pythons::watched().filter(|python| python.root.is_none() && !python.has_kernel)
}

fn modules(process: &Process) -> BTreeMap<String, &Module> {
    process.modules.iter().map(|module| (module.name.to_text().into_owned(), module)).collect()
}

fn importer(process: &Process, module: &Module) -> String {
    match &module.importer {
        Importer::Nobody => "nobody".to_owned(),
        Importer::Main => "__main__".to_owned(),
        Importer::Named(name) => name.to_text().into_owned(),
        Importer::Module(number) => process.modules[*number].name.to_text().into_owned(),
    }
}

/// A failure is recorded once, and taken back when another try succeeds; nothing else counts as failed; and who imports is told
/// also where the code has no frame, or no name.
#[test]
fn what_becomes_of_an_import_is_recorded_as_it_was() {
    requires!(hook().is_some() && plain().next().is_some(), "there is no hook, or no Python");
    let native = numbered(directory(), "native");
    for (into, flags) in [
        ("probe_imports.so", &["-shared", "-fPIC", "-DIMPORTS"][..]),
        ("not_a_module.so", &["-shared", "-fPIC"]),
        ("nor_this.so", &["-shared", "-fPIC"]),
    ] {
        fs::rename(compiled("probe_native.c", flags), native.join(into)).unwrap();
    }
    for python in plain() {
        let (label, spool) = (python.label(), support::spool());
        let mut command = std::process::Command::new(&python.executable);
        command
            .arg(scripts().join("attacks/outcomes.py"))
            .arg(numbered(directory(), "outcomes"))
            .arg(&native);
        command.env("LD_PRELOAD", hook().unwrap()).env("TERRARIUM_SPOOL", &spool);
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).current_dir("/");
        let done = run(&mut command);
        assert_eq!((done.status, done.out.as_str(), done.err.as_str()), (0, "", ""), "{label}");

        let records = records(&spool).unwrap();
        let process = &records.iter().find(|record| record.process.pid as i32 == done.pid).unwrap().process;
        let found = modules(process);
        let failed = found.values().filter(|module| module.state == State::Failed);
        let failed: Vec<_> = failed.map(|module| module.name.to_text()).collect();
        assert_eq!(failed, ["out_never"], "{label}");
        for (name, by, direct) in [
            ("out_again", "__main__", true),
            ("out_part", "out_never", true),
            ("out_outer", "out_loader", true),
            ("out_inner", "out_loader", true),
            ("out_of_string", "__main__", true),
            ("out_of_script", "__main__", true),
            ("probe_imports", "__main__", true),
            ("colorsys", "probe_imports", true),
            ("xml.dom.minicompat", "probe_imports", true),
            ("xml.dom", "probe_imports", true),
        ] {
            let module = found.get(name).unwrap_or_else(|| panic!("{label}: {name} is missing"));
            assert!(module.is_loaded(), "{label}: {name} is {:?}", module.state);
            assert_eq!((importer(process, module).as_str(), module.direct), (by, direct), "{label}: {name}");
            assert!(module.took_at_most_us.is_some(), "{label}: {name} has no time");
        }
        assert!(!found.contains_key("<run_path>"), "{label}: no module of that name was imported");
        assert_eq!(process.python.interpreters, 1, "{label}");
        let objects = process.objects.iter().filter(|path| path.to_text() == "./not_a_module.so");
        assert_eq!(objects.count(), 1, "{label}: {:?}", process.objects);
        assert!(!process.dropped.any(), "{label}: {:?}", process.dropped);

        // Not found before the fork, and found after it.
        let child = records.iter().find(|record| record.process.forked_from == Some(process.id)).unwrap();
        assert!(modules(&child.process)["out_later"].is_loaded(), "{label}");
        // Neither what fails in a loop nor what is run in one fills the file.
        let sizes = fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        assert!(sizes.max().unwrap() <= 116 << 10, "{label}");
    }
}

/// The first chunk is full of what stands first, and a forked child has all of it for all that.
#[test]
fn a_forked_child_knows_its_python_however_much_stands_before_it() {
    requires!(hook().is_some() && pythons::first().is_some(), "there is no hook, or no Python");
    let deep =
        numbered(directory(), "deep").join("x".repeat(200)).join("y".repeat(200)).join("z".repeat(200));
    fs::create_dir_all(&deep).unwrap();
    let spool = support::spool();
    let mut command = std::process::Command::new(&pythons::first().unwrap().executable);
    command.args(["-c", "import os\nif not os.fork():\n import wave\n os._exit(0)\nos.wait()"]);
    command.env("LD_PRELOAD", hook().unwrap()).env("TERRARIUM_SPOOL", &spool);
    for name in terrarium_wire::kind::variable::NAMES {
        command.env(name, "0".repeat(128));
    }
    // All ranks: these are none.
    command.env("TERRARIUM_RANKS", "all").stdin(Stdio::null()).current_dir(&deep);
    let done = run(&mut command);
    assert_eq!((done.status, done.err.as_str()), (0, ""));
    let records = records(&spool).unwrap();
    let find = |forked: bool| {
        &records.iter().find(|record| record.process.forked_from.is_some() == forked).unwrap().process
    };
    let (parent, child) = (find(false), find(true));
    assert_eq!((&child.host, &child.program, &child.main), (&parent.host, &parent.program, &parent.main));
    assert_eq!(child.python.version, parent.python.version);
    assert_eq!(child.variables, parent.variables);
    assert!(child.main.is_some() && child.variables.len() == 24);
    assert!(modules(child)["wave"].is_loaded() && modules(child)["wave"].direct);
}
