//! From records to a process.

use std::collections::HashSet;

use super::process::{Dropped, End, Extent, Main, Module, Origin, OriginKind, Place, Process, Python, State};
use super::{
    Header, Importer, MOST_MODULES, MOST_TEXT, ReadError, Record, Records, Stopped, Text, direct, job,
};
use terrarium_wire::header::{ending, flag};
use terrarium_wire::kind::{import, origin};

/// All that a file says of its process, up to the last whole record.
pub fn process(bytes: &[u8]) -> Result<Process, ReadError> {
    process_forked(bytes, &|_| false)
}

/// As [`process`], of a process that was made by fork: code that its parent had loaded imports here as well. `is_own` says of a
/// module's name whether it is the user's own code in a process that this one descends from, see [`Process::own_modules`].
pub fn process_forked(bytes: &[u8], is_own: &dyn Fn(&[u8]) -> bool) -> Result<Process, ReadError> {
    let (header, records) = Records::of(bytes)?;
    let again = records.clone();
    let mut builder = Builder { process: start(&header), text: 0, last_begun: None };
    let stopped = builder.read(records);
    let mut process = builder.end(stopped);
    let end = match stopped {
        Stopped::End => u64::MAX,
        Stopped::Torn { offset } | Stopped::Malformed { offset } | Stopped::TooMuch { offset } => offset,
    };
    direct::mark(&mut process, again, end, is_own);
    Ok(process)
}

fn start(header: &Header) -> Process {
    let set = |number: u64| Some(number).filter(|number| *number > 0);
    let micros = |nanos: u64| nanos / 1000;
    let end = match header.ending {
        ending::EXIT => End::Exited { status: header.status },
        ending::AT_ONCE => End::AtOnce { status: header.status },
        ending::FINISHED => End::Finished,
        0 if header.exec > 0 && header.exec >= header.last => End::Exec,
        0 => End::Unknown,
        other => End::Other(other),
    };
    let extent = if header.has(flag::OPTED_OUT) {
        Extent::OptedOut
    } else if header.has(flag::COUNTED) {
        Extent::Counted
    } else {
        Extent::Full
    };
    let ended = if header.ending > 0 { set(header.ended) } else { None };
    let signs = [header.last, header.peak_seen, header.exec, ended.unwrap_or(0)];
    Process {
        id: header.id,
        forked_from: Some(header.forked_from).filter(|_| header.is_forked()),
        pid: header.pid,
        parent: Some(header.parent).filter(|parent| *parent > 0),
        user: header.user,
        started_us: micros(header.start),
        extent,
        python: Python {
            watched: header.has(flag::PYTHON),
            too_old: header.has(flag::OLD_PYTHON),
            interpreters: header.interpreters,
            ..Python::default()
        },
        calls_recorded: header.has(flag::CALLS),
        host: None,
        program: None,
        variables: Vec::new(),
        job: None,
        rank: None,
        main: None,
        arguments: Vec::new(),
        objects: Vec::new(),
        called: Vec::new(),
        exception: None,
        end,
        ended_us: ended.map(micros),
        exec_attempted_us: set(header.exec).map(micros),
        last_activity_us: micros(signs.into_iter().max().unwrap_or(0)),
        peak_bytes: set(header.peak),
        peak_seen_us: set(header.peak_seen).map(micros),
        dropped: Dropped {
            no_space: header.no_space,
            busy: header.busy,
            too_much: header.too_much,
            children: header.children_lost,
        },
        import_events: header.imports,
        modules_recorded: header.modules,
        modules: Vec::new(),
        stopped: Stopped::End,
    }
}

struct Builder {
    process: Process,
    /// What the texts so far cost.
    text: usize,
    /// The last import that began, unless something was loaded afterwards.
    last_begun: Option<usize>,
}

impl Builder {
    fn read(&mut self, mut records: Records<'_>) -> Stopped {
        loop {
            let offset = records.offset();
            match records.next() {
                None => return records.stopped().unwrap_or(Stopped::End),
                Some(record) => {
                    if self.take(record).is_none() {
                        return Stopped::TooMuch { offset };
                    }
                }
            }
        }
    }

