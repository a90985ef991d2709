//! What happens in CPython, as its audit events tell.
//!
//! The `import` event comes before a module is sought: it has the name, and the frame that runs is who imports. That a module was
//! found, and where, is seen in `sys.modules`, which is looked through at each event: not from its start, for it keeps
//! its order, and what is loaded comes to its end ([`modules`]). `exec` events bring the code of `__main__` and of modules,
//! in which import statements are found that raise no event because the module is loaded already ([`code`]).

mod api;
mod calls;
mod code;
mod entry;
mod importer;
mod modules;
mod open;
mod table;

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_void};

use terrarium_wire::header::flag;
use terrarium_wire::kind::main;
use terrarium_wire::{hash, header, kind};

use crate::elf::Object;
use crate::kernel;
use crate::log::Log;
use crate::settings::Settings;
use crate::state::{self, State};

use api::{Api, Name, Ref};
use modules::Modules;

/// How often the peak of memory is looked at, in nanoseconds, while something is imported.
const PEAK_EVERY: u64 = 1_000_000_000;

/// A CPython that was found.
#[derive(Clone, Copy)]
pub(crate) struct Runtime(Api);

impl Runtime {
    /// The CPython that the program is, or is linked with.
    pub(crate) fn find() -> Option<Self> {
        Api::find().map(Self)
    }

    /// The one in this object.
    pub(crate) fn of(object: &Object<'_>) -> Option<Self> {
        Api::in_object(object).map(Self)
    }

    /// Adds the audit hook; false: the interpreter runs already. Called once.
    pub(crate) fn watch(self) -> bool {
        // SAFETY: before there is a hook nobody reads it, and afterwards nobody writes it.
        let api = unsafe {
            *WATCHED.0.get() = Some(self.0);
            &*WATCHED.0.get()
        };
        api.as_ref().is_some_and(|api| api.add_audit_hook(hook))
    }
}

/// The functions that the hook uses.
struct Watched(UnsafeCell<Option<Api>>);

// SAFETY: written once, before the hook is added.
unsafe impl Sync for Watched {}

static WATCHED: Watched = Watched(UnsafeCell::new(None));

fn watched() -> Option<&'static Api> {
    // SAFETY: see `Watched`.
    unsafe { &*WATCHED.0.get() }.as_ref()
}

/// What is remembered of the Python in this process.
pub(crate) struct Python {
    pub(crate) runtime: Option<Runtime>,
    /// Whether the hook was added, or tried to be.
    pub(crate) is_watched: bool,
    /// Whether an event came.
    is_running: bool,
    /// Whether it is known what is `__main__`.
    has_main: bool,
    /// Whether the records are to have arguments.
    arguments: bool,
    modules: Modules,
    /// Where the library lies, not the user's code.
    library: code::Library,
    calls: calls::Calls,
    /// Payloads that a forked child's file has as well.
    kept: Kept,
    /// Hash of the type of the last exception that nobody caught.
    last_exception: u64,
    /// When the peak of memory was looked at last, in nanoseconds since the start.
    last_peak: u64,
}

impl Python {
    pub(crate) const fn new() -> Self {
        Self {
            runtime: None,
            is_watched: false,
            is_running: false,
            has_main: false,
            arguments: false,
            modules: Modules::new(),
            library: code::Library::new(),
            calls: calls::Calls::new(),
            kept: Kept::new(),
            last_exception: 0,
            last_peak: 0,
        }
    }

    pub(crate) fn settings(&mut self, settings: &Settings) {
        // Not written without need: this memory is only touched where there is a Python.
        if settings.arguments {
            self.arguments = true;
        }
        if settings.calls {
            self.calls.wanted = true;
        }
    }

    /// The flags that a forked child's file has from the start.
    pub(crate) fn flags(&self) -> u32 {
        if self.is_running { flag::PYTHON } else { 0 }
    }

    /// In a forked child: what was loaded before stands in the parent's file.
    pub(crate) fn forked(&mut self, log: &mut Log) {
        self.modules.forked();
        self.library.forked();
        (self.last_exception, self.last_peak) = (0, 0);
        self.kept.write(log);
    }
}

