//! A record as text. Whatever a process wrote is made printable before it gets here.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use terrarium_core::Bytes;
use terrarium_core::duration::HumanDuration;
use terrarium_spool::{
    BatchSystem, End, Extent, Module, Origin, OriginKind, Place, Process, State, Stopped, Text,
};
use terrarium_wire::kind;
use unicode_width::UnicodeWidthStr;

use super::packages::{Package, called, importer, packages};
use super::spool::Found;
use crate::commands::show::clock;
use crate::summary::{printable, word};

/// Lines of names are broken here, or where a narrower terminal ends.
const WIDTH: usize = 100;

/// What is left of an origin on a terminal; with less room than that it is left out.
const LEAST_ORIGIN: usize = 16;

fn show(text: &Text) -> String {
    printable(&text.to_text())
}

/// `main` of a record, as documents name it.
pub(super) fn main_kind(main: u8) -> &'static str {
    match main {
        kind::main::SCRIPT => "script",
        kind::main::MODULE => "module",
        kind::main::COMMAND => "command",
        kind::main::STANDARD_INPUT => "standard-input",
        kind::main::EMBEDDED => "embedded",
        kind::main::SPAWNED => "spawned",
        _ => "other",
    }
}

fn time(micros: u64) -> String {
    HumanDuration(Duration::from_micros(micros)).to_string()
}

/// What ran, in a few words.
fn what(process: &Process) -> String {
    let program = process.program.as_ref().map_or_else(|| "a program without a name".to_owned(), show);
    let short = program.rsplit('/').next().unwrap_or_default().to_owned();
    let Some(main) = &process.main else { return program };
    let name = show(&main.name);
    match main.kind {
        kind::main::SCRIPT => format!("{short} {name}"),
        kind::main::MODULE => format!("{short} -m {name}"),
        kind::main::COMMAND => format!("{short} -c ..."),
        kind::main::STANDARD_INPUT => format!("{short}, from standard input"),
        kind::main::SPAWNED => format!("{short}, a worker of multiprocessing"),
        _ => program,
    }
}

fn end(found: &Found, running: bool) -> String {
    let process = &found.process;
    let after = process.ended_us.map(|ended| format!(" after {}", time(ended))).unwrap_or_default();
    let last = time(process.last_activity_us);
    match process.end {
        End::Exited { status } => format!("exit status {status}{after}"),
        End::AtOnce { status } => format!("_exit with status {status}{after}, without clearing up"),
        End::Finished => format!("finished{after}; its exit status is not known"),
        End::Exec => format!("another program took its place after {last}"),
        End::Other(number) => format!("in a way that this version does not know ({number}){after}"),
        End::Unknown if running => format!("running; last entry after {last}"),
        End::Unknown => {
            let how = match found.mapped {
                Some(false) if process.python.watched => "killed, or crashed",
                Some(false) => "killed, crashed, or another program took its place",
                _ => "killed, crashed, or still running",
            };
            format!("no end recorded: {how}; last entry after {last}")
        }
    }
}

/// Name and text, in the order in which they are read.
fn facts(found: &Found, running: bool) -> Vec<(&'static str, String)> {
    let process = &found.process;
    let host = process.host.as_ref().map(|host| format!(" on {}", show(host))).unwrap_or_default();
    let parent = match (process.parent, process.forked_from) {
        (Some(parent), Some(id)) => format!(", forked from {parent} (record {id:016x})"),
        (None, Some(id)) => format!(", forked (from record {id:016x})"),
        (Some(parent), None) => format!(", parent {parent}"),
        (None, None) => String::new(),
    };
    let mut facts = vec![
        ("record", format!("{} ({:016x})", printable(&found.path.display().to_string()), process.id)),
        ("process", format!("{}{host}, user {}{parent}", process.pid, found.owner)),
    ];
    let mut add = |name, text: Option<String>| facts.extend(text.map(|text| (name, text)));
    add("program", process.program.as_ref().map(show));
    add("python", python(process));
    add("environment", environment(process));
    add("directory", process.main.as_ref().map(|main| show(&main.directory)).filter(|text| !text.is_empty()));
    let arguments: Vec<String> = process.arguments.iter().map(|text| word(&show(text))).collect();
    add("arguments", Some(arguments.join(" ")).filter(|text| !text.is_empty()));
    add("job", job(process));
    add(
        "rank",
        process.rank.map(|rank| match rank.size {
            Some(size) => format!("{} of {size}", rank.rank),
            None => rank.rank.to_string(),
        }),
    );
    add("started", Some(clock::people(process.started_us as f64 / 1e6)));
    add("end", Some(end(found, running)));
    add("exception", process.exception.as_ref().map(|kind| format!("{}, caught by nobody", show(kind))));
    add("memory", process.peak_bytes.map(|peak| format!("at most {} resident", Bytes(peak))));
    if !process.objects.is_empty() {
        let count = process.objects.len();
        let objects = if count == 1 { "object" } else { "objects" };
        add("objects", Some(format!("{count} shared {objects} mapped (--json lists them)")));
    }
    facts
}

