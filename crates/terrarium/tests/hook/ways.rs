//! The ways to start a Python process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use crate::pythons::{Python, linked};
use crate::support::{compiled, directory, hook, numbered, run, scripts};

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Script,
    Command,
    Module,
    Isolated,
    NoEnvironment,
    NoSite,
    Bare,
    Venv,
    StandardInput,
    ZipApp,
    Embedded,
    EmbeddedPrivate,
    SubInterpreter,
    BareFork,
    Fork,
    Spawn,
    ForkServer,
    Jupyter,
}

pub(crate) const WAYS: [Way; 18] = [
    Way::Script,
    Way::Command,
    Way::Module,
    Way::Isolated,
    Way::NoEnvironment,
    Way::NoSite,
    Way::Bare,
    Way::Venv,
    Way::StandardInput,
    Way::ZipApp,
    Way::Embedded,
    Way::EmbeddedPrivate,
    Way::SubInterpreter,
    Way::BareFork,
    Way::Fork,
    Way::Spawn,
    Way::ForkServer,
    Way::Jupyter,
];

impl Way {
    pub(crate) fn what(self) -> &'static str {
        match self {
            Way::Script => "`python FILE`",
            Way::Command => "`python -c TEXT`",
            Way::Module => "`python -m NAME`",
            Way::Isolated => "`python -I FILE`",
            Way::NoEnvironment => "`python -E FILE`",
            Way::NoSite => "`python -S FILE`",
            Way::Bare => "`env -i` with the preload and the spool, and nothing else",
            Way::Venv => "`python FILE` of a virtual environment",
            Way::StandardInput => "`python < FILE`",
            Way::ZipApp => "`python FILE.pyz`, all modules in it (zipimport)",
            Way::Embedded => "a C program linked to libpython",
            Way::EmbeddedPrivate => "a C program that loads libpython with `RTLD_LOCAL`",
            Way::SubInterpreter => "a sub-interpreter, with a GIL of its own from 3.12",
            Way::BareFork => "a child of `os.fork`",
            Way::Fork => "a child of multiprocessing, by fork",
            Way::Spawn => "a child of multiprocessing, by spawn",
            Way::ForkServer => "a child of multiprocessing, by forkserver",
            Way::Jupyter => "a Jupyter kernel, whose cell imports",
        }
    }

    /// One process starts one after the other for every ending.
    pub(crate) fn starts_many(self) -> bool {
        matches!(self, Way::BareFork | Way::Fork | Way::Spawn | Way::ForkServer | Way::Jupyter)
    }

    /// Its child has loaded what its parent had.
    pub(crate) fn is_forked(self) -> bool {
        matches!(self, Way::BareFork | Way::Fork | Way::ForkServer)
    }

    /// Why there is no such process with this Python, if so.
    pub(crate) fn cannot(self, python: &Python) -> Option<&'static str> {
        match self {
            Way::Embedded | Way::EmbeddedPrivate if python.library.is_none() => {
                Some("it has no shared library")
            }
            Way::Jupyter if !python.has_kernel => Some("it has no Jupyter packages"),
            // Its environment is one already, and has the same interpreter as its base.
            _ if python.has_kernel && self != Way::Jupyter => {
                Some("the same as the Python that it is made from")
            }
            _ => None,
        }
    }

    /// Which module the payload's code is in.
    pub(crate) fn importer(self) -> &'static str {
        match self {
            Way::SubInterpreter | Way::BareFork | Way::Fork | Way::Spawn | Way::ForkServer => "payload",
            _ => "__main__",
        }
    }

    /// The command, with these endings (one, unless it [starts many](Self::starts_many)).
    pub(crate) fn command(
        self,
        python: &Python,
        endings: &str,
        spool: &Path,
        out: &Path,
        hooked: bool,
    ) -> Command {
        let scripts = scripts();
        let file = |name: &str| scripts.join(name).into_os_string();
        let payload = || file("payload.py");
        let mut library = scripts.to_owned();
        let mut program = python.executable.clone();
        let mut stdin = Stdio::null();
        let words = match self {
            Way::Script | Way::Bare => vec![payload()],
            Way::Command => vec!["-c".into(), fs::read_to_string(payload()).unwrap().into()],
            Way::Module => vec!["-m".into(), "payload".into()],
            Way::Isolated => vec!["-I".into(), payload()],
            Way::NoEnvironment => vec!["-E".into(), payload()],
            Way::NoSite => vec!["-S".into(), payload()],
            Way::Venv => {
                program = venv(python);
                vec![payload()]
            }
            Way::StandardInput => {
                stdin = fs::File::open(payload()).unwrap().into();
                vec![]
            }
            Way::ZipApp => {
                library = archive(python);
                vec![library.clone().into_os_string()]
            }
            Way::Embedded => {
                program = host(python);
                vec![payload()]
            }
            Way::EmbeddedPrivate => {
                program = loader().to_owned();
                vec![payload(), python.library.clone().unwrap().into_os_string()]
            }
            Way::SubInterpreter => vec![file("subinterpreter.py")],
            Way::BareFork => vec![file("workers.py"), "os_fork".into()],
            Way::Fork => vec![file("workers.py"), "fork".into()],
            Way::Spawn => vec![file("workers.py"), "spawn".into()],
            Way::ForkServer => vec![file("workers.py"), "forkserver".into()],
            Way::Jupyter => vec![file("kernels.py")],
        };
        let mut command = start(python, &program);
        command.args(words).stdin(stdin).current_dir(scripts);
        let variable = if self.starts_many() { "PROBE_ENDINGS" } else { "PROBE_ENDING" };
        command.env(variable, endings).env("PROBE_LIB", library).env("PROBE_NATIVE", scripts.join("native"));
        command.env("PROBE_OUT", out).env("PROBE_OTHER", other());
        if let Some(cgroup) = crate::cgroup::limited() {
            command.env("PROBE_CGROUP", cgroup);
        }
        if self != Way::Bare {
            command.env("HOME", "/nonexistent").env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin");
        }
        if matches!(self, Way::Embedded | Way::EmbeddedPrivate) {
            // A program that has Python inside says where its library lies.
            command.env("PYTHONHOME", home(python));
        }
        if hooked {
            command.env("LD_PRELOAD", hook().unwrap()).env("TERRARIUM_SPOOL", spool);
        }
        command
    }
}