/// Called for every event, with the GIL: most are none of ours, and are to cost nothing.
// SAFETY: called by CPython, with a C string and a tuple.
unsafe extern "C" fn hook(event: *const c_char, arguments: Ref, _: *mut c_void) -> c_int {
    // SAFETY: a C string: where it does not end there is another byte. Two tell most events apart.
    let begin = unsafe {
        let first = event.cast::<u8>().read();
        [first, if first == 0 { 0 } else { event.cast::<u8>().add(1).read() }]
    };
    if !matches!(&begin, b"im" | b"ex" | b"cp" | b"sy" | b"os") {
        return 0;
    }
    // SAFETY: a C string that lives for the call.
    let event = unsafe { CStr::from_ptr(event) }.to_bytes();
    let act: fn(&mut State, &Api, Ref, &[u8]) = match event {
        // Also where nothing is recorded.
        b"cpython._PySys_ClearAuditHooks" => {
            watched().inspect(|api| entry::before_free(api));
            return 0;
        }
        b"import" => imported,
        b"exec" => executed,
        b"cpython.run_file" | b"cpython.run_module" | b"cpython.run_command" | b"cpython.run_stdin" => told,
        b"sys.excepthook" => excepted,
        b"os.exec" => replaced,
        _ => return 0,
    };
    if let Some(api) = watched()
        && state::is_on()
    {
        let begins = state::with(|state| {
            act(state, api, arguments, event);
            // As soon as it is known what is run.
            state.python.has_main && core::mem::take(&mut state.python.calls.wanted)
        });
        if begins == Some(true) {
            calls::watch(api);
        }
    }
    0
}

/// The first event of an interpreter that is only now being initialised.
fn begin(state: &mut State, api: &Api) {
    if core::mem::replace(&mut state.python.is_running, true) {
        return;
    }
    state.log.flag(flag::PYTHON);
    let version = api.version().to_bytes();
    let version = version.get(..256).unwrap_or(version);
    state.python.kept.keep(&mut state.log, kind::PYTHON, &|put| put.text(version));
    if let Some(names) = api.sys(c"builtin_module_names") {
        state.python.modules.built_in(api, names);
    }
}

/// `import`: name, file of an extension, and search paths.
fn imported(state: &mut State, api: &Api, arguments: Ref, _: &[u8]) {
    begin(state, api);
    state.log.count_alone(header::AT_IMPORTS);
    let now = state.log.elapsed();
    let State { log, python, .. } = state;
    python.modules.look(api, log, now / 1000);
    let name = api.element(arguments, 0).and_then(|name| api.text(name));
    let file = api.element(arguments, 1).and_then(|file| api.text_or_none(file));
    match name {
        Some(name) => python.modules.begin(api, log, name, file, now / 1000),
        None => log.count(header::AT_TOO_MUCH),
    }
    look_at_peak(state, now);
}

/// `exec`: a code object, of a module or of anything else.
fn executed(state: &mut State, api: &Api, arguments: Ref, _: &[u8]) {
    begin(state, api);
    let now = state.log.elapsed();
    let State { log, python, .. } = state;
    python.modules.look(api, log, now / 1000);
    let Some(code) = api.element(arguments, 0) else { return };
    // The program's own code is run by no other code.
    let is_main = api.globals().is_none();
    if is_main && !python.has_main {
        tell(state, api, main::EMBEDDED, b"");
    }
    let State { log, python, .. } = state;
    if python.has_main {
        code::look(api, log, &python.modules, &mut python.library, code, is_main);
    }
    look_at_peak(state, now);
}

/// `cpython.run_…`: what is `__main__`.
fn told(state: &mut State, api: &Api, arguments: Ref, event: &[u8]) {
    begin(state, api);
    let what = api.element(arguments, 0).and_then(|what| api.text(what)).unwrap_or_default();
    match event {
        b"cpython.run_file" => tell(state, api, main::SCRIPT, what),
        // A directory or an archive that was given as script.
        b"cpython.run_module" if what == b"__main__" => {
            let script = argument(api, 0).unwrap_or(what);
            tell(state, api, main::SCRIPT, script);
        }
        b"cpython.run_module" => tell(state, api, main::MODULE, what),
        b"cpython.run_stdin" => tell(state, api, main::STANDARD_INPUT, b""),
        _ if argument(api, 1) == Some(b"--multiprocessing-fork") => tell(state, api, main::SPAWNED, b""),
        _ => tell(state, api, main::COMMAND, b""),
    }
}