fn python(process: &Process) -> Option<String> {
    let python = &process.python;
    let number = python.number().map(printable);
    let number =
        number.or_else(|| (python.watched || python.too_old).then(|| "of a version not known".to_owned()))?;
    let executable = python.executable.as_ref().map(|path| format!(" ({})", show(path))).unwrap_or_default();
    let more = match python.interpreters {
        0 | 1 => String::new(),
        many => format!(", {many} interpreters"),
    };
    Some(format!("{number}{executable}{more}"))
}

fn environment(process: &Process) -> Option<String> {
    let python = &process.python;
    let prefix = show(python.prefix.as_ref()?);
    match &python.base_prefix {
        Some(base) if python.is_venv() => Some(format!("{prefix}, a venv of {}", show(base))),
        _ => Some(prefix),
    }
}

fn job(process: &Process) -> Option<String> {
    let job = process.job.as_ref()?;
    let system = match job.system {
        BatchSystem::Slurm => "Slurm",
        BatchSystem::Pbs => "PBS",
        BatchSystem::Lsf => "LSF",
        BatchSystem::Flux => "Flux",
    };
    let mut text = format!("{system} {}", show(&job.id));
    for (name, part) in
        [("array", &job.array), ("task", &job.array_task), ("step", &job.step), ("cluster", &job.cluster)]
    {
        if let Some(part) = part {
            let _ = write!(text, ", {name} {}", show(part));
        }
    }
    Some(text)
}

/// What the reader should know of the record itself.
fn notes(process: &Process) -> Vec<String> {
    let mut notes = Vec::new();
    match process.extent {
        Extent::Full => {}
        Extent::Counted => notes.push("one of many ranks: it was only counted".to_owned()),
        Extent::OptedOut => notes.push("its user opted out: nothing else was recorded".to_owned()),
    }
    if process.python.too_old {
        notes.push("this Python is older than 3.8: what it imports is not seen".to_owned());
    }
    if process.forked_from.is_some() {
        notes.push("made by fork: what was loaded before that is in the record of its parent".to_owned());
    }
    let dropped = &process.dropped;
    for (count, why) in [
        (dropped.no_space, "the spool was full"),
        (dropped.busy, "another thread was writing"),
        (dropped.too_much, "there were too many modules, or texts were too long"),
    ] {
        if count > 0 {
            let records = if count == 1 { "1 record is" } else { &format!("{count} records are") };
            notes.push(format!("{records} missing: {why}"));
        }
    }
    if dropped.children > 0 {
        notes.push(format!("forked children without a record of their own: {}", dropped.children));
    }
    notes.extend(match process.stopped {
        Stopped::End => None,
        Stopped::Torn { offset } => {
            Some(format!("the record is damaged at byte {offset}: what stands before is shown"))
        }
        Stopped::Malformed { offset } => {
            Some(format!("the record makes no sense at byte {offset}: what stands before is shown"))
        }
        Stopped::TooMuch { offset } => {
            Some(format!("the record is too long: what stands before byte {offset} is shown"))
        }
    });
    notes.extend(process.modules.iter().filter(|module| module.state == State::Underway).map(|module| {
        let file = module.origin.as_ref().filter(|origin| !origin.path.is_empty());
        let file = file.map(|origin| format!(" ({})", show(&origin.path))).unwrap_or_default();
        format!(
            "its last entry is the start of the import of {}{file}, which was not seen to end",
            show(&module.name)
        )
    }));
    notes
}