/// A command that becomes this program, in the Python's tree and with an empty environment.
fn start(python: &Python, program: &Path) -> Command {
    static INSIDE: OnceLock<PathBuf> = OnceLock::new();
    let mut command = match &python.root {
        Some(root) => {
            let mut command = Command::new(INSIDE.get_or_init(|| compiled("inside.c", &["-static"])));
            command.arg(root).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.env_clear();
    command
}

fn loader() -> &'static Path {
    static LOADER: OnceLock<PathBuf> = OnceLock::new();
    LOADER.get_or_init(|| compiled("embed.c", &[]))
}

pub(crate) fn other() -> &'static Path {
    static OTHER: OnceLock<PathBuf> = OnceLock::new();
    OTHER.get_or_init(|| compiled("other.c", &[]))
}

/// What a Python says to a question, without the hook.
fn ask(python: &Python, words: &[&str]) -> String {
    let done = run(start(python, &python.executable).args(words).stdin(Stdio::null()));
    assert_eq!(done.status, 0, "{}: {words:?}: {}", python.label(), done.err);
    done.out.trim_end().to_owned()
}

/// What is made once for each Python.
fn once(kept: &Mutex<Vec<(PathBuf, PathBuf)>>, python: &Python, make: impl FnOnce() -> PathBuf) -> PathBuf {
    let key = python.root.clone().unwrap_or_default().join(python.label());
    let mut kept = kept.lock().unwrap();
    if let Some((_, made)) = kept.iter().find(|(known, _)| *known == key) {
        return made.clone();
    }
    let made = make();
    kept.push((key, made.clone()));
    made
}

fn home(python: &Python) -> PathBuf {
    static KEPT: Mutex<Vec<(PathBuf, PathBuf)>> = Mutex::new(Vec::new());
    once(&KEPT, python, || ask(python, &["-c", "import sys; print(sys.base_prefix)"]).into())
}

/// A program that has this Python inside, linked to it.
fn host(python: &Python) -> PathBuf {
    static KEPT: Mutex<Vec<(PathBuf, PathBuf)>> = Mutex::new(Vec::new());
    once(&KEPT, python, || linked(python).unwrap())
}

fn venv(python: &Python) -> PathBuf {
    static KEPT: Mutex<Vec<(PathBuf, PathBuf)>> = Mutex::new(Vec::new());
    once(&KEPT, python, || {
        let into = numbered(directory(), "venv");
        ask(python, &["-m", "venv", "--without-pip", into.to_str().unwrap()]);
        into.join("bin/python")
    })
}

/// The payload and all that it imports in one file, but for the extension modules.
fn archive(python: &Python) -> PathBuf {
    static KEPT: Mutex<Vec<(PathBuf, PathBuf)>> = Mutex::new(Vec::new());
    once(&KEPT, python, || {
        let source = numbered(directory(), "archive");
        for name in ["own", "site-packages"] {
            let status =
                Command::new("cp").arg("-r").arg(scripts().join(name)).arg(&source).status().unwrap();
            assert!(status.success());
        }
        fs::copy(scripts().join("payload.py"), source.join("__main__.py")).unwrap();
        let into = source.with_extension("pyz");
        ask(python, &["-m", "zipapp", source.to_str().unwrap(), "-o", into.to_str().unwrap()]);
        into
    })
}
