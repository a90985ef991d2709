//! From what a record says to the rows of a segment.

use std::collections::HashMap;
use std::io::Write;

use terrarium_segment as segment;
use terrarium_segment::{CERTAIN, Direct, Kind, Load, Writer, rounded};
use terrarium_spool::{self as spool, Importer, Module, OriginKind, Process, State, Stopped, Text};
use terrarium_wire::kind::main;

/// Texts of a process that a segment keeps have at most so many bytes.
const LONGEST: usize = 1024;

/// A process maps some hundred objects.
const MOST_OBJECTS: usize = 4096;

/// What the site, and the files of the node, make of what the processes of one user say.
pub(crate) trait Meaning {
    /// Name or pseudonym.
    fn user(&self) -> &str;
    /// A path without what names people, as the site wants it.
    fn path(&self, path: &str) -> String;
    /// Name of script or module that was run, if the site keeps it.
    fn script(&self, name: &str) -> Option<String>;
    /// The module, of which `process` says name and origin.
    fn module(&mut self, process: &Process, module: &Module, name: &str) -> segment::Module;
    /// The environment that a process ran in; `None` without Python, or if nothing is known of it.
    fn environment(&mut self, process: &Process) -> Option<segment::Environment>;
}

/// What one segment has already, so that it is made once.
#[derive(Default)]
pub(crate) struct Known {
    /// By owner and prefix: users and environments differ in what a path means.
    modules: HashMap<(u32, Text), Modules>,
    environments: HashMap<String, u32>,
}

/// By name; a name may come from several places.
type Modules = HashMap<Text, Vec<(Text, Numbers)>>;

/// Of a module: its own number, unless it was never loaded, and that of its name.
#[derive(Clone, Copy)]
struct Numbers {
    module: Option<u32>,
    name: u32,
}

/// Who wrote a record, and where.
pub(crate) struct Source<'a> {
    pub(crate) owner: u32,
    pub(crate) host: &'a str,
    pub(crate) run: Option<String>,
}

/// Puts a process into a segment.
pub(crate) fn take<W: Write>(
    writer: &mut Writer<W>,
    known: &mut Known,
    process: &Process,
    source: &Source<'_>,
    meaning: &mut dyn Meaning,
) -> std::io::Result<()> {
    let python = &process.python;
    let is_python = python.watched || python.too_old;
    let environment = if is_python { meaning.environment(process) } else { None };
    let environment = environment.map(|environment| match known.environments.get(&environment.id) {
        Some(number) => *number,
        None => {
            let number = writer.environment(&environment);
            known.environments.insert(environment.id, number);
            number
        }
    });
    let prefix = python.prefix.clone().unwrap_or_default();
    let loads = loads(writer, known.modules.entry((source.owner, prefix)).or_default(), process, meaning);
    let objects = objects(writer, process);
    let text = |text: &Text| cut(&text.to_text());
    let (end, status) = end(process.end);
    let dropped = &process.dropped;
    let row = segment::Process {
        record: process.id,
        forked_from: process.forked_from,
        pid: process.pid,
        parent: process.parent,
        user: meaning.user().to_owned(),
        host: process.host.as_ref().map_or_else(|| source.host.to_owned(), text),
        started_us: i64::try_from(process.started_us).unwrap_or(i64::MAX),
        lasted_us: process.ended_us.unwrap_or(process.last_activity_us),
        end,
        status,
        extent: match process.extent {
            spool::Extent::Full => segment::Extent::Full,
            spool::Extent::Counted => segment::Extent::Counted,
            spool::Extent::OptedOut => segment::Extent::OptedOut,
        },
        python: is_python.then(|| cut(python.number().unwrap_or_default())),
        environment,
        main: process.main.as_ref().map_or("", |main| main_name(main.kind)).to_owned(),
        script: process.main.as_ref().and_then(|main| meaning.script(&main.name.to_text())),
        program: process.program.as_ref().map(|path| cut(&meaning.path(&path.to_text()))).unwrap_or_default(),
        job: job(process),
        run: source.run.clone(),
        rank: process.rank.as_ref().map(|rank| u64::from(rank.rank)),
        ranks: process.rank.as_ref().and_then(|rank| rank.size).map(u64::from),
        peak_bytes: process.peak_bytes,
        import_events: process.import_events,
        not_loaded: process.modules.iter().filter(|module| module.state == State::NotLoaded).count() as u32,
        dropped: [dropped.no_space, dropped.busy, dropped.too_much, dropped.children]
            .into_iter()
            .fold(0u32, u32::saturating_add),
        is_cut: process.stopped != Stopped::End,
        exception: process.exception.as_ref().map(text),
        objects,
        probability: CERTAIN,
        doubts: Vec::new(),
        content: 0,
        loads,
    };
    writer.process(&row)
}