/// All of it, for a terminal with so many columns.
pub(super) fn view(found: &Found, running: bool, all_modules: bool, room: Option<usize>) -> String {
    let process = &found.process;
    let mut out = format!("{}\n", what(process));
    for (name, text) in facts(found, running) {
        let _ = writeln!(out, "  {name:<13}{text}");
    }
    for note in notes(process) {
        let _ = writeln!(out, "note: {note}");
    }
    let packages = packages(process);
    let installed = |direct| packages.iter().filter(move |p| p.direct == direct && is_installed(p));
    table(
        &mut out,
        room,
        "imported by the program or the user's code",
        installed(true).map(|p| row(process, p)),
    );
    table(&mut out, room, "imported by others", installed(false).map(|p| row(process, p)));
    for (direct, title) in
        [(true, "imported by the program or the user's code"), (false, "imported by others")]
    {
        let names = packages.iter().filter(|p| p.direct == direct && p.place == Place::Standard);
        list(
            &mut out,
            room,
            &format!("standard library, {title}"),
            names.map(|p| printable(&String::from_utf8_lossy(p.name))),
        );
    }
    let unknown = packages.iter().filter(|p| p.place == Place::Unknown);
    list(&mut out, room, "without an origin", unknown.map(|p| printable(&String::from_utf8_lossy(p.name))));
    if process.calls_recorded {
        let called = called(process);
        if called.is_empty() {
            out.push_str("\nno package was called\n");
        }
        list(&mut out, room, "called", called.iter().map(|name| printable(&String::from_utf8_lossy(name))));
    }
    let failed = process.modules.iter().filter(|module| !module.is_loaded()).count();
    if failed > 0 {
        let names = if failed == 1 { "name was" } else { "names were" };
        let _ = writeln!(out, "\n{failed} {names} asked for and not loaded (not there, or failed)");
    }
    if all_modules && !process.modules.is_empty() {
        table_of(
            &mut out,
            room,
            "modules",
            MODULES_HEAD,
            process.modules.iter().map(|module| module_row(process, module)),
        );
    }
    out
}

/// Neither Python's own nor made by other code.
fn is_installed(package: &Package<'_>) -> bool {
    matches!(package.place, Place::Own | Place::Installed)
}

const HEAD: [&str; 5] = ["package", "submodules", "import", "imported by", "origin"];

fn row(process: &Process, package: &Package<'_>) -> [String; 5] {
    let mut by = importer(process, package.importer).map_or_else(|| "-".to_owned(), |by| printable(&by));
    let named = package.direct && package.top.is_some_and(|top| !imported_directly(process, top));
    if named {
        by.push_str(", and the program");
    }
    [
        printable(&String::from_utf8_lossy(package.name)),
        package.submodules.to_string(),
        package.top.map_or_else(|| "-".to_owned(), took),
        by,
        origin(package.origin),
    ]
}

/// Whether the first that imported it was the program or the user's code.
fn imported_directly(process: &Process, module: &Module) -> bool {
    use terrarium_spool::Importer;
    match &module.importer {
        Importer::Main => true,
        Importer::Module(number) => process.modules.get(*number).is_some_and(|by| by.place == Place::Own),
        Importer::Named(_) | Importer::Nobody => false,
    }
}

fn took(module: &Module) -> String {
    match (module.took_at_least_us, module.took_at_most_us) {
        (Some(least), Some(most)) if time(least) != time(most) => {
            format!("{} to {}", time(least), time(most))
        }
        (Some(least), Some(_)) => time(least),
        (Some(least), None) => format!("{} or more", time(least)),
        _ => "-".to_owned(),
    }
}

fn origin(origin: Option<&Origin>) -> String {
    match origin {
        None => "-".to_owned(),
        Some(Origin { kind: OriginKind::BuiltIn, .. }) => "built in".to_owned(),
        Some(Origin { path, .. }) if path.is_empty() => "no file".to_owned(),
        Some(Origin { kind: OriginKind::Namespace, path }) => format!("{} (namespace)", show(path)),
        Some(Origin { path, .. }) => show(path),
    }
}

const MODULES_HEAD: [&str; 5] = ["module", "", "import", "imported by", "origin"];

fn module_row(process: &Process, module: &Module) -> [String; 5] {
    let state = match (module.state, module.direct) {
        (State::NotLoaded, _) => "not loaded",
        (State::Failed, _) => "failed",
        (State::Underway, _) => "underway",
        (State::Loaded, true) => "direct",
        (State::Loaded, false) => "",
    };
    [
        show(&module.name),
        state.to_owned(),
        took(module),
        importer(process, &module.importer).map_or_else(|| "-".to_owned(), |by| printable(&by)),
        origin(module.origin.as_ref()),
    ]
}

fn table(out: &mut String, room: Option<usize>, title: &str, rows: impl Iterator<Item = [String; 5]>) {
    table_of(out, room, title, HEAD, rows);
}