    /// Keeps a text, if there is room for it.
    fn keep(&mut self, text: impl Into<Text>) -> Option<Text> {
        let text = text.into();
        self.text += text.as_bytes().len() + 64;
        (self.text <= MOST_TEXT).then_some(text)
    }

    /// `None`: there is no room for more.
    fn take(&mut self, record: Record<'_>) -> Option<()> {
        match record {
            Record::Host(name) => self.process.host = Some(self.keep(name)?),
            Record::Program(path) => self.process.program = Some(self.keep(path)?),
            Record::Variable { name, value } => {
                let value = self.keep(value)?;
                if !self.process.variables.iter().any(|(other, _)| *other == name) {
                    self.process.variables.push((name, value));
                }
            }
            Record::Object(path) => {
                let path = self.keep(path)?;
                self.process.objects.push(path);
            }
            Record::Python(version) => self.process.python.version = Some(self.keep(version)?),
            Record::Prefix { prefix, base, executable } => {
                let mut keep = |text: &[u8]| match text {
                    [] => Some(None),
                    text => self.keep(text).map(Some),
                };
                let (prefix, base, executable) = (keep(prefix)?, keep(base)?, keep(executable)?);
                let python = &mut self.process.python;
                (python.prefix, python.base_prefix, python.executable) = (prefix, base, executable);
            }
            Record::Main { kind, name, directory } => {
                let (name, directory) = (self.keep(name)?, self.keep(directory)?);
                self.process.main = Some(Main { kind, name, directory });
            }
            Record::Argument(argument) => {
                let argument = self.keep(argument)?;
                self.process.arguments.push(argument);
            }
            Record::Import { time, importer, flags, name } => {
                let built_in = flags & import::BUILT_IN != 0;
                let state = if built_in { State::Loaded } else { State::NotLoaded };
                let origin = built_in.then(|| Origin { kind: OriginKind::BuiltIn, path: Text::default() });
                self.module(name, importer, origin, state)?.started_us = Some(time);
                self.last_begun = self.process.modules.len().checked_sub(1);
            }
            Record::Extension { module: number, path } => {
                let path = self.keep(path)?;
                let module = self.process.modules.get_mut(number)?;
                module.origin = Some(Origin { kind: OriginKind::Extension, path });
                self.last_begun = Some(number);
            }
            Record::Failed { module } => self.process.modules.get_mut(module)?.state = State::Failed,
            Record::Loaded { time, module, origin, path } => {
                let origin = self.origin(origin, path)?;
                let module = self.process.modules.get_mut(module)?;
                module.state = State::Loaded;
                module.loaded_us.get_or_insert(time);
                match &mut module.origin {
                    Some(Origin { kind: OriginKind::Extension, path }) => {
                        if !origin.path.is_empty() {
                            *path = origin.path;
                        }
                    }
                    // Built in, and no file is told.
                    Some(_) if origin.kind == OriginKind::NoFile => {}
                    known => *known = Some(origin),
                }
                self.last_begun = None;
            }
            Record::Module { time, importer, name, origin, path } => {
                let origin = self.origin(origin, path)?;
                self.module(name, importer, Some(origin), State::Loaded)?.loaded_us = Some(time);
                self.last_begun = None;
            }
            Record::Done { module, at_least, at_most } => {
                let module = self.process.modules.get_mut(module)?;
                module.state = State::Loaded;
                module.took_at_least_us.get_or_insert(at_least);
                module.took_at_most_us.get_or_insert(at_most);
            }
            Record::Exception(kind) => self.process.exception = Some(self.keep(kind)?),
            Record::Called(file) => {
                let file = self.keep(file)?;
                self.process.called.push(file);
            }
            // Looked at in a second pass, when it is known whose code is whose.
            Record::Names { .. } | Record::Unknown { .. } => {}
        }
        Some(())
    }