fn loads<W: Write>(
    writer: &mut Writer<W>,
    known: &mut Modules,
    process: &Process,
    meaning: &mut dyn Meaning,
) -> Vec<Load> {
    let mut numbers: Vec<Numbers> = Vec::with_capacity(process.modules.len());
    for module in &process.modules {
        numbers.push(numbers_of(writer, known, process, module, meaning));
    }
    let mut places: HashMap<u32, usize> = HashMap::with_capacity(numbers.len());
    let mut loads: Vec<Load> = Vec::with_capacity(numbers.len());
    for (module, number) in process.modules.iter().zip(&numbers) {
        let Some(number) = number.module.filter(|_| module.is_loaded()) else { continue };
        // A module that was removed and imported again was loaded once; so was own code whose names are not kept.
        let place = *places.entry(number).or_insert(loads.len());
        if let Some(load) = loads.get_mut(place) {
            if module.direct {
                load.direct = Direct::Yes;
            }
            continue;
        }
        let importer = match &module.importer {
            Importer::Main => writer.name("__main__"),
            Importer::Module(i) => numbers.get(*i).map_or(0, |importer| importer.name),
            // Code that is no module, with a name that it gave itself.
            Importer::Nobody | Importer::Named(_) => 0,
        };
        let took = module.took_at_least_us.map_or(0, |took| rounded(took).saturating_add(1));
        loads.push(Load { module: number, importer, direct: module.direct.into(), took });
    }
    loads
}

fn numbers_of<W: Write>(
    writer: &mut Writer<W>,
    known: &mut Modules,
    process: &Process,
    module: &Module,
    meaning: &mut dyn Meaning,
) -> Numbers {
    let origin = module.origin.as_ref().map_or(&[][..], |origin| origin.path.as_bytes());
    let found =
        known.get_mut(&module.name).and_then(|all| all.iter_mut().find(|(of, _)| of.as_bytes() == origin));
    if let Some((_, numbers)) = &found
        && (numbers.module.is_some() || !module.is_loaded())
    {
        return *numbers;
    }
    let row = meaning.module(process, module, &cut(&module.name.to_text()));
    let number = module.is_loaded().then(|| writer.module(&row));
    let numbers = Numbers { module: number, name: writer.name(&row.name) };
    match found {
        Some((_, known)) => *known = numbers,
        None => known.entry(module.name.clone()).or_default().push((origin.into(), numbers)),
    }
    numbers
}

/// The batch job that a process belongs to.
pub(crate) fn job(process: &Process) -> Option<segment::Job> {
    let text = |text: &Text| cut(&text.to_text());
    process.job.as_ref().map(|job| segment::Job {
        system: job.system.name().to_owned(),
        id: segment::job_id(job.system.name(), &text(&job.id)),
        array: job.array.as_ref().map(text),
        array_task: job.array_task.as_ref().map(text),
        step: job.step.as_ref().map(text),
    })
}

/// File names of shared objects, but for Python's extensions, which are modules.
fn objects<W: Write>(writer: &mut Writer<W>, process: &Process) -> Vec<u32> {
    let name = |path: &Text| {
        let path = path.to_text();
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_extension = name.contains(".cpython-") || name.contains(".abi3.");
        (!is_extension && !name.is_empty()).then(|| cut(name))
    };
    let names = process.objects.iter().filter_map(name).take(MOST_OBJECTS);
    names.map(|name| writer.name(&name)).collect()
}

fn end(end: spool::End) -> (segment::End, Option<i32>) {
    let status = |status: u32| Some(status as i32);
    match end {
        spool::End::Exited { status: code } => (segment::End::Exited, status(code)),
        spool::End::AtOnce { status: code } => (segment::End::ExitedAtOnce, status(code)),
        spool::End::Finished => (segment::End::Finished, None),
        spool::End::Exec => (segment::End::Exec, None),
        // Nobody has its record open: it is gone.
        spool::End::Unknown => (segment::End::Gone, None),
        spool::End::Other(_) => (segment::End::Other, None),
    }
}

fn main_name(kind: u8) -> &'static str {
    match kind {
        main::SCRIPT => "script",
        main::MODULE => "module",
        main::COMMAND => "command",
        main::STANDARD_INPUT => "standard-input",
        main::EMBEDDED => "embedded",
        main::SPAWNED => "spawned",
        _ => "other",
    }
}

/// What a module is made from.
pub(crate) fn kind(module: &Module) -> Kind {
    match module.origin.as_ref().map(|origin| origin.kind) {
        Some(OriginKind::File) => Kind::File,
        Some(OriginKind::Extension) => Kind::Extension,
        Some(OriginKind::BuiltIn) => Kind::BuiltIn,
        Some(OriginKind::NoFile) => Kind::NoFile,
        Some(OriginKind::Namespace) => Kind::Namespace,
        Some(OriginKind::Other(_)) | None => Kind::Unknown,
    }
}

/// Not longer than is kept, and without control characters: it will stand in tables and on terminals.
pub(crate) fn cut(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}