/// Records what is run, and in what environment.
fn tell(state: &mut State, api: &Api, how: u8, name: &[u8]) {
    let State { log, python, .. } = state;
    if core::mem::replace(&mut python.has_main, true) {
        return;
    }
    let text = |name: &CStr| cut(api.sys(name).and_then(|text| api.text(text)).unwrap_or_default());
    let (prefix, base, program) = (text(c"prefix"), text(c"base_prefix"), text(c"executable"));
    python.library.set(api.version().to_bytes(), prefix, base);
    python.kept.keep(log, kind::PREFIX, &|put| {
        put.text(prefix);
        put.text(base);
        put.text(program);
    });
    let mut buffer = [0; 1024];
    let directory = kernel::link(c"/proc/self/cwd", &mut buffer);
    python.kept.keep(log, kind::MAIN, &|put| {
        put.byte(how);
        put.text(cut(name));
        put.text(directory);
    });
    if python.arguments {
        for index in 1..64 {
            let Some(argument) = argument(api, index) else { break };
            log.write(kind::ARGUMENT, &|put, _| put.text(cut(argument)));
        }
    }
}

/// `sys.argv[index]`.
fn argument<'a>(api: &Api, index: isize) -> Option<&'a [u8]> {
    api.text(api.list_element(api.sys(c"argv")?, index)?)
}

/// A path or argument as long as is kept of it.
fn cut(text: &[u8]) -> &[u8] {
    text.get(..1024).unwrap_or(text)
}

/// `sys.excepthook`: nobody caught an exception.
fn excepted(state: &mut State, api: &Api, arguments: Ref, _: &[u8]) {
    let name = api.element(arguments, 1).and_then(|class| api.attribute(class, Name::Dunder));
    if let Some(name) = name
        && let Some(name) = api.text(name.get())
        // A program with Python inside may go on, and run into the same again and again.
        && core::mem::replace(&mut state.python.last_exception, hash(name)) != hash(name)
    {
        state.log.write(kind::EXCEPTION, &|put, _| put.text(cut(name)));
    }
    let now = state.log.elapsed() / 1000;
    let State { log, python, .. } = state;
    python.modules.look(api, log, now);
    python.modules.give_up(api, log);
}

/// `os.exec`: another program is about to take the place of this one.
fn replaced(state: &mut State, api: &Api, _: Ref, _: &[u8]) {
    let now = state.log.elapsed();
    let State { log, python, .. } = state;
    python.modules.look(api, log, now / 1000);
    log.look_at_peak();
    log.set_u64(header::AT_EXEC, log.elapsed());
}

fn look_at_peak(state: &mut State, now: u64) {
    if now >= state.python.last_peak + PEAK_EVERY {
        state.python.last_peak = now;
        state.log.look_at_peak();
    }
}

/// Payloads of records that a forked child's file has as well.
struct Kept {
    bytes: [u8; 4096],
    length: usize,
}

impl Kept {
    const fn new() -> Self {
        Self { bytes: [0; 4096], length: 0 }
    }

    /// Writes a record, and keeps it if there is room: it must have no continued text and no time.
    fn keep(&mut self, log: &mut Log, kind: u8, fill: &dyn Fn(&mut terrarium_wire::Put<'_>)) {
        log.write(kind, &|put, _| fill(put));
        let Some(room) = self.bytes.get_mut(self.length..) else { return };
        let mut put = terrarium_wire::Put::new(&mut *room, kind);
        fill(&mut put);
        if let Some((word, whole)) = put.end()
            && let Some(first) = room.first_chunk_mut()
        {
            *first = word.to_le_bytes();
            self.length += whole;
        }
    }

    fn write(&self, log: &mut Log) {
        log.copy(self.bytes.get(..self.length).unwrap_or_default());
    }
}