    fn module(
        &mut self,
        name: Vec<u8>,
        importer: Importer<&[u8]>,
        origin: Option<Origin>,
        state: State,
    ) -> Option<&mut Module> {
        let importer = match importer {
            Importer::Nobody => Importer::Nobody,
            Importer::Main => Importer::Main,
            Importer::Named(b"__main__") => Importer::Main,
            Importer::Named(name) => Importer::Named(self.keep(name)?),
            Importer::Module(number) => Importer::Module(number),
        };
        if self.process.modules.len() == MOST_MODULES {
            return None;
        }
        let module = Module {
            name: self.keep(name)?,
            importer,
            origin,
            state,
            direct: false,
            place: Place::Unknown,
            started_us: None,
            loaded_us: None,
            took_at_least_us: None,
            took_at_most_us: None,
        };
        self.process.modules.push(module);
        self.process.modules.last_mut()
    }

    fn origin(&mut self, kind: u8, path: Vec<u8>) -> Option<Origin> {
        let kind = match kind {
            origin::FILE if path.ends_with(b".so") => OriginKind::Extension,
            origin::FILE => OriginKind::File,
            origin::NO_FILE => OriginKind::NoFile,
            origin::NAMESPACE => OriginKind::Namespace,
            other => OriginKind::Other(other),
        };
        Some(Origin { kind, path: self.keep(path)? })
    }

    fn end(self, stopped: Stopped) -> Process {
        let Builder { mut process, last_begun, .. } = self;
        process.stopped = stopped;
        let variable =
            |name: &str| process.variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
        let (job, rank) = (job::job(&variable), job::rank(&variable));
        (process.job, process.rank) = (job, rank);
        mapped(&mut process);
        not_seen_to_end(&mut process);
        let abnormal = matches!(process.end, End::Unknown | End::Other(_));
        if let Some(module) = last_begun.and_then(|last| process.modules.get_mut(last))
            && abnormal
            && module.state == State::NotLoaded
        {
            module.state = State::Underway;
        }
        process
    }
}

/// An extension whose shared object is mapped was loaded. The mapping may tell another way to the same file (`lib64` is a link
/// to `lib`), so the file and its directory are compared by name.
fn mapped(process: &mut Process) {
    let objects: HashSet<&[u8]> = process.objects.iter().map(|path| tail(path.as_bytes())).collect();
    for module in process.modules.iter_mut().filter(|module| module.state == State::NotLoaded) {
        if let Some(Origin { kind: OriginKind::Extension, path }) = &module.origin
            && objects.contains(tail(path.as_bytes()))
        {
            module.state = State::Loaded;
        }
    }
}

/// The end of an import is seen at the next one outside of it, so that of the last one never is. It took at least as long as all
/// that was imported within it.
fn not_seen_to_end(process: &mut Process) {
    // Without a record of the end, it could have been long before.
    if process.dropped.busy > 0 || process.dropped.too_much > 0 {
        return;
    }
    let seen = |module: &Module| {
        let end =
            module.started_us.zip(module.took_at_least_us).map(|(start, took)| start.saturating_add(took));
        [module.started_us, module.loaded_us, end].into_iter().flatten().max().unwrap_or(0)
    };
    let mut last: Vec<u64> = process.modules.iter().map(seen).collect();
    for (i, module) in process.modules.iter_mut().enumerate().rev() {
        // What came later was imported by what came earlier.
        if let Importer::Module(importer) = module.importer
            && importer < i
        {
            last[importer] = last[importer].max(last[i]);
        }
        if let (State::Loaded, None, Some(start)) = (module.state, module.took_at_most_us, module.started_us)
        {
            module.took_at_least_us = Some(last[i].saturating_sub(start));
        }
    }
}

/// The last two parts of a path.
fn tail(path: &[u8]) -> &[u8] {
    let mut slashes = path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/');
    slashes.nth(1).map_or(path, |(place, _)| &path[place + 1..])
}
