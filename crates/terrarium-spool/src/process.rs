//! One process, as its file tells.

use super::{Importer, Job, Rank, Stopped, Text};

/// What a spool file says of its process. Every text is what the process wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// What the file is called by others.
    pub id: u64,
    /// The [`Process::id`] of the one that this was forked from. It has loaded what that had then; only what it loaded itself is
    /// in [`Process::modules`].
    pub forked_from: Option<u64>,
    /// Process ID in its PID namespace.
    pub pid: u32,
    /// The parent's, unless that is outside the namespace.
    pub parent: Option<u32>,
    /// Real user ID as the process saw it. Whom the file belongs to is what counts.
    pub user: u32,
    /// When the record began, microseconds since 1970.
    pub started_us: u64,
    /// What is recorded at all.
    pub extent: Extent,
    /// A CPython that was watched, or one that is too old for it.
    pub python: Python,
    /// What was called is recorded as well.
    pub calls_recorded: bool,
    /// The host's name.
    pub host: Option<Text>,
    /// The program's path.
    pub program: Option<Text>,
    /// The variables that were looked at, those that were set.
    pub variables: Vec<(&'static str, Text)>,
    /// The batch job.
    pub job: Option<Job>,
    /// Which rank of a parallel job.
    pub rank: Option<Rank>,
    /// What Python was told to run.
    pub main: Option<Main>,
    /// Arguments, if the site asks for them.
    pub arguments: Vec<Text>,
    /// Shared objects that were mapped.
    pub objects: Vec<Text>,
    /// Files of which code was called.
    pub called: Vec<Text>,
    /// Type of the exception that nobody caught.
    pub exception: Option<Text>,
    /// How it ended.
    pub end: End,
    /// From the start to the end.
    pub ended_us: Option<u64>,
    /// From the start to the last attempt to execute another program.
    pub exec_attempted_us: Option<u64>,
    /// From the start to the last sign of life.
    pub last_activity_us: u64,
    /// Peak resident set.
    pub peak_bytes: Option<u64>,
    /// From the start to the last look at the peak.
    pub peak_seen_us: Option<u64>,
    /// What was not recorded.
    pub dropped: Dropped,
    /// `import` events seen, recorded or not.
    pub import_events: u32,
    /// Modules that the process says it recorded as loaded.
    pub modules_recorded: u32,
    /// Every module of which an import was seen.
    pub modules: Vec<Module>,
    /// Why the reading stopped.
    pub stopped: Stopped,
}

impl Process {
    /// Names of the modules that are the user's own code.
    pub fn own_modules(&self) -> impl Iterator<Item = &Text> {
        self.modules.iter().filter(|module| module.place == Place::Own).map(|module| &module.name)
    }
}

/// What is recorded at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Full,
    /// That the process was there: it is one of many ranks.
    Counted,
    /// Nothing: the user does not want it.
    OptedOut,
}

/// Python in a process.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Python {
    /// There is one, and it was watched.
    pub watched: bool,
    /// There is one before 3.8: what it imports is not seen.
    pub too_old: bool,
    /// What `Py_GetVersion` says.
    pub version: Option<Text>,
    /// `sys.prefix`.
    pub prefix: Option<Text>,
    /// `sys.base_prefix`; another than the prefix in a venv.
    pub base_prefix: Option<Text>,
    /// `sys.executable`.
    pub executable: Option<Text>,
    /// Interpreters seen, sub-interpreters among them.
    pub interpreters: u32,
}

impl Python {
    /// The number of the version.
    pub fn number(&self) -> Option<&str> {
        let version = std::str::from_utf8(self.version.as_ref()?.as_bytes()).ok()?;
        version.split_whitespace().next()
    }

    /// Whether this is a virtual environment.
    pub fn is_venv(&self) -> bool {
        self.base_prefix.is_some() && self.prefix != self.base_prefix
    }
}

/// What Python was told to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Main {
    /// See [`terrarium_wire::kind::main`].
    pub kind: u8,
    /// Script or module; empty if there is none.
    pub name: Text,
    /// The working directory.
    pub directory: Text,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// exit(3), or a return from main.
    Exited {
        /// With this status.
        status: u32,
    },
    /// _exit(2), without clearing up.
    AtOnce {
        /// With this status.
        status: u32,
    },
    /// As [`End::Exited`]; the status is not known.
    Finished,
    /// Another program took its place.
    Exec,
    /// In a way that this reader does not know.
    Other(u32),
    /// No end is recorded: it was killed, it crashed, or it is still running.
    Unknown,
}

/// What was not recorded, by cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Records for which the file could not grow.
    pub no_space: u32,
    /// Records while another thread was writing.
    pub busy: u32,
    /// Records beyond the number of modules or the length of texts.
    pub too_much: u32,
    /// Forked children without a file of their own.
    pub children: u32,
}

impl Dropped {
    /// Whether something is missing.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// A module, or what was to become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its full name.
    pub name: Text,
    /// Who imported it.
    pub importer: Importer<Text>,
    /// Where it comes from, if that is known.
    pub origin: Option<Origin>,
    /// What became of the import.
    pub state: State,
    /// The user's program or code asks for it.
    pub direct: bool,
    /// Whose it is, as far as its origin tells.
    pub place: Place,
    /// From the start of the process to the start of the import.
    pub started_us: Option<u64>,
    /// From the start of the process to where its own code was run, or it was seen to be there.
    pub loaded_us: Option<u64>,
    /// How long the import took at least, with all that it imported in turn.
    pub took_at_least_us: Option<u64>,
    /// And at most; `None`: its end was not seen.
    pub took_at_most_us: Option<u64>,
}

impl Module {
    /// Whether it counts.
    pub fn is_loaded(&self) -> bool {
        self.state == State::Loaded
    }
}

/// Whose a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The user's own code.
    Own,
    /// Installed: in `site-packages` or `dist-packages`.
    Installed,
    /// Of Python itself.
    Standard,
    /// It has no origin that is known, or was made by other code.
    Unknown,
}

impl Place {
    /// As documents name it.
    pub fn name(self) -> &'static str {
        match self {
            Place::Own => "own",
            Place::Installed => "installed",
            Place::Standard => "standard",
            Place::Unknown => "unknown",
        }
    }
}

/// What became of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was loaded.
    Loaded,
    /// It was never seen to be loaded: not found, as a rule.
    NotLoaded,
    /// Its code was run, and the import did not end well.
    Failed,
    /// As [`State::NotLoaded`], and it was the last that the process was seen to do before an abnormal end: it may have been
    /// loading then.
    Underway,
}

/// Where a module comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What is there.
    pub kind: OriginKind,
    /// Its path; empty if there is none.
    pub path: Text,
}

/// What a module is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginKind {
    /// A file of code.
    File,
    /// A shared object.
    Extension,
    /// It is built into the interpreter.
    BuiltIn,
    /// No file: frozen into the interpreter, or a loader that names none.
    NoFile,
    /// A namespace package: a directory.
    Namespace,
    /// Something that this reader does not know.
    Other(u8),
}

impl OriginKind {
    /// As documents name it.
    pub fn name(self) -> &'static str {
        match self {
            OriginKind::File => "file",
            OriginKind::Extension => "extension",
            OriginKind::BuiltIn => "built-in",
            OriginKind::NoFile => "no-file",
            OriginKind::Namespace => "namespace",
            OriginKind::Other(_) => "other",
        }
    }
}