fn table_of(
    out: &mut String,
    room: Option<usize>,
    title: &str,
    head: [&str; 5],
    rows: impl Iterator<Item = [String; 5]>,
) {
    let mut rows: Vec<[String; 5]> = [head.map(str::to_owned)].into_iter().chain(rows).collect();
    if rows.len() == 1 {
        return;
    }
    let _ = writeln!(out, "\n{title} ({}):", rows.len() - 1);
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    // One hostile name does not push the rest out of sight.
    let widths = widths.map(|width| width.min(60));
    if let Some(room) = room {
        let left = room.saturating_sub(widths[..4].iter().map(|width| width + 2).sum::<usize>() + 2);
        for row in &mut rows {
            row[4] = if left < LEAST_ORIGIN { String::new() } else { shortened(&row[4], left) };
        }
    }
    for row in &rows {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width.saturating_sub(cell.width()))));
        let _ = writeln!(out, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// A path without its middle: both ends tell more.
fn shortened(path: &str, room: usize) -> String {
    if path.width() <= room {
        return path.to_owned();
    }
    let mut kept = path.to_owned();
    let mut parts: Vec<&str> = path.split('/').collect();
    while parts.len() > 3 && kept.width() > room {
        let middle = parts.len() / 2;
        parts.remove(middle);
        let middle = parts.len() / 2;
        kept = [&parts[..middle], &["…"], &parts[middle..]].concat().join("/");
    }
    // One long name: its end tells the file.
    while kept.width() > room {
        let from = kept.char_indices().nth(2).map_or(kept.len(), |(at, _)| at);
        kept = format!("…{}", &kept[from..]);
    }
    kept
}

fn list(out: &mut String, room: Option<usize>, title: &str, names: impl Iterator<Item = String>) {
    let mut names: Vec<String> = names.collect();
    if names.is_empty() {
        return;
    }
    names.sort();
    let _ = write!(out, "\n{title} ({}):", names.len());
    let most = room.map_or(WIDTH, |room| room.min(WIDTH));
    let mut column = most;
    for (i, name) in names.iter().enumerate() {
        let comma = if i + 1 < names.len() { "," } else { "" };
        if column + 1 + name.width() + 1 > most {
            out.push_str("\n  ");
            column = 2;
        } else {
            out.push(' ');
            column += 1;
        }
        let _ = write!(out, "{name}{comma}");
        column += name.width() + 1;
    }
    out.push('\n');
}

/// A record in a line.
#[derive(Debug)]
pub(super) struct Line {
    /// Host, PID and parent: the same when a program takes the place of another.
    process: (Option<Text>, u32, Option<u32>),
    started_us: u64,
    is_forked: bool,
    has_no_end: bool,
    cells: [String; 8],
}

impl Line {
    pub(super) fn of(found: &Found, directory: &Path, running: bool) -> Self {
        let process = &found.process;
        let packages = packages(process);
        let third: Vec<_> = packages.iter().filter(|p| is_installed(p)).collect();
        let direct = third.iter().filter(|p| p.direct).count();
        let end = match process.end {
            End::Exited { status } | End::AtOnce { status } => format!("exit {status}"),
            End::Finished => "finished".to_owned(),
            End::Exec => "exec".to_owned(),
            End::Other(_) => "other".to_owned(),
            End::Unknown if running => "running".to_owned(),
            End::Unknown => "not known".to_owned(),
        };
        let what = match process.extent {
            Extent::Full => what(process),
            Extent::Counted => format!("{} (counted only)", what(process)),
            Extent::OptedOut => "(opted out)".to_owned(),
        };
        let file = found.path.strip_prefix(directory).unwrap_or(&found.path).display().to_string();
        let damaged = if process.stopped == Stopped::End { "" } else { ", damaged" };
        let is_python = process.python.watched;
        let count = |count: usize| if is_python { count.to_string() } else { "-".to_owned() };
        Self {
            process: (process.host.clone(), process.pid, process.parent),
            started_us: process.started_us,
            is_forked: process.forked_from.is_some(),
            has_no_end: process.end == End::Unknown && !running,
            cells: [
                clock::people(process.started_us as f64 / 1e6).replace(" UTC", ""),
                process.pid.to_string(),
                found.owner.to_string(),
                process.python.number().map_or_else(|| "-".to_owned(), printable),
                count(third.len()),
                count(direct),
                end,
                format!("{what}  [{}{damaged}]", printable(&file)),
            ],
        }
    }
}

/// Lines with a head above them, in the order in which the processes began. A program that another one took the place of has no
/// end in its record; that the same process has a later one tells.
pub(super) fn lines(mut lines: Vec<Line>) -> Vec<String> {
    if lines.is_empty() {
        return Vec::new();
    }
    lines.sort_by_key(|line| line.started_us);
    let mut replaced: HashSet<_> = HashSet::new();
    for line in lines.iter_mut().rev() {
        if line.has_no_end && replaced.contains(&line.process) {
            line.cells[6] = "exec".to_owned();
        }
        if !line.is_forked {
            replaced.insert(line.process.clone());
        }
    }
    let head = ["started (UTC)", "pid", "user", "python", "packages", "direct", "end", "program"];
    let rows = [head.map(str::to_owned)].into_iter().chain(lines.into_iter().map(|line| line.cells));
    let row = |[started, pid, user, python, packages, direct, end, program]: [String; 8]| {
        format!(
            "{started:<19} {pid:>8} {user:>7}  {python:<7} {packages:>8} {direct:>6}  {end:<9}  {program}"
        )
    };
    rows.map(row).collect()
}
